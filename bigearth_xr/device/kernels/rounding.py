"""Cast float32 to 16 bits: to nearest, ties to even, with integers alone, which every processor has vectors of."""

from typing import Any

import numpy as np

from bigearth_xr.device.kernels.memory import bits_of, float_of, get, kernel, put

__all__ = ["round_to_bfloat16", "round_to_float16"]

_SIGN = np.uint32(0x8000_0000)
_INFINITE = np.uint32(255 << 23)
_BEYOND_HALF = np.uint32((127 + 16) << 23)
"""65,536, which is infinite in half precision; what is less, but rounds to it, comes there by its carry."""
_LEAST_NORMAL = np.uint32((127 - 14) << 23)
_SUBNORMAL_UNIT = np.uint32((127 - 15 + 23 - 10 + 1) << 23)
"""A number that has the step of subnormal half precision as its last place: adding it rounds."""
_REBIAS = np.uint32(((15 - 127) << 23) & 0xFFFF_FFFF)


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
