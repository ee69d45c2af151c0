"""What every reader of this package says of a store, as bytes to be compared."""

import json
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import xarray as xr
from bigearth_stac.catalog import read_source
from bigearth_stac.items import item_batches, item_documents

import bigearth_xr as bex
from bigearth_xr.errors import BigEarthError
from bigearth_xr.store.batch import BatchReader
from bigearth_xr.store.create import describe
from bigearth_xr.store.open import open_store

__all__ = ["READERS", "Answer", "Outcome", "answers", "judge"]

Answer = dict[str, bytes]

Outcome = Literal["right", "refused", "unnamed", "wrong"]
"""The right values; an error of ours that names what is damaged; any other error; other values without a word."""


def read_dataset(store: Path) -> Answer:
    """All of `bigearth_xr.open`: every row, then the pixels of those that are stored."""
    return {**_of_dataset(bex.open(store, states="all").drop_vars(["s1", "s2", "reference_map"], errors="ignore")),
            **_of_dataset(bex.open(store)[_pixels(store)])}  # fmt: skip


def read_tree(store: Path) -> Answer:
    """All native arrays, labels of each nomenclature, and embeddings."""
    tree = xr.open_datatree(store, engine="bigearth")
    return {
        f"{group.path}:{name}": told for group in tree.subtree for name, told in _of_dataset(group.to_dataset()).items()
    }


def read_batches(store: Path) -> Answer:
    """Native pixels of stored rows, as batches, and the maps of them."""
    opened = open_store(store)
    rows = bex.open(store)["row"].values
    has_maps = any(array.name == "reference_map" for array in opened.arrays)
    with BatchReader(opened, reference_map=has_maps) as reader:
        return {name: pixels.tobytes() for name, pixels in reader.read(rows).items()}


def read_loader(store: Path) -> Answer:
    """Batches of the loader, standardised, with their labels."""
    from bigearth_xr.torch import PatchLoader

    loader = PatchLoader(bex.open(store), batch_size=2, shuffle=False, threads=0, size=64)
    return {
        f"{name}{step}": getattr(batch, name).numpy().tobytes()
        for step, batch in enumerate(loader)
        for name in ("image", "labels", "row")
    }


def read_table(store: Path) -> Answer:
    """The table beside the store."""
    rows = bex.table.read(store.with_suffix(".parquet"))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(rows.combine_chunks())
    return {"rows": sink.getvalue().to_pybytes()}


def read_items(store: Path) -> Answer:
    """What a catalogue says of the patches."""
    source = read_source(store)
    items = [item for batch in item_batches(source.table, source.holdings) for item in item_documents(batch)]
    return {"items": json.dumps(items, default=str).encode()}


def read_account(store: Path) -> Answer:
    """What ``bigearth info`` says, but for the size: what is lost of a file takes no room."""
    return {name: text.encode() for name, text in describe(store).items() if name != "size"}


READERS: dict[str, Callable[[Path], Answer]] = {
    "bex.open": read_dataset,
    "tree": read_tree,
    "BatchReader": read_batches,
    **({"PatchLoader": read_loader} if find_spec("torch") else {}),
    "table": read_table,
    "STAC": read_items,
    "info": read_account,
}
"""Every way in which this package reads a store; the loader needs torch."""


def answers(store: Path) -> dict[str, Answer]:
    """Let every reader read a store that is whole."""
    return {name: read(store) for name, read in READERS.items()}


def judge(store: Path, right: dict[str, Answer], file: str) -> dict[str, tuple[Outcome, str]]:
    """Let every reader read a store of which a file is damaged, and tell what came of it, with the error's text."""
    return {name: _judge(read, store, right[name], file) for name, read in READERS.items()}


def _judge(read: Callable[[Path], Answer], store: Path, right: Answer, file: str) -> tuple[Outcome, str]:
    try:
        found = read(store)
    except (BigEarthError, FileNotFoundError) as error:
        return ("refused" if _names(str(error), store, file) else "unnamed"), f"{type(error).__name__}: {error}"
    except Exception as error:  # whatever it is, it is a finding
        return "unnamed", f"{type(error).__name__}: {error}"
    wrong = sorted(name for name in found | right if found.get(name) != right.get(name))
    return ("wrong", ", ".join(wrong)) if wrong else ("right", "")


def _names(message: str, store: Path, file: str) -> bool:
    """Whether a message names a file, or the array or embedding that the file is a part of."""
    place = store.parent / file
    parents = [one for one in place.parents if store in one.parents]
    # Some name the store, and then the key in it.
    key = file.removeprefix(f"{store.name}/")
    return any(str(one) in message for one in (place, *parents)) or (str(store) in message and key in message)


def _pixels(store: Path) -> list[str]:
    return [name for name in ("s2", "s1", "reference_map") if name in bex.open(store)]


def _of_dataset(dataset: xr.Dataset) -> Answer:
    named = {str(name): _of_variable(variable) for name, variable in dataset.variables.items()}
    return {**named, "attributes": json.dumps(dataset.attrs, sort_keys=True).encode()}


def _of_variable(variable: xr.Variable) -> bytes:
    values = np.asarray(variable.values)
    content = json.dumps(values.tolist()).encode() if values.dtype == object else values.tobytes()
    attributes = {name: _plain(value) for name, value in variable.attrs.items()}
    return json.dumps([list(variable.dims), str(values.dtype), values.shape, attributes]).encode() + content


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str) else str(value)
