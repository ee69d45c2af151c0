"""How many patches a release lists where: its tiles, cut into small squares."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.bands import PATCH_SIDE_M
from bigearth_xr.report.projection import project
from bigearth_xr.tiles import TILE_SIDE_M, tile_origin

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["CELL_SIDE_M", "Density", "count_by_country", "density_of", "tile_outlines"]

CELL_PATCHES = 7
"""Patches along one side of a square; 91 along a tile make 13 squares exactly."""

CELL_SIDE_M = CELL_PATCHES * PATCH_SIDE_M
"""Side of a square on the ground, metres."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Density:
    """Squares of land, and the number of patches listed in each."""

    corners: NDArray[np.float64]
    """Corners in the equal-area plane, metres, shape ``(square, 4, 2)``."""

    patches: NDArray[np.int64]
    """Patches listed in it, over all dates; shape ``(square,)``."""


def density_of(listed: "pa.Table") -> Density:
    """Count the patches of a table by squares of 8.4 km.

    Examples
    --------
    >>> import pyarrow as pa
    >>> table = pa.table({"tile": ["33UUP"] * 2, "column": [26, 27], "tile_row": [57, 57]})
    >>> density_of(table).patches
    array([2])
    """
    encoded = listed["tile"].combine_chunks().dictionary_encode()
    origins = [tile_origin(tile) for tile in encoded.dictionary.to_pylist()]
    tile, column, row = (
        np.asarray(array, np.int64) for array in (encoded.indices, listed["column"], listed["tile_row"])
    )
    # One number per square: np.unique over rows of an array is many times slower.
    square = (tile * 100 + column // CELL_PATCHES) * 100 + row // CELL_PATCHES
    squares, patches = np.unique(square, return_counts=True)
    tiles, columns, rows = squares // 10_000, squares // 100 % 100, squares % 100
    corners = np.empty((len(squares), 4, 2))
    for index, origin in enumerate(origins):
        here = tiles == index
        west = origin.ulx + CELL_SIDE_M * columns[here]
        north = origin.uly - CELL_SIDE_M * rows[here]
        corners[here] = _project_squares(origin.epsg, west, north, CELL_SIDE_M)
    return Density(corners=corners, patches=patches)


def tile_outlines(tiles: Iterable[str]) -> dict[str, NDArray[np.float64]]:
    """Project the squares of tiles.

    Returns
    -------
    dict
        By tile, corners in the equal-area plane, metres, shape ``(4, 2)``.

    Examples
    --------
    >>> tile_outlines(["33UUP"])["33UUP"].shape
    (4, 2)
    """
    origins = (tile_origin(tile) for tile in tiles)
    return {origin.tile: _project_squares(origin.epsg, origin.ulx, origin.uly, TILE_SIDE_M)[0] for origin in origins}


def count_by_country(listed: "pa.Table") -> dict[str, dict[str, int]]:
    """Count the patches of a table by country and tile, countries by name.

    Examples
    --------
    >>> import pyarrow as pa
    >>> count_by_country(pa.table({"country": ["Austria"] * 2, "tile": ["33UUP"] * 2}))
    {'Austria': {'33UUP': 2}}
    """
    groups = listed.select(["country", "tile"]).group_by(["country", "tile"]).aggregate([([], "count_all")])
    counted: dict[str, dict[str, int]] = {}
    for group in sorted(groups.to_pylist(), key=lambda group: (group["country"] or "", group["tile"])):
        if group["country"]:
            counted.setdefault(group["country"], {})[group["tile"]] = group["count_all"]
    return counted


def _project_squares(
    epsg: int, west: NDArray[np.int64] | int, north: NDArray[np.int64] | int, side_m: int
) -> NDArray[np.float64]:
    """Project squares given by their upper left corners, shape ``(square, 4, 2)``."""
    x = np.atleast_1d(west)[:, None] + side_m * np.array([0, 1, 1, 0])
    y = np.atleast_1d(north)[:, None] - side_m * np.array([0, 0, 1, 1])
    return project(epsg, x, y)
