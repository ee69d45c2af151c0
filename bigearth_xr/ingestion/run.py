"""Carry out a plan: shards in parallel, the store's account of them in one place."""

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import as_completed

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import SelectionError, StoreError
from bigearth_xr.ingestion.plan import Plan
from bigearth_xr.ingestion.report import IngestReport
from bigearth_xr.ingestion.shards import ShardResult, write_shard
from bigearth_xr.progress import Progress
from bigearth_xr.store.create import write_states
from bigearth_xr.store.read import read_column, read_state
from bigearth_xr.store.schema import REFERENCE_MAP, SHARD_PATCHES, STORED

__all__ = ["run_plan"]

WORTH_PROCESSES = 256
"""Patches below which starting processes takes longer than the work."""


def run_plan(plan: Plan, *, workers: int, progress: Progress) -> IngestReport:
    """Write every shard of a plan and record the state of its patches as each is finished.

    Examples
    --------
    Called by `bigearth_xr.ingest`.

    >>> run_plan.__name__
    'run_plan'
    """
    if workers < 1:
        raise SelectionError(f"workers is {workers}, expected at least 1")
    state, mapped = read_state(plan.store).copy(), _read_mapped(plan)
    failures: dict[str, str] = {}
    written = 0
    for result in _results(plan, workers, progress):
        first = result.shard * SHARD_PATCHES
        for place, value in result.states.items():
            state[first + place] = value
            mapped[first + place] = place in result.mapped
        written += sum(value == STORED for value in result.states.values())
        failures |= result.failures
        # Only now do readers see the shard: a run that is killed before will write it again.
        write_states(plan.store, state, mapped)
    return _report(plan, state, mapped, failures=failures, written=written)


def _results(plan: Plan, workers: int, progress: Progress) -> Iterator[ShardResult]:
    """Write shards here if there is little to do, else in processes of their own; in any order."""
    patches = sum(len(job.patches) for job in plan.jobs)
    advance = progress.steps("patches", patches)
    processes = min(workers, len(plan.jobs), os.cpu_count() or 1)
    if processes <= 1 or patches < WORTH_PROCESSES:
        yield from (write_shard(job, advance) for job in plan.jobs)
        return
    # loky starts fresh interpreters that do not import the caller's script: no `if __name__ == "__main__"` is needed,
    # and threads that the caller has (Dask, tensorstore) are not torn apart by a fork.
    from loky import ProcessPoolExecutor
    from loky.process_executor import BrokenProcessPool

    with ProcessPoolExecutor(processes, initializer=_end_with, initargs=(os.getpid(),)) as pool:
        running = [pool.submit(write_shard, job) for job in plan.jobs]
        try:
            for done in as_completed(running):
                result = done.result()
                advance(len(result.states))
                yield result
        except BrokenProcessPool as error:
            raise StoreError(
                f"{plan.store.path}: a worker process died ({error}); what was finished is stored, so call ingest "
                "again to continue, with fewer workers if memory ran out"
            ) from None


def _end_with(parent: int) -> None:
    """End this worker when its parent is gone: one that was killed cannot tell its workers, and they would write on."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _read_mapped(plan: Plan) -> NDArray[np.bool_]:
    if "has_reference_map" in plan.store.columns:
        return read_column(plan.store, "has_reference_map").copy()
    return np.zeros(plan.store.rows, bool)


def _report(
    plan: Plan, state: NDArray[np.uint8], mapped: NDArray[np.bool_], *, failures: dict[str, str], written: int
) -> IngestReport:
    without_map: tuple[str, ...] = ()
    if any(array.name == REFERENCE_MAP for array in plan.store.arrays):
        patches = read_column(plan.store, "patch")
        without_map = tuple(patches[(state == STORED) & ~mapped])
    return IngestReport(
        archive=plan.archive.root,
        store=plan.store.path,
        release=plan.store.release,
        profile=plan.store.profile,
        rows=plan.store.rows,
        found=len(plan.archive.patches),
        stored=int((state == STORED).sum()),
        written=written,
        quarantined=dict(sorted(failures.items())),
        problems=plan.archive.problems,
        without_map=without_map,
        unlisted=plan.unlisted,
    )
