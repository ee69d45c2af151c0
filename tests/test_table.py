"""The table says the same of every patch as its archive, in the order of the store, and nothing that nobody told."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import bigearth_xr as bex
from bigearth_xr import table
from bigearth_xr.archive import open_archive
from bigearth_xr.errors import ArchiveError, LabelError, MetadataError
from bigearth_xr.labels import CLASSES_19, label_names
from bigearth_xr.releases import Release
from bigearth_xr.table.schema import DERIVED, SCHEMA
from bigearth_xr.testing import SyntheticPair, synthetic_pair, write_archive

NAMES_19 = [label.name for label in CLASSES_19]


@pytest.fixture
def rows(store: Path) -> pa.Table:
    """The table beside a store of 24 pairs."""
    return table.read(store.with_suffix(".parquet"))


@pytest.fixture
def pairs(release: Release) -> dict[str, SyntheticPair]:
    """What those pairs were written from, by patch id."""
    return {(pair := synthetic_pair(index, release=release)).patch: pair for index in range(24)}


def one_row(**columns: object) -> dict[str, pa.Array]:
    """The least that `assemble` takes, and what a test adds."""
    known: dict[str, Any] = {
        "patch": "S2A_MSIL2A_20170617T113321_4_55",
        "s1_name": "S1A_IW_GRDH_1SDV_20170617T064724_29UPU_4_55",
        "tile": "29UPU",
        "column": 4,
        "tile_row": 55,
    }
    return {name: pa.array([value]) for name, value in (known | columns).items()}


def with_column(rows: pa.Table, name: str, values: list[object]) -> pa.Table:
    """Replace a column."""
    field = rows.schema.field(name)
    return rows.set_column(rows.schema.get_field_index(name), field, pa.array(values, field.type))


# What it says.


def test_every_column_is_what_the_archive_was_written_from(
    rows: pa.Table, pairs: dict[str, SyntheticPair], release: Release
) -> None:
    assert rows.num_rows == len(pairs)
    for row in rows.to_pylist():
        pair = pairs[row["patch"]]
        assert (row["s1_name"], row["tile"]) == (pair.s1_name, pair.product.tile)
        assert (row["column"], row["tile_row"], row["epsg"]) == (pair.column, pair.row, pair.epsg)
        assert (row["ulx"], row["uly"]) == pair.corner
        assert row["country"] == pair.country
        assert (row["seasonal_snow"], row["cloud_or_shadow"]) == (pair.has_snow, pair.has_cloud)
        assert sorted(row["labels_19"]) == list(pair.labels_19)
        assert row["labels_43"] == (list(pair.labels_43) if release == "v1" else None)
        assert row["s2_platform"] == f"sentinel-2{pair.product.platform[-1].lower()}"
        assert row["s1_platform"] == f"sentinel-1{pair.s1_name[2].lower()}"


def test_times_are_those_of_the_product_though_names_of_v1_are_shifted(
    rows: pa.Table, pairs: dict[str, SyntheticPair]
) -> None:
    for patch, time in zip(rows["patch"].to_pylist(), rows["s2_time"].to_numpy(), strict=True):
        assert time == pairs[patch].product.sensing_time


def test_rows_lie_by_tile_then_date_then_morton_code(rows: pa.Table) -> None:
    def key(row: dict[str, Any]) -> tuple[object, ...]:
        bits = ((row["column"] >> bit & 1, row["tile_row"] >> bit & 1) for bit in range(7))
        morton = sum((x << 2 * bit) + (y << 2 * bit + 1) for bit, (x, y) in enumerate(bits))
        return row["tile"], row["s2_time"].date(), morton, row["patch"]

    keys = list(map(key, rows.to_pylist()))
    assert keys == sorted(keys)


def test_labels_lie_in_paper_order(rows: pa.Table) -> None:
    for labels in rows["labels_19"].to_pylist():
        assert labels == sorted(labels, key=NAMES_19.index)


def test_polygons_are_valid_and_fill_their_boxes(rows: pa.Table) -> None:
    polygons = shapely.from_wkb(rows["geometry"].to_pylist())
    assert shapely.is_valid(polygons).all()
    assert shapely.is_ccw(shapely.get_exterior_ring(polygons)).all()
    assert shapely.bounds(polygons).tolist() == [list(box.values()) for box in rows["bbox"].to_pylist()]
    centres = shapely.points(rows["lon"].to_numpy(), rows["lat"].to_numpy())
    assert shapely.contains(polygons, centres).all()


def test_the_engine_shows_the_same_as_the_table(rows: pa.Table, ds: xr.Dataset) -> None:
    kept = ("s1_name", "tile", "column", "tile_row", "epsg", "ulx", "uly", "lon", "lat", "country", "season", "split")
    assert ds.patch.values.tolist() == rows["patch"].to_pylist()
    for name in kept:
        assert ds[name].values.tolist() == ["" if value is None else value for value in rows[name].to_pylist()]
    for name in ("seasonal_snow", "cloud_or_shadow", "recommended"):
        assert ds[name].values.tolist() == rows[name].to_pylist()
    for name in ("s2_time", "s1_time"):
        assert (ds[name].values == rows[name].to_numpy()).all()


# What nobody told.


def test_labels_are_null_where_unknown_and_empty_where_there_are_none(tmp_path: Path) -> None:
    pairs = [synthetic_pair(index, release="v1") for index in range(40)]
    archive = write_archive(tmp_path / "v1", pairs=40, version="v1")
    bare = next(pair for pair in pairs if not pair.labels_19)
    unread = next(pair for pair in pairs if pair.labels_19)
    (json_file,) = archive.rglob(f"{unread.patch}_labels_metadata.json")
    json_file.write_text("{")
    labels = {row["patch"]: row["labels_19"] for row in table.from_archive(open_archive(archive)).to_pylist()}
    assert labels[bare.patch] == []
    assert labels[unread.patch] is None


def test_without_lists_only_what_they_know_is_null(tmp_path: Path) -> None:
    archive = open_archive(write_archive(tmp_path / "v2", pairs=3))
    rows = table.from_archive(archive)
    unknown = {name for name in rows.column_names if rows[name].null_count}
    assert unknown == {
        *("country", "split", "seasonal_snow", "cloud_or_shadow", "recommended"),
        *("labels_19", "labels_43", "s2v1_name"),
    }
    assert all(rows[name].null_count in (0, 3) for name in rows.column_names)


def test_the_archives_own_labels_win_over_those_of_the_lists(tmp_path: Path) -> None:
    archive = open_archive(write_archive(tmp_path / "v1", pairs=1, version="v1"))
    (pair,) = archive.patches
    listed = {"patch": pa.array([pair.patch]), "labels_19": pa.array([[]], pa.list_(pa.string()))}
    assert table.from_archive(archive, listed)["labels_19"].to_pylist()[0]


# Its file.


def test_a_table_comes_back_from_its_file_as_it_was(rows: pa.Table, tmp_path: Path) -> None:
    table.write(rows, tmp_path / "again.parquet")
    again = table.read(tmp_path / "again.parquet")
    assert again.equals(rows, check_metadata=True)
    assert again.schema.equals(SCHEMA)


def test_the_file_is_geoparquet(store: Path) -> None:
    geo = json.loads(pq.read_schema(store.with_suffix(".parquet")).metadata[b"geo"])
    geometry = geo["columns"][geo["primary_column"]]
    # Without "crs" it is longitude and latitude, WGS 84.
    assert (geo["version"], geometry["encoding"], "crs" in geometry) == ("1.1.0", "WKB", False)


# Its digest.


def test_the_digest_does_not_see_how_arrow_lays_a_table_out(rows: pa.Table) -> None:
    pieces = pa.concat_tables([rows.slice(0, 5), rows.slice(5)])
    assert pieces["patch"].num_chunks == 2
    assert table.digest(pieces) == table.digest(rows)


@pytest.mark.parametrize("name", [name for name in SCHEMA.names if name not in DERIVED])
def test_the_digest_sees_every_value_that_is_not_derived(rows: pa.Table, name: str) -> None:
    values = rows[name].to_pylist()
    swapped = next(i for i, value in enumerate(values) if value != values[0]) if len(set(map(str, values))) > 1 else 0
    if swapped:
        values[0] = values[swapped]
    else:
        values[0] = {"labels_43": ["Pastures"], "s2v1_name": "S2A"}[name]
    assert table.digest(with_column(rows, name, values)) != table.digest(rows)


def test_the_digest_does_not_see_what_proj_computes(rows: pa.Table) -> None:
    values = [lon + 1e-12 for lon in rows["lon"].to_pylist()]
    assert table.digest(with_column(rows, "lon", values)) == table.digest(rows)


@pytest.mark.parametrize(("one", "other"), [(None, ""), ([None], [[]]), (["ab", "c"], ["a", "bc"])])
def test_the_digest_tells_apart_what_looks_alike(one: object, other: object) -> None:
    def digest(value: object) -> str:
        kind = pa.list_(pa.string()) if value in ([None], [[]]) else pa.string()
        values = value if isinstance(value, list) else [value]
        return table.digest(pa.table({"x": pa.array(values, kind)}, metadata={"bigearth": '{"release": "v1"}'}))

    assert digest(one) != digest(other)


# Multi-hot.


@given(lists=st.lists(st.none() | st.sets(st.sampled_from(NAMES_19)), max_size=8))
def test_multi_hot_is_true_where_a_name_is_listed(lists: list[set[str] | None]) -> None:
    column = pa.array([None if names is None else sorted(names) for names in lists], pa.list_(pa.string()))
    expected = [[name in (names or ()) for name in NAMES_19] for names in lists]
    assert table.multi_hot(column).tolist() == expected


def test_multi_hot_of_part_of_a_column_is_part_of_its_multi_hot() -> None:
    column = pa.array([["Pastures"], None, ["Marine waters", "Arable land"], []])
    assert np.array_equal(table.multi_hot(column[1:]), table.multi_hot(column)[1:])


def test_multi_hot_refuses_a_name_of_the_other_nomenclature() -> None:
    assert "Bare rock" in label_names(43)
    with pytest.raises(LabelError, match="'Bare rock' is not a label of the 19-class nomenclature: Urban fabric"):
        table.multi_hot(pa.array([["Pastures", "Bare rock"]]))


# What it refuses.


def test_two_rows_of_one_patch_are_refused() -> None:
    twice = {name: pa.concat_arrays([array, array]) for name, array in one_row().items()}
    with pytest.raises(MetadataError, match="1 patches are listed more than once, first S2A_MSIL2A_20170617T113321_4_"):
        table.assemble("v1", twice)


@pytest.mark.parametrize("name", ["patch", "tile", "column", "tile_row"])
def test_a_row_that_lacks_its_name_or_place_is_refused(name: str) -> None:
    with pytest.raises(MetadataError, match=f"1 rows lack a {name}; every patch needs one"):
        table.assemble("v1", one_row() | {name: pa.array([None], SCHEMA.field(name).type)})


def test_a_table_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MetadataError, match="no 'bigearth' entry in its schema metadata; build it with"):
        table.digest(pa.table({"patch": ["a"]}))


def test_an_archive_without_a_pair_has_no_table(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "v2", pairs=2)
    (archive / "BigEarthNet-S1").rename(tmp_path / "elsewhere")
    with pytest.raises(
        ArchiveError, match=r"no complete pair of v2; .*sensors=\('s2',\).*\n2 unpaired, first: .*_68_76 is not used"
    ):
        table.from_archive(open_archive(archive))


def test_a_day_that_no_published_product_shows_has_the_time_of_its_name() -> None:
    # Hours of one digit and a second 61, as v1 has them.
    row = one_row(patch="S2A_MSIL2A_20170618T93061_4_55")
    assert str(table.assemble("v1", row)["s2_time"].to_numpy()[0]) == "2017-06-18T09:31:01"


def test_the_package_gives_the_table_on_first_access() -> None:
    assert bex.table is table
