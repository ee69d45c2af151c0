"""The map: Europe's coasts, how many patches a release lists where, and where those opened lie."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from bigearth_xr.bands import PATCH_SIDE_M
from bigearth_xr.grid import TILE_SIDE_M, projection, tile_origin
from bigearth_xr.report.reading import has_value, read_entries, spread_out

if TYPE_CHECKING:
    import pyarrow as pa


MOST_POINTS = 2000
"""Opened patches that a map can show; more would hide each other."""

_LAEA_EUROPE = 3035
"""ETRS89-LAEA: Lambert's equal-area azimuthal projection, centred on Europe."""

_WEST, _SOUTH, _EAST, _NORTH = 2_550_000, 1_650_000, 5_650_000, 5_220_000
"""The ten countries, from Portugal to Finland, metres of the projection."""

_M_PER_UNIT = 4000.0
"""Metres on the ground to an SVG unit."""

_SIZE = (_EAST - _WEST) / _M_PER_UNIT, (_NORTH - _SOUTH) / _M_PER_UNIT
"""Width and height of the drawing, SVG units."""

_SQUARE_PATCHES = 7
"""Patches along one side of a square; 91 along a tile make 13 squares exactly."""

_SQUARE_M = _SQUARE_PATCHES * PATCH_SIDE_M
_SHADES = 5
_LETTER_WIDTH, _LINE_HEIGHT, _GAP = 9.0, 15.0, 6.0
"""Size of the countries' names on the drawing, SVG units."""

Box = tuple[float, float, float, float]
"""Left, top, right and bottom of a rectangle on the drawing."""


def draw_map(ds: xr.Dataset, listed: "pa.Table | None", cards: Mapping[str, str]) -> dict[str, Any]:
    """Prepare what the template of the map draws, on a drawing of `_SIZE`.

    Of more than `MOST_POINTS` patches some are drawn; squares of the release that is `listed` are shaded for context,
    and the point of a patch that is among the `cards`, by id, becomes a link.
    """
    shown = spread_out(ds, MOST_POINTS)
    entries = read_entries(shown)
    countries = _tiles_by_country(shown, listed)
    tiles = {tile for those in countries.values() for tile in those} | {entry.tile for entry in entries if entry.tile}
    origins = [tile_origin(tile) for tile in sorted(tiles)]
    outlines = {one.tile: _place(_project_squares(one.epsg, one.ulx, one.uly, TILE_SIDE_M)[0]) for one in origins}
    points = ((entry, _place(project(4326, entry.lon, entry.lat)).tolist()) for entry in entries)
    return {
        "size": _SIZE,
        "land": _path(map(_place, coasts())),
        "degrees": list(_graticule()),
        "tiles": _path(outlines.values()),
        "names": list(_place_names(outlines, countries)),
        "points": [(entry, x, y, cards.get(entry.patch)) for entry, (x, y) in points if np.isfinite([x, y]).all()],
        "square_km": _SQUARE_M / 1000,
        "shades": [] if listed is None else _shades(*density_of(listed)),
    }


def project(epsg: int, east: ArrayLike, north: ArrayLike) -> NDArray[np.float64]:
    """Project coordinates, 4326's or those of a UTM zone, to the equal-area plane, metres, shape ``(..., 2)``."""
    return np.stack(projection(epsg, _LAEA_EUROPE)(np.asarray(east, float), np.asarray(north, float)), axis=-1)


def coasts() -> list[NDArray[np.float64]]:
    """Give the outlines of land, islands after continents, a little beyond the frame of the map.

    Closed rings in the equal-area plane, metres, shape ``(point, 2)``; the first point is not repeated. Natural Earth's
    at 1 : 50 000 000, to 2 km: for looking, not for measuring.
    """
    written = json.loads(files(__package__).joinpath("land.json").read_text(encoding="utf-8"))
    return [1000 * np.array(ring, np.float64).reshape(-1, 2) for ring in written["rings"]]


