"""An archive, real or synthetic, gives every pair exactly."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio
from archives import at, kinds, s1_of

from bigearth_xr.archive import open_archive, parse_s2, read_patch
from bigearth_xr.archive.discover import pair_up
from bigearth_xr.archive.scan import Scan
from bigearth_xr.archive.source import FolderSource
from bigearth_xr.bands import BANDS, Sensor
from bigearth_xr.errors import ArchiveError
from bigearth_xr.grid import patch_corner
from bigearth_xr.releases import Release
from bigearth_xr.testing import formula_pixels, write_archive

PARTIAL = ["B02", "B03", "B04", "B08", "VV", "VH"]


@pytest.fixture(scope="module")
def published_pairs(shared: Path) -> dict[str, str]:
    """Sentinel-1 name by patch id, for all of v2."""
    files = (shared / "data" / "v2").glob("metadata*.parquet")
    tables = [pq.read_table(file, columns=["patch_id", "s1_name"]) for file in files]
    return {s2: s1 for table in tables for s2, s1 in zip(*table.to_pydict().values(), strict=True)}


# Real archives.


@pytest.mark.parametrize(
    ("folder", "bands", "patches", "problems"),
    [
        ("v1", None, 26, {"unpaired": 22, "stray": 1}),
        ("v1/reconstructed", None, 20, {}),
        ("v2/reconstructed", None, 24, {}),
        ("v2/partial_bands", PARTIAL, 40, {}),
        ("v2/original", None, 0, {"unpaired": 6}),
    ],
)
def test_real_archives_hold_the_pairs_they_should(
    shared: Path, folder: str, bands: list[str] | None, patches: int, problems: dict[str, int]
) -> None:
    archive = open_archive(shared / "data" / folder, bands=bands)
    assert archive.release == folder[:2]
    assert len(archive.patches) == patches
    assert kinds(archive) == problems
    assert [patch.patch for patch in archive.patches] == sorted(patch.patch for patch in archive.patches)


@pytest.mark.parametrize("folder", ["v1", "v2/reconstructed", "v2/partial_bands"])
def test_real_pixels_are_bit_for_bit_those_of_rasterio(shared: Path, folder: str) -> None:
    archive = open_archive(shared / "data" / folder, bands=PARTIAL if "partial" in folder else None)
    for patch in archive.patches:
        pixels = read_patch(archive, patch)
        files = {**patch.files, **({"map": patch.reference_map} if patch.reference_map else {})}
        read = {**pixels.bands}
        if pixels.reference_map is not None:
            read["map"] = pixels.reference_map
        assert read.keys() == files.keys()
        for name, path in files.items():
            with rasterio.open(archive.root / path) as file:
                expected = file.read(1)
            assert read[name].dtype == expected.dtype
            assert read[name].tobytes() == expected.tobytes()


@pytest.mark.parametrize(("sensor", "patches"), [("s2", 44), ("s1", 30)])
def test_one_sensor_of_a_real_archive_needs_no_partner(shared: Path, sensor: Sensor, patches: int) -> None:
    archive = open_archive(shared / "data" / "v1", sensors=[sensor])
    assert len(archive.patches) == patches
    assert kinds(archive) == {"stray": 1}
    for patch in archive.patches:
        assert len(read_patch(archive, patch).bands) == (12 if sensor == "s2" else 2)


def test_the_tile_of_lonely_v1_patches_is_found_in_their_json(shared: Path) -> None:
    archive = open_archive(shared / "data" / "v1" / "BigEarthNet-v1.0", sensors=["s2"])
    assert len(archive.patches) == 24
    for patch in archive.patches:
        assert patch.s1_name is None
        source = json.loads(at(archive.root, patch.s2_json).read_bytes())["tile_source"]
        assert f"_T{patch.tile}_" in source


def test_lonely_radar_patches_of_v2_are_named_by_the_pairs(shared: Path, published_pairs: dict[str, str]) -> None:
    root = shared / "data" / "v2" / "original"
    assert open_archive(root, sensors=["s1"]).patches == ()
    archive = open_archive(root, sensors=["s1"], pairs=published_pairs)
    assert [published_pairs[patch.patch] for patch in archive.patches] == [s1_of(patch) for patch in archive.patches]
    assert len(archive.patches) == 3
    assert kinds(archive) == {"unpaired": 1}


def test_published_pairs_are_those_found_without_them(shared: Path, published_pairs: dict[str, str]) -> None:
    for folder, bands in [("reconstructed", None), ("partial_bands", PARTIAL)]:
        root = shared / "data" / "v2" / folder
        alone = open_archive(root, bands=bands)
        assert alone.patches == open_archive(root, bands=bands, pairs=published_pairs).patches


@pytest.mark.prove
def test_place_and_day_pair_a_whole_release(published_pairs: dict[str, str]) -> None:
    # Every ninth column, with all its rows and days.
    some = {s2: s1 for s2, s1 in published_pairs.items() if parse_s2(s2).column % 9 == 0}
    found = Scan(s2=dict.fromkeys(some, ""), s1=dict.fromkeys(some.values(), ""), releases={"v2"})
    assert len(some) > 60_000
    assert pair_up(FolderSource(Path()), found, {}) == some


def test_lists_inside_are_found(shared: Path) -> None:
    assert len(open_archive(shared / "data" / "v1").metadata_files) == 8
    assert open_archive(shared / "data" / "v2" / "reconstructed").metadata_files == (
        "metadata.parquet",
        "metadata_for_patches_with_snow_cloud_or_shadow.parquet",
    )


def test_two_releases_at_once_are_refused(shared: Path) -> None:
    with pytest.raises(ArchiveError, match="holds patches of both releases, expected one; give the"):
        open_archive(shared / "data")


# Synthetic archives.


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_synthetic_archive_reads_as_its_formula(tmp_path: Path, version: Release) -> None:
    archive = open_archive(write_archive(tmp_path, pairs=9, version=version))
    assert archive.release == version
    assert archive.bands == tuple(band.name for band in BANDS)
    assert archive.has_reference_maps == (version == "v2")
    assert (len(archive.patches), archive.problems) == (9, ())
    for patch in archive.patches:
        pixels = read_patch(archive, patch)
        assert list(pixels.bands) == list(archive.bands)
        for name, values in pixels.bands.items():
            np.testing.assert_array_equal(values, formula_pixels(patch.patch, name), strict=True)


def test_patches_know_their_place(v2: Path) -> None:
    for patch in open_archive(v2).patches:
        name = parse_s2(patch.patch)
        assert (patch.tile, patch.column, patch.row) == (name.tile, name.column, name.row)
        corner = patch_corner(patch.tile, patch.column, patch.row)
        assert (patch.epsg, patch.ulx, patch.uly) == tuple(map(int, corner))


def test_only_the_bands_asked_for_are_read(v2: Path) -> None:
    for file in v2.rglob("*_B0[1-3].tif"):
        file.unlink()
    archive = open_archive(v2, bands=["VV", "B8A", "B04"])
    assert archive.bands == ("B04", "B8A", "VV")
    assert list(read_patch(archive, archive.patches[0]).bands) == ["B04", "B8A", "VV"]


def test_a_sensor_without_a_band_needs_no_partner(v2: Path) -> None:
    shutil.rmtree(v2 / "BigEarthNet-S1")
    archive = open_archive(v2, bands=["B04"])
    assert archive.sensors == ("s2",)
    assert (len(archive.patches), archive.problems) == (3, ())


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("sensors", [["s1"], ["s2"], ["s1", "s2"]])
def test_an_archive_travels_to_another_process(tmp_path: Path, version: Release, sensors: list[Sensor]) -> None:
    archive = open_archive(write_archive(tmp_path, pairs=1, version=version), sensors=sensors)
    copy = pickle.loads(pickle.dumps(archive))
    assert copy == archive
    assert read_patch(copy, copy.patches[0]).bands.keys() == set(archive.bands)


def test_opening_reads_no_pixel_and_no_file_twice(v1: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    plain = FolderSource.read

    def count(source: FolderSource, path: str) -> bytes:
        read.append(path)
        return plain(source, path)

    monkeypatch.setattr(FolderSource, "read", count)
    patches = open_archive(v1).patches
    assert sorted(read) == sorted(str(patch.s1_json) for patch in patches)
    read.clear()
    open_archive(v1, pairs={patch.patch: s1_of(patch) for patch in patches})
    assert read == []


def test_the_order_of_the_sensors_and_the_kind_of_path_do_not_matter(v2: Path) -> None:
    assert open_archive(v2, sensors=("s2", "s1")).patches == open_archive(str(v2)).patches
