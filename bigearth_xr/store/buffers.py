"""Memory that batches are read into: a caller's own, checked, or recycled, as fresh memory costs time."""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import BatchError
from bigearth_xr.store.schema import PixelArray

__all__ = ["BufferPool", "check_buffers", "new_buffers"]

_KEPT = 8
"""Buffers that wait to be used again; more are given back to the system."""


def new_buffers(arrays: Sequence[PixelArray], patches: int) -> dict[str, NDArray[Any]]:
    """Make memory for the native pixels of some patches.

    Returns
    -------
    dict
        By array name, shape ``(patch, band, y, x)``, that of the reference map ``(patch, y, x)``; not filled.

    Examples
    --------
    >>> from bigearth_xr.store.schema import pixel_arrays
    >>> {name: array.shape for name, array in new_buffers(pixel_arrays(["VV"], reference_map=True), 2).items()}
    {'s1': (2, 1, 120, 120), 'reference_map': (2, 120, 120)}
    """
    return {array.name: np.empty((patches, *array.patch_shape), array.dtype) for array in arrays}


def check_buffers(out: Mapping[str, NDArray[Any]], arrays: Sequence[PixelArray], patches: int) -> None:
    """Refuse memory that the native pixels of some patches cannot be written into.

    Raises
    ------
    BatchError
        Says which array, what is wrong, and how to make one that is right.

    Examples
    --------
    >>> from bigearth_xr.store.schema import pixel_arrays
    >>> arrays = pixel_arrays(["B01"], reference_map=False)
    >>> check_buffers(new_buffers(arrays, 2), arrays, 2)
    >>> check_buffers(new_buffers(arrays, 3), arrays, 2)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    bigearth_xr.errors.BatchError: out['s2_60m'] has shape (3, 1, 20, 20), expected (2, 1, 20, 20); ...
    """
    if not isinstance(out, Mapping):
        raise BatchError(f"out is a {type(out).__name__}, expected a dict of arrays by name; {_REMEDY}")
    names = [array.name for array in arrays]
    if set(out) != set(names):
        raise BatchError(f"out has arrays {', '.join(out) or 'none'}, expected {', '.join(names)}; {_REMEDY}")
    for array in arrays:
        problem = _problem(out[array.name], (patches, *array.patch_shape), np.dtype(array.dtype))
        if problem:
            raise BatchError(f"out[{array.name!r}] {problem}; {_REMEDY}")


_REMEDY = "make it by reader.buffers(patches), or leave `out` out"


def _problem(found: object, shape: tuple[int, ...], dtype: np.dtype[Any]) -> str:
    """What keeps pixels from being written there; nothing if all is well."""
    if not isinstance(found, np.ndarray):
        return f"is a {type(found).__name__}, expected a NumPy array; a tensor on the host lends its own by .numpy()"
    if found.dtype != dtype:
        return f"is {found.dtype}, expected {dtype}"
    if found.shape != shape:
        return f"has shape {found.shape}, expected {shape}"
    if not found.flags.c_contiguous:
        return "does not lie in one piece (C order)"
    return "" if found.flags.writeable else "is read-only"


class BufferPool:
    """Buffers that are used again and again, by any thread.

    Examples
    --------
    >>> pool = BufferPool()
    >>> buffer = pool.take(1000)
    >>> pool.give(buffer)
    >>> pool.take(500) is buffer
    True
    """

    def __init__(self) -> None:
        # Its ends are changed in one step, so that a buffer may come back from a destructor, without a lock.
        self._waiting: deque[NDArray[np.uint8]] = deque(maxlen=_KEPT)

    def take(self, size: int) -> NDArray[np.uint8]:
        """Give out a buffer of at least so many bytes."""
        for _ in range(len(self._waiting)):
            try:
                buffer = self._waiting.popleft()
            except IndexError:
                break
            if size <= buffer.size <= 2 * size + _SMALL:
                return buffer
            self._waiting.append(buffer)
        return np.empty(math.ceil(size / _SMALL) * _SMALL, np.uint8)

    def give(self, buffer: NDArray[np.uint8]) -> None:
        """Take a buffer back that nobody reads any more."""
        self._waiting.append(buffer)


_SMALL = 1 << 16
"""Sizes are rounded up to this, so that batches that differ by a few patches share buffers."""
