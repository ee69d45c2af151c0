"""Decide before the first pixel is read which patch goes to which row, and which rows are still to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bigearth_xr.archive import PixelSource
from bigearth_xr.errors import StoreError, StoreNotFoundError
from bigearth_xr.ingestion.contents import Contents, Request, read_contents, read_named_lists
from bigearth_xr.ingestion.rerow import rerow_store
from bigearth_xr.ingestion.shards import FileJob, ShardJob
from bigearth_xr.progress import Progress
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
from bigearth_xr.store.read import read_column, read_complete, read_state
from bigearth_xr.store.schema import FORMAT_VERSION, REFERENCE_MAP, SHARD_PATCHES, STORED, PixelArray
from bigearth_xr.table import extends, release_of

BEGUN = "its ingest was begun and has not ended"
"""Why a store is not finished, where nothing else is known."""


class Plan(Protocol):
    """What is to be done, whatever the pixels come from."""

    @property
    def contents(self) -> Contents:
        """What the archive holds."""

    @property
    def row_plan(self) -> "RowPlan":
        """Which patch goes where."""

    def job(self, shard: int) -> ShardJob:
        """Put together what a worker has to know to write one shard."""

    def free(self, shard: int) -> None:
        """Remove what a shard was made of, once it is stored."""

    def close(self) -> None:
        """Remove what the plan needed, once all of it is carried out."""

    @property
    def extra_bytes(self) -> int:
        """Disk taken beside the archive and the store, at the most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowPlan:
    """Which patch of an archive goes to which row of a store, and what is to do."""

    store: Store
    """The store, laid out."""

    rows: NDArray[np.intp]
    """Row of each patch of the archive, shape ``(patch,)``."""

    complete: NDArray[np.bool_]
    """Which rows of the store are stored already."""

    shards: Mapping[int, NDArray[np.intp]]
    """Shards that lack pixels which the archive has, each with the places of their patches in the archive."""

    def kept(self, shard: int) -> frozenset[int]:
        """Positions in a shard whose pixels an earlier run stored."""
        first = shard * SHARD_PATCHES
        return frozenset(np.flatnonzero(self.complete[first : first + SHARD_PATCHES]).tolist())


@dataclass(frozen=True, slots=True, kw_only=True)
class _FilePlan:
    """To read patches from files of an archive, in the order of the rows."""

    contents: Contents
    """What the archive holds."""

    row_plan: RowPlan
    """Which patch goes where."""

    def job(self, shard: int) -> FileJob:
        """Put together what a worker has to know to write one shard."""
        archive, row_plan, refused = self.contents.archive, self.row_plan, self.contents.labels.refused
        first = shard * SHARD_PATCHES
        patches = {int(row_plan.rows[i]) - first: archive.patches[i] for i in row_plan.shards[shard]}
        folders = {folder for patch in patches.values() for folder in patch.folders}
        return FileJob(
            store=row_plan.store,
            archive=replace(archive, patches=(), problems=(), source=archive.source.only(folders)),
            shard=shard,
            patches=patches,
            refused={i: refused[patch.patch] for i, patch in patches.items() if patch.patch in refused},
            kept=row_plan.kept(shard),
        )

    def free(self, shard: int) -> None:
        """Nothing: a shard is made of files of the archive."""

    def close(self) -> None:
        """Nothing."""

    @property
    def extra_bytes(self) -> int:
        """None: every file is written where it is to stay."""
        return 0


def plan_files(source: PixelSource, request: Request, progress: Progress) -> _FilePlan:
    """Find what a source holds, make its table, and lay out the store or continue the one that is there.

    Raises
    ------
    StoreError
        If the store that is there holds something else.
    """
    contents = read_contents(source, request, read_named_lists(request), progress)
    store = open_or_create(request, contents)
    return _FilePlan(contents=contents, row_plan=plan_rows(contents, store))


def plan_rows(contents: Contents, store: Store) -> RowPlan:
    """Give every patch of an archive its row in a store, and find those that are still to do."""
    found = pa.array([patch.patch for patch in contents.archive.patches], pa.string())
    rows = pc.index_in(found, pa.array(read_column(store, "patch"))).to_numpy().astype(np.intp)
    complete = read_complete(store)
    complete[rows[_maps_to_come(contents, store, rows)]] = False
    return RowPlan(store=store, rows=rows, complete=complete, shards=_by_shard(rows, ~complete[rows]))


def find_store(location: Location) -> Store | None:
    """Open a store, if there is one."""
    try:
        return open_store(location)
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
    """
    store = find_store(request.store)
    if store is not None:
        _check_kind(request, store, release)
    elif request.store.local is not None:
        check_free(request.store)


def open_or_create(request: Request, contents: Contents) -> Store:
    """Open the store that these contents belong into, or lay it out.

    Its rows are provisional where the archive is cut short.

    Raises
    ------
    StoreError
        If the store that is there holds something else.
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


def _maps_to_come(contents: Contents, store: Store, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Which patches have a reference map in the archive, but none in the store: they came in parts."""
    has_map = np.array([patch.reference_map is not None for patch in contents.archive.patches], bool)
    if "has_reference_map" not in store.columns:
        return np.zeros(len(rows), bool)
    to_come: NDArray[np.bool_] = has_map & ~read_column(store, "has_reference_map")[rows]
    return to_come


def _by_shard(rows: NDArray[np.intp], todo: NDArray[np.bool_]) -> dict[int, NDArray[np.intp]]:
    """Gather the patches that are to do by the shard of their row."""
    places = np.flatnonzero(todo)
    places = places[np.argsort(rows[places], kind="stable")]
    shards, starts = np.unique(rows[places] // SHARD_PATCHES, return_index=True)
    return dict(zip(shards.tolist(), np.split(places, starts[1:]), strict=True)) if places.size else {}


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
    before = find_table(store.location)
    return before is not None and before.num_rows == store.rows and extends(table, before)
