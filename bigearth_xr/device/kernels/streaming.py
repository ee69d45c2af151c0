"""Write a large batch past the cache: what is stored as usual is read from memory first, only to be written over."""

from typing import Any, NamedTuple

import numpy as np

from bigearth_xr.device.kernels.lanes import LANES, get_lanes, put_lanes
from bigearth_xr.device.kernels.memory import PIECE, address_of, advance, get, kernel, put, put_piece
from bigearth_xr.device.kernels.scaling import copy_line

__all__ = ["KEPT", "Lines", "finished", "repeated", "stream", "writable"]

KEPT = 16
"""Numbers of a strip before those that are made in it: a line of the cache of the last ones."""

_CACHE_LINE = np.uint64(4 * KEPT)
_PIECE = np.uint64(PIECE)


class Lines(NamedTuple):
    """Where the numbers of a plane are written to, some lines after the other."""

    plane: Any
    """Pointer to the plane, float32."""

    strip: Any
    """Pointer to room for some lines in the cache, and for `KEPT` numbers more, float32."""

    streamed: Any
    """Whether lines are made in the strip and go past the cache from there, bool; else they are made in the plane."""

    count: Any
    """Numbers in the plane."""


@kernel
def writable(lines: Any, at: Any) -> Any:
    """Point to where numbers of a plane, from one on, are to be written; `finished` comes next.

    Examples
    --------
    >>> from bigearth_xr.device.kernels.memory import floats_at
    >>> @kernel
    ... def write(plane, strip):
    ...     lines = Lines(floats_at(plane), floats_at(strip), True, 3)
    ...     put(writable(lines, 0), 1, np.float32(7))
    ...     finished(lines, 0, 3)
    >>> plane, strip = np.zeros(3, np.float32), np.zeros(KEPT + 3, np.float32)
    >>> write(np.uint64(plane.ctypes.data), np.uint64(strip.ctypes.data))
    >>> plane
    array([0., 7., 0.], dtype=float32)
    """
    return advance(lines.strip, KEPT) if lines.streamed else advance(lines.plane, at)


@kernel
def finished(lines: Any, at: Any, count: Any) -> None:
    """Let so many numbers be in the plane, from one on, that were written where `writable` said.

    Examples
    --------
    >>> from bigearth_xr.device.kernels.memory import floats_at
    >>> finish = kernel(lambda plane, strip: finished(Lines(floats_at(plane), floats_at(strip), True, 2), 0, 2))
    >>> plane, strip = np.zeros(3, np.float32), np.arange(KEPT + 3, dtype=np.float32)
    >>> finish(np.uint64(plane.ctypes.data), np.uint64(strip.ctypes.data))
    >>> plane
    array([16., 17.,  0.], dtype=float32)
    """
    if not lines.streamed:
        return
    # What a line of the cache lacks is kept until it comes: to write one in parts takes several times as long.
    kept, after = _kept(lines, at), at + count
    ready = count if after == lines.count else count - _kept(lines, after)
    stream(advance(lines.strip, KEPT - kept), kept + ready, advance(lines.plane, at - kept), 4)
    last, very_last = get_lanes(lines.strip, count), get_lanes(lines.strip, count + LANES)
    put_lanes(lines.strip, 0, last)
    put_lanes(lines.strip, LANES, very_last)


@kernel
def _kept(lines: Any, at: Any) -> Any:
    """How many numbers before one are in the same line of the cache, and in the plane."""
    return min(at, np.int64(address_of(advance(lines.plane, at)) % _CACHE_LINE) // 4)


@kernel
def repeated(lines: Any, at: Any, count: Any) -> None:
    """Let so many numbers be in the plane, from one on, that are the same as those that were finished before them.

    Examples
    --------
    >>> @kernel
    ... def write_twice(plane, strip):
    ...     lines = Lines(floats_at(plane), floats_at(strip), True, 4)
    ...     finished(lines, 0, 2)
    ...     repeated(lines, 2, 2)
    >>> from bigearth_xr.device.kernels.memory import floats_at
    >>> plane, strip = np.zeros(4, np.float32), np.arange(KEPT + 3, dtype=np.float32)
    >>> write_twice(np.uint64(plane.ctypes.data), np.uint64(strip.ctypes.data))
    >>> plane
    array([16., 17., 16., 17.], dtype=float32)
    """
    if lines.streamed:
        finished(lines, at, count)
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
