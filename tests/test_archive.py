"""An archive gives every pair exactly, names every problem, and each failure says where it is."""

import json
import pickle
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio

from bigearth_xr.archive import (
    Archive,
    PatchFiles,
    Problem,
    open_archive,
    parse_s1,
    parse_s2,
    read_patch,
)
from bigearth_xr.archive.pairing import pair_up
from bigearth_xr.archive.scan import Scan
from bigearth_xr.archive.source import FolderSource
from bigearth_xr.bands import BANDS, Sensor
from bigearth_xr.errors import ArchiveError, ArchiveNotFoundError, BandError, PatchError
from bigearth_xr.grid import patch_corner
from bigearth_xr.releases import Release
from bigearth_xr.testing import encode_tiff, formula_pixels, write_archive

Change: TypeAlias = Callable[[Path, PatchFiles], object]

PARTIAL = ["B02", "B03", "B04", "B08", "VV", "VH"]


@pytest.fixture(scope="module")
def published_pairs(shared: Path) -> dict[str, str]:
    """Sentinel-1 name by patch id, for all of v2."""
    files = (shared / "data" / "v2").glob("metadata*.parquet")
    tables = [pq.read_table(file, columns=["patch_id", "s1_name"]) for file in files]
    return {s2: s1 for table in tables for s2, s1 in zip(*table.to_pydict().values(), strict=True)}


@pytest.fixture
def v1(tmp_path: Path) -> Path:
    return write_archive(tmp_path / "v1", pairs=3, version="v1")


@pytest.fixture
def v2(tmp_path: Path) -> Path:
    return write_archive(tmp_path / "v2", pairs=3)


def kinds(archive: Archive) -> Counter[str]:
    return Counter(problem.kind for problem in archive.problems)


def only(archive: Archive) -> Problem:
    """Give the one problem of an archive."""
    (problem,) = archive.problems
    return problem


def s1_of(patch: PatchFiles) -> str:
    """Give the name of a partner that must be known."""
    assert patch.s1_name is not None
    return patch.s1_name


def at(root: Path, path: str | None) -> Path:
    """Give the full path of a file or folder that must be known."""
    assert path is not None
    return root / path


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


# What goes wrong when an archive is opened.


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArchiveNotFoundError, match=r"there is no archive at .*nowhere; give the folder"):
        open_archive(tmp_path / "nowhere")


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tar").touch()
    with pytest.raises(ArchiveError, match=r"a\.tar is a file, expected the folder of an unpacked archive"):
        open_archive(tmp_path / "a.tar")


