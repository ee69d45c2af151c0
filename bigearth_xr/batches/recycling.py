"""Memory of batches that is used again, once nobody holds the batch any more: fresh memory costs time."""

import weakref
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["Recycler"]

_CACHE_LINE = 64


class Recycler:
    """Lends memory for batches of one size, from any thread.

    What is lent comes back by itself when the array handed out is collected, and not before. A tensor made by
    ``torch.from_numpy`` of it holds it as long as the tensor or any view of it lives, so that a batch that is kept is
    never written over. A *view* that NumPy makes of the array does not hold it: hand on the array itself.

    Parameters
    ----------
    nbytes
        Of the largest batch.
    keep
        Buffers that wait to be used again; more go back to the system.

    Examples
    --------
    >>> recycler = Recycler(64, keep=1)
    >>> first = recycler.lend((2, 8), np.float32)
    >>> address = first.ctypes.data
    >>> del first
    >>> recycler.lend((1, 8), np.float32).ctypes.data == address
    True
    """

    def __init__(self, nbytes: int, *, keep: int) -> None:
        self._nbytes, self._keep = nbytes, keep
        # A finalizer may run inside any call of this very queue: it alone is made for that.
        self._idle: SimpleQueue[NDArray[np.uint8]] = SimpleQueue()

    def __reduce__(self) -> tuple[Callable[[], "Recycler"], tuple[()]]:
        """Travel without buffers."""
        return partial(Recycler, self._nbytes, keep=self._keep), ()

    def lend(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Lend an array, not filled; waits for nothing: where no memory is idle, there is new."""
        try:
            buffer = self._idle.get_nowait()
        except Empty:
            buffer = np.empty(self._nbytes + _CACHE_LINE, np.uint8)
        start = -buffer.ctypes.data % _CACHE_LINE
        kind = np.dtype(dtype)
        size = int(np.prod(shape)) * kind.itemsize
        lent: NDArray[Any] = buffer[start : start + size].view(kind).reshape(shape)
        # NumPy's views of `lent` refer to `buffer`, past `lent`: only who holds `lent` itself keeps it.
        weakref.finalize(lent, _take_back, self._idle, buffer, self._keep).atexit = False
        return lent


def _take_back(idle: SimpleQueue[NDArray[np.uint8]], buffer: NDArray[np.uint8], keep: int) -> None:
    if idle.qsize() < keep:
        idle.put(buffer)
