"""Prefetch: batches are built, and patches read, before they are asked for.

Threads build batches ahead of the consumer (`build_ahead`), and patches are read one window ahead of the batches
(`Prefetcher`). What lies in a folder is left to the system's page cache. What lies on object storage is fetched,
neighbours by one request, and kept until its batch was built (`PrefetchReader`): a batch of a shuffled epoch has a
patch from here and one from there, each of which would be a request of its own.
"""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from threading import Lock
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.batches.patches import NativeArray, Part, Patches
from bigearth_xr.errors import BigEarthError, LoaderError
from bigearth_xr.sampling import Epoch, Sampling, check_integer
from bigearth_xr.store.batch import BatchReader
from bigearth_xr.store.buffers import Located, copy_bytes

__all__ = ["Prefetcher", "build_ahead", "choose_threads", "with_prefetch"]

_MAX_THREADS = 4
_BATCHES = 4
"""How many batches further to read, so that reading and building do not wait for each other."""

_TOGETHER = 256
"""Patches asked for together, array by array: requests of all their shards are on their way at once, and the last array
of many more would keep the first batch waiting."""

_FETCHES = 2
"""Fetches at once: one decodes while another waits for the network."""

Item = TypeVar("Item")


def choose_threads(threads: int | None, prefetch: int | None) -> tuple[int, int]:
    """Choose how many batches to build at once, and how many to have ready or in progress.

    Parameters
    ----------
    threads, prefetch
        What was asked for; None for as many as there are cores, 4 at most, and one more.

    Raises
    ------
    LoaderError
        If they are not numbers.
    """
    for name, given in (("threads", threads), ("prefetch", prefetch)):
        if given is not None:
            check_integer(name, given, 0)
    if threads is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        threads = min(_MAX_THREADS, cores)
    return threads, threads + 1 if prefetch is None else prefetch


def build_ahead(
    build: Callable[[int], Item], steps: Iterable[int], *, threads: int, prefetch: int
) -> Generator[Item, None, None]:
    """Build one batch for each step, some of them before they are asked for.

    Parameters
    ----------
    build
        Called in any thread, for several steps at once.
    steps
        What it is called with.
    threads
        How many at once; 0 builds each when it is asked for, in the caller's own thread.
    prefetch
        How many are built or in progress beside the one that was handed out last.

    Yields
    ------
    Item
        In the order of the steps. The first error ends it, at its step; however it ends, also if it is closed early,
        no thread is left behind.

    Raises
    ------
    LoaderError
        If it is resumed in a forked process, which has none of the threads.

    Examples
    --------
    >>> list(build_ahead(str, range(3), threads=2, prefetch=1))
    ['0', '1', '2']
    """
    if not threads:
        yield from map(build, steps)
        return
    process, pool = os.getpid(), ThreadPoolExecutor(threads, "bigearth-batch")
    pending: deque[Future[Item]] = deque()
    try:
        for step in steps:
            pending.append(pool.submit(build, step))
            if len(pending) > prefetch:
                yield _next(pending, process)
        while pending:
            yield _next(pending, process)
    finally:
        # In a fork the threads do not exist, and cannot be waited for.
        pool.shutdown(wait=os.getpid() == process, cancel_futures=True)