def test_a_folder_without_patches_is_refused(tmp_path: Path, shared: Path) -> None:
    for folder in (tmp_path, shared / "data" / "v1" / "malformed"):
        with pytest.raises(ArchiveError, match=r"no patch folder below .*; looked for names like S2A_"):
            open_archive(folder)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bands": ["B2"]}, "there is no band 'B2'; .*did you mean 'B02'"),
        ({"bands": ["B02", "B02"]}, "B02 is asked for twice"),
        ({"bands": []}, "bands is empty, expected at least one name"),
        ({"bands": ["B02", "VV"], "sensors": ["s2"]}, r"VV cannot be read with sensors=\['s2'\]; add"),
        ({"sensors": ["s3"]}, r"sensors is \['s3'\], expected 's1', 's2' or both"),
        ({"sensors": "s3"}, r"sensors is \['s3'\], expected 's1', 's2' or both"),
        ({"sensors": []}, r"sensors is \[\], expected 's1', 's2' or both"),
    ],
)
def test_bands_and_sensors_that_do_not_exist_are_refused(v2: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(BandError, match=message):
        open_archive(v2, **arguments)


def test_bands_of_which_no_file_exists_are_refused(shared: Path) -> None:
    with pytest.raises(ArchiveError, match=r"has a file of B01, B05, .*with bands=\['B02', 'B03', 'B04', 'B08'"):
        open_archive(shared / "data" / "v2" / "partial_bands")


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_patch_found_twice_is_not_read_and_both_places_are_named(tmp_path: Path, version: Release) -> None:
    root = write_archive(tmp_path / "archive", pairs=3, version=version)
    twice = open_archive(root).patches[0]
    for folder in (twice.s1_folder, twice.s2_folder):
        copy = root / "copy" / at(root, folder).name
        shutil.copytree(at(root, folder), copy)
        archive = open_archive(root)
        assert len(archive.patches) == 2
        problem = only(archive)
        assert (problem.kind, problem.patch) == ("duplicate", copy.name)
        assert str(copy) in problem.message
        assert str(at(root, folder)) in problem.message
        assert problem.message.endswith("neither is read, remove one of them")
        shutil.rmtree(copy)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_patch_in_several_folders_is_read_from_all_of_them(tmp_path: Path, version: Release) -> None:
    root = write_archive(tmp_path / "archive", pairs=2, version=version)
    whole = open_archive(root)
    expected = [read_patch(whole, patch) for patch in whole.patches]
    # Of the first patch all but two files, of the second one half of its radar, lie elsewhere.
    first, second = whole.patches
    moved = [file for file in at(root, first.s2_folder).iterdir() if not file.stem.endswith(("_B02", "_B12"))]
    moved.append(root / second.files["VH"])
    for file in moved:
        (root / "rest" / file.parent.name).mkdir(parents=True, exist_ok=True)
        file.rename(root / "rest" / file.parent.name / file.name)
    archive = open_archive(root)
    assert archive.problems == ()
    for patch, pixels in zip(archive.patches, expected, strict=True):
        few = replace(archive, patches=(), source=archive.source.only(patch.folders))
        read = read_patch(pickle.loads(pickle.dumps(few)), patch)
        assert read.metadata == pixels.metadata
        assert all(np.array_equal(read.bands[name], pixels.bands[name]) for name in archive.bands)
    (root / "rest" / s1_of(second) / f"{s1_of(second)}_VH.tif").write_bytes(b"")
    with pytest.raises(PatchError, match=rf"band VH \(.*/rest/{s1_of(second)}/.*is empty"):
        read_patch(archive, archive.patches[1])
    # One file twice, and it is no more certain which is right.
    (root / "third" / first.patch).mkdir(parents=True)
    (root / "third" / first.patch / f"{first.patch}_B03.tif").touch()
    assert (
        f"/rest/{first.patch} and {root}/third/{first.patch} both hold its B03.tif" in only(open_archive(root)).message
    )


def test_a_folder_with_files_of_another_patch_is_no_patch(v2: Path) -> None:
    first, second, _ = open_archive(v2).patches
    shutil.copytree(at(v2, first.s2_folder), v2 / "copy" / second.patch)
    archive = open_archive(v2)
    assert len(archive.patches) == 3
    assert f"{second.patch} bears the name of another patch than 12 of its files, first" in only(archive).message


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_patch_without_its_partner_is_reported(tmp_path: Path, version: Release) -> None:
    root = write_archive(tmp_path / "archive", pairs=3, version=version)
    first, second, third = open_archive(root).patches
    shutil.rmtree(at(root, first.s1_folder))
    shutil.rmtree(at(root, second.s2_folder))
    archive = open_archive(root)
    assert archive.patches == (third,)
    lonely = {problem.patch: problem.message for problem in archive.problems}
    assert kinds(archive)["unpaired"] == len(lonely) == (3 if version == "v2" else 2)
    assert "a Sentinel-1 patch that fits is not in the archive" in lonely[first.patch]
    expected = f"its partner {second.patch}" if version == "v1" else "a Sentinel-2 patch that fits"
    assert f"is not used: {expected} is not in the archive; unpack the rest" in lonely[s1_of(second)]
    if version == "v2":
        assert "it is a reference map without a patch" in lonely[second.patch]


def test_a_partner_that_the_pairs_name_is_named_when_it_is_missing(v2: Path) -> None:
    patch = open_archive(v2).patches[0]
    shutil.rmtree(at(v2, patch.s1_folder))
    archive = open_archive(v2, pairs={patch.patch: s1_of(patch)})
    assert f"its partner {s1_of(patch)} is not in the archive" in only(archive).message
    # With one sensor alone there is nothing to miss, and the name is still known.
    alone = open_archive(v2, sensors=["s2"], pairs={patch.patch: s1_of(patch)})
    assert alone.patches[0].s1_name == s1_of(patch)
    assert alone.problems == ()


def test_pairs_that_do_not_lie_in_one_place_are_refused(v2: Path) -> None:
    first, second, _ = open_archive(v2).patches
    archive = open_archive(v2, pairs={first.patch: s1_of(second), second.patch: s1_of(first)})
    assert len(archive.patches) == 1
    assert kinds(archive) == {"unpaired": 2}
    assert f"it is said to pair with {s1_of(first)}, which lies elsewhere" in archive.problems[1].message


def test_two_radar_patches_that_fit_alike_are_not_guessed_between(v2: Path) -> None:
    patch = open_archive(v2).patches[0]
    name = parse_s1(s1_of(patch))
    other = s1_of(patch).replace(str(name.date).replace("-", ""), "20170612")
    assert abs(parse_s1(other).date - parse_s2(patch.patch).date) <= np.timedelta64(6, "D")
    (v2 / "BigEarthNet-S1" / other).mkdir()
    (v2 / "BigEarthNet-S1" / other / f"{other}_VV.tif").touch()
    archive = open_archive(v2)
    assert len(archive.patches) == 2
    assert {problem.patch for problem in archive.problems} == {patch.patch, s1_of(patch), other}
    assert open_archive(v2, pairs={patch.patch: s1_of(patch)}).patches[0] == patch


def test_a_v1_pair_without_a_radar_json_is_found_by_place_and_day(v1: Path) -> None:
    expected = open_archive(v1).patches
    for file in v1.rglob("S1*.json"):
        file.unlink()
    archive = open_archive(v1)
    assert archive.patches == expected
    with pytest.raises(PatchError, match=r"S1.*_labels_metadata\.json is missing"):
        read_patch(archive, archive.patches[0])


def test_a_lonely_v1_patch_of_unknown_tile_is_reported(v1: Path) -> None:
    archive = open_archive(v1, sensors=["s2"])
    shutil.rmtree(v1 / "BigEarthNet-S1-v1.0")
    at(v1, archive.patches[0].s2_json).write_text("{")
    problem = only(open_archive(v1, sensors=["s2"]))
    assert (problem.kind, problem.patch) == ("unplaced", archive.patches[0].patch)
    assert "has an unknown tile: neither its JSON nor a partner tells it; unpack its JSON" in problem.message


def test_files_outside_of_a_patch_folder_are_reported(v2: Path) -> None:
    patch = open_archive(v2).patches[0]
    at(v2, patch.s2_folder).rename(v2 / "S2A_renamed")
    problems = {problem.kind: problem for problem in open_archive(v2).problems}
    assert problems["stray"].patch == "S2A_renamed"
    assert "S2A_renamed does not bear the name of a patch, but holds 12 of its files, first" in (
        problems["stray"].message
    )


def test_a_map_beside_the_bands_is_found_too(v2: Path) -> None:
    patch = open_archive(v2).patches[0]
    shutil.move(at(v2, patch.reference_map), at(v2, patch.s2_folder))
    at(v2, patch.reference_map).parent.rmdir()
    archive = open_archive(v2)
    assert archive.problems == ()
    assert str(archive.patches[0].reference_map).startswith(str(patch.s2_folder))


# What goes wrong when a patch is read.


def broken(archive: Archive, change: Change) -> tuple[Archive, PatchFiles, str]:
    """Change the file of band B05 and read the patch."""
    patch = archive.patches[0]
    file = archive.root / patch.files["B05"]
    change(file, patch)
    return archive, patch, f"^{patch.patch}: band B05 \\({file}\\)"


def write(file: Path, patch: PatchFiles, **changes: Any) -> None:
    place: dict[str, Any] = {"epsg": patch.epsg, "ulx": patch.ulx, "uly": patch.uly}
    pixels = changes.pop("pixels", np.zeros((60, 60), "uint16"))
    file.write_bytes(encode_tiff(pixels, **place | changes))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file, _: file.unlink(), "is missing; unpack or download the archive again, or ask for other bands"),
        (lambda file, _: (file.unlink(), file.mkdir()), r"cannot be read \(.*\); check the file system"),
        (lambda file, _: file.write_bytes(b""), "is empty"),
        (lambda file, _: file.write_bytes(file.read_bytes()[:50]), "is no readable GeoTIFF"),
        (lambda file, _: file.write_bytes(file.read_bytes()[:-9]), "is cut short: it has [0-9,]+ bytes"),
        (
            lambda file, patch: write(file, patch, pixels=np.zeros((20, 20), "uint16")),
            r"shape is \(20, 20\), expected \(60, 60\)",
        ),
        (
            lambda file, patch: write(file, patch, pixels=np.zeros((60, 60), "float32")),
            "dtype is float32, expected uint16",
        ),
        (
            lambda file, patch: write(file, patch, epsg=32601),
            "coordinate reference system is EPSG:32601, expected EPSG:32633",
        ),
        (lambda file, patch: write(file, patch, ulx=0), r"upper left corner is \(0\.0, "),
    ],
)
def test_a_broken_band_is_named_with_its_patch_and_file(v2: Path, change: Change, message: str) -> None:
    archive, patch, where = broken(open_archive(v2), change)
    with pytest.raises(PatchError, match=f"{where}:? {message}"):
        read_patch(archive, patch)
    # The other patches are none the worse for it.
    for other in archive.patches[1:]:
        read_patch(archive, other)


def test_a_broken_reference_map_is_named(v2: Path) -> None:
    archive = open_archive(v2)
    patch = archive.patches[0]
    at(v2, patch.reference_map).write_bytes(b"II*\0")
    with pytest.raises(PatchError, match=r"band reference_map \(.*_reference_map.tif\) is no readable"):
        read_patch(archive, patch)


def test_a_patch_without_a_reference_map_is_read_without_it(v2: Path) -> None:
    patch = open_archive(v2).patches[0]
    shutil.rmtree(at(v2, patch.reference_map).parent)
    archive = open_archive(v2)
    assert archive.has_reference_maps
    assert archive.problems == ()
    assert read_patch(archive, archive.patches[0]).reference_map is None
    assert read_patch(archive, archive.patches[1]).reference_map is not None


def test_a_v1_patch_with_a_malformed_json_is_refused(v1: Path) -> None:
    archive = open_archive(v1)
    at(v1, archive.patches[0].s2_json).write_text("{}{}")
    with pytest.raises(PatchError, match="is no valid JSON"):
        read_patch(archive, archive.patches[0])
