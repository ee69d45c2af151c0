"""Resampling of an opened Dataset against ``torch.nn.functional.interpolate``, which it is defined by."""

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from numpy.typing import NDArray
from torch.nn.functional import interpolate

import bigearth_xr as bex
from bigearth_xr.bands import S2_BANDS, band
from bigearth_xr.ops.resample import Resampling
from bigearth_xr.testing import formula_pixels

# The profile matters to what reads, and there both are tested.
pytestmark = pytest.mark.parametrize("store", ["fast"], indirect=True)

METHODS: list[Resampling] = ["nearest", "bilinear", "bicubic"]


def interpolated(patches: list[str], name: str, method: Resampling) -> NDArray[np.float32]:
    """What torch makes of the archive's pixels, shape (patch, y, x)."""
    native = torch.from_numpy(np.stack([formula_pixels(patch, name) for patch in patches])[None].astype(np.float32))
    options = {} if method == "nearest" else {"align_corners": False}
    result: NDArray[np.float32] = interpolate(native, size=(120, 120), mode=method, **options)[0].numpy()
    return result


@pytest.mark.parametrize("method", METHODS)
def test_every_band_is_resampled_as_torch_does(store: Path, method: Resampling) -> None:
    ds = bex.open(store, resampling=method).isel(patch=[3, 0, 21])
    for name in (b.name for b in S2_BANDS):
        expected = interpolated(ds.patch.values.tolist(), name, method)
        # Weights are float32 on both sides: what differs is the order of the additions.
        exact = method == "nearest" or band(name).res_m == 10
        tolerance = 0 if exact else 2e-6
        np.testing.assert_allclose(ds.s2.sel(band=name), expected, rtol=tolerance, atol=tolerance * 1e4)


@pytest.mark.parametrize("method", METHODS)
def test_an_image_is_resampled_as_asked_whatever_the_dataset_is(store: Path, method: Resampling) -> None:
    for opened in METHODS:
        image = bex.open(store, resampling=opened).isel(patch=[5]).ben.image(["B8A", "VV"], resampling=method)
        expected = interpolated(image.patch.values.tolist(), "B8A", method)
        np.testing.assert_allclose(image.sel(band="B8A"), expected, rtol=2e-6, atol=2e-2)
        np.testing.assert_array_equal(image.sel(band="VV"), [formula_pixels(str(image.patch.values[0]), "VV")])


def test_bicubic_is_not_clipped(store: Path) -> None:
    values = bex.open(store, resampling="bicubic").s2.sel(band=["B01", "B05"]).values
    assert values.min() < 0  # at the jump from 9973 to 1
    assert values.max() > 9973


@pytest.mark.parametrize("method", METHODS)
def test_cropping_resampled_pixels_changes_none(store: Path, method: Resampling) -> None:
    ds = xr.open_dataset(store, engine="bigearth", resampling=method)
    cropped = ds.s2.isel(patch=[2], band=[0, 4], y=slice(7, 60, 5), x=slice(None, None, -11))
    for place, name in enumerate(["B01", "B05"]):
        expected = interpolated(cropped.patch.values.tolist(), name, method)[:, 7:60:5, ::-11]
        np.testing.assert_allclose(cropped[:, place], expected, rtol=2e-6, atol=2e-2)
