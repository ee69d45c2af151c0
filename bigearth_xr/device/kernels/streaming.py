"""Write a large batch past the cache: what is stored as usual is read from memory first, only to be written over."""

from typing import Any, NamedTuple

import numpy as np

from bigearth_xr.device.kernels.memory import PIECE, address_of, advance, get, kernel, put, put_piece
from bigearth_xr.device.kernels.scaling import copy_line

__all__ = ["Lines", "finished", "repeated", "stream", "writable"]

_PIECE = np.uint64(PIECE)


class Lines(NamedTuple):
    """Where the numbers of a plane are written to, some lines after the other."""

    plane: Any
    """Pointer to the plane, float32."""

    strip: Any
    """Pointer to room for some lines in the cache, float32."""

    streamed: Any
    """Whether lines are made in the strip and go past the cache from there, bool; else they are made in the plane."""


@kernel
def writable(lines: Any, at: Any) -> Any:
    """Point to where numbers of a plane, from one on, are to be written; `finished` comes next.

    Examples
    --------
    >>> from bigearth_xr.device.kernels.memory import floats_at
    >>> @kernel
    ... def write(plane, strip):
    ...     lines = Lines(floats_at(plane), floats_at(strip), True)
    ...     put(writable(lines, 1), 0, np.float32(7))
    ...     finished(lines, 1, 1)
    >>> plane, strip = np.zeros(3, np.float32), np.zeros(3, np.float32)
    >>> write(np.uint64(plane.ctypes.data), np.uint64(strip.ctypes.data))
    >>> plane
    array([0., 7., 0.], dtype=float32)
    """
    return lines.strip if lines.streamed else advance(lines.plane, at)


@kernel
def finished(lines: Any, at: Any, count: Any) -> None:
    """Let so many numbers be in the plane, from one on, that were written where `writable` said.

    Examples
    --------
    >>> from bigearth_xr.device.kernels.memory import floats_at
    >>> finish = kernel(lambda plane, strip: finished(Lines(floats_at(plane), floats_at(strip), True), 1, 2))
    >>> plane, strip = np.zeros(3, np.float32), np.float32([7, 8, 9])
    >>> finish(np.uint64(plane.ctypes.data), np.uint64(strip.ctypes.data))
    >>> plane
    array([0., 7., 8.], dtype=float32)
    """
    if lines.streamed:
        stream(lines.strip, count, advance(lines.plane, at), 4)


@kernel
def repeated(lines: Any, at: Any, count: Any) -> None:
    """Let so many numbers be in the plane, from one on, that are the same as those that were finished before them.

    Examples
    --------
    >>> @kernel
    ... def write_twice(plane, strip):
    ...     lines = Lines(floats_at(plane), floats_at(strip), True)
    ...     finished(lines, 0, 2)
    ...     repeated(lines, 2, 2)
    >>> from bigearth_xr.device.kernels.memory import floats_at
    >>> plane, strip = np.zeros(4, np.float32), np.float32([7, 8])
    >>> write_twice(np.uint64(plane.ctypes.data), np.uint64(strip.ctypes.data))
    >>> plane
    array([7., 8., 7., 8.], dtype=float32)
    """
    if lines.streamed:
        stream(lines.strip, count, advance(lines.plane, at), 4)
    else:
        copy_line(advance(lines.plane, at - count), count, advance(lines.plane, at))


@kernel
def stream(values: Any, count: Any, target: Any, bytes_each: Any) -> None:
    """Copy numbers past the cache; others see them for sure after `fence`.

    Parameters
    ----------
    values
        Pointer to numbers, best in the fastest cache.
    count
        How many.
    target
        Pointer to as many of the same type, to be written; aligned as its type is, better to whole pieces.
    bytes_each
        Of a number.

    Examples
    --------
    >>> from bigearth_xr.device.kernels.memory import words_at
    >>> copy = kernel(lambda values, target: stream(words_at(values), 99, words_at(target), 2))
    >>> values, target = np.arange(99, dtype=np.uint16), np.zeros(99, np.uint16)
    >>> copy(np.uint64(values.ctypes.data), np.uint64(target.ctypes.data))
    >>> bool((target == values).all())
    True
    """
    each = PIECE // bytes_each
    before = min(count, np.int64(-address_of(target) % _PIECE) // bytes_each)
    after = before + (count - before) // each * each
    for at in range(before):
        put(target, at, get(values, at))
    for at in range(before, after, each):
        put_piece(advance(values, at), advance(target, at))
    for at in range(after, count):
        put(target, at, get(values, at))
