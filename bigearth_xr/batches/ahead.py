"""Make things ahead of time, in threads, and hand them out in order."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from bigearth_xr.errors import LoaderError
from bigearth_xr.sampling.options import check_integer

__all__ = ["choose_ahead", "made_ahead"]

_MAX_THREADS = 4

Made = TypeVar("Made")


def choose_ahead(threads: int | None, prefetch: int | None) -> tuple[int, int]:
    """Choose how many batches to make at once, and how many to have ready or in the making.

    Parameters
    ----------
    threads, prefetch
        What was asked for; None for as many as there are cores, 4 at most, and one more.

    Raises
    ------
    LoaderError
        If they are no numbers.

    Examples
    --------
    >>> choose_ahead(2, None)
    (2, 3)
    """
    for name, given in (("threads", threads), ("prefetch", prefetch)):
        if given is not None:
            check_integer(name, given, 0)
    if threads is None:
        here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        threads = min(_MAX_THREADS, here)
    return threads, threads + 1 if prefetch is None else prefetch


def made_ahead(
    make: Callable[[int], Made], steps: Iterable[int], *, threads: int, prefetch: int
) -> Generator[Made, None, None]:
    """Make one thing for each step, some of them before they are asked for.

    Parameters
    ----------
    make
        Called in any thread, for several steps at once.
    steps
        What it is called with.
    threads
        How many at once; 0 makes each when it is asked for, in the caller's own thread.
    prefetch
        How many are made or in the making beside the one that was handed out last.

    Yields
    ------
    Made
        In the order of the steps. The first error ends it, in the place of its step; however it ends, closed early
        among the ways, no thread is left behind.

    Raises
    ------
    LoaderError
        If it is gone on with in a forked process, which has none of the threads.

    Examples
    --------
    >>> list(made_ahead(str, range(3), threads=2, prefetch=1))
    ['0', '1', '2']
    """
    if not threads:
        yield from map(make, steps)
        return
    process, pool = os.getpid(), ThreadPoolExecutor(threads, "bigearth-batch")
    pending: deque[Future[Made]] = deque()
    try:
        for step in steps:
            pending.append(pool.submit(make, step))
            if len(pending) > prefetch:
                yield _next(pending, process)
        while pending:
            yield _next(pending, process)
    finally:
        # In a fork the threads are not there to be waited for.
        pool.shutdown(wait=os.getpid() == process, cancel_futures=True)


def _next(pending: deque[Future[Made]], process: int) -> Made:
    if os.getpid() != process:
        raise LoaderError(
            "this iterator was begun before the process was forked, and its threads are in the parent; begin another "
            "in the child: iter(loader)"
        )
    return pending.popleft().result()
