"""A card per patch: how it looks to the eye, to radar and on the map of land cover."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from bigearth_xr.labels import CLASSES_19, CLASSES_43
from bigearth_xr.report.entry import Entry, read_entries
from bigearth_xr.report.markup import Markup, element, join
from bigearth_xr.report.pixels import PixelChunk, missing_bands, read_chunks
from bigearth_xr.report.thumbnail import (
    RGB_BANDS,
    RGB_STRETCH,
    SAR_BANDS,
    SAR_STRETCH,
    Picture,
    color_map,
    color_optical,
    color_radar,
    png_uri,
)

__all__ = ["MOST_CARDS", "card_id", "draw_gallery", "draw_labels", "swatch"]

MOST_CARDS = 48
"""Patches that a page shows with their pictures."""

_COLORS = {one.name: one.color for one in (*CLASSES_43, *CLASSES_19)}
_NAME_OF_CODE = {int(one.clc_codes[0]): one.name for one in CLASSES_43}


class _Card(NamedTuple):
    """The pictures of one patch by title, and the CORINE codes that it maps."""

    pictures: dict[str, Picture]
    codes: set[int]


def draw_gallery(ds: xr.Dataset) -> Markup:
    """Draw a card for every patch of a small Dataset; pixels are read chunk by chunk.

    Parameters
    ----------
    ds
        At most `MOST_CARDS` patches; what cannot be drawn for want of bands is left out.

    Returns
    -------
    Markup
        Notes on what the pictures show and what is missing, then the cards.

    Examples
    --------
    >>> "Labels not known" in draw_gallery(xr.Dataset(coords={"patch": ["a"]}))
    True
    """
    cards = list(_read_cards(ds))
    drawn = {title for card in cards for title in card.pictures}
    entries = read_entries(ds)
    return join(
        [
            element("dl", *_explain(ds, drawn), class_="notes"),
            _map_legend(set().union(*(card.codes for card in cards))),
            element(
                "div",
                *map(_draw_card, range(len(cards)), entries, cards),
                class_="gallery" if len(drawn) > 1 else "gallery small",
            ),
        ]
    )


def card_id(place: int) -> str:
    """Name the card of the patch at a place of the gallery, for links.

    Examples
    --------
    >>> card_id(0)
    'patch-1'
    """
    return f"patch-{place + 1}"


def swatch(label: str) -> Markup:
    """Show the colour of a class.

    Examples
    --------
    >>> swatch("Marine waters")
    '<i class="swatch" style="background:#e6f2ff"></i>'
    """
    red, green, blue = _COLORS.get(label, (128, 128, 128))
    return element("i", class_="swatch", style=f"background:#{red:02x}{green:02x}{blue:02x}")


def draw_labels(labels: Sequence[str] | None, flags: Iterable[str] = (), *, shared: Sequence[str] = ()) -> Markup:
    """List the classes of a patch, and what else to know before using it.

    Parameters
    ----------
    labels
        Names of its classes; None where they are not known.
    flags
        Reasons for care.
    shared
        Those of its classes that are to be emphasised.

    Examples
    --------
    >>> draw_labels(None)
    '<ul class="chips"><li class="none">Labels not known</li></ul>'
    """
    told = "Labels not known" if labels is None else "None of the classes"
    chips = [
        element("li", swatch(name), name, class_="shared" if name in shared else None) for name in labels or ()
    ] or [element("li", told, class_="none")]
    return element("ul", *chips, *(element("li", flag, class_="flag") for flag in flags), class_="chips")


def _read_cards(ds: xr.Dataset) -> Iterator[_Card]:
    """Read and colour the patches, one after another."""
    for chunk in read_chunks(ds, (*RGB_BANDS, *SAR_BANDS), reference_map=True):
        for place in range(chunk.patches.stop - chunk.patches.start):
            yield _color(chunk, place)


def _color(chunk: PixelChunk, place: int) -> _Card:
    """Draw what the bands of one patch allow."""
    pixels = {name: band[place] for name, band in chunk.bands.items()}
    pictures: dict[str, Picture] = {}
    codes: set[int] = set()
    if pixels.keys() >= set(RGB_BANDS):
        pictures["Optical"] = color_optical(pixels[name] for name in RGB_BANDS)
    if pixels.keys() >= set(SAR_BANDS):
        pictures["Radar"] = color_radar(pixels["VV"], pixels["VH"])
    if chunk.reference_map is not None:
        codes = set(np.unique(chunk.reference_map[place]).tolist()) & _NAME_OF_CODE.keys()
        if codes:
            pictures["Land cover"] = color_map(chunk.reference_map[place])
    return _Card(pictures, codes)


def _explain(ds: xr.Dataset, drawn: set[str]) -> Iterator[Markup]:
    """Say how each picture is made, or which band it lacks."""
    for title, bands, stretch in (
        ("Optical", RGB_BANDS, RGB_STRETCH),
        ("Radar", SAR_BANDS, SAR_STRETCH),
    ):
        missing = missing_bands(ds, bands)
        told = f"not drawn: this Dataset has no {', '.join(missing)}" if missing else stretch
        yield element("div", element("dt", title), element("dd", told))
    if "Land cover" in drawn:
        told = "the reference map in the colours of CORINE Land Cover 2018; empty where unlabelled"
        yield element("div", element("dt", "Land cover"), element("dd", told))


def _map_legend(codes: Iterable[int]) -> Markup:
    """List the classes that the reference maps show."""
    names = [_NAME_OF_CODE[code] for code in sorted(codes)]
    if not names:
        return Markup("")
    classes = (element("li", swatch(name), name) for name in names)
    summary = element("summary", f"Colours of the {len(names)} classes on these maps")
    return element("details", summary, element("ul", *classes, class_="chips"), class_="notes")


def _draw_card(place: int, entry: Entry, card: _Card) -> Markup:
    """Put the pictures and words of a patch together."""
    facts = (("Sentinel-2", entry.s2_time), ("Sentinel-1", entry.s1_time), ("Split", entry.split))
    return element(
        "article",
        _draw_pictures(entry.patch, card.pictures),
        element("h3", entry.place or "Place not known"),
        element("p", entry.patch, class_="id"),
        draw_labels(entry.labels, entry.flags),
        element(
            "dl",
            *(element("div", element("dt", name), element("dd", told)) for name, told in facts if told),
            class_="facts",
        ),
        class_="card",
        id=card_id(place),
    )


def _draw_pictures(patch: str, pictures: Mapping[str, Picture]) -> Markup:
    """Embed the pictures side by side."""
    figures = (
        element(
            "figure",
            element("img", src=png_uri(picture), alt=f"{title}, {patch}", width=240, height=240),
            element("figcaption", title),
        )
        for title, picture in pictures.items()
    )
    return element("div", *figures, class_=f"pictures of-{len(pictures)}")
