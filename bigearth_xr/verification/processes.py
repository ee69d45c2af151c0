"""Inspect many shards at once, in processes of their own if that is worth their start."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from itertools import islice

from bigearth_xr.errors import StoreError
from bigearth_xr.verification.inspection import Inspection, ShardHoldings, inspect_shard

__all__ = ["inspect_shards"]

WORTH_PROCESSES = 2048
"""Patches below which starting processes takes longer than the work."""


def inspect_shards(
    shards: Sequence[int], job: Callable[[int], Inspection], *, rows: int, workers: int
) -> Iterator[ShardHoldings]:
    """Inspect shards, in any order.

    Parameters
    ----------
    shards
        Their numbers.
    job
        Puts together what a worker has to know of one; asked for a few ahead of their turn.
    rows
        Rows of the store.
    workers
        Processes at most.

    Examples
    --------
    >>> list(inspect_shards([], lambda shard: None, rows=0, workers=1))
    []
    """
    processes = min(workers, len(shards), os.cpu_count() or 1)
    if processes <= 1 or rows < WORTH_PROCESSES:
        yield from (inspect_shard(job(shard)) for shard in shards)
        return
    # As in ingest: fresh interpreters that do not import the caller's script.
    from loky import ProcessPoolExecutor
    from loky.process_executor import BrokenProcessPool

    waiting = iter(shards)
    with ProcessPoolExecutor(processes) as pool:
        try:
            running = {pool.submit(inspect_shard, job(shard)) for shard in islice(waiting, 2 * processes)}
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                running |= {pool.submit(inspect_shard, job(shard)) for shard in islice(waiting, len(done))}
                for future in done:
                    yield future.result()
        except BrokenProcessPool as error:
            raise StoreError(
                f"a worker process died ({error}); nothing was changed: verify again, with fewer workers "
                "if memory ran out"
            ) from None
