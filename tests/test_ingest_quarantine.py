"""A patch that cannot be stored is left out whole and named, and leaves no trace once it is mended."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from archives import break_json, break_tiff
from holdings import holdings

import bigearth_xr as bex
from bigearth_xr.archive import parse_s1, parse_s2
from bigearth_xr.archive.names import scene_folder
from bigearth_xr.errors import NotStoredError, PatchError
from bigearth_xr.releases import Release
from bigearth_xr.store.codec import PROFILES, ProfileName
from bigearth_xr.testing import encode_tiff, synthetic_pair, write_archive
from bigearth_xr.verification import verify


def test_a_bad_patch_is_quarantined_and_the_others_are_stored(own_archive: Path, tmp_path: Path) -> None:
    bad = sorted(path.name for path in own_archive.rglob("S2*_MSIL2A*_*_*") if path.is_dir())[3]
    next(own_archive.rglob(f"{bad}_B05.tif")).unlink()
    report = bex.ingest(own_archive, tmp_path / "ben.zarr")
    assert (report.found, report.stored, report.written) == (24, 23, 23)
    assert report.found == report.stored + len(report.quarantined)
    assert not report.complete
    (reason,) = report.quarantined.values()
    assert report.quarantined.keys() == {bad}
    assert reason.startswith(f"{bad}: band B05 (")
    assert report.failures == (reason,)
    assert report.summary().endswith("left out or incomplete: 1 quarantined")

    ds = bex.open(tmp_path / "ben.zarr", states="all")
    assert ds.state.sel(patch=bad).item() == "quarantined"
    assert (ds.state == "stored").sum() == 23
    assert bad not in bex.open(tmp_path / "ben.zarr").patch
    # No array holds any of it, the good bands neither.
    with pytest.raises(NotStoredError, match=f"{bad}.* is quarantined: s1 holds no pixels of it"):
        ds.s1.sel(patch=bad).load()


@pytest.mark.parametrize(("version", "damage"), [("v1", break_tiff), ("v2", break_tiff), ("v1", break_json)])
@pytest.mark.parametrize("profile", PROFILES)
def test_a_quarantined_patch_that_was_repaired_leaves_no_trace(
    tmp_path: Path, version: Release, damage: Callable[[Path], Callable[[], object]], profile: ProfileName
) -> None:
    archive = write_archive(tmp_path / "archive", pairs=9, version=version)
    repair = damage(archive)
    assert len(bex.ingest(archive, tmp_path / "ben.zarr", profile=profile).quarantined) == 1
    repair()
    report = bex.ingest(archive, tmp_path / "ben.zarr")
    assert (report.written, report.complete, report.quarantined) == (1, True, {})
    bex.ingest(archive, tmp_path / "whole.zarr", profile=profile)
    assert holdings(tmp_path / "ben.zarr") == holdings(tmp_path / "whole.zarr")
    assert verify(tmp_path / "ben.zarr").sound


def test_what_stays_quarantined_is_reported_each_time(own_archive: Path, tmp_path: Path) -> None:
    break_tiff(own_archive)
    first, second = (bex.ingest(own_archive, tmp_path / "ben.zarr") for _ in range(2))
    assert first.quarantined == second.quarantined
    assert (second.written, second.stored) == (0, 23)


def test_strict_raises_only_when_everything_else_is_stored(own_archive: Path, tmp_path: Path) -> None:
    break_tiff(own_archive)
    with pytest.raises(PatchError, match=r"1 patches of .*own could not be stored .*\n.*B8A.*is cut short") as caught:
        bex.ingest(own_archive, tmp_path / "ben.zarr", strict=True)
    assert "the others are in" in str(caught.value)
    assert bex.open(tmp_path / "ben.zarr").sizes["patch"] == 23


def test_unpaired_patches_get_no_row_and_a_line_each(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "v2", pairs=3)
    lone = synthetic_pair(1)
    shutil.rmtree(archive / "BigEarthNet-S1" / scene_folder(parse_s1(lone.s1_name)) / lone.s1_name)
    report = bex.ingest(archive, tmp_path / "ben.zarr")
    assert (report.found, report.rows, report.stored, report.unpaired) == (3, 2, 2, 1)
    assert lone.patch not in bex.open(tmp_path / "ben.zarr", states="all").patch
    assert [(problem.patch, problem.kind) for problem in report.problems] == [(lone.patch, "unpaired")]
    assert report.summary().endswith("left out or incomplete: 1 unpaired")


def test_a_missing_reference_map_is_reported_and_reads_as_65535(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "v2", pairs=3)
    bare = synthetic_pair(1).patch
    shutil.rmtree(archive / "Reference_Maps" / scene_folder(parse_s2(bare)) / bare)
    report = bex.ingest(archive, tmp_path / "ben.zarr")
    assert (report.without_map, report.complete) == ((bare,), True)
    ds = bex.open(tmp_path / "ben.zarr")
    assert (ds.reference_map.sel(patch=bare) == 65535).all()
    assert ds.has_reference_map.sum() == 2
    assert not ds.has_reference_map.sel(patch=bare)


def test_maps_of_a_wrong_size_are_quarantined(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "v2", pairs=2)
    pair = synthetic_pair(0)
    (file,) = archive.rglob(f"{pair.patch}_reference_map.tif")
    ulx, uly = pair.corner
    file.write_bytes(encode_tiff(np.zeros((60, 60), "uint16"), epsg=pair.epsg, ulx=ulx, uly=uly))
    (reason,) = bex.ingest(archive, tmp_path / "ben.zarr").quarantined.values()
    assert "reference_map" in reason
