"""Carry out a plan: shards in parallel, the store's account of them in one place."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import SelectionError
from bigearth_xr.ingestion.plan import Plan
from bigearth_xr.ingestion.report import IngestReport
from bigearth_xr.ingestion.shards import ShardResult
from bigearth_xr.ingestion.workers import Client, on_cluster, on_processes
from bigearth_xr.progress import Progress
from bigearth_xr.store.create import write_states
from bigearth_xr.store.marker import clear_marker, read_marker
from bigearth_xr.store.place import Place
from bigearth_xr.store.read import read_column, read_state
from bigearth_xr.store.schema import REFERENCE_MAP, SHARD_PATCHES, STORED

__all__ = ["run_plan"]


def run_plan(plan: Plan, *, workers: int, client: Client | None, progress: Progress) -> IngestReport:
    """Write every shard of a plan and record the state of its patches as each is finished.

    Examples
    --------
    Called by `bigearth_xr.ingest`.

    >>> run_plan.__name__
    'run_plan'
    """
    if workers < 1:
        raise SelectionError(f"workers is {workers}, expected at least 1")
    store = plan.rowing.store
    state, mapped = read_state(store).copy(), _read_mapped(plan)
    failures: dict[str, str] = {}
    written = 0
    for result in _results(plan, workers, client, progress):
        first = result.shard * SHARD_PATCHES
        for place, value in result.states.items():
            state[first + place] = value
            mapped[first + place] = place in result.mapped
        written += sum(value == STORED for value in result.states.values())
        failures |= result.failures
        # Only now do readers see the shard: a run that is killed before will write it again.
        write_states(store, state, mapped)
        plan.free(result.shard)
    report = _report(plan, state, mapped, failures=failures, written=written)
    plan.close()
    _finish(store.place, is_whole=not plan.contents.is_cut_short)
    return report


def _results(plan: Plan, workers: int, client: Client | None, progress: Progress) -> Iterator[ShardResult]:
    """Write shards on a cluster, or in processes of this machine, or here."""
    advance = progress.steps("patches", sum(map(len, plan.rowing.shards.values())))
    if client is None:
        yield from on_processes(plan, workers, advance)
        return
    for result in on_cluster(plan, client):
        advance(len(result.states))
        yield result


def _finish(place: Place, *, is_whole: bool) -> None:
    """Leave nothing behind but the store: no note that it is unfinished, and no files of workers that were lost."""
    if place.local is not None:
        for partial in place.local.rglob("*.partial"):
            partial.unlink(missing_ok=True)
    if is_whole and read_marker(place) is not None:
        clear_marker(place)


def _read_mapped(plan: Plan) -> NDArray[np.bool_]:
    store = plan.rowing.store
    if "has_reference_map" in store.columns:
        return read_column(store, "has_reference_map").copy()
    return np.zeros(store.rows, bool)


def _report(
    plan: Plan, state: NDArray[np.uint8], mapped: NDArray[np.bool_], *, failures: dict[str, str], written: int
) -> IngestReport:
    contents, store = plan.contents, plan.rowing.store
    without_map: tuple[str, ...] = ()
    if any(array.name == REFERENCE_MAP for array in store.arrays):
        without_map = tuple(read_column(store, "patch")[(state == STORED) & ~mapped])
    return IngestReport(
        archive=contents.archive.name,
        store=store.place,
        release=store.release,
        profile=store.profile,
        rows=store.rows,
        rows_stored=int((state == STORED).sum()),
        stored=int((state[plan.rowing.rows] == STORED).sum()),
        written=written,
        quarantined=dict(sorted(failures.items())),
        problems=contents.archive.problems,
        without_map=without_map,
        unlisted=contents.unlisted,
        extra_bytes=plan.extra_bytes,
    )
