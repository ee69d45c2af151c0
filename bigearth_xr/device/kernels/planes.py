"""Write the planes of a batch: pixels turned, repeated, scaled and cast, each byte written once.

A large batch goes past the cache: what is stored as usual is read from memory first, only to be written over.
"""

from typing import Any, NamedTuple

import numpy as np

from bigearth_xr.device.kernels.lanes import LANES, get_lanes, in_all_lanes, put_lanes, put_repeated, reversed_lanes
from bigearth_xr.device.kernels.memory import (
    PIECE,
    address_of,
    advance,
    bits_of,
    float_of,
    get,
    kernel,
    longs_at,
    put,
    put_piece,
    transpose_square,
)

KEPT = 16
"""Numbers of a strip before those that are made in it: a line of the cache of the last ones."""

_CACHE_LINE = np.uint64(4 * KEPT)
_PIECE = np.uint64(PIECE)
_STRIP = 1024
"""Pixels that are made at once where lines go on without a break: few, as they stay in the fastest cache."""

_put_twice, _put_six_times = put_repeated(2), put_repeated(6)

_LONG = 512
"""Numbers of which LLVM makes longer vectors, which some processors have."""

_SIGN = np.uint32(0x8000_0000)
_INFINITE = np.uint32(255 << 23)
"""Every bit of the exponent: NaN and infinities have them all."""

_BEYOND_HALF = np.uint32((127 + 16) << 23)
"""65,536, which is infinite in half precision; what is less, but rounds to it, comes there by its carry."""

_LEAST_NORMAL = np.uint32((127 - 14) << 23)

_SUBNORMAL_UNIT = np.uint32((127 - 15 + 23 - 10 + 1) << 23)
"""A number that has the step of subnormal half precision as its last place: adding it rounds."""

_REBIAS = np.uint32(((15 - 127) << 23) & 0xFFFF_FFFF)


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
def scale_line(pixels: Any, backwards: Any, count: Any, scale: Any, target: Any) -> None:
    """Scale stored pixels that follow each other.

    Parameters
    ----------
    pixels
        Pointer to the one that becomes the first, uint16 or float32.
    backwards
        Whether the others are before it, and are taken from there on.
    count
        How many.
    scale
        A `Scale`.
    target
        Pointer to `count` float32, to be written.
    """
    if count < LANES or count >= _LONG:
        # A loop for each direction: only those become vectors.
        if backwards:
            for x in range(count):
                put(target, x, _scaled(np.float32(get(pixels, -x)), scale))
        else:
            for x in range(count):
                put(target, x, _scaled(np.float32(get(pixels, x)), scale))
    elif backwards:
        for at in range(0, count - LANES, LANES):
            put_lanes(target, at, scaled_lanes(reversed_lanes(get_lanes(pixels, 1 - LANES - at)), scale))
        # The last eight are done together, whatever was done of them.
        put_lanes(target, count - LANES, scaled_lanes(reversed_lanes(get_lanes(pixels, 1 - count)), scale))
    else:
        for at in range(0, count - LANES, LANES):
            put_lanes(target, at, scaled_lanes(get_lanes(pixels, at), scale))
        put_lanes(target, count - LANES, scaled_lanes(get_lanes(pixels, count - LANES), scale))


@kernel
def scaled_lanes(lanes: Any, scale: Any) -> Any:
    """Scale eight pixels, as `scale_line` does, which calls it."""
    value = (lanes - in_all_lanes(scale.subtract)) * in_all_lanes(scale.factor)
    if scale.varies:
        value = value * in_all_lanes(scale.gain) + in_all_lanes(scale.bias)
    return value


@kernel
def copy_line(line: Any, count: Any, target: Any) -> None:
    """Copy numbers, uint16 or float32, to where there are none of them, as float32."""
    if count < LANES:
        for x in range(count):
            put(target, x, np.float32(get(line, x)))
        return
    for start in range(0, count, LANES):
        at = min(start, count - LANES)
        put_lanes(target, at, get_lanes(line, at))


