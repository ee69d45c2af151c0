"""Find values that are not finite: −inf dB is a radar pixel without echo, NaN one that was never seen."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.batches.recipe import Nonfinite
from bigearth_xr.ops.transform import Precision

__all__ = ["count_nonfinite"]

_BFLOAT16_EXPONENT = np.uint16(0x7F80)


def count_nonfinite(batch: NDArray[Any], dtype: Precision, policy: Nonfinite) -> int:
    """Count the values of a batch that are not finite, and put 0 in their place if that is the policy.

    Parameters
    ----------
    batch
        Any shape; uint16 that hold bits if `dtype` is bfloat16. Changed in place, or not at all.
    dtype
        What its values are.
    policy
        ``"keep"`` does not look for any.

    Examples
    --------
    >>> batch = np.float32([1, -np.inf, np.nan])
    >>> count_nonfinite(batch, "float32", "keep"), count_nonfinite(batch, "float32", "zero")
    (0, 2)
    >>> batch
    array([1., 0., 0.], dtype=float32)
    """
    if policy == "keep":
        return 0
    count = 0
    # Patch by patch, which stays in the processor's cache.
    for patch in batch.reshape(len(batch), -1):
        odd = _is_odd_bits(patch) if dtype == "bfloat16" else ~np.isfinite(patch)
        here = np.count_nonzero(odd)
        if here and policy == "zero":
            patch[odd] = 0
        count += int(here)
    return count


def _is_odd_bits(patch: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """NaN and infinities have every bit of the exponent set."""
    odd: NDArray[np.bool_] = (patch & _BFLOAT16_EXPONENT) == _BFLOAT16_EXPONENT
    return odd
