"""Count numbers that are not finite, by their bits: sums of integers become vectors, those of floats do not."""

from typing import Any

import numpy as np

from bigearth_xr.device.kernels.memory import address_of, get, kernel, longs_at

__all__ = ["count_nonfinite"]

_INFINITE = np.uint32(255 << 23)
"""Every bit of the exponent: NaN and infinities have them all."""


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
