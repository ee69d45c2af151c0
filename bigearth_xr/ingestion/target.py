"""The store that an ingest fills: made, continued, brought up to what is known by now, or refused."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from bigearth_xr.errors import StoreError, StoreNotFoundError
from bigearth_xr.ingestion.contents import Contents
from bigearth_xr.ingestion.request import Request
from bigearth_xr.ingestion.rerow import rerow_store
from bigearth_xr.releases import Release
from bigearth_xr.store.create import (
    Marker,
    check_free,
    create_store,
    find_table,
    read_marker,
    restore_table,
    update_store,
    write_marker,
)
from bigearth_xr.store.layout import store_uuid
from bigearth_xr.store.location import Location
from bigearth_xr.store.open import Store, open_store
from bigearth_xr.store.read import read_column, read_state
from bigearth_xr.store.schema import FORMAT_VERSION, REFERENCE_MAP, STORED, PixelArray
from bigearth_xr.table import extends, release_of

__all__ = ["BEGUN", "check_target", "find_store", "open_or_create"]

BEGUN = "its ingest was begun and has not ended"
"""Why a store is not finished, where nothing else is known."""


def find_store(place: Location) -> Store | None:
    """Open a store, if there is one.

    Examples
    --------
    >>> from bigearth_xr.store.location import location_of
    >>> find_store(location_of(getfixture("tmp_path") / "ben.zarr")) is None
    True
    """
    try:
        return open_store(place)
    except StoreNotFoundError:
        return None


def check_target(request: Request, release: Release | None = None) -> None:
    """Refuse, before hours of reading, a store that cannot be meant, whatever the archive holds.

    Parameters
    ----------
    request
        Names the store.
    release
        That of the archive, if it is known yet.

    Raises
    ------
    StoreError
        If the store is of another release, profile or choice of bands, or if its place is taken.

    Examples
    --------
    Called by `bigearth_xr.ingest`.

    >>> check_target.__name__
    'check_target'
    """
    store = find_store(request.store)
    if store is not None:
        _check_kind(request, store, release)
    elif request.store.local is not None:
        check_free(request.store)


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
    store = find_store(request.store)
    if store is None:
        profile = request.profile or "fast"
        create_store(request.store, table, profile=profile, arrays=arrays, sensors=sensors, marker=marker)
        return open_store(request.store)
    _check_kind(request, store, release_of(table))
    found = read_marker(store.location)
    if store.uuid == store_uuid(table, profile=store.profile, arrays=arrays, version=store.format_version):
        restore_table(store.location, table)
        if store.format_version != FORMAT_VERSION:
            update_store(store, table, sensors=sensors)
        if found not in (None, marker):
            write_marker(store.location, marker)
    elif _says_more(table, store, arrays):
        # A finished store is not, until all of this is done; its rows stay.
        write_marker(store.location, marker if found else Marker(is_provisional=False, reason=BEGUN))
        update_store(store, table, sensors=sensors)
    elif found is not None and found.is_provisional and _keeps_all(store, table, arrays):
        rerow_store(store, table, arrays=arrays, sensors=sensors, marker=marker)
    else:
        raise _another_store(request, _difference(store, table, arrays))
    return open_store(request.store)


def _reason(contents: Contents) -> str:
    cut = (problem.message for problem in contents.archive.problems if problem.kind in ("truncated", "damaged"))
    return next(cut, BEGUN)


def _check_kind(request: Request, store: Store, release: Release | None) -> None:
    """Refuse a store of another kind: no rows of it are looked at."""
    if release not in (None, store.release):
        raise _another_store(request, f"it holds {store.release}, the archive is {release}")
    if request.profile not in (None, store.profile):
        raise _another_store(request, f"its profile is {store.profile!r}, {request.profile!r} was asked for")
    wanted = tuple(band for array in request.pixel_arrays() for band in array.bands)
    if wanted != store.bands:
        raise _another_store(request, f"it holds {', '.join(store.bands)}, this would store {', '.join(wanted)}")


def _another_store(request: Request, difference: str) -> StoreError:
    return StoreError(
        f"{request.store}: is another store than this ingest would make: {difference}; choose another place, or "
        "delete it first"
    )


def _keeps_all(store: Store, table: pa.Table, arrays: Sequence[PixelArray]) -> bool:
    """Whether nothing that a store holds would be lost with these rows and arrays."""
    has_maps = "has_reference_map" in store.columns and bool(read_column(store, "has_reference_map").any())
    if has_maps and REFERENCE_MAP not in {array.name for array in arrays}:
        return False
    stored = read_column(store, "patch")[read_state(store) == STORED]
    return not pc.any(pc.invert(pc.is_in(pa.array(stored, pa.string()), table["patch"]))).as_py()


def _difference(store: Store, table: pa.Table, arrays: Sequence[PixelArray]) -> str:
    """Say what keeps two ingests of one kind apart, the most telling first."""
    if set(read_column(store, "patch")) != set(table["patch"].to_pylist()):
        return (
            f"its {store.rows:,} patches are not the {table.num_rows:,} of this archive; to fill one store part by "
            "part, begin with rows='listed'"
        )
    if store.arrays != tuple(arrays):
        has_maps = REFERENCE_MAP in {array.name for array in store.arrays}
        return f"it has {'' if has_maps else 'no '}reference maps, this archive has {'none' if has_maps else 'some'}"
    return "its metadata say more, or otherwise, of the same patches; give the same metadata as before"


def _says_more(table: pa.Table, store: Store, arrays: Sequence[PixelArray]) -> bool:
    """Whether only the table has grown: a JSON was repaired, or lists were found."""
    if store.arrays != tuple(arrays):
        return False
    told = find_table(store.location)
    return told is not None and told.num_rows == store.rows and extends(table, told)
