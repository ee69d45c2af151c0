"""Selection against brute force on the table, row by row."""

from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xarray as xr
from openings import OPENERS

import bigearth_xr as bex
from bigearth_xr.errors import LabelError, SelectionError
from bigearth_xr.releases import SEASONS
from bigearth_xr.testing import count_reads

# The profile matters to what reads, and there both are tested.
pytestmark = pytest.mark.parametrize("store", ["fast"], indirect=True)

Row = dict[str, Any]


@pytest.fixture
def rows(table: pa.Table) -> list[Row]:
    """The table's rows."""
    found: list[Row] = table.to_pylist()
    return found


def patches_of(rows: list[Row], is_wanted: Callable[[Row], bool]) -> list[str]:
    """Ids of the rows that a criterion holds for, in the table's order."""
    return [row["patch"] for row in rows if is_wanted(row)]


CRITERIA: dict[str, tuple[dict[str, Any], Callable[[Row], bool]]] = {
    "split": ({"split": "train"}, lambda row: row["split"] == "train" and row["recommended"]),
    "split, recommended or not": ({"split": "test", "recommended": "any"}, lambda row: row["split"] == "test"),
    "split, not recommended": (
        {"split": "train", "recommended": False},
        lambda row: row["split"] == "train" and row["recommended"] is False,
    ),
    "recommended": ({"recommended": True}, lambda row: row["recommended"] is True),
    "not recommended": ({"recommended": False}, lambda row: row["recommended"] is False),
    "splits": (
        {"split": ["train", "val"], "recommended": "any"},
        lambda row: row["split"] in ("train", "validation"),
    ),
    "country": ({"country": "Austria"}, lambda row: row["country"] == "Austria"),
    "countries": ({"country": ["Ireland", "Finland"]}, lambda row: row["country"] in ("Ireland", "Finland")),
    "season": ({"season": "summer"}, lambda row: row["season"] == "summer"),
    "all seasons": ({"season": SEASONS}, lambda row: True),
    "tile": ({"tile": "33UUP"}, lambda row: row["tile"] == "33UUP"),
    "snow": ({"seasonal_snow": True}, lambda row: row["seasonal_snow"] is True),
    "no snow": ({"seasonal_snow": False}, lambda row: row["seasonal_snow"] is False),
    "cloud": ({"cloud_or_shadow": True}, lambda row: row["cloud_or_shadow"] is True),
    "no cloud": ({"cloud_or_shadow": False}, lambda row: row["cloud_or_shadow"] is False),
    "a label": ({"any_label": "Pastures"}, lambda row: "Pastures" in row["labels_19"]),
    "any label": (
        {"any_label": ["Pastures", "Arable land"]},
        lambda row: bool({"Pastures", "Arable land"} & {*row["labels_19"]}),
    ),
    "all of one": ({"all_labels": "Arable land"}, lambda row: "Arable land" in row["labels_19"]),
    "no label in particular": ({"all_labels": []}, lambda row: True),
    "several": (
        {"season": ["summer", "spring"], "seasonal_snow": False, "any_label": ["Pastures", "Mixed forest"]},
        lambda row: (
            row["season"] in ("summer", "spring")
            and row["seasonal_snow"] is False
            and bool({"Pastures", "Mixed forest"} & {*row["labels_19"]})
        ),
    ),
    "none": ({}, lambda row: True),
}


@pytest.mark.parametrize("criterion", CRITERIA)
def test_every_criterion_keeps_what_brute_force_keeps(ds: xr.Dataset, rows: list[Row], criterion: str) -> None:
    criteria, is_wanted = CRITERIA[criterion]
    expected = patches_of(rows, is_wanted)
    if expected:
        assert ds.ben.select(**criteria).patch.values.tolist() == expected
    else:
        with pytest.raises(SelectionError, match="no patch of 24 meets every criterion"):
            ds.ben.select(**criteria)


def test_all_labels_are_all_of_them(ds: xr.Dataset, rows: list[Row]) -> None:
    wanted = max((row["labels_19"] for row in rows), key=len)[:2]
    expected = patches_of(rows, lambda row: set(wanted) <= set(row["labels_19"]))
    assert len(wanted) == 2
    assert ds.ben.select(all_labels=wanted).patch.values.tolist() == expected


@pytest.mark.parametrize("release", ["v1"], indirect=True)
def test_labels_are_those_of_the_nomenclature_opened(store: Path, rows: list[Row]) -> None:
    wanted = next(row["labels_43"][0] for row in rows if row["labels_43"])
    expected = patches_of(rows, lambda row: wanted in row["labels_43"])
    assert bex.open(store, nomenclature=43).ben.select(any_label=wanted).patch.values.tolist() == expected


