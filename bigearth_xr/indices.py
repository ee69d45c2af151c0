"""Indices of an array of bands, or of a Dataset: two bands of each pixel as one number."""

import json

import numpy as np
import xarray as xr

from bigearth_xr.bandwise import band_dim, band_names
from bigearth_xr.errors import BandError, NormalizationError
from bigearth_xr.image import image
from bigearth_xr.ops.namespace import Array
from bigearth_xr.ops.spectral import Index, index_named
from bigearth_xr.scaling import NORMALIZED

__all__ = ["index"]

_SCALES_KEPT = ("reflectance",)
"""Ways to normalise that leave the ratios of bands as they are."""


def index(pixels: xr.Dataset | xr.DataArray, name: str) -> xr.DataArray:
    """Compute an index of every pixel; `Dataset.ben.index` documents it."""
    wanted = index_named(name)
    array = image(pixels, wanted.bands) if isinstance(pixels, xr.Dataset) else _two_bands(pixels, wanted)
    dim = band_dim(array)

    def computed(values: Array) -> Array:
        return wanted.compute(values[..., 0], values[..., 1])

    # Both bands in one array: each patch is read once.
    result = xr.apply_ufunc(computed, array, input_core_dims=[[dim]], dask="parallelized", output_dtypes=[np.float32])
    kept = {key: array.attrs[key] for key in ("bigearth", "source") if key in array.attrs}
    result.attrs = kept | {"long_name": wanted.long_name, "units": wanted.units, "history": wanted.formula}
    named: xr.DataArray = result.rename(name.lower())
    return named


def _two_bands(array: xr.DataArray, wanted: Index) -> xr.DataArray:
    """The bands of an index out of an array of bands, if it has them as they were stored."""
    record = json.loads(array.attrs.get(NORMALIZED, "{}"))
    if record and record["method"] not in _SCALES_KEPT:
        raise NormalizationError(
            f"this array was normalised by {record['method']!r}, and {wanted.name} is of pixels as stored, or of "
            "reflectances; take it before normalising"
        )
    dim, names = band_dim(array), band_names(array)
    missing = [band for band in wanted.bands if band not in names]
    if missing or dim not in array.dims:
        raise BandError(
            f"{wanted.name} is {wanted.formula}, and this array has {', '.join(names)}; take it of an image with both, "
            f"or of the Dataset: ds.ben.index({wanted.name!r})"
        )
    return array.isel({dim: [names.index(band) for band in wanted.bands]})
