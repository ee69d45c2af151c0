"""The same archive gives the same store, whatever it lies in and in whatever order."""

import os
import random
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest
from archives import LISTS
from conftest import PAIRS
from faulty_server import drops, limited, serving
from holdings import changes, holdings, leftovers
from packing import Files, files_of, lists_of, pack, put

import bigearth_xr as bex
from bigearth_xr.errors import BandError, MetadataError, SelectionError, StoreError
from bigearth_xr.ingestion import api, stream
from bigearth_xr.ingestion.stream import Receiver, receive
from bigearth_xr.releases import Release
from bigearth_xr.store.codec import ProfileName
from bigearth_xr.store.create import describe
from bigearth_xr.store.open import open_store
from bigearth_xr.testing import write_archive
from bigearth_xr.testing.container import Container


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each pass over streams, whether pixels were taken in."""
    seen: list[bool] = []

    def counting(members: object, index: object, arrivals: Receiver | None, advance: object) -> None:
        seen.append(arrivals is not None)
        receive(members, index, arrivals, advance)  # type: ignore[arg-type]  # passed on as they are

    monkeypatch.setattr(stream, "receive", counting)
    return seen


# What it lies in.


@pytest.mark.sampled(2)
@pytest.mark.parametrize("container", ["tar", "tar.gz", "tar.zst"])
def test_a_tar_gives_the_store_of_the_folder(
    tmp_path: Path, release: Release, fresh: Path, container: Container, passes: list[bool]
) -> None:
    path = write_archive(tmp_path / f"ben.{container}", pairs=PAIRS, version=release, container=container)
    profile = open_store(fresh).profile
    report = bex.ingest(path, tmp_path / "ben.zarr", profile=profile)
    assert (report.written, report.complete) == (PAIRS, True)
    # In `fast`, what arrives lies where it is to stay.
    assert (report.extra_bytes > 0) == (container != "tar" and profile == "compact")
    assert holdings(tmp_path / "ben.zarr") == holdings(fresh)
    # Its lists are inside: what there is, is known only at its end.
    assert passes == ([] if container == "tar" else [False, True])
    assert not leftovers(tmp_path)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("container", ["tar", "tar.gz", "tar.zst"])
def test_the_published_tars_beside_their_lists_are_read_once(
    tmp_path: Path, release: Release, fresh: Path, container: Container, passes: list[bool]
) -> None:
    folder = write_archive(tmp_path / "ben", pairs=PAIRS, version=release, container=container, as_published=True)
    bex.ingest(folder, tmp_path / "ben.zarr", profile=open_store(fresh).profile)
    assert holdings(tmp_path / "ben.zarr") == holdings(fresh)
    assert passes == ([] if container == "tar" else [True] * len(passes))
    assert len(passes) == (0 if container == "tar" else len(list(folder.glob("*.tar*"))) + 1)


def test_containers_of_all_kinds_can_be_mixed(tmp_path: Path, archive: Path, release: Release, fresh: Path) -> None:
    folder = write_archive(tmp_path / "ben", pairs=PAIRS, version=release, container="tar.gz", as_published=True)
    s1 = next(folder.glob("*S1*.tar.gz"))
    s1.unlink()
    unpacked = next(path for path in archive.iterdir() if "S1" in path.name and path.is_dir())
    bex.ingest([folder, unpacked], tmp_path / "ben.zarr", profile=open_store(fresh).profile)
    assert holdings(tmp_path / "ben.zarr") == holdings(fresh)


def shuffled(files: Files) -> Files:
    return random.Random(0).sample(files, len(files))


def by_band(files: Files) -> Files:
    """The members of one patch as far apart as they can be."""
    return sorted(files, key=lambda file: file[0].rpartition("_")[2])


def doubled(files: Files) -> Files:
    """Every file again at the end, with other content: the first one counts."""
    return [*files, *((path, b"again") for path, _ in files)]


@pytest.mark.sampled(5)
@pytest.mark.parametrize("order", [shuffled, by_band, doubled])
@pytest.mark.parametrize("with_lists", [True, False])
def test_the_order_of_members_does_not_matter(
    tmp_path: Path, archive: Path, fresh: Path, order: Callable[[Files], Files], with_lists: bool
) -> None:
    packed = pack(archive, tmp_path / "packed", order)
    profile: ProfileName = open_store(fresh).profile
    if with_lists:
        bex.ingest(packed, tmp_path / "ben.zarr", lists_of(packed), profile=profile)
        assert holdings(tmp_path / "ben.zarr") == holdings(fresh)
    else:
        bex.ingest(packed, tmp_path / "ben.zarr", profile=profile)
        bare = pack(archive, tmp_path / "bare")
        bex.ingest(bare, tmp_path / "bare.zarr", profile=profile)
        assert holdings(tmp_path / "ben.zarr") == holdings(tmp_path / "bare.zarr")


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    "choice",
    [
        {"sensors": ("s1",)},
        {"sensors": ("s2",), "bands": ["B8A", "B01"]},
        {"bands": ["B04", "VV"]},
        {"rows": "listed"},
    ],
    ids=str,
)
def test_a_part_of_it_is_the_same_part(tmp_path: Path, archive: Path, choice: dict[str, object]) -> None:
    packed = pack(archive, tmp_path / "packed")
    for name, source in (("stream", packed), ("folder", archive)):
        report = bex.ingest(source, tmp_path / f"{name}.zarr", lists_of(packed), **choice)  # type: ignore[arg-type]  # any
        assert report.complete
    assert holdings(tmp_path / "stream.zarr") == holdings(tmp_path / "folder.zarr")


@pytest.mark.parametrize("profile", ["fast", "compact"])
def test_the_number_of_workers_does_not_matter(
    tmp_path: Path, profile: ProfileName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "WORTH_PROCESSES", 0)
    folder = write_archive(tmp_path / "ben", pairs=1100, container="tar.zst", as_published=True)
    for count in (1, 2):
        bex.ingest(folder, tmp_path / f"{count}.zarr", bands=["B01", "VV"], profile=profile, workers=count)
    assert holdings(tmp_path / "1.zarr") == holdings(tmp_path / "2.zarr")


@pytest.mark.sampled(3)
@pytest.mark.parametrize("ending", ["", ".tar", ".tar.gz"])
def test_a_patch_may_be_cut_over_containers(tmp_path: Path, archive: Path, fresh: Path, ending: str) -> None:
    files = shuffled(files_of(archive))
    lists = [file for file in files if file[0].partition("/")[0] in LISTS]
    others = [file for file in files if file not in lists]
    places = [put([*lists, *others[::3]], tmp_path / f"a{ending}"), put(others[1::3], tmp_path / f"b{ending}")]
    places.append(put(others[2::3], tmp_path / "c"))
    report = bex.ingest(places, tmp_path / "ben.zarr", profile=open_store(fresh).profile)
    assert (report.stored, report.failures) == (PAIRS, ())
    assert holdings(tmp_path / "ben.zarr") == holdings(fresh)


# Lists and archives that do not agree.


def some_of(archive: Path, patches: set[str]) -> Callable[[Files], Files]:
    """Leave out the Sentinel-2 files of some patches."""
    return lambda files: [file for file in files if not any(f"/{patch}/" in file[0] for patch in patches)]


@pytest.mark.parametrize("rows", ["found", "listed"])
def test_lists_may_name_more_than_there_is(tmp_path: Path, archive: Path, rows: str, passes: list[bool]) -> None:
    names = bex.table.from_lists(lists_of(pack(archive, tmp_path / "all")))["patch"].to_pylist()
    packed = pack(archive, tmp_path / "packed", some_of(archive, set(names[3:9])))
    with tarfile.open(packed) as tar:
        tar.extractall(tmp_path / "folder", filter="data")
    reports = [
        bex.ingest(source, tmp_path / f"{name}.zarr", lists_of(packed), rows=rows)  # type: ignore[arg-type]  # one of both
        for name, source in (("stream", packed), ("file", tmp_path / "folder"))
    ]
    assert [report.rows for report in reports] == [PAIRS - 6 if rows == "found" else PAIRS] * 2
    assert [report.stored for report in reports] == [PAIRS - 6] * 2
    assert holdings(tmp_path / "stream.zarr") == holdings(tmp_path / "file.zarr")
    assert passes == [True]
    assert not leftovers(tmp_path)


def test_patches_that_no_list_names_come_in_a_second_pass(
    tmp_path: Path, archive: Path, release: Release, passes: list[bool]
) -> None:
    packed = pack(archive, tmp_path / "packed")
    fewer = pack(write_archive(tmp_path / "fewer", pairs=PAIRS - 5, version=release), tmp_path / "few")
    bare = pack(archive, tmp_path / "bare")
    with tarfile.open(bare) as tar:
        tar.extractall(tmp_path / "folder", filter="data")
    for name, source in (("stream", packed), ("file", tmp_path / "folder")):
        report = bex.ingest(source, tmp_path / f"{name}.zarr", lists_of(fewer))
        assert (report.unlisted, report.complete) == (5, True)
    assert holdings(tmp_path / "stream.zarr") == holdings(tmp_path / "file.zarr")
    assert passes == [True, True]


# A finished store.


def test_the_same_streams_change_nothing(tmp_path: Path, archive: Path, fresh: Path) -> None:
    packed, own = pack(archive, tmp_path / "packed"), shutil.copytree(fresh, tmp_path / "ben.zarr")
    shutil.copy(fresh.with_suffix(".parquet"), tmp_path)
    before = changes(own)
    report = bex.ingest(packed, own, lists_of(packed))
    assert (report.written, report.stored, report.complete) == (0, PAIRS, True)
    assert changes(own) == before
    assert not leftovers(tmp_path)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"profile": "compact"}, "its profile is 'fast', 'compact' was asked for"),
        ({"bands": ["B02", "VV"]}, "it holds B02, .* this would store B02, VV"),
        ({"workers": 0}, "workers is 0, expected a whole number, at least 1"),
        ({"sensors": ("s3",)}, r"sensors is \['s3'\]"),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused_before_anything_is_read(
    tmp_path: Path, archive: Path, passes: list[bool], choice: dict[str, object], message: str
) -> None:
    bex.ingest(archive, tmp_path / "ben.zarr", profile="fast")
    packed, before = pack(archive, tmp_path / "packed"), changes(tmp_path / "ben.zarr")
    with pytest.raises((StoreError, SelectionError, BandError), match=message):
        bex.ingest(packed, tmp_path / "ben.zarr", **choice)  # type: ignore[arg-type]  # the mistakes
    assert not passes
    assert changes(tmp_path / "ben.zarr") == before


def test_another_release_is_refused_by_its_lists(
    tmp_path: Path, archive: Path, release: Release, passes: list[bool]
) -> None:
    bex.ingest(archive, tmp_path / "ben.zarr")
    other: Release = "v2" if release == "v1" else "v1"
    folder = write_archive(tmp_path / "other", pairs=2, version=other, container="tar.gz", as_published=True)
    with pytest.raises(StoreError, match=f"it holds {release}, the archive is {other}; choose another place"):
        bex.ingest(folder, tmp_path / "ben.zarr")
    assert not passes


def test_lists_of_the_other_release_leave_nothing(tmp_path: Path, archive: Path, release: Release) -> None:
    other = write_archive(tmp_path / "other", pairs=2, version="v2" if release == "v1" else "v1")
    packed = pack(archive, tmp_path / "packed")
    with pytest.raises(MetadataError, match="give the metadata of its own release"):
        bex.ingest(packed, tmp_path / "ben.zarr", other / "lists" if release == "v2" else other)
    assert {path.name for path in tmp_path.iterdir()} == {"packed", "other"}


def test_another_archive_is_refused(tmp_path: Path) -> None:
    one, other = (write_archive(tmp_path / f"{seed}.tar.gz", pairs=2, seed=seed, container="tar.gz") for seed in (0, 1))
    bex.ingest(one, tmp_path / "ben.zarr")
    before = changes(tmp_path / "ben.zarr")
    with pytest.raises(StoreError, match="its 2 patches are not the 2 of this archive"):
        bex.ingest(other, tmp_path / "ben.zarr")
    assert changes(tmp_path / "ben.zarr") == before
    assert not leftovers(tmp_path)


# From a server, and with others.


def test_an_address_is_read_through_dropped_connections(tmp_path: Path) -> None:
    folder = write_archive(tmp_path / "ben", pairs=PAIRS, container="tar.gz", as_published=True)
    served = {path.name: path.read_bytes() for path in folder.glob("*.tar.gz")}
    bex.ingest(folder, tmp_path / "near.zarr")
    with serving(served) as site:
        site.faults.append(limited(2, drops(lambda: 100_000)))
        report = bex.ingest([site.of(name) for name in served], tmp_path / "far.zarr", folder)
    assert report.complete
    assert len(site.requests) > len(served)
    assert holdings(tmp_path / "far.zarr") == holdings(tmp_path / "near.zarr")


def test_when_one_stream_fails_the_others_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_archive(tmp_path / "ben", pairs=4, container="tar.gz", as_published=True)
    is_failed, taken = Event(), 0

    def slow(members: Iterator[object], *_: object) -> None:
        nonlocal taken
        if "S1" in next(members).name:  # type: ignore[attr-defined]  # a member
            is_failed.set()
            raise OSError(5, "the disk is gone")
        is_failed.wait()
        for _member in members:
            taken += 1
            Event().wait(0.05)

    monkeypatch.setattr(stream, "receive", slow)
    with pytest.raises(OSError, match="the disk is gone"):
        bex.ingest(folder, tmp_path / "ben.zarr")
    assert taken < 40
    assert "incomplete" in describe(tmp_path / "ben.zarr")


def test_ctrl_c_stops_all_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_archive(tmp_path / "ben", pairs=4, container="tar.gz", as_published=True)
    taken = 0

    def slow(members: Iterator[object], *_: object) -> None:
        nonlocal taken
        for _member in members:
            taken += 1
            Event().wait(0.05)

    def pressed(_: object) -> Iterator[object]:
        raise KeyboardInterrupt

    monkeypatch.setattr(stream, "receive", slow)
    monkeypatch.setattr(stream, "as_completed", pressed)
    with pytest.raises(KeyboardInterrupt):
        bex.ingest(folder, tmp_path / "ben.zarr")
    assert taken < 20
    assert leftovers(tmp_path) == {"ben.ingest"}


def test_no_file_stays_open(tmp_path: Path, archive: Path) -> None:
    packed = pack(archive, tmp_path / "packed")
    bex.ingest(packed, tmp_path / "ben.zarr", lists_of(packed))
    before = len(os.listdir("/proc/self/fd"))
    bex.ingest(packed, tmp_path / "again.zarr", lists_of(packed))
    assert len(os.listdir("/proc/self/fd")) == before
