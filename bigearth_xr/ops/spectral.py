"""A patch as a few numbers that need no training: how its bands are distributed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.ops.indices import normalized_difference
from bigearth_xr.ops.namespace import Array, array_namespace
from bigearth_xr.ops.scale import standardize

__all__ = ["spectral_features"]

_QUANTILES = (0.1, 0.5, 0.9)


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
