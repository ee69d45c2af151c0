"""What becomes of the values of a line: scaled, cast to 16 bits, and counted where they are not finite."""

from typing import Any, NamedTuple

import numpy as np

from bigearth_xr.device.kernels.lanes import LANES, get_lanes, in_all_lanes, put_lanes, reversed_lanes
from bigearth_xr.device.kernels.memory import address_of, bits_of, float_of, get, kernel, longs_at, put

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
    """Cast numbers, as bits; see `round_to_bfloat16`.

    Examples
    --------
    >>> from bigearth_xr.device.kernels.memory import floats_at, words_at
    >>> cast = kernel(lambda values, target: round_to_float16(floats_at(values), 1, words_at(target)))
    >>> values, target = np.float32([-2]), np.float16([0])
    >>> cast(np.uint64(values.ctypes.data), np.uint64(target.ctypes.data))
    >>> target
    array([-2.], dtype=float16)
    """
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

    Examples
    --------
    >>> from bigearth_xr.device.kernels.memory import floats_at
    >>> numbers = np.float32([1, np.nan, -np.inf, 3e38])
    >>> kernel(lambda address: count_nonfinite(floats_at(address), 4))(np.uint64(numbers.ctypes.data))
    2
    """
    bits, found = longs_at(address_of(numbers)), np.uint32(0)
    for at in range(count):
        odd = (get(bits, at) & _INFINITE) == _INFINITE
        found = np.uint32(found + (np.uint32(1) if odd else np.uint32(0)))
    return np.int64(found)
