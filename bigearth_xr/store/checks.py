"""Verify a store: every checksum, every index against the states, every column against the table."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bigearth_xr import table
from bigearth_xr.errors import BigEarthError, StoreError
from bigearth_xr.store import schema
from bigearth_xr.store.address import Address, StorageOptions
from bigearth_xr.store.codec import CRC_BYTES, decode_patch
from bigearth_xr.store.columns import encode_column
from bigearth_xr.store.create import read_table, table_key
from bigearth_xr.store.layout import store_uuid
from bigearth_xr.store.place import Place
from bigearth_xr.store.presence import read_due, shard_count
from bigearth_xr.store.read import Store, open_store, read_column, read_state
from bigearth_xr.store.schema import SHARD_PATCHES, PixelArray
from bigearth_xr.store.shard import HOLE, read_index, shard_key

__all__ = ["VerifyReport", "verify"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """What a check of a store found."""

    store: Place
    """Where the store lies."""

    rows: int
    """Rows of the store."""

    stored: int
    """Rows whose pixels should be there."""

    absent: int
    """Rows without pixels yet."""

    quarantined: int
    """Rows whose patch was refused at ingest."""

    checked: int
    """Patches decoded and compared with their checksums, counted once an array."""

    failures: tuple[str, ...]
    """What is wrong, one line each."""

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong; a sound store may still lack patches."""
        return not self.failures

    def summary(self) -> str:
        """Say the outcome in a few lines."""
        rows = f"{self.stored:,} stored, {self.absent:,} absent, {self.quarantined:,} quarantined"
        outcome = "sound" if self.sound else f"{len(self.failures):,} failures"
        return f"{self.store}: {outcome}\n{self.rows:,} rows: {rows}; {self.checked:,} checksums verified"


def verify(
    address: Address, advance: Callable[[], None] = lambda: None, *, storage_options: StorageOptions | None = None
) -> VerifyReport:
    """Check a whole store against its own checksums, states and table.

    Parameters
    ----------
    address
        The store's folder, or its address on object storage.
    advance
        Called once for every shard of every array, for a progress bar.
    storage_options
        As for `bigearth_xr.open`.

    Returns
    -------
    VerifyReport
        All failures together; the check does not stop at the first.

    Raises
    ------
    StoreNotFoundError, FormatError
        If there is no store of ours to check.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> report = verify(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> report.sound, report.checked
    (True, 15)
    """
    store = open_store(address, storage_options)
    failures = list(_check_table(store))
    state = read_state(store)
    checked = 0
    for array in store.arrays:
        due = read_due(store, array)
        for shard in range(shard_count(store)):
            found, failed = _check_shard(store, array, shard, due)
            checked += found
            failures += failed
            advance()
    counts = np.bincount(state, minlength=len(schema.STATES))
    return VerifyReport(
        store=store.place,
        rows=store.rows,
        stored=int(counts[schema.STORED]),
        absent=int(counts[schema.ABSENT]),
        quarantined=int(counts[schema.QUARANTINED]),
        checked=checked,
        failures=tuple(failures),
    )


def _check_table(store: Store) -> Iterator[str]:
    """The table beside the store is the one that it was made of, and the store repeats it."""
    path = store.place.parent / table_key(store.place)
    try:
        rows = read_table(store.place)
    except (OSError, pa.ArrowException, BigEarthError) as error:
        yield f"{path}: the table cannot be read ({error}); build it again from the archive's metadata"
        return
    if store_uuid(rows, profile=store.profile, arrays=store.arrays) != store.uuid:
        yield f"{path}: is not the table that {store.place} was made of; put that table back"
        return
    for column in schema.COLUMNS:
        expected, _ = encode_column(column, rows[column.name].combine_chunks())
        yield from _compare_column(store, column.name, expected)
    for name in sorted(store.columns & {"labels_19", "labels_43"}):
        yield from _compare_column(
            store, name, table.multi_hot(rows[name].combine_chunks(), 19 if name == "labels_19" else 43)
        )


def _compare_column(store: Store, name: str, expected: NDArray[Any]) -> Iterator[str]:
    try:
        same = np.array_equal(read_column(store, name), expected)
    except StoreError as error:
        yield str(error)
        return
    if not same:
        yield f"{store.place / name}: differs from the table; ingest the archive anew"


def _check_shard(store: Store, array: PixelArray, shard: int, due: NDArray[np.bool_]) -> tuple[int, list[str]]:
    """Decode every patch of a shard; tell how many, and what is wrong."""
    key = shard_key(array, shard)
    path = store.place / key
    first = shard * SHARD_PATCHES
    due = due[first : first + SHARD_PATCHES]
    try:
        index = read_index(store.place, key)
    except BigEarthError as error:
        return 0, [str(error)]
    there = np.zeros(len(due), bool) if index is None else index[: len(due), 0] != HOLE
    failures = [f"{path}: {line}" for line in _compare(due, there)]
    places = np.flatnonzero(there)
    chunks = () if index is None else store.place.read_ranges(key, index[places])
    for place, chunk in zip(places, chunks, strict=True):
        try:
            decode_patch(chunk, array, store.profile, where=f"{path}: row {first + place}")
        except BigEarthError as error:
            failures.append(str(error))
    if index is not None and store.profile == "fast":
        fixed = places * (array.patch_bytes + CRC_BYTES)
        if not np.array_equal(index[places, 0], fixed):
            failures.append(f"{path}: patches are not at fixed offsets, as the profile 'fast' promises")
    return int(there.sum()), failures


def _compare(due: NDArray[np.bool_], there: NDArray[np.bool_]) -> Iterator[str]:
    """Where the record of what is stored and the index disagree."""
    lost = np.flatnonzero(due & ~there)
    if lost.size:
        yield f"{lost.size} patches are recorded as stored but missing, first at place {lost[0]}; ingest again"
    extra = np.flatnonzero(there & ~due)
    if extra.size:
        yield f"{extra.size} patches are there but not recorded, first at place {extra[0]}; ingest again"
