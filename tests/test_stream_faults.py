"""What is wrong with an archive is told alike, whatever it lies in."""

import re
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import PAIRS
from faulty_server import serving
from holdings import changes, holdings
from packing import files_of, lists_of, pack, put

import bigearth_xr as bex
from bigearth_xr.archive.names import REFERENCE_MAP
from bigearth_xr.errors import ArchiveError
from bigearth_xr.ingestion import IngestReport
from bigearth_xr.store.open import open_store
from bigearth_xr.testing.container import write_tar
from bigearth_xr.verification import verify


def spoil(archive: Path) -> None:
    """One fault of each kind, two of them in one patch."""
    tiffs = sorted(archive.rglob("*_B05.tif"))
    tiffs[0].write_bytes(tiffs[0].read_bytes()[:1000])
    tiffs[1].unlink()
    tiffs[2].write_bytes(tiffs[3].read_bytes())
    next(tiffs[4].parent.glob("*_B02.tif")).unlink()
    next(tiffs[4].parent.glob("*_B01.tif")).write_bytes(b"no TIFF")
    sorted(archive.rglob("*_VH.tif"))[5].write_bytes(b"")
    for file in sorted(archive.rglob(f"*_{REFERENCE_MAP}.tif"))[6:7]:
        file.write_bytes(bytes(100))
    for file in sorted(archive.rglob("S2*_labels_metadata.json"))[7:8]:
        file.write_bytes(b"{")
    shutil.rmtree(sorted(archive.rglob("*_VV.tif"))[-1].parent)


def told(report: IngestReport) -> tuple[object, ...]:
    """The account without places, which differ."""
    reasons = {
        patch: re.sub(r"\S*/", "", reason).replace("ben.tar.gz: ", "") for patch, reason in report.quarantined.items()
    }
    problems = [(problem.patch, problem.kind) for problem in report.problems]
    return report.found, report.stored, report.rows, report.unlisted, report.without_map, problems, reasons


@pytest.mark.sampled(3)
@pytest.mark.parametrize("with_lists", [True, False])
def test_streams_tell_of_faults_what_files_tell(tmp_path: Path, archive: Path, with_lists: bool) -> None:
    own = shutil.copytree(archive, tmp_path / "own")
    spoil(own)
    packed = pack(own, tmp_path / "packed")
    lists = lists_of(packed) if with_lists else None
    with tarfile.open(packed) as tar:
        tar.extractall(tmp_path / "folder", filter="data")
    reports = {
        name: bex.ingest(source, tmp_path / f"{name}.zarr", lists)
        for name, source in (("stream", packed), ("file", tmp_path / "folder"))
    }
    assert told(reports["stream"]) == told(reports["file"])
    assert len(reports["stream"].quarantined) >= 6
    assert holdings(tmp_path / "stream.zarr") == holdings(tmp_path / "file.zarr")
    assert verify(tmp_path / "stream.zarr").sound
    # Once more changes nothing, and tells the same.
    before = changes(tmp_path / "stream.zarr")
    assert told(bex.ingest(packed, tmp_path / "stream.zarr", lists)) == told(reports["stream"])
    assert changes(tmp_path / "stream.zarr") == before


def test_a_patch_in_two_containers_is_read_from_neither(tmp_path: Path, archive: Path) -> None:
    packed = pack(archive, tmp_path / "packed")
    first = sorted(path.parent for path in archive.rglob("*_B02.tif"))[0]
    again = [(f"x/{first.name}/{file.name}", file.read_bytes()) for file in first.iterdir()]
    write_tar(tmp_path / "again.tar.gz", again, "tar.gz")
    report = bex.ingest([packed, tmp_path / "again.tar.gz"], tmp_path / "ben.zarr", lists_of(packed))
    assert report.stored == PAIRS - 1
    assert [problem.patch for problem in report.problems if problem.kind == "duplicate"] == [first.name]
    assert verify(tmp_path / "ben.zarr").sound


@pytest.mark.sampled(3)
@pytest.mark.parametrize("ending", ["", ".tar", ".tar.gz"])
def test_what_macos_adds_is_no_copy_of_a_patch(tmp_path: Path, archive: Path, fresh: Path, ending: str) -> None:
    files = files_of(archive)
    forks = [(f"__MACOSX/{path}/._{name}", b"fork") for path, _, name in (file[0].rpartition("/") for file in files)]
    report = bex.ingest(
        put([*forks, *files], tmp_path / f"ben{ending}"), tmp_path / "ben.zarr", profile=open_store(fresh).profile
    )
    assert (report.stored, report.failures) == (PAIRS, ())
    assert holdings(tmp_path / "ben.zarr") == holdings(fresh)


