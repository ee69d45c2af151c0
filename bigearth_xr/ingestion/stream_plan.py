"""Streams into a store: compressed tars and addresses, which can only be read from one end to the other.

Rows are planned before the first pixel. Where lists name the patches, one pass is enough: every listed pair has a slot,
and pixels are put there as they come. Without lists a first pass notes what there is. In either case the names that
passed by decide in the end which rows the store has.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bigearth_xr.archive import PatchFiles
from bigearth_xr.archive.bytestream import Pipe
from bigearth_xr.archive.containers import Container
from bigearth_xr.archive.names import REFERENCE_MAP
from bigearth_xr.archive.patch_files import MISSING
from bigearth_xr.errors import BigEarthError
from bigearth_xr.ingestion.contents import Contents, Lists, Request, read_contents, read_named_lists
from bigearth_xr.ingestion.plan import BEGUN, RowPlan, check_target, find_store, open_or_create, plan_rows
from bigearth_xr.ingestion.shards import StagedJob, StagedPatch
from bigearth_xr.ingestion.staging import Staging, staged_file, staging_folder
from bigearth_xr.ingestion.stream import Receiver, Slots, read_streams, release_metadata
from bigearth_xr.progress import Progress
from bigearth_xr.store.create import Marker, create_store, read_marker, remove_store
from bigearth_xr.store.location import Location
from bigearth_xr.store.open import Store
from bigearth_xr.store.read import read_column, read_complete
from bigearth_xr.store.schema import SHARD_PATCHES, PixelArray
from bigearth_xr.table import assemble


@dataclass(frozen=True, kw_only=True)
class StreamPlan:
    """To move patches from the slots where they arrived to the rows of the store."""

    contents: Contents
    """What the archive holds."""

    row_plan: RowPlan
    """Which patch goes where."""

    receiver: Receiver
    """What arrived, where it lies, and what was wrong with it."""

    slots: NDArray[np.intp]
    """Slot of each patch of the archive, shape ``(patch,)``."""

    staged_bytes: int
    """Disk taken by what has arrived."""

    kept_bytes: int
    """Disk taken by what came through pipes and was needed again."""

    @property
    def extra_bytes(self) -> int:
        """What lay beside the store at the most: nothing, where it lay at its place already."""
        store = self.row_plan.store
        is_in_place = self.is_in_slots and not store.codec.is_packed and store.location.local is not None
        return self.kept_bytes + (0 if is_in_place else self.staged_bytes)

    @cached_property
    def is_in_slots(self) -> bool:
        """Whether rows and slots are the same."""
        names: list[str] = self.receiver.slots.table["patch"].to_pylist()
        return list(read_column(self.row_plan.store, "patch")) == names

    def job(self, shard: int) -> StagedJob:
        """Put together what a worker has to know to write one shard."""
        staging, store = self.receiver.staging, self.row_plan.store
        first = shard * SHARD_PATCHES
        length = min(SHARD_PATCHES, store.rows - first)
        slots = np.arange(first, first + length) if self.is_in_slots else np.full(length, -1)
        patches: dict[int, StagedPatch] = {}
        refused: dict[int, str] = {}
        for i in self.row_plan.shards[shard].tolist():
            patch, slot, position = (
                self.contents.archive.patches[i],
                int(self.slots[i]),
                int(self.row_plan.rows[i]) - first,
            )
            slots[position] = slot
            patches[position] = StagedPatch(patch=patch.patch, slot=slot)
            reason = self.contents.labels.refused.get(patch.patch) or self._missing(patch, slot)
            if reason is not None:
                refused[position] = reason
        return StagedJob(
            store=store,
            folder=staging.folder,
            planes=staging.planes,
            shard=shard,
            patches=patches,
            arrived=staging.arrived[slots] & (slots >= 0)[:, None],
            checksums=staging.checksums[slots],
            refused=refused,
            kept=self.row_plan.kept(shard),
            is_in_slots=self.is_in_slots,
        )

    def free(self, shard: int) -> None:
        """Remove what a shard was made of, once it is stored."""
        if self.is_in_slots:
            for array in self.row_plan.store.arrays:
                staged_file(self.receiver.staging.folder, array, shard).unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the staging area."""
        self.receiver.staging.discard()

    def _missing(self, patch: PatchFiles, slot: int) -> str | None:
        """Say which plane of a patch did not arrive, and why; None where all did."""
        arrived, numbers = self.receiver.staging.arrived[slot], self._numbers
        files = {**patch.files, **({} if patch.reference_map is None else {REFERENCE_MAP: patch.reference_map})}
        # In the order in which files would be read, so that the first fault is the same.
        for name, file in files.items():
            if not arrived[numbers[name]]:
                place = self.contents.archive.source.locate(file)
                missing = f"{patch.patch}: band {name} ({place}) {MISSING}"
                return self.receiver.failures.get((slot, numbers[name]), missing)
        return None

    @cached_property
    def _numbers(self) -> dict[str, int]:
        """Number of each plane by its name."""
        return {plane.name: plane.number for plane in self.receiver.staging.planes}


