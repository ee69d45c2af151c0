"""Images of both sensors: the bands asked for, in the order asked for, from the store or from computed values."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from openings import OPENERS, Opener

import bigearth_xr as bex
from bigearth_xr.backend.origin import own_rows
from bigearth_xr.backend.patch_array import PatchArray
from bigearth_xr.bands import BANDS, band
from bigearth_xr.errors import BandError, SelectionError, StoreError
from bigearth_xr.testing import count_reads

# The profile matters to what reads, and there both are tested.
pytestmark = pytest.mark.parametrize("store", ["fast"], indirect=True)

ORDERS = [
    ["B04", "B03", "B02"],
    ["VV"],
    ["VH", "B8A", "VV", "B01"],
    ["B12", "B02"],
    [b.name for b in reversed(BANDS)],
]


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A store of 24 other pairs."""
    return bex.testing.write_store(tmp_path / "other.zarr", pairs=24, seed=1)


def assert_shows(image: xr.DataArray, ds: xr.Dataset, bands: list[str]) -> None:
    """Compare each band of an image with that of the Dataset, both along the image's patches."""
    assert image.band.values.tolist() == bands
    for name in bands:
        source = ds.s2.sel(band=name) if band(name).sensor == "s2" else ds.s1.sel(polarization=name)
        np.testing.assert_array_equal(image.sel(band=name), source, name)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("bands", ORDERS, ids=" ".join)
def test_bands_come_in_the_order_asked_for(opener: Opener, store: Path, bands: list[str]) -> None:
    ds = opener(store).isel(patch=[11, 3])
    image = ds.ben.image(bands)
    assert image.dims == ("patch", "band", "y", "x")
    assert_shows(image, ds, bands)


def test_the_order_travels(ds: xr.Dataset) -> None:
    image = ds.ben.image(["VV", "B8A", "B02"])
    assert image.native_res_m.values.tolist() == [10, 20, 10]
    assert image.wavelength_nm.values[1:].tolist() == [band("B8A").wavelength_nm, band("B02").wavelength_nm]
    turned = image.isel(band=[2, 0])
    assert turned.band.values.tolist() == ["B02", "VV"]
    assert_shows(turned.isel(patch=[5]), ds.isel(patch=[5]), ["B02", "VV"])


def test_what_is_known_of_patches_travels(opener: Opener, store: Path) -> None:
    ds = opener(store)
    image = ds.ben.image(["B02", "VV"])
    gone = {"polarization", "label"}
    assert set(image.coords) == set(ds.coords) - gone
    for name in set(ds.coords) - gone - {"band", "wavelength_nm", "native_res_m"}:
        xr.testing.assert_identical(image[name].variable, ds[name].variable)


@pytest.mark.parametrize(
    ("bands", "resampling", "dtype"),
    [
        (["B04", "B8A"], None, "uint16"),
        (["B04", "B8A"], "bilinear", "float32"),
        (["VH"], None, "float32"),
        (["B04", "VH"], None, "float32"),
        (["B04", "VH"], "bicubic", "float32"),
    ],
    ids=str,
)
def test_the_type_is_the_narrowest_that_holds_all(
    opener: Opener, store: Path, bands: list[str], resampling: Any, dtype: str
) -> None:
    image = opener(store).ben.image(bands, resampling).isel(patch=[0])
    assert image.dtype == image.values.dtype == dtype


def test_resampling_is_that_of_the_dataset_unless_told_otherwise(opener: Opener, store: Path) -> None:
    nearest, smooth = (opener(store, resampling=how).isel(patch=slice(24)) for how in ("nearest", "bicubic"))
    assert_shows(smooth.ben.image(["VV", "B8A"]), smooth, ["VV", "B8A"])
    assert_shows(nearest.ben.image(["VV", "B8A"], resampling="bicubic"), smooth, ["VV", "B8A"])
    assert_shows(smooth.ben.image(["VV", "B8A"], "nearest"), nearest, ["VV", "B8A"])


def test_resampling_is_that_of_the_pixels_where_datasets_are_mixed(opener: Opener, store: Path) -> None:
    smooth = opener(store, resampling="bicubic")
    mixed = opener(store).assign(s2=smooth.s2)
    assert_shows(mixed.ben.image(["VV", "B8A"]), smooth, ["VV", "B8A"])


