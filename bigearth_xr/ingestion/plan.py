"""Decide before the first pixel is read which patch goes to which row, and which rows are still to do."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bigearth_xr.archive import Archive, open_archive
from bigearth_xr.bands import Sensor
from bigearth_xr.errors import MetadataError, SelectionError, StoreError, StoreNotFoundError
from bigearth_xr.ingestion.shards import ShardJob
from bigearth_xr.progress import Progress
from bigearth_xr.store.create import create_store, store_uuid, table_path, update_store
from bigearth_xr.store.presence import read_due, read_held
from bigearth_xr.store.read import Store, open_store, read_column, read_state
from bigearth_xr.store.schema import PROFILES, SHARD_PATCHES, STORED, PixelArray, Profile, pixel_arrays
from bigearth_xr.table import extends, from_archive, release_of
from bigearth_xr.table import read as read_table
from bigearth_xr.table.found import Rows
from bigearth_xr.table.lists import find_lists, read_lists

__all__ = ["Plan", "Request", "plan_ingest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a caller asked `ingest` for."""

    archive: Path
    """Folder of the archive."""

    store: Path
    """Folder of the store."""

    metadata: tuple[Path, ...]
    """Lists named by the caller; none for those inside the archive."""

    sensors: tuple[Sensor, ...]
    """Sensors to store."""

    bands: tuple[str, ...] | None
    """Bands to store, None for all."""

    rows: Rows
    """Whether listed pairs that were not found get rows too."""

    profile: Profile | None
    """How to encode pixels; None for the store's own, or `fast`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be done."""

    archive: Archive
    """The opened archive."""

    store: Store
    """The store, laid out."""

    jobs: tuple[ShardJob, ...]
    """One job for each shard that lacks pixels which the archive has."""

    unlisted: int
    """Patches of the archive that its metadata does not mention."""


def plan_ingest(request: Request, progress: Progress) -> Plan:
    """Open the archive, build its table, and lay out the store or continue the one that is there.

    Raises
    ------
    StoreError
        If the store that is there holds something else.

    Examples
    --------
    >>> from bigearth_xr.testing import write_archive
    >>> archive = write_archive(getfixture("tmp_path") / "archive", pairs=3)
    >>> request = Request(archive=archive, store=getfixture("tmp_path") / "ben.zarr", metadata=(), sensors=("s1", "s2"),
    ...                   bands=None, rows="found", profile=None)
    >>> with Progress() as progress:
    ...     plan = plan_ingest(request, progress)
    >>> [len(job.patches) for job in plan.jobs]
    [3]
    """
    if request.rows not in get_args(Rows):
        raise SelectionError(f"unknown rows {request.rows!r}; expected one of {', '.join(get_args(Rows))}")
    archive, listed = _open(request)
    table = from_archive(archive, listed, rows=request.rows, track=lambda items: progress.over(items, "metadata"))
    arrays = pixel_arrays(archive.bands, reference_map=archive.has_reference_maps)
    store = _open_or_create(request, table, arrays, archive)
    known = 0 if listed is None else pc.sum(pc.is_in(_patches(archive), listed["patch"])).as_py() or 0
    return Plan(
        archive=archive,
        store=store,
        jobs=tuple(_jobs(archive, store, table)),
        unlisted=0 if listed is None else len(archive.patches) - known,
    )


def _open(request: Request) -> tuple[Archive, Mapping[str, pa.Array] | None]:
    """Open the archive with the pairs that its lists name; lists deep inside are found by a first pass."""
    places = request.metadata or ((request.archive,) if find_lists(request.archive) else ())
    if not places:
        archive = open_archive(request.archive, sensors=request.sensors, bands=request.bands)
        places = _parents(archive)
        if not places:
            return archive, None
    release, listed = read_lists(places)
    pairs = dict(zip(listed["patch"].to_pylist(), listed["s1_name"].to_pylist(), strict=True))
    archive = open_archive(request.archive, sensors=request.sensors, bands=request.bands, pairs=pairs)
    if archive.release != release:
        raise MetadataError(
            f"{places[0]}: lists of {release}, but {request.archive} is an archive of {archive.release}; give the "
            "metadata of its own release"
        )
    return archive, listed


def _parents(archive: Archive) -> tuple[Path, ...]:
    """Parquets found inside an archive, or the one folder of its CSVs."""
    files = [archive.root / file for file in archive.metadata_files]
    if archive.release == "v2":
        return tuple(files)
    return tuple(sorted({file.parent for file in files if find_lists(file.parent) == "v1"}))[:1]


def _open_or_create(request: Request, table: pa.Table, arrays: tuple[PixelArray, ...], archive: Archive) -> Store:
    if request.profile not in (None, *PROFILES):
        raise StoreError(f"unknown profile {request.profile!r}; expected one of {', '.join(PROFILES)}")
    try:
        store = open_store(request.store)
    except StoreNotFoundError:
        if request.store.is_file() or (request.store.exists() and any(request.store.iterdir())):
            raise StoreError(f"{request.store}: exists and is no store; choose another place") from None
        profile = request.profile or "fast"
        create_store(request.store, table, profile=profile, arrays=arrays, sensors=archive.sensors)
        return open_store(request.store)
    if store.uuid == store_uuid(table, profile=request.profile or store.profile, arrays=arrays):
        return store
    if not _says_more(table, store, arrays) or request.profile not in (None, store.profile):
        raise StoreError(
            f"{request.store}: is another store than this ingest would make: "
            f"{_difference(request, store, table, arrays)}; choose another place, or delete it first"
        )
    update_store(store, table, sensors=archive.sensors)
    return open_store(request.store)


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
    told = table_path(store.path)
    return store.arrays == arrays and told.is_file() and extends(table, read_table(told))


def _jobs(archive: Archive, store: Store, table: pa.Table) -> list[ShardJob]:
    """Gather the patches that are here but not stored, by shard."""
    slim = replace(archive, patches=(), problems=())
    row_of = pc.index_in(_patches(archive), table["patch"].combine_chunks()).to_numpy()
    complete = _complete(store)
    todo = np.flatnonzero(~complete[row_of])
    shards = row_of[todo] // SHARD_PATCHES
    jobs = []
    for shard in np.unique(shards):
        first = int(shard) * SHARD_PATCHES
        patches = {int(row_of[i]) - first: archive.patches[i] for i in todo[shards == shard]}
        kept = np.flatnonzero(complete[first : first + SHARD_PATCHES])
        jobs.append(
            ShardJob(store=store, archive=slim, shard=int(shard), patches=patches, kept=frozenset(kept.tolist()))
        )
    return jobs


def _complete(store: Store) -> NDArray[np.bool_]:
    """Which rows are stored whole; those of a shard that somebody deleted are to be done again."""
    complete: NDArray[np.bool_] = read_state(store) == STORED
    for array in store.arrays:
        complete &= read_held(store, array) | ~read_due(store, array)
    return complete


def _patches(archive: Archive) -> pa.Array:
    return pa.array([patch.patch for patch in archive.patches], pa.string())
