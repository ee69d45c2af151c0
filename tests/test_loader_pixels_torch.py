"""Batches: every pixel where it belongs, scaled and varied as in a notebook."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from loading import NAMES, expected_image, loader_of, release_of

from bigearth_xr.ops.augmentation import draw_parameters
from bigearth_xr.torch import Augmentation, PatchBatch, PatchLoader


def test_every_pixel_of_every_band_is_where_it_belongs(ds: xr.Dataset) -> None:
    seen = []
    for batch in PatchLoader(ds, batch_size=7, device="cpu", threads=2):
        patches = ds.patch.values[batch.place.numpy()].tolist()
        np.testing.assert_array_equal(batch.image, expected_image(patches, NAMES, release_of(ds)))
        np.testing.assert_array_equal(batch.labels, ds.labels.values[batch.place])
        np.testing.assert_array_equal(batch.row, ds.row.values[batch.place])
        seen += batch.row.tolist()
    assert sorted(seen) == ds.row.values.tolist()


def test_bands_come_in_the_order_asked_for(ds: xr.Dataset) -> None:
    bands = ("VH", "B09", "B02", "B12", "VV")
    loader = loader_of(ds.isel(patch=[8, 3]), bands=iter(bands), method=None, shuffle=False)
    (batch,) = loader
    assert loader.bands == bands
    np.testing.assert_array_equal(batch.image, expected_image(ds.patch.values[[8, 3]].tolist(), bands, None))


@pytest.mark.parametrize("resampling", ["nearest", "bilinear", "bicubic"])
def test_batches_are_what_the_accessor_gives(ds: xr.Dataset, resampling: Any) -> None:
    stats = dict.fromkeys(NAMES, (100.0, 7.5))
    images = ds.ben.image(["B05", "B01", "VH"], resampling=resampling).ben.normalize(stats=stats)
    loader = loader_of(ds, bands=["B05", "B01", "VH"], resampling=resampling, stats=stats, shuffle=False)
    image = torch.cat([batch.image for batch in loader])
    np.testing.assert_allclose(image, images.values, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("method", ["minmax", "reflectance"])
def test_methods_are_those_of_the_accessor(ds: xr.Dataset, method: Any) -> None:
    images = ds.ben.image(["B05", "B04"]).ben.normalize(method)
    loader = loader_of(ds, bands=["B05", "B04"], method=method, shuffle=False)
    np.testing.assert_allclose(torch.cat([batch.image for batch in loader]), images.values, rtol=1e-6)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 1e-3), ("bfloat16", 8e-3)])
def test_half_precision(ds: xr.Dataset, dtype: Any, tolerance: float) -> None:
    whole, half = (next(iter(loader_of(ds, shuffle=False, dtype=kind))) for kind in ("float32", dtype))
    assert half.image.dtype == getattr(torch, dtype)
    np.testing.assert_allclose(half.image.float(), whole.image, rtol=tolerance, atol=tolerance)


def test_augmentation_is_that_of_the_accessor(ds: xr.Dataset) -> None:
    augment = Augmentation(gain=(0.9, 1.1), bias=(-0.1, 0.1), drop=0.3, noise_std=0.1)
    bands = ["B04", "B8A", "VV"]
    loader = loader_of(ds, bands=bands, augment=augment, seed=7)
    loader.set_epoch(3)
    for batch in loader:
        images = ds.isel(patch=batch.place.numpy()).ben.image(bands).ben.normalize()
        drawn = draw_parameters(batch.row.numpy(), augment, bands=bands, seed=7, epoch=3)
        np.testing.assert_allclose(batch.image, images.ben.augment(parameters=drawn).values, rtol=1e-4, atol=1e-4)


def test_two_views_are_two_variations_of_one_patch(ds: xr.Dataset) -> None:
    once = next(iter(loader_of(ds, augment=Augmentation(), seed=1)))
    batch = next(iter(loader_of(ds, augment=Augmentation(), seed=1, views=2)))
    assert once.image2 is None
    assert batch.image2 is not None
    assert torch.equal(once.image, batch.image)
    assert not torch.equal(batch.image, batch.image2)
    torch.testing.assert_close(batch.image.sum((2, 3)), batch.image2.sum((2, 3)), rtol=1e-3, atol=1)


@pytest.mark.parametrize("store", ["fast"], indirect=True)
def test_computed_pixels_are_read_through_xarray_with_a_warning(ds: xr.Dataset) -> None:
    changed = ds.assign(s1=ds.s1 + 1)
    with pytest.warns(UserWarning, match="s1 of this Dataset is not as a store holds it.*read through xarray"):
        loader = loader_of(changed, method=None)
    for batch in loader:
        patches = ds.patch.values[batch.place.numpy()].tolist()
        expected = expected_image(patches, ("B04", "B8A", "B09", "VV"), None)
        expected[:, 3] += 1
        np.testing.assert_allclose(batch.image, expected)
        np.testing.assert_array_equal(batch.row, ds.row.values[batch.place])


def test_batches_go_to_a_model(ds: xr.Dataset) -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(4, 8, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for batch in loader_of(ds):
            assert isinstance(batch, PatchBatch)
            loss = model(batch.image).mean() + batch.labels.mean()
            loss.backward()
