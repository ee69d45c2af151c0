"""Patches as pictures: three bands as red, green and blue, ready for a screen."""

import json
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
import xarray as xr

from bigearth_xr.bands import Composite, composite
from bigearth_xr.bandwise import apply, band_dim, band_names
from bigearth_xr.errors import BandError, NormalizationError
from bigearth_xr.image import image
from bigearth_xr.ops.scale import GAMMA, NARROWEST, PERCENTILES, brighten, limits_of
from bigearth_xr.scaling import NORMALIZED, normalize
from bigearth_xr.spelling import check_choice, choice_error
from bigearth_xr.units import Units

__all__ = ["Shades", "Stretch", "picture"]

Stretch = Literal["patch"] | tuple[float, float]
"""What is black and what is white: of each patch by itself, or two reflectances for all."""

Shades = Literal["uint8", "float32"]
"""Brightness as 0 to 255, or as 0 to 1."""


def picture(
    pixels: xr.Dataset | xr.DataArray,
    name: str = "rgb",
    *,
    stretch: Stretch = "patch",
    gamma: float = GAMMA,
    dtype: Shades = "uint8",
    units: Units | None = None,
) -> xr.DataArray:
    """Draw three bands of every patch; `Dataset.ben.rgb` documents it."""
    wanted = composite(name)
    limits = _checked(stretch)
    check_choice("dtype", dtype, get_args(Shades), NormalizationError)
    if isinstance(gamma, bool) or not isinstance(gamma, int | float | np.number) or not 0 < gamma < np.inf:
        raise NormalizationError(f"gamma is {gamma!r}, expected a number above 0, e.g. {GAMMA:g}; 1 changes nothing")
    bands = image(pixels, wanted.bands) if isinstance(pixels, xr.Dataset) else _three_bands(pixels, wanted)
    reflectance = bands if NORMALIZED in bands.attrs else normalize(bands, "reflectance", units=units)
    draw = partial(_draw, limits=limits, gamma=float(gamma), dtype=dtype)
    core = (band_dim(bands), "y", "x")
    drawn = apply(draw, reflectance, core=core, outer=("patch",), dtype=dtype)
    drawn.attrs = {name: bands.attrs[name] for name in ("bigearth", "source") if name in bands.attrs}
    drawn.attrs["history"] = _words(wanted, limits, gamma)
    if not isinstance(bands.attrs.get("long_name", ""), str):  # as `patch` names its bands
        drawn.attrs["long_name"] = wanted.bands
    return drawn.rename(wanted.name)


def _checked(stretch: Any) -> tuple[float, float] | None:
    """Two reflectances, or None for each patch's own."""
    if isinstance(stretch, str):
        if stretch != "patch":
            raise choice_error("stretch", stretch, ("patch", "(low, high)"), NormalizationError)
        return None
    try:
        low, high = map(float, stretch)
    except (TypeError, ValueError):
        low = high = 0.0
    if not low < high or not np.isfinite([low, high]).all():
        raise NormalizationError(
            f"stretch is {stretch!r}, expected 'patch', or two reflectances (low, high) with low < high, as (0, 0.3)"
        )
    return low, high


def _three_bands(array: xr.DataArray, wanted: Composite) -> xr.DataArray:
    """The bands of a composite out of an array of bands."""
    record = json.loads(array.attrs.get(NORMALIZED, "{}"))
    if record and record["method"] != "reflectance":
        raise NormalizationError(
            f"this array was normalised by {record['method']!r}, and a picture is of pixels as stored, or of "
            "reflectances; draw it before normalising"
        )
    dim, names = band_dim(array), band_names(array)
    if not {*wanted.bands} <= {*names} or dim not in array.dims:
        raise BandError(
            f"{wanted.name} shows {', '.join(wanted.bands)}, and this array has {', '.join(names)}; take an image with "
            f"these, or draw the Dataset: ds.ben.rgb({wanted.name!r})"
        )
    return array.isel({dim: [names.index(band) for band in wanted.bands]})


def _draw(reflectance: Any, *, limits: tuple[float, float] | None, gamma: float, dtype: Shades) -> Any:
    """Brightness of blocks, shape ``(patch, band, y, x)``."""
    low, high = limits_of(reflectance) if limits is None else limits
    bright = brighten(reflectance, low, high, gamma=gamma)
    return bright if dtype == "float32" else (bright * 255).round().astype(np.uint8)


def _words(wanted: Composite, limits: tuple[float, float] | None, gamma: float) -> str:
    """How a picture was made, for a reader."""
    if limits is None:
        low, high = PERCENTILES
        span = f"per patch, percentile {low:g} to {high:g} of the three bands together, at least {NARROWEST:g}"
    else:
        span = f"{limits[0]:g} to {limits[1]:g}"
    return f"red, green, blue = {', '.join(wanted.bands)}; reflectance, black to white: {span}; gamma {gamma:g}"
