"""Read native pixels of any patches and bands, past zarr-python: a patch at a time, each by its shard's checked index.

`bigearth_xr.store.batch` reads whole batches, many times as fast, into memory that is used again.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import ChecksumError, NotStoredError, StoreError
from bigearth_xr.store import schema
from bigearth_xr.store.codec import decode_patch
from bigearth_xr.store.read import Store, read_column, read_state
from bigearth_xr.store.schema import SHARD_PATCHES, PixelArray
from bigearth_xr.store.shard import HOLE, read_index, shard_key

__all__ = ["fill_or_refuse", "named", "on_read", "read_encoded", "read_patches"]

on_read: list[Callable[[str, int], None]] = []
"""Called with the array's name and the row of every patch read; `bigearth_xr.testing.count_reads` listens here."""


_SHOWN = 8
"""Rows that a message writes out."""


def read_patches(
    store: Store, array: PixelArray, rows: NDArray[np.intp], bands: Sequence[int] | slice = slice(None)
) -> NDArray[Any]:
    """Read patches of one pixel array, in the order asked for.

    Parameters
    ----------
    store
        The opened store.
    array
        One of ``store.arrays``.
    rows
        Row numbers, shape ``(patch,)``, not negative, in any order, repeats allowed.
    bands
        Places along the array's band dimension.

    Returns
    -------
    numpy.ndarray
        Shape ``(patch, band, y, x)``, or ``(patch, y, x)`` of the reference map, whose missing maps are 65535;
        native resolution and dtype; on the host.

    Raises
    ------
    NotStoredError
        If a row is absent or quarantined; names the patch.
    ChecksumError
        If bytes are damaged; names file and patch.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.read import open_store
    >>> path = bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3)
    >>> store = open_store(path)
    >>> read_patches(store, store.array("s2_20m"), np.array([2, 0]), [1]).shape
    (2, 1, 60, 60)
    """
    take = bands if array.bands else ...
    shape = np.empty(array.patch_shape, np.bool_)[take].shape
    pixels = np.empty((len(rows), *shape), dtype=array.dtype)
    shards = rows // SHARD_PATCHES
    for shard in np.unique(shards):
        _read_shard(store, array, int(shard), rows, np.flatnonzero(shards == shard), take, pixels)
    return pixels


def _read_shard(
    store: Store,
    array: PixelArray,
    shard: int,
    rows: NDArray[np.intp],
    wanted: NDArray[np.intp],
    take: Any,
    pixels: NDArray[Any],
) -> None:
    """Fill those places of `pixels` whose rows lie in one shard."""
    key = shard_key(array, shard)
    entries = _entries(store, key, rows[wanted])
    there = entries[:, 0] != HOLE
    if not there.all():
        pixels[wanted[~there]] = fill_or_refuse(store, array, rows[wanted[~there]])
    if not there.any():
        return
    chunks, where = store.place.read_ranges(key, entries[there]), f"{store.place}/{key}"
    for place, chunk in zip(wanted[there], chunks, strict=True):
        row = int(rows[place])
        for listener in on_read:
            listener(array.name, row)
        pixels[place] = _decoded(chunk, array, store, row, where)[take]


def _entries(store: Store, key: str, rows: NDArray[np.intp]) -> NDArray[np.uint64]:
    """Offset and length of patches of one shard, shape ``(patch, 2)``."""
    index = read_index(store.place, key)
    return np.full((len(rows), 2), HOLE) if index is None else index[rows % SHARD_PATCHES]


def read_encoded(store: Store, array: PixelArray, row: int) -> bytes | None:
    """Read one patch as it is encoded, checksum included; None where it is absent.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.read import open_store
    >>> store = open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> len(read_encoded(store, store.array("s2_60m"), 0))
    1604
    """
    key = shard_key(array, row // SHARD_PATCHES)
    entries = _entries(store, key, np.array([row]))
    return None if entries[0, 0] == HOLE else next(store.place.read_ranges(key, entries))


def _decoded(chunk: bytes, array: PixelArray, store: Store, row: int, where: str) -> NDArray[Any]:
    """Decode one patch; the name of a damaged one is looked up only then, as it costs a column."""
    try:
        return decode_patch(chunk, array, store.profile, where=where)
    except ChecksumError as error:
        raise named(error, store, [row]) from None


def fill_or_refuse(store: Store, array: PixelArray, rows: NDArray[np.intp]) -> float:
    """Tell what stands for patches that an array does not hold, or refuse them.

    Returns
    -------
    float
        The fill value of the reference map, if all of these patches are stored and on record as without a map.

    Raises
    ------
    NotStoredError
        In every other case; names the first patch, and says how many more there are.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.create import write_states
    >>> from bigearth_xr.store.read import open_store
    >>> store = open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> write_states(store, np.uint8([1, 1, 1]), np.array([True, True, False]))
    >>> fill_or_refuse(store, store.array("reference_map"), np.array([2]))
    65535
    """
    state = read_state(store)
    refused = rows
    if array.name == schema.REFERENCE_MAP:
        refused = rows[(state[rows] != schema.STORED) | read_column(store, "has_reference_map")[rows]]
    if not refused.size:
        return array.fill_value
    row = int(refused[0])
    lost = f"{shard_key(array, row // SHARD_PATCHES)} was lost or changed: verify the store, and repair it"
    raise NotStoredError(
        f"{store.place}: row {row} ({_patch_name(store, row)}) is {schema.STATES[state[row]]}: {array.name} holds no "
        f"pixels of it{_and_more(refused, ', nor of')}; "
        + (lost if state[row] == schema.STORED else "open the store with states=('stored',), or ingest the patch")
    )


def named(error: StoreError, store: Store, rows: Sequence[int] | NDArray[np.intp]) -> StoreError:
    """Put the first of the patches that an error stops before its message, and how many more there are behind it.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.read import open_store
    >>> store = open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> str(named(ChecksumError("s1/c/0 is damaged"), store, [1, 2]))  # doctest: +ELLIPSIS
    'row 1 (S2..._...): s1/c/0 is damaged; and so for 1 more, row 2'
    """
    return type(error)(f"row {rows[0]} ({_patch_name(store, int(rows[0]))}): {error}{_and_more(rows, '; and so for')}")


def _and_more(rows: Sequence[int] | NDArray[np.intp], joint: str) -> str:
    """The rows after the first, of which the first few are written out."""
    more = list(dict.fromkeys(map(int, rows)))[1:]
    if not more:
        return ""
    shown = ", ".join(map(str, more[:_SHOWN])) + (", …" if len(more) > _SHOWN else "")
    return f"{joint} {len(more)} more, row{'s' if len(more) > 1 else ''} {shown}"


def _patch_name(store: Store, row: int) -> str:
    return str(read_column(store, "patch")[row])
