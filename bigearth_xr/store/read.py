"""Open a store, and read what it says of its patches; `bigearth_xr.store.patches` reads their pixels.

Opening reads one JSON file.
"""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import ChecksumError, StoreError
from bigearth_xr.labels import Release
from bigearth_xr.store import schema
from bigearth_xr.store.address import Address, StorageOptions, place_of
from bigearth_xr.store.chunk import chunk_key, decode_chunk, remedy_of
from bigearth_xr.store.metadata import NO_JSON, ROOT_KEY, Document, Root, damaged_root, known_root, read_root
from bigearth_xr.store.place import Place
from bigearth_xr.store.schema import PixelArray, Profile

__all__ = [
    "Store",
    "open_store",
    "read_column",
    "read_meanings",
    "read_small",
    "read_state",
    "store_of",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """An opened store: what its metadata says. Cheap to pickle; holds no file open."""

    place: Place
    """The folder, or the prefix of object storage, that it is."""

    format_version: int
    """Version of the format that it was written in."""

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
    ChecksumError
        If its metadata are not those that were written.

    Examples
    --------
    >>> open_store("nowhere.zarr")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    bigearth_xr.errors.StoreNotFoundError: ...nowhere.zarr: no store here; check the path, ...
    """
    place = place_of(address, storage_options)
    return store_of(place, read_root(place))


def store_of(place: Place, root: Root) -> Store:
    """Tell what store it is whose root has been read.

    Raises
    ------
    FormatError
        If the root contradicts the format: it was damaged.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> place = place_of(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> store_of(place, read_root(place)).rows
    3
    """
    try:
        ours, members = root.ours, root.members
        arrays = schema.pixel_arrays(ours["bands"], reference_map=schema.REFERENCE_MAP in members)
        return Store(
            place=place,
            format_version=root.format_version,
            uuid=ours["uuid"],
            release=ours["release"],
            profile=ours["profile"],
            rows=members["patch"]["shape"][0],
            arrays=arrays,
            columns=frozenset(members) - {array.name for array in arrays},
        )
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise damaged_root(str(place / ROOT_KEY), error) from None


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
    return read_small(store, known_root(store.place), name)


def read_small(store: Store, root: Root, name: str) -> NDArray[Any]:
    """Read a small array as the root describes it.

    Raises
    ------
    ChecksumError
        If its chunk is damaged, or its metadata contradict the root's; names the file.
    StoreError
        If it is missing.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> path = bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3)
    >>> store = open_store(path)
    >>> read_small(store, read_root(store.place), "band_60m").tolist()
    ['B01', 'B09']
    """
    member = _member(store, root, name)
    key = chunk_key(name, len(member["shape"]))
    try:
        data = store.place.read(key)
    except (FileNotFoundError, NotADirectoryError):
        if schema.has_checksums(root.format_version) or name in schema.NEVER_FILL:
            raise StoreError(f"{store.place / key}: is missing; the store was damaged: {remedy_of(name)}") from None
        return _filled(member)
    has_checksum = schema.has_checksums(root.format_version)
    where = str(store.place / key)
    return decode_chunk(data, member, where=where, has_checksum=has_checksum, remedy=remedy_of(name))


def read_meanings(store: Store, name: str) -> tuple[str, ...]:
    """Read the texts that a column's codes stand for, by code.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> path = bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3)
    >>> read_meanings(open_store(path), "split")
    ('train', 'validation', 'test')
    """
    member = _member(store, known_root(store.place), name)
    return tuple(member["attributes"]["flag_meanings"].split(" "))


def _member(store: Store, root: Root, name: str) -> Document:
    """Metadata of a small array. Those of version 1 have no digest: there the array's own must say the same."""
    remedy = remedy_of(name)
    if name not in root.members:
        raise StoreError(f"{store.place / ROOT_KEY}: does not tell of {name}; the store was damaged: {remedy}")
    member = root.members[name]
    if schema.has_checksums(root.format_version):
        return member
    where = f"{store.place / name}/zarr.json"
    try:
        own = json.loads(store.place.read(f"{name}/zarr.json"))
        differing = [key for key in _COMPARED if own[key] != member[key]]
    except FileNotFoundError:
        raise StoreError(f"{where}: is missing; the store was damaged: {remedy}") from None
    except (KeyError, TypeError, *NO_JSON) as error:
        raise ChecksumError(f"{where}: is damaged ({error!r}): {remedy}") from None
    if differing:
        raise ChecksumError(
            f"{where}: has another {', '.join(differing)} than {store.place / ROOT_KEY} says; one of them was damaged: "
            f"{remedy}"
        )
    return member


_COMPARED = ("shape", "data_type", "attributes", "fill_value")


def _filled(member: Document) -> NDArray[Any]:
    """What an array of version 1 holds that has no chunk."""
    is_text = member["data_type"] == "string"
    return np.full(member["shape"], member["fill_value"], object if is_text else np.dtype(member["data_type"]))
