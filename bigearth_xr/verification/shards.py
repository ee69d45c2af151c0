"""Inspect one shard of every array: its index, its checksums and, bit for bit, its pixels against an archive."""

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.archive import Archive, PatchFiles, read_pixels
from bigearth_xr.errors import ArchiveError, StoreAccessError, StoreError
from bigearth_xr.processes import WorkerDiedError, map_in_processes
from bigearth_xr.store.codec import CRC_BYTES, crc32c
from bigearth_xr.store.open import Store
from bigearth_xr.store.schema import REFERENCE_MAP, SHARD_PATCHES, PixelArray
from bigearth_xr.store.shard import HOLE, INDEX_BYTES, read_index, shard_key
from bigearth_xr.verification.findings import Finding

WORTH_PROCESSES = 2048
"""Patches below which starting processes takes longer than the work."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InspectionJob:
    """What a worker needs to know to inspect one shard of every array."""

    store: Store
    """The store."""

    shard: int
    """Number of the shard."""

    names: tuple[str, ...]
    """Patch of each position."""

    stored: NDArray[np.bool_]
    """Which positions are recorded as stored, shape ``(patch,)``."""

    mapped: NDArray[np.bool_]
    """Which of them are recorded to have a reference map, shape ``(patch,)``."""

    archive: Archive | None = None
    """What to compare with, without its list of patches."""

    compared: Mapping[int, PatchFiles] = field(default_factory=dict)
    """Patches to compare, by position."""

    def due(self, array: PixelArray) -> NDArray[np.bool_]:
        """Which positions an array should hold, shape ``(patch,)``."""
        return self.stored & self.mapped if array.name == REFERENCE_MAP else self.stored


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InspectedShard:
    """What was found in one shard of every array."""

    shard: int
    """Number of the shard."""

    present: Mapping[str, NDArray[np.bool_]]
    """Positions that hold anything, by array, shape ``(patch,)``."""

    good: Mapping[str, NDArray[np.bool_]]
    """Positions whose pixels are whole, and not found to differ from the archive's; likewise."""

    differs: Mapping[str, NDArray[np.bool_]]
    """Positions found to differ from the archive's; likewise."""

    checked: int
    """Checksums verified."""

    compared: int
    """Patches compared with the archive."""

    findings: tuple[Finding, ...]
    """What is wrong."""


def _inspect_shard(job: InspectionJob) -> InspectedShard:
    """Decode every patch of a shard, and compare those that are to be compared."""
    indexes, good = {}, {}
    findings: list[Finding] = []
    for array in job.store.arrays:
        indexes[array.name], good[array.name], found = _inspect_array(job, array)
        findings += found
    present = {name: index[:, 0] != HOLE for name, index in indexes.items()}
    differs = {name: np.zeros_like(mask) for name, mask in present.items()}
    compared = 0
    damaged = {array.name: job.due(array) & ~good[array.name] for array in job.store.arrays}
    for position, patch in job.compared.items():
        # Damage is reported already; what lies beside it is compared, so that one repair mends both.
        lost = {name for name, mask in damaged.items() if mask[position]}
        if len(lost) == sum(job.due(array)[position] for array in job.store.arrays):
            continue
        differences = list(_compare(job, position, patch, indexes, lost))
        compared += not lost and not any(finding.kind == "unreadable" for finding in differences)
        for finding in differences:
            if finding.array is not None:
                differs[finding.array][position], good[finding.array][position] = True, False
        findings += differences
    return InspectedShard(
        shard=job.shard,
        present=present,
        good=good,
        differs=differs,
        checked=sum(int(mask.sum()) for mask in present.values()),
        compared=compared,
        findings=tuple(findings),
    )


def _compare(
    job: InspectionJob,
    position: int,
    patch: PatchFiles,
    indexes: Mapping[str, NDArray[np.uint64]],
    lost: Collection[str],
) -> Iterator[Finding]:
    """Compare those arrays of a patch that are not lost; it may have been found without an index."""
    assert job.archive is not None
    stored = {}
    for array in job.store.arrays:
        if job.due(array)[position] and array.name not in lost:
            key = shard_key(array, job.shard)
            (chunk,) = job.store.location.read_ranges(key, indexes[array.name][position : position + 1])
            stored[array.name] = job.store.codec.decode(chunk, array, where=key)
    yield from _compare_patch(job.store, job.shard * SHARD_PATCHES + position, job.archive, patch, stored, lost)


