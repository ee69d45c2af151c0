"""`ingest`: checks what is asked for, plans the rows, and has the shards written in parallel."""

import errno
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.archive import choose_bands
from bigearth_xr.archive.containers import find_containers, open_source
from bigearth_xr.bands import Sensor
from bigearth_xr.errors import PatchError, SelectionError, StoreError
from bigearth_xr.ingestion.contents import Request, check_count, check_request, texts_of
from bigearth_xr.ingestion.plan import BEGUN, Plan, check_target, plan_files
from bigearth_xr.ingestion.report import IngestReport
from bigearth_xr.ingestion.rerow import finish_rerow
from bigearth_xr.ingestion.shards import ShardJob, ShardResult
from bigearth_xr.ingestion.staging import lock_store, remove_partials, remove_staging
from bigearth_xr.ingestion.stream_plan import plan_streams
from bigearth_xr.processes import WorkerDiedError, map_in_processes
from bigearth_xr.progress import Progress
from bigearth_xr.store.codec import ProfileName
from bigearth_xr.store.create import Marker, clear_marker, read_marker, write_marker, write_states
from bigearth_xr.store.location import Address, Location, StorageOptions, location_of
from bigearth_xr.store.open import Store
from bigearth_xr.store.read import read_column, read_state
from bigearth_xr.store.schema import REFERENCE_MAP, SHARD_PATCHES, STORED
from bigearth_xr.table.assembly import Rows

__all__ = ["Client"]

Place = str | PathLike[str]

_FULL = "the disk is full", "free some space"
_NO_ROOM = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: ("a file may not grow that large here", "raise the limit (ulimit -f), or use another file system,"),
}
"""What ends a run although nothing is wrong with the archive, and what to do, by the error's number."""

WORTH_PROCESSES = 256
"""Patches below which starting processes takes longer than the work."""

_CALL_AGAIN = "what was finished is stored, so call ingest again to continue"


class Client(Protocol):
    """What is asked of a `distributed.Client`."""

    def submit(self, func: Callable[[ShardJob], ShardResult], *args: ShardJob, pure: bool) -> object:
        """Have a function called by a worker; what comes back is for `distributed.as_completed`."""
        ...

    def nthreads(self) -> dict[str, int]:
        """Count the threads of each worker."""
        ...


def ingest(
    archive: Place | Sequence[Place],
    store: Address,
    metadata: Place | Sequence[Place] | None = None,
    sensors: Sensor | Sequence[Sensor] = ("s1", "s2"),
    bands: Iterable[str] | None = None,
    *,
    rows: Rows = "found",
    profile: ProfileName | None = None,
    workers: int = 8,
    client: Client | None = None,
    strict: bool = False,
    storage_options: StorageOptions | None = None,
) -> IngestReport:
    """Convert an archive into a store, exactly, and report every patch that could not be.

    The same archive gives the same bytes, whatever the number of workers, the kind of container and the order of what
    is in it. Called again on a store that is not complete, as after a kill, a full disk or a tar that was cut short, it
    reads what is missing; on a complete one it changes nothing, but a table that was lost or damaged is written again.

    Parameters
    ----------
    archive
        Where the archive is, v1 or v2: a folder, unpacked or with the downloaded tars in it; a tar (``.tar``,
        ``.tar.gz``, ``.tar.zst``), whole or in the parts of ``split`` (``.tar.gzaa``, …), of which one stands for all
        beside it; a pattern such as ``"S2.tar.gz*"``; an LMDB of safetensors, as rico-hdl writes it; the ``http`` or
        ``https`` address of a tar or of its first part; ``"-"`` for standard input, or another pipe; or several of
        these that belong together. Nothing is unpacked to disk. What is compressed is read from one end to the other:
        once if `metadata` says which patches there are, else twice; of a pipe what is read twice is kept on disk.
    store
        Where the store is, or is to be made: a folder named ``….zarr``, or an address ``s3://bucket/….zarr``. The table
        is written beside it.
    metadata
        v2: the metadata parquet or parquets, or their folder; v1: the folder of the published lists. By default
        those inside the archive; without any, what only lists know is unknown in the store.
    sensors
        Sensors to store, one or both. With both, a patch without its partner gets no row and a line in the report.
    bands
        Bands and polarizations to store, by name; all by default. Arrays of other bands will not exist.
    rows
        ``"found"`` plans a row for every pair found; ``"listed"`` also for every other pair of the metadata, absent
        until ingested.
    profile
        ``"fast"`` stores raw pixels, ``"compact"`` compressed ones. By default that of the store, ``"fast"`` for a
        new one.
    workers
        Processes that read and write, each a shard of 1,024 patches at a time; never more than cores or shards.
    client
        A `distributed.Client`, to have shards written by the workers of its cluster instead. They have to see the
        archive and the store under the same paths. Streams are taken in here.
    strict
        Raise at the end if any patch could not be stored.
    storage_options
        As for `bigearth_xr.open`.

    Returns
    -------
    IngestReport
        Counts, and every failure by patch.

    Raises
    ------
    ArchiveNotFoundError
        If there is no archive, or a part of it is missing.
    ArchiveError
        If it holds no patch, or both releases.
    StoreError
        If the store exists and is of another archive, or another profile; if it would lie in the archive; if the disk
        is full; or if another ingest is filling the store.
    SelectionError
        If an argument is not a path, a number or a client.
    DownloadError
        If a server gives up. What arrived until then is kept for the next call.
    BandError
        If a band or sensor is unknown.
    PatchError
        If `strict` and any patch was quarantined, unpaired or incomplete; the others are stored by then.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> archive = bex.testing.write_archive(getfixture("tmp_path") / "archive", pairs=3)
    >>> report = bex.ingest(archive, getfixture("tmp_path") / "ben.zarr")
    >>> report.found, report.stored, report.complete
    (3, 3, True)
    """
    request = Request(
        archive=texts_of(archive, "archive"),
        store=location_of(store, storage_options),
        metadata=() if metadata is None else tuple(map(Path, texts_of(metadata, "metadata"))),
        sensors=(sensors,) if isinstance(sensors, str) else tuple(sensors),
        bands=tuple(band.name for band in choose_bands(sensors, bands)),
        rows=rows,
        profile=profile,
    )
    check_request(request)
    check_count("workers", workers)
    _check_client(client)
    with lock_store(request.store), Progress() as progress, _telling_of_full_disk(request.store):
        plan = _plan(request, progress)
        report = run_plan(plan, workers=workers, client=client, progress=progress)
    if strict:
        _refuse_failures(report)
    return report


