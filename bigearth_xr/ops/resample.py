"""Bring bands of 20 m and 60 m to the pixels of the 10 m bands, by the convention of `bigearth_xr.ops.taps`."""

import operator
from functools import lru_cache, reduce
from typing import Any, get_args

import numpy as np

from bigearth_xr.errors import SelectionError
from bigearth_xr.ops.namespace import ArrayT, array_namespace
from bigearth_xr.ops.taps import Resampling, Taps, place_taps
from bigearth_xr.spelling import check_choice

__all__ = ["Resampling", "check_resampling", "spread", "upsample"]


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
        fine = spread(fine, _taps(fine.shape[axis], factor, method), axis)
    return fine


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
    bigearth_xr.errors.SelectionError: unknown resampling 'cubic'; expected one of nearest, bilinear, bicubic; did you
    mean 'bicubic'?
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
