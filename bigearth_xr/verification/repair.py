"""Write the damaged shards of a store anew: what is whole stays as it is, the rest comes from the archive."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.archive import Archive, PatchFiles, read_metadata, read_pixels
from bigearth_xr.errors import ArchiveError
from bigearth_xr.store.schema import ABSENT, QUARANTINED, REFERENCE_MAP, STORED, PixelArray
from bigearth_xr.store.shard import HOLE, ShardWriter, shard_key
from bigearth_xr.verification.inspection import Inspection, ShardHoldings
from bigearth_xr.verification.salvage import locate_patches

__all__ = ["RepairJob", "ShardRepair", "repair_shard"]

Pixels = Mapping[str, NDArray[Any]]
Places = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RepairJob:
    """What has to be known to repair one shard of every array."""

    inspection: Inspection
    """How it was inspected."""

    held: ShardHoldings
    """What was found."""

    archive: Archive
    """Where to read patches anew."""

    patches: Mapping[int, PatchFiles]
    """Those of them that the archive has, by place."""

    state: NDArray[np.uint8]
    """State of each place, as far as it is known; absent elsewhere."""

    is_known: bool
    """Whether the states are known; if not, the archive is asked for every patch that is not there."""

    are_maps_known: bool
    """Whether it is known which patches have a reference map; likewise."""

    def needed(self) -> dict[str, Places]:
        """Tell which places of each array are to be read anew, shape ``(patch,)``."""
        inspection, held = self.inspection, self.held
        in_archive = np.zeros(len(self.state), bool)
        in_archive[list(self.patches)] = True
        wanted: Places = inspection.stored | (in_archive & (not self.is_known))
        for array in inspection.store.arrays:
            if array.bands:
                # A patch of which anything is here is either made whole, or named.
                wanted = wanted | held.there[array.name]
        needed = {array.name: wanted & ~held.good[array.name] for array in inspection.store.arrays}
        if REFERENCE_MAP in needed:
            mapped = inspection.mapped | held.differs[REFERENCE_MAP] | (in_archive & (not self.are_maps_known))
            unrecorded = np.any([needed[array.name] & ~inspection.stored for array in inspection.store.arrays], axis=0)
            needed[REFERENCE_MAP] &= mapped | held.there[REFERENCE_MAP] | unrecorded
        return needed


@dataclass(slots=True, kw_only=True)
class ShardRepair:
    """What became of a damaged shard."""

    shard: int
    """Its number."""

    state: NDArray[np.uint8]
    """State of each place now."""

    mapped: Places
    """Which places have a reference map now."""

    written: list[str] = field(default_factory=list)
    """Keys written."""

    failures: dict[str, str] = field(default_factory=dict)
    """Why a patch could not be repaired, by patch id."""


def repair_shard(job: RepairJob) -> ShardRepair:
    """Write those arrays of a shard anew that are damaged; patches that the archive cannot give stay as they are.

    Examples
    --------
    Called by `bigearth_xr.verification.verify`.

    >>> repair_shard.__name__
    'repair_shard'
    """
    inspection, needed = job.inspection, job.needed()
    done = ShardRepair(shard=inspection.shard, state=job.state.copy(), mapped=inspection.mapped.copy())
    there = {name: places.copy() for name, places in job.held.there.items()}
    damaged = {finding.array for finding in job.held.findings if finding.kind in ("index", "layout")}
    arrays = [array for array in inspection.store.arrays if needed[array.name].any() or array.name in damaged]
    with ExitStack() as stack:
        copies = {array.name: _Copy(inspection, array, stack) for array in arrays}
        for place in range(len(job.state)):
            wants = [name for name, places in needed.items() if places[place]]
            pixels = _read(job, place, done) if wants else None
            if pixels is not None and REFERENCE_MAP in wants and REFERENCE_MAP not in pixels:
                _note_lost_map(job, place, done)
            for array in arrays:
                is_new = array.name in wants and pixels is not None
                there[array.name][place] |= copies[array.name].put(place, pixels if is_new else None)
            _settle(job, place, there, pixels, done)
    done.written += [shard_key(array, inspection.shard) for array in arrays if there[array.name].any()]
    return done


def _read(job: RepairJob, place: int, done: ShardRepair) -> Pixels | None:
    """Read a patch from the archive, or note why not."""
    name, patch = job.inspection.names[place], job.patches.get(place)
    is_recorded = bool(job.inspection.stored[place])
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


def _note_lost_map(job: RepairJob, place: int, done: ShardRepair) -> None:
    """Name a patch whose damaged or lost reference map the archive does not have; else it just never had one."""
    is_there = job.held.there[REFERENCE_MAP][place]
    if is_there or (job.inspection.mapped[place] and not job.archive.has_reference_maps):
        name = job.inspection.names[place]
        done.failures[name] = (
            f"{name}: cannot be repaired, as {job.archive.name} does not have its reference map; it stays as it is"
        )


def _settle(job: RepairJob, place: int, there: Mapping[str, Places], pixels: Pixels | None, done: ShardRepair) -> None:
    """Record what is there now: a patch is stored if all arrays hold it, and never if none does."""
    held = [there[array.name][place] for array in job.inspection.store.arrays if array.bands]
    is_whole = job.inspection.names[place] not in done.failures
    if all(held):
        done.state[place] = STORED if is_whole else done.state[place]
    elif not any(held) and (done.state[place] == STORED or not job.is_known):
        done.state[place] = QUARANTINED if place in job.patches and not is_whole else ABSENT
    has_map = REFERENCE_MAP in there and bool(there[REFERENCE_MAP][place])
    # Without word from the archive a map that is lost is still known to be due.
    is_due = bool(done.mapped[place]) and (pixels is None or not job.archive.has_reference_maps)
    done.mapped[place] = (has_map or is_due) and done.state[place] == STORED


class _Copy:
    """One shard file, being written anew from the old one and the archive."""

    def __init__(self, job: Inspection, array: PixelArray, stack: ExitStack) -> None:
        store = job.store
        index, _ = locate_patches(store, array, job.shard, job.due(array))
        self._there = index[:, 0] != HOLE
        self._planes = array.bands or (array.name,)
        ranges = index[self._there]
        self._old: Iterator[bytes] = (
            store.location.read_ranges(shard_key(array, job.shard), ranges) if len(ranges) else iter(())
        )
        self._new = stack.enter_context(
            ShardWriter(store.location, array, job.shard, store.profile, patches=len(job.names))
        )

    def put(self, place: int, pixels: Pixels | None) -> bool:
        """Write pixels, or without any the old bytes, whole or not; tell whether there was something to write."""
        old = next(self._old) if self._there[place] else None
        if pixels is not None and self._planes[0] in pixels:
            self._new.put(place, [pixels[plane] for plane in self._planes])
            return True
        if old is not None:
            self._new.put_encoded(place, old)
        return old is not None
