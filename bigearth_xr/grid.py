"""Where a patch lies: its tile, its column from the west, its row from the north.

The 109.8 km square of a Sentinel-2 product is cut into patches of 1.2 km from its
upper left corner on, so the name of a tile and two small numbers give an exact
footprint. Sources: the split rule is that of kai-tub/bigearthnet-pipeline
(insert_new_tile_border_split); it reproduces all 549,488 published splits of v2. The
letters of MGRS and the lowest northing of each latitude band are those of NGA's GEOTRANS
(mgrs.c). That products start on a multiple of 60 m, and on which side of the MGRS square,
was found from published footprints of v1: it holds for all 219,963 in zones 29, 31, 32, 33
and 36 and for the real files of tile 35VPK; none of zone 34 has been seen.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bigearth_xr.bands import PATCH_SIDE_M
from bigearth_xr.errors import SelectionError
from bigearth_xr.releases import SPLITS

__all__ = [
    "PATCHES_PER_SIDE",
    "TILE_SIDE_M",
    "centres_lonlat",
    "corners_lonlat",
    "morton",
    "patch_corner",
    "projection",
    "split_by_position",
    "tile_origin",
]

TILE_SIDE_M = 109_800
"""Side of a Sentinel-2 product on the ground, metres."""

PATCHES_PER_SIDE = TILE_SIDE_M // PATCH_SIDE_M
"""Full patches along one side of a tile: 91, numbered 0 to 90."""

_SQUARE_M = 100_000
"""Side of the MGRS square that gives a tile its last two letters, metres."""

_ROW_CYCLE_M = 2_000_000
"""Northing after which the row letters of MGRS start again, metres."""

_COARSEST_PIXEL_M = 60
"""Products start on a multiple of their coarsest pixel, metres."""

_COLUMN_LETTERS = ("STUVWXYZ", "ABCDEFGH", "JKLMNPQR")
"""Letters from west to east, by zone modulo 3."""

_ROW_LETTERS = ("FGHJKLMNPQRSTUVABCDE", "ABCDEFGHJKLMNPQRSTUV")
"""Letters from south to north, by zone modulo 2."""

_BAND_FLOOR_M = {
    "N": 0,
    "P": 800_000,
    "Q": 1_700_000,
    "R": 2_600_000,
    "S": 3_500_000,
    "T": 4_400_000,
    "U": 5_300_000,
    "V": 6_200_000,
    "W": 7_000_000,
    "X": 7_900_000,
}
"""Northing below which no square of a latitude band begins, metres."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TileOrigin:
    """The upper left corner of a Sentinel-2 product."""

    tile: str
    """MGRS name, e.g. ``"33UUP"``."""

    epsg: int
    """Code of its UTM zone, 32601 to 32660."""

    ulx: int
    """Easting of the western edge, metres."""

    uly: int
    """Northing of the northern edge, metres."""


