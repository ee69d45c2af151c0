"""Labels survive every way between names, marks, nomenclatures and orders."""

import json
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigearth_xr.errors import LabelError
from bigearth_xr.labels import (
    CLASSES_19,
    CLASSES_43,
    UNLABELLED_CLASS,
    Nomenclature,
    clc_to_class,
    decode_labels,
    encode_labels,
    group_labels,
    group_multi_hot,
    label_names,
    reorder_labels,
)

NAMES_19 = st.sets(st.sampled_from(label_names(19)))
NAMES_43 = st.sets(st.sampled_from(label_names(43)))


@pytest.fixture(scope="module")
def published(shared: Path) -> dict[str, Any]:
    """Nomenclatures as transcribed from the publications."""
    tables: dict[str, Any] = json.loads((shared / "data/nomenclature.json").read_text())
    return tables


def test_the_43_classes_are_those_published(published: dict[str, Any]) -> None:
    assert [(one.name, *one.clc_codes, list(one.color), one.group, one.published_count) for one in CLASSES_43] == [
        (row["name"], row["clc_code"], row["rgb"], row["ben19"], row["count_v1_all"]) for row in published["clc43"]
    ]


def test_the_19_classes_are_those_published(published: dict[str, Any]) -> None:
    assert [(one.name, list(one.clc_codes), one.published_count) for one in CLASSES_19] == [
        (row["name"], row["from_clc_codes"], row["v2"]["total"]) for row in published["ben19"]
    ]


def test_groups_and_colours_are_those_of_the_v2_pipeline(shared: Path) -> None:
    rows = json.loads((shared / "data/v2/clc_metadata.json").read_text())["clc_data"]
    ours = {one.clc_codes[0]: one for one in CLASSES_43}
    theirs = {row["code"]: row for row in rows if row["code"] in ours}
    assert theirs.keys() == ours.keys()
    for code, row in theirs.items():
        assert (ours[code].group or "UNLABELED", *ours[code].color) == (
            row["name_19"],
            *row["color"][:3],
        )


def test_19_class_counts_are_those_of_the_published_table(shared: Path) -> None:
    labels = pq.read_table(shared / "data/v2/metadata.parquet", columns=["labels"])
    counts = Counter(chain.from_iterable(labels["labels"].to_pylist()))
    assert {one.name: one.published_count for one in CLASSES_19} == counts


def test_a_group_has_the_colour_of_its_most_frequent_member() -> None:
    arable = next(one for one in CLASSES_19 if one.name == "Arable land")
    non_irrigated = next(one for one in CLASSES_43 if one.name == "Non-irrigated arable land")
    assert arable.color == non_irrigated.color


def test_paper_and_lexicographic_order_have_the_same_names(
    published: dict[str, Any],
) -> None:
    lexicographic = label_names(order="lexicographic")
    for row in published["ben19"]:
        assert lexicographic[row["index_lexicographic"]] == row["name"]
    assert sorted(label_names()) == list(lexicographic)


@given(labels=NAMES_19)
def test_labels_survive_encoding(labels: set[str]) -> None:
    for order in ("paper", "lexicographic"):
        assert set(decode_labels(encode_labels(labels, order=order), order=order)) == labels


@given(labels=NAMES_43)
def test_grouping_names_and_marks_agree_with_a_dictionary(labels: set[str]) -> None:
    group_of = {one.name: one.group for one in CLASSES_43}
    expected = {group_of[label] for label in labels} - {None}
    assert set(group_labels(labels)) == expected
    assert set(decode_labels(group_multi_hot(encode_labels(labels, 43)))) == expected


def test_grouping_is_that_of_the_official_index_lists(
    published: dict[str, Any],
) -> None:
    grouped = group_multi_hot(np.eye(43, dtype=bool))
    official = published["official_label_conversion_indices"]
    assert [column.nonzero()[0].tolist() for column in grouped.T] == official


@given(labels=NAMES_43, nomenclature=st.sampled_from([19, 43]))
def test_reordering_moves_each_mark_with_its_name(labels: set[str], nomenclature: Nomenclature) -> None:
    if nomenclature == 19:
        labels = set(group_labels(labels))
    paper = encode_labels(labels, nomenclature)
    there = reorder_labels(paper, nomenclature, from_order="paper", to_order="lexicographic")
    assert set(decode_labels(there, nomenclature, "lexicographic")) == labels
    back = reorder_labels(there, nomenclature, from_order="lexicographic", to_order="paper")
    np.testing.assert_array_equal(back, paper)


def test_dask_marks_stay_lazy() -> None:
    marks = np.random.default_rng(0).random((6, 43)) < 0.1
    lazy = da.from_array(marks, chunks=(2, 43))
    grouped = group_multi_hot(lazy)
    assert isinstance(grouped, da.Array)
    np.testing.assert_array_equal(np.asarray(grouped), group_multi_hot(marks))


def test_reference_maps_agree_with_a_dictionary() -> None:
    index = {int(code): i for i, one in enumerate(CLASSES_19) for code in one.clc_codes}
    codes = np.arange(65536, dtype=np.uint16)
    expected = [index.get(int(code), UNLABELLED_CLASS) for code in codes]
    np.testing.assert_array_equal(clc_to_class(codes), np.array(expected, np.uint8))


def test_a_misspelt_label_is_named() -> None:
    with pytest.raises(LabelError, match=r"'pasture' is not one of the 19.*mean 'Pastures'"):
        encode_labels(["pasture"])
    with pytest.raises(LabelError, match=r"one of the 43 .*'Transitional woodland/shrub'"):
        group_labels(["Transitional woodland, shrub"])


def test_one_string_is_one_label() -> None:
    assert decode_labels(encode_labels("Pastures")) == ["Pastures"]


def test_a_wrong_number_of_classes_is_refused() -> None:
    with pytest.raises(LabelError, match=r"are \(5, 19\), expected 43 classes"):
        group_multi_hot(np.zeros((5, 19), bool))
    with pytest.raises(LabelError, match=r"are \(43,\), expected 19 classes"):
        reorder_labels(np.zeros(43, bool), from_order="paper", to_order="lexicographic")
    with pytest.raises(LabelError, match="one patch at a time"):
        decode_labels(np.zeros((2, 19), bool))


def test_an_unknown_nomenclature_or_order_is_refused() -> None:
    with pytest.raises(LabelError, match="unknown nomenclature 44; expected one of 19, 43"):
        label_names(44)  # type: ignore[arg-type]  # the mistake under test
    with pytest.raises(LabelError, match="order 'alphabetic'; expected one of paper, lexicographic"):
        label_names(19, "alphabetic")  # type: ignore[arg-type]  # the mistake under test
