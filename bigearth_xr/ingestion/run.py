"""Carry out a plan: shards in parallel, the store's account of them in one place."""

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import SelectionError, StoreError
from bigearth_xr.ingestion.plan import BEGUN, Plan
from bigearth_xr.ingestion.report import IngestReport
from bigearth_xr.ingestion.shards import Job, ShardResult
from bigearth_xr.ingestion.staging import remove_partials, remove_staging
from bigearth_xr.processes import WorkerDiedError, map_in_processes
from bigearth_xr.progress import Progress
from bigearth_xr.store.create import Marker, clear_marker, read_marker, write_marker, write_states
from bigearth_xr.store.location import Location
from bigearth_xr.store.open import Store
from bigearth_xr.store.read import read_column, read_state
from bigearth_xr.store.schema import REFERENCE_MAP, SHARD_PATCHES, STORED

__all__ = ["Client"]

WORTH_PROCESSES = 256
"""Patches below which starting processes takes longer than the work."""

_CALL_AGAIN = "what was finished is stored, so call ingest again to continue"


class Client(Protocol):
    """What is asked of a `distributed.Client`."""

    def submit(self, func: Callable[[Job], ShardResult], *args: Job, pure: bool) -> object:
        """Have a function called by a worker; what comes back is for `distributed.as_completed`."""
        ...

    def nthreads(self) -> dict[str, int]:
        """Count the threads of each worker."""
        ...


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


def check_client(client: object) -> None:
    """Refuse what is neither None nor able to give work to a cluster.

    Examples
    --------
    >>> check_client(None)
    """
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
        for place, value in result.states.items():
            self.state[first + place] = value
            self.mapped[first + place] = place in result.mapped
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


def _finish(place: Location, *, is_whole: bool) -> None:
    """Leave nothing behind but the store: no note that it is unfinished, and no files of workers that were lost."""
    remove_partials(place)
    marker = read_marker(place)
    if is_whole:
        remove_staging(place)
    if marker is not None and (is_whole or not marker.is_provisional):
        clear_marker(place)


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


def _write(job: Job) -> ShardResult:
    return job.write()
