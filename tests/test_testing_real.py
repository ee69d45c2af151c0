"""Synthetic archives with real pixels, varied, and under real names."""

import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import rasterio
from numpy.typing import NDArray

from bigearth_xr.archive import open_archive, read_patch
from bigearth_xr.bands import BANDS, band
from bigearth_xr.errors import DependencyError, MetadataError
from bigearth_xr.sample import unpack_sample
from bigearth_xr.table import from_lists
from bigearth_xr.testing import listed_pairs, real_pixels, synthetic_pair, variation_of, write_archive
from bigearth_xr.testing import real as real_module

PATCHES = [synthetic_pair(index).patch for index in range(40)]

Pixels = NDArray[np.uint16] | NDArray[np.float32]
Source = Mapping[str, Pixels]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Source]:
    """The six pairs by band, sorted by patch id, as rasterio reads them."""
    root = unpack_sample(tmp_path_factory.mktemp("sample"))
    pairs: list[Source] = []
    for optical in sorted((root / "BigEarthNet-S2-Example").glob("S2*")):
        place = "_".join(optical.name.split("_")[-2:])
        (radar,) = (root / "BigEarthNet-S1-Example").glob(f"S1*_{place}")
        pair = {}
        for one in BANDS:
            folder = optical if one.sensor == "s2" else radar
            with rasterio.open(folder / f"{folder.name}_{one.name}.tif") as file:
                pair[one.name] = file.read(1)
        pairs.append(pair)
    return pairs