def _inspect_array(
    job: InspectionJob, array: PixelArray
) -> tuple[NDArray[np.uint64], NDArray[np.bool_], list[Finding]]:
    """Tell where the patches of an array's shard lie, which of them are whole, and what is wrong."""
    key, due = shard_key(array, job.shard), job.due(array)
    index, damage = locate_patches(job.store, array, job.shard, due)
    present = index[:, 0] != HOLE
    good = present.copy()
    findings: list[Finding] = []
    chunks = job.store.location.read_ranges(key, index[present])
    for position, chunk in zip(np.flatnonzero(present), chunks, strict=True) if present.any() else ():
        name = job.names[position]
        where = f"{job.store.location / key}: row {job.shard * SHARD_PATCHES + position} ({name})"
        try:
            job.store.codec.decode(chunk, array, where=where)
        except StoreAccessError:
            raise
        except (StoreError, RuntimeError) as error:
            good[position] = False
            found = Finding(kind="checksum", file=key, array=array.name, patches=(name,), message=str(error))
            findings.append(found)
    # What a lost index costs is reported in one line, not one for each patch.
    return index, good, [*_check_file(job, array, index, damage, good), *(findings if damage is None else ())]


def _check_file(
    job: InspectionJob, array: PixelArray, index: NDArray[np.uint64], damage: str | None, good: NDArray[np.bool_]
) -> Iterator[Finding]:
    """Hold a shard's index against the record and the format."""
    key, due = shard_key(array, job.shard), job.due(array)
    present = index[:, 0] != HOLE

    def found(kind: str, message: str, mask: NDArray[np.bool_]) -> Finding:
        patches = tuple(np.array(job.names, object)[mask])
        first = f", first {patches[0]}" if patches else ""
        text = f"{job.store.location / key}: {message}{first}; repair it with --against ARCHIVE --repair"
        return Finding(kind=kind, file=key, array=array.name, patches=patches, message=text)  # type: ignore[arg-type]

    if damage is not None:
        lost = due & ~good
        text = f"{damage}; {int((due & good).sum()):,} of {int(due.sum()):,} patches can still be read"
        patches = tuple(np.array(job.names, object)[lost])
        yield Finding(kind="index", file=key, array=array.name, patches=patches, message=text)
        return
    lost, extra = due & ~present, present & ~due
    if lost.any():
        file = "" if job.store.location.find(key) else "is missing: "
        yield found("missing", f"{file}{int(lost.sum()):,} patches are recorded as stored but missing", lost)
    if extra.any():
        yield found("unrecorded", f"{int(extra.sum()):,} patches are there but not recorded", extra)
    whole = read_index(job.store.location, key)
    if whole is not None and (whole[len(due) :, 0] != HOLE).any():
        yield found("layout", f"holds patches beyond the {len(due):,} rows of this shard", np.zeros(len(due), bool))
    elif not job.store.codec.is_packed and present.any():
        yield from (found("layout", what, mask) for what, mask in _misplaced(job, array, index))


