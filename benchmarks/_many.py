"""A store of many more pairs than were drawn: what a pair costs among so many, and when no file is in the page cache.

Its shards are copies of a smaller store's, each a file of its own, so that memory holds as many different pages as
there are pairs. What is measured takes a fresh process, in which nothing is mapped yet.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa

import bigearth_xr as bex
from benchmarks._processes import timed
from benchmarks.peers.ours import Batches, native
from benchmarks.peers.task import Task
from bigearth_xr import table
from bigearth_xr.device.host import transform_kernel
from bigearth_xr.sample import sample_lists
from bigearth_xr.store.batch import BatchReader
from bigearth_xr.store.create import create_store, write_states
from bigearth_xr.store.open import open_store
from bigearth_xr.store.read import shard_count
from bigearth_xr.store.schema import SHARD_PATCHES, STORED, pixel_arrays
from bigearth_xr.store.shard import shard_path
from bigearth_xr.torch import PatchLoader

__all__ = ["COLD", "measure_among", "measure_cold", "room_for", "write_many"]

COLD = ("disk", "native", "loader")
"""What is read from the disk: the files, in their order; batches as stored, in no order; and the loader's."""

_ROUNDS = 5
_PAIR_BYTES = 274_000
_SPARE_BYTES = 3 << 30
_BLOCK = 1 << 22


def room_for(pairs: int) -> int:
    """Give the number of pairs, or as many whole shards as the page cache has room for."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    shards = max(1, (available - _SPARE_BYTES) // _PAIR_BYTES // SHARD_PATCHES)
    return min(pairs, shards * SHARD_PATCHES)


def write_many(source: Path, to: Path, *, pairs: int) -> Path:
    """Write a store, profile `fast`, with rows of the published lists, and the shards of another one in turn."""
    rows: pa.Table = table.from_lists(sample_lists()).slice(0, pairs)
    given = open_store(source)
    arrays = pixel_arrays(given.bands, reference_map=False)
    create_store(to, rows, profile="fast", arrays=arrays, sensors=("s1", "s2"))
    store, whole = open_store(to), given.rows // SHARD_PATCHES
    for array in arrays:
        for shard in range(shard_count(store)):
            target = shard_path(to, array, shard)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(shard_path(source, array, shard % whole), target)
    write_states(store, np.full(pairs, STORED, np.uint8), np.zeros(pairs, bool))
    return to


def measure_among(task_file: str, store: str, numbers: list[int]) -> dict[str, dict[str, float]]:
    """Give the microseconds of processor time that a pair takes, shuffled among so many: the best of five rounds.

    Batches as stored, and transformed. The first pass over all of them, which verifies checksums, counts apart.
    """
    task, figures = Task.read(task_file), {}
    epochs: dict[str, Callable[[int, int], int]] = {
        "native": native(task, Path(store)),
        "batches": Batches(task, Path(store)).epoch,
    }
    for name, epoch in epochs.items():
        epoch(0, task.batch)  # what is done once, such as loading machine code
        first = _cpu_us(epoch, 0, numbers[-1])
        rounds = [[_cpu_us(epoch, number, pairs) for pairs in numbers] for number in range(_ROUNDS)]
        best = map(min, zip(*rounds, strict=True))
        figures[name] = {**dict(zip(map(str, numbers), best, strict=True)), "first_pass_over_all": first}
    return figures


def measure_cold(task_file: str, store: str, pairs: int, what: str) -> dict[str, float]:
    """Give the speed of one of `COLD`, of pairs that have been put out of the page cache before."""
    task, path = Task.read(task_file), Path(store)
    transform_kernel()  # is loaded once, and no matter of the disk
    files = [*_shards(path, pairs)]
    for file in files:
        _forget(file)
    read: dict[str, Callable[[], object]] = {
        "disk": lambda: [*map(_read, files)],
        "native": lambda: _prefetched(task, path, pairs),
        "loader": lambda: _loaded(task, path, pairs),
    }
    cpu_s, wall_s = timed(read[what])
    return {
        "pairs": pairs,
        "pairs_per_s": pairs / wall_s,
        "pairs_per_cpu_s": pairs / cpu_s,
        "mb_per_s": sum(file.stat().st_size for file in files) / wall_s / 1e6,
    }


def _cpu_us(epoch: Callable[[int, int], int], number: int, pairs: int) -> float:
    return timed(partial(epoch, number, pairs))[0] / pairs * 1e6


def _shards(store: Path, pairs: int) -> Iterator[Path]:
    """Files of the first pairs."""
    for array in open_store(store).arrays:
        yield from (shard_path(store, array, shard) for shard in range(pairs // SHARD_PATCHES))


def _forget(file: Path) -> None:
    """Put a file out of the page cache."""
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _read(file: Path) -> None:
    buffer = bytearray(_BLOCK)
    with file.open("rb", buffering=0) as opened:
        while opened.readinto(buffer):
            pass


def _prefetched(task: Task, store: Path, pairs: int) -> None:
    """Read batches as stored, the next one asked for while one is read."""
    reader = BatchReader(open_store(store), task.bands)
    buffers = reader.buffers(task.batch)
    batches = task.batches(0, pairs)
    reader.prefetch(batches[0])
    for rows, after in pairwise([*batches, batches[-1][:0]]):
        reader.prefetch(after)
        reader.read(rows, {name: buffer[: len(rows)] for name, buffer in buffers.items()})


def _loaded(task: Task, store: Path, pairs: int) -> None:
    ds = bex.open(store).isel(patch=slice(pairs))
    for _ in PatchLoader(ds, batch_size=task.batch, bands=task.bands, device="cpu"):
        pass
