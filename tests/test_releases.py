"""Published numbers follow from the published lists."""

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from bigearth_xr.errors import MetadataError, SelectionError
from bigearth_xr.releases import (
    COUNTRIES,
    RELEASES,
    SEASONS,
    SPLITS,
    normalize_split,
    release,
    season_codes,
    season_of,
)

SNOW_OR_CLOUD = "metadata_for_patches_with_snow_cloud_or_shadow.parquet"


@pytest.fixture(scope="module")
def v1_lists(published_lists: Path) -> dict[str, list[Any]]:
    """Columns of the published v1 lists, by file; the pair list by column."""
    pairs = csv.read_csv(published_lists / "s1_s2_name_country_season.csv")
    lists = {name: pairs[name].to_pylist() for name in pairs.column_names}
    bare = csv.ReadOptions(autogenerate_column_names=True)
    for path in published_lists.glob("*.csv"):
        if path.stem.startswith("patches") or path.stem in ("train", "val", "test"):
            lists[path.stem] = csv.read_csv(path, read_options=bare)["f0"].to_pylist()
    return lists


def test_v1_numbers_follow_from_its_lists(v1_lists: dict[str, list[Any]]) -> None:
    facts = release("v1")
    assert facts.pairs == len(set(v1_lists["s2_name"]))
    listed = {normalize_split(name): v1_lists[name] for name in ("train", "val", "test")}
    assert facts.split_pairs == {name: len(rows) for name, rows in listed.items()}
    country = dict(zip(v1_lists["s2_name"], v1_lists["country"], strict=True))
    recommended = [row for rows in listed.values() for row in rows]
    assert facts.country_pairs == Counter(country[row] for row in recommended)


def test_v1_exclusions_are_its_three_lists(v1_lists: dict[str, list[Any]]) -> None:
    facts = release("v1")
    snow = set(v1_lists["patches_with_seasonal_snow"])
    cloud = set(v1_lists["patches_with_cloud_and_shadow"])
    unlabelled = set(v1_lists["patches_with_no_19_class_targets"])
    assert not snow & cloud
    assert (len(snow), len(cloud)) == (facts.snow_pairs, facts.cloud_pairs)
    assert len(unlabelled) == facts.unlabelled_pairs
    assert len(snow | cloud | unlabelled) == facts.excluded_pairs


def test_v2_numbers_follow_from_its_parquets(shared: Path) -> None:
    facts = release("v2")
    good = pq.read_table(shared / "data/v2/metadata.parquet", columns=["split", "country"])
    bad = pq.read_table(shared / "data/v2" / SNOW_OR_CLOUD)
    assert facts.pairs == good.num_rows + bad.num_rows
    assert facts.split_pairs == Counter(good["split"].to_pylist())
    assert facts.country_pairs == Counter(good["country"].to_pylist())
    assert facts.snow_pairs == sum(bad["contains_seasonal_snow"].to_pylist())
    assert facts.cloud_pairs == sum(bad["contains_cloud_or_shadow"].to_pylist())
    assert facts.excluded_pairs == bad.num_rows


def test_checksums_are_those_of_the_published_parquets(shared: Path) -> None:
    parquets = [one for one in release("v2").files if one.name.endswith(".parquet")]
    assert len(parquets) == 2
    for one in parquets:
        content = (shared / "data/v2" / one.name).read_bytes()
        assert hashlib.md5(content, usedforsecurity=False).hexdigest() == one.md5


def test_files_are_addressed_by_name() -> None:
    for facts in RELEASES.values():
        for one in facts.files:
            assert one.address.startswith("https://")
            assert f"/{one.name}" in one.address
            assert len(bytes.fromhex(one.md5)) == 16


def test_an_unknown_release_is_refused() -> None:
    with pytest.raises(SelectionError, match="unknown release 'v3'; expected one of v1, v2"):
        release("v3")  # type: ignore[arg-type]  # the mistake under test


def test_countries_are_in_alphabetical_order() -> None:
    assert tuple(sorted(COUNTRIES)) == COUNTRIES
    assert len(COUNTRIES) == 10


@pytest.mark.parametrize(
    ("spelling", "split"),
    [
        ("val", "validation"),
        ("Val", "validation"),
        ("Train", "train"),
        ("test", "test"),
    ],
)
def test_spellings_of_a_split_mean_the_same(spelling: str, split: str) -> None:
    assert normalize_split(spelling) == split
    assert split in SPLITS


def test_a_misspelt_split_is_named() -> None:
    with pytest.raises(SelectionError, match=r"no split 'trian'.*did you mean 'train'"):
        normalize_split("trian")


def test_seasons_are_meteorological() -> None:
    months = {
        "winter": (12, 1, 2),
        "spring": (3, 4, 5),
        "summer": (6, 7, 8),
        "autumn": (9, 10, 11),
    }
    for season, those in months.items():
        assert {season_of(month) for month in those} == {season}
        assert {SEASONS[code] for code in season_codes(those)} == {season}
    assert season_codes(np.arange(1, 13)).dtype == np.uint8


def test_a_month_that_does_not_exist_is_refused() -> None:
    with pytest.raises(MetadataError, match="month 13 does not exist; expected 1 to 12"):
        season_codes([1, 13])
