"""A store opened as float32: every digital number exactly, in everything that is made of it."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from openings import OPENERS, is_known

import bigearth_xr as bex
from bigearth_xr.errors import SelectionError


@pytest.fixture(params=OPENERS)
def widened(request: pytest.FixtureRequest, twelve: Path) -> xr.Dataset:
    """A store opened as float32 in each of the ways."""
    return OPENERS[request.param](twelve, dtype="float32")


def test_digital_numbers_are_the_same_in_float32(widened: xr.Dataset, loaded: xr.Dataset) -> None:
    assert widened.s2.dtype == "float32"
    np.testing.assert_array_equal(widened.s2.values, loaded.s2.values)
    xr.testing.assert_identical(widened.drop_vars("s2").load(), loaded.drop_vars("s2"))


def test_parts_images_and_copies_stay_float32(widened: xr.Dataset, loaded: xr.Dataset) -> None:
    part = pickle.loads(pickle.dumps(widened)).isel(patch=[7, 2]).s2.sel(band=["B8A", "B04"])
    image = widened.ben.select(recommended="any").ben.image(["B04", "B03"])
    for array in (part, part.isel(band=0, y=slice(None, None, -1)), image, image.isel(band=1)):
        assert array.dtype == array.values.dtype == "float32"
    np.testing.assert_array_equal(image.values, loaded.ben.image(["B04", "B03"]).values)


def test_an_image_resampled_otherwise_is_as_stored(twelve: Path) -> None:
    ds = bex.open(twelve, resampling="bilinear").isel(patch=[3, 1])
    assert ds.ben.image(["B04", "B8A"], resampling="nearest").dtype == "uint16"


def test_rows_are_known_whatever_the_type(twelve: Path) -> None:
    assert is_known(bex.open(twelve, dtype=np.float32).s2.isel(patch=[3, 1], band=[2]))


def test_a_difference_of_bands_does_not_wrap(widened: xr.Dataset, loaded: xr.Dataset) -> None:
    nir, red = (loaded.s2.sel(band=band).values.astype("int64") for band in ("B08", "B04"))
    np.testing.assert_array_equal(widened.s2.sel(band="B08") - widened.s2.sel(band="B04"), nir - red)


@pytest.mark.parametrize("dtype", ["float16", "int16", np.uint16])
def test_other_types_are_refused(twelve: Path, dtype: str) -> None:
    with pytest.raises(SelectionError, match=r"expected float32, .* convert afterwards: ds\.s2\.astype"):
        bex.open(twelve, dtype=dtype)