def plan_streams(containers: Sequence[Container], request: Request, progress: Progress) -> StreamPlan:
    """Take in streams, and plan how what arrived goes into the store.

    Raises
    ------
    StoreError
        If the store that is there holds something else.
    OSError
        If the disk is full.
    DownloadError
        If a server gives up; what has arrived is kept for the next call.
    """
    lists = read_named_lists(request)
    pipes = [container for container in containers if isinstance(container, Pipe)]
    for pipe in pipes:
        pipe.folder = staging_folder(request.store).parent
        pipe.folder.mkdir(parents=True, exist_ok=True)
    if lists is None:
        contents, receiver = _take_unlisted(containers, request, progress)
    else:
        contents, receiver = _take_listed(containers, request, lists, progress)
    store = open_or_create(request, contents)
    found = pa.chunked_array([pa.array([patch.patch for patch in contents.archive.patches], pa.string())])
    return StreamPlan(
        contents=contents,
        row_plan=plan_rows(contents, store),
        receiver=receiver,
        slots=receiver.slots.of(found),
        staged_bytes=receiver.staging.used_bytes(),
        kept_bytes=sum(pipe.kept_bytes for pipe in pipes),
    )


def _take_unlisted(containers: Sequence[Container], request: Request, progress: Progress) -> tuple[Contents, Receiver]:
    """Take in patches of which nothing is known before all of them have passed by once."""
    contents = read_contents(read_streams(containers, None, progress), request, None, progress)
    open_or_create(request, contents)
    receiver = _expect(Slots.of_table(contents.table), request.store, contents.arrays)
    read_streams(containers, receiver, progress)
    return contents, receiver


def _take_listed(
    containers: Sequence[Container], request: Request, lists: Lists, progress: Progress
) -> tuple[Contents, Receiver]:
    """Take in the patches that lists name, and in a second pass those that they do not."""
    check_target(request, lists.release)
    arrays = request.pixel_arrays(reference_map=lists.release == "v2")
    table = assemble(lists.release, lists.columns)
    is_new = _lay_out(request, table, arrays)
    slots = Slots.of_table(table)
    del table  # of a whole release 200 MB, and another one will be made of what passes by
    receiver = _expect(slots, request.store, arrays)
    passed = read_streams(containers, receiver, progress)
    try:
        contents = read_contents(passed, request, lists, progress)
    except BigEarthError:
        # This was no such archive at all.
        if is_new:
            receiver.staging.discard()
            remove_store(request.store)
        raise
    release_metadata(passed)
    slots = slots.extended(contents.table)
    if len(slots) > len(receiver.slots):
        receiver.staging.grow(len(slots))
        is_done = _find_done(slots, request.store)
        receiver = Receiver(slots=slots, staging=receiver.staging, is_done=is_done)
        read_streams(containers, receiver, progress)
    return contents, receiver


def _lay_out(request: Request, table: pa.Table, arrays: Sequence[PixelArray]) -> bool:
    """Lay out a store with a row for every listed pair, which it may keep; False where there is one, or can be none.

    On object storage rows cannot be moved if it has fewer in the end: there it is laid out when that is known.
    """
    if request.store.local is None or find_store(request.store) is not None:
        return False
    marker = Marker(is_provisional=True, reason=BEGUN)
    profile = request.profile or "fast"
    create_store(request.store, table, profile=profile, arrays=arrays, sensors=request.sensors, marker=marker)
    return True


def _expect(slots: Slots, location: Location, arrays: Sequence[PixelArray]) -> Receiver:
    """Make room for patches; those that the store holds already need not come."""
    staging = Staging(staging_folder(location), arrays, len(slots), identity=slots.identity)
    return Receiver(slots=slots, staging=staging, is_done=_find_done(slots, location))


def _find_done(slots: Slots, location: Location) -> NDArray[np.bool_]:
    """Find the slots of patches that the store holds already, shape ``(slot,)``."""
    is_done = np.zeros(len(slots), bool)
    store = find_store(location)
    if store is not None:
        names = read_column(store, "patch")[read_complete(store) & ~_maps_may_come(store)]
        places = slots.of(pa.chunked_array([pa.array(names, pa.string())]))
        is_done[places[places >= 0]] = True
    return is_done


def _maps_may_come(store: Store) -> NDArray[np.bool_]:
    """Which rows of a store may get a reference map yet, shape ``(patch,)``."""
    if "has_reference_map" in store.columns:
        without: NDArray[np.bool_] = ~read_column(store, "has_reference_map")
        return without
    # Not one has come, which may be because the archive was cut short before them.
    marker = read_marker(store.location)
    return np.full(store.rows, store.release == "v2" and marker is not None and marker.is_provisional)
