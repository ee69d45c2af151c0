"""The lists of a whole release give the published counts, from the table and through a store made of them alone."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyproj
import pytest
import shapely
import xarray as xr

import bigearth_xr as bex
from bigearth_xr.bands import BANDS
from bigearth_xr.errors import NotStoredError
from bigearth_xr.grid import split_by_position
from bigearth_xr.releases import Release
from bigearth_xr.store.create import create_store
from bigearth_xr.store.schema import pixel_arrays

# Published: of v1 by the papers and its site, of v2 counted in the official parquets.
PAIRS = {"v1": 590_326, "v2": 549_488}
SPLITS = {
    "v1": {"train": 269_695, "validation": 123_723, "test": 125_866},
    "v2": {"train": 237_871, "validation": 122_342, "test": 119_825},
}
COUNTRIES_V1 = {
    "Finland": 233_030,
    "Portugal": 99_248,
    "Serbia": 78_015,
    "Lithuania": 58_700,
    "Ireland": 52_653,
    "Austria": 46_403,
    "Belgium": 11_701,
    "Switzerland": 4_955,
    "Luxembourg": 3_481,
    "Kosovo": 2_140,
}
SNOW_V1, CLOUD_V1, BARE_V1 = 61_707, 9_280, 57
EXCLUDED_V2 = 69_450
TRAIN_WITH_EXCLUDED_V2 = 272_544


@pytest.fixture(scope="module")
def tables(shared: Path, published_lists: Path) -> dict[Release, pa.Table]:
    return {
        "v1": bex.table.from_lists(published_lists),
        "v2": bex.table.from_lists(shared / "data/v2"),
    }


@pytest.fixture(scope="module")
def stores(tables: dict[Release, pa.Table], tmp_path_factory: pytest.TempPathFactory) -> dict[Release, xr.Dataset]:
    """Stores without a pixel, opened with every row."""
    folder = tmp_path_factory.mktemp("full")
    opened: dict[Release, xr.Dataset] = {}
    for release, rows in tables.items():
        arrays = pixel_arrays([band.name for band in BANDS], reference_map=release == "v2")
        create_store(folder / f"{release}.zarr", rows, profile="fast", arrays=arrays, sensors=("s1", "s2"))
        opened[release] = bex.open(folder / f"{release}.zarr", states="all")
    return opened


def counts(values: Any) -> dict[Any, int]:
    return {entry["values"]: entry["counts"] for entry in pc.value_counts(values).to_pylist()}


def kept(ds: xr.Dataset, **criteria: Any) -> int:
    chosen: xr.Dataset = ds.ben.select(**criteria)
    return chosen.sizes["patch"]


# From the table.


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_every_pair_has_one_row(tables: dict[Release, pa.Table], version: Release) -> None:
    rows = tables[version]
    assert bex.table.release_of(rows) == version
    assert rows.num_rows == PAIRS[version]
    for name in ("patch", "s1_name"):
        assert pc.count_distinct(rows[name]).as_py() == PAIRS[version]


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_splits_of_the_table_are_the_published_ones(tables: dict[Release, pa.Table], version: Release) -> None:
    recommended = tables[version].filter(tables[version]["recommended"])
    assert counts(recommended["split"]) == SPLITS[version]


def test_v1_is_flagged_as_published(tables: dict[Release, pa.Table]) -> None:
    rows = tables["v1"]
    assert pc.sum(rows["seasonal_snow"]).as_py() == SNOW_V1
    assert pc.sum(rows["cloud_or_shadow"]).as_py() == CLOUD_V1
    assert counts(rows["country"]) == COUNTRIES_V1


def test_57_patches_of_v1_have_no_19_class_label(tables: dict[Release, pa.Table]) -> None:
    labels = tables["v1"]["labels_19"]
    assert pc.sum(pc.equal(pc.list_value_length(labels), 0)).as_py() == BARE_V1
    # Of the others the lists say nothing.
    assert labels.null_count == PAIRS["v1"] - BARE_V1


def test_v2_excludes_what_is_published_apart(tables: dict[Release, pa.Table]) -> None:
    assert counts(tables["v2"]["recommended"]) == {True: PAIRS["v2"] - EXCLUDED_V2, False: EXCLUDED_V2}


def test_labels_of_v2_are_as_many_as_published(tables: dict[Release, pa.Table], shared: Path) -> None:
    published = json.loads((shared / "data/nomenclature.json").read_text())["ben19"]
    rows = tables["v2"].filter(tables["v2"]["recommended"])
    for split in SPLITS["v2"]:
        labels = rows.filter(pc.equal(rows["split"], split))["labels_19"].combine_chunks().flatten()
        assert counts(labels) == {label["name"]: label["v2"][split] for label in published}


def test_the_published_rule_gives_every_split_of_v2(tables: dict[Release, pa.Table]) -> None:
    rows = tables["v2"]
    split = split_by_position(rows["column"].to_numpy(), rows["tile_row"].to_numpy())
    assert np.count_nonzero(split == rows["split"].to_numpy()) == PAIRS["v2"]


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_every_footprint_lies_in_its_tile(tables: dict[Release, pa.Table], shared: Path, version: Release) -> None:
    origins = json.loads((shared / "data/s2_tile_origins.json").read_text())
    for tile, epsg, corners, rows in footprints_by_tile(tables[version]):
        origin = origins[tile]
        assert epsg == origin["epsg"]
        # The outline in degrees, taken back to metres, is the square that the table says ...
        ulx, uly = rows["ulx"].to_numpy()[:, None], rows["uly"].to_numpy()[:, None]
        x, y = corners
        assert np.abs(np.minimum(x - ulx, ulx + 1200 - x)).max() < 1e-3
        assert np.abs(np.minimum(uly - y, y - (uly - 1200))).max() < 1e-3
        # ... and lies in the tile of 109.8 km.
        assert x.min() > origin["ulx"] - 1e-3
        assert x.max() < origin["ulx"] + 109_800 + 1e-3
        assert y.max() < origin["uly"] + 1e-3
        assert y.min() > origin["uly"] - 109_800 - 1e-3


Metres = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


def footprints_by_tile(rows: pa.Table) -> Iterator[tuple[str, int, Metres, pa.Table]]:
    """Rings of all patches of a tile, in metres, each of x and y of shape ``(patch, 5)``."""
    for tile in pc.unique(rows["tile"]).to_pylist():
        mine = rows.filter(pc.equal(rows["tile"], tile))
        (epsg,) = pc.unique(mine["epsg"]).to_pylist()
        polygons = shapely.from_wkb(mine["geometry"].to_numpy(zero_copy_only=False))
        assert len(polygons) == mine.num_rows
        degrees = shapely.get_coordinates(polygons).reshape(-1, 5, 2)
        to_metres = pyproj.Transformer.from_crs(4326, epsg, always_xy=True)
        yield tile, epsg, to_metres.transform(degrees[..., 0], degrees[..., 1]), mine


# Through a store of lists alone.


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_select_gives_the_published_splits(stores: dict[Release, xr.Dataset], version: Release, split: str) -> None:
    ds = stores[version]
    assert ds.sizes["patch"] == PAIRS[version]
    assert (ds.state == "absent").all()
    assert kept(ds, split=split) == SPLITS[version][split]


def test_select_gives_the_flags_of_v1(stores: dict[Release, xr.Dataset]) -> None:
    ds = stores["v1"]
    assert kept(ds, seasonal_snow=True) == SNOW_V1
    assert kept(ds, cloud_or_shadow=True) == CLOUD_V1
    assert kept(ds, recommended=True) == sum(SPLITS["v1"].values())
    assert {country: kept(ds, country=country) for country in COUNTRIES_V1} == COUNTRIES_V1


def test_the_store_tells_unlabelled_from_unknown(stores: dict[Release, xr.Dataset]) -> None:
    ds = stores["v1"]
    bare = ds.has_labels & ~ds.labels.any("label")
    assert bare.sum() == BARE_V1
    assert (~ds.has_labels).sum() == PAIRS["v1"] - BARE_V1


def test_select_tells_what_v2_excludes(stores: dict[Release, xr.Dataset]) -> None:
    ds = stores["v2"]
    assert kept(ds, recommended=False) == EXCLUDED_V2
    assert kept(ds, recommended=True) == PAIRS["v2"] - EXCLUDED_V2
    assert kept(ds, split="train", recommended="any") == TRAIN_WITH_EXCLUDED_V2


def test_a_box_keeps_the_footprints_that_meet_it(stores: dict[Release, xr.Dataset], tables: Any) -> None:
    box = (16.2, 48.1, 16.5, 48.3)  # Vienna
    rows = tables["v2"]
    polygons = shapely.from_wkb(rows["geometry"].to_numpy(zero_copy_only=False))
    meets = shapely.intersects(polygons, shapely.box(*box))
    assert 0 < meets.sum() < 10_000
    expected = rows["patch"].to_numpy()[meets].tolist()
    assert stores["v2"].ben.select(bbox=box).patch.values.tolist() == expected


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_an_absent_patch_refuses_to_be_read(stores: dict[Release, xr.Dataset], version: Release) -> None:
    chosen = stores[version].ben.select(split="test").isel(patch=[-1])
    (patch,) = chosen.patch.values
    with pytest.raises(NotStoredError, match=rf"row {chosen.row.item()} \({patch}\) is absent: s1 holds no pixels of"):
        chosen.s1.load()