def undone(patch: str, name: str) -> Pixels:
    """Take a variation back, step by step."""
    varied, res_m = variation_of(patch), band(name).res_m
    pixels = real_pixels(patch, name).astype(np.float64)
    if band(name).sensor == "s1":
        source: Pixels = (pixels - varied.offset_db).astype(np.float32)
    else:
        source = np.rint(pixels * 1024 / varied.gain_1024).astype(np.uint16)
    rolled = np.roll(source, (-(varied.down_m // res_m), -(varied.right_m // res_m)), (0, 1))
    turned: Pixels = np.rot90(rolled, -varied.turns)
    return turned[:, ::-1] if varied.is_mirrored else turned


@pytest.mark.parametrize("name", ["B02", "B8A", "B09", "VV"])
def test_real_pixels_are_those_of_a_real_pair_varied(sources: list[Source], name: str) -> None:
    for patch in PATCHES:
        source = sources[variation_of(patch).source][name]
        found = undone(patch, name)
        assert found.dtype == source.dtype
        # Backscatter is rounded once more where it crosses a power of two.
        np.testing.assert_allclose(found, source, rtol=0, atol=4e-6 if name == "VV" else 0)


def test_every_variation_comes_about() -> None:
    drawn = [variation_of(synthetic_pair(index).patch) for index in range(2000)]
    assert {one.source for one in drawn} == set(range(6))
    assert {(one.is_mirrored, one.turns) for one in drawn} == {(flip, turns) for flip in (0, 1) for turns in range(4)}
    assert {one.down_m for one in drawn} == {one.right_m for one in drawn} == set(range(0, 1200, 60))
    assert {one.gain_1024 for one in drawn} == set(range(1024, 1152))
    assert {one.offset_db for one in drawn} == {step / 64 for step in range(-64, 64)}


def test_no_two_patches_are_alike() -> None:
    assert len({real_pixels(patch, "B02").tobytes() for patch in PATCHES}) == len(PATCHES)


def test_a_gain_merges_no_two_values() -> None:
    for patch in PATCHES[:10]:
        varied, source = real_pixels(patch, "B03"), undone(patch, "B03")
        assert len(np.unique(varied)) == len(np.unique(source))
        assert varied.max() < 65535


@pytest.mark.parametrize("name", ["B02", "B12", "B01", "VH"])
def test_the_entropy_is_that_of_the_real_pair(sources: list[Source], name: str) -> None:
    def compressed(pixels: NDArray[np.generic]) -> int:
        return len(zlib.compress(pixels.tobytes(), 6))

    varied = sum(compressed(real_pixels(patch, name)) for patch in PATCHES)
    source = sum(compressed(sources[variation_of(patch).source][name]) for patch in PATCHES)
    assert varied / source == pytest.approx(1, abs=0.05)


def test_an_archive_of_real_pixels_holds_them(tmp_path: Path) -> None:
    archive = open_archive(write_archive(tmp_path, pairs=3, pixels="real"))
    for patch in archive.patches:
        pixels = read_patch(archive, patch).bands
        assert pixels.keys() == {one.name for one in BANDS}
        for name, found in pixels.items():
            np.testing.assert_array_equal(found, real_pixels(patch.patch, name))


def test_real_pixels_say_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real_module._sources.cache_clear()
    real_module._repeated.cache_clear()
    monkeypatch.setattr("bigearth_xr.sample.find_spec", lambda name: None)
    with pytest.raises(DependencyError, match=r"not installed; run: pip install 'bigearth-xr\[sample\]'"):
        write_archive(tmp_path / "archive.tar", pairs=1, pixels="real", container="tar")


@pytest.mark.parametrize("first", [0, 549_480])
def test_v2_names_are_those_of_the_parquets(tmp_path: Path, shared: Path, first: int) -> None:
    root = write_archive(tmp_path, pairs=6, lists=shared / "data" / "v2", first=first)
    written = [row for file in sorted(root.glob("*.parquet")) for row in pq.read_table(file).to_pylist()]
    wanted = pc.field("patch_id").isin([row["patch_id"] for row in written])
    published = sorted((shared / "data" / "v2").glob("metadata*.parquet"))
    real = {row["patch_id"]: row for file in published for row in pq.read_table(file, filters=wanted).to_pylist()}
    assert len(written) == 6
    assert all(row == real[row["patch_id"]] for row in written)
    archive = open_archive(root)
    assert {patch.patch: patch.s1_name for patch in archive.patches} == {
        row["patch_id"]: row["s1_name"] for row in written
    }
    assert archive.problems == ()
    assert all(read_patch(archive, patch).reference_map is not None for patch in archive.patches)


def test_v1_names_are_those_of_the_lists(tmp_path: Path, published_lists: Path) -> None:
    root = write_archive(tmp_path, pairs=300, version="v1", lists=published_lists, container="tar", as_published=True)
    columns = ["patch", "s1_name", "tile", "column", "tile_row", "country", "split", "seasonal_snow", "recommended"]
    written, real = (from_lists(folder).select(columns) for folder in (root / "lists", published_lists))
    assert written.num_rows == 300
    # Both are in the order of the store.
    assert written.equals(real.filter(pc.is_in(real["patch"], written["patch"].combine_chunks())))
    assert set(written["split"].to_pylist()) == {"train", "validation", "test", None}


def test_v1_pairs_without_a_label_have_dropped_classes_only(published_lists: Path) -> None:
    unlabelled = pd.read_csv(published_lists / "patches_with_no_19_class_targets.csv", header=None)[0]
    places = pd.read_csv(published_lists / "s1_s2_name_country_season.csv", usecols=["s2_name"])["s2_name"]
    first = int(np.flatnonzero(places == unlabelled[0])[0])
    pair, after = listed_pairs(published_lists, pairs=2, first=first, version="v1")
    assert pair.patch == unlabelled[0]
    assert pair.labels_43
    assert not pair.labels_19
    assert after.labels_19


def test_more_pairs_than_are_listed_are_refused(tmp_path: Path, shared: Path) -> None:
    with pytest.raises(MetadataError, match=r"names 549,488 pairs, expected 549,490 for pairs=10 from first=549480"):
        write_archive(tmp_path, pairs=10, first=549_480, lists=shared / "data" / "v2")
