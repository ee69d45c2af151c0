"""A run that is killed at any moment, or meets the end of the disk, is continued to the same bytes."""

import errno
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from full_disk import files_end_at
from holdings import changes, files, holdings

import bigearth_xr as bex
from bigearth_xr.errors import StoreError
from bigearth_xr.ingestion.staging import lock_store
from bigearth_xr.store.codec import PROFILES, ProfileName
from bigearth_xr.store.create import describe
from bigearth_xr.store.location import location_of
from bigearth_xr.store.open import open_store
from bigearth_xr.testing import write_archive
from bigearth_xr.verification import verify

PAIRS = 30

KILLED = """
import importlib, os, sys
import bigearth_xr as bex
from bigearth_xr.ingestion import staging
staging.CHECKPOINT_S = -1.0
module, owner, name, count, archive, store, lists, profile = sys.argv[1:]
place = importlib.import_module(f"bigearth_xr.{module}")
place = getattr(place, owner) if owner else place
whole, left = getattr(place, name), [int(count)]
def killed(*arguments, **options):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), 9)
    return whole(*arguments, **options)
setattr(place, name, killed)
bex.ingest(archive, store, lists or None, profile=profile, workers=1)
"""

MOMENTS = [
    ("store.create", "", "lay_out", 0),
    ("ingestion.staging", "Staging", "put", 1),
    ("ingestion.staging", "Staging", "put", 40),
    ("ingestion.staging", "", "_flush", 12),
    ("ingestion.stream", "", "receive", 1),
    ("ingestion.stream_plan", "", "open_or_create", 0),
    ("store.location", "LocalLocation", "adopt", 2),
    ("store.location", "LocalLocation", "adopt", 4),
    ("ingestion.api", "", "write_states", 0),
    ("ingestion.stream_plan", "StreamPlan", "free", 0),
    ("ingestion.staging", "Staging", "discard", 0),
    ("ingestion.api", "", "clear_marker", 0),
]
"""Where a run is killed, and how often it comes by there before."""

OF_COMPACT = ("write_states", "free")
"""Where it matters that shards are not what arrived."""


@pytest.fixture(scope="module")
def tars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published tars, compressed, with their lists."""
    folder = tmp_path_factory.mktemp("tars") / "ben"
    return write_archive(folder, pairs=PAIRS, container="tar.gz", as_published=True)


@pytest.fixture(scope="module")
def wholes(tars: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[ProfileName, Path]:
    """The store of an ingest that nothing disturbed, by profile."""
    folder = tmp_path_factory.mktemp("whole")
    for profile in PROFILES:
        bex.ingest(tars, folder / f"{profile}.zarr", profile=profile)
    return {profile: folder / f"{profile}.zarr" for profile in PROFILES}


@pytest.fixture(params=PROFILES)
def whole(request: pytest.FixtureRequest, wholes: dict[ProfileName, Path]) -> Path:
    """That store, in each profile."""
    return wholes[request.param]


@pytest.fixture(scope="module")
def fewer(tars: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lists that leave out half of the patches, which then come in a second pass."""
    return write_archive(tmp_path_factory.mktemp("fewer") / "ben", pairs=PAIRS // 2)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def ingest_until_killed(
    moment: tuple[str, str, str, int], archive: Path, store: Path, lists: str, profile: str
) -> None:
    module, owner, name, count = moment
    command = [sys.executable, "-c", KILLED, module, owner, name, str(count), str(archive), str(store), lists, profile]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == -9, ended.stderr


def check_unfinished(store: Path) -> None:
    """It opens, says that it is not finished, and what it shows is whole."""
    assert "incomplete" in describe(store)
    ds = bex.open(store)
    if ds.sizes["patch"]:
        assert ds.s1.isel(patch=-1).values.any()


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("moment", "profile"),
    [
        *((moment, "fast") for moment in MOMENTS),
        *((moment, "compact") for moment in MOMENTS if moment[2] in OF_COMPACT),
    ],
    ids=str,
)
def test_whenever_a_run_is_killed_the_next_one_ends_with_the_same_bytes(
    tmp_path: Path, tars: Path, wholes: dict[ProfileName, Path], moment: tuple[str, str, str, int], profile: ProfileName
) -> None:
    store, whole = tmp_path / "ben.zarr", wholes[profile]
    ingest_until_killed(moment, tars, store, "", profile)
    if moment[2] != "lay_out":
        check_unfinished(store)
    assert bex.ingest(tars, store, profile=profile).complete
    assert holdings(store) == holdings(whole)
    assert names(tmp_path) == {"ben.zarr", "ben.parquet"}
    before = changes(store)
    assert bex.ingest(tars, store).written == 0
    assert changes(store) == before


def test_a_second_pass_that_is_killed_goes_on_with_what_the_first_brought(
    tmp_path: Path, tars: Path, fewer: Path
) -> None:
    bex.ingest(tars, tmp_path / "once.zarr", fewer)
    ingest_until_killed(("ingestion.staging", "Staging", "put", 60), tars, tmp_path / "ben.zarr", str(fewer), "fast")
    check_unfinished(tmp_path / "ben.zarr")
    assert bex.ingest(tars, tmp_path / "ben.zarr", fewer).unlisted == PAIRS - PAIRS // 2
    assert holdings(tmp_path / "ben.zarr") == holdings(tmp_path / "once.zarr")


def test_a_run_that_is_killed_at_random_again_and_again_is_finished(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "v2.tar.zst", pairs=1100, container="tar.zst")
    places = f"{str(archive)!r}, {str(tmp_path / 'ben.zarr')!r}"
    code = f"import bigearth_xr as bex; bex.ingest({places}, bands=['B01', 'B09', 'VV'], workers=2)"
    draw = random.Random(0)
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as running:
            time.sleep(draw.uniform(1.0, 2.5))
            running.kill()
    for name in ("ben", "once"):
        assert bex.ingest(archive, tmp_path / f"{name}.zarr", bands=["B01", "B09", "VV"]).complete
    assert holdings(tmp_path / "ben.zarr") == holdings(tmp_path / "once.zarr")


