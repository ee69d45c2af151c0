"""Which patches an array of a store should hold, and which it does hold."""

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.store.read import Store, read_column, read_state
from bigearth_xr.store.schema import REFERENCE_MAP, SHARD_PATCHES, STORED, PixelArray
from bigearth_xr.store.shard import HOLE, read_index, shard_key

__all__ = ["read_complete", "read_due", "read_held", "shard_count"]


def read_due(store: Store, array: PixelArray) -> NDArray[np.bool_]:
    """Read which rows an array should hold: those recorded as stored, of the reference map those that have one.

    Returns
    -------
    numpy.ndarray
        Shape ``(patch,)``.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.read import open_store
    >>> store = open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=2))
    >>> read_due(store, store.array("s1"))
    array([ True,  True])
    """
    due: NDArray[np.bool_] = read_state(store) == STORED
    return due & read_column(store, "has_reference_map") if array.name == REFERENCE_MAP else due


def read_held(store: Store, array: PixelArray) -> NDArray[np.bool_]:
    """Read which rows the shards of an array hold, by their indexes.

    Returns
    -------
    numpy.ndarray
        Shape ``(patch,)``; False for every row of a shard that is not there.

    Raises
    ------
    ChecksumError
        If an index is damaged.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.read import open_store
    >>> store = open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=2))
    >>> read_held(store, store.array("s1"))
    array([ True,  True])
    """
    held = np.zeros((shard_count(store), SHARD_PATCHES), bool)
    for shard, places in enumerate(held):
        index = read_index(store.place, shard_key(array, shard))
        if index is not None:
            places[:] = index[:, 0] != HOLE
    return held.ravel()[: store.rows]


def read_complete(store: Store) -> NDArray[np.bool_]:
    """Read which rows are stored whole; those of a shard that somebody deleted are not.

    Returns
    -------
    numpy.ndarray
        Shape ``(patch,)``.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.read import open_store
    >>> read_complete(open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=2)))
    array([ True,  True])
    """
    complete: NDArray[np.bool_] = read_state(store) == STORED
    for array in store.arrays:
        complete &= read_held(store, array) | ~read_due(store, array)
    return complete


def shard_count(store: Store) -> int:
    """Shards of every pixel array of a store.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.read import open_store
    >>> shard_count(open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3)))
    1
    """
    return -(-store.rows // SHARD_PATCHES)
