"""A small picture of every patch, drawn from the store's red, green and blue."""

from pathlib import Path

import numpy as np

import bigearth_xr as bex
from bigearth_xr.errors import BandError
from bigearth_xr.report.thumbnail import RGB_BANDS, SAR_BANDS, color_optical, color_radar

__all__ = ["write_thumbnails"]

_BATCH_PATCHES = 128


def write_thumbnails(store: Path, folder: Path) -> int:
    """Draw every stored patch: true colour, or radar where the store has no optical bands.

    Parameters
    ----------
    store
        The store.
    folder
        The catalogue's folder; pictures go to ``thumbnails/TILE/PATCH.png`` below it, 120 × 120 pixels.

    Returns
    -------
    int
        How many were drawn.

    Raises
    ------
    BandError
        If the store has neither all of B04, B03, B02 nor both polarizations.

    Examples
    --------
    >>> store = bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=2)
    >>> write_thumbnails(store, getfixture("tmp_path"))
    2
    >>> len(list(getfixture("tmp_path").glob("thumbnails/*/*.png")))
    2
    """
    import imagecodecs

    ds = bex.open(store)
    held = {str(name) for dim in ("band", "polarization") if dim in ds.coords for name in ds[dim].values}
    bands = next((bands for bands in (RGB_BANDS, SAR_BANDS) if held.issuperset(bands)), None)
    if bands is None:
        raise BandError(
            f"{store}: thumbnails need {', '.join(RGB_BANDS)} or {', '.join(SAR_BANDS)}, the store has "
            f"{', '.join(sorted(held))}; build the catalogue without them"
        )
    image, tiles = ds.ben.image(bands), ds["tile"].values
    for start in range(0, ds.sizes["patch"], _BATCH_PATCHES):
        part = image.isel(patch=slice(start, start + _BATCH_PATCHES)).load()
        for patch, tile, pixels in zip(part["patch"].values, tiles[start:], part.values, strict=False):
            picture = color_optical(pixels) if bands == RGB_BANDS else color_radar(*pixels)
            path = folder / "thumbnails" / tile / f"{patch}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(picture), level=9))
    return int(ds.sizes["patch"])
