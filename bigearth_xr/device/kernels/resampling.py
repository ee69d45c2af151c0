"""Crop and resample the pixels of a band, by tables of taps that equal those of `ops.resample` to the last bit."""

from typing import Any, NamedTuple

import numpy as np

from bigearth_xr.device.kernels.lanes import (
    LANES,
    get_lanes,
    get_places,
    in_all_lanes,
    pick_lanes,
    put_lanes,
    reversed_lanes,
)
from bigearth_xr.device.kernels.memory import advance, get, kernel, put
from bigearth_xr.device.kernels.planes import (
    Lines,
    copy_line,
    count_nonfinite,
    finished,
    repeated,
    scale_line,
    scaled_lanes,
    transpose,
    writable,
)
from bigearth_xr.ops.resample import CUBIC_A, LEAST_WEIGHT, SIDE


@kernel
def fill_taps(start: Any, extent: Any, side: Any, taps: Any, first: Any, weight: Any) -> None:
    """Lay the new pixels of a crop over the stored ones along one side; see `ops.resample.crop_taps`.

    Parameters
    ----------
    start, extent
        Of the crop, float64, in pixels of 10 m.
    side
        Stored pixels along the side.
    taps
        Stored pixels that a new one is made of: 1, 2 or 4.
    first
        To be written: which stored pixel is the first of each, shape ``(pixel,)``, int32. It and those after it may be
        beyond the border, where the nearest pixel is meant.
    weight
        To be written, shape ``(tap, pixel)``, float32.

    Examples
    --------
    >>> first, weight = np.zeros(3, np.int32), np.zeros((2, 3), np.float32)
    >>> fill_taps(0.0, 120.0, 2, 2, first, weight)
    >>> first, weight.round(2)
    (array([-1,  0,  1], dtype=int32), array([[0.17, 0.5 , 0.83],
           [0.83, 0.5 , 0.17]], dtype=float32))
    """
    size = len(first)
    finer = SIDE / side
    before = 1 if taps == 4 else 0
    for pixel in range(size):
        position = ((pixel + 0.5) * extent / size + start) / finer
        if taps > 1:
            position -= 0.5
        below = np.floor(position) - before
        # From there on all are beyond the border.
        first[pixel] = np.int32(min(max(below, 1.0 - taps), side - 1.0))
        for tap in range(taps if taps > 1 else 0):
            distance = abs(position - (below + tap))
            share = 1 - distance if taps == 2 else _cubic(distance)
            weight[tap, pixel] = np.float32(0.0 if abs(share) < LEAST_WEIGHT else share)


@kernel
def _cubic(d: Any) -> Any:
    if d <= 1:
        return ((CUBIC_A + 2) * d - (CUBIC_A + 3)) * d * d + 1
    return CUBIC_A * (((d - 5) * d + 8) * d - 4)


_AT_ONCE = 4

ROOM = 5 * _AT_ONCE * LANES
"""Numbers that `resample` needs room for beside those of pixels."""


class Table(NamedTuple):
    """Of which stored pixels new ones are made, of both sides, y first."""

    taps: Any
    """How many, along a side."""

    first: Any
    """Pointer to the first of each, int32, of those along y, then of those along x; see `fill_taps`."""

    weight: Any
    """Pointer to their weights, float32, tap by tap, of those along y, then of those along x."""

    width: Any
    """How many numbers each of these parts has: eight at least."""

    floats: Any
    """Whether stored pixels are float32, bool: these may be NaN or infinite."""


@kernel
def resample(
    stored: Any, side: Any, table: Any, symmetry: Any, scale: Any, lines: Any, size: Any, spare: Any, room: Any
) -> None:
    """Make the new pixels of a band, and turn and scale them.

    Parameters
    ----------
    stored
        Pointer to ``side * side`` pixels, uint16 or float32.
    table
        A `Table`.
    symmetry, scale, lines
        As for `bigearth_xr.device.kernels.planes.repeat_pixels`.
    spare
        Pointer to room for ``size * size`` float32.
    room
        Pointer to room for ``side * (side + 4)`` float32, and for `ROOM` more.
    """
    backward_y, backward_x, transposed = symmetry[0], symmetry[1], symmetry[2]
    backward = (0, 0) if transposed else (backward_y, backward_x)
    made = Lines(spare, spare, False, size * size) if transposed else lines
    if table.taps == 1:
        _pick_lines(stored, side, table, backward, scale, made, size, room)
    else:
        last = get(table.first, size - 1) + table.taps - 1
        top, bottom = _inside(get(table.first, 0), side), _inside(last, side)
        pixels = advance(room, ROOM + _AT_ONCE * side)
        count = (bottom + 1 - top) * side
        copy_line(advance(stored, top * side), count, advance(pixels, top * side))
        # 0 × NaN is NaN, and rare: to ask once costs less than to ask of each product.
        careful = table.floats and _has_zeros(table) and count_nonfinite(advance(pixels, top * side), count) > 0
        _sum_lines(pixels, side, table, backward, scale, made, size, careful, room)
    if transposed:
        transpose(spare, size, backward_y, backward_x, lines)


