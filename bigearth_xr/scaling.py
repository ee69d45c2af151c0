"""Normalise a DataArray of bands with statistics that belong to its pixels, or not at all."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, cast, get_args

import numpy as np
import xarray as xr

from bigearth_xr.backend.origin import stored_source
from bigearth_xr.bands import Sensor, band
from bigearth_xr.bandwise import apply, band_dim, band_names
from bigearth_xr.device.host import is_block, is_large, transform_block
from bigearth_xr.errors import BandError, NormalizationError
from bigearth_xr.ops.scale import minmax, standardize
from bigearth_xr.releases import Release, named_releases
from bigearth_xr.spelling import check_choice, did_you_mean
from bigearth_xr.stats import BandStatistics, band_statistics
from bigearth_xr.units import UnitCheck, Units, check_dtype, units_by_sensor

__all__ = ["NORMALIZED", "Method", "Scale", "Statistics", "normalize", "scale_of"]

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
    "reflectance": "surface reflectance: stored integers / 10 000",
}
_FULL_SCALE = (0.0, 10_000.0)
_FINEST_M = 10
_PATCH_SIZE = 120
_REPEATED = ("none", "nearest")
"""Pixels as stored, or repeated, which changes neither mean nor deviation."""
_NATIVE = ("y_20m", "x_20m", "y_60m", "x_60m")
"""Dimensions along which pixels are as stored."""
_PACKING = ("scale_factor", "add_offset", "_Unsigned")
"""Attributes of numbers that stand for others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How pixels are brought to one scale, and what is to be seen first."""

    method: Method
    """How."""

    source: str
    """Where the numbers are from."""

    numbers: Mapping[str, tuple[float, float]]
    """Two by band, in the unit of the pixels: mean and standard deviation, or least and greatest value."""

    check: UnitCheck | None
    """What the values are to be asked; None where they are a store's own, or the caller says their unit."""

    @property
    def record(self) -> str:
        """What is noted of it in `NORMALIZED`."""
        return json.dumps({"method": self.method, "source": self.source, "numbers": self.numbers})


def normalize(
    array: xr.DataArray,
    method: Method = "standardize",
    stats: Statistics | None = None,
    *,
    units: Units | Iterable[Units] | None = None,
) -> xr.DataArray:
    """Bring all bands to one scale; `DataArray.ben.normalize` documents it."""
    how, dim = scale_of(array, method, stats, units), band_dim(array)
    seen = array if how.check is None else apply(how.check, array, core=(*_patch_dims(array), dim))
    given = (xr.Variable(dim, values) for values in np.array(list(how.numbers.values())).T)
    scale = standardize if method == "standardize" else minmax
    scaled = apply(partial(_scale_block, scale), seen, *given, core=(dim,), dtype=np.float32)
    scaled.attrs = {**array.attrs, "units": "1", "history": _FORMULA[method], NORMALIZED: how.record}
    return scaled


def scale_of(
    array: xr.DataArray,
    method: Method = "standardize",
    stats: Statistics | None = None,
    units: Units | Iterable[Units] | None = None,
) -> Scale:
    """Find the numbers that an array is to be scaled with; reads no pixel.

    Raises
    ------
    NormalizationError, BandError
        As `DataArray.ben.normalize` says.
    """
    check_choice("method", method, get_args(Method), NormalizationError)
    names = band_names(array)
    given = units_by_sensor(units, names)
    if NORMALIZED in array.attrs and {band(name).sensor for name in names} - given.keys():
        raise NormalizationError(
            f"this array was normalised before: {array.attrs[NORMALIZED]}; normalise pixels as they were opened, once. "
            "Where that was undone, say what they are now: units='digital number', 'reflectance' or 'dB'"
        )
    source, numbers = _NUMBERS[method](array, names, stats)
    check = None if isinstance(stats, Mapping) else _check_of(array, names, given, stored=_is_auto(method, stats))
    if given.get("s2") == "reflectance" and not isinstance(stats, Mapping):
        numbers = {name: _by_10_000(pair) if band(name).sensor == "s2" else pair for name, pair in numbers.items()}
    return Scale(method=method, source=source, numbers=numbers, check=check)


def _check_of(
    array: xr.DataArray, names: tuple[str, ...], given: Mapping[Sensor, Units], *, stored: bool
) -> UnitCheck | None:
    """What to ask of the values; nothing of those that are a store's own."""
    if stored_source(array) is not None:
        if given.get("s2") == "reflectance":
            raise NormalizationError(
                "units says 'reflectance', but these pixels are as a store holds them: digital numbers; leave it out"
            )
        return None
    _check_packing(array, names, given)
    check_dtype(array.dtype, given, names)
    resampling = _resampling_of(array)
    check = UnitCheck(
        bands=names,
        given=given,
        axes=len(_patch_dims(array)),
        interpolated=resampling not in (None, *_REPEATED),
        stored=stored,
        repeated=stored and resampling is None,
    )
    return check if check.is_needed else None


