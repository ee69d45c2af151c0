"""What two bands say together: vegetation from optical ones, structure from radar."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from bigearth_xr.errors import BandError
from bigearth_xr.ops.namespace import Array, array_namespace
from bigearth_xr.spelling import choice_error

__all__ = ["INDICES", "Index", "index_named", "normalized_difference", "radar_ratio_db"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """A number that two bands give together."""

    name: str
    """What it is asked for by, e.g. ``"ndvi"``."""

    bands: tuple[str, str]
    """The two, in the order of the formula."""

    long_name: str
    """What it measures, for a reader."""

    formula: str
    """How, for a reader."""

    units: Literal["1", "dB"]
    """``"1"`` for a contrast, in [-1, 1]; ``"dB"`` for a ratio of powers."""

    compute: Callable[[Array, Array], Array]
    """The formula, of pixels as stored."""


def index_named(name: str) -> Index:
    """Find an index by its name, in upper or lower case.

    Raises
    ------
    BandError
        There is no such index; the message names those that there are.

    Examples
    --------
    >>> index_named("NDVI").bands
    ('B08', 'B04')
    """
    found = INDICES.get(name.lower()) if isinstance(name, str) else None
    if found is None:
        raise choice_error("index", name, INDICES, BandError)
    return found


def normalized_difference(a: Array, b: Array) -> Array:
    """Contrast two bands as ``(a - b) / (a + b)``; with B08 and B04 this is the NDVI.

    Parameters
    ----------
    a, b
        Digital numbers, shape ``(..., y, x)``, uint16; 10 000 is a reflectance of 1.

    Returns
    -------
    Array
        Same shape and device, float32, in [-1, 1]; NaN where both bands are empty.

    Examples
    --------
    >>> import numpy as np
    >>> nir, red = np.uint16([[3000, 0]]), np.uint16([[1000, 0]])
    >>> normalized_difference(nir, red)
    array([[0.5, nan]], dtype=float32)
    """
    xp = array_namespace(a, b)
    # Widen first: uint16 wraps around below zero.
    wide_a, wide_b = a.astype(xp.float32), b.astype(xp.float32)
    total = wide_a + wide_b
    contrast: Array = (wide_a - wide_b) / xp.where(total > 0, total, xp.nan)
    return contrast


def radar_ratio_db(vv: Array, vh: Array) -> Array:
    """Divide VV by VH, which in decibels is a difference.

    Parameters
    ----------
    vv, vh
        Backscatter, shape ``(..., y, x)``, float32, dB.

    Returns
    -------
    Array
        Same shape, device and data type, dB: low where plants scatter the wave to and
        fro, high on bare ground and water; NaN where either is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> radar_ratio_db(np.float32([-10, -np.inf]), np.float32([-16, -np.inf]))
    array([ 6., nan], dtype=float32)
    """
    xp = array_namespace(vv, vh)
    # Without an infinity to subtract from an infinity, NumPy has nothing to warn of.
    known_vv, known_vh = (xp.where(xp.isfinite(band), band, xp.nan) for band in (vv, vh))
    ratio_db: Array = known_vv - known_vh
    return ratio_db


# Name, the two bands, what it measures. Contrasts of McFeeters (ndwi), Xu (mndwi), Gao (ndmi), Key and Benson (nbr).
_CONTRASTS = """\
ndvi  B08 B04 green vegetation
ndre  B8A B05 chlorophyll, by the red edge
ndwi  B03 B08 open water
mndwi B03 B11 open water, and snow
ndmi  B8A B11 water in leaves
nbr   B8A B12 burnt ground, where it is low
"""


def _contrast(line: str) -> Index:
    """Read a line of the table of contrasts."""
    name, a, b, measures = line.split(maxsplit=3)
    return Index(
        name=name,
        bands=(a, b),
        long_name=f"{name.upper()}: {measures}",
        formula=f"({a} - {b}) / ({a} + {b})",
        units="1",
        compute=normalized_difference,
    )


_RADAR = Index(
    name="radar_ratio",
    bands=("VV", "VH"),
    long_name="VV over VH: low where plants scatter the wave to and fro",
    formula="VV - VH, in dB",
    units="dB",
    compute=radar_ratio_db,
)

INDICES = {one.name: one for one in (*map(_contrast, _CONTRASTS.splitlines()), _RADAR)}
"""All that there are, by name."""