def _plan(request: Request, progress: Progress) -> Plan:
    """Plan how an archive goes into a store: in the order of its rows if files can be picked, else as they come."""
    if request.store.local is not None:
        finish_rerow(request.store.local)
    remove_partials(request.store)
    check_target(request)
    found = find_containers(request.archive)
    if found.streams:
        return plan_streams(found.in_passing(), request, progress)
    return plan_files(open_source(request.archive), request, progress)


@contextmanager
def _telling_of_full_disk(store: Location) -> Iterator[None]:
    """Say in words that no more can be written, wherever that was met."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        what, remedy = _NO_ROOM[error.errno]
        raise StoreError(
            f"{store}: {what} ({error}); what was stored so far is kept: {remedy} and call ingest again to continue"
        ) from error


def _refuse_failures(report: IngestReport) -> None:
    if report.failures:
        raise PatchError(
            f"{len(report.failures)} patches of {report.archive} could not be stored as they should; the others are "
            f"in {report.store}:\n" + "\n".join(report.failures)
        )


def run_plan(plan: Plan, *, workers: int, client: Client | None, progress: Progress) -> IngestReport:
    """Write every shard of a plan and record the state of its patches as each is finished."""
    store = plan.row_plan.store
    if plan.row_plan.shards and read_marker(store.location) is None:
        write_marker(store.location, Marker(is_provisional=False, reason=BEGUN))
    states = _States(state=read_state(store).copy(), mapped=_read_mapped(store))
    # Closed at once if something fails here: workers do not write on.
    with closing(_results(plan, workers, client, progress)) as results:
        for result in results:
            if states.add(result):
                # Only now do readers see the shard: a run that is killed before will write it again.
                write_states(store, states.state, states.mapped)
            plan.free(result.shard)
    report = _report(plan, states)
    plan.close()
    _finish(store.location, is_whole=not plan.contents.is_cut_short)
    return report


def _check_client(client: object) -> None:
    """Refuse what is neither None nor able to give work to a cluster."""
    if client is not None and not all(callable(getattr(client, name, None)) for name in ("submit", "nthreads")):
        raise SelectionError(f"client is {client!r}, expected a distributed.Client; make one of an address first")


def _run_in_processes(plan: Plan, workers: int, advance: Callable[..., None]) -> Iterator[ShardResult]:
    """Write shards here if there is little to do, else in processes of their own; in any order."""
    shards = plan.row_plan.shards
    processes = min(workers, len(shards), os.cpu_count() or 1)
    if processes <= 1 or sum(map(len, shards.values())) < WORTH_PROCESSES:
        yield from (plan.job(shard).write(advance) for shard in shards)
        return
    jobs = (plan.job(shard) for shard in shards)
    try:
        for result in map_in_processes(_write, jobs, processes=processes):
            advance(len(result.states))
            yield result
    except WorkerDiedError as error:
        raise StoreError(
            f"{plan.row_plan.store.location}: a worker process died ({error}); {_CALL_AGAIN}, with fewer workers if "
            "memory ran out"
        ) from None


def _run_on_cluster(plan: Plan, client: Client) -> Iterator[ShardResult]:
    """Write shards on the workers of a Dask cluster, which see the archive and the store under the same paths.

    A shard whose worker is lost is given to another one. Should the lost one still be writing, it does so into a file
    of its own, with the same bytes.
    """
    from distributed import KilledWorker, as_completed

    waiting = iter(plan.row_plan.shards)
    ahead = max(4, 2 * sum(client.nthreads().values()))
    completed: Any = as_completed
    running = completed(client.submit(_write, plan.job(shard), pure=False) for shard in islice(waiting, ahead))
    try:
        for future in running:
            yield future.result()
            for shard in islice(waiting, 1):
                running.add(client.submit(_write, plan.job(shard), pure=False))
    except KilledWorker as error:
        raise StoreError(
            f"{plan.row_plan.store.location}: one shard took several Dask workers with it ({error}); {_CALL_AGAIN}, "
            "with more memory a worker"
        ) from None


@dataclass(slots=True, kw_only=True)
class _States:
    """What is known of the store's rows while shards are written."""

    state: NDArray[np.uint8]
    """State of each row."""

    mapped: NDArray[np.bool_]
    """Which rows have a reference map."""

    failures: dict[str, str] = field(default_factory=dict)
    """Why a patch was quarantined, by patch id."""

    written: int = 0
    """Patches written."""

    def add(self, result: ShardResult) -> bool:
        """Add what became of a shard; False if nothing has changed."""
        first = result.shard * SHARD_PATCHES
        rows = slice(first, first + SHARD_PATCHES)
        before = self.state[rows].copy(), self.mapped[rows].copy()
        for position, value in result.states.items():
            self.state[first + position] = value
            self.mapped[first + position] = position in result.mapped
        self.written += sum(value == STORED for value in result.states.values())
        self.failures |= result.failures
        return not (np.array_equal(before[0], self.state[rows]) and np.array_equal(before[1], self.mapped[rows]))


