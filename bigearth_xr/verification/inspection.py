"""Inspect one shard of every array: its index, its checksums and, bit for bit, its pixels against an archive."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.archive import Archive, PatchFiles
from bigearth_xr.errors import StoreAccessError, StoreError
from bigearth_xr.store.codec import CRC_BYTES
from bigearth_xr.store.open import Store
from bigearth_xr.store.schema import REFERENCE_MAP, SHARD_PATCHES, PixelArray
from bigearth_xr.store.shard import HOLE, read_index, shard_key
from bigearth_xr.verification.comparison import compare_patch
from bigearth_xr.verification.report import Finding
from bigearth_xr.verification.salvage import locate_patches, shard_bytes

__all__ = ["Inspection", "ShardHoldings", "inspect_shard"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inspection:
    """What a worker needs to know to inspect one shard of every array."""

    store: Store
    """The store."""

    shard: int
    """Number of the shard."""

    names: tuple[str, ...]
    """Patch of each place."""

    stored: NDArray[np.bool_]
    """Which places are recorded as stored, shape ``(patch,)``."""

    mapped: NDArray[np.bool_]
    """Which of them are recorded to have a reference map, shape ``(patch,)``."""

    archive: Archive | None = None
    """What to compare with, without its list of patches."""

    compared: Mapping[int, PatchFiles] = field(default_factory=dict)
    """Patches to compare, by place."""

    def due(self, array: PixelArray) -> NDArray[np.bool_]:
        """Which places an array should hold, shape ``(patch,)``."""
        return self.stored & self.mapped if array.name == REFERENCE_MAP else self.stored


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShardHoldings:
    """What was found in one shard of every array."""

    shard: int
    """Number of the shard."""

    there: Mapping[str, NDArray[np.bool_]]
    """Places that hold anything, by array, shape ``(patch,)``."""

    good: Mapping[str, NDArray[np.bool_]]
    """Places whose pixels are whole, and not found to differ from the archive's; likewise."""

    differs: Mapping[str, NDArray[np.bool_]]
    """Places found to differ from the archive's; likewise."""

    checked: int
    """Checksums verified."""

    compared: int
    """Patches compared with the archive."""

    findings: tuple[Finding, ...]
    """What is wrong."""


def inspect_shard(job: Inspection) -> ShardHoldings:
    """Decode every patch of a shard, and compare those that are to be compared.

    Examples
    --------
    Called by `bigearth_xr.verification.verify`.

    >>> inspect_shard.__name__
    'inspect_shard'
    """
    indexes, good = {}, {}
    findings: list[Finding] = []
    for array in job.store.arrays:
        indexes[array.name], good[array.name], found = _inspect_array(job, array)
        findings += found
    there = {name: index[:, 0] != HOLE for name, index in indexes.items()}
    differs = {name: np.zeros_like(places) for name, places in there.items()}
    compared = 0
    damaged = {array.name: job.due(array) & ~good[array.name] for array in job.store.arrays}
    for place, patch in job.compared.items():
        # What is damaged or missing is told already; what lies beside it is compared, so that one repair mends both.
        lost = {name for name, places in damaged.items() if places[place]}
        if len(lost) == sum(job.due(array)[place] for array in job.store.arrays):
            continue
        differences = list(_compare(job, place, patch, indexes, lost))
        compared += not lost and not any(finding.kind == "unreadable" for finding in differences)
        for finding in differences:
            if finding.array is not None:
                differs[finding.array][place], good[finding.array][place] = True, False
        findings += differences
    return ShardHoldings(
        shard=job.shard,
        there=there,
        good=good,
        differs=differs,
        checked=sum(int(places.sum()) for places in there.values()),
        compared=compared,
        findings=tuple(findings),
    )


def _compare(
    job: Inspection, place: int, patch: PatchFiles, indexes: Mapping[str, NDArray[np.uint64]], lost: Collection[str]
) -> Iterator[Finding]:
    """Compare those arrays of a patch that are not lost; it may have been found without an index."""
    assert job.archive is not None
    stored = {}
    for array in job.store.arrays:
        if job.due(array)[place] and array.name not in lost:
            key = shard_key(array, job.shard)
            (chunk,) = job.store.location.read_ranges(key, indexes[array.name][place : place + 1])
            stored[array.name] = job.store.codec.decode(chunk, array, where=key)
    yield from compare_patch(job.store, job.shard * SHARD_PATCHES + place, job.archive, patch, stored, lost)


