"""The engine: what a store opens as, and what opening and indexing it read."""

import json
import pickle
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import xarray as xr
from numpy.typing import NDArray

import bigearth_xr as bex
from bigearth_xr.backend import BigEarthBackend, pixels
from bigearth_xr.backend.dataset import States
from bigearth_xr.bands import GROUPS, S1_BANDS, S2_BANDS, band
from bigearth_xr.errors import FormatError, LabelError, NotStoredError, SelectionError, StoreError, StoreNotFoundError
from bigearth_xr.labels import label_names
from bigearth_xr.ops.resample import Resampling
from bigearth_xr.releases import Release
from bigearth_xr.store.patches import read_patches
from bigearth_xr.store.read import Store
from bigearth_xr.store.schema import PixelArray
from bigearth_xr.testing import count_reads, formula_pixels, formula_reference_map

Opener = Callable[..., xr.Dataset]


def open_in_sevens(store: str | Path, **options: Any) -> xr.Dataset:
    """Open with stock Dask, 7 patches a chunk; xarray takes the 128 preferred for stored ones, and warns."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The specified chunks separate the stored chunks", UserWarning)
        return xr.open_dataset(store, engine="bigearth", chunks={"patch": 7}, **options)


OPENERS: dict[str, Opener] = {
    "no chunks": lambda store, **options: xr.open_dataset(store, engine="bigearth", **options),
    "chunks={}": lambda store, **options: xr.open_dataset(store, engine="bigearth", chunks={}, **options),
    "7 patches": open_in_sevens,
    "bex.open": bex.open,
}
KNOWING = ["no chunks", "bex.open"]
"""Openings whose arrays know their store, so that no other patch is read than asked for."""

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

MANY = 300
SCATTERED = [7, 150, 290]


@pytest.fixture(params=OPENERS)
def opener(request: pytest.FixtureRequest) -> Opener:
    """Each way of opening a store in turn."""
    return OPENERS[request.param]


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 300 pairs, three chunks of 128, with a band of each resolution and one polarization."""
    folder = tmp_path_factory.mktemp("many")
    archive = bex.testing.write_archive(folder / "archive", pairs=MANY)
    bex.ingest(archive, folder / "ben.zarr", bands=["B01", "B04", "B8A", "VV"])
    shutil.rmtree(archive)
    return folder / "ben.zarr"


