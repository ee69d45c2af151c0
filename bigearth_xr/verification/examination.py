"""Examine a whole store: its table, its columns, its record, and every shard; against an archive if there is one."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bigearth_xr import table
from bigearth_xr.archive import Archive, PatchFiles
from bigearth_xr.archive.source import SplitSource
from bigearth_xr.archive.streams import StreamedSource
from bigearth_xr.errors import StoreAccessError, StoreError
from bigearth_xr.progress import Progress
from bigearth_xr.store.open import Store
from bigearth_xr.store.read import read_column, shard_count
from bigearth_xr.store.schema import REFERENCE_MAP, SHARD_PATCHES, STATES, STORED, PixelArray
from bigearth_xr.store.shard import HOLE
from bigearth_xr.verification.columns import EmptyStore, check_layout, compare_tables, find_table
from bigearth_xr.verification.findings import Finding
from bigearth_xr.verification.shards import InspectedShard, InspectionJob, inspect_shards, locate_patches
from bigearth_xr.verification.vectors import check_embeddings


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

    empty: EmptyStore = field(default_factory=EmptyStore)
    """The store without pixels, to hold it against."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Record:
    """What a store says that it holds."""

    state: NDArray[np.uint8]
    """State of each row, shape ``(patch,)``; absent where it is not known."""

    mapped: NDArray[np.bool_]
    """Whether each row has a reference map, shape ``(patch,)``; False where it is not known."""

    is_known: bool
    """Whether the states could be read."""

    are_maps_known: bool
    """Whether it could be read which rows have maps; True of a store without maps."""

    findings: tuple[Finding, ...]
    """What is wrong with the record itself."""

    @property
    def stored(self) -> NDArray[np.bool_]:
        """Rows recorded as stored, shape ``(patch,)``."""
        stored: NDArray[np.bool_] = self.state == STORED
        return stored


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Subject:
    """What is known of a store before its shards are looked into."""

    scope: Scope
    """What is to be verified."""

    rows: pa.Table | None
    """The store's table; None if it can neither be read nor made again."""

    names: NDArray[np.object_]
    """Patch of each row, shape ``(patch,)``."""

    record: _Record
    """What is stored, by the store's own word; where that cannot be read, by its indexes."""

    patches: Mapping[int, PatchFiles]
    """What the archive has of its patches, by row."""

    @property
    def stored_in_both(self) -> NDArray[np.intp]:
        """Rows that are stored, and that the archive has."""
        return np.array([row for row in sorted(self.patches) if self.record.stored[row]], np.intp)

    def job(self, shard: int, rows: NDArray[np.intp]) -> InspectionJob:
        """Put together what a worker has to know to inspect a shard, and to compare those of the rows in it."""
        first = shard * SHARD_PATCHES
        inside = slice(first, first + SHARD_PATCHES)
        here = rows[rows // SHARD_PATCHES == shard].tolist()
        return InspectionJob(
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Examination:
    """What was found."""

    subject: _Subject
    """The store."""

    chosen: NDArray[np.intp]
    """Rows that were to be compared with the archive."""

    shards: tuple[InspectedShard, ...]
    """What is in every shard, in order."""

    general: tuple[Finding, ...]
    """What is wrong with table, columns and record."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All that is wrong."""
        return (*self.general, *(finding for shard in self.shards for finding in shard.findings))


def examine(scope: Scope, progress: Progress) -> Examination:
    """Examine a store; what is wrong is reported, not raised."""
    subject, general = _identify(scope)
    both = subject.stored_in_both
    chosen = both if scope.sample == "all" else draw_sample(both, scope.sample, scope.seed)
    shards = range(shard_count(scope.store))
    return Examination(
        subject=subject,
        chosen=chosen,
        shards=_inspect(subject, shards, chosen, progress),
        general=(*general, *_cut_short(scope), *_compare_tables(subject, chosen)),
    )


def compare_doubtful(found: Examination, progress: Progress) -> Examination:
    """Compare every patch of the shards in which a compared one was found to differ."""
    doubtful = [inspected.shard for inspected in found.shards if any(mask.any() for mask in inspected.differs.values())]
    again = {
        inspected.shard: inspected
        for inspected in _inspect(found.subject, doubtful, found.subject.stored_in_both, progress)
    }
    return replace(found, shards=tuple(again.get(inspected.shard, inspected) for inspected in found.shards))


def _identify(scope: Scope) -> tuple[_Subject, tuple[Finding, ...]]:
    """Find out what a store should hold.

    Returns
    -------
    tuple
        The store, and what is wrong with its table, its columns and its record.

    Raises
    ------
    StoreError
        If it is to be compared with an archive and nothing tells which row is which patch, or they share no patch.
    """
    store, archive = scope.store, scope.archive
    rows, wrong = find_table(store, archive, scope.listed)
    findings = [] if wrong is None else [wrong]
    if rows is not None:
        findings += check_layout(store, rows, scope.empty, scope.damage)
    record = _read_record(store)
    # What cannot be read because its metadata are damaged is reported once.
    findings += [finding for finding in record.findings if finding.file not in {known.file for known in findings}]
    names = _names(store, rows, is_needed=archive is not None)
    findings += check_embeddings(store, names.tolist())
    row_of = {name: row for row, name in enumerate(names.tolist())}
    patches = {row_of[patch.patch]: patch for patch in (archive.patches if archive else ()) if patch.patch in row_of}
    if archive is not None and not patches:
        cut = (problem.message for problem in archive.problems if problem.kind in ("truncated", "damaged"))
        remedy = next(cut, "give the archive that the store was made of")
        raise StoreError(f"{archive.name}: has none of the {store.rows:,} patches of {store.location}; {remedy}")
    subject = _Subject(scope=scope, rows=rows, names=names, record=_settled(store, record), patches=patches)
    return subject, tuple(findings)


def slim(archive: Archive, patches: Iterable[PatchFiles | None]) -> Archive:
    """Give an archive that knows where these patches are, and is small enough to be sent to a worker."""
    folders = {folder for patch in patches if patch is not None for folder in patch.folders}
    return replace(archive, patches=(), problems=(), source=archive.source.only(folders))


def _names(store: Store, rows: pa.Table | None, *, is_needed: bool) -> NDArray[np.object_]:
    """Patch of each row; numbers where nothing says, and it need not be known."""
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


def _settled(store: Store, record: _Record) -> _Record:
    """Take from the indexes what the record does not say."""
    state, mapped = record.state, record.mapped
    if not record.is_known:
        inspected = [_rows_in(store, array) for array in store.arrays if array.bands]
        state = np.where(np.any(inspected, axis=0), STORED, state).astype(np.uint8)
    if not record.are_maps_known:
        mapped = _rows_in(store, store.array(REFERENCE_MAP))
    return replace(record, state=state, mapped=mapped)


def _rows_in(store: Store, array: PixelArray) -> NDArray[np.bool_]:
    """Which rows an array holds, by those indexes that can be read."""
    present = np.zeros((shard_count(store), SHARD_PATCHES), bool)
    for shard, mask in enumerate(present):
        length = min(SHARD_PATCHES, store.rows - shard * SHARD_PATCHES)
        index, _ = locate_patches(store, array, shard, np.zeros(length, bool))
        mask[:length] = index[:, 0] != HOLE
    return present.ravel()[: store.rows]


def _inspect(
    subject: _Subject, shards: Sequence[int], compared: NDArray[np.intp], progress: Progress
) -> tuple[InspectedShard, ...]:
    """Inspect shards, and advance the progress bar."""
    here = np.isin(compared // SHARD_PATCHES, np.array(shards, np.intp))
    subject.collect(compared[here].tolist())
    advance = progress.steps("shards", len(shards))
    scope = subject.scope
    found: dict[int, InspectedShard] = {}
    for inspected in inspect_shards(
        shards, lambda shard: subject.job(shard, compared), rows=scope.store.rows, workers=scope.workers
    ):
        found[inspected.shard] = inspected
        advance()
    return tuple(found[shard] for shard in sorted(found))


def _cut_short(scope: Scope) -> Iterator[Finding]:
    """Say where the archive ends early: else what follows there would pass for what it never had."""
    for problem in scope.archive.problems if scope.archive is not None else ():
        if problem.kind in ("truncated", "damaged"):
            message = f"{problem.message}; patches that follow could not be compared"
            yield Finding(kind="unreadable", file="", patches=(), message=message)


def _compare_tables(subject: _Subject, chosen: NDArray[np.intp]) -> Iterator[Finding]:
    """Compare what the table says of the compared patches with their JSONs and lists."""
    archive, rows = subject.scope.archive, subject.rows
    if archive is None or rows is None or not chosen.size:
        return
    compared = replace(archive, patches=tuple(subject.patches[row] for row in chosen.tolist()))
    yield from compare_tables(subject.scope.store, rows, table.from_archive(compared, subject.scope.listed))


def draw_sample(rows: NDArray[np.intp], number: int, seed: int) -> NDArray[np.intp]:
    """Draw rows evenly: one of each of as many equal stretches, so that no shard is left out before its turn.

    Examples
    --------
    >>> draw_sample(np.arange(100), 4, seed=0)
    array([21, 40, 62, 81])
    >>> draw_sample(np.arange(3), 4, seed=0)
    array([0, 1, 2])
    """
    if number >= len(rows):
        return rows
    edges = np.linspace(0, len(rows), number + 1).astype(np.intp)
    return rows[np.random.default_rng(seed).integers(edges[:-1], edges[1:])]


def _read_record(store: Store) -> _Record:
    """Read what a store says that it holds, even if part of that cannot be read."""
    failures = list(_check(store))
    failed = {finding.file for finding in failures}
    has_maps = "has_reference_map" in store.columns
    mapped = has_maps and "has_reference_map" not in failed
    return _Record(
        state=np.zeros(store.rows, np.uint8) if "state" in failed else read_column(store, "state").copy(),
        mapped=read_column(store, "has_reference_map").copy() if mapped else np.zeros(store.rows, bool),
        is_known="state" not in failed,
        are_maps_known=mapped or not has_maps,
        findings=tuple(failures),
    )


def _check(store: Store) -> Iterator[Finding]:
    """Say which part of the record cannot be read, or holds what it cannot."""
    for name in ("state", "has_reference_map"):
        if name in store.columns:
            reason = _reason(store, name)
            if reason:
                message = (
                    f"{store.location / name}: {reason}; repair it from the indexes with --against ARCHIVE --repair"
                )
                yield Finding(kind="state", file=name, message=message)


def _reason(store: Store, name: str) -> str | None:
    try:
        values: NDArray[Any] = read_column(store, name)
    except StoreAccessError:
        raise
    except Exception as error:  # damaged bytes raise whatever their codec raises
        return f"cannot be read ({error})"
    if values.shape != (store.rows,):
        return f"has shape {values.shape}, expected ({store.rows},)"
    if name == "state" and (values >= len(STATES)).any():
        return f"holds {values.max()}, expected 0 to {len(STATES) - 1}"
    return None
