"""Lay the pixels of a band into the batch: turned, repeated, scaled, each output byte written once."""

from typing import Any, NamedTuple

import numpy as np

from bigearth_xr.device.kernels.memory import advance, get, kernel, put, transpose_square
from bigearth_xr.device.kernels.streaming import Lines, finished, writable

__all__ = ["Scale", "lay"]

_STRIP = 1024
"""Pixels that are made at once where lines go on without a break: few, as they stay in the fastest cache."""


class Scale(NamedTuple):
    """What becomes of the values of a band of a patch; all float32."""

    subtract: Any
    """Is subtracted."""

    factor: Any
    """Multiplies then."""

    varies: Any
    """Whether gain and bias follow, bool."""

    gain: Any
    """Multiplies then."""

    bias: Any
    """Is added then."""


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
    >>> from bigearth_xr.device.kernels.memory import floats_at, words_at
    >>> @kernel
    ... def turn(stored, plane, room):
    ...     scale = Scale(np.float32(0), np.float32(0.5), False, np.float32(1), np.float32(0))
    ...     lines = Lines(floats_at(plane), floats_at(room), False)
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
        _scale_line(stored, 1, side * side, scale, room)
        if times == 1:
            _transpose(room, side, backward_y, backward_x, lines)
            return
        turned = advance(room, side * side)
        _transpose(room, side, backward_y, backward_x, Lines(turned, turned, False))
        for y in range(side):
            _repeat(advance(turned, y * side), side, times, lines, y * times * size)
    elif times == 1 and backward_x == backward_y:
        for at in range(0, side * side, _STRIP):
            count = min(_STRIP, side * side - at)
            _scale_line(advance(stored, first + at * step_x), step_x, count, scale, writable(lines, at))
            finished(lines, at, count)
    else:
        for y in range(side):
            pixels, at = advance(stored, first + y * step_y), y * times * size
            _scale_line(pixels, step_x, side, scale, writable(lines, at) if times == 1 else room)
            if times == 1:
                finished(lines, at, side)
            else:
                _repeat(room, side, times, lines, at)


@kernel
def _transpose(stored: Any, side: Any, backward_y: Any, backward_x: Any, lines: Any) -> None:
    """Let columns become lines, written in their order: memory is slower with what is written here and there."""
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
        for x in range(side):
            put(lines.plane, y * side + x, get(first, x * step_y + y * step_x))


@kernel
def _scale_line(pixels: Any, step: Any, count: Any, scale: Any, target: Any) -> None:
    # A loop for each step that is a constant: only those become vectors.
    if step == 1:
        for x in range(count):
            put(target, x, _scaled(get(pixels, x), scale))
    else:
        for x in range(count):
            put(target, x, _scaled(get(pixels, -x), scale))


@kernel
def _scaled(pixel: Any, scale: Any) -> Any:
    value = (np.float32(pixel) - scale.subtract) * scale.factor
    if scale.varies:
        value = value * scale.gain + scale.bias
    return value


@kernel
def _repeat(line: Any, count: Any, times: Any, lines: Any, place: Any) -> None:
    """Write each number of a line so many times, and the whole so many times, from a place on."""
    target = writable(lines, place)
    if times == 2:
        for x in range(count):
            put(target, 2 * x, get(line, x))
            put(target, 2 * x + 1, get(line, x))
    elif times == 6:
        for x in range(count):
            for again in range(6):
                put(target, 6 * x + again, get(line, x))
    else:
        for x in range(count):
            for again in range(times):
                put(target, times * x + again, get(line, x))
    width = count * times
    for again in range(1, times):
        for x in range(width):
            put(target, again * width + x, get(target, x))
    finished(lines, place, times * width)
