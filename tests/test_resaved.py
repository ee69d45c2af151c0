"""A subset that xarray saved and opened again answers as the store itself, whatever texts, truth and times became."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from openings import ORDER, of_patches
from resavings import SAVINGS, SPELLINGS, TEXTS, TRUTHS

import bigearth_xr as bex
from bigearth_xr.bands import BANDS
from bigearth_xr.stats import band_statistics

BANDS_ASKED = ["B04", "VV", "B8A", "B01"]
ROWS = list(dict.fromkeys(ORDER))


@pytest.fixture(scope="module")
def subset(twelve: Path) -> xr.Dataset:
    """Some patches of a store, in no order."""
    return bex.open(twelve).isel(patch=ROWS)


@pytest.fixture(params=[*SAVINGS, *SPELLINGS])
def again(request: pytest.FixtureRequest, subset: xr.Dataset, tmp_path: Path) -> xr.Dataset:
    """They, saved and opened again, or spelled otherwise, in each way."""
    if request.param in SAVINGS:
        return SAVINGS[request.param](subset, tmp_path)
    return SPELLINGS[request.param](subset.load())


@pytest.mark.sampled(2)
def test_it_is_selected_from(subset: xr.Dataset, again: xr.Dataset) -> None:
    ids, splits, snow = (subset[name].values for name in ("patch", "split", "seasonal_snow"))
    recommended, labels = subset["recommended"].values, subset["labels"].values
    label = str(subset.label.values[labels.any(0)][0])
    marked = labels[:, [*subset.label.values].index(label)]
    time = subset.s2_time.values[0]
    west, north = float(subset.lon[0]), float(subset.lat[0])
    for criteria, kept in (
        ({"split": splits[0], "recommended": "any"}, splits == splits[0]),
        ({"recommended": True}, recommended),
        ({"seasonal_snow": False}, ~snow & subset.listed.values),
        ({"any_label": label}, marked),
        ({"tile": subset.tile.values[0]}, subset.tile.values == subset.tile.values[0]),
        ({"country": subset.country.values[0]}, subset.country.values == subset.country.values[0]),
        ({"datetime": time}, subset.s2_time.values == time),
        ({"bbox": (west, north, west, north)}, np.arange(len(ids)) == 0),
    ):
        chosen = again.ben.select(**criteria)
        assert chosen.patch.values.tolist() == ids[kept].tolist(), criteria
        for name in TEXTS:
            assert chosen[name].values.tolist() == subset[name].values[kept].tolist()
        for name in TRUTHS:
            np.testing.assert_array_equal(chosen[name].values, subset[name].values[kept])
            assert chosen[name].dtype == bool


@pytest.mark.sampled(2)
def test_its_pixels_are_those_of_the_store(subset: xr.Dataset, again: xr.Dataset) -> None:
    truth = of_patches(subset.patch, BANDS_ASKED)
    image = again.ben.image(BANDS_ASKED)
    np.testing.assert_array_equal(image, truth)
    assert image.band.values.tolist() == BANDS_ASKED
    stats = band_statistics("v2", "none")
    mean, std = (np.array([of[name] for name in BANDS_ASKED])[:, None, None] for of in (stats.mean, stats.std))
    np.testing.assert_allclose(image.ben.normalize(), (truth - mean) / std, rtol=1e-4, atol=1e-4)
    again = again.ben.select(recommended="any", datetime="2017/2018")
    optical = [band.name for band in BANDS if band.sensor == "s2" and band.name in subset.band.values]
    np.testing.assert_allclose(
        again.s2.ben.normalize("reflectance"), of_patches(subset.patch, optical).astype("float64") / 1e4, rtol=1e-6
    )
    for one in (image, again.s2, again.reference_map):
        own = subset.ben.image(BANDS_ASKED) if one is image else subset[one.name]
        np.testing.assert_array_equal(one.ben.augment(seed=3), own.ben.augment(seed=3))


@pytest.mark.sampled(2)
def test_its_summary_says_what_it_is(subset: xr.Dataset, again: xr.Dataset) -> None:
    found = repr(again.ben)
    lines = [line for line in repr(subset.ben).splitlines() if not line.lstrip().startswith(("store", "pixels"))]
    for line in lines:
        assert line in found
    assert "maybe others: some pixels were loaded, joined or computed with since" in found
    assert "<table>" in again.ben._repr_html_()


@pytest.mark.sampled(2)
def test_what_was_saved_pickles(subset: xr.Dataset, again: xr.Dataset) -> None:
    chosen = again.ben.select(recommended="any", datetime="2017/2018")
    copy = pickle.loads(pickle.dumps(chosen))
    np.testing.assert_array_equal(copy.ben.image(["B8A"]), of_patches(subset.patch, ["B8A"]))
    assert copy.country.values.tolist() == subset.country.values.tolist()