@pytest.mark.parametrize("opening", ["no chunks", "bex.open"])
def test_each_patch_is_read_once_an_array(store: Path, opening: str) -> None:
    with count_reads() as reads:
        image = OPENERS[opening](store).isel(patch=[20, 3, 9]).ben.image(["VV", "B04", "VH", "B05", "B02"])
        assert reads == {}
        image.load()
    assert reads == {"s2_10m": 3, "s2_20m": 3, "s1": 3}


def test_an_image_knows_its_store(opener: Opener, store: Path) -> None:
    image = opener(store).ben.image(["VV", "B04"]).isel(patch=[4, 1])
    own = own_rows(image)
    assert own is not None
    assert (own[1].tolist(), own[2]) == ([4, 1], ("VV", "B04"))


def test_an_image_is_dask_backed_where_the_dataset_is(store: Path) -> None:
    images = {name: opener(store).ben.image(["B04"]).variable._data for name, opener in OPENERS.items()}
    is_dask = {name: isinstance(data, PatchArray) for name, data in images.items()}
    assert is_dask == {"no chunks": False, "chunks={}": True, "bex.open": True}


def test_attributes_say_unit_and_resampling(ds: xr.Dataset) -> None:
    identity = json.loads(ds.attrs["bigearth"])
    s2, s1, both = (ds.ben.image(bands).attrs for bands in (["B04", "B05"], ["VV"], ["VV", "B04"]))
    assert (s2.get("units"), s1.get("units"), both.get("units")) == ("1", None, None)
    assert both["source"] == f"{s1['source']}; {s2['source']}"
    assert "integers of which 10 000 are 1" in s2["source"]
    assert "stored in dB" in s1["source"]
    assert json.loads(both["bigearth"]) == identity
    assert json.loads(ds.ben.image(["B05"], "bicubic").attrs["bigearth"]) == identity | {"resampling": "bicubic"}
    assert {type(value) for value in both.values()} == {str}


# ---- computed values -----------------------------------------------------------------------------------------------


@pytest.mark.sampled(4)
@pytest.mark.parametrize("bands", ORDERS, ids=" ".join)
@pytest.mark.parametrize(
    "compute",
    {
        "doubled": lambda ds: ds.isel(patch=[7, 2]) * 2,
        "only s2 computed": lambda ds: ds.isel(patch=[7, 2]).assign(s2=lambda part: part.s2 // 3),
        "cropped": lambda ds: ds.isel(patch=[7, 2], y=slice(8, 20), x=slice(40)),
        "loaded": lambda ds: ds.isel(patch=[7, 2]).load(),
        "two halves": lambda ds: xr.concat([ds.isel(patch=[7]), ds.isel(patch=[2])], "patch"),
    }.values(),
)
def test_computed_values_are_stacked_as_they_are(
    opener: Opener, store: Path, compute: Callable[[xr.Dataset], xr.Dataset], bands: list[str]
) -> None:
    ds = compute(opener(store))
    image = ds.ben.image(bands)
    assert image.dims == ("patch", "band", "y", "x")
    assert_shows(image, ds, bands)
    assert own_rows(image) is None or bands == ["VV"]


@pytest.mark.sampled(2)
@pytest.mark.parametrize("bands", ORDERS, ids=" ".join)
def test_one_patch_alone_makes_an_image(opener: Opener, store: Path, bands: list[str]) -> None:
    ds = opener(store)
    alone = ds.sel(patch=ds.patch.values[9])
    image = alone.ben.image(bands)
    assert image.dims == ("band", "y", "x")
    assert_shows(image, alone, bands)


@pytest.mark.parametrize("opening", ["no chunks", "bex.open"])
def test_one_patch_alone_reads_only_its_bands(store: Path, opening: str) -> None:
    ds = OPENERS[opening](store)
    with count_reads() as reads:
        ds.isel(patch=9).ben.image(["VV", "B05"]).load()
    assert reads == {"s2_20m": 1, "s1": 1}


def test_a_dataset_of_one_band_makes_an_image_of_it(opener: Opener, store: Path) -> None:
    ds = opener(store).isel(patch=[1, 2])
    image = ds.sel(band="B04").ben.image(["B04"])
    assert_shows(image, ds, ["B04"])
    assert image.dims == ("patch", "band", "y", "x")


def test_computed_values_take_only_the_attributes_that_hold_for_all(ds: xr.Dataset) -> None:
    with xr.set_options(keep_attrs=True):
        image = (ds + 1).ben.image(["VV", "B04"])
    assert not {"units", "long_name"} & set(image.attrs)
    assert image.attrs["source"] == f"{ds.s2.attrs['source']}; {ds.s1.attrs['source']}"


# ---- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bands", "message"),
    [
        ([], r"no band asked for; give at least one"),
        (["B8a"], "B8A"),
        (["B04", "B10"], "B10"),
        (["B04", "VV", "B04"], "B04"),
    ],
    ids=str,
)
def test_bands_that_are_none_are_refused(ds: xr.Dataset, bands: list[str], message: str) -> None:
    with pytest.raises(BandError, match=message):
        ds.ben.image(bands)


