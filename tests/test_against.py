"""A store is compared with, and repaired from, whatever an ingest takes: compressed tars, addresses, LMDBs."""

import gc
import shutil
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest
from damages import ROW, delete_table, everything_at_once, flip_pixels, garble_table, kinds, patch_of, swap_patches
from faulty_server import Site, drops, limited, serving
from holdings import copy_store, holdings
from lmdbs import values_of, write_lmdb

import bigearth_xr as bex
from bigearth_xr.archive import open_archive
from bigearth_xr.archive.streams import StreamedSource
from bigearth_xr.errors import ArchiveError, BigEarthError, StoreError
from bigearth_xr.releases import Release
from bigearth_xr.testing import write_archive
from bigearth_xr.testing.container import Container, write_tar
from bigearth_xr.testing.faults import truncated, with_corrupt_tiff
from bigearth_xr.verification import VerifyReport, verify

PAIRS = 9


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("against")


@pytest.fixture(scope="module")
def folder(root: Path, release: Release) -> Path:
    """The archive, unpacked."""
    return write_archive(root / release, pairs=PAIRS, version=release)


@pytest.fixture(scope="module")
def sound(folder: Path, root: Path, release: Release) -> Path:
    """Its store."""
    bex.ingest(folder, root / f"of-{release}" / "ben.zarr")
    return root / f"of-{release}" / "ben.zarr"


@pytest.fixture
def own(sound: Path, tmp_path: Path) -> Path:
    """A copy of it, which a test may damage."""
    return copy_store(sound, tmp_path)


@pytest.fixture(scope="module")
def published(root: Path, release: Release, folder: Path) -> Path:
    """The same archive in a folder of compressed tars, as it is downloaded."""
    packed: Container = "tar.gz" if release == "v1" else "tar.zst"
    return write_archive(root / f"tars-{release}", pairs=PAIRS, version=release, container=packed, as_published=True)


@pytest.fixture
def site(published: Path) -> Iterator[Site]:
    """These tars on a server."""
    with serving({tar.name: tar.read_bytes() for tar in published.glob("*.tar*")}) as site:
        yield site


@pytest.fixture(params=["tar.gz", "tar.zst", "published", "list of tars", "addresses"])
def against(request: pytest.FixtureRequest, root: Path, release: Release) -> list[str]:
    """The archive in each container that is read from front to back."""
    if request.param.startswith("tar."):
        tar = root / f"{release}.{request.param}"
        if not tar.exists():
            write_archive(tar, pairs=PAIRS, version=release, container=request.param)
        return [str(tar)]
    if request.param == "addresses":
        site: Site = request.getfixturevalue("site")
        return [site.of(name) for name in sorted(site.files)]
    published: Path = request.getfixturevalue("published")
    return [str(published)] if request.param == "published" else [str(tar) for tar in sorted(published.glob("*.tar*"))]


def told(report: VerifyReport) -> tuple[object, ...]:
    """What a report tells, but the name of the archive."""
    found = report.comparison
    assert found is not None
    sides = (found.compared, found.sampled, found.only_in_archive, found.only_in_store)
    return report.findings, report.checked, report.repaired, report.unrepaired, sides


@pytest.mark.sampled(3)
@pytest.mark.sampled(3)
def lists_in(folder: Path) -> Path:
    return folder / "lists" if (folder / "lists").is_dir() else folder


def test_a_comparison_equals_that_with_the_folder(folder: Path, own: Path, against: list[str]) -> None:
    swap_patches(own)
    for sample in (3, 1000):
        report = verify(own, against, metadata=lists_in(folder), sample=sample)
        assert told(report) == told(verify(own, folder, sample=sample))
        assert report.comparison is not None
        assert report.comparison.archive == ", ".join(against)
        assert report.comparison.compared == min(sample, PAIRS)
        assert report.comparison.only_in_archive == report.comparison.only_in_store == ()
    swapped = {patch_of(own, ROW), patch_of(own, ROW + 1)}
    assert {name for finding in report.findings for name in finding.patches} == swapped


