"""Scale lines of pixels: of a band of a patch, each by itself."""

from typing import Any, NamedTuple

import numpy as np

from bigearth_xr.device.kernels.lanes import LANES, get_lanes, in_all_lanes, put_lanes, reversed_lanes
from bigearth_xr.device.kernels.memory import get, kernel, put

__all__ = ["Scale", "copy_line", "scale_line", "scaled_lanes"]

_LONG = 512
"""Numbers of which LLVM makes longer vectors, which some processors have."""


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
        Pointer to as many float32, to be written.

    Examples
    --------
    >>> from bigearth_xr.device.kernels.memory import floats_at, words_at
    >>> @kernel
    ... def halve(pixels, target):
    ...     scale = Scale(np.float32(0), np.float32(0.5), False, np.float32(1), np.float32(0))
    ...     scale_line(words_at(pixels), False, 3, scale, floats_at(target))
    >>> pixels, target = np.uint16([1, 2, 3]), np.zeros(3, np.float32)
    >>> halve(np.uint64(pixels.ctypes.data), np.uint64(target.ctypes.data))
    >>> target
    array([0.5, 1. , 1.5], dtype=float32)
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
    """Scale eight pixels, as `scale_line` does, which calls it.

    Examples
    --------
    >>> scaled_lanes.__name__
    'scaled_lanes'
    """
    value = (lanes - in_all_lanes(scale.subtract)) * in_all_lanes(scale.factor)
    if scale.varies:
        value = value * in_all_lanes(scale.gain) + in_all_lanes(scale.bias)
    return value


@kernel
def copy_line(line: Any, count: Any, target: Any) -> None:
    """Copy numbers, uint16 or float32, to where there are none of them, as float32.

    Examples
    --------
    >>> from bigearth_xr.device.kernels.memory import floats_at, words_at
    >>> widen = kernel(lambda line, target: copy_line(words_at(line), 9, floats_at(target)))
    >>> line, target = np.arange(9, dtype=np.uint16), np.zeros(9, np.float32)
    >>> widen(np.uint64(line.ctypes.data), np.uint64(target.ctypes.data))
    >>> target
    array([0., 1., 2., 3., 4., 5., 6., 7., 8.], dtype=float32)
    """
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