@pytest.mark.parametrize("criterion", ["any_label", "all_labels", "country"])
def test_names_may_come_from_an_iterator(ds: xr.Dataset, criterion: str) -> None:
    names = {"country": ds.country.values[:2].tolist()}.get(criterion, ["Pastures"])
    once, again = ds.ben.select(**{criterion: names}), ds.ben.select(**{criterion: (name for name in names)})
    assert once.patch.values.tolist() == again.patch.values.tolist()


@pytest.mark.parametrize(
    "asked",
    [
        {"country": xr.DataArray(["Ireland"], dims="patch")},
        {"country": np.array("Ireland")},
        {"country": pd.Index(["Ireland"])},
        {"country": np.str_("Ireland")},
    ],
    ids=lambda asked: type(asked["country"]).__name__,
)
def test_names_may_come_from_an_array(ds: xr.Dataset, asked: dict[str, Any]) -> None:
    assert ds.ben.select(**asked).patch.equals(ds.ben.select(country="Ireland").patch)


def test_names_may_come_from_the_dataset(ds: xr.Dataset) -> None:
    assert ds.ben.select(country=ds.country[:1]).patch.equals(ds.ben.select(country=str(ds.country.values[0])).patch)
    assert ds.ben.select(any_label=np.array("Pastures")).patch.equals(ds.ben.select(any_label="Pastures").patch)


def test_val_is_validation(ds: xr.Dataset) -> None:
    short, long = (ds.ben.select(split=name, recommended="any") for name in ("val", "validation"))
    assert set(short.split.values) == {"validation"}
    assert short.patch.values.tolist() == long.patch.values.tolist()


@pytest.mark.parametrize("release", ["v2"], indirect=True)  # v1's splits name no other patches
def test_a_split_implies_recommended(ds: xr.Dataset) -> None:
    assert ds.ben.select(split="train").recommended.values.all()
    assert not ds.ben.select(split="train", recommended="any").recommended.values.all()


# ---- times ---------------------------------------------------------------------------------------------------------

CEST = timezone(timedelta(hours=2))
FIRST, LAST = np.datetime64("1970-01-01"), np.datetime64("2100-01-01")


