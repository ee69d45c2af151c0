"""Who writes the shards: processes of this machine, or workers of a Dask cluster. No two of them write one shard."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, wait
from itertools import islice
from typing import Any, Protocol

from bigearth_xr.errors import SelectionError, StoreError
from bigearth_xr.ingestion.plan import Plan
from bigearth_xr.ingestion.shards import Job, ShardResult

__all__ = ["Client", "check_client", "on_cluster", "on_processes"]

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


def check_client(client: object) -> None:
    """Refuse what is neither None nor able to give work to a cluster.

    Examples
    --------
    >>> check_client(None)
    """
    if client is not None and not all(callable(getattr(client, name, None)) for name in ("submit", "nthreads")):
        raise SelectionError(f"client is {client!r}, expected a distributed.Client; make one of an address first")


def on_processes(plan: Plan, workers: int, advance: Callable[..., None]) -> Iterator[ShardResult]:
    """Write shards here if there is little to do, else in processes of their own; in any order.

    Examples
    --------
    Called by `bigearth_xr.ingest`.

    >>> on_processes.__name__
    'on_processes'
    """
    shards = plan.rowing.shards
    processes = min(workers, len(shards), os.cpu_count() or 1)
    if processes <= 1 or sum(map(len, shards.values())) < WORTH_PROCESSES:
        yield from (plan.job(shard).write(advance) for shard in shards)
        return
    # loky starts fresh interpreters that do not import the caller's script: no `if __name__ == "__main__"` is needed,
    # and threads that the caller has (Dask, tensorstore) are not torn apart by a fork.
    from loky import ProcessPoolExecutor
    from loky.process_executor import BrokenProcessPool

    with ProcessPoolExecutor(processes, initializer=_end_with, initargs=(os.getpid(),)) as pool:
        try:
            for result in _in_turn(pool, plan, ahead=2 * processes):
                advance(len(result.states))
                yield result
        except BrokenProcessPool as error:
            raise StoreError(
                f"{plan.rowing.store.location}: a worker process died ({error}); {_CALL_AGAIN}, with fewer workers if "
                "memory ran out"
            ) from None


def on_cluster(plan: Plan, client: Client) -> Iterator[ShardResult]:
    """Write shards on the workers of a Dask cluster, which see the archive and the store under the same paths.

    A shard whose worker is lost is given to another one. Should the lost one still be writing, it does so into a file
    of its own, with the same bytes.

    Examples
    --------
    Called by `bigearth_xr.ingest`.

    >>> on_cluster.__name__
    'on_cluster'
    """
    from distributed import KilledWorker, as_completed

    waiting = iter(plan.rowing.shards)
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
            f"{plan.rowing.store.location}: one shard took several Dask workers with it ({error}); {_CALL_AGAIN}, with "
            "more memory a worker"
        ) from None


def _write(job: Job) -> ShardResult:
    return job.write()


def _in_turn(pool: Executor, plan: Plan, *, ahead: int) -> Iterator[ShardResult]:
    """Submit a few shards ahead of those that are done: all of them at once, with their names, would fill memory."""
    waiting = iter(plan.rowing.shards)
    running = {pool.submit(_write, plan.job(shard)) for shard in islice(waiting, ahead)}
    try:
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            running |= {pool.submit(_write, plan.job(shard)) for shard in islice(waiting, len(done))}
            for future in done:
                yield future.result()
    finally:
        # Who stops here does not wait for shards that have not begun.
        for future in running:
            future.cancel()


def _end_with(parent: int) -> None:
    """End this worker when its parent is gone: one that was killed cannot tell its workers, and they would write on."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