def _misplaced(
    job: InspectionJob, array: PixelArray, index: NDArray[np.uint64]
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Hold the places of patches in a shard of `fast` against the format, and what lies where there is none."""
    key, present = shard_key(array, job.shard), index[:, 0] != HOLE
    length = array.patch_bytes + CRC_BYTES
    starts = np.arange(len(present), dtype=np.uint64) * np.uint64(length)
    strays = present & (index[:, 0] != starts)
    size = getattr(job.store.location.find(key), "size", 0)
    if strays.any() or size != _shard_bytes(array, len(present)):
        yield "patches are not at fixed offsets, as the profile 'fast' promises", strays
        return
    absent = np.flatnonzero(~present)
    ranges = np.stack([starts[absent], np.full(absent.size, length, np.uint64)], axis=1)
    written = np.zeros_like(present)
    written[absent] = [hole.count(0) < length for hole in job.store.location.read_ranges(key, ranges)]
    if written.any():
        yield f"has bytes in the place of {int(written.sum()):,} patches that it does not hold", written


def _compare_patch(
    store: Store,
    row: int,
    archive: Archive,
    patch: PatchFiles,
    stored: Mapping[str, NDArray[np.generic]],
    lost: Collection[str] = (),
) -> Iterator[Finding]:
    """Compare every bit of a stored patch with the archive's.

    Parameters
    ----------
    store
        The store, which holds the patch.
    row
        Row of the patch.
    archive, patch
        Where the archive has it.
    stored
        What the store has of it, by array, shape ``(band, y, x)``; of the reference map ``(y, x)``, if it has one.
    lost
        Arrays that should hold the patch and cannot give it: they are not compared.

    Yields
    ------
    Finding
        One for each band that differs, or one for a patch that the archive itself cannot give.
    """
    try:
        expected = read_pixels(archive, patch)
    except ArchiveError as error:
        message = f"{error}; so {patch.patch} of {store.location} could not be compared"
        yield Finding(kind="unreadable", file="", patches=(patch.patch,), message=message)
        return
    for array in (array for array in store.arrays if array.name not in lost):
        in_store, in_archive = array.name in stored, bool(array.bands) or REFERENCE_MAP in expected
        if in_store and in_archive:
            planes = stored[array.name] if array.bands else stored[array.name][np.newaxis]
            for band, plane in zip(array.bands or (array.name,), planes, strict=True):
                difference = _difference(plane, expected[band])
                if difference:
                    yield _different(store, array, row, patch.patch, f"band {band} {difference}")
        elif in_store != in_archive and archive.has_reference_maps:
            has, lacks = ("store", "archive") if in_store else ("archive", "store")
            yield _different(store, array, row, patch.patch, f"the {has} has a reference map of it, the {lacks} none")


def _difference(stored: NDArray[np.generic], expected: NDArray[np.generic]) -> str | None:
    """Say how many pixels differ in any bit, and the first of them."""
    bits = f"<u{stored.dtype.itemsize}"
    unequal = np.ascontiguousarray(stored).view(bits) != np.ascontiguousarray(expected).view(bits)
    if not unequal.any():
        return None
    y, x = np.unravel_index(unequal.argmax(), unequal.shape)
    return (
        f"differs in {int(unequal.sum()):,} of {unequal.size:,} pixels, first in y {y}, x {x}: {stored[y, x]} is "
        f"stored, the archive has {expected[y, x]}"
    )


def _different(store: Store, array: PixelArray, row: int, patch: str, what: str) -> Finding:
    key = shard_key(array, row // SHARD_PATCHES)
    message = f"{store.location / key}: row {row} ({patch}): {what}; repair it with --repair if the archive is right"
    return Finding(kind="different", file=key, array=array.name, patches=(patch,), message=message)


def _shard_bytes(array: PixelArray, patches: int) -> int:
    """Count the bytes of a shard of profile `fast` that has room for this many patches."""
    return patches * (array.patch_bytes + CRC_BYTES) + INDEX_BYTES


def locate_patches(
    store: Store, array: PixelArray, shard: int, due: NDArray[np.bool_]
) -> tuple[NDArray[np.uint64], str | None]:
    """Tell where each patch of a shard lies, as far as that can be known.

    `due` says which patches of this shard alone should be there, shape ``(patch,)``.

    Returns
    -------
    tuple
        Offset and length of each, shape ``(patch, 2)``, `HOLE` where there is none; and what is wrong with the index,
        None if nothing is. Patches found without an index are whole, or were due.
    """
    key = shard_key(array, shard)
    try:
        index = read_index(store.location, key)
    except StoreAccessError:
        raise
    except StoreError as error:
        find = _one_after_the_other if store.codec.is_packed else _at_fixed_offsets
        return find(store, array, key, due), str(error)
    return (_nowhere(due) if index is None else index[: len(due)]), None


def _nowhere(due: NDArray[np.bool_]) -> NDArray[np.uint64]:
    return np.full((len(due), 2), HOLE)


def _at_fixed_offsets(store: Store, array: PixelArray, key: str, due: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Patch ``i`` lies at ``i`` × its length: what bears its checksum is one; what was due is kept too."""
    index = _nowhere(due)
    found = store.location.find(key)
    length = array.patch_bytes + CRC_BYTES
    whole = min(len(due), 0 if found is None else found.size // length)
    ranges = np.array([[position * length, length] for position in range(whole)], np.uint64).reshape(-1, 2)
    for position, chunk in enumerate(store.location.read_ranges(key, ranges)):
        if due[position] or _bears_checksum(chunk):
            index[position] = ranges[position]
    return index


def _one_after_the_other(store: Store, array: PixelArray, key: str, due: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Compressed patches say their lengths and follow in the order of rows: if all are there, they are those due."""
    index = _nowhere(due)
    data = store.location.read(key)
    entries: list[tuple[int, int]] = []
    start = 0
    compression = store.codec.compression
    assert compression is not None
    while start + compression.header_bytes <= len(data):
        pixels, compressed = compression.lengths(data[start : start + compression.header_bytes])
        chunk = data[start : start + compressed + CRC_BYTES]
        if pixels != array.patch_bytes or not _bears_checksum(chunk):
            break
        entries.append((start, len(chunk)))
        start += len(chunk)
    if len(entries) == due.sum():
        index[due] = entries
    return index


def _bears_checksum(chunk: bytes) -> bool:
    return crc32c(chunk[:-CRC_BYTES]) == chunk[-CRC_BYTES:]


def inspect_shards(
    shards: Sequence[int], job: Callable[[int], InspectionJob], *, rows: int, workers: int
) -> Iterator[InspectedShard]:
    """Inspect shards, in any order; `job`, what a worker has to know of one, is asked for a few ahead of their turn."""
    processes = min(workers, len(shards), os.cpu_count() or 1)
    if processes <= 1 or rows < WORTH_PROCESSES:
        yield from (_inspect_shard(job(shard)) for shard in shards)
        return
    try:
        yield from map_in_processes(_inspect_shard, map(job, shards), processes=processes)
    except WorkerDiedError as error:
        raise StoreError(
            f"a worker process died ({error}); nothing was changed: verify again, with fewer workers if memory ran out"
        ) from None
