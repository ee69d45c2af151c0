"""The store that an ingest fills: made, continued, brought up to what is known by now, or refused."""

import pyarrow as pa

from bigearth_xr.errors import StoreError, StoreNotFoundError
from bigearth_xr.ingestion.contents import Contents
from bigearth_xr.ingestion.request import Request
from bigearth_xr.ingestion.rerow import rerow_store
from bigearth_xr.store.create import create_store, read_table, update_store
from bigearth_xr.store.layout import store_uuid
from bigearth_xr.store.marker import Marker, read_marker, write_marker
from bigearth_xr.store.read import Store, open_store, read_column, read_state
from bigearth_xr.store.schema import STORED, PixelArray
from bigearth_xr.table import extends, release_of

__all__ = ["BEGUN", "open_or_create"]

BEGUN = "its ingest was begun and has not ended"
"""Why a store is not finished, where nothing else is known."""


def open_or_create(request: Request, contents: Contents) -> Store:
    """Open the store that these contents belong into, or lay it out.

    Parameters
    ----------
    request
        Names the store and its profile.
    contents
        What it is to hold; where the archive is cut short, the store's rows are provisional.

    Raises
    ------
    StoreError
        If the store that is there holds something else.

    Examples
    --------
    Called by `bigearth_xr.ingest`.

    >>> open_or_create.__name__
    'open_or_create'
    """
    table, arrays, sensors = contents.table, contents.arrays, contents.archive.sensors
    marker = Marker(is_provisional=contents.is_cut_short, reason=_reason(contents))
    try:
        store = open_store(request.store)
    except StoreNotFoundError:
        profile = request.profile or "fast"
        create_store(request.store, table, profile=profile, arrays=arrays, sensors=sensors, marker=marker)
        return open_store(request.store)
    found = read_marker(store.place)
    if store.uuid == store_uuid(table, profile=request.profile or store.profile, arrays=arrays):
        if found is not None and found != marker:
            write_marker(store.place, marker)
        return store
    if request.profile in (None, store.profile) and _says_more(table, store, arrays):
        update_store(store, table, sensors=sensors)
        return open_store(request.store)
    if found is not None and found.is_provisional and _can_rerow(request, store, table):
        rerow_store(store, table, arrays=arrays, sensors=sensors, marker=marker)
        return open_store(request.store)
    raise StoreError(
        f"{request.store}: is another store than this ingest would make: "
        f"{_difference(request, store, table, arrays)}; choose another place, or delete it first"
    )


def _reason(contents: Contents) -> str:
    cut = (problem.message for problem in contents.archive.problems if problem.kind == "truncated")
    return next(cut, BEGUN)


def _can_rerow(request: Request, store: Store, table: pa.Table) -> bool:
    """Whether a store with provisional rows is of the same archive: nothing that it holds may be lost."""
    is_same_kind = store.release == release_of(table) and request.profile in (None, store.profile)
    return is_same_kind and set(read_column(store, "patch")[read_state(store) == STORED]) <= set(
        table["patch"].to_pylist()
    )


def _difference(request: Request, store: Store, table: pa.Table, arrays: tuple[PixelArray, ...]) -> str:
    """Say what keeps two ingests apart, the most telling first."""
    if store.release != release_of(table):
        return f"it holds {store.release}, the archive is {release_of(table)}"
    if request.profile not in (None, store.profile):
        return f"its profile is {store.profile!r}, {request.profile!r} was asked for"
    if store.arrays != arrays:
        wanted = [band for array in arrays for band in array.bands]
        return f"it holds {', '.join(store.bands)}, this would store {', '.join(wanted)}, or reference maps differ"
    if set(read_column(store, "patch")) != set(table["patch"].to_pylist()):
        return (
            f"its {store.rows:,} patches are not the {table.num_rows:,} of this archive; to fill one store part by "
            "part, begin with rows='listed'"
        )
    return "its metadata say more, or otherwise, of the same patches; give the same metadata as before"


def _says_more(table: pa.Table, store: Store, arrays: tuple[PixelArray, ...]) -> bool:
    """Whether only the table has grown: a JSON was repaired, or lists were found."""
    if store.arrays != arrays:
        return False
    try:
        return extends(table, read_table(store.place))
    except FileNotFoundError:
        return False
