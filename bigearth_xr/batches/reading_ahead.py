"""Have what batches will need read before they need it: a window whole, and the next as fast as this one empties."""

import os
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock

import numpy as np

from bigearth_xr.batches.making import Maker
from bigearth_xr.sampling import Epoch, Sampling

__all__ = ["ReadingAhead"]

_BATCHES = 4
"""How many batches further, so that reading and making do not wait for each other."""

_TOGETHER = 256
"""Patches asked for together, array by array; the last array of many more would keep the first batch waiting."""


class ReadingAhead:
    """Keeps what is read one window ahead of the batches.

    Patches are asked for in stored order within their window, so that neighbours are read together.

    Parameters
    ----------
    maker
        Knows where patches are.
    plan, sampling
        In which order they come, and why.
    first
        Step to begin with.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from bigearth_xr.sampling import plan_epoch
    >>> sampling = Sampling(batch_size=2, window=8, block=1)
    >>> plan = plan_epoch(np.zeros(40, int), np.arange(40), sampling)
    >>> asked = []
    >>> patches = SimpleNamespace(store=np.zeros(40, int), row=np.arange(40))
    >>> maker = SimpleNamespace(patches=patches, holds=True, forget=lambda places: None)
    >>> maker.prefetch = lambda places: asked.append(places.size)
    >>> ahead = ReadingAhead(maker, plan, sampling, 0)
    >>> for step in range(len(plan)):
    ...     ahead.reach(step)
    ...     ahead.leave(step)
    >>> ahead.close()
    >>> asked[:4], sum(asked)
    ([18, 2, 2, 2], 40)
    """

    def __init__(self, maker: Maker, plan: Epoch, sampling: Sampling, first: int) -> None:
        self._maker, self._plan = maker, plan
        count, begin = plan.places.size, first * plan.batch_size
        in_windows = sampling.shuffle and sampling.window is not None
        ends = plan.windows if in_windows else np.arange(1, count + 1)
        window = np.searchsorted(ends, np.arange(begin, count), side="right")
        places = plan.places[begin:]
        self._queue = places[np.lexsort((maker.patches.row[places], maker.patches.store[places], window))]
        # Once all of a window was taken, all of the next is asked for, and so in between.
        self._taken, self._wanted = np.append(0.0, ends), np.append(ends, ends[-1]).astype(np.float64)
        self._begin, self._left, self._asked, self._lock = begin, begin, 0, Lock()
        # A disk with a long queue keeps whoever asks waiting; batches can be made meanwhile.
        self._pool, self._process = ThreadPoolExecutor(1, "bigearth-ahead"), os.getpid()
        self._asking: Future[None] | None = None

    def reach(self, step: int) -> None:
        """Ask for the window in which a batch ends, and as much of the next as was taken out of this one."""
        taken = (step + 1 + _BATCHES) * self._plan.batch_size
        wanted = int(np.interp(taken, self._taken, self._wanted)) - self._begin
        with self._lock:
            places = self._queue[self._asked : wanted]
            self._asked = max(self._asked, wanted)
            for start in range(0, places.size, _TOGETHER):
                self._asking = self._pool.submit(self._maker.prefetch, places[start : start + _TOGETHER])
        if self._maker.holds and self._asking is not None:
            # Who holds what was asked for has to know before it is read. A disk may take its time.
            self._asking.result()

    def leave(self, step: int) -> None:
        """Let the patches of a batch go, which was made."""
        batch = self._plan.batch(step)
        self._left = batch.stop
        self._maker.forget(self._plan.places[batch])

    def close(self) -> None:
        """Ask for no more, and let go what was asked for and not left; nobody may be reading it."""
        # In a fork the thread is not there to be waited for.
        self._pool.shutdown(wait=os.getpid() == self._process, cancel_futures=True)
        asked, left = self._queue[: self._asked], self._plan.places[self._begin : self._left]
        count = self._maker.patches.row.size
        rest = np.bincount(asked, minlength=count) - np.bincount(left, minlength=count)
        self._maker.forget(np.repeat(np.arange(count), rest))