def _results(plan: Plan, workers: int, client: Client | None, progress: Progress) -> Generator[ShardResult]:
    """Write shards on a cluster, or in processes of this machine, or here."""
    advance = progress.steps("patches", sum(map(len, plan.row_plan.shards.values())))
    if client is None:
        yield from _run_in_processes(plan, workers, advance)
        return
    for result in _run_on_cluster(plan, client):
        advance(len(result.states))
        yield result


def _finish(store: Location, *, is_whole: bool) -> None:
    """Leave nothing behind but the store: no note that it is unfinished, and no files of workers that were lost."""
    remove_partials(store)
    marker = read_marker(store)
    if is_whole:
        remove_staging(store)
    if marker is not None and (is_whole or not marker.is_provisional):
        clear_marker(store)


def _read_mapped(store: Store) -> NDArray[np.bool_]:
    if "has_reference_map" in store.columns:
        return read_column(store, "has_reference_map").copy()
    return np.zeros(store.rows, bool)


def _report(plan: Plan, states: _States) -> IngestReport:
    contents, store, state = plan.contents, plan.row_plan.store, states.state
    without_map: tuple[str, ...] = ()
    if any(array.name == REFERENCE_MAP for array in store.arrays):
        without_map = tuple(read_column(store, "patch")[(state == STORED) & ~states.mapped])
    return IngestReport(
        archive=contents.archive.name,
        store=store.location,
        release=store.release,
        profile=store.profile,
        rows=store.rows,
        rows_stored=int((state == STORED).sum()),
        stored=int((state[plan.row_plan.rows] == STORED).sum()),
        written=states.written,
        quarantined=dict(sorted(states.failures.items())),
        problems=contents.archive.problems,
        without_map=without_map,
        unlisted=contents.unlisted,
        extra_bytes=plan.extra_bytes,
    )


def _write(job: ShardJob) -> ShardResult:
    return job.write()