def _inspect_array(job: Inspection, array: PixelArray) -> tuple[NDArray[np.uint64], NDArray[np.bool_], list[Finding]]:
    """Tell where the patches of an array's shard lie, which of them are whole, and what is wrong."""
    key, due = shard_key(array, job.shard), job.due(array)
    index, damage = locate_patches(job.store, array, job.shard, due)
    there = index[:, 0] != HOLE
    good = there.copy()
    findings: list[Finding] = []
    chunks = job.store.location.read_ranges(key, index[there])
    for place, chunk in zip(np.flatnonzero(there), chunks, strict=True) if there.any() else ():
        name = job.names[place]
        where = f"{job.store.location / key}: row {job.shard * SHARD_PATCHES + place} ({name})"
        try:
            job.store.codec.decode(chunk, array, where=where)
        except StoreAccessError:
            raise
        except (StoreError, RuntimeError) as error:
            good[place] = False
            found = Finding(kind="checksum", file=key, array=array.name, patches=(name,), message=str(error))
            findings.append(found)
    # What an index that is lost costs is told in one line, not one for each patch.
    return index, good, [*_check_file(job, array, index, damage, good), *(findings if damage is None else ())]


def _check_file(
    job: Inspection, array: PixelArray, index: NDArray[np.uint64], damage: str | None, good: NDArray[np.bool_]
) -> Iterator[Finding]:
    """Hold a shard's index against the record and the format."""
    key, due = shard_key(array, job.shard), job.due(array)
    there = index[:, 0] != HOLE

    def found(kind: str, message: str, places: NDArray[np.bool_]) -> Finding:
        patches = tuple(np.array(job.names, object)[places])
        first = f", first {patches[0]}" if patches else ""
        text = f"{job.store.location / key}: {message}{first}; repair it with --against ARCHIVE --repair"
        return Finding(kind=kind, file=key, array=array.name, patches=patches, message=text)  # type: ignore[arg-type]

    if damage is not None:
        lost = due & ~good
        text = f"{damage}; {int((due & good).sum()):,} of {int(due.sum()):,} patches can still be read"
        patches = tuple(np.array(job.names, object)[lost])
        yield Finding(kind="index", file=key, array=array.name, patches=patches, message=text)
        return
    lost, extra = due & ~there, there & ~due
    if lost.any():
        file = "" if job.store.location.find(key) else "is missing: "
        yield found("missing", f"{file}{int(lost.sum()):,} patches are recorded as stored but missing", lost)
    if extra.any():
        yield found("unrecorded", f"{int(extra.sum()):,} patches are there but not recorded", extra)
    whole = read_index(job.store.location, key)
    if whole is not None and (whole[len(due) :, 0] != HOLE).any():
        yield found("layout", f"holds patches beyond the {len(due):,} rows of this shard", np.zeros(len(due), bool))
    elif job.store.profile == "fast" and there.any():
        yield from (found("layout", what, places) for what, places in _misplaced(job, array, index))


def _misplaced(
    job: Inspection, array: PixelArray, index: NDArray[np.uint64]
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Hold the places of patches in a shard of `fast` against the format, and what lies where there is none."""
    key, there = shard_key(array, job.shard), index[:, 0] != HOLE
    length = array.patch_bytes + CRC_BYTES
    starts = np.arange(len(there), dtype=np.uint64) * np.uint64(length)
    strays = there & (index[:, 0] != starts)
    size = getattr(job.store.location.find(key), "size", 0)
    if strays.any() or size != shard_bytes(array, len(there)):
        yield "patches are not at fixed offsets, as the profile 'fast' promises", strays
        return
    absent = np.flatnonzero(~there)
    ranges = np.stack([starts[absent], np.full(absent.size, length, np.uint64)], axis=1)
    written = np.zeros_like(there)
    written[absent] = [hole.count(0) < length for hole in job.store.location.read_ranges(key, ranges)]
    if written.any():
        yield f"has bytes in the place of {int(written.sum()):,} patches that it does not hold", written