@pytest.mark.parametrize(
    ("when", "start", "stop"),
    [
        ("2017", "2017-01-01", "2017-12-31T23:59:59"),
        ("2017-06", "2017-06-01", "2017-06-30T23:59:59"),
        ("2017-06-17", "2017-06-17", "2017-06-17T23:59:59"),
        ("2017-06-17T11", "2017-06-17T11:00:00", "2017-06-17T11:59:59"),
        ("2017-06-17T11:33", "2017-06-17T11:33:00", "2017-06-17T11:33:59"),
        ("2017-06-17T11:33:21", "2017-06-17T11:33:21", "2017-06-17T11:33:21"),
        ("2017-06-17T11:33:21Z", "2017-06-17T11:33:21", "2017-06-17T11:33:21"),
        ("2017-06-17T13:33:21+02:00", "2017-06-17T11:33:21", "2017-06-17T11:33:21"),
        ("2017-06-17T13:33+02:00", "2017-06-17T11:33:00", "2017-06-17T11:33:59"),
        ("2017-06-17T11:33Z", "2017-06-17T11:33:00", "2017-06-17T11:33:59"),
        ("2017-06-17T11Z", "2017-06-17T11:00:00", "2017-06-17T11:59:59"),
        ("2017-06-17 11:33:21", "2017-06-17T11:33:21", "2017-06-17T11:33:21"),
        ("2017-06-17T11:33:21.000Z", "2017-06-17T11:33:21", "2017-06-17T11:33:21"),
        ("2017-06-17T11:33:20.5Z/2017-06-17T11:33:21,5Z", "2017-06-17T11:33:21", "2017-06-17T11:33:21"),
        ("2017-06-17T11:33:21.500Z/..", "2017-06-17T11:33:22", LAST),
        ("20170617T113321", "2017-06-17T11:33:21", "2017-06-17T11:33:21"),
        (" 2017-06-13 / 2017-07 ", "2017-06-13", "2017-07-31T23:59:59"),
        ("1500/9999", FIRST, LAST),
        ("2017-06-13/2017-07", "2017-06-13", "2017-07-31T23:59:59"),
        ("2017-06-17T00:00:00Z/2017-06-17T12:00:00Z", "2017-06-17", "2017-06-17T12:00:00"),
        ("../2017-08", FIRST, "2017-08-31T23:59:59"),
        ("2017-08/..", "2017-08-01", LAST),
        ("/2017-08", FIRST, "2017-08-31T23:59:59"),
        ("../..", FIRST, LAST),
        (("2017-06-13", "2017-07"), "2017-06-13", "2017-07-31T23:59:59"),
        (("2017-08", None), "2017-08-01", LAST),
        (slice("2017-06-13", "2017-07"), "2017-06-13", "2017-07-31T23:59:59"),
        (slice(None, "2017-08"), FIRST, "2017-08-31T23:59:59"),
        (slice(np.datetime64("2017-06-17T11:33:21"), None), "2017-06-17T11:33:21", LAST),
        (np.datetime64("2017-06"), "2017-06-01", "2017-06-30T23:59:59"),
        (np.datetime64("2017-06-17"), "2017-06-17", "2017-06-17T23:59:59"),
        (np.datetime64("2017-06-17T11:33:21", "ns"), "2017-06-17T11:33:21", "2017-06-17T11:33:21"),
        (date(2017, 6, 17), "2017-06-17", "2017-06-17T23:59:59"),
        (datetime(2017, 6, 17), "2017-06-17", "2017-06-17T23:59:59"),
        (datetime(2017, 6, 17, 11, 33, 21), "2017-06-17T11:33:21", "2017-06-17T11:33:21"),
        (datetime(2017, 6, 17, 13, 33, 21, tzinfo=CEST), "2017-06-17T11:33:21", "2017-06-17T11:33:21"),
        (pd.Timestamp("2017-06-17"), "2017-06-17", "2017-06-17T23:59:59"),
        (pd.Timestamp("2017-06-17", tz="UTC"), "2017-06-17", "2017-06-17T23:59:59"),
        (pd.Timestamp("2017-06-17T11:33:21"), "2017-06-17T11:33:21", "2017-06-17T11:33:21"),
        (datetime(2017, 6, 17, tzinfo=CEST), "2017-06-16T22:00:00", "2017-06-17T21:59:59"),
        (slice(pd.Timestamp("2017-06-17T11:33:20.999999999"), None), "2017-06-17T11:33:21", LAST),
        (np.datetime64("2017-06-15", "W"), "2017-06-15", "2017-06-21T23:59:59"),
        (pd.Series(["2017-06-13", "2017-07"]), "2017-06-13", "2017-07-31T23:59:59"),
        (pd.Period("2017Q2"), "2017-04-01", "2017-06-30T23:59:59"),
        (["2017-06-13", "2017-07"], "2017-06-13", "2017-07-31T23:59:59"),
        ((date(2017, 6, 13), date(2017, 6, 17)), "2017-06-13", "2017-06-17T23:59:59"),
        ([None, np.datetime64("2017-08")], FIRST, "2017-08-31T23:59:59"),
        (np.array(["2017-06", "2017-07"], "datetime64[M]"), "2017-06-01", "2017-07-31T23:59:59"),
        (pd.DatetimeIndex(["2017-06-13", "2017-06-17"]), "2017-06-13", "2017-06-17T23:59:59"),
        (xr.DataArray(np.array(["2017-06-13", "2017-07-01"], "datetime64[s]")), "2017-06-13", "2017-07-01"),
    ],
    ids=str,
)
def test_times_keep_what_was_seen_within_them(
    ds: xr.Dataset, rows: list[Row], when: Any, start: Any, stop: Any
) -> None:
    first, last = (np.datetime64(end, "s").item() for end in (start, stop))
    expected = patches_of(rows, lambda row: first <= row["s2_time"] <= last)
    assert expected
    assert ds.ben.select(datetime=when).patch.values.tolist() == expected


@pytest.mark.parametrize(
    "when",
    [
        "yesterday at ten",
        "2017-13",
        "2017-06-31",
        "2017-06/soon",
        "2017/2018/2019",
        "",
        "/",
        "..",
        "a/b/c",
        "2018-02-30",
        "2017-06-17T24:00",
        "2017-06-17T11:33:60Z",
        "06-07-2017",
        "2017.5",
        "201706",
        "11:33",
        "now",
        "2017Z",
        pd.Interval(pd.Timestamp("2017"), pd.Timestamp("2018")),
        "NaT",
        ("2017", "x"),
        ("2017", ""),
        ("2017",),
        ["2016", "2017", "2018"],
        [],
        slice("2017", "2018", "1D"),
        pd.NaT,
        np.datetime64("NaT", "s"),
        (pd.NaT, "2017"),
        2017,
        (2017, 2018),
        np.array([2017, 2018]),
        np.array([["2017", "2018"], ["2017", "2018"]]),
    ],
    ids=repr,
)
def test_times_that_are_none_are_refused(ds: xr.Dataset, when: Any) -> None:
    with pytest.raises(SelectionError, match=r"is not a time or interval; expected e.g. '2017-06'"):
        ds.ben.select(datetime=when)


