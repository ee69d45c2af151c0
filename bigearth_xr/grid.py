"""Where a patch lies: its tile, its column from the west, its row from the north.

The 109.8 km square of a Sentinel-2 product is cut into patches of 1.2 km from its
upper left corner on, so the name of a tile and two small numbers give an exact
footprint. Source of the split rule: kai-tub/bigearthnet-pipeline
(insert_new_tile_border_split); it reproduces all 549,488 published splits of v2.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bigearth_xr.bands import PATCH_SIDE_M
from bigearth_xr.errors import SelectionError
from bigearth_xr.releases import SPLITS
from bigearth_xr.tiles import PATCHES_PER_SIDE, TILE_SIDE_M, tile_origin

__all__ = ["centres_lonlat", "corners_lonlat", "morton", "patch_corner", "split_by_position"]


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

    Examples
    --------
    >>> lon, lat = centres_lonlat([32633], [331200], [5331600])
    >>> lon.round(4), lat.round(4)
    (array([12.7403]), array([48.11]))
    """
    half = PATCH_SIDE_M / 2
    return _lonlat(epsg, np.asarray(ulx) + half, np.asarray(uly) - half)


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
        lon[here], lat[here] = _to_lonlat(int(zone))(easting[here], northing[here])
    return lon, lat


@lru_cache(maxsize=64)
def _to_lonlat(
    epsg: int,
) -> Callable[..., tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Build the projection of a zone once: it costs milliseconds."""
    from pyproj import Transformer

    transform: Callable[..., tuple[NDArray[np.float64], NDArray[np.float64]]]
    transform = Transformer.from_crs(epsg, 4326, always_xy=True).transform
    return transform
