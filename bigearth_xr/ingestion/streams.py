"""Streams into a store: compressed tars and addresses, which can only be read from one end to the other.

Rows are planned before the first pixel. Where lists name the patches, one pass is enough: every listed pair has a slot,
and pixels are put there as they come. Without lists a first pass notes what there is. In either case the names that
passed by decide in the end which rows the store has.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bigearth_xr.archive import PatchFiles, PixelSource
from bigearth_xr.archive.joined import JoinedSource
from bigearth_xr.archive.layout import REFERENCE_MAP
from bigearth_xr.archive.stream_index import StreamIndex
from bigearth_xr.bands import BANDS
from bigearth_xr.errors import StoreNotFoundError
from bigearth_xr.ingestion.arrivals import Arrivals, take_in
from bigearth_xr.ingestion.contents import Contents, Lists, read_contents, read_named_lists
from bigearth_xr.ingestion.members import open_members
from bigearth_xr.ingestion.plan import Rowing, plan_rows
from bigearth_xr.ingestion.request import Request
from bigearth_xr.ingestion.slots import Slots
from bigearth_xr.ingestion.staged import StagedJob, StagedPatch
from bigearth_xr.ingestion.staging import Staging, staged_file
from bigearth_xr.ingestion.target import BEGUN, open_or_create
from bigearth_xr.progress import Progress
from bigearth_xr.store.create import create_store
from bigearth_xr.store.marker import Marker
from bigearth_xr.store.place import Place
from bigearth_xr.store.presence import read_complete
from bigearth_xr.store.read import open_store, read_column
from bigearth_xr.store.schema import SHARD_PATCHES, PixelArray, pixel_arrays
from bigearth_xr.table import assemble

__all__ = ["StreamPlan", "plan_streams", "staging_folder"]


@dataclass(frozen=True, kw_only=True)
class StreamPlan:
    """To move patches from the slots where they arrived to the rows of the store."""

    contents: Contents
    """What the archive holds."""

    rowing: Rowing
    """Which patch goes where."""

    arrivals: Arrivals
    """What arrived, where it lies, and what was wrong with it."""

    slots: NDArray[np.intp]
    """Slot of each patch of the archive, shape ``(patch,)``."""

    staged_bytes: int
    """Disk taken by what has arrived."""

    @property
    def extra_bytes(self) -> int:
        """What lay beside the store at the most: nothing, where it lay at its place already."""
        store = self.rowing.store
        is_in_place = self.is_in_slots and store.profile == "fast" and store.place.local is not None
        return 0 if is_in_place else self.staged_bytes

    @cached_property
    def is_in_slots(self) -> bool:
        """Whether rows and slots are the same."""
        names: list[str] = self.arrivals.slots.table["patch"].to_pylist()
        return list(read_column(self.rowing.store, "patch")) == names

    def job(self, shard: int) -> StagedJob:
        """Put together what a worker has to know to write one shard."""
        first, staging, store = shard * SHARD_PATCHES, self.arrivals.staging, self.rowing.store
        length = min(SHARD_PATCHES, store.rows - first)
        slots = np.arange(first, first + length) if self.is_in_slots else np.full(length, -1)
        patches: dict[int, StagedPatch] = {}
        refused: dict[int, str] = {}
        for i in self.rowing.shards[shard].tolist():
            patch, place = self.contents.archive.patches[i], int(self.rowing.rows[i]) - first
            slots[place] = self.slots[i]
            patches[place] = StagedPatch(patch=patch.patch, slot=int(self.slots[i]))
            reason = self.contents.labels.refused.get(patch.patch) or self._missing(patch, int(self.slots[i]))
            if reason is not None:
                refused[place] = reason
        return StagedJob(
            store=store,
            folder=staging.folder,
            planes=staging.planes,
            shard=shard,
            patches=patches,
            arrived=staging.arrived[slots] & (slots >= 0)[:, None],
            checksums=staging.checksums[slots],
            refused=refused,
            kept=self.rowing.kept(shard),
            is_in_slots=self.is_in_slots,
        )

    def free(self, shard: int) -> None:
        """Remove what a shard was made of, once it is stored."""
        if self.is_in_slots:
            for array in self.rowing.store.arrays:
                staged_file(self.arrivals.staging.folder, array, shard).unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the staging area."""
        self.arrivals.staging.discard()

    def _missing(self, patch: PatchFiles, slot: int) -> str | None:
        """Say which plane of a patch did not arrive, and why; None where all did."""
        arrived = self.arrivals.staging.arrived[slot]
        files = dict(patch.files) | ({} if patch.reference_map is None else {REFERENCE_MAP: patch.reference_map})
        for plane in self.arrivals.staging.planes:
            if plane.name in files and not arrived[plane.number]:
                place = self.contents.archive.source.locate(files[plane.name])
                return self.arrivals.failures.get((slot, plane.number)) or (
                    f"{patch.patch}: band {plane.name} ({place}) is missing; download the archive again, or ask for "
                    "other bands with bands=[…]"
                )
        return None