def test_files_finish_what_a_stream_began(tmp_path: Path, tars: Path, wholes: dict[ProfileName, Path]) -> None:
    store, whole = tmp_path / "ben.zarr", wholes["fast"]
    ingest_until_killed(("ingestion.staging", "Staging", "put", 40), tars, store, "", "fast")
    assert (tmp_path / "ben.ingest").exists()
    bex.ingest(write_archive(tmp_path / "folder", pairs=PAIRS), store)
    assert holdings(store) == holdings(whole)
    assert names(tmp_path) == {"ben.zarr", "ben.parquet", "folder"}


def test_what_is_staged_for_another_choice_is_not_taken(tmp_path: Path, tars: Path) -> None:
    ingest_until_killed(("ingestion.staging", "Staging", "put", 40), tars, tmp_path / "ben.zarr", "", "fast")
    shutil.rmtree(tmp_path / "ben.zarr")
    bex.ingest(tars, tmp_path / "ben.zarr", sensors=("s1",))
    bex.ingest(tars, tmp_path / "once.zarr", sensors=("s1",))
    assert holdings(tmp_path / "ben.zarr") == holdings(tmp_path / "once.zarr")


# A full disk.


def full_after(calls: int, whole: Callable[..., int]) -> Callable[..., int]:
    left = [calls]

    def write(*arguments: object) -> int:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return whole(*arguments)

    return write


@pytest.mark.parametrize(("name", "calls"), [("pwritev", 0), ("pwritev", 50), ("fsync", 1), ("replace", 3)])
def test_a_full_disk_is_told_and_what_is_stored_is_kept(
    tmp_path: Path, tars: Path, whole: Path, monkeypatch: pytest.MonkeyPatch, name: str, calls: int
) -> None:
    store, profile = tmp_path / "ben.zarr", open_store(whole).profile
    with monkeypatch.context() as patched:
        patched.setattr(os, name, full_after(calls, getattr(os, name)))
        with pytest.raises(StoreError, match=r"the disk is full .*; what was stored so far is kept: free some space"):
            bex.ingest(tars, store, profile=profile, workers=1)
    assert bex.ingest(tars, store, profile=profile).complete
    assert holdings(store) == holdings(whole)
    assert names(tmp_path) == {"ben.zarr", "ben.parquet"}


@pytest.mark.parametrize("source", ["stream", "file"])
def test_a_disk_that_is_really_full(tmp_path: Path, tars: Path, wholes: dict[ProfileName, Path], source: str) -> None:
    archive = tars if source == "stream" else write_archive(tmp_path / "folder", pairs=PAIRS)
    place = tmp_path / "disk"
    place.mkdir()
    said = r"a file may not grow that large here \(.*File too large\); what was stored so far is kept: raise the limit"
    with files_end_at(1_000_000), pytest.raises(StoreError, match=said):
        bex.ingest(archive, place / "ben.zarr")
    check_unfinished(place / "ben.zarr")
    assert bex.ingest(archive, place / "ben.zarr").complete
    assert holdings(place / "ben.zarr") == holdings(wholes["fast"])
    assert names(place) == {"ben.zarr", "ben.parquet"}


# Two at once.


def test_two_ingests_do_not_fill_one_store(tmp_path: Path, tars: Path) -> None:
    store = tmp_path / "ben.zarr"
    with (
        lock_store(location_of(store)),
        pytest.raises(StoreError, match=r"ben\.zarr: another ingest is filling it; wait"),
    ):
        bex.ingest(tars, store)
    assert bex.ingest(tars, store).complete
    assert names(tmp_path) == {"ben.zarr", "ben.parquet"}


def test_stores_in_a_bucket_are_locked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bigearth_xr.ingestion.staging.gettempdir", lambda: str(tmp_path))
    one, other = location_of("s3://one/ben.zarr"), location_of("s3://other/ben.zarr")
    with (
        lock_store(one),
        lock_store(other),
        pytest.raises(StoreError, match="another ingest is filling it"),
        lock_store(one),
    ):
        pass
    assert not names(tmp_path)


def test_a_lock_that_is_removed_while_it_is_waited_for_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    flock, lock, calls = fcntl.flock, tmp_path / "ben.lock", list[int]()

    def as_the_other_ends(file: object, how: int) -> None:
        if not calls:
            lock.unlink()
        calls.append(how)
        flock(file, how)  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr(fcntl, "flock", as_the_other_ends)
    with lock_store(location_of(tmp_path / "ben.zarr")):
        assert lock.exists()
    assert len(calls) == 2


# What a killed run of another kind leaves.


def test_an_update_that_is_killed_leaves_a_store_that_opens(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "v2", pairs=5)
    (tmp_path / "lists").mkdir()
    for path in archive.glob("*.parquet"):
        shutil.move(path, tmp_path / "lists")
    store, once = tmp_path / "ben.zarr", tmp_path / "once.zarr"
    bex.ingest(archive, once, tmp_path / "lists")
    bex.ingest(archive, store)
    before = files(store)
    for count in (1, 9, 20):
        ingest_until_killed(
            ("store.location", "LocalLocation", "adopt", count), archive, store, str(tmp_path / "lists"), "fast"
        )
        check_unfinished(store)
    assert files(store) != before
    bex.ingest(archive, store, tmp_path / "lists")
    assert holdings(store) == holdings(once)
    assert verify(store).sound