def test_bands_that_are_not_there_are_refused(ds: xr.Dataset) -> None:
    with pytest.raises(BandError, match=r"VV, VH not in this Dataset, which holds B01, .*; ask for these, or ingest"):
        ds.drop_vars("s1").ben.image(["VV", "B04", "VH"])
    with pytest.raises(BandError, match="B04 not in this Dataset, which holds B02, B03, VV, VH"):
        ds.sel(band=["B02", "B03"]).ben.image(["B04"])


@pytest.mark.parametrize(
    ("bands", "message"),
    [
        ([1, 2], "there is no band 1; known are B01, .*; did you mean 'B01'?"),
        ([["B04"]], r"there is no band \['B04'\]"),
        (4, r"expected several band names, got 4; write e.g. \['B04', 'VV'\]"),
    ],
    ids=str,
)
def test_bands_that_are_no_names_are_refused(ds: xr.Dataset, bands: Any, message: str) -> None:
    with pytest.raises(BandError, match=message):
        ds.ben.image(bands)


def test_bands_may_be_those_of_a_dataset(ds: xr.Dataset) -> None:
    assert ds.ben.image(ds.band).identical(ds.ben.image(ds.band.values))
    assert ds.ben.image(ds.polarization[::-1]).band.values.tolist() == ["VH", "VV"]


@pytest.mark.parametrize("computed", [False, True])
def test_an_unknown_resampling_is_refused_as_by_open(ds: xr.Dataset, store: Path, computed: bool) -> None:
    message = "unknown resampling 'cubic'; expected one of nearest, bilinear, bicubic"
    with pytest.raises(SelectionError, match=message):
        bex.open(store, resampling="cubic")  # type: ignore[arg-type]  # the mistake
    with pytest.raises(SelectionError, match=message):
        (ds + 1 if computed else ds).ben.image(["B04"], resampling="cubic")


def test_computed_values_cannot_be_resampled_again(ds: xr.Dataset) -> None:
    with pytest.raises(BandError, match=r"resampling='bicubic' needs pixels as stored, .* open the store with"):
        (ds + 1).ben.image(["B05"], resampling="bicubic")


@pytest.mark.parametrize("opening", ["no chunks", "bex.open"])
def test_pixels_of_two_stores_are_refused(store: Path, other: Path, opening: str) -> None:
    opener = OPENERS[opening]
    mixed = opener(store).assign(s1=opener(other).s1.variable)
    with pytest.raises(StoreError, match=r"s2 and s1 come from two stores, .*ben.zarr and .*other.zarr; make an image"):
        mixed.ben.image(["B04", "VV"])


def test_a_copy_of_a_store_is_the_same_store(store: Path, tmp_path: Path) -> None:
    shutil.copytree(store, tmp_path / "copy.zarr")
    ds = bex.open(store)
    mixed = ds.assign(s1=bex.open(tmp_path / "copy.zarr").s1)
    assert_shows(mixed.ben.image(["VV", "B04"])[:2], ds.isel(patch=slice(2)), ["VV", "B04"])


@pytest.mark.parametrize("dropped", [[], ["row"]], ids=["with row", "without row"])
@pytest.mark.parametrize("opening", ["no chunks", "bex.open"])
def test_sensors_of_other_rows_are_refused(store: Path, opening: str, dropped: list[str]) -> None:
    ds = OPENERS[opening](store)
    shuffled = ds.assign(s1=ds.s1.variable[::-1]).drop_vars(dropped)
    with pytest.raises(StoreError, match="not of the same rows of the store; select patches on the whole Dataset"):
        shuffled.ben.image(["B04", "VV"])


@pytest.mark.parametrize("opening", ["no chunks", "bex.open"])
def test_pixels_of_other_rows_than_their_patches_are_refused(store: Path, opening: str) -> None:
    ds = OPENERS[opening](store)
    shuffled = ds.assign(s1=ds.s1.variable[::-1])
    with pytest.raises(StoreError, match="not of the same rows of the store"):
        shuffled.ben.image(["VV"])