@pytest.mark.parametrize("name_of", [lambda patch: f"{'x' * len(patch)}_B02.tif", lambda _: "B02.tif"])
def test_files_of_another_patch_are_not_taken_for_those_of_the_folder(
    tmp_path: Path, archive: Path, name_of: Callable[[str], str]
) -> None:
    files = files_of(archive)
    path, data = next((path, data) for path, data in files if path.endswith("_B03.tif"))
    patch = Path(path).parent.name
    # On the same ground, as those of another day are.
    stray = (f"copy/{patch}/{name_of(patch)}", data)
    for i, place in enumerate((archive, put([stray, *files], tmp_path / "ben.tar.gz"))):
        assert bex.ingest(place, tmp_path / f"{i}.zarr").stored == PAIRS
    assert holdings(tmp_path / "1.zarr") == holdings(tmp_path / "0.zarr")


@pytest.mark.sampled(3)
@pytest.mark.parametrize("half", ["S1", "S2"])
def test_an_empty_folder_is_no_patch_in_any_container(tmp_path: Path, archive: Path, half: str) -> None:
    own = shutil.copytree(archive, tmp_path / "own")
    folder = sorted(own.rglob("*_VV.tif" if half == "S1" else "*_B02.tif"))[5].parent
    for file in folder.iterdir():
        file.unlink()
    with tarfile.open(tmp_path / "with_folders.tar", "w") as tar:
        tar.add(own, ".")
    places = [own, tmp_path / "with_folders.tar"]
    places += [put(files_of(own), tmp_path / f"without{ending}") for ending in (".tar", ".tar.gz")]
    reports = [bex.ingest(place, tmp_path / f"{i}.zarr") for i, place in enumerate(places)]
    assert [(report.rows, report.stored) for report in reports] == [(PAIRS - 1, PAIRS - 1)] * 4
    assert [told(report) for report in reports[1:]] == [told(reports[0])] * 3
    assert {problem.kind for problem in reports[0].problems} == {"unpaired"}
    for i in range(1, 4):
        assert holdings(tmp_path / f"{i}.zarr") == holdings(tmp_path / "0.zarr")


@pytest.mark.parametrize("with_lists", [True, False])
def test_an_archive_without_one_whole_pair_leaves_nothing(tmp_path: Path, archive: Path, with_lists: bool) -> None:
    packed = pack(archive, tmp_path / "packed", lambda files: [file for file in files if "S1" not in file[0]])
    with pytest.raises(ArchiveError, match="no complete pair"):
        bex.ingest(packed, tmp_path / "ben.zarr", lists_of(packed) if with_lists else None)
    assert {path.name for path in tmp_path.iterdir()} == {"packed"}


def test_a_tar_without_a_patch_leaves_nothing(tmp_path: Path, archive: Path) -> None:
    packed = pack(archive, tmp_path / "packed", lambda _: [("README", b"nothing")])
    with pytest.raises(ArchiveError, match="no patch folder below"):
        bex.ingest(packed, tmp_path / "ben.zarr", lists_of(packed))
    assert {path.name for path in tmp_path.iterdir()} == {"packed"}


@pytest.mark.parametrize("ending", [".tar", ".tar.gz"])
def test_where_all_is_refused_the_reason_is_told(tmp_path: Path, archive: Path, ending: str) -> None:
    path = put([(f"/data/{name}", data) for name, data in files_of(archive)], tmp_path / f"ben{ending}")
    with pytest.raises(ArchiveError, match=r"no patch folder below .*\n\d+ refused, first: .*: /data/.* leads outside"):
        bex.ingest(path, tmp_path / "ben.zarr")


def test_where_all_is_there_twice_that_is_told(tmp_path: Path, archive: Path) -> None:
    path = put(files_of(archive), tmp_path / "ben.tar")
    with pytest.raises(ArchiveError, match=r"no complete pair of v\d; .*\n\d+ duplicate, first: .* is there twice: .*"):
        bex.ingest([path, archive], tmp_path / "ben.zarr")


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><p>gone</p>", b"<!DOCTYPE html>" + b"<p>gone</p>" * 1000])
def test_a_page_in_place_of_a_tar_is_told(tmp_path: Path, page: bytes) -> None:
    with (
        serving({"ben.tar": page}) as site,
        pytest.raises(ArchiveError, match=r"is not a tar, .*b'<!DOCTYPE html><p>gone"),
    ):
        bex.ingest(site.of("ben.tar"), tmp_path / "ben.zarr")
