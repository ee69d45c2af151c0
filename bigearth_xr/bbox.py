"""A box of longitude and latitude, and which footprints it meets: the same for a Dataset and for STAC."""

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import SelectionError

__all__ = ["Bbox", "checked_bbox", "footprints_intersect"]

Bbox = tuple[float, float, float, float]
"""West, south, east, north, degrees WGS 84; west > east crosses the antimeridian."""


def checked_bbox(bbox: Iterable[float]) -> Bbox:
    """Refuse a box that holds nothing by mistake.

    Parameters
    ----------
    bbox
        West, south, east, north, degrees, in anything that gives four numbers.

    Raises
    ------
    SelectionError
        The box is not four finite numbers with south <= north, or lies beyond the globe.

    Examples
    --------
    >>> checked_bbox((12.7, 48.0, 12.74, 48.2))
    (12.7, 48.0, 12.74, 48.2)
    """
    try:
        edges = tuple(bbox)
        is_box = len(edges) == 4 and all(map(math.isfinite, edges)) and edges[1] <= edges[3]
    except (TypeError, OverflowError):  # no iterable, or not of numbers
        is_box = False
    if not is_box:
        raise SelectionError(
            f"bbox is {bbox!r}, expected (west, south, east, north) in degrees, finite, with south <= north"
        )
    west, south, east, north = map(float, edges)
    if max(abs(west), abs(east)) > 180 or max(abs(south), abs(north)) > 90:
        raise SelectionError(
            f"bbox is {bbox!r}, expected (west, south, east, north) in degrees, longitudes from -180 to 180 and "
            "latitudes from -90 to 90; bring metres of a projection to EPSG:4326 first"
        )
    return west, south, east, north


def footprints_intersect(corners: NDArray[np.float64], bbox: Bbox) -> NDArray[np.bool_]:
    """Tell which footprints meet a box of longitude and latitude; touching counts.

    Parameters
    ----------
    corners
        Convex rings as ``corners_lonlat`` gives them, shape ``(patch, 5, 2)``, degrees.
    bbox
        West, south, east, north, degrees; west > east crosses the antimeridian.

    Returns
    -------
    NDArray[np.bool_]
        Shape ``(patch,)``.

    Raises
    ------
    SelectionError
        The box is not four finite numbers with south <= north, or lies beyond the globe.

    Examples
    --------
    >>> from bigearth_xr.grid import corners_lonlat
    >>> corners = corners_lonlat([32633], [331200], [5331600])
    >>> footprints_intersect(corners, (12.7, 48.0, 12.74, 48.2))
    array([ True])
    """
    west, south, east, north = checked_bbox(bbox)
    if west > east:
        return footprints_intersect(corners, (west, south, 180, north)) | (
            footprints_intersect(corners, (-180, south, east, north))
        )
    low, high = corners.min(axis=1), corners.max(axis=1)
    meets: NDArray[np.bool_] = ((low <= (east, north)) & (high >= (west, south))).all(axis=1)
    box = np.array([(west, south), (east, south), (east, north), (west, north)])
    meets[meets] = ~_beyond_an_edge(corners[meets], box)
    return meets


def _beyond_an_edge(corners: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which rings have an edge that all points lie beyond, shape ``(patch,)``.

    Convex shapes whose bounding boxes meet are apart exactly if there is such an edge.
    """
    edges = np.diff(corners, axis=1)
    # The rings run counter-clockwise: an edge turned by -90 degrees points outwards.
    outwards = np.stack([edges[..., 1], -edges[..., 0]], axis=-1)[:, :, None]
    # From the corner on: so a point on a corner is at exactly 0, which still touches.
    from_corner = points - corners[:, :4, None]
    beyond: NDArray[np.bool_] = ((from_corner * outwards).sum(-1) > 0).all(axis=2).any(axis=1)
    return beyond
