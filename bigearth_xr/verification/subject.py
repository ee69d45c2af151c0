"""What is known of a store before its shards are looked into: which row is which patch, and what should be there."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bigearth_xr.archive import Archive, PatchFiles
from bigearth_xr.archive.split import SplitSource
from bigearth_xr.errors import StoreAccessError, StoreError
from bigearth_xr.store.open import Store
from bigearth_xr.store.read import read_column, shard_count
from bigearth_xr.store.schema import REFERENCE_MAP, SHARD_PATCHES, STORED, PixelArray
from bigearth_xr.store.shard import HOLE
from bigearth_xr.verification.embedded import check_embeddings
from bigearth_xr.verification.inspection import Inspection
from bigearth_xr.verification.layout import Blank, check_layout
from bigearth_xr.verification.record import Record, read_record
from bigearth_xr.verification.report import Finding
from bigearth_xr.verification.salvage import locate_patches
from bigearth_xr.verification.streamed import StreamedSource
from bigearth_xr.verification.tables import find_table

__all__ = ["Scope", "Subject", "recognize"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What is to be verified, and how thoroughly."""

    store: Store
    """The store."""

    archive: Archive | None
    """What to compare with."""

    listed: Mapping[str, pa.Array] | None
    """What the release's lists say."""

    sample: int | Literal["all"]
    """Patches to compare with the archive."""

    seed: int
    """What the sample is drawn with."""

    workers: int
    """Processes at most."""

    damage: str | None = None
    """What is wrong with the store's root; None if nothing is."""

    blank: Blank = field(default_factory=Blank)
    """The store without pixels, to hold it against."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Subject:
    """A store, recognized."""

    scope: Scope
    """What is to be verified."""

    rows: pa.Table | None
    """The store's table; None if it can neither be read nor made again."""

    names: NDArray[np.object_]
    """Patch of each row, shape ``(patch,)``."""

    record: Record
    """What is stored, by the store's own word; where that cannot be read, by its indexes."""

    patches: Mapping[int, PatchFiles]
    """What the archive has of its patches, by row."""

    @property
    def stored_in_both(self) -> NDArray[np.intp]:
        """Rows that are stored, and that the archive has."""
        return np.array([row for row in sorted(self.patches) if self.record.stored[row]], np.intp)

    def inspection(self, shard: int, rows: NDArray[np.intp]) -> Inspection:
        """Put together what a worker has to know to inspect a shard, and to compare those of the rows in it."""
        first = shard * SHARD_PATCHES
        inside = slice(first, first + SHARD_PATCHES)
        here = rows[rows // SHARD_PATCHES == shard].tolist()
        return Inspection(
            store=self.scope.store,
            shard=shard,
            names=tuple(self.names[inside]),
            stored=self.record.stored[inside],
            mapped=self.record.mapped[inside],
            archive=None if self.scope.archive is None else slim(self.scope.archive, map(self.patches.get, here)),
            compared={row - first: self.patches[row] for row in here},
        )

    def collect(self, rows: Iterable[int]) -> None:
        """Have the archive's pixels of these rows at hand, where they have to be picked from a stream."""
        source = None if self.scope.archive is None else self.scope.archive.source
        folders = {folder for row in rows if row in self.patches for folder in self.patches[row].folders}
        if isinstance(source, SplitSource):
            folders = source.all_of(folders)
            source = source.source
        if isinstance(source, StreamedSource):
            source.collect(folders)


def slim(archive: Archive, patches: Iterable[PatchFiles | None]) -> Archive:
    """Give an archive that knows where these patches are, and is small enough to be sent to a worker.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> path = bex.testing.write_archive(getfixture("tmp_path") / "archive", pairs=2)
    >>> slim(bex.archive.open_archive(path), []).patches
    ()
    """
    folders = {folder for patch in patches if patch is not None for folder in patch.folders}
    return replace(archive, patches=(), problems=(), source=archive.source.only(folders))


def recognize(scope: Scope) -> tuple[Subject, tuple[Finding, ...]]:
    """Find out what a store should hold.

    Returns
    -------
    tuple
        The store, and what is wrong with its table, its columns and its record.

    Raises
    ------
    StoreError
        If it is to be compared with an archive and nothing tells which row is which patch, or they share no patch.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.open import open_store
    >>> store = open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=2))
    >>> subject, wrong = recognize(Scope(store=store, archive=None, listed=None, sample=1, seed=0, workers=1))
    >>> subject.rows.num_rows, subject.record.state, wrong
    (2, array([1, 1], dtype=uint8), ())
    """
    store, archive = scope.store, scope.archive
    rows, wrong = find_table(store, archive, scope.listed)
    findings = [] if wrong is None else [wrong]
    if rows is not None:
        findings += check_layout(store, rows, scope.blank, scope.damage)
    record = read_record(store)
    # What cannot be read because its metadata are damaged is told once.
    findings += [finding for finding in record.findings if finding.file not in {told.file for told in findings}]
    names = _names(store, rows, is_needed=archive is not None)
    findings += check_embeddings(store, names.tolist())
    row_of = {name: row for row, name in enumerate(names.tolist())}
    patches = {row_of[patch.patch]: patch for patch in (archive.patches if archive else ()) if patch.patch in row_of}
    if archive is not None and not patches:
        cut = (problem.message for problem in archive.problems if problem.kind in ("truncated", "damaged"))
        remedy = next(cut, "give the archive that the store was made of")
        raise StoreError(f"{archive.name}: has none of the {store.rows:,} patches of {store.location}; {remedy}")
    subject = Subject(scope=scope, rows=rows, names=names, record=_settled(store, record), patches=patches)
    return subject, tuple(findings)


def _names(store: Store, rows: pa.Table | None, *, is_needed: bool) -> NDArray[np.object_]:
    """Patch of each row; if nothing tells, and nobody has to know, numbers in their stead."""
    if rows is not None:
        return np.array(rows["patch"].to_pylist(), object)
    try:
        return read_column(store, "patch")
    except StoreAccessError:
        raise
    except Exception as error:  # damaged bytes raise whatever their codec raises
        if is_needed:
            raise StoreError(
                f"{store.location}: neither its table nor its column 'patch' tells which row is which patch ({error}); "
                "give the metadata that it was ingested with, so that the table can be made again"
            ) from None
        return np.array([f"row {row}" for row in range(store.rows)], object)


def _settled(store: Store, record: Record) -> Record:
    """Take from the indexes what the record does not tell."""
    state, mapped = record.state, record.mapped
    if not record.is_known:
        held = [_held(store, array) for array in store.arrays if array.bands]
        state = np.where(np.any(held, axis=0), STORED, state).astype(np.uint8)
    if not record.are_maps_known:
        mapped = _held(store, store.array(REFERENCE_MAP))
    return replace(record, state=state, mapped=mapped)


def _held(store: Store, array: PixelArray) -> NDArray[np.bool_]:
    """Which rows an array holds, by those indexes that can be read."""
    held = np.zeros((shard_count(store), SHARD_PATCHES), bool)
    for shard, places in enumerate(held):
        length = min(SHARD_PATCHES, store.rows - shard * SHARD_PATCHES)
        index, _ = locate_patches(store, array, shard, np.zeros(length, bool))
        places[:length] = index[:, 0] != HOLE
    return held.ravel()[: store.rows]
