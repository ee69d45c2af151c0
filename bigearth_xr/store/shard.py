"""One shard file: where it lies, and its index of where each patch lies in it."""

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import StoreError
from bigearth_xr.store.codec import CRC_BYTES, checked, crc32c
from bigearth_xr.store.place import Found, Place
from bigearth_xr.store.schema import SHARD_PATCHES, PixelArray

__all__ = ["HOLE", "INDEX_BYTES", "decode_index", "encode_index", "read_index", "shard_key", "shard_path"]

HOLE = np.iinfo(np.uint64).max
"""Offset and length in the index of a patch that is absent, as Zarr defines it."""

INDEX_BYTES = SHARD_PATCHES * 16 + CRC_BYTES


def shard_key(array: PixelArray, shard: int) -> str:
    """Name a shard: Zarr's default chunk key, sharded along `patch` only.

    Examples
    --------
    >>> from bigearth_xr.store.schema import pixel_arrays
    >>> shard_key(*pixel_arrays(["VV"], reference_map=False), 7)
    's1/c/7/0/0/0'
    """
    return "/".join([array.name, "c", str(shard), *("0" for _ in array.patch_shape)])


def shard_path(store: Path, array: PixelArray, shard: int) -> Path:
    """Where a shard lies in a folder.

    Examples
    --------
    >>> from bigearth_xr.store.schema import pixel_arrays
    >>> shard_path(Path("ben.zarr"), *pixel_arrays(["VV"], reference_map=False), 7).as_posix()
    'ben.zarr/s1/c/7/0/0/0'
    """
    return store / shard_key(array, shard)


def encode_index(index: NDArray[np.uint64]) -> bytes:
    """Encode a shard's index, shape ``(1024, 2)``, as it stands at the end of the file.

    Examples
    --------
    >>> len(encode_index(np.full((1024, 2), HOLE))) == INDEX_BYTES
    True
    """
    entries = index.astype("<u8").tobytes()
    return entries + crc32c(entries)


def read_index(place: Place, key: str) -> NDArray[np.uint64] | None:
    """Read and check a shard's index.

    Parameters
    ----------
    place
        Where the store lies.
    key
        The shard, by `shard_key`.

    Returns
    -------
    numpy.ndarray or None
        Shape ``(1024, 2)``: offset and length in bytes of each patch, `HOLE` where absent; None without a shard.

    Raises
    ------
    ChecksumError
        If the index is damaged.
    StoreError
        If the shard is shorter than its index, or than the index says.

    Examples
    --------
    >>> from bigearth_xr.store.address import place_of
    >>> read_index(place_of(getfixture("tmp_path")), "s1/c/7/0/0/0") is None
    True
    """
    found = place.find(key)
    return None if found is None else _read_index(place, key, found)


# A shard's index is 16 KiB: a whole v1 store has 2,308 of them, 37 MiB, and stays cached.
@lru_cache(maxsize=4096)
def _read_index(place: Place, key: str, found: Found) -> NDArray[np.uint64]:
    there = np.array([[found.size - INDEX_BYTES, INDEX_BYTES]])
    tail = b"".join(place.read_ranges(key, there)) if found.size >= INDEX_BYTES else b""
    return decode_index(tail, found.size, where=str(place / key))


def decode_index(tail: bytes, size: int, *, where: str) -> NDArray[np.uint64]:
    """Decode and check the index of a shard.

    Parameters
    ----------
    tail
        The last `INDEX_BYTES` of the shard; anything of one that is shorter.
    size
        Bytes of the whole shard.
    where
        What to call it.

    Returns
    -------
    numpy.ndarray
        As `read_index` has it.

    Raises
    ------
    ChecksumError
        If the index is damaged.
    StoreError
        If the shard is shorter than its index, or than the index says.

    Examples
    --------
    >>> tail = encode_index(np.full((1024, 2), HOLE))
    >>> decode_index(tail, len(tail), where="a shard").shape
    (1024, 2)
    """
    if size < INDEX_BYTES:
        raise StoreError(
            f"{where}: {size} bytes, too short for a shard index of {INDEX_BYTES}; the file was cut: delete it "
            "and ingest the archive again into the same store"
        )
    index = np.frombuffer(checked(tail, where=f"{where}: index"), dtype="<u8").reshape(SHARD_PATCHES, 2)
    last = int(index[index[:, 0] != HOLE].sum(axis=1).max(initial=0))
    if last > size:
        raise StoreError(
            f"{where}: {size} bytes, its index speaks of {last}; the file was cut: delete it and ingest the "
            "archive again into the same store"
        )
    return index
