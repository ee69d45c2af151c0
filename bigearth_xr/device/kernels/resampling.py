"""Crop and resample the pixels of a band, by tables of taps that equal those of `ops.taps` to the last bit."""

from typing import Any

import numpy as np

from bigearth_xr.device.kernels.memory import advance, get, kernel, put
from bigearth_xr.ops.taps import CUBIC_A, SIDE

__all__ = ["fill_taps", "resample"]


@kernel
def fill_taps(start: Any, extent: Any, side: Any, taps: Any, index: Any, weight: Any) -> None:
    """Lay the new pixels of a crop over the stored ones along one side; see `ops.taps.crop_taps`.

    Parameters
    ----------
    start, extent
        Of the crop, float64, in pixels of 10 m.
    side
        Stored pixels along the side.
    taps
        Stored pixels that a new one is made of: 1, 2 or 4.
    index, weight
        Arrays to be written, shape ``(tap, pixel)``, int32 and float32.

    Examples
    --------
    >>> index, weight = np.zeros((2, 3), np.int32), np.zeros((2, 3), np.float32)
    >>> fill_taps(0.0, 120.0, 2, 2, index, weight)
    >>> index, weight.round(2)
    (array([[0, 0, 1],
           [0, 1, 1]], dtype=int32), array([[0.17, 0.5 , 0.83],
           [0.83, 0.5 , 0.17]], dtype=float32))
    """
    size = index.shape[1]
    step, finer = extent / size, SIDE / side
    for pixel in range(size):
        position = ((pixel + 0.5) * step + start) / finer
        if taps == 1:
            index[0, pixel] = _clip(np.floor(position), side)
        else:
            position -= 0.5
            first = np.floor(position) + (0 if taps == 2 else -1)
            for tap in range(taps):
                distance = abs(position - (first + tap))
                index[tap, pixel] = _clip(first + tap, side)
                weight[tap, pixel] = np.float32(1 - distance if taps == 2 else _cubic(distance))


@kernel
def _clip(index: Any, side: Any) -> Any:
    return np.int32(min(max(index, 0.0), side - 1.0))


@kernel
def _cubic(d: Any) -> Any:
    if d <= 1:
        return ((CUBIC_A + 2) * d - (CUBIC_A + 3)) * d * d + 1
    return CUBIC_A * (((d - 5) * d + 8) * d - 4)


@kernel
def resample(stored: Any, side: Any, taps: Any, index: Any, weight: Any, plane: Any, size: Any, line: Any) -> None:
    """Make the new pixels of a band, not turned and not scaled.

    Parameters
    ----------
    stored
        Pointer to ``side * side`` pixels, uint16 or float32.
    taps
        Stored pixels that a new one is made of along a side.
    index, weight
        Tables of both sides, y first, shape ``(2, tap, pixel)``.
    plane
        Pointer to ``size * size`` float32, to be written.
    line
        Pointer to room for ``side`` float32.

    Examples
    --------
    >>> from bigearth_xr.device.kernels.memory import floats_at, words_at
    >>> @kernel
    ... def double(stored, plane, line, index, weight):
    ...     resample(words_at(stored), 1, 1, index, weight, floats_at(plane), 2, floats_at(line))
    >>> stored, plane, line = np.uint16([7]), np.zeros((2, 2), np.float32), np.zeros(1, np.float32)
    >>> addresses = (np.uint64(array.ctypes.data) for array in (stored, plane, line))
    >>> double(*addresses, np.zeros((2, 1, 2), np.int32), np.ones((2, 1, 2), np.float32))
    >>> plane
    array([[7., 7.],
           [7., 7.]], dtype=float32)
    """
    for y in range(size):
        target = advance(plane, y * size)
        if taps == 1:
            row = advance(stored, index[0, 0, y] * side)
            for x in range(size):
                put(target, x, np.float32(get(row, index[1, 0, x])))
            continue
        _sum_rows(stored, side, taps, index[0, :, y], weight[0, :, y], line)
        _sum_columns(line, taps, index[1], weight[1], target)


@kernel
def _sum_rows(stored: Any, side: Any, taps: Any, index: Any, weight: Any, line: Any) -> None:
    first, second = advance(stored, index[0] * side), advance(stored, index[1] * side)
    for x in range(side):
        put(line, x, np.float32(get(first, x)) * weight[0] + np.float32(get(second, x)) * weight[1])
    for tap in range(2, taps):
        row, share = advance(stored, index[tap] * side), weight[tap]
        for x in range(side):
            put(line, x, get(line, x) + np.float32(get(row, x)) * share)


@kernel
def _sum_columns(line: Any, taps: Any, index: Any, weight: Any, target: Any) -> None:
    for x in range(index.shape[1]):
        put(target, x, get(line, index[0, x]) * weight[0, x] + get(line, index[1, x]) * weight[1, x])
    for tap in range(2, taps):
        for x in range(index.shape[1]):
            put(target, x, get(target, x) + get(line, index[tap, x]) * weight[tap, x])
