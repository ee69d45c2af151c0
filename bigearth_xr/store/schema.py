"""The store format, version 2, as data; docs/store-format.md is its specification in prose.

Pixels lie at native resolution in one array a resolution, one patch an inner chunk, 1,024 patches a shard.
What the table says of a patch lies in small arrays along `patch`, one chunk each, with a checksum. A digest in the
root covers the metadata.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from bigearth_xr.bands import GROUPS

__all__ = [
    "ABSENT",
    "COLUMNS",
    "DIGEST",
    "EMBEDDINGS",
    "FORMAT",
    "FORMAT_VERSION",
    "FORMAT_VERSIONS",
    "LISTED",
    "OWN_ATTRIBUTES",
    "QUARANTINED",
    "REFERENCE_MAP",
    "SHARD_PATCHES",
    "STATES",
    "STORED",
    "UNKNOWN",
    "Column",
    "PixelArray",
    "has_checksums",
    "is_own",
    "pixel_arrays",
]

FORMAT = "bigearth-xr"
FORMAT_VERSION = 2
"""What is written."""

FORMAT_VERSIONS = (1, 2)
"""What is read. In version 1 small arrays and metadata have no checksums, and a chunk of fill values is not written."""

OWN_ATTRIBUTES = ("Conventions", "title", "license", "bigearth")
"""Attributes of the root that are the format's; others may be added."""

DIGEST = "metadata_digest"
"""Entry of the root's attribute `bigearth`: the digest of all metadata but itself."""

EMBEDDINGS = "embeddings"
"""Group of the embeddings, each a group of its own."""

SHARD_PATCHES = 1024
"""Patches a shard holds; also the number of entries of every shard index, the last shard's included."""

ABSENT, STORED, QUARANTINED = 0, 1, 2
STATES = ("absent", "stored", "quarantined")
"""Names of the values of the `state` array."""

UNKNOWN = 255
"""Code of a text or flag that is not known."""

REFERENCE_MAP = "reference_map"


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelArray:
    """One array of pixels: all bands of one resolution, or the reference map."""

    name: str
    """Name in the store, e.g. ``"s2_10m"``."""

    bands: tuple[str, ...]
    """Bands along the second dimension, in stored order; empty for the reference map, which has none."""

    dims: tuple[str, ...]
    """Names of all dimensions, ``patch`` first."""

    size: int
    """Pixels along one side of a patch."""

    dtype: Literal["uint16", "float32"]
    """Type of a pixel."""

    fill_value: float
    """What generic readers show where a patch is absent."""

    units: str
    """Physical units of a pixel."""

    @property
    def patch_shape(self) -> tuple[int, ...]:
        """Shape of one patch: ``(band, y, x)``, or ``(y, x)`` without bands."""
        plane = (self.size, self.size)
        return (len(self.bands), *plane) if self.bands else plane

    @property
    def itemsize(self) -> int:
        """Bytes of a pixel."""
        return {"uint16": 2, "float32": 4}[self.dtype]

    @property
    def patch_bytes(self) -> int:
        """Bytes of one patch before any codec."""
        return math.prod(self.patch_shape) * self.itemsize


def pixel_arrays(bands: Iterable[str], *, reference_map: bool) -> tuple[PixelArray, ...]:
    """List the pixel arrays of a store that holds these bands.

    Parameters
    ----------
    bands
        Names of bands and polarizations, in any order.
    reference_map
        Whether the store has room for reference maps.

    Returns
    -------
    tuple of PixelArray
        Those with at least one band, stored order within each: finest first, then S1, then the map.

    Examples
    --------
    >>> [(array.name, array.bands) for array in pixel_arrays(["VV", "B04", "B02"], reference_map=False)]
    [('s2_10m', ('B02', 'B04')), ('s1', ('VV',))]
    """
    wanted = set(bands)
    arrays = [
        PixelArray(
            name=group.array,
            bands=kept,
            dims=("patch", group.dim, group.y, group.x),
            size=group.size,
            dtype=group.dtype,
            fill_value=0 if group.dtype == "uint16" else math.nan,
            units=group.bands[0].units,
        )
        for group in GROUPS
        if (kept := tuple(band.name for band in group.bands if band.name in wanted))
    ]
    return (*arrays, _MAP) if reference_map else tuple(arrays)


