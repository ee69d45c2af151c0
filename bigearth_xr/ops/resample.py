"""Bring bands of 20 m and 60 m, and crops of patches, to the pixels of a batch: which stored pixels make a new one.

Positions and weights are computed in float64, in the order of operations written here, and rounded once to float32:
whoever follows it, in NumPy, CuPy or a compiled kernel, has the same tables to the last bit.

The convention is that of ``torch.nn.functional.interpolate`` with ``align_corners=False``: pixels are areas, not
points, so that a patch keeps its footprint. Bicubic uses a = −0.75, and beyond the border the nearest pixel is
repeated. Where a position is a stored pixel's centre in exact arithmetic, it is here, and only that pixel weighs
anything.
"""

import operator
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.bands import PATCH_SIDE_M
from bigearth_xr.errors import SelectionError
from bigearth_xr.ops.namespace import Array, ArrayT, array_namespace
from bigearth_xr.spelling import check_choice

__all__ = ["CUBIC_A", "LEAST_WEIGHT", "SIDE", "TAPS", "Resampling", "check_resampling", "upsample"]

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


def upsample(pixels: ArrayT, factor: int, method: Resampling = "nearest") -> ArrayT:
    """Divide every pixel into ``factor`` × ``factor`` finer ones.

    Parameters
    ----------
    pixels
        Shape ``(..., y, x)``, any data type, NumPy or CuPy.
    factor
        Finer pixels per pixel along y and along x, at least 1.
    method
        ``"nearest"`` repeats pixels, ``"bilinear"`` and ``"bicubic"`` weigh 2 and 4
        neighbours along each dimension.

    Returns
    -------
    ArrayT
        Shape ``(..., y * factor, x * factor)``, same device. Nearest keeps the data
        type; the others give float32, unclipped: bicubic may overshoot below zero.

    Raises
    ------
    SelectionError
        There is no such method, or ``factor`` is not a positive integer.

    Examples
    --------
    >>> upsample(np.uint16([[1, 2]]), 2)
    array([[1, 1, 2, 2],
           [1, 1, 2, 2]], dtype=uint16)
    >>> upsample(np.uint16([[0, 4]]), 2, "bilinear")[0]
    array([0., 1., 3., 4.], dtype=float32)
    """
    _check(factor, method)
    xp = array_namespace(pixels)
    if method == "nearest":
        repeated: ArrayT = xp.repeat(xp.repeat(pixels, factor, axis=-2), factor, axis=-1)
        return repeated
    fine: ArrayT = pixels.astype(xp.float32)
    # y first: it gathers whole rows, while the array is still small.
    for axis in (-2, -1):
        fine = spread(fine, _taps(fine.shape[axis], factor, method), axis)
    return fine


def check_resampling(method: str) -> None:
    """Refuse a method that does not exist.

    Raises
    ------
    SelectionError
        There is no such method.
    """
    check_choice("resampling", method, get_args(Resampling), SelectionError)


def spread(pixels: ArrayT, taps: Taps, axis: int) -> ArrayT:
    """Weigh neighbours along one dimension.

    A product with the weights as a matrix would be shorter, but would let one NaN flood its whole row and column:
    0 × NaN is NaN. Here it counts as 0.

    Parameters
    ----------
    pixels
        Shape ``(..., y, x)``, float32.
    taps
        Those of one patch, shape ``(tap, pixel)``.
    axis
        −2 for y, −1 for x.

    Returns
    -------
    ArrayT
        As long as the taps say along that dimension; same data type and device.

    Examples
    --------
    >>> taps = place_taps(np.array([0.5, 1.0]), 2, "bilinear")
    >>> spread(np.float32([[10, 20]]), taps, -1)
    array([[10., 15.]], dtype=float32)
    """
    xp = array_namespace(pixels)
    shape = (-1, 1) if axis == -2 else (-1,)
    index, weight = xp.asarray(taps.index), xp.asarray(taps.weight)
    taken: list[Any] = [xp.take(pixels, tap.astype(xp.intp), axis=axis) for tap in index]
    with np.errstate(invalid="ignore"):  # −inf less −inf is NaN
        terms = [_weighed(pixel, one.reshape(shape)) for pixel, one in zip(taken, weight, strict=True)]
        weighed: ArrayT = reduce(operator.add, terms)
    return weighed


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


def _weighed(pixels: Any, weight: Any) -> Any:
    """Weigh pixels; those that weigh nothing count as 0, whatever they are."""
    nothing = weight == 0
    if not nothing.any():
        return pixels * weight
    xp = array_namespace(pixels)
    return xp.where(nothing & ~xp.isfinite(pixels), xp.float32(0), pixels) * weight


@lru_cache(maxsize=64)
def _taps(size: int, factor: int, method: Resampling) -> Taps:
    """Place the finer pixels between the pixels of one dimension."""
    return place_taps((np.arange(size * factor) + 0.5) / factor, size, method)


def _check(factor: int, method: str) -> None:
    """Refuse what no patch can be resampled with."""
    check_resampling(method)
    if not isinstance(factor, int) or factor < 1:
        raise SelectionError(f"factor is {factor!r}, expected a positive integer such as 2 or 6")


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
