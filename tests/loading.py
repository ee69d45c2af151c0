"""Loaders that tests make, and what is expected of their batches."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bigearth_xr.bands import BANDS
from bigearth_xr.releases import Release
from bigearth_xr.stats import band_statistics
from bigearth_xr.testing import formula_pixels
from bigearth_xr.torch import PatchLoader

NAMES = tuple(each.name for each in BANDS)


def expected_image(patches: list[str], bands: tuple[str, ...], release: Release | None) -> NDArray[np.float32]:
    """Pixels by their formula, repeated to 10 m, and standardised if a release says with what."""
    images = [[upscaled(formula_pixels(patch, name)) for name in bands] for patch in patches]
    image = np.array(images, np.float32)
    if release is not None:
        mean, std = band_statistics(release, "none").as_arrays(bands)
        image = (image - mean[:, None, None]) * (np.float32(1) / std)[:, None, None]
    return image


def upscaled(pixels: NDArray[Any]) -> NDArray[Any]:
    factor = 120 // pixels.shape[-1]
    return pixels.repeat(factor, axis=-2).repeat(factor, axis=-1)


def release_of(ds: xr.Dataset) -> Release:
    return "v2" if "_N" in str(ds.patch.values[0]) or '"v2"' in ds.attrs["bigearth"] else "v1"


def rows_of(loader: PatchLoader) -> list[list[int]]:
    return [batch.row.tolist() for batch in loader]


def loader_of(ds: xr.Dataset, **options: Any) -> PatchLoader:
    usual: Any = {"batch_size": 5, "device": "cpu", "bands": ["B04", "B8A", "B09", "VV"]}
    return PatchLoader(ds, **(usual | options))
