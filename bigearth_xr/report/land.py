"""Land and sea: the coasts of Europe, which a map needs to be read at a glance."""

import json
from functools import lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

__all__ = ["coasts"]

_M_PER_KM = 1000.0


@lru_cache(maxsize=1)
def coasts() -> tuple[NDArray[np.float64], ...]:
    """Give the outlines of land, islands after continents, a little beyond the frame of the map.

    Returns
    -------
    tuple of NDArray[np.float64]
        Closed rings in the equal-area plane, metres, shape ``(point, 2)``; the first point is not repeated. Natural
        Earth's at 1 : 50 000 000, to 2 km: for looking, not for measuring.

    Examples
    --------
    >>> len(coasts()) > 50, coasts()[0].shape[1]
    (True, 2)
    """
    written = json.loads(files(__package__).joinpath("land.json").read_text(encoding="utf-8"))
    return tuple(_M_PER_KM * np.array(ring, np.float64).reshape(-1, 2) for ring in written["rings"])
