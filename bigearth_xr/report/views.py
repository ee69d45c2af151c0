"""Patches as they are stored and as a model is given them, side by side."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bigearth_xr.report.markup import Markup, element, join
from bigearth_xr.report.thumbnail import (
    RGB_BANDS,
    RGB_STRETCH,
    SAR_BANDS,
    SAR_STRETCH,
    STANDARD_STRETCH,
    Picture,
    color_optical,
    color_radar,
    color_standardised,
    png_uri,
)

__all__ = ["draw_picture", "draw_views", "read_picture", "stored_stretch"]


def draw_views(images: xr.DataArray, normalised: xr.DataArray, augmented: xr.DataArray, augmentation: str) -> Markup:
    """Draw a card per patch with three pictures of it, and say what each of them shows.

    Parameters
    ----------
    images
        Pixels as stored of these patches, among others; shape ``(patch, band, y, x)``, digital numbers or dB.
    normalised, augmented
        The patches and bands to draw, shape ``(patch, band, y, x)``, float32, standard deviations.
    augmentation
        What was done to the augmented ones, in words.

    Returns
    -------
    Markup
        Notes, then the cards.

    Examples
    --------
    >>> on = {"patch": ["a"], "band": ["B08"]}
    >>> pixels = xr.DataArray(np.zeros((1, 1, 4, 4), np.float32), coords=on, dims=("patch", "band", "y", "x"))
    >>> draw_views(pixels, pixels, pixels, "nothing").count("<img")
    3
    """
    channels = _channels(normalised)
    names = f"{'red, green, blue' if len(channels) == 3 else 'grey'} = {', '.join(channels)}"
    notes = {
        "As stored": stored_stretch(images),
        "Normalised": f"{names}; {STANDARD_STRETCH}, for every patch and band alike",
        "Augmented": f"{augmentation}; drawn as the normalised ones",
    }
    cards = []
    for patch in normalised["patch"].values.tolist():
        given = (array.sel(patch=patch, band=channels).transpose("band", "y", "x") for array in (normalised, augmented))
        pictures = (read_picture(images, patch), *(color_standardised(pixels.values) for pixels in given))
        figures = (draw_picture(picture, patch, title) for picture, title in zip(pictures, notes, strict=True))
        cards.append(
            element(
                "article",
                element("div", *figures, class_="pictures"),
                element("p", patch, class_="id"),
                class_="card view",
            )
        )
    told = (element("div", element("dt", title), element("dd", note)) for title, note in notes.items())
    return join([element("dl", *told, class_="notes"), element("div", *cards, class_="gallery")])


def read_picture(images: xr.DataArray, patch: str) -> Picture:
    """Colour one patch by what its bands allow: as the eye sees it, as radar does, or its first band.

    Examples
    --------
    >>> pixels = xr.DataArray(np.zeros((1, 2, 4, 4)), dims=("patch", "band", "y", "x"))
    >>> read_picture(pixels.assign_coords(patch=["a"], band=["VV", "VH"]), "a").shape
    (4, 4, 3)
    """
    pixels = images.sel(patch=patch).transpose("band", "y", "x").values
    bands: Mapping[str, NDArray[np.generic]] = dict(zip(images["band"].values.tolist(), pixels, strict=True))
    if bands.keys() >= set(RGB_BANDS):
        return color_optical(bands[name] for name in RGB_BANDS)
    if bands.keys() >= set(SAR_BANDS):
        return color_radar(bands["VV"], bands["VH"])
    first = np.asarray(pixels[0], np.float32)
    return color_standardised([(first - first.mean()) / (first.std() or 1)])


def stored_stretch(images: xr.DataArray) -> str:
    """Say how `read_picture` stretches these bands, for a reader.

    Examples
    --------
    >>> stored_stretch(xr.DataArray(np.zeros(1), coords={"band": ["B08"]}))
    'grey = B08; per patch, from −2 to 2 standard deviations, black to white'
    """
    names = images["band"].values.tolist()
    if set(names) >= set(RGB_BANDS):
        return RGB_STRETCH
    return SAR_STRETCH if set(names) >= set(SAR_BANDS) else f"grey = {names[0]}; per patch, {STANDARD_STRETCH}"


def draw_picture(picture: Picture, patch: str, title: str = "") -> Markup:
    """Embed a picture of a patch, with a title on it.

    Examples
    --------
    >>> draw_picture(np.zeros((2, 2, 3), np.uint8), "a")[:46]
    '<figure><img src="data:image/png;base64,iVBORw'
    """
    alt = ", ".join(filter(None, [title, patch]))
    image = element("img", src=png_uri(picture), alt=alt, title=patch, width=240, height=240)
    return element("figure", image, element("figcaption", title) if title else "")


def _channels(normalised: xr.DataArray) -> list[str]:
    """Name the bands to draw: those that the eye knows, else the first three, else the first."""
    names: list[str] = normalised["band"].values.tolist()
    if set(names) >= set(RGB_BANDS):
        return list(RGB_BANDS)
    return names[:3] if len(names) >= 3 else names[:1]
