"""Open a store and read native pixels of any patches and bands, past zarr-python.

Opening reads one JSON file. Pixels are read a patch at a time, each through the checked index of its shard.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import ChecksumError, FormatError, NotStoredError, StoreError, StoreNotFoundError
from bigearth_xr.labels import Release
from bigearth_xr.store import schema
from bigearth_xr.store.address import Address, StorageOptions, place_of
from bigearth_xr.store.codec import decode_patch
from bigearth_xr.store.place import Place
from bigearth_xr.store.schema import SHARD_PATCHES, PixelArray, Profile
from bigearth_xr.store.shard import HOLE, read_index, shard_key

__all__ = [
    "Store",
    "open_store",
    "read_column",
    "read_encoded",
    "read_meanings",
    "read_patches",
    "read_state",
]

on_read: list[Callable[[str, int], None]] = []
"""Called with the array's name and the row of every patch read; `bigearth_xr.testing.count_reads` listens here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """An opened store: what its metadata says. Cheap to pickle; holds no file open."""

    place: Place
    """The folder, or the prefix of object storage, that it is."""

    uuid: str
    """Identity of the content: format version, profile, arrays and table."""

    release: Release
    """Release of the archive that it was ingested from."""

    profile: Profile
    """How pixels are encoded."""

    rows: int
    """Patches along the first dimension, stored or not."""

    arrays: tuple[PixelArray, ...]
    """The pixel arrays that exist."""

    columns: frozenset[str]
    """Names of every other array."""

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of all bands and polarizations in the store, in stored order."""
        return tuple(band for array in self.arrays for band in array.bands)

    def array(self, name: str) -> PixelArray:
        """The pixel array of this name, which must exist."""
        return next(array for array in self.arrays if array.name == name)


def open_store(address: Address, storage_options: StorageOptions | None = None) -> Store:
    """Read a store's metadata; `place_of` says what an address and its options may be.

    Raises
    ------
    StoreNotFoundError
        If there is no store.
    StoreAccessError
        If object storage refuses or does not answer.
    FormatError
        If it is a Zarr store of another kind, or of a version that this package does not read.

    Examples
    --------
    >>> open_store("nowhere.zarr")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    bigearth_xr.errors.StoreNotFoundError: nowhere.zarr: no store here; check the path, ...
    """
    place = place_of(address, storage_options)
    document = _read_metadata(place)
    ours = document["attributes"]["bigearth"]
    members: Mapping[str, Any] = document["consolidated_metadata"]["metadata"]
    has_map = schema.REFERENCE_MAP in members
    arrays = schema.pixel_arrays(ours["bands"], reference_map=has_map)
    return Store(
        place=place,
        uuid=ours["uuid"],
        release=ours["release"],
        profile=ours["profile"],
        rows=members["patch"]["shape"][0],
        arrays=arrays,
        columns=frozenset(members) - {array.name for array in arrays},
    )


def _read_metadata(place: Place) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(place.read("zarr.json"))
    except (FileNotFoundError, NotADirectoryError):
        raise StoreNotFoundError(
            f"{place}: no store here; check the path, or make one with: bigearth ingest ARCHIVE {place}"
        ) from None
    except json.JSONDecodeError as error:
        raise FormatError(f"{place / 'zarr.json'}: no JSON ({error}); the store was cut short: ingest again") from None
    ours = document.get("attributes", {}).get("bigearth", {})
    if ours.get("format") != schema.FORMAT:
        raise FormatError(
            f"{place}: a Zarr store, but not one of bigearth_xr (no 'bigearth' attribute of format "
            f"{schema.FORMAT!r}); open it with engine='zarr'"
        )
    if ours["format_version"] != schema.FORMAT_VERSION:
        raise FormatError(
            f"{place}: format version {ours['format_version']}, this package reads {schema.FORMAT_VERSION}; "
            "update bigearth-xr, or ingest the archive again"
        )
    return document


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
        pixels[wanted[~there]] = _absent(store, array, rows[wanted[~there]])
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
        raise ChecksumError(f"row {row} ({_patch_name(store, row)}): {error}") from None


def _absent(store: Store, array: PixelArray, rows: NDArray[np.intp]) -> float:
    """The fill value of reference maps that stored patches lack; anything else absent is refused."""
    state = read_state(store)
    refused = rows[state[rows] != schema.STORED] if array.name == schema.REFERENCE_MAP else rows
    if not refused.size:
        return array.fill_value
    row = int(refused[0])
    raise NotStoredError(
        f"{store.place}: row {row} ({_patch_name(store, row)}) is {schema.STATES[state[row]]}: {array.name} holds no "
        "pixels of it; open the store with states=('stored',), or ingest the patch"
    )


def _patch_name(store: Store, row: int) -> str:
    return str(read_column(store, "patch")[row])


def read_state(store: Store) -> NDArray[np.uint8]:
    """Read which rows are absent (0), stored (1) or quarantined (2), shape ``(patch,)``.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> path = bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3)
    >>> read_state(open_store(path))
    array([1, 1, 1], dtype=uint8)
    """
    return read_column(store, "state")


def read_column(store: Store, name: str) -> NDArray[Any]:
    """Read one of the small arrays whole, as stored: codes, not texts; strings as objects.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> path = bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3)
    >>> read_column(open_store(path), "tile_row").shape
    (3,)
    """
    import zarr

    try:
        with store.place.explaining(name):
            values = np.asarray(zarr.open_array(store.place.zarr(), path=name, mode="r", zarr_format=3)[...])
    except FileNotFoundError:
        raise StoreError(
            f"{store.place / name}: is missing; the store was damaged: ingest the archive again into another place"
        ) from None
    # As objects: an index of NumPy's own strings takes 115 ms at every lookup among 590,326.
    return values.astype(object) if values.dtype.kind == "T" else values


def read_meanings(store: Store, name: str) -> tuple[str, ...]:
    """Read the texts that a column's codes stand for, by code.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> path = bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3)
    >>> read_meanings(open_store(path), "split")
    ('train', 'validation', 'test')
    """
    document = json.loads(store.place.read(f"{name}/zarr.json"))
    return tuple(document["attributes"]["flag_meanings"].split(" "))
