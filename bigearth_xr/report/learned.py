"""What a model is given of the patches, what it makes of them, and what a search of the catalogue found."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from bigearth_xr.errors import SelectionError
from bigearth_xr.report.measures import Axis, axis_over
from bigearth_xr.thumbnails import (
    RGB_BANDS,
    RGB_STRETCH,
    SAR_BANDS,
    SAR_STRETCH,
    STANDARD_STRETCH,
    Picture,
    color_standardised,
    pictures_of,
)

__all__ = ["Catalogue", "Learned", "Neighbourhood"]

_MOST_POINTS = 60
"""Epochs up to which each is marked on the curve of losses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """What a report says of the catalogue: its size, and one search of it."""

    items: int

    search: str
    """What was searched for, in words, e.g. ``"patches of Portugal in summer"``."""

    found: tuple[tuple[str, str, str], ...]
    """Patch id, country and date of each item found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbourhood:
    """A patch, and those whose embeddings are nearest to its own."""

    query: str
    """Patch id."""

    found: Mapping[str, float]
    """Distance from the query by patch id, nearest first."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Learned:
    """What a report says of models: their input, a training, and a search."""

    images: xr.DataArray
    """Pixels as stored of every patch that is shown, in memory, shape ``(patch, band, y, x)``, coordinates ``patch``
    and ``band``; digital numbers, where 10 000 is a reflectance of 1, or dB."""

    labels: Mapping[str, tuple[str, ...]]
    """Names of the 19 classes by patch id."""

    normalised: xr.DataArray
    """A few patches as a model is given them, shape ``(patch, band, y, x)``, float32, standard deviations."""

    augmented: xr.DataArray
    """The same patches and bands, augmented; shape and units as normalised."""

    augmentation: str
    """What was done to them, in words."""

    embedding: str
    """What made the vectors, and how far apart they are measured, in words."""

    losses: tuple[float, ...]
    """Loss of each epoch; empty where nothing was trained."""

    neighbourhoods: tuple[Neighbourhood, ...]
    """Searches to show."""

    scores: Mapping[str, tuple[float, float]]
    """By metric: the value, and what a search that finds at random would have."""

    def __post_init__(self) -> None:
        """Refuse patches to show without their pixels."""
        shown = {patch for one in self.neighbourhoods for patch in (one.query, *one.found)}
        missing = sorted((shown | set(self.normalised["patch"].values)) - set(self.images["patch"].values))
        if missing:
            raise SelectionError(
                f"images lacks {len(missing)} of the patches to show, the first of them {missing[0]}; expected pixels "
                "of every patch of normalised and neighbourhoods: select them by these ids"
            )
        for dim in ("patch", "band"):
            if not np.array_equal(self.normalised[dim].values, self.augmented[dim].values):
                raise SelectionError(
                    f"normalised and augmented differ along {dim!r}, expected the same patches and bands; augment what "
                    "was normalised"
                )


def draw_learned(learned: Learned) -> dict[str, Any]:
    """Prepare what the template on models shows: views of patches, the curve of losses, rows of neighbours."""
    channels = _channels(learned.normalised)
    colors = "red, green, blue" if len(channels) == 3 else "grey"
    stored_stretch = _stored_stretch(learned.images)
    shown = {patch for one in learned.neighbourhoods for patch in (one.query, *one.found)}
    return {
        "learned": learned,
        "stored_stretch": stored_stretch,
        "view_notes": {
            "As stored": stored_stretch,
            "Normalised": f"{colors} = {', '.join(channels)}; {STANDARD_STRETCH}, for every patch and band alike",
            "Augmented": f"{learned.augmentation}; drawn as the normalised ones",
        },
        "views": {patch: _views(learned, patch, channels) for patch in learned.normalised["patch"].values.tolist()},
        "curve": _curve(learned.losses),
        "pictures": {patch: _stored_picture(learned.images, patch) for patch in shown},
    }


def _views(learned: Learned, patch: str, channels: list[str]) -> list[Picture]:
    """Draw a patch as stored, normalised and augmented."""
    given = (array.sel(patch=patch, band=channels) for array in (learned.normalised, learned.augmented))
    drawn = (color_standardised(pixels.transpose("band", "y", "x").values) for pixels in given)
    return [_stored_picture(learned.images, patch), *drawn]


def _stored_picture(images: xr.DataArray, patch: str) -> Picture:
    """Colour one patch by what its bands allow: as the eye sees it, as radar does, or its first band."""
    pixels = images.sel(patch=patch).transpose("band", "y", "x")
    for bands in (RGB_BANDS, SAR_BANDS):
        if set(bands) <= set(images["band"].values.tolist()):
            (picture,) = pictures_of({name: pixels.sel(band=name).values for name in bands}).values()
            return picture
    first = np.asarray(pixels[0].values, np.float32)
    return color_standardised([(first - first.mean()) / (first.std() or 1)])


def _stored_stretch(images: xr.DataArray) -> str:
    """Say how `_stored_picture` stretches these bands, for a reader."""
    names = images["band"].values.tolist()
    if set(names) >= set(RGB_BANDS):
        return RGB_STRETCH
    return SAR_STRETCH if set(names) >= set(SAR_BANDS) else f"grey = {names[0]}; per patch, {STANDARD_STRETCH}"


def _channels(normalised: xr.DataArray) -> list[str]:
    """Name the bands to draw: those that the eye knows, else the first three, else the first."""
    names: list[str] = normalised["band"].values.tolist()
    if set(names) >= set(RGB_BANDS):
        return list(RGB_BANDS)
    return names[:3] if len(names) >= 3 else names[:1]


def _curve(losses: tuple[float, ...]) -> dict[str, Any] | None:
    """Put the finite losses onto axes, positions in per cent; None where there is none."""
    known = [(epoch, loss) for epoch, loss in enumerate(losses, start=1) if math.isfinite(loss)]
    if not known:
        return None
    epochs = Axis(1, max(len(losses), 2), 1)
    values = axis_over(min(loss for _, loss in known), max(loss for _, loss in known))
    round_epochs = (tick for tick in axis_over(0, epochs.high).ticks() if 1 <= tick <= epochs.high)
    return {
        "points": [(epoch, loss, epochs.at(epoch), 100 - values.at(loss)) for epoch, loss in known],
        "has_marks": len(known) <= _MOST_POINTS,
        "losses": [(tick, 100 - values.at(tick)) for tick in values.ticks()],
        "epochs": [(tick, epochs.at(tick)) for tick in sorted({1, *filter(float.is_integer, round_epochs)})],
    }
