"""The map: Europe's coasts, how many patches a release lists where, and where those opened lie."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from bigearth_xr.bands import PATCH_SIDE_M
from bigearth_xr.report.reading import has_value, read_entries, spread_out
from bigearth_xr.tiles import TILE_SIDE_M, tile_origin

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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Density:
    """Squares of land, and the number of patches listed in each."""

    corners: NDArray[np.float64]
    """Corners in the equal-area plane, metres, shape ``(square, 4, 2)``."""

    patches: NDArray[np.int64]
    """Patches listed in it, over all dates; shape ``(square,)``."""


def draw_map(ds: xr.Dataset, listed: "pa.Table | None", cards: Mapping[str, str]) -> dict[str, Any]:
    """Prepare what the template of the map draws, on a drawing of `_SIZE`.

    Parameters
    ----------
    ds
        Opened patches; of more than `MOST_POINTS` some are drawn, spread out evenly.
    listed
        Table of the whole release, whose squares are shaded for context.
    cards
        Where on the page a patch is shown, by id; its point becomes a link.
    """
    shown = spread_out(ds, MOST_POINTS)
    entries = read_entries(shown)
    countries = _tiles_by_country(shown, listed)
    tiles = {tile for those in countries.values() for tile in those} | {entry.tile for entry in entries if entry.tile}
    outlines = {tile: _place(corners) for tile, corners in _tile_corners(sorted(tiles)).items()}
    points = ((entry, _place(project(4326, entry.lon, entry.lat)).tolist()) for entry in entries)
    return {
        "size": _SIZE,
        "land": _path(map(_place, coasts())),
        "degrees": list(_graticule()),
        "tiles": _path(outlines.values()),
        "names": list(_place_names(outlines, countries)),
        "points": [(entry, x, y, cards.get(entry.patch)) for entry, (x, y) in points if np.isfinite([x, y]).all()],
        "square_km": _SQUARE_M / 1000,
        "shades": [] if listed is None else _shades(density_of(listed)),
    }


def project(epsg: int, east: ArrayLike, north: ArrayLike) -> NDArray[np.float64]:
    """Project coordinates to the equal-area plane.

    Parameters
    ----------
    epsg
        What they are: 4326 for longitude and latitude, or a UTM zone, metres.
    east, north
        Longitudes and latitudes, or eastings and northings, of one shape.

    Returns
    -------
    NDArray[np.float64]
        Easting and northing in metres, shape ``(..., 2)``.

    Examples
    --------
    >>> project(4326, 10, 52).round()
    array([4321000., 3210000.])
    """
    x, y = _to_laea(epsg)(np.asarray(east, np.float64), np.asarray(north, np.float64))
    return np.stack([x, y], axis=-1)


@lru_cache(maxsize=64)
def _to_laea(epsg: int) -> Callable[..., tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Build a projection once: it costs milliseconds."""
    from pyproj import Transformer

    transform: Callable[..., tuple[NDArray[np.float64], NDArray[np.float64]]]
    transform = Transformer.from_crs(epsg, _LAEA_EUROPE, always_xy=True).transform
    return transform


def coasts() -> tuple[NDArray[np.float64], ...]:
    """Give the outlines of land, islands after continents, a little beyond the frame of the map.

    Returns
    -------
    tuple of NDArray[np.float64]
        Closed rings in the equal-area plane, metres, shape ``(point, 2)``; the first point is not repeated. Natural
        Earth's at 1 : 50 000 000, to 2 km: for looking, not for measuring.
    """
    written = json.loads(files(__package__).joinpath("land.json").read_text(encoding="utf-8"))
    return tuple(1000 * np.array(ring, np.float64).reshape(-1, 2) for ring in written["rings"])


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
    square = (tile * 100 + column // _SQUARE_PATCHES) * 100 + row // _SQUARE_PATCHES
    squares, patches = np.unique(square, return_counts=True)
    tiles, columns, rows = squares // 10_000, squares // 100 % 100, squares % 100
    corners = np.empty((len(squares), 4, 2))
    for index, origin in enumerate(origins):
        here = tiles == index
        west, north = origin.ulx + _SQUARE_M * columns[here], origin.uly - _SQUARE_M * rows[here]
        corners[here] = _project_squares(origin.epsg, west, north, _SQUARE_M)
    return Density(corners=corners, patches=patches)


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


def _tile_corners(tiles: Iterable[str]) -> dict[str, NDArray[np.float64]]:
    """Project the squares of tiles, shape ``(4, 2)`` each."""
    origins = (tile_origin(tile) for tile in tiles)
    return {origin.tile: _project_squares(origin.epsg, origin.ulx, origin.uly, TILE_SIDE_M)[0] for origin in origins}


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


def _shades(density: Density) -> list[tuple[int, str]]:
    """Divide squares into shades of equal steps, fewer where patches are few: the most patches, and a path."""
    most = int(density.patches.max(initial=1))
    bounds = sorted({-(-most * step // _SHADES) for step in range(1, _SHADES + 1)})
    shades, corners = np.searchsorted(bounds, density.patches), _place(density.corners)
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
        ground = _box_around(np.concatenate([outlines[tile] for tile in tiles]))
        sides = list(_sides(ground, len(country) * _LETTER_WIDTH))
        free = (side for side in sides if _is_inside(side) and not any(_meet(side, box) for box in taken))
        left, top, right, bottom = next(free, sides[0])
        taken.append((left, top, right, bottom))
        yield country, (left + right) / 2, bottom - 0.25 * _LINE_HEIGHT


def _sides(ground: Box, width: float) -> Iterator[Box]:
    """Propose boxes for a name: right, left, below and above of its tiles, and the corners."""
    middle_x, middle_y = (ground[0] + ground[2]) / 2, (ground[1] + ground[3]) / 2
    right, left = ground[2] + _GAP + width / 2, ground[0] - _GAP - width / 2
    below, above = ground[3] + _GAP + _LINE_HEIGHT / 2, ground[1] - _GAP - _LINE_HEIGHT / 2
    for x, y in (
        *((right, middle_y), (left, middle_y), (middle_x, below), (middle_x, above)),
        *((right, below), (right, above), (left, below), (left, above)),
    ):
        yield x - width / 2, y - _LINE_HEIGHT / 2, x + width / 2, y + _LINE_HEIGHT / 2


def _box_around(points: NDArray[np.float64]) -> Box:
    return (*points.min(axis=0).tolist(), *points.max(axis=0).tolist())


def _meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _is_inside(box: Box) -> bool:
    return min(box[:2]) >= 0 and box[2] <= _SIZE[0] and box[3] <= _SIZE[1]
