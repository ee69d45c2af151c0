"""A criterion of a search finds what brute force over the table finds, or is refused in words; never 0 by mistake."""

import json
import re
import shutil
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from bigearth_stac import build_catalog, find_items, open_search
from bigearth_stac.cli import app, main
from bigearth_stac.found import FoundItems
from typer.testing import CliRunner

import bigearth_xr as bex
from bigearth_xr.errors import LabelError, SelectionError, StoreError, StoreNotFoundError

CEST = timezone(timedelta(hours=2))

Row = dict[str, Any]


@pytest.fixture(scope="module")
def catalog(fast_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_catalog(fast_store, tmp_path_factory.mktemp("catalog")).folder


@pytest.fixture(scope="module")
def rows(fast_store: Path) -> list[Row]:
    found: list[Row] = bex.table.read(fast_store.with_suffix(".parquet")).to_pylist()
    return found


@pytest.mark.parametrize(
    ("when", "first", "last"),
    [
        ("2017-06-17T11:33Z", "2017-06-17T11:33:00", "2017-06-17T11:33:59"),
        ("2017-06-17T13:33+02:00", "2017-06-17T11:33:00", "2017-06-17T11:33:59"),
        ("2017-06-17T11:33:21.000Z", "2017-06-17T11:33:21", "2017-06-17T11:33:21"),
        ("2017-06-17T11:33:20.5Z/2017-06-17T11:33:21.5Z", "2017-06-17T11:33:21", "2017-06-17T11:33:21"),
        ("2017-06-17T11:33:21.500Z/..", "2017-06-17T11:33:22", "2100-01-01"),
        ("../2018", "1970-01-01", "2018-12-31T23:59:59"),
        ("2017-06-13/2017-06-17", "2017-06-13", "2017-06-17T23:59:59"),
        (date(2017, 6, 17), "2017-06-17", "2017-06-17T23:59:59"),
        ((datetime(2017, 6, 17, 13, tzinfo=CEST), None), "2017-06-17T11:00:00", "2100-01-01"),
        (np.datetime64("2017-06"), "2017-06-01", "2017-06-30T23:59:59"),
        (slice(pd.Timestamp("2017-06-17", tz=UTC), "2017-07"), "2017-06-17", "2017-07-31T23:59:59"),
    ],
    ids=str,
)
def test_times_find_what_was_seen_within_them(catalog: Path, rows: list[Row], when: Any, first: str, last: str) -> None:
    start, stop = datetime.fromisoformat(first), datetime.fromisoformat(last)
    expected = [row["patch"] for row in rows if start <= row["s2_time"] <= stop]
    assert expected
    assert find_items(catalog, datetime=when).ids == expected


@pytest.mark.parametrize(
    "when", ["", "/", "2017/2018/2019", "a/b/c", "2018-02-30", "06-07-2017", "now", 2017, ("2017",)]
)
def test_times_that_are_none_are_refused(catalog: Path, when: Any) -> None:
    with pytest.raises(SelectionError, match=r"is not a time or interval; expected e.g. '2017-06'.*year first"):
        find_items(catalog, datetime=when)


def test_an_interval_that_ends_before_it_begins_is_refused(catalog: Path) -> None:
    with pytest.raises(SelectionError, match="datetime '2018/2017' ends before it begins"):
        find_items(catalog, datetime="2018/2017")


def test_a_box_may_cross_the_antimeridian_and_not_leave_the_globe(catalog: Path, rows: list[Row]) -> None:
    east = [row["patch"] for row in rows if row["bbox"]["xmax"] >= 20 or row["bbox"]["xmin"] <= -170]
    assert find_items(catalog, bbox=(20, -90, -170, 90)).ids == east
    with pytest.raises(SelectionError, match="bring metres of a projection to EPSG:4326"):
        find_items(catalog, bbox=(331200, 5331600, 332400, 5332800))


@pytest.mark.parametrize("criterion", ["split", "country", "season", "tile"])
def test_names_find_what_brute_force_finds(catalog: Path, rows: list[Row], criterion: str) -> None:
    for name in sorted({row[criterion] for row in rows if row[criterion]}):
        expected = [row["patch"] for row in rows if row[criterion] == name]
        assert find_items(catalog, **{criterion: name}, recommended="any").ids == expected


def test_a_split_implies_recommended(catalog: Path, rows: list[Row]) -> None:
    expected = [row["patch"] for row in rows if row["split"] == "validation" and row["recommended"]]
    assert expected
    assert find_items(catalog, split="val").ids == find_items(catalog, split=["validation"]).ids == expected
    unwanted = [row["patch"] for row in rows if row["recommended"] is False]
    assert find_items(catalog, recommended=False).ids == unwanted


@pytest.mark.parametrize(
    ("criteria", "message"),
    [
        ({"split": "vail"}, "there is no split 'vail'"),
        ({"country": "finland"}, "there is no country 'finland'; .*did you mean 'Finland'"),
        ({"season": "fall"}, "there is no season 'fall'; known are winter"),
        ({"tile": "T33UUP"}, "there is no tile 'T33UUP'.*did you mean '33UUP'"),
        ({"tile": 33}, "tile is 33, expected a name or several"),
        ({"ids": ["nobody"]}, "1 of 1 ids are not in the catalogue, first 'nobody'; it is of 24 patches"),
        ({"recommended": "yes"}, "recommended is 'yes', expected True, False, None or 'any'"),
        ({"max_items": -1}, "max_items is -1, expected at least 1"),
        ({"max_items": 1.5}, "max_items is 1.5, expected at least 1"),
        ({"where": pc.field("country") == "Finland"}, "cannot be asked .*did you mean 'bigearth:country'.*columns are"),
        ({"where": pc.field("bigearth:country") == 3}, "cannot be asked of the catalogue; its columns are"),
        ({"where": "country = 3"}, r"where is 'country = 3', expected an expression, e.g. pc.field\("),
    ],
    ids=str,
)
def test_what_does_not_exist_is_refused(catalog: Path, criteria: dict[str, Any], message: str) -> None:
    with pytest.raises(SelectionError, match=message):
        find_items(catalog, **criteria)
    with pytest.raises(TypeError, match="find_items has no option 'limit'; it has catalog, "):
        find_items(catalog, limit=3)  # type: ignore[call-arg]  # the mistake


@pytest.mark.parametrize(
    "criteria",
    [
        {"split": "val"},
        {"split": ["train", "test"], "recommended": "any"},
        {"recommended": False},
        {"seasonal_snow": True},
        {"seasonal_snow": False, "cloud_or_shadow": np.False_},
        {"cloud_or_shadow": True},
        {"season": np.array(["summer", "winter"])},
        {"country": ("Finland", "Portugal")},
        {"any_label": ["Pastures", "Marine waters"]},
        {"all_labels": "Pastures"},
        {"all_labels": []},
        {"datetime": "../.."},
        {"datetime": "2017-06-17T11:33:20.5Z/2018", "season": "summer"},
        {"datetime": slice("2017-08", None), "recommended": True},
        {"datetime": (date(2017, 6, 1), datetime(2018, 2, 1, tzinfo=CEST))},
        {"bbox": (-10, 36, 20, 60), "season": ["spring", "summer"]},
    ],
    ids=str,
)
def test_a_search_finds_what_a_dataset_selects(catalog: Path, fast_store: Path, criteria: dict[str, Any]) -> None:
    selected = bex.open(fast_store).ben.select(**criteria)
    found = find_items(catalog, **criteria)
    assert found.ids == selected.patch.values.tolist()
    np.testing.assert_array_equal(open_search(found).row, selected.row)


def test_all_labels_are_had_at_once(catalog: Path, rows: list[Row]) -> None:
    for row in rows[::4]:
        wanted = set(row["labels_19"][:2])
        expected = [other["patch"] for other in rows if wanted <= set(other["labels_19"])]
        assert find_items(catalog, all_labels=wanted).ids == expected
        also = [patch for patch in expected if patch != row["patch"]]
        assert find_items(catalog, all_labels=wanted, any_label=wanted).ids == expected
        assert find_items(catalog, all_labels=wanted, where=pc.field("id") != row["patch"]).ids == also


@pytest.mark.parametrize(
    "criteria",
    [
        {"split": "vail"},
        {"country": ["Finland", "Norway"]},
        {"country": []},
        {"season": 3},
        {"tile": "T33UUP"},
        {"any_label": []},
        {"any_label": [19]},
        {"all_labels": None, "seasonal_snow": "yes"},
        {"cloud_or_shadow": "any"},
        {"recommended": 1},
        {"bbox": (1, 2, 3)},
        {"bbox": (0, 5, 500, 9)},
        {"datetime": "2017/2016"},
        {"datetime": np.datetime64("NaT", "s")},
        {"datetime": pd.NaT},
        {"datetime": "/"},
        {"datetime": ""},
        {"datetime": "2017/2018/2019"},
        {"datetime": slice("2017", "2018", 2)},
    ],
    ids=str,
)
def test_a_search_refuses_what_a_dataset_refuses_in_the_same_words(
    catalog: Path, fast_store: Path, criteria: dict[str, Any]
) -> None:
    with pytest.raises(SelectionError) as theirs:
        bex.open(fast_store).ben.select(**criteria)
    with pytest.raises(SelectionError, match=f"^{re.escape(str(theirs.value))}$"):
        find_items(catalog, **criteria)


def test_ids_find_their_patches_in_the_order_of_the_table(catalog: Path, rows: list[Row]) -> None:
    wanted = [rows[place]["patch"] for place in (7, 2)]
    assert find_items(catalog, ids=wanted).ids == wanted[::-1]


def test_labels_of_a_nomenclature_that_the_catalogue_lacks_are_refused(tmp_path: Path) -> None:
    store = bex.testing.write_store(tmp_path / "ben.zarr", pairs=6)
    catalog = build_catalog(store, tmp_path / "catalog").folder
    with pytest.raises(LabelError, match=r"'s 19 classes; it is one of the 43 classes, and counts as 'Transit.*, "):
        find_items(catalog, any_label="Transitional woodland/shrub")
    with pytest.raises(LabelError, match=r"'Airports' is not a label .* counts as none among the 19"):
        find_items(catalog, any_label=["Pastures", "Airports"])
    with pytest.raises(LabelError, match=r"'pastures' is not a label .* did you mean 'Pastures'"):
        find_items(catalog, any_label="pastures")


def test_a_catalogue_of_lists_that_only_tell_who_has_no_label_has_none(tmp_path: Path) -> None:
    table = bex.table.read(bex.testing.write_store(tmp_path / "ben.zarr", pairs=6).with_suffix(".parquet"))
    empty = pa.array([[], *[None] * 5], table.schema.field("labels_19").type)
    place = table.schema.get_field_index("labels_19")
    bex.table.write(table.set_column(place, table.schema.field("labels_19"), empty), tmp_path / "lists.parquet")
    catalog = build_catalog(tmp_path / "lists.parquet", tmp_path / "catalog").folder
    with pytest.raises(LabelError, match="the catalogue has no labels"):
        find_items(catalog, any_label="Pastures")


def test_a_catalogue_that_no_list_told_cannot_be_searched_by_lists(tmp_path: Path) -> None:
    table = bex.table.read(bex.testing.write_store(tmp_path / "ben.zarr", pairs=6).with_suffix(".parquet"))
    for name in ("split", "recommended"):
        nothing = pa.nulls(6, table.schema.field(name).type)
        table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), nothing)
    bex.table.write(table, tmp_path / "untold.parquet")
    catalog = build_catalog(tmp_path / "untold.parquet", tmp_path / "catalog").folder
    for criteria in ({"split": "train"}, {"recommended": True}):
        with pytest.raises(SelectionError, match=r"the catalogue tells no (split|recommended): no list told it"):
            find_items(catalog, **criteria)


