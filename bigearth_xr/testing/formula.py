"""Pixels that are a formula of patch, band, row and column, so that a misplaced one shows."""

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.bands import BANDS, PATCH_SIDE_M, band
from bigearth_xr.labels import CLASSES_19, UNLABELLED_CLC

__all__ = ["formula_pixels", "formula_reference_map"]

# Primes: the counts of two bands, or of two patches, run in step nowhere.
_CYCLE = 9973
_BAND_STEP = 1009
_DARKEST_DB = -30
_STEPS_PER_DB = 256
_MAP_SIDE = PATCH_SIDE_M // 10


def formula_pixels(patch: str, band_name: str) -> NDArray[np.generic]:
    """Compute the pixels that `write_archive` gives a band of a patch.

    With ``n = (crc32(patch) + 1009 × index of the band + size × row + column) mod 9973``,
    a Sentinel-2 pixel is ``1 + n`` and a Sentinel-1 pixel ``n / 256 − 30`` dB, exact in
    float32.

    Parameters
    ----------
    patch
        Patch id, for Sentinel-1 bands too.
    band_name
        Name of the band; its index is that in `bigearth_xr.bands.BANDS`.

    Returns
    -------
    NDArray
        Shape ``(y, x)``: uint16 digital numbers in [1, 9973], or float32 dB in [-30, 9).

    Examples
    --------
    >>> formula_pixels("S2A_MSIL2A_20170613T101031_87_48", "B01")[0, :3]
    array([618, 619, 620], dtype=uint16)
    """
    wanted = band(band_name)
    start = zlib.crc32(patch.encode()) + _BAND_STEP * BANDS.index(wanted)
    steps = (start + np.arange(wanted.size**2)) % _CYCLE
    values = steps + 1 if wanted.sensor == "s2" else steps / _STEPS_PER_DB + _DARKEST_DB
    return values.astype(wanted.dtype).reshape(wanted.size, wanted.size)


def formula_reference_map(labels: Sequence[str]) -> NDArray[np.uint16]:
    """Compute the reference map that `write_archive` gives a patch with these labels.

    One vertical stripe per label, from west to east in the given order, of the first
    CORINE code that the label covers; the 10 × 30 pixels of the upper left corner are
    unlabelled.

    Parameters
    ----------
    labels
        Names of the 19 classes, at least one.

    Returns
    -------
    NDArray
        Shape ``(120, 120)``, uint16, CORINE codes.

    Examples
    --------
    >>> formula_reference_map(["Pastures", "Marine waters"])[60, [0, 59, 60, 119]]
    array([231, 231, 521, 521], dtype=uint16)
    """
    codes = {label.name: int(label.clc_codes[0]) for label in CLASSES_19}
    stripes = np.array([codes[label] for label in labels], np.uint16)
    pixels = np.tile(stripes[np.arange(_MAP_SIDE) * len(labels) // _MAP_SIDE], (_MAP_SIDE, 1))
    pixels[:10, :30] = UNLABELLED_CLC
    return pixels