@pytest.fixture(scope="session")
def partial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 6 listed pairs, of which the first found is absent, and the second quarantined."""
    folder = tmp_path_factory.mktemp("partial")
    archive = bex.testing.write_archive(folder / "archive", pairs=6)
    absent, damaged = sorted(path for path in archive.glob("BigEarthNet-S2/*/*") if path.is_dir())[:2]
    shutil.rmtree(absent)
    next(damaged.glob("*_B04.tif")).write_bytes(b"no TIFF")
    bex.ingest(archive, folder / "ben.zarr", rows="listed")
    return folder / "ben.zarr"


@pytest.fixture
def table(store: Path) -> pa.Table:
    """The table beside the store."""
    return bex.table.read(store.with_suffix(".parquet"))


def at_10m(patch: str, band_name: str) -> NDArray[np.generic]:
    """What a band of a patch has to be, each of its pixels repeated over those of 10 m."""
    native = formula_pixels(patch, band_name)
    factor = 120 // len(native)
    return np.kron(native, np.ones((factor, factor), native.dtype))


def of_patches(patches: xr.DataArray, band_names: list[str]) -> NDArray[np.generic]:
    """What these bands of these patches have to be, shape (patch, band, y, x)."""
    return np.stack([[at_10m(patch, name) for name in band_names] for patch in patches.values])


# ---- opening -------------------------------------------------------------------------------------------------------


def test_xarray_finds_the_engine_by_its_entry_point() -> None:
    assert type(xr.backends.list_engines()["bigearth"]) is BigEarthBackend


def test_engine_claims_our_stores_and_nothing_else(store: Path, tmp_path: Path) -> None:
    guess = BigEarthBackend().guess_can_open
    assert guess(store)
    assert guess(str(store))
    assert not any(guess(other) for other in (tmp_path, tmp_path / "none", "s3://bucket/ben.zarr", 7))


def test_every_opening_shows_the_pixels_of_the_archive(opener: Opener, store: Path) -> None:
    ds = opener(store)
    assert ds.s2.dims == ("patch", "band", "y", "x")
    assert ds.s1.dims == ("patch", "polarization", "y", "x")
    assert (ds.s2.dtype, ds.s1.dtype) == ("uint16", "float32")
    # The first, the last and one between them; the whole store is compared in test_store.
    some = ds.isel(patch=[0, 11, -1])
    np.testing.assert_array_equal(some.s2, of_patches(some.patch, [b.name for b in S2_BANDS]))
    np.testing.assert_array_equal(some.s1, of_patches(some.patch, ["VV", "VH"]))


def test_every_opening_shows_the_labels_of_the_table(opener: Opener, store: Path, table: pa.Table) -> None:
    ds = opener(store)
    expected = [[name in labels for name in ds.label.values] for labels in table["labels_19"].to_pylist()]
    assert ds.labels.dims == ("patch", "label")
    assert ds.labels.dtype == bool
    np.testing.assert_array_equal(ds.labels, expected)


def test_reference_maps_are_those_of_the_archive(
    opener: Opener, store: Path, table: pa.Table, release: Release
) -> None:
    ds = opener(store)
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
    chunks = {name: opener(store).s2.chunksizes.get("patch") for name, opener in OPENERS.items()}
    assert chunks == {"no chunks": None, "chunks={}": (24,), "7 patches": (7, 7, 7, 3), "bex.open": (24,)}


@pytest.mark.parametrize("opening", ["chunks={}", "bex.open"])
def test_a_chunk_is_128_patches_by_default(many: Path, opening: str) -> None:
    ds = OPENERS[opening](many)
    assert ds.s2.chunks == ((128, 128, 44), (3,), (120,), (120,))
    assert ds.s1.chunks == ((128, 128, 44), (1,), (120,), (120,))


def test_opening_and_showing_a_dataset_reads_no_pixel(opener: Opener, store: Path) -> None:
    with count_reads() as reads:
        ds = opener(store)
        repr(ds), ds._repr_html_(), repr(ds.ben), ds.ben._repr_html_()
        ds.isel(patch=[2, 0], band=[3]).sortby("lat").sel(band="B04")
        xr.open_datatree(store, engine="bigearth")
    assert reads == {}


# ---- coordinates ---------------------------------------------------------------------------------------------------


def test_coordinates_of_patches_have_the_types_of_the_design(opener: Opener, store: Path, release: Release) -> None:
    maps = {"has_reference_map": "bool"} if release == "v2" else {}
    found = {str(name): str(c.dtype) for name, c in opener(store).coords.items() if c.dims == ("patch",)}
    assert found == PATCH_COORDINATES | maps


def test_coordinates_of_patches_hold_what_the_table_says(opener: Opener, store: Path, table: pa.Table) -> None:
    ds = opener(store)
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


def test_patch_is_indexed_by_objects(opener: Opener, store: Path) -> None:
    # NumPy's own strings would cost 115 ms at every `sel` among 590,326.
    assert opener(store).indexes["patch"].dtype == object


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


def test_every_variable_carries_its_unit(ds: xr.Dataset) -> None:
    assert {name: ds[name].attrs["units"] for name in ("s2", "s1", "lon", "lat", "ulx", "uly", "wavelength_nm")} == {
        "s2": "1",
        "s1": "dB",
        "lon": "degrees_east",
        "lat": "degrees_north",
        "ulx": "m",
        "uly": "m",
        "wavelength_nm": "nm",
    }


def test_coordinates_follow_a_selection(opener: Opener, store: Path) -> None:
    ds, order = opener(store), [5, 0, 17]
    whole = opener(store)
    some = ds.isel(patch=order)
    for name in PATCH_COORDINATES:
        assert some[name].values.tolist() == whole[name].values[order].tolist(), name


def test_identity_is_one_json_text(opener: Opener, store: Path, release: Release) -> None:
    uuid = json.loads((store / "zarr.json").read_text())["attributes"]["bigearth"]["uuid"]
    assert json.loads(opener(store, resampling="bilinear").attrs["bigearth"]) == {
        "store": str(store.resolve()),
        "uuid": uuid,
        "format": 1,
        "release": release,
        "resampling": "bilinear",
        "nomenclature": 19,
    }


# ---- how much is read ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("opening", "patches"), [("no chunks", 3), ("bex.open", 3), ("7 patches", 3 * 7), ("chunks={}", 128 + 128 + 44)]
)
def test_three_scattered_patches_of_a_band_read(many: Path, opening: str, patches: int) -> None:
    ds = OPENERS[opening](many)
    with count_reads() as reads:
        values = ds.s2.sel(band="B04").isel(patch=SCATTERED).values
    assert reads == {"s2_10m": patches}
    np.testing.assert_array_equal(values, of_patches(ds.patch[SCATTERED], ["B04"])[:, 0])


@pytest.mark.parametrize("opening", KNOWING)
@pytest.mark.parametrize(
    "choose",
    {
        "by id": lambda ds: ds.sel(patch=ds.patch.values[SCATTERED]),
        "by mask": lambda ds: ds.isel(patch=np.isin(np.arange(MANY), SCATTERED)),
        "in other order": lambda ds: ds.isel(patch=SCATTERED).sortby("lat", ascending=False),
        "step by step": lambda ds: (
            ds.isel(patch=slice(5, None)).isel(patch=[285, 2, 145]).isel(patch=slice(-1, None, -1))
        ),
        "of the whole": lambda ds: ds.isel(patch=SCATTERED),
    }.values(),
)
def test_k_patches_read_k_of_each_array(many: Path, opening: str, choose: Callable[[xr.Dataset], xr.Dataset]) -> None:
    chosen = choose(OPENERS[opening](many))
    with count_reads() as reads:
        chosen.load()
    k = chosen.sizes["patch"]
    assert reads == {"s2_10m": k, "s2_20m": k, "s2_60m": k, "s1": k, "reference_map": k}


@pytest.mark.parametrize(
    ("bands", "arrays"),
    [
        (["B02", "B08"], {"s2_10m"}),
        (["B8A"], {"s2_20m"}),
        (["B09", "B01"], {"s2_60m"}),
        (["B12", "B02"], {"s2_20m", "s2_10m"}),
        (["B01", "B02", "B05"], {"s2_60m", "s2_10m", "s2_20m"}),
    ],
)
@pytest.mark.parametrize("opening", KNOWING)
def test_only_arrays_of_the_bands_asked_for_are_read(
    opening: str, store: Path, bands: list[str], arrays: set[str]
) -> None:
    ds = OPENERS[opening](store)
    with count_reads() as reads:
        values = ds.s2.sel(band=bands).isel(patch=[3, 20]).values
    assert reads == dict.fromkeys(arrays, 2)
    np.testing.assert_array_equal(values, of_patches(ds.patch[[3, 20]], bands))


def test_nothing_is_read_twice_without_dask(store: Path) -> None:
    ds = OPENERS["no chunks"](store)
    ds.s1.load()
    with count_reads() as reads:
        ds.s1.mean()
    assert reads == {}


@pytest.mark.parametrize(
    ("opening", "window"),
    [
        ("no chunks", {}),
        ("no chunks", {"y": slice(5, 9), "x": slice(None, None, 40)}),
        ("no chunks", {"y": [3, 0], "x": 7}),
        ("bex.open", {}),
        ("bex.open", {"y": slice(5, 9), "x": slice(None, None, 40)}),
        ("bex.open", {"y": [3, 0], "x": 7}),
    ],
)
def test_outer_indexing_is_one_gather(
    opening: str, window: dict[str, Any], store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathers: list[tuple[str, list[int], list[int]]] = []

    def note(store: Store, array: PixelArray, rows: NDArray[np.intp], bands: list[int]) -> NDArray[Any]:
        gathers.append((array.name, rows.tolist(), bands))
        return read_patches(store, array, rows, bands)

    ds = OPENERS[opening](store)
    chosen = ds.s2.isel(patch=[9, 1, 4, 9], band=[3, 1, 2], **window)
    monkeypatch.setattr(pixels, "read_patches", note)
    values = chosen.values
    ((array, rows, bands),) = gathers
    assert (array, set(rows), set(bands)) == ("s2_10m", {1, 4, 9}, {0, 1, 2})
    expected = of_patches(ds.patch[[9, 1, 4, 9]], ["B04", "B02", "B03"])
    y, x = window.get("y", slice(None)), window.get("x", slice(None))
    np.testing.assert_array_equal(values, expected[:, :, y][..., x])


# ---- indexing ------------------------------------------------------------------------------------------------------


def test_pixels_are_cropped_by_y_and_x(opener: Opener, store: Path) -> None:
    ds = opener(store)
    window = ds.sel(y=slice(-300, -500), x=slice(20, 40)).isel(patch=[2])
    whole = of_patches(ds.patch[[2]], ["B01", "B02"])
    np.testing.assert_array_equal(window.s2.sel(band=["B01", "B02"]), whole[:, :, 30:50, 2:4])
    assert window.s1.shape == (1, 2, 20, 2)


def test_pixels_are_taken_in_any_order_along_any_dimension(opener: Opener, store: Path) -> None:
    ds = opener(store)
    some = ds.s1.isel(patch=[7, 2], polarization=[1, 0], y=[5, 3, 119], x=slice(None, None, -7))
    whole = of_patches(ds.patch[[7, 2]], ["VH", "VV"])
    np.testing.assert_array_equal(some, whole[:, :, [5, 3, 119], ::-7])
    np.testing.assert_array_equal(ds.s1.isel(y=[5, 3])[7, :, 1], whole[0, ::-1, 3])


def test_points_are_taken_pairwise(opener: Opener, store: Path) -> None:
    ds = opener(store)
    point = {"patch": [1, 8], "y": [3, 119], "x": [0, 60]}
    found = ds.s2.isel({dim: xr.DataArray(places, dims="point") for dim, places in point.items()})
    whole = of_patches(ds.patch[[1, 8]], [b.name for b in S2_BANDS])
    np.testing.assert_array_equal(found.transpose("point", "band"), whole[[0, 1], :, [3, 119], [0, 60]])


@pytest.mark.parametrize("dim", ["patch", "band", "y"])
def test_nothing_selected_is_an_empty_array(opener: Opener, store: Path, dim: str) -> None:
    ds = opener(store)
    nothings: list[Any] = [slice(0, 0), []]
    for nothing in nothings:
        found = ds.s2.isel({dim: nothing})
        assert found.values.shape == tuple(0 if name == dim else n for name, n in ds.s2.sizes.items())
        assert found.values.dtype == "uint16"
    assert ds.s1.isel(polarization=[]).values.dtype == "float32"


def test_a_band_asked_for_twice_comes_twice(opener: Opener, store: Path) -> None:
    ds = opener(store)
    bands = ["B05", "B04", "B05"]
    np.testing.assert_array_equal(ds.s2.sel(band=bands)[[3, 3]], of_patches(ds.patch[[3, 3]], bands))


# ---- options -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resampling", "dtype"), [("nearest", "uint16"), ("bilinear", "float32"), ("bicubic", "float32")]
)
def test_resampling_decides_the_type(opener: Opener, store: Path, resampling: Resampling, dtype: str) -> None:
    ds = opener(store, resampling=resampling).isel(patch=[0])
    assert ds.s2.dtype == ds.s2.values.dtype == dtype
    assert ds.s1.dtype == ds.s1.values.dtype == "float32"
    # What is stored at 10 m is as stored in any case: values of test_engine_torch are of the coarser ones.
    np.testing.assert_array_equal(ds.s2.sel(band=["B04"]), of_patches(ds.patch, ["B04"]))
    np.testing.assert_array_equal(ds.s1, of_patches(ds.patch, ["VV", "VH"]))


@pytest.mark.parametrize("release", ["v1"], indirect=True)
def test_v1_opens_with_43_classes(opener: Opener, store: Path, table: pa.Table) -> None:
    ds = opener(store, nomenclature=43)
    assert ds.label.values.tolist() == list(label_names(43))
    expected = [[name in labels for name in ds.label.values] for labels in table["labels_43"].to_pylist()]
    np.testing.assert_array_equal(ds.labels, expected)
    assert json.loads(ds.attrs["bigearth"])["nomenclature"] == 43


@pytest.mark.parametrize("release", ["v2"], indirect=True)
def test_v2_has_no_43_classes(opener: Opener, store: Path) -> None:
    with pytest.raises(LabelError, match=r"release v2 has no 43-class labels: .* open it with nomenclature=19"):
        opener(store, nomenclature=43)


@pytest.mark.parametrize("dropped", ["s1", ["s1", "lon", "labels"], "no such variable"])
def test_variables_can_be_dropped(store: Path, dropped: str | list[str]) -> None:
    whole = OPENERS["no chunks"](store)
    kept = OPENERS["no chunks"](store, drop_variables=dropped)
    assert set(kept.variables) == set(whole.variables) - ({dropped} if isinstance(dropped, str) else set(dropped))


def test_only_stored_rows_are_shown(opener: Opener, partial: Path) -> None:
    ds = opener(partial)
    everything = opener(partial, states="all")
    assert everything.state.values.tolist().count("stored") == 4
    np.testing.assert_array_equal(ds.row, np.flatnonzero(everything.state.values == "stored"))
    np.testing.assert_array_equal(ds.s2.sel(band=["B02"]), of_patches(ds.patch, ["B02"]))
    assert "state" not in ds.coords


@pytest.mark.parametrize(
    ("states", "counts"),
    [
        ("all", {"stored": 4, "absent": 1, "quarantined": 1}),
        (("absent", "quarantined"), {"absent": 1, "quarantined": 1}),
        ("absent", {"absent": 1}),
        (("stored", "absent", "quarantined"), {"stored": 4, "absent": 1, "quarantined": 1}),
    ],
)
def test_rows_are_shown_by_state(opener: Opener, partial: Path, states: States, counts: dict[str, int]) -> None:
    ds = opener(partial, states=states)
    state = opener(partial, states="all").state
    found = state.sel(patch=ds.patch).values.tolist()
    assert {name: found.count(name) for name in set(found)} == counts


@pytest.mark.parametrize("opening", KNOWING)
@pytest.mark.parametrize("missing", ["absent", "quarantined"])
def test_reading_a_row_that_is_not_stored_is_an_error_that_names_it(opening: str, partial: Path, missing: str) -> None:
    ds = OPENERS[opening](partial, states="all")
    row = int(np.flatnonzero(ds.state.values == missing)[0])
    patch = str(ds.patch.values[row])
    for name in ("s2", "s1", "reference_map"):
        with pytest.raises(NotStoredError, match=rf"row {row} \({patch}\) is {missing}: .* no pixels of it"):
            ds[name].isel(patch=[row]).compute()


def test_stock_dask_stumbles_over_any_row_of_a_chunk_that_is_not_stored(partial: Path) -> None:
    ds = OPENERS["chunks={}"](partial, states="all")
    stored = np.flatnonzero(ds.state.values == "stored")
    with pytest.raises(NotStoredError, match=r"is (absent|quarantined)"):
        ds.s2.isel(patch=stored).compute()
    np.testing.assert_array_equal(ds.ben.image(["B02"]).isel(patch=stored), of_patches(ds.patch[stored], ["B02"]))


def test_bands_that_were_not_ingested_do_not_exist(opener: Opener, many: Path) -> None:
    ds = opener(many)
    assert (ds.band.values.tolist(), ds.polarization.values.tolist()) == (["B01", "B04", "B8A"], ["VV"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resampling": "cubic"}, "unknown resampling 'cubic'; expected one of nearest, bilinear, bicubic"),
        ({"states": ("stored", "lost")}, "unknown state 'lost'; expected one of absent, stored, quarantined"),
        ({"states": "lost"}, "unknown state 'lost'"),
    ],
)
def test_unknown_options_are_refused(opener: Opener, store: Path, options: dict[str, str], message: str) -> None:
    with pytest.raises(SelectionError, match=message):
        opener(store, **options)


def test_unknown_nomenclature_is_refused(opener: Opener, store: Path) -> None:
    with pytest.raises(LabelError, match="19"):
        opener(store, nomenclature=20)


# ---- what is no store ----------------------------------------------------------------------------------------------


def test_no_store_is_an_error_that_says_how_to_make_one(opener: Opener, tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError, match=r"none.zarr: no store here; .* bigearth ingest ARCHIVE"):
        opener(tmp_path / "none.zarr")


def test_zarr_of_another_kind_is_refused(opener: Opener, tmp_path: Path) -> None:
    (tmp_path / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attributes": {}}')
    with pytest.raises(FormatError, match=r"not one of bigearth_xr .* engine='zarr'"):
        opener(tmp_path)


def test_another_version_of_the_format_is_refused(opener: Opener, store: Path, tmp_path: Path) -> None:
    document = json.loads((store / "zarr.json").read_text())
    document["attributes"]["bigearth"]["format_version"] = 2
    (tmp_path / "zarr.json").write_text(json.dumps(document))
    with pytest.raises(FormatError, match="format version 2, this package reads 1"):
        opener(tmp_path)


def test_a_store_cut_short_is_refused(opener: Opener, tmp_path: Path) -> None:
    (tmp_path / "zarr.json").write_text('{"zarr_format": 3,')
    with pytest.raises(FormatError, match=r"no JSON .* ingest again"):
        opener(tmp_path)


def test_addresses_of_other_kinds_are_refused(opener: Opener) -> None:
    with pytest.raises(StoreError, match="no place for a store; expected a path or s3://bucket/prefix"):
        opener("https://example.org/ben.zarr")


# ---- the tree ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunks", [None, {}])
def test_tree_shows_every_array_at_its_native_resolution(store: Path, chunks: dict[str, int] | None) -> None:
    tree = xr.open_datatree(store, engine="bigearth", chunks=chunks).to_dataset()
    patch = str(tree.patch.values[5])
    for group in GROUPS:
        found = tree[group.array]
        names = [b.name for b in group.bands]
        assert found.dims == ("patch", group.dim, group.y, group.x)
        assert tree[group.dim].values.tolist() == names
        np.testing.assert_array_equal(found[5], [formula_pixels(patch, name) for name in names])
        res_m = 1200 / group.size
        np.testing.assert_array_equal(tree[group.x], np.arange(group.size) * res_m + res_m / 2)
        np.testing.assert_array_equal(tree[group.y], -tree[group.x].values)


def test_tree_shows_every_nomenclature_and_the_maps(store: Path, table: pa.Table, release: Release) -> None:
    tree = xr.open_datatree(store, engine="bigearth").to_dataset()
    ours = {"v1": {"labels_19", "labels_43"}, "v2": {"labels_19", "reference_map"}}[release]
    assert set(tree.data_vars) == {group.array for group in GROUPS} | ours
    for name in ours - {"reference_map"}:
        dim = name.replace("labels", "label")
        expected = [[label in labels for label in tree[dim].values] for labels in table[name].to_pylist()]
        np.testing.assert_array_equal(tree[name], expected)


def test_tree_reads_only_what_is_asked_for(store: Path) -> None:
    tree = xr.open_datatree(store, engine="bigearth")
    with count_reads() as reads:
        tree["s2_60m"].isel(patch=[3, 1]).compute()
    assert reads == {"s2_60m": 2}


def test_tree_hides_the_same_rows(partial: Path) -> None:
    tree = xr.open_datatree(partial, engine="bigearth")
    assert tree.patch.values.tolist() == bex.open(partial).patch.values.tolist()
    everything = xr.open_datatree(partial, engine="bigearth", states="all")
    assert everything.sizes["patch"] == 6
    assert "state" in everything.coords


def test_variables_of_the_tree_can_be_dropped(store: Path) -> None:
    tree = xr.open_datatree(store, engine="bigearth", drop_variables=["s1", "lon"])
    assert not {"s1", "lon"} & set(tree.to_dataset().variables)


# ---- going elsewhere -----------------------------------------------------------------------------------------------


def test_attributes_are_such_as_netcdf_takes(opener: Opener, store: Path) -> None:
    ds = opener(store)
    attributes = [ds.attrs, *(variable.attrs for variable in ds.variables.values())]
    assert {type(value) for attrs in attributes for value in attrs.values()} == {str}


def test_variables_are_such_as_netcdf_takes(opener: Opener, store: Path) -> None:
    ds = opener(store).isel(patch=[2, 0])
    encoded, attributes = xr.conventions.cf_encoder(ds.variables, ds.attrs)
    back = xr.decode_cf(xr.Dataset(encoded, attrs=attributes).set_coords(ds.coords))
    xr.testing.assert_identical(back.load(), ds.load())


@pytest.mark.parametrize("opening", KNOWING)
def test_a_copy_in_plain_zarr_holds_the_same(opening: str, store: Path, tmp_path: Path) -> None:
    ds = OPENERS[opening](store).isel(patch=[2, 0], band=[1, 4], y=slice(8), x=slice(8))
    ds.to_zarr(tmp_path / "copy.zarr", zarr_format=2)
    back = xr.open_zarr(tmp_path / "copy.zarr", chunks=None)
    xr.testing.assert_identical(back.load(), ds.load())


def test_datasets_are_pickled_without_their_pixels(opener: Opener, store: Path) -> None:
    ds = opener(store)
    with count_reads() as reads:
        data = pickle.dumps(ds)
        back = pickle.loads(data)
    assert reads == {}
    assert len(data) < 300_000
    some = back.isel(patch=[4, 1])
    np.testing.assert_array_equal(some.s1, of_patches(ds.patch[[4, 1]], [b.name for b in S1_BANDS]))
