"""Subsets that were saved and opened again are loaded and embedded, with the values of the store."""

import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from numpy.typing import NDArray
from openings import of_patches
from resavings import SAVINGS, SPELLINGS

import bigearth_xr as bex
from bigearth_xr.stats import band_statistics
from bigearth_xr.torch import PatchDataset, PatchLoader

BANDS = ["B04", "B8A", "VV"]
WAYS = ["zarr 2", "zarr 3 unconsolidated, no chunks", "netcdf", "netcdf, not decoded", "bytes", "nan for nothing"]


@pytest.fixture(scope="module")
def subset(twelve: Path) -> xr.Dataset:
    return bex.open(twelve).isel(patch=[7, 2, 11, 0]).load()


@pytest.fixture(params=WAYS)
def again(request: pytest.FixtureRequest, subset: xr.Dataset, tmp_path: Path) -> xr.Dataset:
    way = request.param
    return SAVINGS[way](subset, tmp_path) if way in SAVINGS else SPELLINGS[way](subset)


def standardized(ds: xr.Dataset) -> NDArray[np.float64]:
    stats = band_statistics("v2", "none")
    mean, std = (np.array([of[name] for name in BANDS])[:, None, None] for of in (stats.mean, stats.std))
    scaled: NDArray[np.float64] = (of_patches(ds.patch, BANDS) - mean) / std
    return scaled


def test_it_is_loaded(subset: xr.Dataset, again: xr.Dataset) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "s2 and s1 of this Dataset is not as a store holds it", UserWarning)
        loader = PatchLoader(again, batch_size=3, bands=BANDS, shuffle=False, balance=None)
        patches = PatchDataset(again, bands=BANDS)
        shuffled = PatchLoader(again, batch_size=4, bands=BANDS, balance="country", seed=1)
    for each in (loader, pickle.loads(pickle.dumps(loader))):
        batches = list(each)
        np.testing.assert_allclose(torch.cat([b.image for b in batches]), standardized(subset), rtol=1e-4, atol=1e-4)
        assert torch.cat([b.row for b in batches]).tolist() == subset.row.values.tolist()
        np.testing.assert_array_equal(torch.cat([b.labels for b in batches]), subset.labels)
    np.testing.assert_allclose(patches[1].image, standardized(subset)[1], rtol=1e-4, atol=1e-4)
    assert sum(len(batch.row) for batch in shuffled) == 4


def test_patches_whose_labels_are_missing_have_none_that_are_known(subset: xr.Dataset) -> None:
    holes = subset.assign(labels=subset.labels.where(subset.patch != subset.patch[1]))
    with pytest.warns(UserWarning, match="is not as a store holds it.*saved again"):
        (batch,) = PatchLoader(holes, batch_size=4, bands=BANDS, shuffle=False)
    assert torch.isnan(batch.labels[1]).all()
    np.testing.assert_array_equal(batch.labels[[0, 2, 3]], subset.labels[[0, 2, 3]])


def test_it_is_embedded_and_searched(subset: xr.Dataset, again: xr.Dataset) -> None:
    model = torch.nn.AdaptiveAvgPool2d(1)
    with pytest.warns(UserWarning, match="kept nowhere"):
        vectors = bex.embed(again, model, name="mean", bands=BANDS, device="cpu")
    np.testing.assert_allclose(vectors, standardized(subset).mean((2, 3)), rtol=1e-4, atol=1e-4)
    ids = subset.patch.values.tolist()
    nearest = bex.retrieval.Index(vectors).query(vectors, k=1).patches
    assert nearest is not None
    assert nearest[:, 0].tolist() == ids
    labels = again.ben.select(recommended="any", datetime="2017/2018").labels
    scores = bex.retrieval.evaluate(vectors, labels, vectors, labels, k=2)
    own = xr.DataArray(standardized(subset).mean((2, 3)), {"patch": ids}, ("patch", "feature"))
    expected = bex.retrieval.evaluate(own, subset.labels, own, subset.labels, k=2)
    assert (scores.f1, scores.map) == pytest.approx((expected.f1, expected.map))
