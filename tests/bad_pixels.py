"""Where a bad pixel shows after resampling, by exact arithmetic, pixel by pixel."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.ops.resample import Resampling

LOST = Fraction(1, 2**24)
A = Fraction(-3, 4)


def exact_weights(start: float, extent: float, *, size: int, side: int, method: Resampling) -> NDArray[np.float64]:
    """What each stored pixel weighs in each new one along a side, shape ``(size, side)``; 0 if it weighs nothing.

    Exact, but for the last rounding. A pixel beyond the border is the last before it.
    """
    weights = np.zeros((size, side))
    for pixel in range(size):
        position = (Fraction(2 * pixel + 1, 2 * size) * Fraction(extent) + Fraction(start)) * side / 120
        for at, weight in _taps(position, method):
            # A weight and its opposite would hide each other.
            weights[pixel, min(max(at, 0), side - 1)] += float(weight) if abs(weight) >= LOST else 0
    return weights


def expected_badness(bad: NDArray[np.bool_], of_y: NDArray[Any], of_x: NDArray[Any]) -> NDArray[np.bool_]:
    """Which new pixels a bad stored one weighs something in."""
    reached: NDArray[np.bool_] = (of_y != 0).astype(int) @ bad.astype(int) @ (of_x != 0).T.astype(int) > 0
    return reached


def _taps(position: Fraction, method: Resampling) -> list[tuple[int, Fraction]]:
    if method == "nearest":
        return [(math.floor(position), Fraction(1))]
    centred = position - Fraction(1, 2)
    below = math.floor(centred)
    kernel, reach = (_triangle, 1) if method == "bilinear" else (_keys, 2)
    return [(at, kernel(abs(centred - at))) for at in range(below - reach + 1, below + reach + 1)]


def _triangle(distance: Fraction) -> Fraction:
    return max(1 - distance, Fraction(0))


def _keys(d: Fraction) -> Fraction:
    if d <= 1:
        return (A + 2) * d**3 - (A + 3) * d**2 + 1
    return A * (d**3 - 5 * d**2 + 8 * d - 4) if d < 2 else Fraction(0)
