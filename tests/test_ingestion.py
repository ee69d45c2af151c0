"""An ingest stores what can be stored, accounts for every patch, and can be broken off and repeated at will."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from archives import break_tiff
from holdings import files, holdings

import bigearth_xr as bex
from bigearth_xr.archive import read_pixels
from bigearth_xr.bands import BANDS
from bigearth_xr.ingestion import IngestReport, api, shards
from bigearth_xr.releases import Release
from bigearth_xr.store.codec import PROFILES, ProfileName
from bigearth_xr.store.create import write_states
from bigearth_xr.store.open import open_store
from bigearth_xr.store.read import read_state
from bigearth_xr.store.shard import shard_path
from bigearth_xr.testing import formula_pixels, formula_reference_map, synthetic_pair, write_archive
from bigearth_xr.verification import verify

# What is stored.


def test_every_pixel_is_that_of_the_archive(ds: xr.Dataset) -> None:
    native = {band.name: 120 // band.size for band in BANDS}
    for patch in ds.patch.values[::5]:
        pixels = ds.ben.image(bands=[band.name for band in BANDS]).sel(patch=patch)
        for band in pixels.band.values:
            expected = formula_pixels(patch, band).repeat(native[band], 0).repeat(native[band], 1)
            assert np.array_equal(pixels.sel(band=band), expected)


def test_every_reference_map_is_that_of_the_archive(tmp_path: Path) -> None:
    pair = synthetic_pair(0)
    bex.ingest(write_archive(tmp_path / "v2", pairs=1), tmp_path / "ben.zarr")
    ds = bex.open(tmp_path / "ben.zarr")
    assert np.array_equal(ds.reference_map.sel(patch=pair.patch), formula_reference_map(pair.labels_19))


def test_everything_found_is_stored_and_the_report_says_so(archive: Path, tmp_path: Path, release: Release) -> None:
    report = bex.ingest(archive, tmp_path / "ben.zarr")
    assert (report.release, report.profile, report.rows) == (release, "fast", 24)
    assert report.found == report.stored == report.written == 24
    assert report.complete
    assert not report.failures
    assert report.summary() == (
        f"{archive} ({release}): 24 patches found\n{tmp_path / 'ben.zarr'} (fast): 24 of 24 rows stored, 24 now"
    )


def test_nothing_is_left_beside_the_store(store: Path) -> None:
    assert sorted(path.name for path in store.parent.iterdir()) == ["ben.parquet", "ben.zarr"]
    assert not [name for name in files(store) if name.endswith((".partial", ".new"))]
    assert verify(store).sound


def test_an_existing_empty_folder_becomes_the_store(tmp_path: Path) -> None:
    (tmp_path / "ben.zarr").mkdir()
    assert bex.ingest(write_archive(tmp_path / "v2", pairs=1), tmp_path / "ben.zarr").complete


# Again, and again after an end before the end.


def test_a_second_ingest_writes_nothing(archive: Path, store: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in store.parent.rglob("*")}
    report = bex.ingest(archive, store)
    assert (report.written, report.stored) == (0, 24)
    assert {path: path.stat().st_mtime_ns for path in store.parent.rglob("*")} == before


def forget_states(store: Path) -> None:
    """As if the run had been killed before it recorded its only shard."""
    rows = open_store(store).rows
    write_states(open_store(store), np.zeros(rows, np.uint8), np.zeros(rows, bool))


def forget_half(store: Path) -> None:
    """As if half of the patches had been added to the archive since."""
    state = read_state(open_store(store)).copy()
    state[::2] = 0
    write_states(open_store(store), state, state > 0)


def delete_every_shard(store: Path) -> None:
    for array in open_store(store).arrays:
        shutil.rmtree(store / array.name / "c")


def delete_one_shard(store: Path) -> None:
    (store / "s2_20m/c/0/0/0/0").unlink()


def delete_the_maps(store: Path) -> None:
    shutil.rmtree(store / "reference_map" / "c", ignore_errors=True)


def leave_a_partial(store: Path) -> None:
    """As a run leaves one that is killed while it writes."""
    forget_states(store)
    for array in open_store(store).arrays:
        shard_path(store, array, 0).with_suffix(".partial").write_bytes(b"half")


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "end", [forget_states, forget_half, delete_every_shard, delete_one_shard, delete_the_maps, leave_a_partial]
)
def test_an_ingest_that_was_cut_short_ends_with_the_same_bytes(
    archive: Path, store: Path, tmp_path: Path, end: Callable[[Path], None]
) -> None:
    cut = shutil.copytree(store, tmp_path / "ben.zarr")
    shutil.copy(store.with_suffix(".parquet"), tmp_path)
    end(cut)
    assert bex.ingest(archive, cut).complete
    assert holdings(cut) == holdings(store)


@pytest.mark.parametrize("profile", PROFILES)
def test_an_ingest_that_raises_halfway_can_be_continued(
    tmp_path: Path, profile: ProfileName, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = write_archive(tmp_path / "v2", pairs=5)
    left = iter(range(3))

    def interrupted(*arguments: Any) -> Any:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return read_pixels(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(shards, "read_pixels", interrupted)
        with pytest.raises(KeyboardInterrupt):
            bex.ingest(archive, tmp_path / "ben.zarr", profile=profile)
    assert bex.open(tmp_path / "ben.zarr", states="all").state.values.tolist() == ["absent"] * 5
    assert not [name for name in files(tmp_path / "ben.zarr") if name.endswith(".partial")]
    assert bex.ingest(archive, tmp_path / "ben.zarr").written == 5
    bex.ingest(archive, tmp_path / "whole.zarr", profile=profile)
    assert holdings(tmp_path / "ben.zarr") == holdings(tmp_path / "whole.zarr")


def test_a_store_keeps_its_profile_when_none_is_asked_for(archive: Path, store: Path) -> None:
    assert bex.ingest(archive, store).profile == open_store(store).profile


def test_a_damaged_patch_is_kept_as_it_is_and_found_by_verify(archive: Path, store: Path, tmp_path: Path) -> None:
    cut = shutil.copytree(store, tmp_path / "ben.zarr")
    shutil.copy(store.with_suffix(".parquet"), tmp_path)
    path = cut / "s1/c/0/0/0/0"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    (failure,) = verify(cut).failures
    assert "delete it and ingest the archive again into the same store" in failure
    path.unlink()
    assert bex.ingest(archive, cut).complete
    assert holdings(cut) == holdings(store)


def test_verify_finds_whatever_was_deleted(store: Path, tmp_path: Path) -> None:
    for array in open_store(store).arrays:
        cut = shutil.copytree(store, tmp_path / array.name / "ben.zarr")
        shutil.copy(store.with_suffix(".parquet"), tmp_path / array.name)
        shutil.rmtree(cut / array.name / "c")
        (failure,) = verify(cut).failures
        assert f"{array.name}/c/0" in failure
        assert "24 patches are recorded as stored but missing, first S2" in failure


# The report, run.


def test_the_report_is_written_as_json(own_archive: Path, tmp_path: Path) -> None:
    break_tiff(own_archive)
    report = bex.ingest(own_archive, tmp_path / "ben.zarr")
    report.write_json(tmp_path / "report.json")
    content = json.loads((tmp_path / "report.json").read_text())
    assert content["quarantined"] == dict(report.quarantined)
    assert (content["found"], content["stored"], content["complete"]) == (24, 23, False)


def test_workers_report_what_one_would(own_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "WORTH_PROCESSES", 0)
    break_tiff(own_archive)

    def account(report: IngestReport) -> tuple[object, ...]:
        return report.found, report.stored, report.written, dict(report.quarantined)

    reports = [bex.ingest(own_archive, tmp_path / f"{count}.zarr", workers=count) for count in (1, 2)]
    assert account(reports[0]) == account(reports[1])


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path, long_archive: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os, threading, time\n"
        "import bigearth_xr as bex\n"
        "def run():\n"
        "    mine = f'/proc/{os.getpid()}/task/{os.getpid()}/children'\n"
        "    return open(mine).read().split()\n"
        "def kill():\n"
        "    while len(run()) < 2: time.sleep(0.01)\n"
        "    time.sleep(0.5)\n"
        "    print(*run(), flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
        "threading.Thread(target=kill, daemon=True).start()\n"
        f"bex.ingest({str(long_archive)!r}, 'ben.zarr', bands=['B01'], workers=2)\n"
        "time.sleep(60)\n"
    )
    killed = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert killed.returncode == -9
    run = [Path("/proc", pid, "cmdline") for pid in killed.stdout.split()]
    assert run
    deadline = time.monotonic() + 60
    while any(path.exists() and b"loky" in path.read_bytes() for path in run) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not any(path.exists() and b"popen_loky" in path.read_bytes() for path in run)
