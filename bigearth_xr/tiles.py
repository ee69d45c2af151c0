"""The tiles of Sentinel-2: where the square of an MGRS name begins.

Sources: the letters of MGRS and the lowest northing of each latitude band are those of
NGA's GEOTRANS (mgrs.c). That products start on a multiple of 60 m, and on which side of
the MGRS square, was found from published footprints of v1: it holds for all 219,963 in
zones 29, 31, 32, 33 and 36 and for the real files of tile 35VPK; none of zone 34 has
been seen.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from bigearth_xr.bands import PATCH_SIDE_M
from bigearth_xr.errors import SelectionError

__all__ = ["PATCHES_PER_SIDE", "TILE_SIDE_M", "TileOrigin", "tile_origin"]

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
