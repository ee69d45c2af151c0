"""A synthetic archive is laid out as the real one, and a misplaced pixel of it shows."""

import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio
import tifffile

from bigearth_xr.archive import open_archive, parse_s1, parse_s2, read_patch
from bigearth_xr.archive.discover import pair_up
from bigearth_xr.archive.scan import Scan
from bigearth_xr.archive.source import FolderSource
from bigearth_xr.bands import BANDS
from bigearth_xr.grid import split_by_position
from bigearth_xr.labels import CLASSES_43, clc_to_class, label_names
from bigearth_xr.products import PRODUCTS
from bigearth_xr.releases import Release
from bigearth_xr.testing import (
    encode_tiff,
    formula_pixels,
    formula_reference_map,
    synthetic_pair,
    write_archive,
)

PATCH = "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_57"


def tree(root: Path) -> dict[Path, bytes]:
    return {file.relative_to(root): file.read_bytes() for file in root.rglob("*") if file.is_file()}


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_same_arguments_write_the_same_bytes(tmp_path: Path, version: Release) -> None:
    first, second = (write_archive(tmp_path / name, pairs=2, version=version) for name in ("one", "two"))
    assert tree(first) == tree(second)


def test_an_archive_can_be_written_in_pieces(tmp_path: Path) -> None:
    whole = write_archive(tmp_path / "whole", pairs=5)
    for first, pairs in [(0, 3), (3, 2)]:
        write_archive(tmp_path / "pieces", pairs=pairs, first=first)
    pixels = {path for path in tree(whole) if path.suffix == ".tif"}
    assert pixels == {path for path in tree(tmp_path / "pieces") if path.suffix == ".tif"}


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_no_two_pairs_share_a_name(version: Release) -> None:
    pairs = [synthetic_pair(index, release=version) for index in range(20_000)]
    for name in ("patch", "v1_name", "v2_name", "s1_name"):
        assert len({getattr(pair, name) for pair in pairs}) == len(pairs)


def test_another_seed_gives_other_places() -> None:
    some, others = ({synthetic_pair(index, seed=seed).patch for index in range(40)} for seed in (0, 1))
    assert some.isdisjoint(others)


def test_names_are_real() -> None:
    for index in range(500):
        pair = synthetic_pair(index)
        s2, s1, v1 = parse_s2(pair.v2_name), parse_s1(pair.s1_name), parse_s2(pair.v1_name)
        assert s2.date == v1.date == pair.product.date
        assert s2.time == pair.product.sensing_time
        assert s2.tile == s1.tile == pair.product.tile
        assert (s2.column, s2.row) == (s1.column, s1.row) == (v1.column, v1.row)
        assert abs(s1.date - s2.date) <= np.timedelta64(1, "D")
    assert {synthetic_pair(index).product for index in range(500)} == set(PRODUCTS)


def test_a_small_archive_has_all_that_a_test_may_ask_for() -> None:
    pairs = [synthetic_pair(index, release="v1") for index in range(40)]
    assert {str(split_by_position(pair.column, pair.row)) for pair in pairs} == {
        "train", "validation", "test"
    }  # fmt: skip
    assert len({pair.country for pair in pairs}) >= 3
    assert len({(pair.product.tile, pair.column, pair.row) for pair in pairs}) < len(pairs)
    assert any(pair.has_snow for pair in pairs)
    assert any(pair.has_cloud for pair in pairs)
    assert any(not pair.labels_19 for pair in pairs)
    assert any(len(pair.patch.split("_")[2]) == 14 for pair in pairs), "an hour without its zero"


def test_place_and_day_tell_the_pairs() -> None:
    # Four pairs of every product: all that could be mistaken for each other.
    pairs = {pair.patch: pair.s1_name for pair in map(synthetic_pair, range(500))}
    found = Scan(s2=dict.fromkeys(pairs, ""), s1=dict.fromkeys(pairs.values(), ""), releases={"v2"})
    assert pair_up(FolderSource(Path()), found, {}) == pairs


def test_labels_are_those_of_the_nomenclatures() -> None:
    names = [label.name for label in CLASSES_43]
    for index in range(200):
        for version in ("v1", "v2"):
            pair = synthetic_pair(index, release=version)
            assert list(pair.labels_43) == sorted(pair.labels_43, key=names.index)
            assert list(pair.labels_19) == sorted(pair.labels_19)
            assert set(pair.labels_19) <= set(label_names())
        assert pair.labels_19


