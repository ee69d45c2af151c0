"""What a store opens as: pixels, labels and coordinates, whichever way it is opened."""

import json
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import xarray as xr
from openings import CHUNKED_OPENERS, KNOWING, OPENERS, Opener, of_patches

from bigearth_xr.backend import BigEarthBackend
from bigearth_xr.bands import S1_BANDS, S2_BANDS, band
from bigearth_xr.releases import Release
from bigearth_xr.testing import count_reads, formula_reference_map

PATCH_COORDINATES = {
    "patch": "object",
    "row": "int64",
    "s1_name": "object",
    "tile": "object",
    "column": "int16",
    "tile_row": "int16",
    "epsg": "int32",
    "ulx": "int32",
    "uly": "int32",
    "lon": "float64",
    "lat": "float64",
    "s2_time": "datetime64[s]",
    "s1_time": "datetime64[s]",
    "country": "object",
    "season": "object",
    "split": "object",
    "seasonal_snow": "bool",
    "cloud_or_shadow": "bool",
    "recommended": "bool",
    "listed": "bool",
    "has_labels": "bool",
}


# ---- opening -------------------------------------------------------------------------------------------------------


def test_xarray_finds_the_engine_by_its_entry_point() -> None:
    assert type(xr.backends.list_engines()["bigearth"]) is BigEarthBackend


def test_engine_claims_our_stores_and_nothing_else(store: Path, tmp_path: Path) -> None:
    guess = BigEarthBackend().guess_can_open
    assert guess(store)
    assert guess(str(store))
    assert not any(guess(other) for other in (tmp_path, tmp_path / "none", "s3://bucket/ben.zarr", 7))


def test_every_opening_shows_the_pixels_of_the_archive(any_opener: Opener, store: Path) -> None:
    ds = any_opener(store)
    assert ds.s2.dims == ("patch", "band", "y", "x")
    assert ds.s1.dims == ("patch", "polarization", "y", "x")
    assert (ds.s2.dtype, ds.s1.dtype) == ("uint16", "float32")
    # The first, the last and one between them; the whole store is compared in test_store.
    some = ds.isel(patch=[0, 11, -1])
    np.testing.assert_array_equal(some.s2, of_patches(some.patch, [b.name for b in S2_BANDS]))
    np.testing.assert_array_equal(some.s1, of_patches(some.patch, ["VV", "VH"]))


def test_every_opening_shows_the_labels_of_the_table(any_opener: Opener, store: Path, table: pa.Table) -> None:
    ds = any_opener(store)
    expected = [[name in labels for name in ds.label.values] for labels in table["labels_19"].to_pylist()]
    assert ds.labels.dims == ("patch", "label")
    assert ds.labels.dtype == bool
    np.testing.assert_array_equal(ds.labels, expected)


def test_reference_maps_are_those_of_the_archive(
    any_opener: Opener, store: Path, table: pa.Table, release: Release
) -> None:
    ds = any_opener(store)
    assert ("reference_map" in ds) == (release == "v2")
    if release == "v2":
        expected = [formula_reference_map(sorted(labels)) for labels in table["labels_19"].to_pylist()]
        assert ds.reference_map.dims == ("patch", "y", "x")
        np.testing.assert_array_equal(ds.reference_map, expected)
        assert ds.has_reference_map.values.all()


def test_other_chunks_than_those_preferred_are_warned_of_by_xarray(store: Path) -> None:
    with pytest.warns(UserWarning, match="The specified chunks separate the stored chunks"):
        xr.open_dataset(store, engine="bigearth", chunks={"patch": 7})


def test_chunks_are_those_asked_for(store: Path) -> None:
    chunks = {name: opener(store).s2.chunksizes.get("patch") for name, opener in CHUNKED_OPENERS.items()}
    assert chunks == {"no chunks": None, "chunks={}": (24,), "7 patches": (7, 7, 7, 3), "bex.open": (24,)}


@pytest.mark.parametrize("opening", ["chunks={}", "bex.open"])
def test_a_chunk_is_128_patches_by_default(many: Path, opening: str) -> None:
    ds = OPENERS[opening](many)
    assert ds.s2.chunks == ((128, 128, 44), (3,), (120,), (120,))
    assert ds.s1.chunks == ((128, 128, 44), (1,), (120,), (120,))


def test_opening_and_showing_a_dataset_reads_no_pixel(any_opener: Opener, store: Path) -> None:
    with count_reads() as reads:
        ds = any_opener(store)
        repr(ds), ds._repr_html_(), repr(ds.ben), ds.ben._repr_html_()
        ds.isel(patch=[2, 0], band=[3]).sortby("lat").sel(band="B04")
        xr.open_datatree(store, engine="bigearth")
    assert reads == {}


# ---- coordinates ---------------------------------------------------------------------------------------------------


def test_coordinates_of_patches_have_the_types_of_the_design(any_opener: Opener, store: Path, release: Release) -> None:
    maps = {"has_reference_map": "bool"} if release == "v2" else {}
    found = {str(name): str(c.dtype) for name, c in any_opener(store).coords.items() if c.dims == ("patch",)}
    assert found == PATCH_COORDINATES | maps