def test_a_moment_between_seconds_is_no_whole_second(ds: xr.Dataset) -> None:
    with pytest.raises(SelectionError, match=r"datetime='2017-06-17T11:33:21.500Z' keeps 0"):
        ds.ben.select(datetime="2017-06-17T11:33:21.500Z")


@pytest.mark.parametrize(
    "when",
    [
        "2018/2017",
        "2017-07/2017-06",
        "2017-06-17T11:33:21.9Z/2017-06-17T11:33:21.2Z",
        (date(2018, 1, 1), date(2017, 1, 1)),
        slice("2018", "2017"),
    ],
    ids=str,
)
def test_an_interval_that_ends_before_it_begins_is_refused(ds: xr.Dataset, when: Any) -> None:
    with pytest.raises(SelectionError, match=r"datetime .* ends before it begins; give the earlier end first"):
        ds.ben.select(datetime=when)


# ---- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("criteria", "error", "message"),
    [
        ({"split": "trian"}, ValueError, "trian.*train"),
        ({"country": "Austira"}, SelectionError, "there is no country 'Austira'; known are Austria, Belgium.*Austria"),
        ({"country": ["Austria", ""]}, SelectionError, "there is no country ''"),
        ({"season": "fall"}, SelectionError, "there is no season 'fall'; known are winter, spring, summer, autumn"),
        ({"tile": "99XXX"}, SelectionError, "there is no tile '99XXX'; known are 29UPU"),
        ({"split": ["train", "tset"]}, SelectionError, "there is no split 'tset'; known are .*did you mean 'test'"),
        ({"split": 3}, SelectionError, r"split is 3, expected a name or several, e.g. \['train', 'validation'\]"),
        ({"country": 3}, SelectionError, r"country is 3, expected a name or several, e.g. \['Austria', 'Ireland'\]"),
        ({"country": [None]}, SelectionError, r"country is \[None\], expected a name or several"),
        ({"any_label": np.array([1, 2])}, SelectionError, r"any_label is \[1, 2\], expected a name or several"),
        ({"any_label": np.array("x")}, LabelError, "'x' is not a label of this Dataset's 19 classes"),
        ({"recommended": "yes"}, SelectionError, "recommended is 'yes', expected True, False, None or 'any'"),
        ({"seasonal_snow": "no"}, SelectionError, "seasonal_snow is 'no', expected True, False or None$"),
        ({"cloud_or_shadow": "any"}, SelectionError, "cloud_or_shadow is 'any', expected True, False or None$"),
        ({"any_label": "Pasture"}, LabelError, "'Pasture' is not a label of this Dataset's 19 classes.*Pastures"),
        ({"any_label": "pastures"}, LabelError, "'pastures' is not a label .* did you mean 'Pastures'"),
        (
            {"any_label": "Transitional woodland/shrub"},
            LabelError,
            "one of the 43 classes, and counts as 'Transitional woodland, shrub' among the 19; .*nomenclature=",
        ),
        ({"any_label": "Airports"}, LabelError, "is one of the 43 classes, and counts as none among the 19"),
        ({"tile": "T33UUP"}, SelectionError, "there is no tile 'T33UUP'.*did you mean '33UUP'"),
        ({"all_labels": ["Pastures", "Airports"]}, LabelError, r"'Airports' is not a label .* open\(nomenclature="),
    ],
    ids=str,
)
def test_unknown_names_are_refused(
    ds: xr.Dataset, criteria: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ds.ben.select(**criteria)


def test_an_empty_selection_says_what_each_criterion_keeps(ds: xr.Dataset) -> None:
    message = (
        r"no patch of 24 meets every criterion; each alone: country='Ireland' keeps \d+, datetime='2031' keeps 0; "
        "loosen one of them"
    )
    with pytest.raises(SelectionError, match=message):
        ds.ben.select(country="Ireland", datetime="2031")


@pytest.mark.parametrize(
    ("criteria", "untold"),
    [
        ({"split": "train"}, "split or recommended"),
        ({"split": ["train", "test"], "recommended": "any"}, "split"),
        ({"seasonal_snow": False, "bbox": (-180, -90, 180, 90)}, "seasonal_snow"),
    ],
    ids=str,
)
def test_what_no_list_told_cannot_be_selected_by(ds: xr.Dataset, criteria: dict[str, Any], untold: str) -> None:
    unlisted = ds.assign_coords(listed=ds.listed & False, split=("patch", np.full(24, "", dtype=object)))
    with pytest.raises(SelectionError, match=f"keeps 0.*; no list told {untold} of any patch, ingest with metadata=…"):
        unlisted.ben.select(**criteria)


def test_labels_that_nobody_told_cannot_be_selected_by(ds: xr.Dataset) -> None:
    untold = ds.assign_coords(has_labels=ds.has_labels & False)
    untold["labels"] = ds.labels & False
    with pytest.raises(SelectionError, match="keeps 0; nobody told the labels of any patch, ingest with metadata=…"):
        untold.ben.select(any_label="Pastures")


@pytest.mark.parametrize("release", ["v1"], indirect=True)
def test_a_name_of_the_19_is_no_class_of_the_43(store: Path) -> None:
    message = (
        "'Inland wetlands' is not a label .* it is one of the 19 classes, and stands for 'Inland marshes', 'Peatbogs'"
    )
    with pytest.raises(LabelError, match=message):
        bex.open(store, nomenclature=43).ben.select(any_label="Inland wetlands")


def test_an_unlisted_store_is_not_to_blame_for_other_criteria(ds: xr.Dataset) -> None:
    with pytest.raises(SelectionError, match="datetime='2031' keeps 0; loosen one of them"):
        ds.assign_coords(listed=ds.listed & False).ben.select(datetime="2031")


def test_one_patch_without_its_dimension_cannot_be_selected_from(ds: xr.Dataset) -> None:
    with pytest.raises(SelectionError, match=r"no dimension 'patch' to select along; keep it: ds.isel\(patch=\[0\]\)"):
        ds.isel(patch=0).ben.select(split="train")


@pytest.mark.parametrize(
    ("dropped", "criteria"),
    [
        ("split", {"split": "train"}),
        ("recommended", {"split": "train"}),
        ("country", {"country": "Austria"}),
        ("s2_time", {"datetime": "2017"}),
        ("lon", {"bbox": (0, 0, 1, 1)}),
    ],
)
def test_what_was_dropped_cannot_be_selected_by(ds: xr.Dataset, dropped: str, criteria: dict[str, Any]) -> None:
    with pytest.raises(SelectionError, match=f"no coordinate '{dropped}', it has .*; select before dropping it"):
        ds.drop_vars(dropped).ben.select(**criteria)


def test_dropped_labels_cannot_be_selected_by(ds: xr.Dataset) -> None:
    with pytest.raises(SelectionError, match="no variable 'labels'; select before dropping it"):
        ds.drop_vars("labels").ben.select(any_label="Pastures")


# ---- laziness ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("opening", OPENERS)
def test_selecting_reads_no_pixel(store: Path, opening: str) -> None:
    with count_reads() as reads:
        ds = OPENERS[opening](store)
        lon, lat = float(ds.lon[0]), float(ds.lat[0])
        box = (lon - 1, lat - 1, lon + 1, lat + 1)
        ds.ben.select(split="train", seasonal_snow=False, bbox=box, datetime="2017/2018", all_labels=[])
    assert reads == {}


@pytest.mark.parametrize("opening", OPENERS)
def test_what_is_selected_is_all_that_is_read(store: Path, opening: str) -> None:
    ds = OPENERS[opening](store)
    chosen = ds.ben.select(seasonal_snow=True)
    with count_reads() as reads:
        chosen.s2.sel(band=["B04", "B11"]).load()
    assert chosen.sizes["patch"] == 2
    assert reads == {"s2_10m": 2, "s2_20m": 2}


@pytest.mark.parametrize("opening", OPENERS)
def test_selections_hold_the_pixels_of_their_patches(store: Path, opening: str) -> None:
    whole = bex.open(store).load()
    chosen = OPENERS[opening](store).ben.select(split="train").ben.select(season=["summer", "spring", "autumn"])
    xr.testing.assert_identical(chosen.load(), whole.sel(patch=chosen.patch.values))


def test_computed_values_are_selected_too(ds: xr.Dataset) -> None:
    chosen = (ds * 2).ben.select(seasonal_snow=True)
    np.testing.assert_array_equal(chosen.s1, 2 * ds.s1.sel(patch=chosen.patch))