def test_the_tables_of_v2_are_those_of_the_release(tmp_path: Path, shared: Path) -> None:
    root = write_archive(tmp_path, pairs=30)
    for name, snowy in [
        ("metadata.parquet", False),
        ("metadata_for_patches_with_snow_cloud_or_shadow.parquet", True),
    ]:
        written = pq.read_table(root / name)
        real = pq.read_schema(shared / "data" / "v2" / name)
        assert written.schema.names == real.names
        assert [str(kind) for kind in written.schema.types] == [str(kind) for kind in real.types]
        for row in written.to_pylist():
            assert (row["contains_seasonal_snow"] or row["contains_cloud_or_shadow"]) is snowy


def test_reference_maps_hold_the_labels(tmp_path: Path) -> None:
    root = write_archive(tmp_path, pairs=30)
    rows = [row for file in root.glob("metadata*.parquet") for row in pq.read_table(file).to_pylist()]
    labels = {row["patch_id"]: row["labels"] for row in rows}
    archive = open_archive(root, bands=["B01"])
    assert len(archive.patches) == len(labels) == 30
    for patch in archive.patches:
        reference_map = read_patch(archive, patch).reference_map
        assert reference_map is not None
        np.testing.assert_array_equal(reference_map, formula_reference_map(labels[patch.patch]))
        classes = clc_to_class(reference_map)
        seen = {label_names()[index] for index in np.unique(classes) if index < 19}
        assert seen == set(labels[patch.patch])
        assert (classes >= 19).mean() < 0.25


def test_the_lists_of_v1_are_those_of_the_release(tmp_path: Path, shared: Path) -> None:
    folder = write_archive(tmp_path, pairs=80, version="v1") / "lists"
    real = {file.name.removesuffix(".bz2") for file in (shared / "data" / "v1" / "lists").iterdir()}
    lists = {file.name: file.read_text().splitlines() for file in folder.iterdir()}
    assert lists.keys() == real
    left_out = {patch for name, lines in lists.items() if name.startswith("patches_with") for patch in lines}
    split = [patch for name in ("train", "val", "test") for patch in lists[f"{name}.csv"]]
    assert sorted([*split, *left_out]) == sorted(synthetic_pair(index, release="v1").patch for index in range(80))
    assert len(lists["s1_s2_name_country_season.csv"]) == 81
    assert len(lists["patches_with_no_19_class_targets.csv"]) == 2


@pytest.mark.parametrize("band", ["B02", "B05", "B01", "VV"])
def test_headers_are_those_of_the_real_archive(shared: Path, band: str) -> None:
    file = next((shared / "data" / "v1").glob(f"BigEarthNet-*v1.0/*/*_{band}.tif"))
    with rasterio.open(file) as real:
        place = {"epsg": real.crs.to_epsg(), "ulx": int(real.transform.c), "uly": int(real.transform.f)}
        data = encode_tiff(real.read(1), **place)
        with rasterio.MemoryFile(data) as memory, memory.open() as written:
            assert written.crs == real.crs
            assert written.transform == real.transform
            assert written.profile == real.profile
            assert written.block_shapes == real.block_shapes
            assert written.read(1).tobytes() == real.read(1).tobytes()
    with tifffile.TiffFile(file) as real, tifffile.TiffFile(io.BytesIO(data)) as written:
        ours, theirs = ({tag.code: tag.value for tag in one.pages.first.tags} for one in (written, real))
        for code in (256, 257, 258, 259, 262, 277, 278, 279, 33550, 33922, 34735):
            assert ours[code] == theirs[code]


def test_a_misplaced_pixel_shows() -> None:
    for band in BANDS:
        pixels = formula_pixels(PATCH, band.name)
        for moved in (pixels.T, pixels[::-1], pixels[:, ::-1], np.roll(pixels, 1, 0), np.roll(pixels, 1, 1)):
            assert (moved != pixels).mean() > 0.9
    bands = [formula_pixels(PATCH, band.name).ravel()[:400] for band in BANDS]
    assert all((one != other).any() for one in bands for other in bands if one is not other)
    assert (formula_pixels(PATCH, "B02") != formula_pixels(PATCH[:-1] + "8", "B02")).all()


def test_formula_pixels_stay_in_their_range() -> None:
    optical, radar = formula_pixels(PATCH, "B02"), formula_pixels(PATCH, "VH")
    assert (str(optical.dtype), str(radar.dtype)) == ("uint16", "float32")
    assert (optical.min(), optical.max()) == (1, 9973)
    assert (radar.min(), radar.max()) == (-30, np.float32(9972 / 256 - 30))
