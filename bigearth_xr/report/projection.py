"""From the ground to the drawing: equal areas of Europe, and the net of degrees."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["EUROPE", "Degree", "Frame", "graticule", "project"]

LAEA_EUROPE = 3035
"""ETRS89-LAEA: Lambert's equal-area azimuthal projection, centred on Europe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The part of the projection that is drawn; ground in metres, drawing in SVG units."""

    west: float
    """Easting of the left edge, metres."""

    south: float
    """Northing of the lower edge, metres."""

    east: float
    """Easting of the right edge, metres."""

    north: float
    """Northing of the upper edge, metres."""

    m_per_unit: float = 4000.0
    """Metres on the ground to an SVG unit."""

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the drawing."""
        return (
            (self.east - self.west) / self.m_per_unit,
            (self.north - self.south) / self.m_per_unit,
        )

    def place(self, ground: NDArray[np.float64]) -> NDArray[np.float64]:
        """Bring points of the projection, shape ``(..., 2)``, onto the drawing."""
        drawn: NDArray[np.float64] = (ground - (self.west, self.north)) / (
            self.m_per_unit,
            -self.m_per_unit,
        )
        return drawn


EUROPE = Frame(west=2_550_000, south=1_650_000, east=5_650_000, north=5_220_000)
"""The ten countries, from Portugal to Finland."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Degree:
    """One meridian or parallel, as far as it is drawn."""

    name: str
    """E.g. ``"10° E"``."""

    is_meridian: bool
    """Whether it runs north, else east."""

    line: NDArray[np.float64]
    """Points on the drawing, from south to north or from west to east, shape ``(point, 2)``."""


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


def graticule(frame: Frame, step_deg: int = 10) -> Iterator[Degree]:
    """Draw the meridians and parallels that cross a frame.

    Examples
    --------
    >>> [degree.name for degree in graticule(EUROPE)][:3]
    ['30° W', '20° W', '10° W']
    """
    lat, lon = np.arange(25.0, 81.0, 0.25), np.arange(-40.0, 61.0, 0.25)
    for degree in range(-40, 61, step_deg):
        meridian = project(4326, np.full_like(lat, degree), lat)
        yield from _inside(frame, _name(degree, "EW"), meridian, is_meridian=True)
    for degree in range(30, 81, step_deg // 2):
        parallel = project(4326, lon, np.full_like(lon, degree))
        yield from _inside(frame, _name(degree, "NS"), parallel, is_meridian=False)


def _inside(frame: Frame, name: str, ground: NDArray[np.float64], *, is_meridian: bool) -> Iterator[Degree]:
    """Keep the part of a line that lies in the frame, if there is one."""
    line = frame.place(ground)
    within = ((line >= 0) & (line <= frame.size)).all(axis=-1)
    if within.any():
        first, last = np.flatnonzero(within)[[0, -1]]
        # One point more at both ends: the frame cuts the line, not the line the frame.
        part = line[max(first - 1, 0) : last + 2]
        yield Degree(name=name, is_meridian=is_meridian, line=part)


def _name(degree: int, sides: str) -> str:
    """Name a degree by its side of the equator or of Greenwich."""
    return f"{abs(degree)}° {sides[degree < 0]}" if degree else "0°"


@lru_cache(maxsize=64)
def _to_laea(
    epsg: int,
) -> Callable[..., tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Build a projection once: it costs milliseconds."""
    from pyproj import Transformer

    transform: Callable[..., tuple[NDArray[np.float64], NDArray[np.float64]]]
    transform = Transformer.from_crs(epsg, LAEA_EUROPE, always_xy=True).transform
    return transform
