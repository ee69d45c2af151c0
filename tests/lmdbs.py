"""LMDBs as rico-hdl makes them of an archive, written through the C library."""

from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from bigearth_xr.archive import Archive, read_patch

Values = dict[str, bytes]


def values_of(archive: Archive) -> Values:
    """What rico-hdl stores of an archive: keys and values are as it writes them, pixels are ours."""
    values: Values = {}
    for patch in archive.patches:
        pixels = read_patch(archive, patch)
        halves: dict[str, dict[str, NDArray[Any]]] = {patch.patch: {}, str(patch.s1_name): {}}
        for name, band in pixels.bands.items():
            half = str(patch.s1_name) if name in ("VV", "VH") else patch.patch
            halves[half][name] = np.ascontiguousarray(band)
        if pixels.reference_map is not None:
            halves[f"{patch.patch}_reference_map"] = {"Data": np.ascontiguousarray(pixels.reference_map)}
        values |= {name: safetensors.numpy.save(half) for name, half in halves.items()}
    return values


def write_lmdb(folder: Path, values: dict[str, bytes]) -> Path:
    """Write an environment through the C library."""
    with lmdb.open(str(folder), map_size=1 << 28) as env, env.begin(write=True) as transaction:
        for key, value in values.items():
            transaction.put(key.encode(), value)
    return folder
