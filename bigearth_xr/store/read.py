"""Read what a store says of its patches, which of them it holds, and their native pixels, a patch at a time.

`bigearth_xr.store.batch` reads whole batches, many times as fast, into memory that is used again.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import ChecksumError, NotStoredError, StoreError
from bigearth_xr.store import schema
from bigearth_xr.store.codec import chunk_key, decode_chunk, remedy_of
from bigearth_xr.store.open import NO_JSON, ROOT_KEY, Document, Root, Store, cached_root
from bigearth_xr.store.schema import REFERENCE_MAP, SHARD_PATCHES, STORED, PixelArray
from bigearth_xr.store.shard import HOLE, read_index, shard_key

__all__ = [
    "each_patch",
    "on_read",
    "read_column",
    "read_complete",
    "read_encoded",
    "read_expected",
    "read_meanings",
    "read_present",
    "read_state",
    "shard_count",
]


def read_state(store: Store) -> NDArray[np.uint8]:
    """Read which rows are absent (0), stored (1) or quarantined (2), shape ``(patch,)``."""
    return read_column(store, "state")


def read_column(store: Store, name: str) -> NDArray[Any]:
    """Read one of the small arrays whole, as stored: codes, not texts; strings as objects."""
    return read_small(store, cached_root(store.location), name)


def read_small(store: Store, root: Root, name: str) -> NDArray[Any]:
    """Read a small array as the root describes it.

    Raises
    ------
    ChecksumError
        If its chunk is damaged, or its metadata contradict the root's; names the file.
    StoreError
        If it is missing.
    """
    member = _member(store, root, name)
    key = chunk_key(name, len(member["shape"]))
    try:
        data = store.location.read(key)
    except (FileNotFoundError, NotADirectoryError):
        if schema.has_checksums(root.format_version) or name in schema.NEVER_FILL:
            raise StoreError(f"{store.location / key}: is missing; the store was damaged: {remedy_of(name)}") from None
        return _filled(member)
    has_checksum = schema.has_checksums(root.format_version)
    where = str(store.location / key)
    return decode_chunk(data, member, where=where, has_checksum=has_checksum, remedy=remedy_of(name))


def read_meanings(store: Store, name: str) -> tuple[str, ...]:
    """Read the texts that a column's codes stand for, by code."""
    member = _member(store, cached_root(store.location), name)
    return tuple(member["attributes"]["flag_meanings"].split(" "))


def _member(store: Store, root: Root, name: str) -> Document:
    """Metadata of a small array. Those of version 1 have no digest: there the array's own must say the same."""
    remedy = remedy_of(name)
    if name not in root.members:
        raise StoreError(f"{store.location / ROOT_KEY}: does not tell of {name}; the store was damaged: {remedy}")
    member = root.members[name]
    if schema.has_checksums(root.format_version):
        return member
    where = f"{store.location / name}/zarr.json"
    try:
        own = json.loads(store.location.read(f"{name}/zarr.json"))
        differing = [key for key in _COMPARED if own[key] != member[key]]
    except FileNotFoundError:
        raise StoreError(f"{where}: is missing; the store was damaged: {remedy}") from None
    except (KeyError, TypeError, *NO_JSON) as error:
        raise ChecksumError(f"{where}: is damaged ({error!r}): {remedy}") from None
    if differing:
        raise ChecksumError(
            f"{where}: has another {', '.join(differing)} than {store.location / ROOT_KEY} says; one of them was "
            f"damaged: {remedy}"
        )
    return member


_COMPARED = ("shape", "data_type", "attributes", "fill_value")


def _filled(member: Document) -> NDArray[Any]:
    """What an array of version 1 holds that has no chunk."""
    is_text = member["data_type"] == "string"
    return np.full(member["shape"], member["fill_value"], object if is_text else np.dtype(member["data_type"]))


def read_expected(store: Store, array: PixelArray) -> NDArray[np.bool_]:
    """Read which rows an array should hold: those recorded as stored, of the reference map those that have one.

    Returns
    -------
    numpy.ndarray
        Shape ``(patch,)``.
    """
    expected: NDArray[np.bool_] = read_state(store) == STORED
    return expected & read_column(store, "has_reference_map") if array.name == REFERENCE_MAP else expected


def read_present(store: Store, array: PixelArray) -> NDArray[np.bool_]:
    """Read which rows the shards of an array hold, by their indexes.

    Returns
    -------
    numpy.ndarray
        Shape ``(patch,)``; False for every row of a shard that is not there.

    Raises
    ------
    ChecksumError
        If an index is damaged.
    """
    present = np.zeros((shard_count(store), SHARD_PATCHES), bool)
    for shard, positions in enumerate(present):
        index = read_index(store.location, shard_key(array, shard))
        if index is not None:
            positions[:] = index[:, 0] != HOLE
    return present.ravel()[: store.rows]