def _check_packing(array: xr.DataArray, names: tuple[str, ...], given: Mapping[Sensor, Units]) -> None:
    """Refuse values of a file that were not decoded: their attributes say so."""
    packed = [f"{name}={array.attrs[name]}" for name in _PACKING if name in array.attrs]
    if packed and {band(name).sensor for name in names} - given.keys():
        raise NormalizationError(
            f"these pixels are packed ({', '.join(packed)}): they were opened without decoding; decode them, "
            "xr.decode_cf(ds), or where that was done say what they are: units='digital number', 'reflectance' or 'dB'"
        )


def _resampling_of(array: xr.DataArray) -> str | None:
    """How pixels were brought to one size, by their attributes or by the names of their dimensions."""
    is_native = any(str(dim) in _NATIVE for dim in array.dims)
    given: str | None = _identity(array).get("resampling")
    return given or ("none" if is_native else None)


def _is_auto(method: Method, stats: Statistics | None) -> bool:
    return method == "standardize" and stats is None


def _by_10_000(pair: tuple[float, float]) -> tuple[float, float]:
    return pair[0] / _FULL_SCALE[1], pair[1] / _FULL_SCALE[1]


def _patch_dims(array: xr.DataArray) -> tuple[str, ...]:
    """Dimensions of an array along which the pixels of a patch are, as ``y`` and ``x``, or ``y_20m``."""
    return tuple(str(dim) for dim in array.dims if str(dim).partition("_")[0] in ("y", "x"))


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
    """Their release, as the store or attributes say it; None where neither does."""

    named: Release | None
    """Their release, as the ids of patches say it."""

    resampling: str | None
    """How they were brought to one size, ``"none"`` as stored; None where nothing says it."""

    is_whole: bool
    """Whether they are whole patches at 10 m, whose values show whether coarser pixels were repeated."""

    is_certain: bool
    """Whether the release is more than an attribute, which may be of other pixels."""


def _origin(array: xr.DataArray) -> _Origin:
    """Ask the array itself, then the names of its patches, and its attributes where these do not contradict them."""
    own = stored_source(array)
    if own is not None:
        known = own.store.release
        return _Origin(release=known, named=known, resampling=own.resampling or "none", is_whole=True, is_certain=True)
    release = _identity(array).get("release")
    patches = np.atleast_1d(array["patch"].values) if "patch" in array.coords else np.array([], str)
    named = named_releases(map(str, patches.tolist()))
    ids = sorted(name for name in named if name is not None)
    if len(ids) > 1 or (ids and release not in (None, ids[0])):
        raise NormalizationError(
            f"patches of {' and '.join(ids)}, but the array's attributes say {release or 'nothing'}, as after "
            "concatenating two stores; give a loader the Datasets as a list, PatchLoader([v1, v2]), or normalise each "
            "alone and concatenate what comes of it"
        )
    found: Release | None = next(iter(named - {None}), None)
    if len(named) == 1 and release is None:
        release = found  # attributes were lost, and all ids say it
    sides = [array.sizes[dim] for dim in _patch_dims(array)]
    return _Origin(
        release=release,
        named=found,
        resampling=_resampling_of(array),
        is_whole=sides == [_PATCH_SIZE, _PATCH_SIZE],
        is_certain=named == {release},
    )


def _identity(array: xr.DataArray) -> dict[str, Any]:
    identity: dict[str, Any] = json.loads(array.attrs.get("bigearth", "{}"))
    return identity


def _published(origin: _Origin, names: tuple[str, ...]) -> BandStatistics:
    """Find the statistics that were published for such pixels."""
    coarse = _resampled(names)
    is_open = coarse and origin.resampling is None
    unknown = "release" if origin.release is None else "resampling" if is_open and not origin.is_whole else None
    if origin.release is None or unknown:
        raise NormalizationError(
            f"the {unknown} of these pixels is not known: the array's attribute 'bigearth' does not say it; take the "
            "array from ds.ben.image(…), or name statistics: stats=band_statistics('v2', 'nearest')"
        )
    if not origin.is_certain:
        raise NormalizationError(
            f"the release of these pixels is not known: their attributes say {origin.release}, which they would also "
            "after concatenating two releases, and no ids of patches (coordinate 'patch') confirm it; name statistics: "
            f"stats=band_statistics({origin.release!r}, 'nearest')"
        )
    if coarse and origin.resampling not in (None, *_REPEATED):
        raise NormalizationError(
            f"{', '.join(coarse)} were brought to 10 m by {origin.resampling}, for which no statistics were published: "
            "those that exist are of align_corners=True, which spreads pixels otherwise. Open the store with "
            "resampling='nearest', or pass your own: stats={'B05': (mean, std), …}"
        )
    return band_statistics(origin.release, "none")


def _check_match(origin: _Origin, names: tuple[str, ...], stats: BandStatistics) -> None:
    """Refuse published statistics of other pixels; what nothing is known of is the caller's to say."""
    remedy = "leave stats out to have those that match, or pass your own: stats={'B04': (mean, std), …}"
    release = origin.release or origin.named
    if release not in (None, stats.release):
        raise NormalizationError(f"these statistics are of release {stats.release}, the pixels of {release}; {remedy}")
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
