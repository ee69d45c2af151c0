"""Streams into a store: compressed tars and addresses, which can only be read from one end to the other.

Rows are planned before the first pixel. Where lists name the patches, one pass is enough: every listed pair has a slot,
and pixels are put there as they come. Without lists a first pass notes what there is. In either case the names that
passed by decide in the end which rows the store has.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bigearth_xr.archive.containers import Container
from bigearth_xr.archive.pipe import Pipe
from bigearth_xr.errors import BigEarthError
from bigearth_xr.ingestion.arrivals import Arrivals
from bigearth_xr.ingestion.contents import Contents, Lists, read_contents, read_named_lists
from bigearth_xr.ingestion.passing import forget_jsons, pass_by
from bigearth_xr.ingestion.plan import plan_rows
from bigearth_xr.ingestion.request import Request
from bigearth_xr.ingestion.slots import Slots
from bigearth_xr.ingestion.staging import Staging, staging_folder
from bigearth_xr.ingestion.stream_plan import StreamPlan
from bigearth_xr.ingestion.target import BEGUN, check_target, find_store, open_or_create
from bigearth_xr.progress import Progress
from bigearth_xr.store.create import Marker, create_store, read_marker, remove_store
from bigearth_xr.store.location import Location
from bigearth_xr.store.open import Store
from bigearth_xr.store.read import read_column, read_complete
from bigearth_xr.store.schema import PixelArray
from bigearth_xr.table import assemble

__all__ = ["plan_streams"]


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

    Examples
    --------
    Called by `bigearth_xr.ingest`.

    >>> plan_streams.__name__
    'plan_streams'
    """
    lists = read_named_lists(request)
    pipes = [container for container in containers if isinstance(container, Pipe)]
    for pipe in pipes:
        pipe.folder = staging_folder(request.store).parent
        pipe.folder.mkdir(parents=True, exist_ok=True)
    if lists is None:
        contents, arrivals = _take_unlisted(containers, request, progress)
    else:
        contents, arrivals = _take_listed(containers, request, lists, progress)
    store = open_or_create(request, contents)
    found = pa.chunked_array([pa.array([patch.patch for patch in contents.archive.patches], pa.string())])
    return StreamPlan(
        contents=contents,
        rowing=plan_rows(contents, store),
        arrivals=arrivals,
        slots=arrivals.slots.of(found),
        staged_bytes=arrivals.staging.used_bytes(),
        kept_bytes=sum(pipe.kept_bytes for pipe in pipes),
    )


def _take_unlisted(containers: Sequence[Container], request: Request, progress: Progress) -> tuple[Contents, Arrivals]:
    """Take in patches of which nothing is known before all of them have passed by once."""
    contents = read_contents(pass_by(containers, None, progress), request, None, progress)
    open_or_create(request, contents)
    arrivals = _expect(Slots.of_table(contents.table), request.store, contents.arrays)
    pass_by(containers, arrivals, progress)
    return contents, arrivals


def _take_listed(
    containers: Sequence[Container], request: Request, lists: Lists, progress: Progress
) -> tuple[Contents, Arrivals]:
    """Take in the patches that lists name, and in a second pass those that they do not."""
    check_target(request, lists.release)
    arrays = request.pixel_arrays(reference_map=lists.release == "v2")
    table = assemble(lists.release, lists.columns)
    is_new = _lay_out(request, table, arrays)
    slots = Slots.of_table(table)
    del table  # of a whole release 200 MB, and another one will be made of what passes by
    arrivals = _expect(slots, request.store, arrays)
    passed = pass_by(containers, arrivals, progress)
    try:
        contents = read_contents(passed, request, lists, progress)
    except BigEarthError:
        # This was no such archive at all.
        if is_new:
            arrivals.staging.discard()
            remove_store(request.store)
        raise
    forget_jsons(passed)
    slots = slots.and_more(contents.table)
    if len(slots) > len(arrivals.slots):
        arrivals.staging.grow(len(slots))
        is_done = _find_done(slots, request.store)
        arrivals = Arrivals(slots=slots, staging=arrivals.staging, is_done=is_done)
        pass_by(containers, arrivals, progress)
    return contents, arrivals


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


def _expect(slots: Slots, place: Location, arrays: Sequence[PixelArray]) -> Arrivals:
    """Make room for patches; those that the store holds already need not come."""
    staging = Staging(staging_folder(place), arrays, len(slots), identity=slots.identity)
    return Arrivals(slots=slots, staging=staging, is_done=_find_done(slots, place))


def _find_done(slots: Slots, place: Location) -> NDArray[np.bool_]:
    """Find the slots of patches that the store holds already, shape ``(slot,)``."""
    is_done = np.zeros(len(slots), bool)
    store = find_store(place)
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
