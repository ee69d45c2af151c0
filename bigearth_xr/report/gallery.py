"""A card per patch: how it looks to the eye, to radar and on the map of land cover."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bigearth_xr.labels import CLASSES_19, CLASSES_43
from bigearth_xr.report.reading import REFERENCE_MAP, missing_bands, read_entries, read_pixels, spread_out
from bigearth_xr.thumbnails import (
    RGB_BANDS,
    RGB_STRETCH,
    SAR_BANDS,
    SAR_STRETCH,
    Picture,
    color_map,
    color_optical,
    color_radar,
)

MOST_CARDS = 48
"""Patches that a page shows with their pictures."""

_COLORS = {one.name: one.color for one in (*CLASSES_43, *CLASSES_19)}
_NAME_OF_CODE = {int(one.clc_codes[0]): one.name for one in CLASSES_43}


def draw_gallery(ds: xr.Dataset) -> dict[str, Any]:
    """Prepare what the template of the gallery shows; pixels are read chunk by chunk.

    Of more than `MOST_CARDS` patches some are shown, spread out evenly; what cannot be drawn for want of bands is left
    out, and the notes say so.
    """
    shown = spread_out(ds, MOST_CARDS)
    codes: set[int] = set()
    cards = []
    for entry, pixels in zip(
        read_entries(shown), read_pixels(shown, (*RGB_BANDS, *SAR_BANDS, REFERENCE_MAP)), strict=True
    ):
        cards.append((entry, dict(_pictures(pixels))))
        codes.update(_codes(pixels))
    titles = {title for _, pictures in cards for title in pictures}
    return {
        "cards": cards,
        "most": MOST_CARDS,
        "notes": dict(_notes(ds, titles)),
        "classes": [_NAME_OF_CODE[code] for code in sorted(codes)],
        "is_small": len(titles) <= 1,
    }


def card_ids(ds: xr.Dataset) -> dict[str, str]:
    """Name the cards of the patches that have one, by patch id, for links.

    Examples
    --------
    >>> card_ids(xr.Dataset(coords={"patch": ["a"]}))
    {'a': 'patch-1'}
    """
    patches = spread_out(ds, MOST_CARDS).patch.values.tolist()
    return {patch: f"patch-{number}" for number, patch in enumerate(patches, start=1)}


def color_of(label: str) -> str:
    """Colour of a class, for CSS.

    Examples
    --------
    >>> color_of("Marine waters")
    '#e6f2ff'
    """
    return "#" + bytes(_COLORS.get(label, (128, 128, 128))).hex()


def _pictures(pixels: dict[str, NDArray[Any]]) -> Iterator[tuple[str, Picture]]:
    """Draw what the bands of one patch allow, each with its title."""
    if pixels.keys() >= set(RGB_BANDS):
        yield "Optical", color_optical(pixels[name] for name in RGB_BANDS)
    if pixels.keys() >= set(SAR_BANDS):
        yield "Radar", color_radar(pixels["VV"], pixels["VH"])
    if _codes(pixels):
        yield "Land cover", color_map(pixels[REFERENCE_MAP])


def _codes(pixels: dict[str, NDArray[Any]]) -> set[int]:
    """CORINE codes of classes on a patch's reference map, if it has one."""
    return set(np.unique(pixels.get(REFERENCE_MAP, ())).tolist()) & _NAME_OF_CODE.keys()


def _notes(ds: xr.Dataset, titles: set[str]) -> Iterator[tuple[str, str]]:
    """Say how each picture is made, or which band it lacks."""
    for title, bands, stretch in (("Optical", RGB_BANDS, RGB_STRETCH), ("Radar", SAR_BANDS, SAR_STRETCH)):
        missing = missing_bands(ds, bands)
        yield title, f"not drawn: this Dataset has no {', '.join(missing)}" if missing else stretch
    if "Land cover" in titles:
        yield "Land cover", "the reference map in the colours of CORINE Land Cover 2018; empty where unlabelled"
