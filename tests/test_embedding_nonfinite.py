"""Embeddings of pixels that are not finite: kept, counted or replaced as by loaders, and the vectors say it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from echoless import PAIRS, write_echoless

import bigearth_xr as bex
from bigearth_xr.errors import EmbeddingError, LoaderError
from bigearth_xr.stats import band_statistics
from bigearth_xr.store.embeddings import create_embedding
from bigearth_xr.store.open import open_store

BANDS = ["B04", "VV"]
SOUND = [0, 3, 5]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of six pairs of which three have radar pixels without echo."""
    return write_echoless(tmp_path, "fast")


def radar_of(store: Path) -> Any:
    group: Any = zarr.open_group(store, mode="r")
    return np.asarray(group["s1"][:, 0], np.float64)


def said(vectors: Any) -> Any:
    return json.loads(vectors.attrs["bigearth"])["nonfinite"]


def test_zero_is_the_mean_of_a_standardised_band(store: Path) -> None:
    vectors = bex.embed(bex.open(store), "spectral", name="zero", bands=BANDS, nonfinite="zero")
    assert vectors.shape == (PAIRS, 10)
    assert said(vectors) == "zero"
    radar = radar_of(store)
    mean, std = band_statistics("v2", "none").as_arrays(["VV"])
    scaled = np.where(np.isfinite(radar), (radar - mean[0]) / std[0], 0)
    np.testing.assert_allclose(vectors[:, 5], scaled.mean((1, 2)), rtol=1e-5, atol=1e-5)
    assert vectors.attrs["nonfinite_pixels"] == (~np.isfinite(radar)).sum() == 841


def test_zero_is_0_where_nothing_is_normalised(store: Path) -> None:
    vectors = bex.embed(bex.open(store), "spectral", name="raw", bands=["VV"], normalize=None, nonfinite="zero")
    radar = radar_of(store)
    np.testing.assert_allclose(vectors[:, 0], np.where(np.isfinite(radar), radar, 0).mean((1, 2)), rtol=1e-5)


@pytest.mark.parametrize("policy", ["keep", "count"])
def test_what_is_kept_is_refused_with_the_remedy(store: Path, policy: Any) -> None:
    remedy = "first of them S2.*; 1 of its pixels are NaN or ±inf: nonfinite='zero' puts 0 in their place"
    with pytest.raises(EmbeddingError, match=remedy):
        bex.embed(bex.open(store), "spectral", name="odd", bands=BANDS, nonfinite=policy)


def test_bands_without_such_pixels_give_the_same_vectors(store: Path) -> None:
    ds = bex.open(store)
    kept, counted, zeroed = (
        bex.embed(ds.isel(patch=SOUND), "spectral", name=policy, bands=BANDS, nonfinite=policy)
        for policy in ("keep", "count", "zero")
    )
    np.testing.assert_array_equal(kept, counted)
    np.testing.assert_array_equal(kept, zeroed)
    assert [said(vectors) for vectors in (kept, counted, zeroed)] == ["keep", "count", "zero"]
    assert "nonfinite_pixels" not in kept.attrs
    assert counted.attrs["nonfinite_pixels"] == zeroed.attrs["nonfinite_pixels"] == 0


def test_vectors_that_would_be_others_are_not_mixed(store: Path) -> None:
    ds = bex.open(store)
    bex.embed(ds.isel(patch=[0]), "spectral", name="mine", bands=BANDS)
    bex.embed(ds.isel(patch=[3]), "spectral", name="mine", bands=BANDS, nonfinite="count")  # the same vectors
    with pytest.raises(EmbeddingError, match="made with another nonfinite; choose another name"):
        bex.embed(ds, "spectral", name="mine", bands=BANDS, nonfinite="zero")
    bex.embed(ds, "spectral", name="mine", bands=BANDS, nonfinite="zero", overwrite=True)


def test_embeddings_from_before_kept_everything(store: Path) -> None:
    ds = bex.open(store)
    made = json.loads(bex.embed(ds.isel(patch=[0]), "spectral", name="now", bands=BANDS).attrs["bigearth"])
    del made["nonfinite"]
    create_embedding(open_store(store), "before", features=10, provenance=made)
    assert np.isfinite(bex.embed(ds.isel(patch=SOUND), "spectral", name="before", bands=BANDS)).all()
    with pytest.raises(EmbeddingError, match="made with another nonfinite"):
        bex.embed(ds, "spectral", name="before", bands=BANDS, nonfinite="zero")


def test_choices_are_those_of_loaders(store: Path) -> None:
    ds = bex.open(store)
    with pytest.raises(LoaderError, match=r"unknown nonfinite 'zeros'; expected one of keep, count, zero; .*'zero'"):
        bex.embed(ds, "spectral", name="x", nonfinite="zeros")  # type: ignore[arg-type]  # the mistake
    with pytest.raises(EmbeddingError, match=r"unknown model 'spectrl'; .*spectral, a torch.nn.Module; .*'spectral'"):
        bex.embed(ds, "spectrl", name="x")  # type: ignore[arg-type]  # the mistake
    with pytest.raises(EmbeddingError, match=r"the model is a function, expected a torch.nn.Module or 'spectral'"):
        bex.embed(ds, lambda images: images, name="x")  # type: ignore[arg-type]  # the mistake
