"""Loaders and the notebook path ask the same of values that were computed with, and give the same numbers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from loading import NAMES, expected_image

import bigearth_xr as bex
from bigearth_xr.backend.origin import own_pixels
from bigearth_xr.errors import NormalizationError
from bigearth_xr.torch import PatchDataset, PatchLoader

pytestmark = pytest.mark.filterwarnings("ignore:.*not as a store holds it")

PAIRS = 4
FRACTIONS = "have fractions, which digital numbers have not"
RADAR = "backscatter in dB is mostly below"


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("stores")
    return {name: bex.testing.write_store(folder / f"{name}.zarr", pairs=PAIRS, version=name) for name in ("v1", "v2")}


@pytest.fixture(scope="module")
def ds(stores: dict[str, Path]) -> xr.Dataset:
    return bex.open(stores["v2"])


def batch_of(ds: Any, **options: Any) -> torch.Tensor:
    loader = PatchLoader(ds, batch_size=PAIRS, shuffle=False, device="cpu", threads=0, **options)
    (batch,) = loader
    return batch.image


def joined(*datasets: xr.Dataset) -> xr.Dataset:
    both: xr.Dataset = xr.concat([ds[["s2", "s1", "labels"]].reset_coords(drop=True) for ds in datasets], "patch")
    return both


def test_two_releases_in_one_dataset_are_refused_and_as_a_list_each_has_its_own(stores: dict[str, Path]) -> None:
    v1, v2 = (bex.open(stores[name]) for name in ("v1", "v2"))
    stock = [xr.open_dataset(stores[name], engine="bigearth", chunks={}) for name in ("v1", "v2")]
    for both in (joined(v1, v2), joined(v1, v2).compute(), joined(*stock), joined(v2, v1).isel(patch=[0, 5])):
        for make in (batch_of, PatchDataset):
            with pytest.raises(NormalizationError, match=r"patches of v1 and v2, .*PatchLoader\(\[v1, v2\]\)"):
                make(both)
        assert batch_of(both.isel(patch=[0]), bands=["B04"]).shape == (1, 1, 120, 120)
    parts = list(PatchLoader([v1, v2], batch_size=PAIRS, shuffle=False, device="cpu"))
    for name, part, batch in zip(("v1", "v2"), (v1, v2), parts, strict=True):
        expected = expected_image([str(patch) for patch in part.patch.values], NAMES, name)  # type: ignore[arg-type]
        np.testing.assert_array_equal(batch.image, expected)


def test_the_second_release_alone_keeps_no_attributes_of_the_first(stores: dict[str, Path]) -> None:
    both = joined(bex.open(stores["v1"]), bex.open(stores["v2"])).isel(patch=slice(PAIRS, None))
    with pytest.raises(NormalizationError, match="patches of v2, but the array's attributes say v1"):
        batch_of(both)
    with pytest.raises(NormalizationError, match="patches of v2, but the array's attributes say v1"):
        both.s2.ben.normalize()


def test_values_in_other_units_are_refused_unless_the_caller_says_so(ds: xr.Dataset) -> None:
    patches = [str(patch) for patch in ds.patch.values]
    expected = expected_image(patches, NAMES, "v2")
    changed = ds.assign(s2=ds.s2 / 10_000)
    linear = ds.assign(s1=10 ** (ds.s1 / 10))
    for one, problem in ((changed, FRACTIONS), (linear, RADAR)):
        for held in (one, one.compute()):
            with pytest.raises(NormalizationError, match=problem):
                batch_of(held)
            with pytest.raises(NormalizationError, match=problem):
                PatchDataset(held)[0]
            with pytest.raises(NormalizationError, match=problem):
                batch_of(held, method="minmax")
    for held in (changed, changed.compute()):
        np.testing.assert_allclose(batch_of(held, units="reflectance"), expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(PatchDataset(held, units="reflectance")[1].image, expected[1], rtol=1e-4, atol=1e-4)
        raw = batch_of(held, method="reflectance", bands=["B04"], units="reflectance")
        np.testing.assert_allclose(raw, expected_image(patches, ("B04",), None) / 10_000, rtol=1e-6)
        assert batch_of(held, method=None).shape == expected.shape


def test_loaded_masked_and_joined_patches_have_the_numbers_of_the_notebook(ds: xr.Dataset) -> None:
    expected = expected_image([str(patch) for patch in ds.patch.values], NAMES, "v2")
    halves = (ds.isel(patch=slice(2)), ds.isel(patch=slice(2, None)))
    for held in (ds.compute(), ds.assign(s2=ds.s2.astype(np.float32)), joined(*halves)):
        np.testing.assert_array_equal(batch_of(held), expected)
        np.testing.assert_array_equal(held.ben.image(NAMES).ben.normalize(), expected)


def test_ways_of_resampling_together_are_refused(ds: xr.Dataset, stores: dict[str, Path]) -> None:
    both = joined(ds, bex.open(stores["v2"], resampling="bilinear"))
    for held in (both, both.compute()):
        with pytest.raises(NormalizationError, match=FRACTIONS):
            list(PatchLoader(held, batch_size=8, device="cpu"))
        with pytest.raises(NormalizationError, match="no whole digital numbers: they were interpolated"):
            list(PatchLoader(held, batch_size=8, device="cpu", units="digital number"))
        assert batch_of(held.isel(patch=slice(PAIRS)), bands=["B04", "VV"]).shape == (PAIRS, 2, 120, 120)


def test_units_are_checked_at_the_door(ds: xr.Dataset) -> None:
    for units, problem in (("DN", "units is 'DN', expected"), (("dB", "dB"), "two of one sensor")):
        with pytest.raises(NormalizationError, match=problem):
            batch_of(ds, units=units)
    with pytest.raises(NormalizationError, match="but these pixels are as a store holds them"):
        batch_of(ds, units="reflectance")
    np.testing.assert_array_equal(batch_of(ds, units=("digital number", "dB")), batch_of(ds))


def test_vectors_of_computed_pixels_are_of_what_they_are_said_to_be(ds: xr.Dataset) -> None:
    assert own_pixels(ds.s2) is not None
    reflectances = ds.assign(s2=ds.s2 / 10_000)
    with pytest.warns(UserWarning, match="kept nowhere"), pytest.raises(NormalizationError, match="units="):
        bex.embed(reflectances, "spectral", name="wrong")
    with pytest.warns(UserWarning, match="kept nowhere"):
        found = bex.embed(reflectances, "spectral", name="said", units=("reflectance", "dB"))
    np.testing.assert_allclose(found, bex.embed(ds, "spectral", name="stored"), rtol=1e-4, atol=1e-4)