def density_of(listed: "pa.Table") -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Count the patches of a table, over all dates, by squares of 8.4 km: corners, ``(square, 4, 2)``, and counts."""
    encoded = listed["tile"].combine_chunks().dictionary_encode()
    origins = [tile_origin(tile) for tile in encoded.dictionary.to_pylist()]
    tile, column, row = (
        np.asarray(array, np.int64) for array in (encoded.indices, listed["column"], listed["tile_row"])
    )
    # One number per square: np.unique over rows of an array is many times slower.
    square = (tile * 100 + column // _SQUARE_PATCHES) * 100 + row // _SQUARE_PATCHES
    squares, patches = np.unique(square, return_counts=True)
    tiles, columns, rows = squares // 10_000, squares // 100 % 100, squares % 100
    corners = np.empty((len(squares), 4, 2))
    for index, origin in enumerate(origins):
        here = tiles == index
        west, north = origin.ulx + _SQUARE_M * columns[here], origin.uly - _SQUARE_M * rows[here]
        corners[here] = _project_squares(origin.epsg, west, north, _SQUARE_M)
    return corners, patches


def count_by_country(listed: "pa.Table") -> dict[str, dict[str, int]]:
    """Count the patches of a table by country and tile, countries by name."""
    groups = listed.select(["country", "tile"]).group_by(["country", "tile"]).aggregate([([], "count_all")])
    counted: dict[str, dict[str, int]] = {}
    for group in sorted(groups.to_pylist(), key=lambda group: (group["country"] or "", group["tile"])):
        if group["country"]:
            counted.setdefault(group["country"], {})[group["tile"]] = group["count_all"]
    return counted


def _tiles_by_country(ds: xr.Dataset, listed: "pa.Table | None") -> dict[str, list[str]]:
    """List the tiles of each country, of the whole release if it is given."""
    if listed is not None:
        return {country: list(tiles) for country, tiles in count_by_country(listed).items()}
    if not {"tile", "country"} <= set(ds.coords):
        return {}
    pairs = set(zip(ds["country"].values.tolist(), ds["tile"].values.tolist(), strict=True))
    tiles: dict[str, list[str]] = {}
    for country, tile in sorted(pair for pair in pairs if all(map(has_value, pair))):
        tiles.setdefault(country, []).append(tile)
    return tiles


def _project_squares(
    epsg: int, west: NDArray[np.int64] | int, north: NDArray[np.int64] | int, side_m: int
) -> NDArray[np.float64]:
    """Project squares given by their upper left corners, shape ``(square, 4, 2)``."""
    x = np.atleast_1d(west)[:, None] + side_m * np.array([0, 1, 1, 0])
    y = np.atleast_1d(north)[:, None] - side_m * np.array([0, 0, 1, 1])
    return project(epsg, x, y)


def _place(ground: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bring points of the projection, shape ``(..., 2)``, onto the drawing."""
    placed: NDArray[np.float64] = (ground - (_WEST, _NORTH)) / (_M_PER_UNIT, -_M_PER_UNIT)
    return placed


def _path(shapes: Iterable[NDArray[np.float64]], end: str = "Z") -> str:
    """Write shapes as path data, to a tenth of a unit."""
    return "".join("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in shape.tolist()) + end for shape in shapes)


def _shades(corners: NDArray[np.float64], patches: NDArray[np.int64]) -> list[tuple[int, str]]:
    """Divide squares into shades of equal steps, fewer where patches are few: the most patches, and a path."""
    most = int(patches.max(initial=1))
    bounds = sorted({-(-most * step // _SHADES) for step in range(1, _SHADES + 1)})
    shades, corners = np.searchsorted(bounds, patches), _place(corners)
    return [(bound, _path(corners[shades == shade])) for shade, bound in enumerate(bounds)]


def _graticule() -> Iterator[tuple[str, str, tuple[float, float] | None]]:
    """Draw meridians and parallels: name, path, and where its name stands, if it enters the frame."""
    lat, lon = np.arange(25.0, 81.0, 0.25), np.arange(-40.0, 61.0, 0.25)
    width, height = _SIZE
    lines = [(degree, "EW", np.full_like(lat, degree), lat) for degree in range(-40, 61, 10)]
    lines += [(degree, "NS", lon, np.full_like(lon, degree)) for degree in range(30, 81, 5)]
    for degree, sides, east, north in lines:
        line = _place(project(4326, east, north))
        inside = np.flatnonzero(((line >= 0) & (line <= _SIZE)).all(axis=-1))
        if inside.size:
            # One point more at both ends: the frame cuts the line, not the line the frame.
            line = line[max(inside[0] - 1, 0) : inside[-1] + 2]
            entered = line[:, 1] <= height - 4 if sides == "EW" else line[:, 0] >= 5
            x, y = line[entered.argmax()].tolist()
            name = f"{abs(degree)}° {sides[degree < 0]}" if degree else "0°"
            is_named = 5 <= x <= width - 40 and 12 <= y <= height
            yield name, _path([line], end=""), (x + 3, y - 3) if is_named else None


def _place_names(
    outlines: Mapping[str, NDArray[np.float64]], countries: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, float, float]]:
    """Put each country beside its tiles, on the first side where nothing is in the way."""
    taken = [_box_around(outline) for outline in outlines.values()]
    for country, tiles in countries.items():
        left, top, right, bottom = _box_around(np.concatenate([outlines[tile] for tile in tiles]))
        half_x, half_y = len(country) * _LETTER_WIDTH / 2, _LINE_HEIGHT / 2
        x = left - _GAP - half_x, (left + right) / 2, right + _GAP + half_x
        y = top - _GAP - half_y, (top + bottom) / 2, bottom + _GAP + half_y
        # Right, left, below and above of the tiles, then the corners.
        sides = [
            (x[i] - half_x, y[j] - half_y, x[i] + half_x, y[j] + half_y)
            for i, j in ((2, 1), (0, 1), (1, 2), (1, 0), (2, 2), (2, 0), (0, 2), (0, 0))
        ]
        free = (side for side in sides if _is_inside(side) and not any(_meet(side, box) for box in taken))
        box = next(free, sides[0])
        taken.append(box)
        yield country, (box[0] + box[2]) / 2, box[3] - 0.25 * _LINE_HEIGHT


def _box_around(points: NDArray[np.float64]) -> Box:
    return (*points.min(axis=0).tolist(), *points.max(axis=0).tolist())


def _meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _is_inside(box: Box) -> bool:
    return min(box[:2]) >= 0 and box[2] <= _SIZE[0] and box[3] <= _SIZE[1]
