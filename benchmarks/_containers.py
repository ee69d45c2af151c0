"""The same pairs in every kind of container."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from bigearth_xr.archive import Archive, open_archive, read_patch

__all__ = ["values_of", "write_lmdb"]

_MAP_BYTES = 1 << 36


def write_lmdb(archive: Path, to: Path) -> Path:
    """Write an archive as rico-hdl does: safetensors by name in an LMDB, the parquets of v2 beside it.

    Through the C library and the reference implementation of safetensors. Of v1, the names of the pairs are lost: give
    its lists when it is ingested.
    """
    opened = open_archive(archive)
    with lmdb.open(str(to), map_size=_MAP_BYTES) as environment:
        for patch in range(0, len(opened.patches), 256):
            with environment.begin(write=True) as transaction:
                for key, value in values_of(opened, patch, patch + 256):
                    transaction.put(key.encode(), value)
    for file in opened.metadata_files if opened.release == "v2" else ():
        (to / Path(file).name).write_bytes(opened.source.read(file))
    return to


def values_of(archive: Archive, start: int = 0, stop: int | None = None) -> Iterator[tuple[str, bytes]]:
    """Give key and value of every half of some patches, as rico-hdl writes them, and of their reference maps."""
    for patch in archive.patches[start:stop]:
        pixels = read_patch(archive, patch)
        halves: dict[str, dict[str, NDArray[Any]]] = {patch.patch: {}, str(patch.s1_name): {}}
        for name, band in pixels.bands.items():
            half = str(patch.s1_name) if name in ("VV", "VH") else patch.patch
            halves[half][name] = np.ascontiguousarray(band)
        if pixels.reference_map is not None:
            halves[f"{patch.patch}_reference_map"] = {"Data": np.ascontiguousarray(pixels.reference_map)}
        yield from ((name, safetensors.numpy.save(half)) for name, half in halves.items())