def test_coordinates_of_patches_hold_what_the_table_says(any_opener: Opener, store: Path, table: pa.Table) -> None:
    ds = any_opener(store)
    told = [name for name in PATCH_COORDINATES if name in table.column_names]
    unknown = {"object": "", "bool": False}
    for name in told:
        expected = table[name].to_pylist()
        fill = unknown.get(PATCH_COORDINATES[name])
        values = [fill if value is None else value for value in expected]
        assert ds[name].values.tolist() == values, name
    assert ds.row.values.tolist() == list(range(24))
    assert ds.listed.values.tolist() == table["recommended"].is_valid().to_pylist()
    assert ds.has_labels.values.tolist() == table["labels_19"].is_valid().to_pylist()


def test_patch_is_indexed_by_objects(any_opener: Opener, store: Path) -> None:
    # NumPy's own strings would cost 115 ms at every `sel` among 590,326.
    assert any_opener(store).indexes["patch"].dtype == object


def test_bands_carry_name_wavelength_and_native_resolution(ds: xr.Dataset) -> None:
    assert ds.band.values.tolist() == [b.name for b in S2_BANDS]
    assert ds.polarization.values.tolist() == ["VV", "VH"]
    assert ds.wavelength_nm.values.tolist() == [band(name).wavelength_nm for name in ds.band.values]
    assert ds.native_res_m.values.tolist() == [60, 10, 10, 10, 20, 20, 20, 10, 20, 60, 20, 20]
    assert (ds.wavelength_nm.dims, ds.native_res_m.dims) == (("band",), ("band",))


def test_y_and_x_are_metres_from_the_upper_left_corner_to_pixel_centres(ds: xr.Dataset) -> None:
    np.testing.assert_array_equal(ds.y, -np.arange(5, 1200, 10))
    np.testing.assert_array_equal(ds.x, np.arange(5, 1200, 10))
    assert ds.y.attrs["units"] == ds.x.attrs["units"] == "m"


def test_every_variable_carries_a_unit_that_outlives_arithmetic(ds: xr.Dataset) -> None:
    assert {name: ds[name].attrs["units"] for name in ("s2", "lon", "lat", "ulx", "uly", "wavelength_nm")} == {
        "s2": "1",
        "lon": "degrees_east",
        "lat": "degrees_north",
        "ulx": "m",
        "uly": "m",
        "wavelength_nm": "nm",
    }
    assert "units" not in ds.s1.attrs
    assert ds.s1.attrs["source"] == "Sentinel-1 GRD backscatter, stored in dB"


def test_coordinates_follow_a_selection(any_opener: Opener, store: Path) -> None:
    ds, order = any_opener(store), [5, 0, 17]
    whole = any_opener(store)
    some = ds.isel(patch=order)
    for name in PATCH_COORDINATES:
        assert some[name].values.tolist() == whole[name].values[order].tolist(), name


def test_identity_is_one_json_text(any_opener: Opener, store: Path, release: Release) -> None:
    uuid = json.loads((store / "zarr.json").read_text())["attributes"]["bigearth"]["uuid"]
    assert json.loads(any_opener(store, resampling="bilinear").attrs["bigearth"]) == {
        "store": str(store.resolve()),
        "uuid": uuid,
        "format": 2,
        "release": release,
        "resampling": "bilinear",
        "nomenclature": 19,
    }


# ---- going elsewhere -----------------------------------------------------------------------------------------------


def test_attributes_are_such_as_netcdf_takes(any_opener: Opener, store: Path) -> None:
    ds = any_opener(store)
    attributes = [ds.attrs, *(variable.attrs for variable in ds.variables.values())]
    assert {type(value) for attrs in attributes for value in attrs.values()} == {str}


@pytest.mark.sampled(2)
def test_variables_are_such_as_netcdf_takes(any_opener: Opener, store: Path) -> None:
    ds = any_opener(store).isel(patch=[2, 0])
    encoded, attributes = xr.conventions.cf_encoder(ds.variables, ds.attrs)
    back = xr.decode_cf(xr.Dataset(encoded, attrs=attributes).set_coords(ds.coords))
    xr.testing.assert_identical(back.load(), ds.load())


@pytest.mark.sampled(2)
@pytest.mark.parametrize("opening", KNOWING)
def test_a_copy_in_plain_zarr_holds_the_same(opening: str, store: Path, tmp_path: Path) -> None:
    ds = OPENERS[opening](store).isel(patch=[2, 0], band=[1, 4], y=slice(8), x=slice(8))
    ds.to_zarr(tmp_path / "copy.zarr", zarr_format=2)
    back = xr.open_zarr(tmp_path / "copy.zarr", chunks=None)
    xr.testing.assert_identical(back.load(), ds.load())


def test_datasets_are_pickled_without_their_pixels(any_opener: Opener, store: Path) -> None:
    ds = any_opener(store)
    with count_reads() as reads:
        data = pickle.dumps(ds)
        back = pickle.loads(data)
    assert reads == {}
    assert len(data) < 300_000
    some = back.isel(patch=[4, 1])
    np.testing.assert_array_equal(some.s1, of_patches(ds.patch[[4, 1]], [b.name for b in S1_BANDS]))
