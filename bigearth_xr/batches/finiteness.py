"""Replace values that are not finite: −inf dB is a radar pixel without echo, NaN one that was never seen."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.ops.transform import Precision

__all__ = ["zero_nonfinite"]

_BFLOAT16_EXPONENT = np.uint16(0x7F80)


def zero_nonfinite(batch: NDArray[Any], dtype: Precision) -> None:
    """Put 0 in the place of what is not finite.

    Parameters
    ----------
    batch
        Any shape; uint16 that hold bits if `dtype` is bfloat16. Changed in place.
    dtype
        What its values are.

    Examples
    --------
    >>> batch = np.float32([1, -np.inf, np.nan])
    >>> zero_nonfinite(batch, "float32")
    >>> batch
    array([1., 0., 0.], dtype=float32)
    """
    # Patch by patch, which stays in the processor's cache.
    for patch in batch.reshape(len(batch), -1):
        odd = _is_odd_bits(patch) if dtype == "bfloat16" else ~np.isfinite(patch)
        if odd.any():
            patch[odd] = 0


def _is_odd_bits(patch: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """NaN and infinities have every bit of the exponent set."""
    odd: NDArray[np.bool_] = (patch & _BFLOAT16_EXPONENT) == _BFLOAT16_EXPONENT
    return odd
