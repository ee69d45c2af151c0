"""Repair what an examination found: table, columns, shards and the record of what is stored."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigearth_xr import table
from bigearth_xr.archive import Archive, PatchFiles, read_metadata, read_pixels
from bigearth_xr.errors import ArchiveError, StoreError
from bigearth_xr.progress import Progress
from bigearth_xr.store.create import table_key, write_states
from bigearth_xr.store.open import Store
from bigearth_xr.store.schema import ABSENT, QUARANTINED, REFERENCE_MAP, SHARD_PATCHES, STORED, PixelArray
from bigearth_xr.store.shard import HOLE, ShardWriter, shard_key
from bigearth_xr.verification.columns import repair_columns
from bigearth_xr.verification.examination import Examination, slim
from bigearth_xr.verification.shards import InspectedShard, InspectionJob, locate_patches
from bigearth_xr.verification.vectors import repair_embeddings

Pixels = Mapping[str, NDArray[Any]]


Mask = NDArray[np.bool_]


@dataclass(slots=True, kw_only=True)
class RepairLog:
    """What a repair did; grows while it runs."""

    written: list[str] = field(default_factory=list)
    """Files written anew: keys below the store, and the name of the table."""

    failures: dict[str, str] = field(default_factory=dict)
    """Why something could not be repaired, by patch id, or by the name of a file."""

    given_up: dict[str, int] = field(default_factory=dict)
    """How many vectors are to be computed anew, by embedding."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _RepairJob:
    """What has to be known to repair one shard of every array."""

    inspection: InspectionJob
    """How it was inspected."""

    found: InspectedShard
    """What was found."""

    archive: Archive
    """Where to read patches anew."""

    patches: Mapping[int, PatchFiles]
    """Those of them that the archive has, by position."""

    state: NDArray[np.uint8]
    """State of each position, as far as it is known; absent elsewhere."""

    is_known: bool
    """Whether the states are known; if not, the archive is asked for every patch that is missing."""

    are_maps_known: bool
    """Whether it is known which patches have a reference map; likewise."""

    def needed(self) -> dict[str, Mask]:
        """Tell which positions of each array are to be read anew, shape ``(patch,)``."""
        inspection, found = self.inspection, self.found
        in_archive = np.zeros(len(self.state), bool)
        in_archive[list(self.patches)] = True
        wanted: Mask = inspection.stored | (in_archive & (not self.is_known))
        for array in inspection.store.arrays:
            if array.bands:
                # A patch of which anything is here is either made whole, or named.
                wanted = wanted | found.present[array.name]
        needed = {array.name: wanted & ~found.good[array.name] for array in inspection.store.arrays}
        if REFERENCE_MAP in needed:
            mapped = inspection.mapped | found.differs[REFERENCE_MAP] | (in_archive & (not self.are_maps_known))
            unrecorded = np.any([needed[array.name] & ~inspection.stored for array in inspection.store.arrays], axis=0)
            needed[REFERENCE_MAP] &= mapped | found.present[REFERENCE_MAP] | unrecorded
        return needed


@dataclass(slots=True, kw_only=True)
class _RepairedShard:
    """What became of a damaged shard."""

    shard: int
    """Its number."""

    state: NDArray[np.uint8]
    """State of each position now."""

    mapped: Mask
    """Which positions have a reference map now."""

    written: list[str] = field(default_factory=list)
    """Keys written."""

    failures: dict[str, str] = field(default_factory=dict)
    """Why a patch could not be repaired, by patch id."""


def repair_store(found: Examination, archive: Archive | None, progress: Progress) -> RepairLog:
    """Repair a store from its archive, so that its bytes are those of a fresh ingest; without one, from its table.

    Raises
    ------
    StoreError
        If the archive is another one: most of the patches compared differ in all they have.
    """
    done = RepairLog()
    if archive is None:
        # A table that was lost or changed cannot tell what columns are.
        if not any(finding.kind == "table" for finding in found.general):
            _repair_table(found, done)
        return done
    _refuse_another(found, archive)
    _repair_table(found, done, archive)
    if any(finding.kind == "embedding" for finding in found.general):
        written, done.given_up = repair_embeddings(found.subject.scope.store)
        done.written += written
    _repair_shards(found, archive, progress, done)
    return done


