"""Bring bands of 20 m and 60 m to the pixels of the 10 m bands.

The convention is that of ``torch.nn.functional.interpolate`` with
``align_corners=False``: pixels are areas, not points, so that a patch keeps its
footprint. Bicubic uses a = −0.75, and beyond the border the nearest pixel is repeated.
"""

import operator
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import SelectionError
from bigearth_xr.ops.namespace import ArrayT, array_namespace

__all__ = ["Resampling", "check_resampling", "upsample"]

Resampling = Literal["nearest", "bilinear", "bicubic"]
"""How a coarse pixel spreads over finer ones."""

_CUBIC_A = -0.75
"""Slope of the cubic kernel, as in torch and OpenCV."""


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
        There is no such method, or ``factor`` is no positive integer.

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
        fine = _spread(fine, _taps(fine.shape[axis], factor, method), axis)
    return fine


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taps:
    """Which pixels a finer pixel is made of, along one dimension."""

    index: NDArray[np.intp]
    """Pixels, shape ``(tap, fine)``."""

    weight: NDArray[np.float32]
    """Their weights, shape ``(tap, fine)``; they add up to 1 over the taps."""


def check_resampling(method: str) -> None:
    """Refuse a method that does not exist.

    Raises
    ------
    SelectionError
        There is no such method.

    Examples
    --------
    >>> check_resampling("cubic")
    Traceback (most recent call last):
    ...
    bigearth_xr.errors.SelectionError: unknown resampling 'cubic'; expected one of nearest, bilinear, bicubic
    """
    if method not in get_args(Resampling):
        raise SelectionError(f"unknown resampling {method!r}; expected one of {', '.join(get_args(Resampling))}")


def _spread(pixels: ArrayT, taps: _Taps, axis: int) -> ArrayT:
    """Weigh neighbours along one dimension.

    A product with the weights as a matrix would be shorter, but would let one NaN
    flood its whole row and column: 0 × NaN is NaN.
    """
    xp = array_namespace(pixels)
    shape = (-1, 1) if axis == -2 else (-1,)
    terms = (
        xp.take(pixels, xp.asarray(index), axis=axis) * xp.asarray(weight).reshape(shape)
        for index, weight in zip(taps.index, taps.weight, strict=True)
    )
    spread: ArrayT = reduce(operator.add, terms)
    return spread


@lru_cache(maxsize=64)
def _taps(size: int, factor: int, method: Resampling) -> _Taps:
    """Place the finer pixels between the pixels of one dimension."""
    # Centre of each finer pixel, in pixels from the centre of pixel 0.
    centre = (np.arange(size * factor) + 0.5) / factor - 0.5
    offsets = np.array([0, 1]) if method == "bilinear" else np.array([-1, 0, 1, 2])
    index = np.floor(centre) + offsets[:, None]
    distance = np.abs(centre - index)
    weight = 1 - distance if method == "bilinear" else _cubic(distance)
    return _Taps(index=index.clip(0, size - 1).astype(np.intp), weight=weight.astype(np.float32))


def _cubic(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weigh pixels by distance, 0 to 2, with the cubic convolution kernel of Keys."""
    a, d = _CUBIC_A, distance
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = a * (((d - 5) * d + 8) * d - 4)
    return np.where(d <= 1, near, far)


def _check(factor: int, method: str) -> None:
    """Refuse what no patch can be resampled with."""
    check_resampling(method)
    if not isinstance(factor, int) or factor < 1:
        raise SelectionError(f"factor is {factor!r}, expected a positive integer such as 2 or 6")