def test_a_repair_restores_the_bytes(own: Path, sound: Path, folder: Path, against: list[str]) -> None:
    everything_at_once(own)
    # The sample meets nothing of what has to be read anew.
    report = verify(own, against, metadata=lists_in(folder), sample=1, repair=True)
    assert report.sound, report.failures
    assert report.repaired
    assert holdings(own) == holdings(sound)


@pytest.fixture(params=["tar", "tar.zst"])
def packed(request: pytest.FixtureRequest, root: Path, release: Release) -> Path:
    """The archive with its lists in one tar, plain or compressed."""
    tar = root / f"with-lists-{release}.{request.param}"
    return tar if tar.exists() else write_archive(tar, pairs=PAIRS, version=release, container=request.param)


@pytest.mark.sampled(2)
def test_lists_inside_the_archive_are_enough_for_a_table(own: Path, sound: Path, packed: Path) -> None:
    for damage in (delete_table, garble_table):
        damage(own)
        report = verify(own, packed, repair=True)
        assert report.sound, report.failures
        assert report.repaired == ("ben.parquet",)
        assert holdings(own) == holdings(sound)
    assert report.completeness.tallies[0].listed == PAIRS


def test_an_ingest_of_the_same_archive_writes_a_lost_table_again(own: Path, sound: Path, packed: Path) -> None:
    for damage in (delete_table, garble_table):
        damage(own)
        assert bex.ingest(packed, own).written == 0
        assert holdings(own) == holdings(sound)


def test_a_damaged_file_is_named_with_its_container(
    own: Path, published: Path, tmp_path: Path, release: Release
) -> None:
    bad = shutil.copytree(published, tmp_path / "bad")
    (tar,) = (path for path in bad.glob("*.tar*") if "S2" in path.name or path.name.startswith("BigEarthNet-v1"))
    with_corrupt_tiff(published / tar.name, bad / tar.name, patch=patch_of(own), band="B05", how="zero-length")
    report = verify(own, bad, sample="all")
    (finding,) = report.findings
    assert (finding.kind, finding.patches) == ("unreadable", (patch_of(own),))
    assert f"{bad / tar.name}: " in finding.message
    assert f"{patch_of(own)}_B05.tif" in finding.message
    assert report.comparison is not None
    assert report.comparison.compared == PAIRS - 1
    # What has to be read from there stays as it is, and is named.
    swap_patches(own)
    before = holdings(own)
    report = verify(own, bad, sample="all", repair=True)
    assert report.unrepaired.keys() <= {patch_of(own)}
    assert holdings(own)["s2_10m/c/0/0/0/0"] == before["s2_10m/c/0/0/0/0"]


# The temporary folder.


