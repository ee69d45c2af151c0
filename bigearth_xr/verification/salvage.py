"""Find the patches of a shard, by its index; where that is damaged, by what the format promises of their places."""

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import StoreAccessError, StoreError
from bigearth_xr.store.codec import CRC_BYTES, crc32c
from bigearth_xr.store.open import Store
from bigearth_xr.store.schema import PixelArray
from bigearth_xr.store.shard import HOLE, INDEX_BYTES, read_index, shard_key

__all__ = ["locate_patches", "shard_bytes"]

_BLOSC_HEADER = 16


def shard_bytes(array: PixelArray, patches: int) -> int:
    """Count the bytes of a shard of profile `fast` that has room for this many patches.

    Examples
    --------
    >>> from bigearth_xr.store.schema import pixel_arrays
    >>> shard_bytes(*pixel_arrays(["B01"], reference_map=False), 2)
    17996
    """
    return patches * (array.patch_bytes + CRC_BYTES) + INDEX_BYTES


def locate_patches(
    store: Store, array: PixelArray, shard: int, due: NDArray[np.bool_]
) -> tuple[NDArray[np.uint64], str | None]:
    """Tell where each patch of a shard lies, as far as that can be known.

    Parameters
    ----------
    store
        The store.
    array
        One of its pixel arrays.
    shard
        Number of the shard.
    due
        Which patches should be there, shape ``(patch,)``, of this shard alone.

    Returns
    -------
    tuple
        Offset and length of each, shape ``(patch, 2)``, `HOLE` where there is none; and what is wrong with the index,
        None if nothing is. Patches found without an index are whole, or were due.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.open import open_store
    >>> store = open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=2))
    >>> locate_patches(store, store.array("s2_60m"), 0, np.ones(2, bool))[0].tolist()
    [[0, 1604], [1604, 1604]]
    """
    key = shard_key(array, shard)
    try:
        index = read_index(store.location, key)
    except StoreAccessError:
        raise
    except StoreError as error:
        find = _at_fixed_offsets if store.profile == "fast" else _one_after_the_other
        return find(store, array, key, due), str(error)
    return (_nowhere(due) if index is None else index[: len(due)]), None


def _nowhere(due: NDArray[np.bool_]) -> NDArray[np.uint64]:
    return np.full((len(due), 2), HOLE)


def _at_fixed_offsets(store: Store, array: PixelArray, key: str, due: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Patch ``i`` lies at ``i`` × its length: what bears its checksum is one; what was due is kept too."""
    index = _nowhere(due)
    found = store.location.find(key)
    length = array.patch_bytes + CRC_BYTES
    whole = min(len(due), 0 if found is None else found.size // length)
    ranges = np.array([[place * length, length] for place in range(whole)], np.uint64).reshape(-1, 2)
    for place, chunk in enumerate(store.location.read_ranges(key, ranges)):
        if due[place] or _bears_checksum(chunk):
            index[place] = ranges[place]
    return index


def _one_after_the_other(store: Store, array: PixelArray, key: str, due: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Compressed patches say their lengths and follow in the order of rows: if all are there, they are those due."""
    index = _nowhere(due)
    data = store.location.read(key)
    entries: list[tuple[int, int]] = []
    start = 0
    while start + _BLOSC_HEADER <= len(data):
        pixels, _, compressed = np.frombuffer(data, "<u4", count=3, offset=start + 4).tolist()
        chunk = data[start : start + compressed + CRC_BYTES]
        if pixels != array.patch_bytes or not _bears_checksum(chunk):
            break
        entries.append((start, len(chunk)))
        start += len(chunk)
    if len(entries) == due.sum():
        index[due] = entries
    return index


def _bears_checksum(chunk: bytes) -> bool:
    return crc32c(chunk[:-CRC_BYTES]) == chunk[-CRC_BYTES:]
