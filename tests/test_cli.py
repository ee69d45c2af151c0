"""The command line, run as people run it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bigearth_xr as bex
from bigearth_xr.demo import run_demo
from bigearth_xr.demo.release import open_release
from bigearth_xr.sample import unpack_sample
from bigearth_xr.store.open import open_store
from bigearth_xr.store.shard import shard_path

one_release = pytest.mark.parametrize("release", ["v2"], indirect=True)
"""For what the command line hands on: that both releases come out right is shown of what it calls."""


def bigearth(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", "from bigearth_xr.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@one_release
def test_ingest_info_and_verify_agree(archive: Path, tmp_path: Path) -> None:
    done = bigearth("ingest", archive, "ben.zarr", "--profile", "compact", "--report", "report.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "24 of 24 rows stored, 24 now" in done.stdout
    account = json.loads((tmp_path / "report.json").read_text())
    assert account["complete"]
    assert account["found"] == account["stored"] == 24
    assert "24: 24 stored" in bigearth("info", "ben.zarr", cwd=tmp_path).stdout
    verified = bigearth("verify", "ben.zarr", cwd=tmp_path)
    assert verified.returncode == 0
    assert "sound" in verified.stdout


@one_release
def test_ingest_takes_bands_by_comma(archive: Path, tmp_path: Path) -> None:
    done = bigearth("ingest", archive, "ben.zarr", "--bands", "B02, VH ", "--sensors", "s1, s2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert open_store(tmp_path / "ben.zarr").bands == ("B02", "VH")


def test_verify_exits_1_on_a_flipped_byte(tmp_path: Path) -> None:
    path = bex.testing.write_store(tmp_path / "ben.zarr", pairs=3)
    shard = shard_path(path, open_store(path).array("s1"), 0)
    data = bytearray(shard.read_bytes())
    data[100] ^= 1
    shard.write_bytes(data)
    verified = bigearth("verify", path, cwd=tmp_path)
    assert verified.returncode == 1
    assert "checksum" in verified.stdout
    assert "1 failures" in verified.stdout


@one_release
def test_verify_compares_repairs_and_reports(archive: Path, tmp_path: Path) -> None:
    bex.ingest(archive, tmp_path / "ben.zarr")
    whole = shard_path(tmp_path / "ben.zarr", open_store(tmp_path / "ben.zarr").array("s2_20m"), 0).read_bytes()
    shard = tmp_path / "ben.zarr/s2_20m/c/0/0/0/0"
    shard.write_bytes(whole[:100] + b"!" + whole[101:])
    found = bigearth("verify", "ben.zarr", "--against", archive, "--report", "found.json", cwd=tmp_path)
    assert found.returncode == 1
    assert json.loads((tmp_path / "found.json").read_text())["findings"][0]["kind"] == "checksum"
    mended = bigearth("verify", "ben.zarr", "--against", archive, "--repair", "--full", cwd=tmp_path)
    assert mended.returncode == 0, mended.stdout + mended.stderr
    assert "repaired: 1 files, first s2_20m/c/0/0/0/0" in mended.stdout
    assert shard.read_bytes() == whole


@one_release
def test_an_incomplete_store_exits_1_only_if_that_is_asked_for(archive: Path, tmp_path: Path) -> None:
    bex.ingest(archive, tmp_path / "ben.zarr")
    told = bigearth("verify", "ben.zarr", cwd=tmp_path)
    assert told.returncode == 0
    assert "not complete" in told.stdout
    assert bigearth("verify", "ben.zarr", "--complete", cwd=tmp_path).returncode == 1
    assert bigearth("verify", "ben.zarr", "--complete", "--against", archive, cwd=tmp_path).returncode == 0


def test_a_repair_without_an_archive_exits_1_if_it_needs_one(tmp_path: Path) -> None:
    store = bex.testing.write_store(tmp_path / "ben.zarr", pairs=1)
    (store / "zarr.json").unlink()
    assert bigearth("verify", "ben.zarr", "--repair", cwd=tmp_path).returncode == 0
    next(path for path in (store / "s1").rglob("c/**/0") if path.is_file()).unlink()
    failed = bigearth("verify", "ben.zarr", "--repair", cwd=tmp_path)
    assert failed.returncode == 1
    assert "--against ARCHIVE" in failed.stdout + failed.stderr


def test_strict_exits_1_and_says_why(tmp_path: Path) -> None:
    archive = bex.testing.write_archive(tmp_path / "archive", pairs=3)
    next(archive.rglob("*_B05.tif")).unlink()
    relaxed = bigearth("ingest", archive, "relaxed.zarr", cwd=tmp_path)
    strict = bigearth("ingest", archive, "strict.zarr", "--strict", cwd=tmp_path)
    assert (relaxed.returncode, strict.returncode) == (0, 1)
    assert "band B05" in relaxed.stdout
    assert "is missing" in strict.stdout


def test_what_cannot_be_done_exits_2_in_words(tmp_path: Path) -> None:
    failed = bigearth("info", "nowhere.zarr", cwd=tmp_path)
    assert failed.returncode == 2
    assert "no store here" in failed.stderr
    assert "Traceback" not in failed.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ingest", "archive", "ben.zarr", "--metadata", "some.txt"], "some.txt: no parquet, or a damaged one"),
        (["ingest", "archive", ""], "'' names no store"),
        (["ingest", "archive", "ben.zarr", "--scheduler", "nonsense"], "no Dask scheduler there"),
        (["download", "v2", "--to", "here", "--retries", "-1"], "retries is -1, expected 0 or more"),
    ],
)
def test_what_cannot_be_meant_exits_2_in_one_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    bex.testing.write_archive(tmp_path / "archive", pairs=1)
    (tmp_path / "some.txt").write_text("no parquet")
    failed = bigearth(*arguments, cwd=tmp_path)
    assert failed.returncode == 2
    assert said in failed.stderr
    assert len(failed.stderr.splitlines()) == 1


def test_a_script_without_a_guard_runs_once(tmp_path: Path, long_archive: Path) -> None:
    """Workers must not import the caller's script again."""
    script = tmp_path / "script.py"
    script.write_text(
        "import bigearth_xr as bex\n"
        "print('started')\n"
        f"report = bex.ingest({str(long_archive)!r}, 'ben.zarr', bands=['B01'], workers=2)\n"
        "print(report.stored)\n"
    )
    run = subprocess.run([sys.executable, script.name], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["started", "1100"]


def test_demo_of_the_sample_goes_all_the_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (page,) = run_demo(None, tmp_path / "demo")
    said = capsys.readouterr().out
    for line in ("6 pairs of v1", "590,326 pairs in the published lists", "sound", "NDVI", "report.html"):
        assert line in said
    assert "gain 0.9 to 1.1 (a factor), bias −0.1 to 0.1 (standard deviations)" in said
    assert "by the spectral baseline" in said
    assert "score  " not in said
    assert page.stat().st_size > 100_000
    assert len(said.splitlines()) <= 24
    assert bex.open(tmp_path / "demo" / "demo.zarr").listed.values.tolist() == [True] * 6


def test_demo_replaces_a_store_and_nothing_else(tmp_path: Path) -> None:
    archive = bex.testing.write_archive(tmp_path / "archive", pairs=2)
    bex.testing.write_store(tmp_path / "out" / "demo.zarr", pairs=1, seed=1)
    run_demo(archive, tmp_path / "out")
    assert bex.open(tmp_path / "out" / "demo.zarr").sizes["patch"] == 2
    shutil.rmtree(tmp_path / "out" / "demo.zarr")
    (tmp_path / "out" / "demo.zarr").mkdir()
    (tmp_path / "out" / "demo.zarr" / "diary.txt").write_text("mine")
    with pytest.raises(bex.errors.StoreError, match="in the way"):
        run_demo(archive, tmp_path / "out")
    assert (tmp_path / "out" / "demo.zarr" / "diary.txt").exists()


def test_demo_takes_the_bands_that_all_patches_have(tmp_path: Path) -> None:
    archive = bex.testing.write_archive(tmp_path / "archive", pairs=2)
    next(archive.rglob("*_B05.tif")).unlink()
    opened = open_release(archive, tmp_path / "demo.zarr", metadata=None)
    assert opened.report.stored == 2
    assert "B05" not in opened.ds.band
    assert opened.ds.sizes["band"] == 11


def test_sample_is_six_real_pairs(tmp_path: Path) -> None:
    report = bex.ingest(unpack_sample(tmp_path / "sample"), tmp_path / "ben.zarr", strict=True)
    assert (report.found, report.stored, report.failures) == (6, 6, ())


def test_verify_reports_a_lost_column(tmp_path: Path) -> None:
    path = bex.testing.write_store(tmp_path / "ben.zarr", pairs=3)
    shutil.rmtree(path / "lon")
    verified = bigearth("verify", path, cwd=tmp_path)
    assert verified.returncode == 1
    assert "lon: is missing" in verified.stdout


@one_release
def test_the_report_may_go_into_a_new_folder(archive: Path, tmp_path: Path) -> None:
    done = bigearth("ingest", archive, "ben.zarr", "--report", "new/report.json", "--bands", "B01", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "new" / "report.json").read_text())["stored"] == 24


def test_an_ingest_that_fails_leaves_no_report_and_keeps_an_older_one(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    for report in ("new.json", "old.json"):
        assert bigearth("ingest", "empty", "ben.zarr", "--report", report, cwd=tmp_path).returncode == 2
    assert not (tmp_path / "new.json").exists()
    assert (tmp_path / "old.json").read_text() == "{}"
