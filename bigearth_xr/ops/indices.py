"""What two bands say together: vegetation from optical ones, structure from radar."""

from bigearth_xr.ops.namespace import Array, array_namespace

__all__ = ["normalized_difference", "radar_ratio_db"]


def normalized_difference(a: Array, b: Array) -> Array:
    """Contrast two bands as ``(a - b) / (a + b)``; with B08 and B04 this is the NDVI.

    Parameters
    ----------
    a, b
        Digital numbers, shape ``(..., y, x)``, uint16; 10 000 is a reflectance of 1.

    Returns
    -------
    Array
        Same shape and device, float32, in [-1, 1]; NaN where both bands are empty.

    Examples
    --------
    >>> import numpy as np
    >>> nir, red = np.uint16([[3000, 0]]), np.uint16([[1000, 0]])
    >>> normalized_difference(nir, red)
    array([[0.5, nan]], dtype=float32)
    """
    xp = array_namespace(a, b)
    # Widen first: uint16 wraps around below zero.
    wide_a, wide_b = a.astype(xp.float32), b.astype(xp.float32)
    total = wide_a + wide_b
    contrast: Array = (wide_a - wide_b) / xp.where(total > 0, total, xp.nan)
    return contrast


def radar_ratio_db(vv: Array, vh: Array) -> Array:
    """Divide VV by VH, which in decibels is a difference.

    Parameters
    ----------
    vv, vh
        Backscatter, shape ``(..., y, x)``, float32, dB.

    Returns
    -------
    Array
        Same shape, device and data type, dB: low where plants scatter the wave to and
        fro, high on bare ground and water; NaN where either is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> radar_ratio_db(np.float32([-10, -np.inf]), np.float32([-16, -np.inf]))
    array([ 6., nan], dtype=float32)
    """
    xp = array_namespace(vv, vh)
    # Without an infinity to subtract from an infinity, NumPy has nothing to warn of.
    known_vv, known_vh = (xp.where(xp.isfinite(band), band, xp.nan) for band in (vv, vh))
    ratio_db: Array = known_vv - known_vh
    return ratio_db
