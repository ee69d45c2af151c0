"""How long all 590,326 pairs take, from what a few thousand took: the bounds, and which of them holds.

Of files, work is in shards that any number of processes take, but for planning, which one process does:

    wall_s = pairs × (plan + (all - plan) / cores)

`plan` is measured as an ingest into a store that is finished. What a run takes once, however long it is, counts as
taken by each few thousand pairs: the bounds are on the safe side.

Of streams, the threads of one process take in what arrives. It is no faster than the slowest of:

    decompression   pairs × CPU of decompressing the largest stream, which has a thread of its own
    intake          pairs × CPU of all else, in one interpreter
    cores           pairs × CPU of all of it / cores

and with `compact` the second pass follows, in shards: pairs × its CPU / cores. Neither is faster than the disk, bytes
of the store / bytes a second that it takes, which is stated apart. All CPU times are seconds per pair.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

__all__ = ["FULL_PAIRS", "Bound", "disk_mb_per_s", "of_files", "of_streams"]

FULL_PAIRS = 590_326
"""Pairs of v1; v2 has 549,488."""

_WRITTEN_MB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """The shortest time that something can take, and why."""

    hours: float
    """By the clock."""

    holds: str
    """What it is that takes this long."""


def of_files(*, plan_s: float, all_s: float, cores: int) -> Bound:
    """Bound the ingest of a folder, plain tar or LMDB.

    Parameters
    ----------
    plan_s, all_s
        CPU time of a pair: of planning, and in all.
    cores
        How many processes work at once.
    """
    shared_s = (all_s - plan_s) / cores
    holds = f"CPU per pair / {cores} cores" if shared_s > plan_s else "planning in one process"
    return Bound(hours=_hours(plan_s + shared_s), holds=holds)


def of_streams(
    *, largest_s: float, decompression_s: float, fast_s: float, second_pass_s: float = 0.0, cores: int
) -> Bound:
    """Bound the ingest of compressed tars that arrive side by side.

    Parameters
    ----------
    largest_s, decompression_s
        CPU time of a pair: to decompress the stream that takes the most, and all of them.
    fast_s
        In all, with `fast`.
    second_pass_s
        What `compact` takes in addition.
    cores
        How many threads and processes work at once.
    """
    bounds = {
        "decompression of the largest stream": largest_s,
        "intake in one interpreter": fast_s - decompression_s,
        f"CPU per pair / {cores} cores": fast_s / cores,
    }
    holds = max(bounds, key=lambda name: bounds[name])
    return Bound(hours=_hours(bounds[holds] + second_pass_s / cores), holds=holds)


def disk_mb_per_s(folder: Path) -> float:
    """Measure how fast a disk takes 1 GiB of zeros, to the last byte, MB/s."""
    path, block = folder / "zeros", bytes(1 << 20)
    start = time.perf_counter()
    with path.open("wb", buffering=0) as file:
        for _ in range(_WRITTEN_MB):
            file.write(block)
        os.fsync(file.fileno())
    seconds = time.perf_counter() - start
    path.unlink()
    return _WRITTEN_MB * (1 << 20) / 1e6 / seconds


def _hours(seconds_per_pair: float) -> float:
    return FULL_PAIRS * seconds_per_pair / 3600
