"""The 14 bands of a patch: 12 of Sentinel-2, two polarizations of Sentinel-1.

Sources: names, sizes and data types as the archives hold them, BigEarthNet v1
and v2 alike; wavelengths and widths are the nominal ones of the mission (ESA,
Sentinel-2 User Handbook), which hold for Sentinel-2A and 2B; the radar
frequency is that of C-SAR (ESA, Sentinel-1 User Guide); common names follow the
STAC extension eo. B10 is not in the archives: it sees no ground.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from bigearth_xr.errors import BandError
from bigearth_xr.spelling import did_you_mean, find_choice

__all__ = [
    "BANDS",
    "COMPOSITES",
    "GROUPS",
    "PATCH_SIDE_M",
    "S1_BANDS",
    "S2_BANDS",
    "Band",
    "BandGroup",
    "Composite",
    "Sensor",
    "band",
    "bands",
    "composite",
    "group_of",
]

Sensor = Literal["s1", "s2"]
"""Who took a band: Sentinel-1 (radar) or Sentinel-2 (optical)."""

PATCH_SIDE_M = 1200
"""Side of a patch on the ground, metres."""

_RADAR_WAVELENGTH_NM = 299_792_458 / 5.405e9 * 1e9
"""Speed of light over the frequency of C-SAR, 5.405 GHz; 5.5 cm, in nanometres."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """One Sentinel channel, as the archive stores it."""

    name: str
    """Name in the archive, e.g. ``"B8A"`` or ``"VV"``."""

    sensor: Sensor
    """``"s2"`` for an optical band, ``"s1"`` for a radar polarization."""

    wavelength_nm: float
    """Central wavelength, nanometres."""

    bandwidth_nm: float
    """Width of the band, nanometres; NaN for radar."""

    res_m: int
    """Ground size of a pixel, metres: 10, 20 or 60."""

    common_name: str
    """Name in the STAC extension eo, e.g. ``"blue"``; ``""`` for radar."""

    description: str
    """What the band sees, for a reader."""

    @property
    def size(self) -> int:
        """Pixels along one side of a patch."""
        return PATCH_SIDE_M // self.res_m

    @property
    def dtype(self) -> Literal["uint16", "float32"]:
        """Data type of a pixel."""
        return "uint16" if self.sensor == "s2" else "float32"

    @property
    def units(self) -> Literal["1", "dB"]:
        """Unit of a pixel: ``"1"`` = digital numbers, where 10 000 is a reflectance of 1."""
        return "1" if self.sensor == "s2" else "dB"


@dataclass(frozen=True, slots=True, kw_only=True)
class BandGroup:
    """The bands that share a pixel size, and with it one array of the store."""

    array: str
    """Name of their array, e.g. ``"s2_10m"``."""

    dim: str
    """Name of the dimension that runs over them, e.g. ``"band_10m"``."""

    bands: tuple[Band, ...]
    """The bands, in the order of that dimension."""

    @property
    def y(self) -> str:
        """Name of the dimension that runs from north to south."""
        return f"y_{self.bands[0].res_m}m"

    @property
    def x(self) -> str:
        """Name of the dimension that runs from west to east."""
        return f"x_{self.bands[0].res_m}m"

    @property
    def size(self) -> int:
        """Pixels along one side of a patch."""
        return self.bands[0].size

    @property
    def dtype(self) -> Literal["uint16", "float32"]:
        """Data type of a pixel."""
        return self.bands[0].dtype


@dataclass(frozen=True, slots=True, kw_only=True)
class Composite:
    """Three bands that are shown as red, green and blue."""

    name: str
    """Name, which stands for the bands wherever these are asked for, e.g. ``"rgb"``."""

    bands: tuple[str, str, str]
    """Red, green, blue."""

    shows: str
    """What it is looked at for, for a reader."""


def band(name: str) -> Band:
    """Find a band by its name in the archive.

    Raises
    ------
    BandError
        There is no such band; the message names the nearest.

    Examples
    --------
    >>> band("B8A").size
    60
    >>> band("VH").units
    'dB'
    """
    found = _BAND_BY_NAME.get(name) if isinstance(name, str) else None
    if found is None:
        raise BandError(
            f"there is no band {name!r}; known are {', '.join(_BAND_BY_NAME)}"
            f"{did_you_mean(_archive_spelling(str(name)), _BAND_BY_NAME)}"
        )
    return found


def bands(names: Iterable[str]) -> tuple[Band, ...]:
    """Find several bands, in the order asked for.

    Parameters
    ----------
    names
        Names of bands, or the name of a composite.

    Raises
    ------
    BandError
        A name is unknown or comes twice, or ``names`` is a single string that is not a composite.

    Examples
    --------
    >>> [band.res_m for band in bands(["B04", "B05", "VV"])]
    [10, 20, 10]
    >>> [band.name for band in bands("rgb")]
    ['B04', 'B03', 'B02']
    """
    if isinstance(names, str):
        if _archive_spelling(names) in _BAND_BY_NAME:
            raise BandError(f"expected several band names, got the one string {names!r}; write [{names!r}]")
        names = composite(names).bands
    if not isinstance(names, Iterable):
        raise BandError(f"expected several band names, got {names!r}; write e.g. ['B04', 'VV']")
    found = tuple(band(name) for name in names)
    repeated = sorted({one.name for one in found if found.count(one) > 1})
    if repeated:
        raise BandError(f"band {', '.join(repeated)} is asked for twice; name each band once")
    return found


def composite(name: str) -> Composite:
    """Find a composite by its name, in upper or lower case.

    Raises
    ------
    BandError
        There is no such composite; the message names those that there are.

    Examples
    --------
    >>> composite("infrared").bands
    ('B08', 'B04', 'B03')
    """
    return find_choice("composite", name, COMPOSITES, BandError)


def group_of(name: str) -> BandGroup:
    """Find the group that holds a band.

    Examples
    --------
    >>> group_of("B8A").array, group_of("VV").dim
    ('s2_20m', 'polarization')
    """
    wanted = band(name)
    return next(group for group in GROUPS if wanted in group.bands)


def _s2(name: str, res_m: int, wavelength_nm: float, bandwidth_nm: float, common: str) -> Band:
    """Build a row of the Sentinel-2 table."""
    return Band(
        name=name,
        sensor="s2",
        wavelength_nm=wavelength_nm,
        bandwidth_nm=bandwidth_nm,
        res_m=res_m,
        common_name=common,
        description=f"{_MEANING[common]}, {wavelength_nm:g} nm",
    )


def _s1(name: str, description: str) -> Band:
    """Build a row of the Sentinel-1 table."""
    return Band(
        name=name,
        sensor="s1",
        wavelength_nm=_RADAR_WAVELENGTH_NM,
        bandwidth_nm=math.nan,
        res_m=10,
        common_name="",
        description=description,
    )


def _s2_group(res_m: int) -> BandGroup:
    """Gather the Sentinel-2 bands of one pixel size, in spectral order."""
    return BandGroup(
        array=f"s2_{res_m}m",
        dim=f"band_{res_m}m",
        bands=tuple(one for one in S2_BANDS if one.res_m == res_m),
    )


def _archive_spelling(name: str) -> str:
    """Turn ``"b2"``, ``"8a"`` or ``"red"`` into the archive's spelling, as far as it is one."""
    common = {one.common_name: one.name for one in S2_BANDS}
    number = re.fullmatch(r"B?0*(\d+)(A?)", name.strip().upper())
    if number:
        return f"B{number[1]}A" if number[2] else f"B{int(number[1]):02d}"
    return common.get(name.strip().lower(), name)


