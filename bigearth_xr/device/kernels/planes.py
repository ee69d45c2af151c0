"""Write the planes of a batch: pixels turned, repeated and scaled, each byte written once.

A large batch goes past the cache: what is stored as usual is read from memory first, only to be written over.
"""

from typing import Any, NamedTuple

import numpy as np

from bigearth_xr.device.kernels.lanes import LANES, get_lanes, put_lanes, put_repeated
from bigearth_xr.device.kernels.memory import PIECE, address_of, advance, get, kernel, put, put_piece, transpose_square
from bigearth_xr.device.kernels.values import copy_line, scale_line

KEPT = 16
"""Numbers of a strip before those that are made in it: a line of the cache of the last ones."""

_CACHE_LINE = np.uint64(4 * KEPT)
_PIECE = np.uint64(PIECE)
_STRIP = 1024
"""Pixels that are made at once where lines go on without a break: few, as they stay in the fastest cache."""

_put_twice, _put_six_times = put_repeated(2), put_repeated(6)


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


@kernel
def lay(stored: Any, side: Any, symmetry: Any, scale: Any, lines: Any, size: Any, room: Any) -> None:
    """Turn and scale the stored pixels of a band, and repeat each as often as it takes to fill the plane.

    Parameters
    ----------
    stored
        Pointer to ``side * side`` pixels, uint16 or float32.
    symmetry
        Whether y, x run backwards, and whether they change places, as in `SYMMETRIES`.
    scale
        A `Scale`.
    lines
        `Lines` of ``size * size`` float32, to be written; ``size`` is a multiple of ``side``.
    room
        Pointer to ``2 * side * side`` float32, to work in.

    Examples
    --------
    >>> import numpy as np
    >>> from bigearth_xr.device.kernels.memory import floats_at, words_at
    >>> from bigearth_xr.device.kernels.values import Scale
    >>> @kernel
    ... def turn(stored, plane, room):
    ...     scale = Scale(np.float32(0), np.float32(0.5), False, np.float32(1), np.float32(0))
    ...     lines = Lines(floats_at(plane), floats_at(room), False, 4)
    ...     lay(words_at(stored), 2, (0, 1, 1), scale, lines, 2, floats_at(room))
    >>> stored, plane, room = np.uint16([[1, 2], [3, 4]]), np.zeros((2, 2), np.float32), np.zeros(8, np.float32)
    >>> turn(*(np.uint64(array.ctypes.data) for array in (stored, plane, room)))
    >>> plane
    array([[1. , 2. ],
           [0.5, 1.5]], dtype=float32)
    """
    backward_y, backward_x, transposed = symmetry[0], symmetry[1], symmetry[2]
    first = (side - 1) * (side * backward_y + backward_x)
    step_y, step_x = (-side if backward_y else side), (-1 if backward_x else 1)
    times = size // side
    if transposed:
        scale_line(stored, False, side * side, scale, room)
        if times == 1:
            transpose(room, side, backward_y, backward_x, lines)
            return
        turned = advance(room, side * side)
        transpose(room, side, backward_y, backward_x, Lines(turned, turned, False, side * side))
        for y in range(side):
            _repeat(advance(turned, y * side), side, times, lines, y * times * size)
    elif times == 1 and backward_x == backward_y:
        for at in range(0, side * side, _STRIP):
            count = min(_STRIP, side * side - at)
            scale_line(advance(stored, first + at * step_x), backward_x, count, scale, writable(lines, at))
            finished(lines, at, count)
    elif times == 1:
        height = max(_STRIP // side, 1)
        for top in range(0, side, height):
            bottom, target = min(top + height, side), writable(lines, top * side)
            for y in range(top, bottom):
                line = advance(target, (y - top) * side)
                scale_line(advance(stored, first + y * step_y), backward_x, side, scale, line)
            finished(lines, top * side, (bottom - top) * side)
    else:
        for y in range(side):
            scale_line(advance(stored, first + y * step_y), backward_x, side, scale, room)
            _repeat(room, side, times, lines, y * times * size)


@kernel
def transpose(stored: Any, side: Any, backward_y: Any, backward_x: Any, lines: Any) -> None:
    """Let columns become lines, written in their order: memory is slower with what is written here and there.

    Parameters
    ----------
    stored
        Pointer to ``side * side`` float32.
    backward_y, backward_x
        Whether they run backwards, as for `lay`.
    lines
        `Lines` of as many, to be written.

    Examples
    --------
    >>> import numpy as np
    >>> from bigearth_xr.device.kernels.memory import floats_at
    >>> @kernel
    ... def turn(stored, plane):
    ...     transpose(floats_at(stored), 2, False, True, Lines(floats_at(plane), floats_at(plane), False, 4))
    >>> stored, plane = np.float32([[1, 2], [3, 4]]), np.zeros((2, 2), np.float32)
    >>> turn(np.uint64(stored.ctypes.data), np.uint64(plane.ctypes.data))
    >>> plane
    array([[2., 4.],
           [1., 3.]], dtype=float32)
    """
    whole = side // 4 * 4
    step_y, step_x = (-side if backward_y else side), (-1 if backward_x else 1)
    first = advance(stored, (side - 1) * (side * backward_y + backward_x))
    for y in range(0, whole, 4):
        # Four stored columns; from the last on they become the lines from the last on.
        columns, target = advance(first, y * step_x - 3 * backward_x), writable(lines, y * side)
        four = advance(target, 3 * backward_x * side)
        for x in range(0, whole, 4):
            transpose_square(advance(columns, x * step_y), step_y, advance(four, x), side * step_x)
        for x in range(whole, side):
            for line in range(4):
                put(target, line * side + x, get(first, x * step_y + (y + line) * step_x))
        finished(lines, y * side, 4 * side)
    for y in range(whole, side):
        target = writable(lines, y * side)
        for x in range(side):
            put(target, x, get(first, x * step_y + y * step_x))
        finished(lines, y * side, side)


@kernel
def _repeat(line: Any, count: Any, times: Any, lines: Any, place: Any) -> None:
    """Write each number of a line so many times, and the whole so many times, from a place on."""
    target, width = writable(lines, place), count * times
    if times == 2 and count >= LANES:
        for start in range(0, count, LANES):
            at = min(start, count - LANES)
            _put_twice(target, 2 * at, get_lanes(line, at))
    elif times == 6 and count >= LANES:
        for start in range(0, count, LANES):
            at = min(start, count - LANES)
            _put_six_times(target, 6 * at, get_lanes(line, at))
    else:
        for x in range(count):
            for again in range(times):
                put(target, times * x + again, get(line, x))
    finished(lines, place, width)
    for again in range(1, times):
        repeated(lines, place + again * width, width)