@lru_cache(maxsize=1024)
def tile_origin(tile: str) -> TileOrigin:
    """Compute the upper left corner of a tile from the letters of its name.

    Raises
    ------
    SelectionError
        There is no such tile on the northern hemisphere.

    Examples
    --------
    >>> tile_origin("33UUP")
    TileOrigin(tile='33UUP', epsg=32633, ulx=300000, uly=5400000)
    """
    name = re.fullmatch(r"(\d\d)([N-X])([A-Z])([A-Z])", tile)
    zone = int(name[1]) if name else 0
    columns, rows = _COLUMN_LETTERS[zone % 3], _ROW_LETTERS[zone % 2]
    if (
        name is None
        or not 1 <= zone <= 60
        or name[2] not in _BAND_FLOOR_M
        or name[3] not in columns
        or name[4] not in rows
    ):
        raise SelectionError(
            f"{tile!r} is not a tile; expected an MGRS square of the northern "
            f"hemisphere without a leading T, such as '33UUP'"
        )
    easting = (1 + columns.index(name[3])) * _SQUARE_M
    northing = rows.index(name[4]) * _SQUARE_M
    while northing < _BAND_FLOOR_M[name[2]]:
        northing += _ROW_CYCLE_M
    return TileOrigin(
        tile=tile,
        epsg=32_600 + zone,
        ulx=easting // _COARSEST_PIXEL_M * _COARSEST_PIXEL_M,
        uly=-(-(northing + _SQUARE_M) // _COARSEST_PIXEL_M) * _COARSEST_PIXEL_M,
    )


def patch_corner(
    tile: ArrayLike, column: ArrayLike, row: ArrayLike
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Compute the upper left corners of patches.

    Parameters
    ----------
    tile
        MGRS names.
    column, row
        Positions in the tile, 0 to 90, from the west and from the north; the three
        shapes are broadcast against each other.

    Returns
    -------
    epsg, ulx, uly : NDArray[np.int32]
        Code of the UTM zone, easting and northing in metres.

    Raises
    ------
    SelectionError
        A tile does not exist, or a position lies outside of it.

    Examples
    --------
    >>> epsg, ulx, uly = patch_corner("33UUP", [0, 26], [0, 57])
    >>> epsg.tolist(), ulx.tolist(), uly.tolist()
    ([32633, 32633], [300000, 331200], [5400000, 5331600])
    """
    columns, rows = _positions(column, row)
    names, which = np.unique(np.asarray(tile, dtype=str), return_inverse=True)
    origins = [tile_origin(str(name)) for name in names]
    table = np.array([(one.epsg, one.ulx, one.uly) for one in origins], np.int32)
    origin = table.reshape(-1, 3)[which.reshape(np.shape(tile))]
    epsg, columns, rows = np.broadcast_arrays(origin[..., 0], columns, rows)
    ulx = origin[..., 1] + PATCH_SIDE_M * columns
    uly = origin[..., 2] - PATCH_SIDE_M * rows
    return epsg.copy(), ulx, uly


def corners_lonlat(epsg: ArrayLike, ulx: ArrayLike, uly: ArrayLike) -> NDArray[np.float64]:
    """Project the footprints of patches to longitude and latitude.

    Parameters
    ----------
    epsg, ulx, uly
        Upper left corners as ``patch_corner`` gives them, shape ``(patch,)``.

    Returns
    -------
    NDArray[np.float64]
        Shape ``(patch, 5, 2)``: closed rings of (longitude, latitude), degrees WGS 84,
        counter-clockwise from the lower left corner.

    Examples
    --------
    >>> ring = corners_lonlat([32633], [331200], [5331600])[0]
    >>> ring.round(4).tolist()[0]
    [12.7325, 48.1045]
    """
    # Counter-clockwise, as GeoJSON wants the outer ring.
    east = np.asarray(ulx)[:, None] + PATCH_SIDE_M * np.array([0, 1, 1, 0, 0])
    north = np.asarray(uly)[:, None] - PATCH_SIDE_M * np.array([1, 1, 0, 0, 1])
    return np.stack(_lonlat(epsg, east, north), axis=-1)


def centres_lonlat(epsg: ArrayLike, ulx: ArrayLike, uly: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Project the centres of patches to longitude and latitude.

    Parameters
    ----------
    epsg, ulx, uly
        Upper left corners as ``patch_corner`` gives them, shape ``(patch,)``.

    Returns
    -------
    lon, lat : NDArray[np.float64]
        Shape ``(patch,)``, degrees WGS 84.
    """
    half = PATCH_SIDE_M / 2
    return _lonlat(epsg, np.asarray(ulx) + half, np.asarray(uly) - half)


@lru_cache(maxsize=64)
def projection(source: int, target: int) -> Callable[..., tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Build what projects x and y from one EPSG code to another, once: it costs milliseconds."""
    from pyproj import Transformer

    transform: Callable[..., tuple[NDArray[np.float64], NDArray[np.float64]]]
    transform = Transformer.from_crs(source, target, always_xy=True).transform
    return transform


def split_by_position(column: ArrayLike, row: ArrayLike) -> NDArray[np.str_]:
    """Tell the split of v2 from the position in the tile, for patches of any release.

    The border of a tile is train, a ring further inside validation, the core test: 1/2,
    1/4 and 1/4 of its area. Where tiles of a UTM zone overlap (9.8 km), all is train.

    Parameters
    ----------
    column, row
        Positions in the tile, 0 to 90; the two shapes are broadcast.

    Returns
    -------
    NDArray[np.str_]
        ``"train"``, ``"validation"`` or ``"test"``.

    Raises
    ------
    SelectionError
        A position lies outside of the tile.

    Examples
    --------
    >>> split_by_position([0, 15, 45], 45).tolist()
    ['train', 'validation', 'test']
    """
    columns, rows = _positions(column, row)
    x, y = (PATCH_SIDE_M * (place + 0.5) for place in (columns, rows))
    to_border = np.minimum(np.minimum(x, TILE_SIDE_M - x), np.minimum(y, TILE_SIDE_M - y))
    # The core square has 1/4 of the area, core and ring together 1/2.
    train_width = TILE_SIDE_M * (1 - math.sqrt(1 / 2)) / 2
    core_border = TILE_SIDE_M * (1 - math.sqrt(1 / 4)) / 2
    which = (to_border >= train_width).astype(np.intp) + (to_border >= core_border)
    split: NDArray[np.str_] = np.array(SPLITS)[which]
    return split


def morton(column: ArrayLike, row: ArrayLike) -> NDArray[np.uint16]:
    """Give the patches of a tile numbers such that neighbours have near ones.

    Parameters
    ----------
    column, row
        Positions in the tile, 0 to 90; the two shapes are broadcast.

    Returns
    -------
    NDArray[np.uint16]
        The bits of column (even places) and row (odd places), interleaved.

    Raises
    ------
    SelectionError
        A position lies outside of the tile.

    Examples
    --------
    >>> morton([0, 1, 0, 1, 2], [0, 0, 1, 1, 0])
    array([0, 1, 2, 3, 4], dtype=uint16)
    """
    columns, rows = _positions(column, row)
    code: NDArray[np.uint16] = (_spread(columns) | _spread(rows) << 1).astype(np.uint16)
    return code


def _spread(number: NDArray[np.int32]) -> NDArray[np.int32]:
    """Move the bits of numbers below 128 apart, to the even places."""
    bits = range(PATCHES_PER_SIDE.bit_length())
    spread = np.zeros_like(number)
    for bit in bits:
        spread |= (number >> bit & 1) << 2 * bit
    return spread


def _positions(column: ArrayLike, row: ArrayLike) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Check that positions are in the tile."""
    columns, rows = np.asarray(column), np.asarray(row)
    for name, place in (("column", columns), ("row", rows)):
        strange = place[(place < 0) | (place >= PATCHES_PER_SIDE)]
        if strange.size:
            raise SelectionError(
                f"{name} {strange.flat[0]} lies outside of the tile; expected 0 to {PATCHES_PER_SIDE - 1}"
            )
    return columns.astype(np.int32), rows.astype(np.int32)


def _lonlat(
    epsg: ArrayLike, easting: NDArray[np.generic], northing: NDArray[np.generic]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Project points, shape ``(patch, …)``, zone by zone."""
    zones = np.asarray(epsg)
    lon = np.empty(easting.shape)
    lat = np.empty(easting.shape)
    for zone in np.unique(zones):
        here = zones == zone
        lon[here], lat[here] = projection(int(zone), 4326)(easting[here], northing[here])
    return lon, lat
