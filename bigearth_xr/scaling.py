"""Normalise a DataArray of bands with statistics that belong to its pixels, or not at all."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, cast, get_args

import numpy as np
import xarray as xr

from bigearth_xr.backend.origin import own_pixels
from bigearth_xr.bands import band
from bigearth_xr.bandwise import apply, band_dim, band_names
from bigearth_xr.device.blocks import is_block, is_large, transform_block
from bigearth_xr.errors import BandError, NormalizationError
from bigearth_xr.ops.scale import minmax, standardize
from bigearth_xr.releases import Release
from bigearth_xr.spelling import did_you_mean
from bigearth_xr.stats import BandStatistics, band_statistics

__all__ = ["NORMALIZED", "Method", "Statistics", "normalize"]

Method = Literal["standardize", "minmax", "reflectance"]
"""How pixels are brought to one scale."""

Statistics = BandStatistics | Mapping[str, tuple[float, float]]
"""Published statistics, or two numbers by band name: mean and standard deviation, or least and greatest value."""

NORMALIZED = "bigearth_normalized"
"""Attribute of a normalised array: method, where its numbers are from, and the numbers by band, as JSON."""

Numbers = dict[str, tuple[float, float]]

_FORMULA = {
    "standardize": "standardised: (value - mean) / std, by band",
    "minmax": "scaled: (value - low) / (high - low), by band, not clipped",
    "reflectance": "surface reflectance: digital number / 10 000",
}
_FULL_SCALE = (0.0, 10_000.0)
_FINEST_M = 10
_PATCH_SIZE = 120
_REPEATED = ("none", "nearest")
"""Pixels as stored, or repeated, which changes neither mean nor deviation."""


def normalize(array: xr.DataArray, method: Method = "standardize", stats: Statistics | None = None) -> xr.DataArray:
    """Bring all bands to one scale; `DataArray.ben.normalize` documents it.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> ds = bex.open(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> normalize(ds.s2.sel(band="B04"), "reflectance").dtype
    dtype('float32')
    """
    if NORMALIZED in array.attrs:
        raise NormalizationError(
            f"this array was normalised before: {array.attrs[NORMALIZED]}; normalise pixels as they were opened, once"
        )
    if method not in get_args(Method):
        raise NormalizationError(f"there is no method {method!r}; known are {', '.join(get_args(Method))}")
    names, dim = band_names(array), band_dim(array)
    source, numbers = _NUMBERS[method](array, names, stats)
    given = (xr.Variable(dim, values) for values in np.array(list(numbers.values())).T)
    scale = standardize if method == "standardize" else minmax
    scaled = apply(partial(_scale_block, scale), array, *given, core=(dim,), dtype=np.float32)
    record = {"method": method, "source": source, "numbers": numbers}
    scaled.attrs = {**array.attrs, "units": "1", "comment": _FORMULA[method], NORMALIZED: json.dumps(record)}
    return scaled


def _scale_block(scale: Callable[..., Any], pixels: Any, *numbers: Any) -> Any:
    """Scale pixels by two numbers of every band, which are along the last dimension."""
    planes = np.moveaxis(pixels, -1, -3) if isinstance(pixels, np.ndarray) and pixels.ndim == 4 else pixels
    if not (is_block(planes) and is_large(planes) and planes[:1].flags.c_contiguous):
        return scale(pixels, *numbers, axis=-1)
    subtract, other = numbers
    spread = np.asarray(other if scale is standardize else other - subtract, np.float32)
    return np.moveaxis(transform_block(planes, subtract=subtract, factor=np.float32(1) / spread), -3, -1)


def _moments(array: xr.DataArray, names: tuple[str, ...], stats: Statistics | None) -> tuple[str, Numbers]:
    """Mean and standard deviation of every band."""
    if isinstance(stats, Mapping):
        numbers = _of_mapping(names, stats)
        flat = [name for name, (_, std) in numbers.items() if not std > 0]
        if flat:
            raise NormalizationError(f"the standard deviation of {', '.join(flat)} is not above 0; check stats")
        return "given", numbers
    origin = _origin(array)
    if stats is None:
        stats = _published(origin, names)
    else:
        _check_match(origin, names, stats)
    numbers = {name: (stats.mean[name], stats.std[name]) for name in names}
    return f"{stats.source}: {stats.population}", numbers


def _limits(array: xr.DataArray, names: tuple[str, ...], stats: Statistics | None) -> tuple[str, Numbers]:
    """Least and greatest value of every band; those of radar were published for v1 alone, and serve both releases."""
    if isinstance(stats, BandStatistics):
        raise NormalizationError(
            "minmax takes no BandStatistics, which lack the limits of Sentinel-2; pass None, or {band: (low, high)}"
        )
    if stats is not None:
        numbers = _of_mapping(names, stats)
        empty = [name for name, (low, high) in numbers.items() if not low < high]
        if empty:
            raise NormalizationError(
                f"the limits of {', '.join(empty)} are not (low, high) with low < high; check stats"
            )
        return "given", numbers
    radar = band_statistics("v1", "none")
    numbers = dict.fromkeys(names, _FULL_SCALE) | {
        name: (radar.minimum[name], radar.maximum[name]) for name in names if name in radar.minimum
    }
    return f"{radar.source}; Sentinel-2: 0 to 10 000", numbers


def _full_scale(array: xr.DataArray, names: tuple[str, ...], stats: Statistics | None) -> tuple[str, Numbers]:
    """0 and 10 000, between which digital numbers are reflectances."""
    if stats is not None:
        raise NormalizationError("reflectance needs no statistics: it divides by 10 000; leave stats out")
    radar = [name for name in names if band(name).sensor == "s1"]
    if radar:
        raise BandError(
            f"{', '.join(radar)} is backscatter in dB and has no reflectance; take Sentinel-2 bands alone, or use "
            "'standardize' or 'minmax'"
        )
    return "Sentinel-2 L2A", dict.fromkeys(names, _FULL_SCALE)


_NUMBERS: dict[str, Callable[[xr.DataArray, tuple[str, ...], Statistics | None], tuple[str, Numbers]]] = {
    "standardize": _moments,
    "minmax": _limits,
    "reflectance": _full_scale,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Origin:
    """What is known of the pixels of an array."""

    release: Release | None
    """Their release; None where nothing says it."""

    resampling: str | None
    """How they were brought to one size, ``"none"`` as stored; None where nothing says it."""


def _origin(array: xr.DataArray) -> _Origin:
    """Ask the array itself, and its attributes only where it holds computed values."""
    own = own_pixels(array)
    if own is not None:
        return _Origin(release=own.store.release, resampling=own.resampling or "none")
    identity = json.loads(array.attrs.get("bigearth", "{}"))
    origin = _Origin(release=identity.get("release"), resampling=identity.get("resampling"))
    _check_still_stored(array, origin)
    return origin


def _check_still_stored(array: xr.DataArray, origin: _Origin) -> None:
    """Attributes survive arithmetic and concatenation: refuse them where patch ids or the data type contradict them."""
    remedy = "name the statistics that fit: stats=band_statistics('v2', 'nearest'), or {'B04': (mean, std), …}"
    patches = (
        np.atleast_1d(array["patch"].values).astype(object).astype(str)
        if "patch" in array.coords
        else np.array([], str)
    )
    # Only v2 names hold a processing baseline.
    releases = {"v2" if "_N" in patch else "v1" for patch in patches if patch.startswith("S2")}
    if origin.release is not None and releases - {origin.release}:
        raise NormalizationError(
            f"patches of {' and '.join(sorted(releases))}, but the array's attributes say {origin.release}, as after "
            f"concatenating two stores; normalise each alone, or {remedy}"
        )
    if origin.resampling in (*_REPEATED, "none") and _has_fractions(array):
        raise NormalizationError(
            "these pixels have fractions, stored digital numbers have none: they were computed with, so the statistics "
            f"of stored pixels do not fit; {remedy}"
        )


def _has_fractions(array: xr.DataArray) -> bool:
    """Whether values in memory of Sentinel-2 alone are no digital numbers; lazy values are not computed to be asked."""
    optical = all(band(name).sensor == "s2" for name in band_names(array))
    if not optical or not isinstance(array.variable._data, np.ndarray) or array.dtype.kind != "f":
        return False
    some = array.values.ravel()[:10_000]
    known = some[np.isfinite(some)]
    return bool((known != np.rint(known)).any())


def _published(origin: _Origin, names: tuple[str, ...]) -> BandStatistics:
    """Find the statistics that were published for such pixels."""
    coarse = _resampled(names)
    unknown = "release" if origin.release is None else "resampling" if coarse and origin.resampling is None else None
    if origin.release is None or unknown:
        raise NormalizationError(
            f"the {unknown} of these pixels is not known: the array's attribute 'bigearth' does not say it; take the "
            "array from ds.ben.image(…), or name statistics: stats=band_statistics('v2', 'nearest')"
        )
    if coarse and origin.resampling not in _REPEATED:
        raise NormalizationError(
            f"{', '.join(coarse)} were brought to 10 m by {origin.resampling}, for which no statistics were published: "
            "those that exist are of align_corners=True, which spreads pixels otherwise. Open the store with "
            "resampling='nearest', or pass your own: stats={'B05': (mean, std), …}"
        )
    return band_statistics(origin.release, "none")


def _check_match(origin: _Origin, names: tuple[str, ...], stats: BandStatistics) -> None:
    """Refuse published statistics of other pixels; what nothing is known of is the caller's to say."""
    remedy = "leave stats out to have those that match, or pass your own: stats={'B04': (mean, std), …}"
    if origin.release not in (None, stats.release):
        raise NormalizationError(
            f"these statistics are of release {stats.release}, the pixels of {origin.release}; {remedy}"
        )
    alike = stats.resampling in _REPEATED and (origin.resampling in (None, *_REPEATED) or not _resampled(names))
    if not alike:
        raise NormalizationError(
            f"these statistics are of resampling {stats.resampling!r}, the pixels of {origin.resampling!r}; {remedy}"
        )
    if stats.size not in (None, _PATCH_SIZE):
        raise NormalizationError(
            f"these statistics are of patches of {stats.size} pixels, the pixels of patches of {_PATCH_SIZE}; {remedy}"
        )


def _resampled(names: tuple[str, ...]) -> list[str]:
    """Bands that have to be resampled to be at 10 m."""
    return [name for name in names if band(name).res_m > _FINEST_M]


def _of_mapping(names: tuple[str, ...], stats: Mapping[str, tuple[float, float]]) -> Numbers:
    missing = [name for name in names if name not in stats]
    if missing:
        raise NormalizationError(
            f"stats lack {', '.join(missing)}, and hold {', '.join(stats) or 'nothing'}; give two for every band"
            f"{did_you_mean(missing[0], stats)}"
        )
    numbers = {name: tuple(map(float, stats[name])) for name in names}
    odd = [name for name, pair in numbers.items() if len(pair) != 2 or not np.isfinite(pair).all()]
    if odd:
        raise NormalizationError(
            f"stats of {', '.join(odd)} are not two finite numbers; give e.g. {{'B04': (588.4, 684.6)}}"
        )
    return cast(Numbers, numbers)
