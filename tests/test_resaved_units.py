"""Whose values statistics belong to, of pixels that were saved again: by ids, attributes and values, or said."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from openings import of_patches

import bigearth_xr as bex
from bigearth_xr.errors import NormalizationError
from bigearth_xr.stats import band_statistics

BANDS = ["B04", "B05", "B01", "VV"]


@pytest.fixture(scope="module")
def ds(twelve: Path) -> xr.Dataset:
    return bex.open(twelve).isel(patch=[3, 0, 8])


@pytest.fixture(scope="module")
def truth(ds: xr.Dataset) -> np.ndarray[Any, Any]:
    """Standardised by NumPy."""
    stats = band_statistics("v2", "none")
    mean, std = (np.array([of[name] for name in BANDS])[:, None, None] for of in (stats.mean, stats.std))
    scaled: np.ndarray[Any, Any] = (of_patches(ds.patch, BANDS) - mean) / std
    return scaled


def store_of(ds: xr.Dataset) -> str:
    store: str = json.loads(ds.attrs["bigearth"])["store"]
    return store


def reopened(ds: xr.Dataset, path: Path, **options: Any) -> xr.Dataset:
    ds.to_zarr(path, zarr_format=2)
    opened: xr.Dataset = xr.open_zarr(path, **options)
    return opened


def test_pixels_without_attributes_are_known_by_ids_and_values(
    ds: xr.Dataset, truth: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    again = reopened(ds.drop_attrs(), tmp_path / "bare.zarr")
    np.testing.assert_allclose(again.ben.image(BANDS).ben.normalize(), truth, rtol=1e-4, atol=1e-4)
    smooth = bex.open(store_of(ds), resampling="bilinear").isel(patch=[3, 0, 8])
    bare = reopened(smooth.assign(s2=smooth.s2.round().astype("uint16")).drop_attrs(), tmp_path / "smooth.zarr")
    with pytest.raises(NormalizationError, match="pixels of B05 are not repeated 2 × 2, and nothing says how"):
        bare.s2.sel(band=["B05", "B04"]).ben.normalize(units="digital number").compute()
    cropped = again.s2.isel(x=slice(1, 61))
    with pytest.raises(NormalizationError, match="the resampling of these pixels is not known"):
        cropped.ben.normalize()
    numbered = again.assign_coords(patch=np.arange(3))
    with pytest.raises(NormalizationError, match="the release of these pixels is not known"):
        numbered.s2.ben.normalize()


def test_how_pixels_were_resampled_is_said_by_their_attributes(ds: xr.Dataset, tmp_path: Path) -> None:
    again = reopened(bex.open(store_of(ds), resampling="bilinear").isel(patch=[0]), tmp_path / "smooth.zarr")
    with pytest.raises(NormalizationError, match="were brought to 10 m by bilinear"):
        again.ben.image(["B05"]).ben.normalize()


@pytest.mark.parametrize("factor", [1e-4, 1e-3])
def test_packed_reflectances_are_refused_packed_and_unpacked(ds: xr.Dataset, factor: float, tmp_path: Path) -> None:
    packed = ds.assign(s2=(ds.s2 / 10_000).assign_attrs(ds.s2.attrs))
    packing = {"s2": {"dtype": "int16", "scale_factor": factor, "_FillValue": -1}}
    packed.to_zarr(tmp_path / "packed.zarr", zarr_format=2, encoding=packing)
    with pytest.raises(NormalizationError, match="have fractions, which digital numbers have not"):
        xr.open_zarr(tmp_path / "packed.zarr").s2.ben.normalize("reflectance").compute()
    raw = xr.open_zarr(tmp_path / "packed.zarr", mask_and_scale=False)
    for array in (raw.s2, raw.ben.image(["B04", "VV"]), raw.s2.compute()):
        with pytest.raises(NormalizationError, match=rf"packed \(scale_factor={factor}\): .*xr.decode_cf"):
            array.ben.normalize()
    whole = xr.open_zarr(tmp_path / "packed.zarr").s2.ben.normalize("reflectance", units="reflectance")
    optical = of_patches(ds.patch, ds.band.values.tolist()).astype("float64") / 10_000
    np.testing.assert_allclose(whole, optical, atol=factor)


def test_packed_digital_numbers_are_what_they_were(ds: xr.Dataset, truth: np.ndarray[Any, Any], tmp_path: Path) -> None:
    packing = {"s2": {"dtype": "int16", "scale_factor": 0.5, "add_offset": 100.0, "_FillValue": -32768}}
    part = ds.assign(s2=ds.s2.astype("float32"))
    part.to_zarr(tmp_path / "packed.zarr", zarr_format=2, encoding=packing)
    again = xr.open_zarr(tmp_path / "packed.zarr")
    np.testing.assert_allclose(again.ben.image(BANDS).ben.normalize(), truth, rtol=1e-4, atol=1e-4)


def test_normalised_pixels_that_were_saved_are_not_normalised_again(ds: xr.Dataset, tmp_path: Path) -> None:
    scaled = ds.ben.image(BANDS).ben.normalize().to_dataset(name="image")
    again = reopened(scaled, tmp_path / "scaled.zarr")
    with pytest.raises(NormalizationError, match="was normalised before"):
        again.image.ben.normalize()


def test_native_pixels_of_a_tree_are_known_by_their_dimensions(twelve: Path, tmp_path: Path) -> None:
    tree = xr.open_datatree(twelve, engine="bigearth")
    tree.to_zarr(tmp_path / "tree.zarr", zarr_format=2)
    again = xr.open_datatree(tmp_path / "tree.zarr", engine="zarr")
    stats = band_statistics("v2", "none")
    for name in ("s2_10m", "s2_20m", "s2_60m", "s1"):
        own, array = tree.dataset[name], again.dataset[name]
        dim = str(own.dims[1])
        mean, std = (np.array([of[band] for band in own[dim].values])[:, None, None] for of in (stats.mean, stats.std))
        np.testing.assert_allclose(array.ben.normalize(), (own.values - mean) / std, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(array.ben.augment(seed=1), own.ben.augment(seed=1))