_MAP = PixelArray(
    name=REFERENCE_MAP,
    bands=(),
    dims=("patch", "y_10m", "x_10m"),
    size=120,
    dtype="uint16",
    fill_value=65535,
    units="1",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One small array along `patch`, copied from the table's column of the same name."""

    name: str
    """Name in the store and in the table."""

    kind: Literal["text", "code", "flag", "known", "number", "time"]
    """How values are stored: strings; uint8 with CF flag meanings; 0, 1 or 255 (`known`: any but 255); as they
    are; CF seconds."""

    dtype: str
    """Zarr data type."""

    long_name: str
    """What it is, for people."""

    units: str | None = None
    """Units of a number."""


COLUMNS: tuple[Column, ...] = (
    Column(name="patch", kind="text", dtype="string", long_name="patch id: Sentinel-2 patch name"),
    Column(name="s1_name", kind="text", dtype="string", long_name="name of the Sentinel-1 partner"),
    Column(name="tile", kind="code", dtype="uint8", long_name="MGRS tile"),
    Column(name="column", kind="number", dtype="int16", long_name="patch column in the tile, 0 in the west"),
    Column(name="tile_row", kind="number", dtype="int16", long_name="patch row in the tile, 0 in the north"),
    Column(name="epsg", kind="number", dtype="int32", long_name="EPSG code of the UTM zone"),
    Column(name="ulx", kind="number", dtype="int32", long_name="easting of the upper left corner", units="m"),
    Column(name="uly", kind="number", dtype="int32", long_name="northing of the upper left corner", units="m"),
    Column(name="lon", kind="number", dtype="float64", long_name="longitude of the centre", units="degrees_east"),
    Column(name="lat", kind="number", dtype="float64", long_name="latitude of the centre", units="degrees_north"),
    Column(name="s2_time", kind="time", dtype="int64", long_name="sensing time of Sentinel-2, UTC"),
    Column(name="s1_time", kind="time", dtype="int64", long_name="sensing time of Sentinel-1, UTC"),
    Column(name="country", kind="code", dtype="uint8", long_name="country"),
    Column(name="season", kind="code", dtype="uint8", long_name="meteorological season of Sentinel-2"),
    Column(name="split", kind="code", dtype="uint8", long_name="published split"),
    Column(name="seasonal_snow", kind="flag", dtype="uint8", long_name="listed as covered by seasonal snow"),
    Column(name="cloud_or_shadow", kind="flag", dtype="uint8", long_name="listed as under cloud or its shadow"),
    Column(name="recommended", kind="flag", dtype="uint8", long_name="among the patches recommended for use"),
)
"""What the store repeats of the table, in this order."""

LISTED = Column(name="recommended", kind="known", dtype="bool", long_name="whether the published lists name the patch")
"""The truth of a flag that is unknown is False: this tells the two apart. It is read off the flag itself."""

NEVER_FILL = frozenset({"patch", "lon", "lat", "epsg", "ulx", "uly", "s2_time", "s1_time", "polarization"}).union(
    *({group.dim, group.y, group.x} for group in GROUPS), {"label_19", "label_43"}
)
"""Small arrays whose every value cannot be the fill value: even in version 1 their chunk must be there."""

_OWN = frozenset(
    {
        *(column.name for column in COLUMNS),
        *(name for group in GROUPS for name in (group.array, group.dim, group.y, group.x)),
        *("state", "has_labels", "labels_19", "label_19", "labels_43", "label_43", REFERENCE_MAP, "has_reference_map"),
    }
)


def is_own(member: str) -> bool:
    """Tell whether a member of the hierarchy is the format's; others may lie beside it, added with other tools.

    Examples
    --------
    >>> [is_own(member) for member in ("split", "embeddings/mine/computed", "mine")]
    [True, True, False]
    """
    return member in _OWN or member.partition("/")[0] == EMBEDDINGS


def has_checksums(version: int) -> bool:
    """Tell whether small arrays and metadata of a format version have checksums, and every chunk is written."""
    return version >= 2
