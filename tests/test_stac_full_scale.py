"""Both releases whole: every published pair is an item, a random sample is valid, and searches miss nothing."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from bigearth_stac import build_catalog, find_items, validate_catalog

from bigearth_xr import table
from bigearth_xr.releases import RELEASES, Release

BBOX = (-9.0, 38.5, -8.2, 39.2)

# Reading the CSVs of v1 takes most of a minute on a busy machine.
pytestmark = pytest.mark.parametrize(
    "release", [pytest.param("v1", marks=pytest.mark.prove), "v2"], indirect=True, scope="session"
)


@pytest.fixture(scope="module")
def rows(shared: Path, release: Release) -> pa.Table:
    return table.from_lists(shared / "data" / ("v1/lists" if release == "v1" else "v2"))


@pytest.fixture(scope="module")
def catalog(rows: pa.Table, release: Release, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(release)
    table.write(rows, folder / "ben.parquet")
    return build_catalog(folder / "ben.parquet", folder / "catalog", zarr_href="https://example.org/ben.zarr").folder


def test_every_published_pair_is_an_item(catalog: Path, rows: pa.Table, release: Release) -> None:
    items = pq.read_table(catalog / "items.parquet", columns=["id", "bigearth:row", "geometry"])
    assert items.num_rows == RELEASES[release].pairs
    assert items["id"].equals(rows["patch"].cast(pa.string()))
    assert items["geometry"].equals(rows["geometry"])
    np.testing.assert_array_equal(items["bigearth:row"], np.arange(items.num_rows))


def test_a_few_items_drawn_at_random_are_valid(catalog: Path, shared: Path) -> None:
    report = validate_catalog(catalog, schemas=shared / "schemas", sample=100)
    assert (report.checked, report.failures) == (100, ())


@pytest.mark.prove
def test_a_thousand_items_drawn_at_random_are_valid(catalog: Path, shared: Path) -> None:
    report = validate_catalog(catalog, schemas=shared / "schemas", sample=1000, seed=1)
    assert (report.checked, report.failures) == (1000, ())


def test_place_and_time_find_what_brute_force_finds(catalog: Path, rows: pa.Table) -> None:
    footprints = shapely.from_wkb(rows["geometry"].to_numpy())
    times = rows["s2_time"].to_numpy()
    here = shapely.intersects(footprints, shapely.box(*BBOX))
    then = (times >= np.datetime64("2017-06-01")) & (times < np.datetime64("2017-09-01"))
    expected = rows["patch"].to_numpy()[here & then].tolist()
    assert 100 < len(expected) < here.sum()
    found = find_items(catalog, bbox=BBOX, datetime="2017-06/2017-08")
    assert [item.id for item in found] == expected
    assert all(item.datetime and item.datetime.replace(tzinfo=None) < datetime(2017, 9, 1) for item in found)


def test_labels_find_what_brute_force_finds(catalog: Path, rows: pa.Table, release: Release) -> None:
    if release == "v1":  # its lists tell no label
        return
    wanted = {"Coastal wetlands", "Beaches, dunes, sands"}
    told = zip(rows["patch"].to_pylist(), rows["labels_19"].to_pylist(), strict=True)
    expected = [patch for patch, labels in told if labels and wanted & set(labels)]
    assert len(expected) > 1000
    assert [item.id for item in find_items(catalog, any_label=wanted)] == expected