class Prefetcher:
    """Reads patches one window ahead of the batches.

    Patches are asked for in stored order within their window, so that neighbours are read together.

    Parameters
    ----------
    patches
        What is read.
    epoch_plan, sampling
        In which order they come, and by which rules.
    first
        Step to begin with.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from bigearth_xr.sampling import plan_epoch
    >>> sampling = Sampling(batch_size=2, window=8, block=1)
    >>> epoch_plan = plan_epoch(np.zeros(40, int), np.arange(40), sampling)
    >>> asked = []
    >>> reader = SimpleNamespace(keeps=True, release=lambda rows: None, prefetch=lambda rows: asked.append(rows.size))
    >>> part, rows = np.zeros(40, int), np.arange(40)
    >>> patches = SimpleNamespace(
    ...     parts=[SimpleNamespace(reader=reader)], part=part, store=part, row=rows, number=rows
    ... )
    >>> ahead = Prefetcher(patches, epoch_plan, sampling, 0)
    >>> for step in range(len(epoch_plan)):
    ...     ahead.request(step)
    ...     ahead.release(step)
    >>> ahead.close()
    >>> asked[:4], sum(asked)
    ([18, 2, 2, 2], 40)
    """

    def __init__(self, patches: Patches, epoch_plan: Epoch, sampling: Sampling, first: int) -> None:
        self._patches, self._epoch_plan = patches, epoch_plan
        self._waits = any(part.reader.keeps for part in patches.parts)
        count, begin = epoch_plan.places.size, first * epoch_plan.batch_size
        in_windows = sampling.shuffle and sampling.window is not None
        ends = epoch_plan.windows if in_windows else np.arange(1, count + 1)
        window = np.searchsorted(ends, np.arange(begin, count), side="right")
        places = epoch_plan.places[begin:]
        self._queue = places[np.lexsort((patches.row[places], patches.store[places], window))]
        # Once all of a window was taken, all of the next is asked for, and so in between.
        self._taken, self._wanted = np.append(0.0, ends), np.append(ends, ends[-1]).astype(np.float64)
        self._begin, self._released, self._requested, self._lock = begin, begin, 0, Lock()
        # A disk with a long queue keeps the caller waiting; batches can be built meanwhile.
        self._pool, self._process = ThreadPoolExecutor(1, "bigearth-prefetch"), os.getpid()
        self._request: Future[None] | None = None

    def request(self, step: int) -> None:
        """Ask for the window in which a batch ends, and as much of the next as was taken out of this one."""
        taken = (step + 1 + _BATCHES) * self._epoch_plan.batch_size
        wanted = int(np.interp(taken, self._taken, self._wanted)) - self._begin
        with self._lock:
            places = self._queue[self._requested : wanted]
            self._requested = max(self._requested, wanted)
            for start in range(0, places.size, _TOGETHER):
                self._request = self._pool.submit(_prefetch, self._patches, places[start : start + _TOGETHER])
        if self._waits and self._request is not None:
            # A reader that keeps what was asked for has to know of it before it is read. A disk may take its time.
            self._request.result()

    def release(self, step: int) -> None:
        """Let go of the patches of a batch that was built."""
        batch = self._epoch_plan.batch(step)
        self._released = batch.stop
        _release(self._patches, self._epoch_plan.places[batch])

    def close(self) -> None:
        """Ask for no more, and release what was asked for; nothing may be reading it."""
        # In a fork the thread does not exist, and cannot be waited for.
        self._pool.shutdown(wait=os.getpid() == self._process, cancel_futures=True)
        requested, released = self._queue[: self._requested], self._epoch_plan.places[self._begin : self._released]
        count = self._patches.row.size
        rest = np.bincount(requested, minlength=count) - np.bincount(released, minlength=count)
        _release(self._patches, np.repeat(np.arange(count), rest))


