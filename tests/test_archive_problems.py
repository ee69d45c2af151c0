"""Every problem of an archive is named when it is opened, and costs no more than what it concerns."""

import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from archives import at, kinds, only, s1_of

from bigearth_xr.archive import open_archive, parse_s1, parse_s2, read_patch
from bigearth_xr.errors import ArchiveError, ArchiveNotFoundError, BandError, PatchError
from bigearth_xr.releases import Release
from bigearth_xr.testing import write_archive


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