@kernel
def _pick_lines(
    stored: Any, side: Any, table: Any, backward: Any, scale: Any, lines: Any, size: Any, room: Any
) -> None:
    """Make the lines of a plane of a pixel each: they are scaled first, and those that are the same made once."""
    line, few = room, advance(room, side + 2 * LANES)
    near, known = _is_near(table, size), np.int64(-1)
    for y in range(size):
        row = _inside(get(table.first, size - 1 - y if backward[0] else y), side)
        if row == known:
            repeated(lines, y * size, size)
            continue
        known = row
        scale_line(advance(stored, row * side), False, side, scale, line)
        target = few if size < LANES else writable(lines, y * size)
        for start in range(0, size, LANES):
            at = max(min(start, size - LANES), 0)
            place = advance(line, get(table.first, table.width + at))
            lanes = pick_lanes(place, get_places(table.first, table.width + at), near)
            _put_turned(target, at, size, backward[1], lanes)
        if size < LANES:
            copy_line(few, size, writable(lines, y * size))
        finished(lines, y * size, size)


@kernel
def _sum_lines(
    pixels: Any,
    side: Any,
    table: Any,
    backward: Any,
    scale: Any,
    lines: Any,
    size: Any,
    careful: Any,
    room: Any,
) -> None:
    """Make the lines of a plane, four at a time, which share what is read of the table."""
    pitch = side + 2 * LANES
    four, few = advance(room, LANES), advance(room, _AT_ONCE * pitch + LANES)
    near = _is_near(table, size)
    for y in range(0, size, _AT_ONCE):
        count = min(_AT_ONCE, size - y)
        for line in range(count):
            of = size - 1 - y - line if backward[0] else y + line
            _sum_rows(pixels, side, table, of, advance(four, line * pitch))
        target = writable(lines, y * size)
        if size >= LANES:
            _sum_columns(four, pitch, count, table, near, scale, size, backward[1], target, size)
        else:
            _sum_columns(four, pitch, count, table, near, scale, size, backward[1], few, 2 * LANES)
            for line in range(count):
                copy_line(advance(few, 2 * LANES * line), size, advance(target, line * size))
        if careful:
            _recompute_nonfinite(pixels, side, table, y, count, backward, scale, size, target)
        finished(lines, y * size, count * size)


@kernel
def _has_zeros(table: Any) -> Any:
    """Whether any weight is 0."""
    found = np.uint32(0)
    for at in range(2 * table.taps * table.width):
        found = np.uint32(found + (np.uint32(1) if get(table.weight, at) == 0 else np.uint32(0)))
    return found > 0


@kernel
def _recompute_nonfinite(
    pixels: Any, side: Any, table: Any, y: Any, count: Any, backward: Any, scale: Any, size: Any, target: Any
) -> None:
    """Make those pixels of some lines again that are not finite, without what weighs nothing."""
    for at in range(count * size):
        if np.isfinite(get(target, at)):
            continue
        row, column = y + at // size, at % size
        row, column = (size - 1 - row if backward[0] else row), (size - 1 - column if backward[1] else column)
        place = advance(target, at)
        put(place, 0, _sum_carefully(pixels, side, table, row, column))
        scale_line(place, False, 1, scale, place)