def _refuse_another(found: Examination, archive: Archive) -> None:
    """Damage does not change every array of most patches and leave everything else of their shards true."""
    store = found.subject.scope.store
    sound = [
        inspected for inspected in found.shards if {finding.kind for finding in inspected.findings} <= {"different"}
    ]
    compared = sum(inspected.compared for inspected in sound)
    wholly = sum(int(_differs_wholly(inspected, store).sum()) for inspected in sound)
    if wholly > compared / 2:
        raise StoreError(
            f"{archive.name}: {wholly:,} of the {compared:,} patches compared differ from {store.location} "
            "in every array: this is another archive, and nothing was repaired; give the one that the store was made of"
        )


def _differs_wholly(inspected: InspectedShard, store: Store) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = np.all([inspected.differs[array.name] for array in store.arrays if array.bands], axis=0)
    return mask


def _repair_table(found: Examination, done: RepairLog, archive: Archive | None = None) -> None:
    """Write the table and all that follows from it."""
    store, rows = found.subject.scope.store, found.subject.rows
    kinds = ("table", "column", "metadata", *(("embedding",) if archive else ()))
    # Of an embedding: its metadata, an array or group by name; its chunks are dealt with apart.
    files = {finding.file for finding in found.general if finding.kind in kinds and "/c/" not in finding.file}
    name = table_key(store.location)
    if rows is None and archive is not None:
        done.failures[name] = (
            f"{store.location.parent / name}: cannot be made again from {archive.name}; give the metadata that the "
            "store was ingested with"
        )
    if rows is None:
        return
    if name in files:
        file = store.location.parent.scratch_file(name)
        table.write(rows, file)
        store.location.parent.adopt(name, file)
        done.written.append(name)
    if files - {name}:
        done.written += repair_columns(store, rows, frozenset(files - {name}), found.subject.scope.empty)


def _repair_shards(found: Examination, archive: Archive, progress: Progress, done: RepairLog) -> None:
    """Write damaged shards, one after the other, and what is stored after each."""
    subject = found.subject
    store, record = subject.scope.store, subject.record
    state, mapped = record.state.copy(), record.mapped.copy()
    is_whole = record.is_known and record.are_maps_known
    damaged = [
        inspected
        for inspected in found.shards
        if not is_whole or any(f.kind != "unreadable" for f in inspected.findings)
    ]
    subject.collect(row for inspected in damaged for row in _rows(inspected))
    for inspected in progress.over(damaged, "repair"):
        result = _repair_shard(_job(found, archive, inspected))
        inside = slice(inspected.shard * SHARD_PATCHES, inspected.shard * SHARD_PATCHES + len(result.state))
        is_changed = not (np.array_equal(state[inside], result.state) and np.array_equal(mapped[inside], result.mapped))
        state[inside], mapped[inside] = result.state, result.mapped
        _note(result, done)
        if is_changed and is_whole:
            write_states(store, state, mapped)
            done.written += [name for name in ("state", "has_reference_map") if name in store.columns]
    if not is_whole:
        write_states(store, state, mapped)
        done.written += [name for name in ("state", "has_reference_map") if name in store.columns]


def _job(found: Examination, archive: Archive, inspected: InspectedShard) -> _RepairJob:
    subject = found.subject
    rows = _rows(inspected)
    first = rows.start
    patches = {row - first: subject.patches[row] for row in rows if row in subject.patches}
    return _RepairJob(
        inspection=subject.job(inspected.shard, np.array([], np.intp)),
        found=inspected,
        archive=slim(archive, patches.values()),
        patches=patches,
        state=subject.record.state[first : first + len(rows)],
        is_known=subject.record.is_known,
        are_maps_known=subject.record.are_maps_known,
    )


def _rows(inspected: InspectedShard) -> range:
    first = inspected.shard * SHARD_PATCHES
    return range(first, first + len(next(iter(inspected.present.values()))))


def _note(result: _RepairedShard, done: RepairLog) -> None:
    done.written += result.written
    done.failures |= result.failures