@kernel
def _scaled(pixel: Any, scale: Any) -> Any:
    value = (pixel - scale.subtract) * scale.factor
    if scale.varies:
        value = value * scale.gain + scale.bias
    return value


@kernel
def round_to_bfloat16(values: Any, count: Any, target: Any) -> None:
    """Cast numbers, as bits.

    Parameters
    ----------
    values
        Pointer to float32.
    count
        How many.
    target
        Pointer to uint16, to be written.

    Examples
    --------
    >>> from bigearth_xr.device.kernels.memory import floats_at, words_at
    >>> cast = kernel(lambda values, target: round_to_bfloat16(floats_at(values), 1, words_at(target)))
    >>> values, target = np.float32([-2]), np.uint16([0])
    >>> cast(np.uint64(values.ctypes.data), np.uint64(target.ctypes.data))
    >>> f"{target[0]:04x}"
    'c000'
    """
    for at in range(count):
        bits = bits_of(get(values, at))
        even = (bits >> np.uint32(16)) & np.uint32(1)
        rounded = np.uint32(bits + (np.uint32(0x7FFF) + even)) >> np.uint32(16)
        missing = (bits & ~_SIGN) > _INFINITE
        put(target, at, np.uint16(np.uint32(0x7FC0) if missing else rounded))


@kernel
def round_to_float16(values: Any, count: Any, target: Any) -> None:
    """Cast numbers, as bits; see `round_to_bfloat16`."""
    for at in range(count):
        bits = bits_of(get(values, at))
        sign, size = bits & _SIGN, bits & ~_SIGN
        even = (size >> np.uint32(13)) & np.uint32(1)
        normal = np.uint32(size + (_REBIAS + np.uint32(0xFFF)) + even) >> np.uint32(13)
        small = bits_of(float_of(size) + float_of(_SUBNORMAL_UNIT)) - _SUBNORMAL_UNIT
        large = np.uint32(0x7E00) if size > _INFINITE else np.uint32(0x7C00)
        half = large if size >= _BEYOND_HALF else (small if size < _LEAST_NORMAL else normal)
        put(target, at, np.uint16(half | (sign >> np.uint32(16))))


@kernel
def count_nonfinite(numbers: Any, count: Any) -> Any:
    """Count those of some numbers that are NaN or infinite.

    Parameters
    ----------
    numbers
        Pointer to float32.
    count
        How many.
    """
    bits, found = longs_at(address_of(numbers)), np.uint32(0)
    for at in range(count):
        odd = (get(bits, at) & _INFINITE) == _INFINITE
        found = np.uint32(found + (np.uint32(1) if odd else np.uint32(0)))
    return np.int64(found)


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
    """Point to where numbers of a plane, from an index on, are to be written; `finished` comes next."""
    return advance(lines.strip, KEPT) if lines.streamed else advance(lines.plane, at)


@kernel
def finished(lines: Any, at: Any, count: Any) -> None:
    """Bring `count` numbers that were written where `writable` points into the plane, from an index on."""
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
    """Repeat in the plane, from an index on, the `count` numbers that were finished last."""
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
        Pointer to `count` numbers of the same type, to be written; aligned as its type is, better to whole pieces.
    bytes_each
        Of a number.
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
def repeat_pixels(stored: Any, side: Any, symmetry: Any, scale: Any, lines: Any, size: Any, room: Any) -> None:
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
    >>> @kernel
    ... def turn(stored, plane, room):
    ...     scale = Scale(np.float32(0), np.float32(0.5), False, np.float32(1), np.float32(0))
    ...     lines = Lines(floats_at(plane), floats_at(room), False, 4)
    ...     repeat_pixels(words_at(stored), 2, (0, 1, 1), scale, lines, 2, floats_at(room))
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
        Whether they run backwards, as for `repeat_pixels`.
    lines
        `Lines` of ``side * side`` float32, to be written.
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
    """Write each number of a line `times` times, and the whole line as many times, from an index on."""
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