_MEANING = {
    "coastal": "coastal aerosol",
    "blue": "blue",
    "green": "green",
    "red": "red",
    "rededge071": "red edge",
    "rededge075": "red edge",
    "rededge078": "red edge",
    "nir": "near infrared, wide",
    "nir08": "near infrared, narrow",
    "nir09": "water vapour",
    "swir16": "shortwave infrared",
    "swir22": "shortwave infrared",
}

S2_BANDS: tuple[Band, ...] = (
    _s2("B01", 60, 443, 20, "coastal"),
    _s2("B02", 10, 490, 65, "blue"),
    _s2("B03", 10, 560, 35, "green"),
    _s2("B04", 10, 665, 30, "red"),
    _s2("B05", 20, 705, 15, "rededge071"),
    _s2("B06", 20, 740, 15, "rededge075"),
    _s2("B07", 20, 783, 20, "rededge078"),
    _s2("B08", 10, 842, 115, "nir"),
    _s2("B8A", 20, 865, 20, "nir08"),
    _s2("B09", 60, 945, 20, "nir09"),
    _s2("B11", 20, 1610, 90, "swir16"),
    _s2("B12", 20, 2190, 180, "swir22"),
)
"""The 12 bands of Sentinel-2, in spectral order."""

S1_BANDS: tuple[Band, ...] = (
    _s1("VV", "backscatter, sent vertical, received vertical"),
    _s1("VH", "backscatter, sent vertical, received horizontal"),
)
"""The two polarizations of Sentinel-1: VV, then VH."""

BANDS: tuple[Band, ...] = S2_BANDS + S1_BANDS
"""All 14 bands: Sentinel-2 in spectral order, then VV and VH."""

GROUPS: tuple[BandGroup, ...] = (
    *(_s2_group(res_m) for res_m in sorted({one.res_m for one in S2_BANDS})),
    BandGroup(array="s1", dim="polarization", bands=S1_BANDS),
)
"""The four pixel arrays of the store: s2_10m, s2_20m, s2_60m, s1."""

_BAND_BY_NAME = {one.name: one for one in BANDS}

# Name, red, green, blue, what it shows.
_TABLE_OF_COMPOSITES = """\
rgb          B04 B03 B02 true colour
infrared     B08 B04 B03 plants in red
agriculture  B11 B08 B02 crops in bright green, bare soil in magenta
shortwave    B12 B8A B04 plants in green, bare ground and built land in reds and browns, water black
urban        B12 B11 B04 built land in grey and violet, through haze
"""


def _composite(line: str) -> Composite:
    """Read a line of the table of composites."""
    name, red, green, blue, shows = line.split(maxsplit=4)
    return Composite(name=name, bands=(red, green, blue), shows=shows)


COMPOSITES = {one.name: one for one in map(_composite, _TABLE_OF_COMPOSITES.splitlines())}
"""Bands that are shown together, by the name of what comes of them."""