def staging_folder(place: Place) -> Path:
    """Where pixels wait for their rows: beside the store, or in the working directory if that is on object storage.

    Examples
    --------
    >>> from bigearth_xr.store.address import place_of
    >>> staging_folder(place_of("data/ben.zarr")).as_posix(), staging_folder(place_of("s3://mine/ben.zarr")).as_posix()
    ('data/ben.ingest', 'ben.ingest')
    """
    return (place.local or Path(place.name)).with_suffix(".ingest")


def plan_streams(containers: Sequence[str], request: Request, progress: Progress) -> StreamPlan:
    """Take in streams, and plan how what arrived goes into the store.

    Raises
    ------
    StoreError
        If the store that is there holds something else.
    OSError
        If the disk is full, or a server gives up; what has arrived is kept for the next call.

    Examples
    --------
    Called by `bigearth_xr.ingest`.

    >>> plan_streams.__name__
    'plan_streams'
    """
    lists, contents = read_named_lists(request), None
    if lists is None:
        # Only when all of it has passed by is it known what there is.
        contents = read_contents(_pass(containers, None, progress), request, None, progress)
        open_or_create(request, contents)
        arrivals = _expect(Slots(contents.table), request)
    else:
        arrivals = _expect(_listed(lists, request), request)
    passed = _pass(containers, arrivals, progress)
    contents = contents or read_contents(passed, request, lists, progress)
    slots = arrivals.slots.and_more(contents.table)
    if len(slots) > len(arrivals.slots):
        # Patches that no list mentions: only now is it known that they come.
        arrivals = _expect(slots, request, arrivals.staging)
        _pass(containers, arrivals, progress)
    store = open_or_create(request, contents)
    found = pa.chunked_array([pa.array([patch.patch for patch in contents.archive.patches], pa.string())])
    rowing, places = plan_rows(contents, store), arrivals.slots.of(found)
    extra_bytes = arrivals.staging.used_bytes()
    return StreamPlan(contents=contents, rowing=rowing, arrivals=arrivals, slots=places, staged_bytes=extra_bytes)


def _listed(lists: Lists, request: Request) -> Slots:
    """Plan a slot for every listed pair, and lay out the store with as many rows, which is what it may stay."""
    table = assemble(lists.release, lists.columns)
    try:
        open_store(request.store)
    except StoreNotFoundError:
        create_store(
            request.store,
            table,
            profile=request.profile or "fast",
            arrays=_arrays(request),
            sensors=request.sensors,
            marker=Marker(is_provisional=True, reason=BEGUN),
        )
    return Slots(table)


def _expect(slots: Slots, request: Request, staging: Staging | None = None) -> Arrivals:
    """Make room for patches; those that the store holds already need not come."""
    if staging is None:
        staging = Staging(staging_folder(request.store), _arrays(request), len(slots), identity=slots.identity)
    else:
        staging.grow(len(slots), identity=slots.identity)
    store = open_store(request.store)
    whole = read_complete(store)
    if "has_reference_map" in store.columns:
        # Its map may come yet.
        whole &= read_column(store, "has_reference_map")
    places = slots.of(pa.chunked_array([pa.array(read_column(store, "patch")[whole], pa.string())]))
    is_done = np.zeros(len(slots), bool)
    is_done[places[places >= 0]] = True
    return Arrivals(slots=slots, staging=staging, is_done=is_done)


def _arrays(request: Request) -> tuple[PixelArray, ...]:
    """All arrays that the store may get; what does not come takes no place."""
    bands = request.bands or [band.name for band in BANDS if band.sensor in request.sensors]
    return pixel_arrays(bands, reference_map=True)


def _pass(containers: Sequence[str], arrivals: Arrivals | None, progress: Progress) -> PixelSource:
    """Go through all containers side by side; what arrived is noted even if one of them fails."""
    indexes = [StreamIndex(container) for container in containers]
    try:
        with ThreadPoolExecutor(len(containers), thread_name_prefix="stream") as pool:
            for _ in pool.map(lambda index: _pass_one(index, arrivals, progress), indexes):
                pass
    finally:
        if arrivals is not None:
            arrivals.staging.checkpoint()
    return JoinedSource(tuple((str(number), index) for number, index in enumerate(indexes)))


def _pass_one(index: StreamIndex, arrivals: Arrivals | None, progress: Progress) -> None:
    with open_members(index.name, progress.say) as passage:
        total = passage.size or 0
        advance = progress.steps(Path(index.name).name, total)
        shown = 0

        def show() -> None:
            nonlocal shown
            now = passage.position()
            if now != shown:
                advance(now - shown)
                shown = now

        take_in(passage.members, index, arrivals, show)
