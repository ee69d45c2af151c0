"""Indices by name: each the formula that it says, of Datasets and of images, and refused where it would mislead."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from openings import OPENERS, Opener

import bigearth_xr as bex
from bigearth_xr.bands import band
from bigearth_xr.errors import BandError, NormalizationError
from bigearth_xr.ops.spectral import INDICES
from bigearth_xr.testing import count_reads

# Written out again, from the publications.
CONTRASTS = {
    "ndvi": ("B08", "B04"),
    "ndre": ("B8A", "B05"),
    "ndwi": ("B03", "B08"),
    "mndwi": ("B03", "B11"),
    "ndmi": ("B8A", "B11"),
    "nbr": ("B8A", "B12"),
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 5 synthetic pairs."""
    return bex.testing.write_store(tmp_path_factory.mktemp("small") / "ben.zarr", pairs=5)


def test_the_table_is_what_was_published() -> None:
    assert {name: index.bands for name, index in INDICES.items()} == CONTRASTS | {"radar_ratio": ("VV", "VH")}


@pytest.mark.parametrize("opener", OPENERS.values(), ids=OPENERS)
@pytest.mark.parametrize("name", CONTRASTS)
def test_contrasts_are_their_formula(opener: Opener, small: Path, name: str) -> None:
    ds = opener(small)
    a, b = (ds.s2.sel(band=each).values.astype(np.float64) for each in CONTRASTS[name])
    for index in (getattr(ds.ben, name)(), ds.ben.index(name), ds.ben.index(name.upper()), ds.s2.ben.index(name)):
        assert (index.dims, index.dtype, index.name) == (("patch", "y", "x"), np.float32, name)
        np.testing.assert_allclose(index, (a - b) / (a + b), atol=1e-6)
        assert index.attrs["units"] == "1"
        assert index.attrs["history"] == "({0} - {1}) / ({0} + {1})".format(*CONTRASTS[name])
        assert "row" in index.coords


def test_the_ratio_of_powers_is_a_difference_of_db(small: Path) -> None:
    ds = bex.open(small)
    expected = ds.s1.sel(polarization="VV") - ds.s1.sel(polarization="VH")
    for ratio in (ds.ben.radar_ratio(), ds.s1.ben.radar_ratio(), ds.ben.image(["VH", "B02", "VV"]).ben.radar_ratio()):
        np.testing.assert_array_equal(ratio, expected)
        assert ratio.attrs["units"] == "dB"


def test_one_patch_has_one_map(small: Path) -> None:
    ds = bex.open(small)
    expected = ds.ben.ndvi().isel(patch=2)
    for ndvi in (ds.isel(patch=2).ben.ndvi(), ds.ben.patch(ds.patch.values[2]).ben.ndvi()):
        assert ndvi.dims == ("y", "x")
        np.testing.assert_array_equal(ndvi, expected)


def test_each_patch_is_read_once(small: Path) -> None:
    with count_reads() as reads:
        ndvi = bex.open(small).isel(patch=[1, 4]).ben.ndvi()
    assert not reads
    with count_reads() as reads:
        ndvi.compute()
    assert reads == {"s2_10m": 2}


def test_empty_pixels_are_unknown_and_reflectances_give_the_same(small: Path) -> None:
    ds = bex.open(small)
    pixels = ds.s2.load().copy()
    pixels[0, :, 3, 4] = 0
    assert np.isnan(pixels.ben.ndvi()[0, 3, 4])
    np.testing.assert_allclose((ds.s2 / 10_000).ben.ndvi(), ds.ben.ndvi(), atol=1e-6)
    np.testing.assert_allclose(ds.s2.ben.normalize("reflectance").ben.ndvi(), ds.ben.ndvi(), atol=1e-6)


def test_what_is_none_or_misleads_is_refused(small: Path) -> None:
    ds = bex.open(small)
    with pytest.raises(BandError, match=r"unknown index 'ndvii'; expected one of ndvi, ndre, .*; did you mean 'ndvi'"):
        ds.ben.index("ndvii")
    with pytest.raises(NormalizationError, match="normalised by 'standardize', and ndvi is of pixels as stored"):
        ds.s2.ben.normalize().ben.ndvi()
    with pytest.raises(BandError, match=r"ndvi is \(B08 - B04\) / .*this array has VV, VH; .*ds.ben.index\('ndvi'\)"):
        ds.s1.ben.ndvi()
    with pytest.raises(BandError, match="B08 not in this Dataset"):
        ds.sel(band=["B04"]).ben.ndvi()
    with pytest.raises(BandError, match="this array has B08"):
        ds.s2.sel(band="B08").ben.ndvi()


def test_real_water_and_forest_are_told_apart(shared: Path, tmp_path: Path) -> None:
    bex.ingest(shared / "data" / "v2" / "reconstructed", tmp_path / "ben.zarr")
    ds = bex.open(tmp_path / "ben.zarr")
    means = xr.Dataset({name: ds.ben.index(name).mean(["y", "x"]) for name in INDICES}).compute()
    forest = ds.labels.sel(label=["Coniferous forest", "Mixed forest"]).any("label").values
    assert all(band(name).sensor in ("s1", "s2") for index in INDICES.values() for name in index.bands)
    assert means.ndvi[forest].mean() > means.ndwi[forest].mean()
    np.testing.assert_array_less(np.abs(means.ndvi), 1)
