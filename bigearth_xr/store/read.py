"""Open a store and read native pixels of any patches and bands, past zarr-python.

Opening reads one JSON file. Pixels are read a patch at a time, each through the checked index of its shard.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import ChecksumError, FormatError, NotStoredError, StoreError, StoreNotFoundError
from bigearth_xr.labels import Release
from bigearth_xr.store import schema
from bigearth_xr.store.codec import decode_patch
from bigearth_xr.store.schema import SHARD_PATCHES, PixelArray, Profile
from bigearth_xr.store.shard import HOLE, read_index, shard_path

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

    path: Path
    """The store's folder."""

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


def open_store(path: str | os.PathLike[str]) -> Store:
    """Read a store's metadata.

    Raises
    ------
    StoreNotFoundError
        If there is no store.
    FormatError
        If it is a Zarr store of another kind, or of a version that this package does not read.

    Examples
    --------
    >>> open_store("nowhere.zarr")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    bigearth_xr.errors.StoreNotFoundError: nowhere.zarr: no store here; check the path, ...
    """
    folder = Path(path)
    document = _read_metadata(folder)
    ours = document["attributes"]["bigearth"]
    members: Mapping[str, Any] = document["consolidated_metadata"]["metadata"]
    has_map = schema.REFERENCE_MAP in members
    arrays = schema.pixel_arrays(ours["bands"], reference_map=has_map)
    return Store(
        path=folder,
        uuid=ours["uuid"],
        release=ours["release"],
        profile=ours["profile"],
        rows=members["patch"]["shape"][0],
        arrays=arrays,
        columns=frozenset(members) - {array.name for array in arrays},
    )


def _read_metadata(folder: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads((folder / "zarr.json").read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise StoreNotFoundError(
            f"{folder}: no store here; check the path, or make one with: bigearth ingest ARCHIVE {folder}"
        ) from None
    except json.JSONDecodeError as error:
        raise FormatError(f"{folder}/zarr.json: no JSON ({error}); the store was cut short: ingest again") from None
    ours = document.get("attributes", {}).get("bigearth", {})
    if ours.get("format") != schema.FORMAT:
        raise FormatError(
            f"{folder}: a Zarr store, but not one of bigearth_xr (no 'bigearth' attribute of format "
            f"{schema.FORMAT!r}); open it with engine='zarr'"
        )
    if ours["format_version"] != schema.FORMAT_VERSION:
        raise FormatError(
            f"{folder}: format version {ours['format_version']}, this package reads {schema.FORMAT_VERSION}; "
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
    path = shard_path(store.path, array, shard)
    index = read_index(path)
    entries = None if index is None else index[rows[wanted] % SHARD_PATCHES]
    file = None if entries is None else os.open(path, os.O_RDONLY)
    try:
        for i, place in enumerate(wanted):
            row = int(rows[place])
            if file is None or entries is None or entries[i, 0] == HOLE:
                pixels[place] = _absent(store, array, row)
                continue
            for listener in on_read:
                listener(array.name, row)
            offset, length = (int(number) for number in entries[i])
            chunk = os.pread(file, length, offset)
            pixels[place] = _decoded(chunk, array, store, path, row)[take]
    finally:
        if file is not None:
            os.close(file)


def read_encoded(store: Store, array: PixelArray, row: int) -> bytes | None:
    """Read one patch as it is encoded, checksum included; None where it is absent.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> store = open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> len(read_encoded(store, store.array("s2_60m"), 0))
    1604
    """
    path = shard_path(store.path, array, row // SHARD_PATCHES)
    index = read_index(path)
    offset, length = (HOLE, HOLE) if index is None else (int(n) for n in index[row % SHARD_PATCHES])
    if offset == HOLE:
        return None
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(length)


def _decoded(chunk: bytes, array: PixelArray, store: Store, path: Path, row: int) -> NDArray[Any]:
    """Decode one patch; the name of a damaged one is looked up only then, as it costs a column."""
    try:
        return decode_patch(chunk, array, store.profile, where=str(path))
    except ChecksumError as error:
        raise ChecksumError(f"row {row} ({_patch_name(store, row)}): {error}") from None


def _absent(store: Store, array: PixelArray, row: int) -> float:
    """The fill value of a reference map that a stored patch lacks; anything else absent is refused."""
    state = int(read_state(store)[row])
    if array.name == schema.REFERENCE_MAP and state == schema.STORED:
        return array.fill_value
    raise NotStoredError(
        f"{store.path}: row {row} ({_patch_name(store, row)}) is {schema.STATES[state]}: {array.name} holds no "
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
        array = zarr.open_array(store.path / name, mode="r")
    except FileNotFoundError:
        raise StoreError(
            f"{store.path / name}: is missing; the store was damaged: ingest the archive again into another place"
        ) from None
    values = np.asarray(array[...])
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
    document = json.loads((store.path / name / "zarr.json").read_bytes())
    return tuple(document["attributes"]["flag_meanings"].split(" "))
