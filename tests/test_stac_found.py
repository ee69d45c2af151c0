"""What a search found is columns of the catalogue's file, and becomes objects, JSON or a Dataset only when asked."""

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import bigearth_stac.search as bigearth_search
import geopandas
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pystac
import pytest
import xarray as xr
from bigearth_stac import build_catalog, find_items, found, open_search
from bigearth_stac.found import FoundItems

import bigearth_xr as bex
from bigearth_xr.errors import DependencyError, SelectionError, StoreError

PAIRS = 24


@pytest.fixture(scope="module")
def catalog(fast_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_catalog(fast_store, tmp_path_factory.mktemp("catalog"), static_items=True).folder


@pytest.fixture(scope="module")
def whole(catalog: Path) -> pa.Table:
    """The file, read by pyarrow: the oracle."""
    return pq.read_table(catalog / "items.parquet")


@pytest.fixture(params=[7, 32_768], ids=["many row groups", "one row group"])
def items(request: pytest.FixtureRequest, catalog: Path, whole: pa.Table, tmp_path: Path) -> FoundItems:
    """Every third patch or so, of a file in small or large pieces."""
    shutil.copy(catalog / "collection.json", tmp_path)
    pq.write_table(whole, tmp_path / "items.parquet", row_group_size=request.param)
    return find_items(tmp_path, where=pc.field("bigearth:row") > 2)


def test_it_is_a_sequence_of_what_is_in_the_file(items: FoundItems, whole: pa.Table) -> None:
    ids = whole["id"].to_pylist()[3:]
    assert len(items) == PAIRS - 3
    assert items.ids == [item.id for item in items] == ids
    np.testing.assert_array_equal(items.rows, np.arange(3, PAIRS))
    assert (items[0].id, items[-1].id, items[np.int64(5)].id) == (ids[0], ids[-1], ids[5])
    with pytest.raises(IndexError):
        items[PAIRS]


@pytest.mark.parametrize("key", [slice(4, 9), slice(None, None, -2), [3, 0, 3], np.array([20, 1]), []], ids=str)
def test_a_part_of_it_is_one_too_in_the_order_asked_for(items: FoundItems, key: Any) -> None:
    expected = np.array(items.ids, dtype=object)[key].tolist()
    part = items[key]
    assert part.ids == part.read(["id"])["id"].to_pylist() == [item.id for item in part] == expected
    if expected:
        assert open_search(part).patch.values.tolist() == expected


def test_a_mask_takes_a_part(items: FoundItems) -> None:
    late = pc.greater(items.table["datetime"], items.table["datetime"][0])
    expected = [item.id for item in items if item.datetime and item.datetime > items[0].datetime]  # type: ignore[operator]  # it has one
    assert items[np.asarray(late)].ids == expected


def test_its_table_is_every_property(items: FoundItems, whole: pa.Table) -> None:
    table = items.table
    beyond = {"type", "stac_version", "stac_extensions", "geometry", "bbox", "links", "assets", "collection"}
    assert set(table.column_names) == set(whole.column_names) - beyond
    assert table.equals(whole.select(table.column_names).slice(3))


def test_other_columns_are_read_by_name(items: FoundItems, whole: pa.Table) -> None:
    assert items.read(["geometry"])["geometry"].equals(whole["geometry"].slice(3))
    hrefs = items.read(["assets.s2_10m.href"])["assets"]
    assert pc.struct_field(hrefs, [0, 0]).equals(pc.struct_field(whole["assets"], ["s2_10m", "href"]).slice(3))
    with pytest.raises(SelectionError, match=r"it has no column 'country'; its columns are .*bigearth:country"):
        items.read(["country"])


def test_it_says_what_it_is(items: FoundItems) -> None:
    shown = repr(find_items(items.file.parent, season="summer", max_items=2))
    assert shown.startswith(f"<FoundItems: 2 of 24 items in {items.file}>\n  season='summer', max_items=2\n  S2")
    assert "open_search(found)" in shown
    assert repr(items[:0]).count("\n") == 2


def test_pystac_reads_what_it_writes(items: FoundItems, tmp_path: Path) -> None:
    items[3:9].write_json(tmp_path / "found.json")
    theirs = pystac.ItemCollection.from_file(str(tmp_path / "found.json"))
    assert theirs.to_dict() == items[3:9].to_items().to_dict()
    assert [item.to_dict() for item in theirs] == [item.to_dict() for item in items[3:9]]
    items[:0].write_json(tmp_path / "none.json")
    assert json.loads((tmp_path / "none.json").read_text()) == {"type": "FeatureCollection", "features": []}


def test_addresses_relative_to_the_catalogue_still_lead_there(fast_store: Path, tmp_path: Path) -> None:
    catalog = build_catalog(fast_store, tmp_path / "catalog", zarr_href="../ben.zarr").folder
    (tmp_path / "ben.zarr").symlink_to(fast_store)
    items = find_items(catalog, max_items=3)
    items.write_json(tmp_path / "elsewhere.json")
    for way in (items, list(items), items.to_items(), tmp_path / "elsewhere.json"):
        assert open_search(way).patch.values.tolist() == items.ids
    assert items[0].get_collection().id == json.loads((catalog / "collection.json").read_text())["id"]  # type: ignore[union-attr]  # none: a failure too


def test_it_survives_pickling(items: FoundItems) -> None:
    again = pickle.loads(pickle.dumps(items))
    assert again.ids == items.ids
    assert again[2].to_dict() == items[2].to_dict()


def test_a_catalogue_that_was_built_again_is_not_taken_for_the_one_searched(items: FoundItems, whole: pa.Table) -> None:
    pq.write_table(whole.slice(1), items.file)
    for use in (lambda: items.table, lambda: items[0], items.to_items, lambda: open_search(items)):
        with pytest.raises(SelectionError, match="it was written again since this search; search again"):
            use()


def test_without_pystac_it_opens_and_says_what_items_need(items: FoundItems, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pystac", None)
    found._pystac.cache_clear()
    assert open_search(items).sizes["patch"] == len(items)
    with pytest.raises(DependencyError, match=r"items as objects need pystac.*bigearth-xr\[stac\].*found.table"):
        items.to_items()


def test_a_search_stops_reading_when_it_has_enough(
    catalog: Path, whole: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pq.write_table(whole, tmp_path / "items.parquet", row_group_size=4)
    read: list[object] = []
    met = bigearth_search._met

    def counted(part: Any, *others: Any) -> Any:
        read.append(part)
        return met(part, *others)

    monkeypatch.setattr(bigearth_search, "_met", counted)
    assert find_items(tmp_path, max_items=5).ids == whole["id"].to_pylist()[:5]
    assert len(read) == 2


# ---- what else opens -----------------------------------------------------------------------------------------------


def test_all_of_a_catalogue_opens_from_whatever_names_it(catalog: Path, fast_store: Path) -> None:
    reference = bex.open(fast_store)
    by_file = pystac.Collection.from_file(str(catalog / "collection.json"))
    by_links = pystac.Collection.from_file(str(catalog / "collection.json"))
    del by_links.assets["items"]
    for whole in (catalog, str(catalog), catalog / "items.parquet", catalog / "collection.json", by_file, by_links):
        opened = open_search(whole)
        xr.testing.assert_identical(opened if whole is not by_links else opened.sortby("row"), reference)


def test_a_table_of_items_opens(items: FoundItems, fast_store: Path) -> None:
    frame = geopandas.read_parquet(items.file)
    chosen = frame[frame["bigearth:row"] % 5 == 1]
    reference = bex.open(fast_store).isel(patch=[1, 6, 11, 16, 21])
    xr.testing.assert_identical(open_search(chosen), reference)
    arrow = pq.read_table(items.file).filter(pc.is_in(pc.field("bigearth:row"), pa.array([1, 6, 11, 16, 21])))
    xr.testing.assert_identical(open_search(arrow), reference)
    xr.testing.assert_identical(open_search(chosen[["id", "geometry"]], store=fast_store), reference)
    for bare in (chosen[["id", "geometry"]], arrow.select(["id"])):
        with pytest.raises(StoreError, match=r"the items point to no store.*open_search\(items, store=…\)"):
            open_search(bare)
    for nameless in (chosen[["geometry"]], arrow.select(["geometry"])):
        with pytest.raises(SelectionError, match="the table has no column 'id', it has geometry; expected items"):
            open_search(nameless, store=fast_store)
    with pytest.raises(SelectionError, match="the search found no item"):
        open_search(chosen[:0])


def test_rows_are_never_trusted(items: FoundItems, fast_store: Path) -> None:
    table = pq.read_table(items.file)
    swapped = table.set_column(table.column_names.index("bigearth:row"), "bigearth:row", pa.array(range(PAIRS)[::-1]))
    with pytest.raises(StoreError, match=r"is of row 23, but in the store .* this patch is row 0: the catalogue is of"):
        open_search(swapped)
    assert open_search(swapped, store=fast_store).patch.values.tolist() == table["id"].to_pylist()


def test_another_stac_geoparquet_opens_by_ids(items: FoundItems, fast_store: Path, tmp_path: Path) -> None:
    pq.write_table(pq.read_table(items.file, columns=["id", "geometry"]), tmp_path / "theirs.parquet")
    assert open_search(tmp_path / "theirs.parquet", store=fast_store).sizes["patch"] == PAIRS