def _repair_shard(job: _RepairJob) -> _RepairedShard:
    """Write those arrays of a shard anew that are damaged; patches that the archive cannot give stay as they are."""
    inspection, needed = job.inspection, job.needed()
    done = _RepairedShard(shard=inspection.shard, state=job.state.copy(), mapped=inspection.mapped.copy())
    present = {name: mask.copy() for name, mask in job.found.present.items()}
    damaged = {finding.array for finding in job.found.findings if finding.kind in ("index", "layout")}
    arrays = [array for array in inspection.store.arrays if needed[array.name].any() or array.name in damaged]
    with ExitStack() as stack:
        copies = {array.name: _Copy(inspection, array, stack) for array in arrays}
        for position in range(len(job.state)):
            wants = [name for name, mask in needed.items() if mask[position]]
            pixels = _read(job, position, done) if wants else None
            if pixels is not None and REFERENCE_MAP in wants and REFERENCE_MAP not in pixels:
                _note_lost_map(job, position, done)
            for array in arrays:
                is_new = array.name in wants and pixels is not None
                present[array.name][position] |= copies[array.name].put(position, pixels if is_new else None)
            _settle(job, position, present, pixels, done)
    done.written += [shard_key(array, inspection.shard) for array in arrays if present[array.name].any()]
    return done


def _read(job: _RepairJob, position: int, done: _RepairedShard) -> Pixels | None:
    """Read a patch from the archive, or note why not."""
    name, patch = job.inspection.names[position], job.patches.get(position)
    is_recorded = bool(job.inspection.stored[position])
    if patch is None:
        done.failures[name] = f"{name}: cannot be repaired, as {job.archive.name} does not have it; it stays as it is"
        return None
    try:
        if not is_recorded:
            read_metadata(job.archive, patch)
        return read_pixels(job.archive, patch)
    except ArchiveError as error:
        done.failures[name] = f"{name}: cannot be repaired: {error}"
        return None


def _note_lost_map(job: _RepairJob, position: int, done: _RepairedShard) -> None:
    """Name a patch whose damaged or lost reference map the archive does not have; else it just never had one."""
    is_present = job.found.present[REFERENCE_MAP][position]
    if is_present or (job.inspection.mapped[position] and not job.archive.has_reference_maps):
        name = job.inspection.names[position]
        done.failures[name] = (
            f"{name}: cannot be repaired, as {job.archive.name} does not have its reference map; it stays as it is"
        )


def _settle(
    job: _RepairJob, position: int, present: Mapping[str, Mask], pixels: Pixels | None, done: _RepairedShard
) -> None:
    """Record what is there now: a patch is stored if all arrays hold it, and never if none does."""
    held = [present[array.name][position] for array in job.inspection.store.arrays if array.bands]
    is_whole = job.inspection.names[position] not in done.failures
    if all(held):
        done.state[position] = STORED if is_whole else done.state[position]
    elif not any(held) and (done.state[position] == STORED or not job.is_known):
        done.state[position] = QUARANTINED if position in job.patches and not is_whole else ABSENT
    has_map = REFERENCE_MAP in present and bool(present[REFERENCE_MAP][position])
    # Without word from the archive a map that is lost is still known to be due.
    is_due = bool(done.mapped[position]) and (pixels is None or not job.archive.has_reference_maps)
    done.mapped[position] = (has_map or is_due) and done.state[position] == STORED


class _Copy:
    """One shard file, being written anew from the old one and the archive."""

    def __init__(self, job: InspectionJob, array: PixelArray, stack: ExitStack) -> None:
        store = job.store
        index, _ = locate_patches(store, array, job.shard, job.due(array))
        self._present = index[:, 0] != HOLE
        self._planes = array.bands or (array.name,)
        ranges = index[self._present]
        self._old: Iterator[bytes] = (
            store.location.read_ranges(shard_key(array, job.shard), ranges) if len(ranges) else iter(())
        )
        self._new = stack.enter_context(
            ShardWriter(store.location, array, job.shard, store.profile, patches=len(job.names))
        )

    def put(self, position: int, pixels: Pixels | None) -> bool:
        """Write pixels, or without any the old bytes, whole or not; tell whether there was something to write."""
        old = next(self._old) if self._present[position] else None
        if pixels is not None and self._planes[0] in pixels:
            self._new.put(position, [pixels[plane] for plane in self._planes])
            return True
        if old is not None:
            self._new.put_encoded(position, old)
        return old is not None
