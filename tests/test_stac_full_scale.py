"""Both releases whole: every published pair is an item, a random sample is valid, and searches miss nothing."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from bigearth_stac import build_catalog, find_items, validate_catalog

from bigearth_xr import table
from bigearth_xr.releases import RELEASES

LISTS = {"v1": "data/v1/lists", "v2": "data/v2"}
LISBON = (-9.0, 38.5, -8.2, 39.2)

WHOLE = pytest.mark.prove


@pytest.fixture(scope="module", params=["v2 thinned", *(pytest.param(name, marks=WHOLE) for name in LISTS)])
def rows(request: pytest.FixtureRequest, shared: Path) -> pa.Table:
    """The published pairs of a release, or every fortieth of them."""
    release, _, thinned = request.param.partition(" ")
    found = table.from_lists(shared / LISTS[release])
    if thinned:
        return found.take(pa.array(np.arange(0, found.num_rows, 40)))
    assert found.num_rows == RELEASES[table.release_of(found)].pairs
    return found


@pytest.fixture(scope="module")
def catalog(rows: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("full")
    table.write(rows, folder / "ben.parquet")
    return build_catalog(folder / "ben.parquet", folder / "catalog", zarr_href="https://example.org/ben.zarr").folder


def test_every_pair_is_an_item(catalog: Path, rows: pa.Table) -> None:
    items = pq.read_table(catalog / "items.parquet", columns=["id", "bigearth:row", "geometry"])
    assert items["id"].equals(rows["patch"])
    assert items["geometry"].equals(rows["geometry"])
    np.testing.assert_array_equal(items["bigearth:row"], np.arange(rows.num_rows))


def test_items_drawn_at_random_are_valid(catalog: Path, rows: pa.Table, shared: Path) -> None:
    sample = 300 if rows.num_rows > 100_000 else 100
    report = validate_catalog(catalog, schemas=shared / "schemas", sample=sample)
    assert (report.checked, report.failures) == (sample, ())


def test_place_and_time_find_what_brute_force_finds(catalog: Path, rows: pa.Table) -> None:
    footprints = shapely.from_wkb(rows["geometry"].to_numpy())
    times = rows["s2_time"].to_numpy()
    here = shapely.intersects(footprints, shapely.box(*LISBON))
    then = (times >= np.datetime64("2017-06-01")) & (times < np.datetime64("2017-09-01"))
    expected = rows["patch"].to_numpy()[here & then].tolist()
    assert rows.num_rows / 1000 < len(expected) < here.sum()
    found = find_items(catalog, bbox=LISBON, datetime="2017-06/2017-08")
    assert [item.id for item in found] == expected


def test_labels_find_what_brute_force_finds(catalog: Path, rows: pa.Table) -> None:
    wanted = {"Coastal wetlands", "Beaches, dunes, sands"}
    if not any(rows["labels_19"].to_pylist()):
        return  # the lists of v1 tell no label
    told = zip(rows["patch"].to_pylist(), rows["labels_19"].to_pylist(), strict=True)
    expected = [patch for patch, labels in told if labels and wanted & set(labels)]
    assert len(expected) > rows.num_rows / 1000
    assert [item.id for item in find_items(catalog, any_label=wanted)] == expected
