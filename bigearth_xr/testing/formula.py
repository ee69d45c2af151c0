"""Pixels that are a formula of patch, band, row and column, so that a misplaced one shows."""

import zlib
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.bands import BANDS, PATCH_SIDE_M, Sensor, band
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
    sensor, size, step = _facts(band_name)
    start = (zlib.crc32(patch.encode()) + step) % _CYCLE
    # Cut from the cycle written out: computing each pixel anew takes fifty times as long.
    return _cycle(sensor)[start : start + size**2].reshape(size, size).copy()


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
    stripes = np.array([_first_codes()[label] for label in labels], np.uint16)
    pixels = np.tile(stripes[np.arange(_MAP_SIDE) * len(labels) // _MAP_SIDE], (_MAP_SIDE, 1))
    pixels[:10, :30] = UNLABELLED_CLC
    return pixels


@cache
def _facts(band_name: str) -> tuple[Sensor, int, int]:
    """Sensor, pixels along a side, and the step that tells the band from the others."""
    wanted = band(band_name)
    return wanted.sensor, wanted.size, _BAND_STEP * BANDS.index(wanted)


@cache
def _cycle(sensor: Sensor) -> NDArray[np.generic]:
    """Write out the values of a sensor, as many as a patch needs that starts with the last one."""
    steps = np.arange(_CYCLE + _MAP_SIDE**2) % _CYCLE
    if sensor == "s2":
        return (steps + 1).astype(np.uint16)
    return (steps / _STEPS_PER_DB + _DARKEST_DB).astype(np.float32)


@cache
def _first_codes() -> dict[str, int]:
    """First CORINE code of each of the 19 classes."""
    return {label.name: int(label.clc_codes[0]) for label in CLASSES_19}
