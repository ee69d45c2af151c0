"""Carry out a plan: shards in parallel, the store's account of them in one place."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.ingestion.leftovers import remove_partials, remove_staging
from bigearth_xr.ingestion.plan import Plan
from bigearth_xr.ingestion.report import IngestReport
from bigearth_xr.ingestion.shards import ShardResult
from bigearth_xr.ingestion.target import BEGUN
from bigearth_xr.ingestion.workers import Client, on_cluster, on_processes
from bigearth_xr.progress import Progress
from bigearth_xr.store.create import Marker, clear_marker, read_marker, write_marker, write_states
from bigearth_xr.store.location import Location
from bigearth_xr.store.open import Store
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
    store = plan.rowing.store
    if plan.rowing.shards and read_marker(store.location) is None:
        write_marker(store.location, Marker(is_provisional=False, reason=BEGUN))
    account = _Account(state=read_state(store).copy(), mapped=_read_mapped(store))
    # Closed at once if something fails here: workers do not write on.
    with closing(_results(plan, workers, client, progress)) as results:
        for result in results:
            if account.add(result):
                # Only now do readers see the shard: a run that is killed before will write it again.
                write_states(store, account.state, account.mapped)
            plan.free(result.shard)
    report = _report(plan, account)
    plan.close()
    _finish(store.location, is_whole=not plan.contents.is_cut_short)
    return report


@dataclass(slots=True, kw_only=True)
class _Account:
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
    advance = progress.steps("patches", sum(map(len, plan.rowing.shards.values())))
    if client is None:
        yield from on_processes(plan, workers, advance)
        return
    for result in on_cluster(plan, client):
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


def _report(plan: Plan, account: _Account) -> IngestReport:
    contents, store, state = plan.contents, plan.rowing.store, account.state
    without_map: tuple[str, ...] = ()
    if any(array.name == REFERENCE_MAP for array in store.arrays):
        without_map = tuple(read_column(store, "patch")[(state == STORED) & ~account.mapped])
    return IngestReport(
        archive=contents.archive.name,
        store=store.location,
        release=store.release,
        profile=store.profile,
        rows=store.rows,
        rows_stored=int((state == STORED).sum()),
        stored=int((state[plan.rowing.rows] == STORED).sum()),
        written=account.written,
        quarantined=dict(sorted(account.failures.items())),
        problems=contents.archive.problems,
        without_map=without_map,
        unlisted=contents.unlisted,
        extra_bytes=plan.extra_bytes,
    )
