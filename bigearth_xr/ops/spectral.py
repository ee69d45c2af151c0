"""What bands say together: indices of two of them, and the features of a patch, which need no training."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import BandError
from bigearth_xr.ops.namespace import Array, array_namespace
from bigearth_xr.ops.scale import standardize
from bigearth_xr.spelling import find_choice

__all__ = ["INDICES", "Index", "index_named", "radar_ratio_db", "spectral_features"]

_QUANTILES = (0.1, 0.5, 0.9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """A number that two bands give together."""

    name: str
    """What it is asked for by, e.g. ``"ndvi"``."""

    bands: tuple[str, str]
    """The two, in the order of the formula."""

    long_name: str
    """What it measures, for a reader."""

    formula: str
    """How, for a reader."""

    units: Literal["1", "dB"]
    """``"1"`` for a contrast, in [-1, 1]; ``"dB"`` for a ratio of powers."""

    compute: Callable[[Array, Array], Array]
    """The formula, of pixels as stored."""


def index_named(name: str) -> Index:
    """Find an index by its name, in upper or lower case.

    Raises
    ------
    BandError
        There is no such index; the message names those that there are.

    Examples
    --------
    >>> index_named("NDVI").bands
    ('B08', 'B04')
    """
    return find_choice("index", name, INDICES, BandError)


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


# Name, the two bands, what it measures. Contrasts of McFeeters (ndwi), Xu (mndwi), Gao (ndmi), Key and Benson (nbr).
_CONTRASTS = """\
ndvi  B08 B04 green vegetation
ndre  B8A B05 chlorophyll, by the red edge
ndwi  B03 B08 open water
mndwi B03 B11 open water, and snow
ndmi  B8A B11 water in leaves
nbr   B8A B12 burnt ground, where it is low
"""


def spectral_features(
    pixels: Array, bands: Sequence[str], offset: NDArray[np.float32], divisor: NDArray[np.float32]
) -> Array:
    """Describe each patch by the distribution of each of its bands.

    Parameters
    ----------
    pixels
        As stored, shape ``(patch, band, y, x)``, NumPy or CuPy.
    bands
        Name of each band.
    offset, divisor
        What to normalise each band with: ``(pixels - offset) / divisor``, shape ``(band,)``, units of the pixels;
        NumPy, whatever the pixels are.

    Returns
    -------
    Array
        Shape ``(patch, feature)``, float32, same device. Five features a band: mean, standard deviation and the
        quantiles 0.1, 0.5 and 0.9 of its normalised pixels; then the same five of the NDVI, where B08 and B04 are
        there, and of normalised VV less normalised VH, where these are. NDVI is 0 where both bands are empty.

    Examples
    --------
    >>> pixels = np.uint16([[[[1, 2], [3, 4]]]])
    >>> spectral_features(pixels, ["B02"], np.float32([2.5]), np.float32([1])).round(2)
    array([[ 0.  ,  1.12, -1.2 ,  0.  ,  1.2 ]], dtype=float32)
    """
    planes = _planes(pixels, bands, offset, divisor)
    xp = array_namespace(planes)
    flat = planes.reshape(*planes.shape[:2], -1)
    quantiles = xp.quantile(flat, xp.asarray(_QUANTILES, dtype=xp.float32), axis=-1)
    features = xp.stack([flat.mean(-1), flat.std(-1), *quantiles], axis=-1)
    described: Array = features.reshape(len(flat), -1).astype(xp.float32)
    return described


def _contrast(line: str) -> Index:
    """Read a line of the table of contrasts."""
    name, a, b, measures = line.split(maxsplit=3)
    return Index(
        name=name,
        bands=(a, b),
        long_name=f"{name.upper()}: {measures}",
        formula=f"({a} - {b}) / ({a} + {b})",
        units="1",
        compute=normalized_difference,
    )


_RADAR = Index(
    name="radar_ratio",
    bands=("VV", "VH"),
    long_name="VV over VH: low where plants scatter the wave to and fro",
    formula="VV - VH, in dB",
    units="dB",
    compute=radar_ratio_db,
)


INDICES = {one.name: one for one in (*map(_contrast, _CONTRASTS.splitlines()), _RADAR)}
"""All that there are, by name."""


def _planes(pixels: Array, bands: Sequence[str], offset: NDArray[np.float32], divisor: NDArray[np.float32]) -> Any:
    """Normalised bands, and the contrasts between some of them, shape ``(patch, plane, y, x)``."""
    xp = array_namespace(pixels)
    place = {band: i for i, band in enumerate(bands)}
    normalized = standardize(pixels, offset, divisor)
    contrasts = []
    if {"B08", "B04"} <= place.keys():
        ndvi = normalized_difference(pixels[:, place["B08"]], pixels[:, place["B04"]])
        contrasts.append(xp.nan_to_num(ndvi, nan=0))
    if {"VV", "VH"} <= place.keys():
        contrasts.append(normalized[:, place["VV"]] - normalized[:, place["VH"]])
    return xp.concatenate([normalized, *(contrast[:, None] for contrast in contrasts)], axis=1)
