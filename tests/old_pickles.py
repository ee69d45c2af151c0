"""Pickles that version 0.1 wrote before its modules were merged, as if their store had lain elsewhere."""

import pickle
from pathlib import Path
from typing import Any

import bigearth_xr as bex

_FOLDER = Path(__file__).parent / "pickles"
UUID = "dacfcf7d-de2e-509c-bb3d-bec47da95e1c"
"""Of their store."""


def write_their_store(folder: Path) -> Path:
    """Write the store that they were made of."""
    return bex.testing.write_store(folder / "ben.zarr", pairs=6)


def load_old(name: str, folder: Path) -> Any:
    """Load one, its store in this folder instead of ``/home/user``.

    A path is pickled by its parts, one text each, so that other parts can stand where ``home`` and ``user`` did.
    """
    data = (_FOLDER / f"{name}.pickle").read_bytes()
    first, second = _text("home"), _text("user")
    assert data.count(first) == data.count(second) <= 1
    *parents, last = folder.absolute().parts[1:]
    data = data.replace(first, b"".join(map(_text, parents))).replace(second, _text(last))
    return pickle.loads(data)


def _text(text: str) -> bytes:
    encoded = text.encode()
    return b"X" + len(encoded).to_bytes(4, "little") + encoded