def test_the_command_line_says_the_same_and_fails(catalog: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    for option, value in (("--datetime", "2018/2017"), ("--label", "pastures"), ("--limit", "0"), ("--season", "fall")):
        monkeypatch.setattr("sys.argv", ["bigearth-stac", "search", str(catalog), option, value])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        assert "error: " in capsys.readouterr().err
    empty = CliRunner().invoke(app, ["search", str(catalog), "--datetime", "1999"])
    assert (empty.exit_code, empty.stdout, empty.stderr) == (0, "", "no item meets every criterion\n")


# ---- the store that was catalogued ---------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path) -> tuple[Path, FoundItems]:
    """A store of one test, and its items."""
    store = bex.testing.write_store(tmp_path / "ben.zarr", pairs=6)
    return store, find_items(build_catalog(store, tmp_path / "catalog").folder)


def uuid_of(store: Path) -> str:
    return str(json.loads((store / "zarr.json").read_text())["attributes"]["bigearth"]["uuid"])


def test_items_and_collection_say_which_store_they_are_of(own: tuple[Path, FoundItems]) -> None:
    store, items = own
    collection = json.loads((store.parent / "catalog" / "collection.json").read_text())
    assert collection["assets"]["zarr"]["bigearth:store_uuid"] == uuid_of(store)
    assert {item.properties["bigearth:store_uuid"] for item in items} == {uuid_of(store)}


def test_items_of_a_store_that_was_ingested_again_are_refused(own: tuple[Path, FoundItems], tmp_path: Path) -> None:
    store, first = own[0], list(own[1])[:2]
    before = uuid_of(store)
    shutil.rmtree(store)
    store.with_suffix(".parquet").unlink()
    bex.testing.write_store(store, pairs=5)
    with pytest.raises(StoreError, match=f"{before}, but at {store} lies the store {uuid_of(store)}: it was"):
        open_search(first)
    named = open_search(first, store=store)
    assert named.patch.values.tolist() == [item.id for item in first]
    shutil.rmtree(store)
    with pytest.raises(StoreNotFoundError, match=f"{store}: the store {before} that the items point to is not there"):
        open_search(first)


def test_a_row_that_is_another_patch_in_the_store_is_refused(own: tuple[Path, FoundItems]) -> None:
    store, items = own
    # Items of a table alone know no uuid, only rows.
    moved = [item.clone() for item in items]
    for item in moved:
        del item.properties["bigearth:store_uuid"]
    assert open_search(moved).sizes["patch"] == 6
    moved[3].properties["bigearth:row"] = 2
    with pytest.raises(StoreError, match=rf"{moved[3].id} is of row 2, but in the store .* this patch is row 3"):
        open_search(moved)
    assert open_search(moved, store=store).row.values.tolist() == [0, 1, 2, 3, 4, 5]
