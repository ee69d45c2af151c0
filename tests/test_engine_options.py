"""What a store opens as by option: resampling, nomenclature, states; and what does not open at all."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from openings import KNOWING, OPENERS, Opener, of_patches

from bigearth_xr.backend.dataset import States
from bigearth_xr.errors import FormatError, LabelError, NotStoredError, SelectionError, StoreError, StoreNotFoundError
from bigearth_xr.labels import label_names
from bigearth_xr.ops.resample import Resampling


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("resampling", "dtype"), [("nearest", "uint16"), ("bilinear", "float32"), ("bicubic", "float32")]
)
def test_resampling_decides_the_type(any_opener: Opener, store: Path, resampling: Resampling, dtype: str) -> None:
    ds = any_opener(store, resampling=resampling).isel(patch=[0])
    assert ds.s2.dtype == ds.s2.values.dtype == dtype
    assert ds.s1.dtype == ds.s1.values.dtype == "float32"
    # What is stored at 10 m is as stored in any case: values of test_engine_torch are of the coarser ones.
    np.testing.assert_array_equal(ds.s2.sel(band=["B04"]), of_patches(ds.patch, ["B04"]))
    np.testing.assert_array_equal(ds.s1, of_patches(ds.patch, ["VV", "VH"]))


@pytest.mark.parametrize("release", ["v1"], indirect=True)
def test_v1_opens_with_43_classes(any_opener: Opener, store: Path, table: pa.Table) -> None:
    ds = any_opener(store, nomenclature=43)
    assert ds.label.values.tolist() == list(label_names(43))
    expected = [[name in labels for name in ds.label.values] for labels in table["labels_43"].to_pylist()]
    np.testing.assert_array_equal(ds.labels, expected)
    assert json.loads(ds.attrs["bigearth"])["nomenclature"] == 43


@pytest.mark.parametrize("release", ["v2"], indirect=True)
def test_v2_has_no_43_classes(any_opener: Opener, store: Path) -> None:
    with pytest.raises(LabelError, match=r"release v2 has no 43-class labels: .* open it with nomenclature=19"):
        any_opener(store, nomenclature=43)


@pytest.mark.parametrize("dropped", ["s1", ["s1", "lon", "labels"], "no such variable"])
def test_variables_can_be_dropped(store: Path, dropped: str | list[str]) -> None:
    whole = OPENERS["no chunks"](store)
    kept = OPENERS["no chunks"](store, drop_variables=dropped)
    assert set(kept.variables) == set(whole.variables) - ({dropped} if isinstance(dropped, str) else set(dropped))


def test_only_stored_rows_are_shown(any_opener: Opener, partial: Path) -> None:
    ds = any_opener(partial)
    everything = any_opener(partial, states="all")
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
def test_rows_are_shown_by_state(any_opener: Opener, partial: Path, states: States, counts: dict[str, int]) -> None:
    ds = any_opener(partial, states=states)
    state = any_opener(partial, states="all").state
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


def test_bands_that_were_not_ingested_do_not_exist(any_opener: Opener, many: Path) -> None:
    ds = any_opener(many)
    assert (ds.band.values.tolist(), ds.polarization.values.tolist()) == (["B01", "B04", "B8A"], ["VV"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resampling": "cubic"}, "unknown resampling 'cubic'; expected one of nearest, bilinear, bicubic"),
        ({"states": ("stored", "lost")}, "unknown state 'lost'; expected one of absent, stored, quarantined"),
        ({"states": "lost"}, "unknown state 'lost'"),
    ],
)
def test_unknown_options_are_refused(any_opener: Opener, store: Path, options: dict[str, str], message: str) -> None:
    with pytest.raises(SelectionError, match=message):
        any_opener(store, **options)


def test_unknown_nomenclature_is_refused(any_opener: Opener, store: Path) -> None:
    with pytest.raises(LabelError, match="19"):
        any_opener(store, nomenclature=20)


# ---- what is no store ----------------------------------------------------------------------------------------------


def test_no_store_is_an_error_that_says_how_to_make_one(any_opener: Opener, tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError, match=r"none.zarr: no store here; .* bigearth ingest ARCHIVE"):
        any_opener(tmp_path / "none.zarr")


def test_zarr_of_another_kind_is_refused(any_opener: Opener, tmp_path: Path) -> None:
    (tmp_path / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attributes": {}}')
    with pytest.raises(FormatError, match=r"not one of bigearth_xr: .* engine='zarr'"):
        any_opener(tmp_path)


def test_another_version_of_the_format_is_refused(any_opener: Opener, store: Path, tmp_path: Path) -> None:
    document = json.loads((store / "zarr.json").read_text())
    document["attributes"]["bigearth"]["format_version"] = 3
    (tmp_path / "zarr.json").write_text(json.dumps(document))
    with pytest.raises(FormatError, match="format version 3, this package reads 1, 2"):
        any_opener(tmp_path)


def test_a_store_cut_short_is_refused(any_opener: Opener, tmp_path: Path) -> None:
    (tmp_path / "zarr.json").write_text('{"zarr_format": 3,')
    with pytest.raises(FormatError, match=r"no JSON .* ingest again"):
        any_opener(tmp_path)


def test_addresses_of_other_kinds_are_refused(any_opener: Opener) -> None:
    with pytest.raises(StoreError, match="no place for a store; expected a path or s3://bucket/prefix"):
        any_opener("https://example.org/ben.zarr")
