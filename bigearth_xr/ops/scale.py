"""Bring the pixels of all bands to one scale, or three of them to brightness.

Scaling is one subtraction and one product of float32 a pixel. The product is with the reciprocal of the spread, rounded
once: several times faster than a division, which it differs from in the last bit, and the same on every engine.
"""

from typing import Any

from bigearth_xr.ops.namespace import Array, ArrayT, array_namespace

__all__ = ["GAMMA", "NARROWEST", "PERCENTILES", "brighten", "limits_of", "minmax", "standardize"]

PERCENTILES = (1.0, 99.0)
"""Of all pixels of the three bands of a patch: black and white."""

GAMMA = 0.75
"""Exponent of brightness: fields stay fields, and forest is not black beside them."""

NARROWEST = 0.06
"""Reflectance between black and white at least: without it calm water is all noise."""


def standardize(pixels: ArrayT, mean: Array, std: Array, *, axis: int = -3) -> ArrayT:
    """Centre every band and divide it by its spread: ``(pixels - mean) * (1 / std)``.

    Parameters
    ----------
    pixels
        Shape ``(..., band, y, x)``, any real data type, NumPy or CuPy.
    mean, std
        Per band, shape ``(band,)``, in the unit of the pixels; NumPy, or on the device of the pixels.
    axis
        The dimension of ``pixels`` that runs over bands, counted from the last.

    Returns
    -------
    ArrayT
        Same shape and device, float32.

    Examples
    --------
    >>> import numpy as np
    >>> pixels = np.uint16([[[300]], [[1000]]])
    >>> standardize(pixels, np.float32([200, 1200]), np.float32([50, 400]))
    array([[[ 2. ]],
           [[-0.5]]], dtype=float32)
    """
    xp = array_namespace(pixels)
    along_bands = (-1,) + (1,) * (-axis - 1)
    # The copy is ours, so that what follows may work in place: one pass fewer over memory.
    scaled: Any = pixels.astype(xp.float32)
    scaled -= xp.asarray(mean, dtype=xp.float32).reshape(along_bands)
    scaled *= (xp.float32(1) / xp.asarray(std, dtype=xp.float32)).reshape(along_bands)
    standardized: ArrayT = scaled
    return standardized


def minmax(pixels: ArrayT, low: Array, high: Array, *, axis: int = -3) -> ArrayT:
    """Map every band from ``[low, high]`` to ``[0, 1]``; what lies outside stays outside.

    Parameters
    ----------
    pixels
        Shape ``(..., band, y, x)``, any real data type, NumPy or CuPy.
    low, high
        Per band, shape ``(band,)``, in the unit of the pixels; NumPy, or on the device of the pixels.
    axis
        The dimension of ``pixels`` that runs over bands, counted from the last.

    Returns
    -------
    ArrayT
        Same shape and device, float32, not clipped.

    Examples
    --------
    >>> import numpy as np
    >>> minmax(np.float32([[[-25, -10, 5]]]), np.float32([-25]), np.float32([5]))
    array([[[0. , 0.5, 1. ]]], dtype=float32)
    """
    xp = array_namespace(low, high)
    return standardize(pixels, low, xp.subtract(high, low), axis=axis)


def limits_of(pixels: ArrayT, narrowest: float = NARROWEST) -> tuple[Any, Any]:
    """Find what is shown as black and as white in each patch: one stretch for its bands, so that hues stay true.

    Parameters
    ----------
    pixels
        Shape ``(..., band, y, x)``, floats, NumPy or CuPy.
    narrowest
        The least that white is above black, in their unit.

    Returns
    -------
    low, high
        Shape ``(..., 1, 1, 1)``, of what is finite.
    """
    xp = array_namespace(pixels)
    patches: Any = pixels.reshape(-1, *pixels.shape[-3:])  # type: ignore[attr-defined]  # of every array
    low, high = xp.zeros((2, len(patches)), xp.float32)
    # Patch by patch: what is not finite is another number of pixels in each.
    for number, patch in enumerate(patches):
        finite = patch[xp.isfinite(patch)]
        if finite.size:
            low[number], high[number] = xp.percentile(finite, xp.asarray(PERCENTILES))
    high = xp.maximum(high, low + narrowest)
    shape = (*pixels.shape[:-3], 1, 1, 1)
    return low.reshape(shape), high.reshape(shape)


def brighten(pixels: ArrayT, low: Any, high: Any, *, gamma: float = GAMMA) -> ArrayT:
    """Bring pixels to brightness, 0 to 1.

    Parameters
    ----------
    pixels
        Any shape, floats, NumPy or CuPy.
    low, high
        What is black and what is white, in their unit.
    gamma
        Exponent of brightness: less than 1 lifts what is dark.

    Returns
    -------
    ArrayT
        Same shape and device, float32; what lies beyond is cut off, and black where nothing is known (NaN).

    Examples
    --------
    >>> import numpy as np
    >>> brighten(np.float32([-1, 0.25, 9, np.nan]), 0, 1, gamma=0.5)
    array([0. , 0.5, 1. , 0. ], dtype=float32)
    """
    xp = array_namespace(pixels)
    share: Any = (pixels - low) / (high - low)
    lit = xp.where(xp.isnan(share), 0, share).clip(0, 1) ** gamma
    bright: ArrayT = lit.astype(xp.float32)
    return bright