class PrefetchReader:
    """Reads batches as the reader that it wraps, those that were prefetched from memory.

    Each patch takes as much memory as its native pixels, from when it is fetched until it is released; memory is used
    again. What cannot be fetched is refused when it is read, by name.

    Parameters
    ----------
    reader
        Reads a store.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.open import open_store
    >>> reader = BatchReader(open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3)))
    >>> fetched = PrefetchReader(reader)
    >>> fetched.prefetch(np.array([0, 2]))
    >>> with fetched.locate(np.array([2, 1])) as located:  # row 1 from the store
    ...     located.addresses.shape
    (4, 2)
    >>> fetched.release(np.array([0, 2]))
    >>> fetched.close()
    """

    keeps = True
    """Whether what is prefetched is kept in memory until it is released."""

    def __init__(self, reader: BatchReader) -> None:
        self.direct = reader
        """The reader that is wrapped."""
        sizes = np.array([array.patch_bytes for array in reader.sources], np.uint64)
        self._offsets = np.cumsum(sizes) - sizes
        self._patch_bytes = int(sizes.sum())
        self._lock = Lock()
        self._empty()

    def __reduce__(self) -> tuple[type["PrefetchReader"], tuple[BatchReader]]:
        """Pickle without threads, and what they fetched."""
        return PrefetchReader, (self.direct,)

    @property
    def sources(self) -> Sequence[NativeArray]:
        """The pixel arrays that are read."""
        return self.direct.sources

    @property
    def kept(self) -> int:
        """How many patches are in memory, or on their way."""
        return len(self._fetches)

    def prefetch(self, rows: NDArray[np.integer]) -> None:
        """Fetch patches that are wanted soon, once for each time that they are asked for; returns before it has."""
        with self._lock:
            np.add.at(self._wanted, rows, 1)
            new = [row for row in np.unique(rows).tolist() if row not in self._fetches]
            for start in range(0, len(new), _TOGETHER):
                group = new[start : start + _TOGETHER]
                self._fetches.update(dict.fromkeys(group, self._pool.submit(self._fetch, np.array(group))))

    def release(self, rows: NDArray[np.integer]) -> None:
        """Let patches go, each as often as it was asked for; others do not matter."""
        with self._lock:
            np.subtract.at(self._wanted, rows, 1)
            for row in np.unique(rows[self._wanted[rows] <= 0]).tolist():
                self._wanted[row] = 0
                fetch = self._fetches.pop(row, None)
                if fetch is not None and fetch.done():
                    self._give_back(row)

    def locate(self, rows: NDArray[np.integer]) -> Located:
        """Find native pixels that were prefetched, waiting for those on their way, and read the others."""
        rows = np.asarray(rows)
        with self._lock:
            fetches = {self._fetches[row] for row in rows.tolist() if row in self._fetches}
        for fetch in fetches:
            fetch.result()
        starts = self._starts[rows]
        addresses = starts + self._offsets[:, None]
        missing = np.flatnonzero(starts == 0)
        if not missing.size:
            return Located(addresses, self._slabs)
        located = self.direct.locate(rows[missing])
        addresses[:, missing] = located.addresses
        return Located(addresses, (self._slabs, located), located.release)

    def read(self, rows: NDArray[np.integer], out: Mapping[str, NDArray[Any]] | None = None) -> dict[str, NDArray[Any]]:
        """Copy native pixels that were prefetched, waiting for those on their way, and read the others."""
        pixels = dict(self.direct.buffers(len(rows)) if out is None else out)
        with self.locate(rows) as located:
            copy_located(located, self.sources, pixels)
        return pixels

    def close(self) -> None:
        """Let everything go, and give up the reader's files and threads; the next request begins anew."""
        self._pool.shutdown(cancel_futures=True)
        self._empty()
        self.direct.close()

    def _empty(self) -> None:
        # It starts no thread before there is something to fetch.
        self._pool = ThreadPoolExecutor(_FETCHES, "bigearth-fetch")
        self._fetches: dict[int, Future[None]] = {}
        self._wanted = np.zeros(self.direct.store.rows, np.int64)
        self._starts = np.zeros(self.direct.store.rows, np.uint64)
        self._slabs: list[NDArray[np.uint8]] = []
        self._free: list[int] = []

    def _fetch(self, rows: NDArray[np.intp]) -> None:
        """Read patches, and keep those that are still wanted."""
        try:
            pixels = self.direct.read(rows)
        except BigEarthError:
            return
        with self._lock:
            wanted = np.flatnonzero(self._wanted[rows])
            starts = self._take(wanted.size)
        for array, offset in zip(self.sources, self._offsets, strict=True):
            sources = pixels[array.name].ctypes.data + wanted.astype(np.uint64) * np.uint64(array.patch_bytes)
            copy_bytes(starts + offset, sources, array.patch_bytes)
        with self._lock:
            # Meanwhile it may have been released, and even asked for and fetched again.
            kept = (self._wanted[rows[wanted]] > 0) & (self._starts[rows[wanted]] == 0)
            self._starts[rows[wanted][kept]] = starts[kept]
            self._free += starts[~kept].tolist()

    def _take(self, patches: int) -> NDArray[np.uint64]:
        """Addresses of memory for N patches."""
        if len(self._free) < patches:
            slab = np.empty((_TOGETHER, self._patch_bytes), np.uint8)
            self._slabs.append(slab)
            self._free += [int(slab.ctypes.data) + number * self._patch_bytes for number in range(_TOGETHER)]
        taken, self._free = self._free[:patches], self._free[patches:]
        return np.array(taken, np.uint64)

    def _give_back(self, row: int) -> None:
        """Have the memory of a patch used again."""
        if self._starts[row]:
            self._free.append(int(self._starts[row]))
            self._starts[row] = 0


def with_prefetch(patches: Patches) -> Patches:
    """Have patches of object storage kept from their prefetch until their batch; a folder has the page cache."""
    parts = [
        replace(part, reader=PrefetchReader(part.reader))
        if isinstance(part.reader, BatchReader) and part.reader.store.location.local is None
        else part
        for part in patches.parts
    ]
    return replace(patches, parts=tuple(parts))


def copy_located(located: Located, arrays: Sequence[NativeArray], out: Mapping[str, NDArray[Any]]) -> None:
    """Copy native pixels from where they lie, into memory by the name of their array."""
    for array, sources in zip(arrays, located.addresses, strict=True):
        start = out[array.name].ctypes.data
        targets = start + np.arange(sources.size, dtype=np.uint64) * np.uint64(array.patch_bytes)
        copy_bytes(targets, sources, array.patch_bytes)


def _next(pending: deque[Future[Item]], process: int) -> Item:
    if os.getpid() != process:
        raise LoaderError(
            "this iterator was begun before the process was forked, and its threads are in the parent; begin another "
            "in the child: iter(loader)"
        )
    return pending.popleft().result()


def _prefetch(patches: Patches, places: NDArray[np.intp]) -> None:
    for part, numbers in _by_part(patches, places):
        part.reader.prefetch(numbers)


def _release(patches: Patches, places: NDArray[np.intp]) -> None:
    """Let go of patches that were prefetched, each as often as it was asked for."""
    for part, numbers in _by_part(patches, places):
        part.reader.release(numbers)


def _by_part(patches: Patches, places: NDArray[np.intp]) -> Iterator[tuple[Part, NDArray[np.int64]]]:
    """Parts of some patches, and the numbers by which their readers know these."""
    for number, part in enumerate(patches.parts):
        mine = places[patches.part[places] == number]
        if mine.size:
            yield part, patches.number[mine]
