"""Which stored pixels a new pixel is made of, and how much of each: along one side of a patch, as tables.

Positions and weights are computed in float64, in the order of operations written here, and rounded once to float32:
whoever follows it, in NumPy, CuPy or a compiled kernel, has the same tables to the last bit.

The convention is that of ``torch.nn.functional.interpolate`` with ``align_corners=False``: pixels are areas, not
points, so that a patch keeps its footprint. Bicubic uses a = −0.75, and beyond the border the nearest pixel is
repeated. Where a position is a stored pixel's centre in exact arithmetic, it is here, and only that pixel weighs
anything.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.bands import PATCH_SIDE_M
from bigearth_xr.ops.namespace import Array, array_namespace

__all__ = ["CUBIC_A", "LEAST_WEIGHT", "SIDE", "TAPS", "Resampling", "Taps", "crop_taps", "place_taps"]

Resampling = Literal["nearest", "bilinear", "bicubic"]
"""How a coarse pixel spreads over finer ones."""

SIDE = PATCH_SIDE_M // 10
"""Side of a patch in pixels of 10 m, in which crops are given."""

TAPS: dict[Resampling, int] = {"nearest": 1, "bilinear": 2, "bicubic": 4}
"""Stored pixels that a new one is made of, along one side."""

CUBIC_A = -0.75
"""Slope of the cubic kernel, as in torch and OpenCV."""

LEAST_WEIGHT = 2.0**-24
"""What weighs less is lost beside 1 in float32: its weight is 0."""

# Of the taps, counted from the pixel in which, or after whose centre, a position lies.
_FIRST_TAP: dict[Resampling, int] = {"nearest": 0, "bilinear": 0, "bicubic": -1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Taps:
    """Of what each new pixel is made, along one side of one or more patches; on the device of what it was made from."""

    index: Array
    """Stored pixels, shape ``(..., tap, pixel)``, uint16."""

    weight: Array
    """Their weights, same shape, float32; those of a pixel add up to 1 but for rounding. What has a weight of 0 is no
    part of the pixel, even if it is NaN or infinite."""


def place_taps(position: Array, size: int, method: Resampling) -> Taps:
    """Find the stored pixels around positions, and weigh them.

    Parameters
    ----------
    position
        Shape ``(..., pixel)``, float64: how far a new pixel's centre is from the border, in stored pixels.
    size
        Stored pixels along the side.
    method
        ``"nearest"`` takes the pixel in which a position lies; the others weigh 2 and 4 by the distance of centres.

    Returns
    -------
    Taps
        In the order of stored pixels, which is the order to sum in.

    Examples
    --------
    >>> taps = place_taps(np.array([0.25, 1.25]), 2, "bilinear")
    >>> taps.index
    array([[0, 0],
           [0, 1]], dtype=uint16)
    >>> taps.weight
    array([[0.25, 0.25],
           [0.75, 0.75]], dtype=float32)
    """
    xp = array_namespace(position)
    centred: Any = position if method == "nearest" else position - 0.5  # type: ignore[operator]  # Array has no minus
    offsets = xp.arange(TAPS[method], dtype=xp.float64)[:, None] + _FIRST_TAP[method]
    index: Any = xp.floor(centred)[..., None, :] + offsets
    distance = xp.abs(centred[..., None, :] - index)
    weight = _WEIGH[method](distance)
    weight = xp.where(xp.abs(weight) < LEAST_WEIGHT, 0, weight)
    return Taps(index=index.clip(0, size - 1).astype(xp.uint16), weight=weight.astype(xp.float32))


def crop_taps(start: Array, extent: Array, *, size: int, side: int, method: Resampling) -> Taps:
    """Lay the new pixels of crops over the stored ones, along one side.

    Parameters
    ----------
    start, extent
        Where each crop begins and how long it is, shape ``(patch,)``, float64, in pixels of 10 m.
    size
        New pixels along a crop.
    side
        Stored pixels along the side of a whole patch.
    method
        How they are combined.

    Returns
    -------
    Taps
        Shape ``(patch, tap, size)``.

    Examples
    --------
    >>> crop_taps(np.array([30.0]), np.array([60.0]), size=4, side=20, method="nearest").index[0]
    array([[ 6,  8, 11, 13]], dtype=uint16)
    """
    xp = array_namespace(start, extent)
    begin: Any = start
    length: Any = extent
    pixel = xp.arange(size, dtype=xp.float64) + 0.5
    # Divided last, a centre between two stored pixels is exactly there: the length of a new pixel would be rounded.
    position = (pixel * length[:, None] / size + begin[:, None]) / (SIDE / side)
    return place_taps(position, side, method)


def _all(distance: Any) -> Any:
    return array_namespace(distance).ones_like(distance)


def _triangle(distance: Any) -> Any:
    return 1 - distance


def _cubic(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weigh pixels by distance, 0 to 2, with the cubic convolution kernel of Keys."""
    xp = array_namespace(distance)
    a, d = CUBIC_A, distance
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = a * (((d - 5) * d + 8) * d - 4)
    weight: NDArray[np.float64] = xp.where(d <= 1, near, far)
    return weight


_WEIGH = {"nearest": _all, "bilinear": _triangle, "bicubic": _cubic}
