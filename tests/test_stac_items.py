"""Items say what the table says, in a form that STAC's own tools read."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
import stac_geoparquet.arrow
from bigearth_stac.assets import EXTENSIONS, Holdings, asset_templates, land_cover_classes
from bigearth_stac.collection import describe_collection
from bigearth_stac.items import footprint_rings, item_batches, item_documents, parquet_metadata
from bigearth_stac.properties import PROPERTIES

from bigearth_xr import table
from bigearth_xr.bands import BANDS
from bigearth_xr.labels import CLASSES_43
from bigearth_xr.releases import Release
from bigearth_xr.testing import write_archive

EVERYTHING = Holdings(zarr_href="https://example.org/ben.zarr", rows=24, has_maps=True, has_thumbnails=True)


@pytest.fixture(scope="module")
def rows(archive: Path, release: Release) -> pa.Table:
    return table.from_lists(archive / "lists" if release == "v1" else archive)


def documents(rows: pa.Table, holdings: Holdings = EVERYTHING) -> list[dict[str, Any]]:
    return [item for batch in item_batches(rows, holdings) for item in item_documents(batch)]


def null_free(value: Any) -> Any:
    """What is left of JSON without the entries that say nothing."""
    if isinstance(value, dict):
        return {key: null_free(one) for key, one in value.items() if one is not None}
    return value


def test_an_item_is_a_row_of_the_table(rows: pa.Table) -> None:
    told = rows.to_pylist()
    for place, (item, row) in enumerate(zip(documents(rows), told, strict=True)):
        properties = item["properties"]
        assert (item["id"], properties["bigearth:row"]) == (row["patch"], place)
        assert properties["datetime"] == f"{row['s2_time'].isoformat()}Z"
        assert properties["bigearth:s1_datetime"] == f"{row['s1_time'].isoformat()}Z"
        assert properties["proj:code"] == f"EPSG:{row['epsg']}"
        assert properties["proj:bbox"] == [row["ulx"], row["uly"] - 1200, row["ulx"] + 1200, row["uly"]]
        assert properties["grid:code"] == f"MGRS-{row['tile']}"
        orbit = re.search(r"_R(\d\d\d)_", row["patch"])  # names of v1 have none
        assert properties.get("sat:relative_orbit") == (orbit and int(orbit[1]))
        assert (EXTENSIONS["sat"] in item["stac_extensions"]) == (orbit is not None)
        for one in PROPERTIES:
            if one.name not in ("row", "s1_datetime", "store_uuid"):
                assert properties.get(one.key) == row[one.column], one.key


def test_geometry_is_the_footprint_and_not_its_box(rows: pa.Table) -> None:
    for item, wkb in zip(documents(rows), rows["geometry"].to_pylist(), strict=True):
        footprint = shapely.geometry.shape(item["geometry"])
        assert footprint.equals_exact(shapely.from_wkb(wkb), 0)
        assert footprint.exterior.is_ccw
        assert tuple(item["bbox"]) == footprint.bounds
        assert footprint.area < shapely.box(*item["bbox"]).area


def test_stac_geoparquet_reads_the_same_items(rows: pa.Table, tmp_path: Path) -> None:
    batches = list(item_batches(rows, EVERYTHING))
    schema = batches[0].schema.with_metadata(parquet_metadata(describe_collection(rows, EVERYTHING)))
    pq.write_table(pa.Table.from_batches(batches).cast(schema), tmp_path / "items.parquet")
    theirs = list(stac_geoparquet.arrow.stac_table_to_items(pq.read_table(tmp_path / "items.parquet")))
    assert len(theirs) == rows.num_rows
    for ours, read in zip(documents(rows), theirs, strict=True):
        # They write milliseconds, and a null where we leave out.
        read["properties"]["datetime"] = read["properties"]["datetime"].replace(".000Z", "Z")
        assert null_free(read) == ours
    assert json.loads(pq.read_metadata(tmp_path / "items.parquet").metadata[b"geo"])["primary_column"] == "geometry"


def test_what_is_unknown_is_left_out(rows: pa.Table, release: Release) -> None:
    first = documents(rows)[0]["properties"]
    if release == "v1":  # its lists hold no labels
        unlabelled = [item["properties"] for item in documents(rows)]
        assert sum("bigearth:labels_43" in properties for properties in unlabelled) == 0
        assert "bigearth:s2v1_name" not in first
    else:
        assert first["bigearth:labels_19"]
        assert "bigearth:labels_43" not in first
    summaries = describe_collection(rows, Holdings())["summaries"]
    assert ("bigearth:labels_43" in summaries) is False


def test_a_missing_half_or_map_is_no_asset(rows: pa.Table) -> None:
    none = pa.nulls(rows.num_rows, pa.string())
    optical = rows.set_column(rows.column_names.index("s1_name"), "s1_name", none)
    optical = optical.append_column("has_reference_map", pa.array([True] + [False] * (rows.num_rows - 1)))
    found = documents(optical)
    assert all("s1" not in item["assets"] for item in found)
    assert ["reference_map" in item["assets"] for item in found] == [True] + [False] * (rows.num_rows - 1)


def test_batches_say_the_same_as_one(rows: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = documents(rows)
    monkeypatch.setattr("bigearth_stac.items._BATCH_ITEMS", 7)
    batches = list(item_batches(rows, EVERYTHING))
    assert {len(batch) for batch in batches} == {7, 3}
    assert len({batch.schema for batch in batches}) == 1
    assert documents(rows) == whole


def test_rings_are_those_that_shapely_reads(rows: pa.Table) -> None:
    theirs = [shapely.get_coordinates(shapely.from_wkb(wkb)) for wkb in rows["geometry"].to_pylist()]
    np.testing.assert_array_equal(footprint_rings(rows["geometry"]), theirs)


def test_assets_are_the_arrays_of_the_store_with_every_band() -> None:
    templates = asset_templates(EVERYTHING)
    assert list(templates) == ["s2_10m", "s2_20m", "s2_60m", "s1", "reference_map", "thumbnail"]
    named = {band["name"] for template in templates.values() for band in template.get("bands", [])}
    assert named == {band.name for band in BANDS}
    assert asset_templates(Holdings()) == {}


@pytest.mark.parametrize(
    ("bands", "absent"), [(("B04",), "sar"), (("VV",), "eo"), (tuple(band.name for band in BANDS), None)]
)
def test_only_extensions_in_use_are_named(bands: tuple[str, ...], absent: str | None) -> None:
    used = Holdings(zarr_href="ben.zarr", bands=bands).extensions
    assert {EXTENSIONS[name] for name in ("eo", "sar", "raster")} - set(used) == (
        {EXTENSIONS[absent]} if absent else set()
    )
    assert Holdings().extensions == [EXTENSIONS["projection"], EXTENSIONS["grid"]]


def test_classes_are_those_of_corine() -> None:
    classes = land_cover_classes()
    assert [one["value"] for one in classes] == [*(int(label.clc_codes[0]) for label in CLASSES_43), 999]
    assert len({one["name"] for one in classes}) == 44


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    return table.from_lists(write_archive(tmp_path_factory.mktemp("many") / "v2", pairs=40))


def test_summaries_are_of_the_items_that_exist(many: pa.Table) -> None:
    collection = describe_collection(many, Holdings())
    summaries, found = collection["summaries"], [item["properties"] for item in documents(many, Holdings())]
    assert summaries["bigearth:country"] == sorted({one["bigearth:country"] for one in found})
    assert summaries["grid:code"] == sorted({one["grid:code"] for one in found})
    labels = {label for one in found for label in one["bigearth:labels_19"]}
    assert set(summaries["bigearth:labels_19"]) == labels
    times = [one["datetime"] for one in found]
    assert collection["extent"]["temporal"]["interval"] == [[min(times), max(times)]]
    boxes = np.array([item["bbox"] for item in documents(many, Holdings())])
    low, high = boxes.min(axis=0), boxes.max(axis=0)
    assert collection["extent"]["spatial"]["bbox"] == [[low[0], low[1], high[2], high[3]]]
