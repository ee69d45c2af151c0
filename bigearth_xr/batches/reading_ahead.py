"""Have the disk read what batches will need before they need it, a window at a time."""

from threading import Lock

from bigearth_xr.batches.making import Maker
from bigearth_xr.sampling import Epoch, Sampling

__all__ = ["ReadingAhead"]

_BATCHES = 4
"""How far to read ahead where patches are in no window: of a true shuffle, or in the order given."""


class ReadingAhead:
    """Keeps the page cache one window ahead of the batches.

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
    >>> import numpy as np
    >>> from bigearth_xr.sampling import plan_epoch
    >>> sampling = Sampling(batch_size=2, window=4, block=1)
    >>> plan = plan_epoch(np.zeros(10, int), np.arange(10), sampling)
    >>> asked = []
    >>> ahead = ReadingAhead(SimpleNamespace(prefetch=lambda places: asked.append(places.size)), plan, sampling, 0)
    >>> for step in range(len(plan)):
    ...     ahead.reach(step)
    >>> asked
    [4, 4, 2]
    """

    def __init__(self, maker: Maker, plan: Epoch, sampling: Sampling, first: int) -> None:
        self._maker, self._plan = maker, plan
        in_windows = sampling.shuffle and sampling.window is not None
        self._window = plan.window if in_windows else _BATCHES * plan.batch_size
        self._next = first * plan.batch_size // self._window
        self._lock = Lock()

    def reach(self, step: int) -> None:
        """Ask for the window in which a batch ends, and the next one, if nobody has asked for them yet."""
        last = (step + 1) * self._plan.batch_size - 1
        with self._lock:
            asked, self._next = self._next, max(self._next, last // self._window + 2)
        for number in range(asked, self._next):
            places = self._plan.places[number * self._window : (number + 1) * self._window]
            if places.size:
                self._maker.prefetch(places)