def read_complete(store: Store) -> NDArray[np.bool_]:
    """Read which rows are stored whole; those of a shard that was deleted are not.

    Returns
    -------
    numpy.ndarray
        Shape ``(patch,)``.
    """
    complete: NDArray[np.bool_] = read_state(store) == STORED
    for array in store.arrays:
        complete &= read_present(store, array) | ~read_expected(store, array)
    return complete


def shard_count(store: Store) -> int:
    """Shards of every pixel array of a store."""
    return -(-store.rows // SHARD_PATCHES)


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
    """
    take = bands if array.bands else ...
    shape = np.empty(array.patch_shape, np.bool_)[take].shape
    pixels = np.empty((len(rows), *shape), dtype=array.dtype)

    def put(position: int, patch: NDArray[Any]) -> None:
        pixels[position] = patch[take]

    each_patch(store, array, rows, put)
    return pixels


def each_patch(
    store: Store, array: PixelArray, rows: NDArray[np.intp], put: Callable[[int, NDArray[Any]], None]
) -> None:
    """Read patches of one pixel array, each once, and hand them on one by one, so that no more than one is held.

    Parameters
    ----------
    store, array, rows
        As `read_patches` takes them.
    put
        Called with the position of a row in ``rows`` and its pixels, of the array's patch shape and dtype, read-only,
        for each position once and in no particular order.

    Raises
    ------
    NotStoredError, ChecksumError
        As `read_patches` raises them.
    """
    unique, inverse = np.unique(rows, return_inverse=True)
    positions = np.argsort(inverse, kind="stable").tolist()
    ends = [0, *np.cumsum(np.bincount(inverse)).tolist()]
    shards = unique // SHARD_PATCHES
    for shard in np.unique(shards).tolist():
        wanted = np.flatnonzero(shards == shard)
        for nth, patch in _of_shard(store, array, shard, unique, wanted):
            for position in positions[ends[nth] : ends[nth + 1]]:
                put(position, patch)


def _of_shard(
    store: Store, array: PixelArray, shard: int, rows: NDArray[np.intp], wanted: NDArray[np.intp]
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Those rows wanted of one shard: the position of each among all rows, and its pixels; missing maps come first."""
    key = shard_key(array, shard)
    entries = _entries(store, key, rows[wanted])
    present = entries[:, 0] != HOLE
    if not present.all():
        fill = np.array(fill_or_refuse(store, array, rows[wanted[~present]]), array.dtype)
        yield from ((nth, np.broadcast_to(fill, array.patch_shape)) for nth in wanted[~present].tolist())
    if not present.any():
        return
    chunks, where = store.location.read_ranges(key, entries[present]), f"{store.location}/{key}"
    for nth, row, chunk in zip(wanted[present].tolist(), rows[wanted[present]].tolist(), chunks, strict=True):
        for listener in on_read:
            listener(array.name, row)
        yield nth, _decoded(chunk, array, store, row, where)


def _entries(store: Store, key: str, rows: NDArray[np.intp]) -> NDArray[np.uint64]:
    """Offset and length of patches of one shard, shape ``(patch, 2)``."""
    index = read_index(store.location, key)
    return np.full((len(rows), 2), HOLE) if index is None else index[rows % SHARD_PATCHES]


def read_encoded(store: Store, array: PixelArray, row: int) -> bytes | None:
    """Read one patch as it is encoded, checksum included; None where it is absent."""
    key = shard_key(array, row // SHARD_PATCHES)
    entries = _entries(store, key, np.array([row]))
    return None if entries[0, 0] == HOLE else next(store.location.read_ranges(key, entries))


def _decoded(chunk: bytes, array: PixelArray, store: Store, row: int, where: str) -> NDArray[Any]:
    """Decode one patch; the name of a damaged one is looked up only then, as it costs a column."""
    try:
        return store.codec.decode(chunk, array, where=where)
    except ChecksumError as error:
        raise with_rows(error, store, [row]) from None


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
        f"{store.location}: row {row} ({_patch_name(store, row)}) is {schema.STATES[state[row]]}: {array.name} holds "
        f"no pixels of it{_and_more(refused, ', nor of')}; "
        + (lost if state[row] == schema.STORED else "open the store with states=('stored',), or ingest the patch")
    )


def with_rows(error: StoreError, store: Store, rows: Sequence[int] | NDArray[np.intp]) -> StoreError:
    """Put the first of the patches that an error stops before its message, and how many more there are behind it.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.open import open_store
    >>> store = open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> str(with_rows(ChecksumError("s1/c/0 is damaged"), store, [1, 2]))  # doctest: +ELLIPSIS
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
