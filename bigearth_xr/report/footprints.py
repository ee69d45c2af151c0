"""The map: where a release has patches, and where those opened lie."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.report.density import CELL_SIDE_M, Density, tile_outlines
from bigearth_xr.report.entry import Entry
from bigearth_xr.report.land import coasts
from bigearth_xr.report.markup import Markup, element, join
from bigearth_xr.report.projection import EUROPE, Frame, graticule, project

__all__ = ["MOST_POINTS", "draw_map", "shade_legend"]

MOST_POINTS = 2000
"""Opened patches that a map can show; more would hide each other."""

_SHADES = 5
_LETTER_WIDTH, _LINE_HEIGHT, _GAP = 9.0, 15.0, 6.0
"""Size of the countries' names on the drawing, SVG units."""


def draw_map(
    entries: Sequence[Entry],
    *,
    density: Density | None = None,
    countries: Mapping[str, Iterable[str]],
    cards: Mapping[str, str],
) -> Markup:
    """Draw Europe's coasts with the listed patches as shaded squares and the opened ones as points.

    Parameters
    ----------
    entries
        Opened patches, at most `MOST_POINTS`.
    density
        How many patches the whole release lists where, for context.
    countries
        Tiles by country, whose names are written beside them.
    cards
        Where on the page a patch is shown, by id; its point becomes a link.

    Returns
    -------
    Markup
        An ``svg`` element.

    Examples
    --------
    >>> draw_map([], countries={"Austria": ["33UUP"]}, cards={})[:4]
    '<svg'
    """
    frame = EUROPE
    width, height = frame.size
    opened = {entry.tile for entry in entries if entry.tile}
    tiles = {tile for those in countries.values() for tile in those} | opened
    outlines = {tile: frame.place(corners) for tile, corners in tile_outlines(sorted(tiles)).items()}
    return element(
        "svg",
        element("title", "Map of Europe with the patches"),
        element("path", d=_path(map(frame.place, coasts())), class_="land"),
        _draw_graticule(frame),
        _draw_density(frame, density) if density is not None else "",
        element("path", d=_path(outlines.values()), class_="tiles"),
        join(_draw_names(frame, outlines, countries)),
        join(_draw_points(frame, entries, cards)),
        class_="map",
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
    )


def shade_legend(density: Density) -> Markup:
    """Explain the shades: how many patches a square holds.

    Examples
    --------
    >>> "≤ 196" in shade_legend(Density(corners=np.zeros((1, 4, 2)), patches=np.array([196])))
    True
    """
    bounds = _shade_bounds(density)
    shades = (
        element("span", element("i", class_=f"shade shade-{shade}"), f"≤ {bound}") for shade, bound in enumerate(bounds)
    )
    return element(
        "p", element("b", f"Listed patches in a square of {CELL_SIDE_M / 1000:g} km"), *shades, class_="legend"
    )


def _draw_graticule(frame: Frame) -> Markup:
    """Draw meridians and parallels, named where they enter the frame."""
    width, height = frame.size
    lines, names = [], []
    for degree in graticule(frame):
        lines.append("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in degree.line))
        crossed = degree.line[:, 1] <= height - 4 if degree.is_meridian else degree.line[:, 0] >= 5
        x, y = degree.line[crossed.argmax()]
        if 5 <= x <= width - 40 and 12 <= y <= height:
            names.append(element("text", degree.name, x=float(x + 3), y=float(y - 3), class_="degree"))
    return element("g", element("path", d="".join(lines), class_="graticule"), *names)


def _draw_density(frame: Frame, density: Density) -> Markup:
    """Shade the squares, one path for each shade."""
    shades = np.searchsorted(_shade_bounds(density), density.patches)
    corners = frame.place(density.corners)
    paths = (element("path", d=_path(corners[shades == shade]), class_=f"shade-{shade}") for shade in range(_SHADES))
    return element("g", *paths)


def _shade_bounds(density: Density) -> list[int]:
    """Divide the numbers of patches into shades of equal steps, fewer where patches are few."""
    most = int(density.patches.max(initial=1))
    return sorted({-(-most * step // _SHADES) for step in range(1, _SHADES + 1)})


def _draw_points(frame: Frame, entries: Iterable[Entry], cards: Mapping[str, str]) -> Iterator[Markup]:
    """Mark opened patches; hovering tells which, a click leads to its picture."""
    for entry in entries:
        x, y = frame.place(project(4326, entry.lon, entry.lat))
        if np.isfinite([x, y]).all():
            lines = [entry.patch, entry.place, entry.s2_time, ", ".join(entry.labels or ())]
            told = element("title", "\n".join(filter(None, lines)))
            point = element("circle", told, cx=float(x), cy=float(y), r=4, class_="patch")
            card = cards.get(entry.patch)
            yield element("a", point, href=f"#{card}") if card else point


@dataclass(frozen=True, slots=True, kw_only=True)
class _Box:
    """A rectangle on the drawing."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: "_Box") -> bool:
        """Tell whether two rectangles share ground."""
        apart = self.right <= other.left or other.right <= self.left
        return not (apart or self.bottom <= other.top or other.bottom <= self.top)

    def is_on(self, width: float, height: float) -> bool:
        """Tell whether it lies on a drawing of this size as a whole."""
        return min(self.left, self.top) >= 0 and self.right <= width and self.bottom <= height


def _draw_names(
    frame: Frame,
    outlines: Mapping[str, NDArray[np.float64]],
    countries: Mapping[str, Iterable[str]],
) -> Iterator[Markup]:
    """Write each country beside its tiles, on the first side where nothing is in the way."""
    width, height = frame.size
    taken = [_box_around([outline]) for outline in outlines.values()]
    for country, tiles in countries.items():
        ground = _box_around([outlines[tile] for tile in tiles])
        sides = list(_sides(ground, len(country) * _LETTER_WIDTH))
        free = [
            side
            for side in sides
            if side.left >= 0 and side.right <= width and side.top >= 0 and side.bottom <= height
            and not any(side.meets(box) for box in taken)
        ]  # fmt: skip
        chosen = (free or sides)[0]
        taken.append(chosen)
        x, y = (chosen.left + chosen.right) / 2, chosen.bottom - 0.25 * _LINE_HEIGHT
        yield element("text", country, x=x, y=y, class_="country")


def _sides(ground: _Box, width: float) -> Iterator[_Box]:
    """Propose places for a name: right, left, below and above of its tiles, and the corners."""
    middle_x, middle_y = (ground.left + ground.right) / 2, (ground.top + ground.bottom) / 2
    right, left = ground.right + _GAP + width / 2, ground.left - _GAP - width / 2
    below, above = ground.bottom + _GAP + _LINE_HEIGHT / 2, ground.top - _GAP - _LINE_HEIGHT / 2
    places = [
        *((right, middle_y), (left, middle_y), (middle_x, below), (middle_x, above)),
        *((right, below), (right, above), (left, below), (left, above)),
    ]
    for x, y in places:
        yield _Box(
            left=x - width / 2,
            right=x + width / 2,
            top=y - _LINE_HEIGHT / 2,
            bottom=y + _LINE_HEIGHT / 2,
        )


def _box_around(shapes: Sequence[NDArray[np.float64]]) -> _Box:
    """Enclose shapes, each ``(point, 2)``."""
    points = np.concatenate(shapes)
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return _Box(left=left, top=top, right=right, bottom=bottom)


def _path(shapes: Iterable[NDArray[np.float64]]) -> str:
    """Write closed shapes as path data, to a tenth of a unit."""
    return "".join("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in shape.tolist()) + "Z" for shape in shapes)
