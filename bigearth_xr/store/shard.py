"""One shard file: where it lies, and its index of where each patch lies in it."""

import os
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import StoreError
from bigearth_xr.store.codec import CRC_BYTES, checked
from bigearth_xr.store.schema import SHARD_PATCHES, PixelArray

__all__ = ["HOLE", "INDEX_BYTES", "read_index", "shard_path"]

HOLE = np.iinfo(np.uint64).max
"""Offset and length in the index of a patch that is absent, as Zarr defines it."""

INDEX_BYTES = SHARD_PATCHES * 16 + CRC_BYTES


def shard_path(store: Path, array: PixelArray, shard: int) -> Path:
    """Where a shard lies: Zarr's default chunk key, sharded along `patch` only.

    Examples
    --------
    >>> from bigearth_xr.store.schema import pixel_arrays
    >>> shard_path(Path("ben.zarr"), *pixel_arrays(["VV"], reference_map=False), 7).as_posix()
    'ben.zarr/s1/c/7/0/0/0'
    """
    return store.joinpath(array.name, "c", str(shard), *("0" for _ in array.patch_shape))


def read_index(path: Path) -> NDArray[np.uint64] | None:
    """Read and check a shard's index.

    Parameters
    ----------
    path
        The shard file.

    Returns
    -------
    numpy.ndarray or None
        Shape ``(1024, 2)``: offset and length in bytes of each patch, `HOLE` where absent; None without a file.

    Raises
    ------
    ChecksumError
        If the index is damaged.
    StoreError
        If the file is too short to hold one.

    Examples
    --------
    >>> read_index(getfixture("tmp_path") / "0") is None
    True
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return _read_index(path, found.st_mtime_ns, found.st_size)


# A shard's index is 16 KiB: a whole v1 store has 2,308 of them, 37 MiB, and stays cached.
@lru_cache(maxsize=4096)
def _read_index(path: Path, _modified_ns: int, size: int) -> NDArray[np.uint64]:
    if size < INDEX_BYTES:
        raise StoreError(
            f"{path}: {size} bytes, too short for a shard index of {INDEX_BYTES}; the file was cut: delete it and "
            "ingest the archive again into the same store"
        )
    with path.open("rb") as file:
        file.seek(-INDEX_BYTES, os.SEEK_END)
        entries = checked(file.read(), where=f"{path}: index")
    return np.frombuffer(entries, dtype="<u8").reshape(SHARD_PATCHES, 2)
