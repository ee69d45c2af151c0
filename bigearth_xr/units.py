"""In which unit the values of an array are: given by the caller, inferred from the values, or refused.

Attributes travel through arithmetic, so they say nothing of it. Pixels that are a store's own are in its units; of all
others the values are asked, and what they leave open the caller has to say.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from bigearth_xr.bands import Sensor, band
from bigearth_xr.errors import NormalizationError
from bigearth_xr.ops.namespace import Array, array_namespace
from bigearth_xr.spelling import did_you_mean

__all__ = ["UnitCheck", "Units", "check_dtype", "check_units", "units_by_sensor"]

Units = Literal["digital number", "reflectance", "dB"]
"""What a caller may hold: digital numbers or reflectances of Sentinel-2, backscatter of Sentinel-1 in decibels."""

STORED_UNITS: dict[Sensor, Units] = {"s2": "digital number", "s1": "dB"}
"""What stores hold."""

_SENSOR: dict[Units, Sensor] = {"digital number": "s2", "reflectance": "s2", "dB": "s1"}
_MOST = 32_767
"""No digital number of a patch is as much; uint16 that wrapped around below 0 is more."""
_MOST_PERCENT = 655.35
"""The greatest digital number as a percentage: what has fractions and is not greater may be one, or a reflectance."""
_WEAK_DB = -6.0
_SHARE = 1 / 36
"""No more than this share of any numbers is 6 standard deviations from their mean (Chebyshev): where more of a band is
below −6, it was not standardised. Powers, amplitudes and ranges of 0 to 1 are never below 0."""
_BLOCK = 1 << 22
"""Values looked at together, so that what is derived from them stays small."""


def check_units(units: Units | Iterable[Units] | None) -> tuple[Units, ...]:
    """List what a caller says, one unit or one of each sensor.

    Raises
    ------
    NormalizationError
        If one is not known, or two are of one sensor.

    Examples
    --------
    >>> check_units("reflectance"), check_units(["reflectance", "dB"]), check_units(None)
    (('reflectance',), ('reflectance', 'dB'), ())
    """
    if units is None:
        return ()
    known = get_args(Units)
    given = (units,) if isinstance(units, str) else tuple(units) if isinstance(units, Iterable) else (units,)
    for unit in given:
        if unit not in known:
            raise NormalizationError(
                f"units is {unit!r}, expected {', '.join(map(repr, known))}, or one of each sensor: ('reflectance', "
                f"'dB'){did_you_mean(str(unit), known)}. Powers are brought to dB by 10 * np.log10(ds.s1)"
            )
    if len({_SENSOR[unit] for unit in given}) < len(given):
        raise NormalizationError(f"units is {units!r}, which is two of one sensor; give one of each")
    return given


def units_by_sensor(units: Units | Iterable[Units] | None, bands: Sequence[str]) -> dict[Sensor, Units]:
    """What a caller says of bands, by sensor.

    Raises
    ------
    NormalizationError
        If it is not a unit, or one of a sensor that none of the bands is of.
    """
    given = {_SENSOR[unit]: unit for unit in check_units(units)}
    there = {band(name).sensor for name in bands}
    for sensor, unit in given.items():
        if sensor not in there:
            name = "Sentinel-2" if sensor == "s2" else "Sentinel-1"
            raise NormalizationError(f"units says {unit!r}, of {name}, but there are {', '.join(bands)}; leave it out")
    return given


def check_dtype(dtype: np.dtype[Any], given: Mapping[Sensor, Units], bands: Sequence[str]) -> None:
    """Refuse a data type that no digital numbers are held in."""
    narrow = dtype.kind not in "iuf" or dtype.itemsize < 2
    if narrow and "s2" not in given and any(band(name).sensor == "s2" for name in bands):
        raise NormalizationError(f"these pixels of Sentinel-2 are {dtype}, which holds no digital numbers: {_SAY_S2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitCheck:
    """Looks at values, and refuses those that are not, or may not be, in the units of a store.

    Each patch is judged by its own values, however an array is cut into blocks of patches.

    Raises
    ------
    NormalizationError
        When it is called.

    Examples
    --------
    >>> check = UnitCheck(bands=("B04",), given={}, axes=0)
    >>> check(np.float32([[588], [1200]])).shape
    (2, 1)
    >>> check(np.float32([[0.0588], [0.12]]))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    bigearth_xr.errors.NormalizationError: Sentinel-2 pixels have fractions...
    """

    bands: tuple[str, ...]
    """Along the last dimension of what is looked at."""

    given: Mapping[Sensor, Units]
    """What the caller vouches for; the others are judged."""

    axes: int = 2
    """Dimensions before the last that are of one patch: y and x, or fewer."""

    interpolated: bool = False
    """Whether pixels are said to have been interpolated: then fractions are as they should be."""

    stored: bool = False
    """Whether bands coarser than 10 m have to be as stored, or repeated, whatever their unit."""

    repeated: bool = False
    """Whether they have to be seen to be repeated, as nothing says how they were brought to 10 m; whole patches."""

    @property
    def is_needed(self) -> bool:
        """Whether there is anything to look at."""
        return any(self._open(sensor) for sensor in STORED_UNITS) or bool(self._coarse()) or bool(self._unspecified())

    def __call__(self, pixels: Any) -> Any:
        """Give back pixels, shape ``(…, y, x, band)``, NumPy or CuPy, unchanged."""
        for part in _parts(pixels, self.axes + 1):
            if optical := self._open("s2"):
                self._check_optical(_chosen(part, optical))
            if radar := self._open("s1"):
                self._check_radar(_chosen(part, radar), [self.bands[place] for place in radar])
            if coarse := self._coarse():
                self._check_stored(_chosen(part, coarse), [self.bands[place] for place in coarse])
            for place in self._unspecified():
                _check_repeated(part[..., place], self.bands[place])
        return pixels

    def _open(self, sensor: Sensor) -> list[int]:
        """Places of the bands of a sensor whose unit is not given."""
        named = enumerate(self.bands)
        return [] if sensor in self.given else [place for place, name in named if band(name).sensor == sensor]

    def _coarse(self) -> list[int]:
        """Places of the bands whose wholeness is still to be seen."""
        wanted = self.stored and "s2" in self.given
        return [place for place, name in enumerate(self.bands) if wanted and band(name).res_m > 10]

    def _unspecified(self) -> list[int]:
        """Places of the bands that may have been interpolated."""
        return [place for place, name in enumerate(self.bands) if self.repeated and band(name).res_m > 10]

    def _check_optical(self, pixels: Any) -> None:
        """Refuse what are not digital numbers: each patch, all its bands together."""
        values, _ = _finite(pixels)
        own = tuple(range(-1 - self.axes, 0))
        if pixels.dtype.kind == "f":
            self._check_fractions(values, values.max(axis=own), own)
        least, most = float(values.min()), float(values.max())
        if most > _MOST or (least < 0 and not self.interpolated):
            raise NormalizationError(
                f"Sentinel-2 pixels are {least:g} to {most:g}, expected digital numbers of 0 to {_MOST:,}: they "
                f"wrapped around, as uint16 does below 0, or were scaled; compute in float32, and {_SAY_S2}"
            )

    def _check_fractions(self, values: Any, brightest: Any, own: tuple[int, ...]) -> None:
        """Refuse floating-point numbers that no integers are, or that are too small to tell."""
        odd = _is_odd(values).any(axis=own)
        if bool((odd & (brightest <= _MOST_PERCENT)).any() if self.interpolated else odd.any()):
            raise NormalizationError(
                "Sentinel-2 pixels have fractions, which digital numbers have not: these are reflectances, were "
                f"standardised, averaged or else computed with, and the values do not say which; {_SAY_S2}"
            )
        if bool(((brightest > 0) & (brightest < values.dtype.type(1.5))).any()):
            raise NormalizationError(
                "Sentinel-2 pixels of a patch are all 0 or 1, which may be digital numbers, or reflectances that were "
                f"cut off at 1; {_SAY_S2}"
            )

    def _check_radar(self, pixels: Any, names: list[str]) -> None:
        """Refuse what is not backscatter in dB: each band of each patch."""
        values, known = _finite(pixels)
        own = tuple(range(-1 - self.axes, -1))
        weak, count = (values < _WEAK_DB).sum(axis=own), known.sum(axis=own)
        open_ = ((count > 0) & (weak <= count * _SHARE)).reshape(-1, len(names)).any(axis=0)
        if bool(open_.any()):
            found = ", ".join(name for name, is_open in zip(names, open_.tolist(), strict=True) if is_open)
            raise NormalizationError(
                f"pixels of {found} are all above {_WEAK_DB:g}, or nearly, and backscatter in dB is mostly below: "
                "these are powers, were standardised, or are a few bright pixels, and the values do not say which; "
                "say units='dB' if they are, bring powers to dB (10 * np.log10(…)), or give numbers that fit: "
                "stats={'VV': (mean, std), …}"
            )

    def _check_stored(self, pixels: Any, names: list[str]) -> None:
        """Refuse statistics of stored pixels to those that were interpolated or averaged."""
        values, _ = _finite(pixels)
        if self.given["s2"] == "reflectance":
            values = values * values.dtype.type(10_000) if values.dtype.kind == "f" else values * 10_000
        if values.dtype.kind == "f" and bool(_is_odd(values).any()):
            raise NormalizationError(
                f"of {', '.join(names)} some pixels are no whole digital numbers: they were interpolated or averaged, "
                "and published statistics are of pixels as stored; name those that are to be used: "
                "stats=band_statistics('v2', 'nearest'), or {'B05': (mean, std), …}"
            )


def _check_repeated(plane: Any, name: str) -> None:
    """Refuse a band, shape ``(…, y, x)``, whose coarser pixels are not repeated."""
    factor = band(name).res_m // 10
    *outer, y, x = plane.shape
    blocks = plane.reshape(*outer, y // factor, factor, x // factor, factor)
    first = blocks[..., :1, :, :1]
    if not bool(((blocks == first) | ((blocks != blocks) & (first != first))).all()):
        raise NormalizationError(
            f"pixels of {name} are not repeated {factor} × {factor}, and nothing says how they were brought to 10 m: "
            "their attribute 'bigearth' was lost; name statistics: stats=band_statistics('v2', 'nearest'), or "
            "{'B05': (mean, std), …}"
        )


_SAY_S2 = (
    "say what they are, units='digital number' or 'reflectance', or give numbers that fit: "
    "stats={'B04': (mean, std), …}"
)


def _parts(pixels: Any, inner: int) -> Iterator[Any]:
    """Pixels a few patches at a time; empty ones not at all."""
    if not pixels.size:
        return
    if pixels.ndim <= inner:
        yield pixels
        return
    step = max(1, _BLOCK // (pixels.size // len(pixels)))
    for start in range(0, len(pixels), step):
        yield pixels[start : start + step]


def _chosen(pixels: Any, places: list[int]) -> Any:
    """Some of the bands along the last dimension; a view where they are neighbours."""
    if places == list(range(places[0], places[-1] + 1)):
        return pixels[..., places[0] : places[-1] + 1]
    return array_namespace(pixels).stack([pixels[..., place] for place in places], axis=-1)


def _finite(pixels: Array) -> tuple[Any, Any]:
    """Values with 0 for those that are not finite, and which those are not."""
    xp = array_namespace(pixels)
    if pixels.dtype.kind != "f":
        return pixels, pixels == pixels
    known: Any = xp.isfinite(pixels)
    return (pixels if bool(known.all()) else xp.where(known, pixels, pixels.dtype.type(0))), known


def _is_odd(values: Any) -> Any:
    """Which are not whole numbers, but for the rounding of a factor and its inverse."""
    xp = array_namespace(values)
    return abs(values - xp.rint(values)) > abs(values) * values.dtype.type(4 * np.finfo(values.dtype).eps)
