"""The products are those that both releases were cut from."""

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from pyarrow.csv import read_csv

from bigearth_xr.errors import SelectionError
from bigearth_xr.products import PRODUCTS, product_of
from bigearth_xr.releases import RELEASES, release


def test_products_are_those_published(shared: Path) -> None:
    with (shared / "data/s2_l1c_tiles_125.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(one.name, str(one.date), one.patches, one.tile) for one in PRODUCTS] == [
        (row["tile"], row["date"], int(row["n"]), row["mgrs"]) for row in rows
    ]


def test_counts_agree_with_the_release() -> None:
    assert len(PRODUCTS) == release("v1").products
    assert len({one.tile for one in PRODUCTS}) == release("v1").tiles
    assert sum(one.patches for one in PRODUCTS) == release("v1").pairs


def test_tile_and_day_name_one_product() -> None:
    assert len({(one.tile, one.date) for one in PRODUCTS}) == len(PRODUCTS)
    for one in PRODUCTS:
        assert product_of(one.tile, one.date) is one


def test_v2_patches_bear_platform_time_and_orbit_of_their_product(shared: Path) -> None:
    stems: set[tuple[str, ...]] = set()
    for name in ("metadata", "metadata_for_patches_with_snow_cloud_or_shadow"):
        table = pq.read_table(shared / f"data/v2/{name}.parquet", columns=["patch_id"])
        stems |= {tuple(patch.split("_")[:-2]) for patch in table["patch_id"].to_pylist()}
    assert len(stems) == RELEASES["v2"].products
    for platform, _, time, _, orbit, tile in stems:
        one = product_of(tile.removeprefix("T"), time)
        stamp = str(one.sensing_time).replace("-", "").replace(":", "")
        assert (one.platform, stamp, f"R{one.orbit:03d}") == (platform, time, orbit)


def test_every_v1_patch_has_its_product(published_lists: Path) -> None:
    pairs = read_csv(published_lists / "s1_s2_name_country_season.csv")
    s1, s2 = (pairs[name].to_pylist() for name in ("s1_name", "s2_name"))
    counts = Counter((a.split("_")[5], b.split("_")[0], b.split("_")[2][:8]) for a, b in zip(s1, s2, strict=True))
    assert {(one.tile, one.platform, str(one.date).replace("-", "")): one.patches for one in PRODUCTS} == counts


@pytest.mark.parametrize(
    "date",
    [
        "2017-06-13",
        "20170613",
        "20170613T101031",
        np.datetime64("2017-06-13T10:10:31", "ns"),
    ],
)
def test_dates_are_understood_in_any_iso_spelling(date: str | np.datetime64) -> None:
    assert product_of("33UUP", date).patches == 3328


def test_an_unknown_day_gets_the_days_of_the_tile() -> None:
    with pytest.raises(SelectionError, match="33UUP on 2017-06-14; its days are 2017-06-13"):
        product_of("33UUP", "2017-06-14")
    with pytest.raises(SelectionError, match="the tile is in neither release"):
        product_of("33UVP", "2017-06-13")
    with pytest.raises(SelectionError, match="'June' is not a date; expected one such as"):
        product_of("33UUP", "June")