@kernel
def _sum_carefully(pixels: Any, side: Any, table: Any, row: Any, column: Any) -> Any:
    """Sum along y and then along x, for one pixel."""
    total = part = np.float32(0)
    for across in range(table.taps):
        x = _inside(get(table.first, table.width + column) + across, side)
        for down in range(table.taps):
            stored = get(pixels, _inside(get(table.first, row) + down, side) * side + x)
            term = _weighed(stored, get(table.weight, down * table.width + row))
            part = term if down == 0 else part + term
        term = _weighed(part, get(table.weight, (table.taps + across) * table.width + column))
        total = term if across == 0 else total + term
    return total


@kernel
def _weighed(number: Any, weight: Any) -> Any:
    return np.float32(0) if weight == 0 and not np.isfinite(number) else number * weight


@kernel
def _inside(index: Any, side: Any) -> Any:
    return np.int64(min(max(index, 0), side - 1))


@kernel
def _is_near(table: Any, size: Any) -> Any:
    """Whether any eight neighbours along x are made of pixels so near that one load serves for the first of all."""
    for start in range(0, size, LANES):
        at = table.width + max(min(start, size - LANES), 0)
        # A table is eight wide even if the batch is not, and holds nothing there.
        if get(table.first, at + min(LANES, size) - 1) - get(table.first, at) >= LANES:
            return False
    return True


@kernel
def _sum_rows(pixels: Any, side: Any, table: Any, y: Any, line: Any) -> None:
    """Sum along y, and repeat the ends; what else is beyond them is harmless, as it is of the room."""
    first, weight = np.int64(get(table.first, y)), advance(table.weight, y)
    row_0, row_1 = advance(pixels, _inside(first, side) * side), advance(pixels, _inside(first + 1, side) * side)
    weight_0, weight_1 = in_all_lanes(get(weight, 0)), in_all_lanes(get(weight, table.width))
    if table.taps == 2:
        for x in range(0, side, LANES):
            put_lanes(line, x, get_lanes(row_0, x) * weight_0 + get_lanes(row_1, x) * weight_1)
    else:
        row_2, row_3 = (
            advance(pixels, _inside(first + 2, side) * side),
            advance(pixels, _inside(first + 3, side) * side),
        )
        weight_2, weight_3 = in_all_lanes(get(weight, 2 * table.width)), in_all_lanes(get(weight, 3 * table.width))
        for x in range(0, side, LANES):
            part = get_lanes(row_0, x) * weight_0 + get_lanes(row_1, x) * weight_1
            put_lanes(line, x, (part + get_lanes(row_2, x) * weight_2) + get_lanes(row_3, x) * weight_3)
    for beyond in range(1, table.taps):
        put(line, -beyond, get(line, 0))
        put(line, side - 1 + beyond, get(line, side - 1))


@kernel
def _sum_columns(
    four: Any,
    pitch: Any,
    count: Any,
    table: Any,
    near: Any,
    scale: Any,
    size: Any,
    backwards: Any,
    target: Any,
    step: Any,
) -> None:
    """Sum up to four lines along x, and scale them; each is a pitch after the one before, and a step in the target."""
    for start in range(0, size, LANES):
        at = max(min(start, size - LANES), 0)
        places, place = get_places(table.first, table.width + at), get(table.first, table.width + at)
        weight = advance(table.weight, table.taps * table.width + at)
        weight_0, weight_1 = get_lanes(weight, 0), get_lanes(weight, table.width)
        if table.taps == 2:
            for line in range(count):
                one = advance(four, line * pitch + place)
                part = pick_lanes(one, places, near) * weight_0 + pick_lanes(advance(one, 1), places, near) * weight_1
                _put_turned(advance(target, line * step), at, size, backwards, scaled_lanes(part, scale))
            continue
        weight_2, weight_3 = get_lanes(weight, 2 * table.width), get_lanes(weight, 3 * table.width)
        for line in range(count):
            one = advance(four, line * pitch + place)
            part = pick_lanes(one, places, near) * weight_0 + pick_lanes(advance(one, 1), places, near) * weight_1
            part = part + pick_lanes(advance(one, 2), places, near) * weight_2
            part = part + pick_lanes(advance(one, 3), places, near) * weight_3
            _put_turned(advance(target, line * step), at, size, backwards, scaled_lanes(part, scale))


@kernel
def _put_turned(target: Any, at: Any, size: Any, backwards: Any, lanes: Any) -> None:
    if backwards:
        put_lanes(target, size - LANES - at, reversed_lanes(lanes))
    else:
        put_lanes(target, at, lanes)
