"""A search finds what brute force finds, and what it found opens as a Dataset of exactly those patches."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pystac
import pytest
import shapely
import xarray as xr
from bigearth_stac import build_catalog, find_items, open_search
from bigearth_stac.cli import app
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import bigearth_xr as bex
from bigearth_xr.errors import LabelError, SelectionError, StoreError

PAIRS = 24


@pytest.fixture(scope="module")
def catalog(fast_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_catalog(fast_store, tmp_path_factory.mktemp("catalog")).folder


@pytest.fixture(scope="module")
def every(catalog: Path) -> list[pystac.Item]:
    return list(find_items(catalog))


class Search:
    """What pystac-client gives: items page by page, and no length."""

    def __init__(self, items: list[pystac.Item]) -> None:
        self._items = items

    def items(self) -> Iterator[pystac.Item]:
        yield from self._items


def ids(items: list[pystac.Item]) -> list[str]:
    return [item.id for item in items]


@settings(max_examples=40)
@given(
    west=st.floats(-10, 31), south=st.floats(36, 70), width=st.floats(0, 20), height=st.floats(0, 20), data=st.data()
)
def test_a_box_finds_the_footprints_that_meet_it(
    catalog: Path,
    every: list[pystac.Item],
    west: float,
    south: float,
    width: float,
    height: float,
    data: st.DataObject,
) -> None:
    if data.draw(st.booleans(), label="at a corner"):
        west, south = data.draw(st.sampled_from(every)).geometry["coordinates"][0][2]  # type: ignore[index]  # polygon
    bbox = (west, south, west + width, south + height)
    expected = [item.id for item in every if shapely.geometry.shape(item.geometry).intersects(shapely.box(*bbox))]
    assert find_items(catalog, bbox=bbox).ids == expected


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("2017-06", datetime(2017, 6, 1), datetime(2017, 7, 1)),
        ("2017", datetime(2017, 1, 1), datetime(2018, 1, 1)),
        ("2017-06-13/2017-08", datetime(2017, 6, 13), datetime(2017, 9, 1)),
        ("../2017-08-31", datetime(1, 1, 1), datetime(2017, 9, 1)),
        ("2017-09-01T00:00:00Z/..", datetime(2017, 9, 1), datetime(9999, 1, 1)),
    ],
)
def test_an_interval_finds_both_its_ends(
    catalog: Path, every: list[pystac.Item], asked: str, start: datetime, stop: datetime
) -> None:
    first, last = start.replace(tzinfo=UTC), stop.replace(tzinfo=UTC)
    expected = [item.id for item in every if item.datetime and first <= item.datetime < last]
    assert expected
    assert find_items(catalog, datetime=asked).ids == expected


def test_one_moment_finds_its_item(catalog: Path, every: list[pystac.Item]) -> None:
    moment = every[5].properties["datetime"]
    expected = [item.id for item in every if item.properties["datetime"] == moment]
    assert find_items(catalog, datetime=moment).ids == expected


def test_labels_find_patches_that_have_one_of_them(catalog: Path, every: list[pystac.Item]) -> None:
    has_43 = "bigearth:labels_43" in every[0].properties
    both = [["Olive groves", "Urban fabric"]] if has_43 else []
    for wanted in (["Pastures"], ["Mixed forest", "Marine waters"], *both):
        expected = [
            item.id
            for item in every
            if {*item.properties["bigearth:labels_19"], *item.properties.get("bigearth:labels_43", [])} & set(wanted)
        ]
        assert expected
        assert find_items(catalog, any_label=wanted).ids == expected
    assert find_items(catalog, any_label="Pastures").ids == find_items(catalog, any_label=["Pastures"]).ids


def test_criteria_add_up(catalog: Path, every: list[pystac.Item]) -> None:
    country = every[0].properties["bigearth:country"]
    found = find_items(catalog, where=pc.field("bigearth:country") == country, datetime="2017", max_items=2)
    expected = [
        item.id
        for item in every
        if item.properties["bigearth:country"] == country and item.properties["datetime"].startswith("2017")
    ]
    assert found.ids == expected[:2]


def test_what_cannot_be_searched_is_named(catalog: Path, tmp_path: Path, archive: Path) -> None:
    with pytest.raises(SelectionError, match="is not a time or interval; expected"):
        find_items(catalog, datetime="last summer")
    for bbox in ((1, 2, 3), (23, 62, 24, 61), "23,61,24,62", ("23", "61", "24", "62"), 5):
        with pytest.raises(SelectionError, match=r"bbox is .*, expected \(west, south, east, north\)"):
            find_items(catalog, bbox=bbox)  # type: ignore[arg-type]  # the mistake
    with pytest.raises(SelectionError, match="max_items is 0, expected at least 1; leave it out for all"):
        find_items(catalog, max_items=0)
    with pytest.raises(
        LabelError, match=r"'Pasture' is not a label of the catalogue's (19|19 or 43) classes.*Pastures"
    ):
        find_items(catalog, any_label="Pasture")
    with pytest.raises(SelectionError, match="no items here; give the folder"):
        find_items(tmp_path)


def test_a_box_is_any_four_numbers(catalog: Path, every: list[pystac.Item]) -> None:
    edges = every[0].bbox
    assert edges
    expected = find_items(catalog, bbox=edges).ids
    assert every[0].id in expected
    assert find_items(catalog, bbox=np.array(edges)).ids == find_items(catalog, bbox=iter(edges)).ids == expected


def test_the_command_line_names_the_form_of_a_box(catalog: Path) -> None:
    refused = CliRunner().invoke(app, ["search", str(catalog), "--bbox", "23,61,24,north"])
    with pytest.raises(SelectionError, match="--bbox 23,61,24,north is not numbers; expected west,south,east,north"):
        raise refused.exception or AssertionError(refused.output)


def test_lists_without_labels_cannot_be_searched_by_label(tmp_path: Path) -> None:
    archive = bex.testing.write_archive(tmp_path / "v1", pairs=3, version="v1")
    catalog = build_catalog(archive / "lists", tmp_path / "catalog").folder
    with pytest.raises(LabelError, match="has no labels: it was built from lists that lack them"):
        find_items(catalog, any_label="Pastures")


def test_a_search_opens_as_exactly_its_patches(every: list[pystac.Item], fast_store: Path) -> None:
    chosen = [every[place] for place in (17, 2, 9)]
    collection = pystac.ItemCollection(chosen)
    reference = bex.open(fast_store).sel(patch=ids(chosen))
    for found in (chosen, collection, Search(chosen), collection.to_dict(), [item.to_dict() for item in chosen]):
        xr.testing.assert_identical(open_search(found), reference)
    assert open_search(chosen, store=fast_store).row.values.tolist() == [
        item.properties["bigearth:row"] for item in chosen
    ]


def test_what_the_command_line_found_opens_from_its_file(catalog: Path, fast_store: Path, tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    found = CliRunner().invoke(app, ["search", str(catalog), "--datetime", "2017-06", "--out", str(path)])
    reference = bex.open(fast_store).sel(patch=found.output.split())
    assert reference.sizes["patch"]
    for file in (path, str(path)):
        xr.testing.assert_identical(open_search(file), reference)


def test_one_item_opens_too(every: list[pystac.Item]) -> None:
    for item in (every[3], every[3].to_dict()):
        assert open_search(item).row.values.tolist() == [3]


def test_what_is_no_item_is_refused(catalog: Path, every: list[pystac.Item], fast_store: Path) -> None:
    for path in (every[0].id, fast_store, catalog / "nowhere"):
        with pytest.raises(
            SelectionError, match=r"no JSON file of items; expected one that .*--out.*sel\(patch=\[id\]\)"
        ):
            open_search(path)
    with pytest.raises(SelectionError, match=r"not a file of items; expected items\.parquet of a catalogue"):
        open_search(fast_store.with_suffix(".parquet"))
    collection = json.loads((catalog / "collection.json").read_text())
    for things in ([every[0].id], [every[0], None], collection, 5):
        with pytest.raises(SelectionError, match=r"is not a STAC item; .*bex\.open\(store\)\.sel\(patch=ids\)"):
            open_search(things)


def test_opening_a_search_reads_no_pixel_and_then_only_its_own(every: list[pystac.Item]) -> None:
    with bex.testing.count_reads() as reads:
        ds = open_search([every[20], every[3]])
        assert not reads
        pixels = ds.s2.sel(band="B04").load()
    assert reads == {"s2_10m": 2}
    np.testing.assert_array_equal(pixels.patch, [every[20].id, every[3].id])


def test_static_items_open_from_where_they_lie(fast_store: Path, tmp_path: Path) -> None:
    relative = build_catalog(fast_store, tmp_path / "catalog", zarr_href="./ben.zarr", static_items=True).folder
    (relative / "ben.zarr").symlink_to(fast_store)
    items = list(pystac.Collection.from_file(str(relative / "collection.json")).get_items(recursive=True))
    assert open_search(items).sizes["patch"] == PAIRS


def test_what_cannot_be_opened_is_named(every: list[pystac.Item], fast_store: Path, tmp_path: Path) -> None:
    with pytest.raises(SelectionError, match="the search found no item"):
        open_search([])
    stranger = every[0].clone()
    stranger.id = "S2A_elsewhere"
    with pytest.raises(SelectionError, match=r"1 of 2 items have no pixels in .*, first S2A_elsewhere; open the store"):
        open_search([every[1], stranger])
    bare = build_catalog(fast_store.with_suffix(".parquet"), tmp_path / "bare").folder
    with pytest.raises(StoreError, match=r"the items point to no store.*open_search\(items, store=…\)"):
        open_search(find_items(bare))
    assert open_search(find_items(bare), store=fast_store).sizes["patch"] == PAIRS
    remote = build_catalog(fast_store, tmp_path / "remote", zarr_href="https://example.org/ben.zarr").folder
    with pytest.raises(StoreError, match=r"https://example\.org/ben\.zarr is not on this machine"):
        open_search(find_items(remote))
    with pytest.raises(StoreError, match="the items are of 2 stores"):
        open_search([every[0], next(iter(find_items(remote)))])
