"""Workers of a Dask cluster that are lost in the middle of a shard."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from distributed import Client, LocalCluster

import bigearth_xr as bex
from benchmarks._trials import Archives, Fault, Trial
from bigearth_xr.errors import BigEarthError
from bigearth_xr.ingestion.shards import ShardJob, ShardResult

__all__ = ["lose_workers"]

LOSSES = 4
WORKERS = 2
SEED = 4


class Watched:
    """A client that counts how often each shard is given out."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.given: Counter[int] = Counter()

    def submit(self, func: Callable[[ShardJob], ShardResult], *args: ShardJob, pure: bool) -> object:
        """Give a shard to the cluster."""
        self.given[args[0].shard] += 1
        return self.client.submit(func, *args, pure=pure)

    def nthreads(self) -> dict[str, int]:
        """Count the threads of each worker."""
        threads: dict[str, int] = self.client.nthreads()  # type: ignore[no-untyped-call]  # Dask's lack
        return threads


def lose_workers(archives: Archives, folder: Path) -> Iterator[Fault]:
    """Kill a worker in the middle of its work, one that is started anew, and one that is not."""
    luck = random.Random(SEED)
    for has_nanny in (True, False):
        fault = Fault(fault="Dask worker killed", where=f"tar, compact, v2, {'with' if has_nanny else 'without'} nanny")
        trial = Trial(folder=folder, archive=archives.get("tar", "v2"), profile="compact")
        assert trial.expected
        while fault.times < LOSSES:
            trial.begin()
            with _cluster(has_nanny=has_nanny) as client:
                _lose_one(trial, fault, client, luck)
            trial.check_end(fault)
        yield fault


def _lose_one(trial: Trial, fault: Fault, client: Client, luck: random.Random) -> None:
    """Ingest by a cluster, and kill one of its workers after a random time."""
    watched = Watched(client)
    pids = list(client.run(os.getpid).values())
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(bex.ingest, trial.archive[0], trial.store, profile=trial.profile, client=watched)
        while not watched.given and not running.done():
            time.sleep(0.01)
        time.sleep(luck.uniform(0.1, 1.5))
        is_running = not running.done()
        with suppress(ProcessLookupError):
            os.kill(luck.choice(pids), signal.SIGKILL)
        try:
            report = running.result()
        except BigEarthError as error:
            fault.note(f"asked to be called again: {error}")
            trial.check_opens(fault)
        else:
            fault.message = report.summary().splitlines()[-1].replace(str(trial.store), "ben.zarr")
            fault.note("finished without the lost worker" if report.complete else "NOT COMPLETE")
    fault.times += is_running
    fault.note("each shard given out once" if set(watched.given.values()) <= {1} else f"GIVEN OUT: {watched.given}")


@contextmanager
def _cluster(*, has_nanny: bool) -> Iterator[Client]:
    """Start a scheduler here, and workers that are processes of their own."""
    with ExitStack() as stack:
        cluster = stack.enter_context(LocalCluster(n_workers=0, dashboard_address=None))  # type: ignore[no-untyped-call]
        client = stack.enter_context(Client(cluster))  # type: ignore[no-untyped-call]
        command = [sys.executable, "-m", "distributed.cli.dask_worker", cluster.scheduler_address]
        command += ["--nthreads", "1", "--no-dashboard", "--nanny" if has_nanny else "--no-nanny"]
        workers = [
            subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(WORKERS)
        ]
        try:
            client.wait_for_workers(WORKERS)
            yield client
        finally:
            for worker in workers:
                worker.terminate()
            for worker in workers:
                worker.wait()