@pytest.fixture
def collected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """Names of the patch folders that lie in the temporary folder, after each passage through the streams."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    collect, seen = StreamedSource.collect, list[set[str]]()

    def watched(self: StreamedSource, folders: Collection[str]) -> None:
        collect(self, folders)
        seen.append({file.parent.name for file in self.scratch.rglob("*") if file.is_file()})

    monkeypatch.setattr(StreamedSource, "collect", watched)
    return seen


def test_only_what_is_wanted_lies_there_and_goes(
    own: Path, published: Path, collected: list[set[str]], tmp_path: Path
) -> None:
    report = verify(own, published, sample=2)
    assert report.comparison is not None
    assert report.comparison.compared == 2
    (names,) = collected
    assert 2 * 2 <= len(names) <= 2 * 3
    assert len([name for name in names if name.startswith("S1")]) == 2
    assert list((tmp_path / "temporary").iterdir()) == []


def test_it_goes_after_an_error_too(
    own: Path, published: Path, collected: list[set[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    def lost(self: StreamedSource, folders: Collection[str]) -> None:
        collect(self, folders)
        raise ArchiveError("the server is gone")

    collect = StreamedSource.collect
    monkeypatch.setattr(StreamedSource, "collect", lost)
    with pytest.raises(ArchiveError, match="the server is gone"):
        verify(own, published, sample=2)
    assert len(collected) == 1
    gc.collect()
    assert list((tmp_path / "temporary").iterdir()) == []


# What is survived, and what is refused.


def test_a_connection_may_drop(own: Path, site: Site) -> None:
    site.faults.append(limited(1, drops(lambda: 20_000)))
    report = verify(own, [site.of(name) for name in sorted(site.files)], sample="all")
    assert report.sound, report.failures
    assert report.comparison is not None
    assert report.comparison.compared == PAIRS


@pytest.mark.parametrize("packed", ["tar", "tar.gz"])
def test_a_tar_that_was_cut_is_told(own: Path, tmp_path: Path, release: Release, packed: Container) -> None:
    tar = write_archive(tmp_path / f"cut.{packed}", pairs=PAIRS, version=release, container=packed)
    truncated(tar, tmp_path / f"half.{packed}", at=0.8)
    report = verify(own, tmp_path / f"half.{packed}", sample="all")
    (finding,) = (finding for finding in report.findings if not finding.patches)
    assert finding.kind == "unreadable"
    assert f"half.{packed}" in finding.message
    assert "patches that follow could not be compared" in finding.message
    truncated(tar, tmp_path / f"begun.{packed}", at=0.1)
    with pytest.raises(StoreError, match=rf"has none of the 9 patches of .*; .*begun.{packed}.*again"):
        verify(own, tmp_path / f"begun.{packed}")


def test_another_archive_is_refused(own: Path, tmp_path: Path, release: Release) -> None:
    other = write_archive(tmp_path / "other.tar.zst", pairs=2, version=release, first=500, container="tar.zst")
    with pytest.raises(StoreError, match="has none of the 9 patches of"):
        verify(own, other)
    wrong: Release = "v1" if release == "v2" else "v2"
    other = write_archive(tmp_path / "wrong.tar.zst", pairs=2, version=wrong, container="tar.zst")
    with pytest.raises(BigEarthError, match=f"of {wrong}, but .* holds {release}"):
        verify(own, other)


def test_patches_cut_over_two_streams_are_compared_and_repaired_from(folder: Path, own: Path, tmp_path: Path) -> None:
    files = [
        (path.relative_to(folder).as_posix(), path.read_bytes()) for path in sorted(folder.rglob("*")) if path.is_file()
    ]
    halves = [tmp_path / "one.tar.gz", tmp_path / "two.tar.gz"]
    for number, half in enumerate(halves):
        write_tar(half, files[number::2], "tar.gz")
    before = holdings(own)
    flip_pixels("s1")(own)
    assert not verify(own, halves, metadata=lists_in(folder)).sound
    report = verify(own, halves, metadata=lists_in(folder), repair=True, sample="all")
    assert report.sound, report.failures
    assert report.comparison is not None
    assert report.comparison.compared == PAIRS
    assert holdings(own) == before


# What is read in any order.


def test_plain_tars_are_compared_and_repaired_from(own: Path, sound: Path, tmp_path: Path, release: Release) -> None:
    tars = write_archive(tmp_path / "tars", pairs=PAIRS, version=release, container="tar", as_published=True)
    everything_at_once(own)
    assert verify(own, tars, repair=True, sample="all").sound
    assert holdings(own) == holdings(sound)
    several = verify(own, sorted(tars.glob("*.tar")))
    assert several.sound
    assert several.comparison is not None
    assert several.comparison.compared == PAIRS


def test_an_lmdb_is_compared_and_repaired_from(own: Path, sound: Path, folder: Path, tmp_path: Path) -> None:
    environment = write_lmdb(tmp_path / "lmdb", values_of(open_archive(folder)))
    report = verify(own, environment, metadata=lists_in(folder))
    assert report.sound, report.failures
    assert report.comparison is not None
    assert report.comparison.compared == PAIRS
    swap_patches(own)
    assert kinds(verify(own, environment, metadata=lists_in(folder))) == {("different", "s2_20m/c/0/0/0/0")}
    assert verify(own, environment, metadata=lists_in(folder), repair=True).sound
    everything_at_once(own)
    assert verify(own, environment, metadata=lists_in(folder), repair=True).sound
    assert holdings(own) == holdings(sound)
