"""An archive in parts, or through a pipe, gives the store of the whole one, byte for byte; a missing part is named."""

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

import pytest
from faulty_server import drops, limited, serving
from holdings import holdings, leftovers
from packing import split

import bigearth_xr as bex
from bigearth_xr.archive import open_archive
from bigearth_xr.archive.containers import find_containers
from bigearth_xr.errors import ArchiveError, ArchiveNotFoundError, DamagedError
from bigearth_xr.releases import Release
from bigearth_xr.testing import write_archive
from bigearth_xr.testing.container import Container
from bigearth_xr.verification import verify

PAIRS = 6


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("split")


@pytest.fixture(scope="module")
def published(root: Path, release: Release) -> Path:
    """The published tars, each a sensor's, beside their lists."""
    return write_archive(root / release, pairs=PAIRS, version=release, container="tar.gz", as_published=True)


@pytest.fixture(scope="module")
def unsplit(root: Path, published: Path, release: Release) -> Path:
    """Their store."""
    bex.ingest(published, root / f"of-{release}" / "ben.zarr")
    return root / f"of-{release}" / "ben.zarr"


@pytest.fixture
def parts(published: Path, tmp_path: Path) -> Path:
    """Each of the tars in four parts, as a mirror has them, beside the lists."""
    folder = shutil.copytree(published, tmp_path / "mirror")
    for tar in folder.glob("*.tar.gz"):
        split(tar, folder, tar.stat().st_size // 4 + 1)
        tar.unlink()
    return folder


def lists_of(folder: Path) -> Path:
    return folder / "lists" if (folder / "lists").is_dir() else folder


def s2_in(folder: Path) -> list[Path]:
    """Parts of the tar of Sentinel-2."""
    return sorted(path for path in folder.glob("*.tar.gz?*") if "S1" not in path.name and "Ref" not in path.name)


# In parts.


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "given",
    [
        lambda folder: folder,
        lambda folder: sorted(folder.glob("*.tar.gz*"), reverse=True),
        lambda folder: sorted(folder.glob("*.tar.gzaa")),
        lambda folder: f"{folder}/*.tar.gz*",
        lambda folder: f"{folder}/*.*",
    ],
    ids=["folder", "list", "first parts", "pattern", "pattern of all"],
)
def test_parts_give_the_store_of_the_tars(
    parts: Path, unsplit: Path, tmp_path: Path, given: Callable[[Path], str | Path | list[Path]]
) -> None:
    archive = given(parts)
    report = bex.ingest(archive, tmp_path / "ben.zarr", None if archive == parts else lists_of(parts))
    assert (report.stored, report.complete) == (PAIRS, True)
    assert holdings(tmp_path / "ben.zarr") == holdings(unsplit)
    assert not leftovers(tmp_path)
    assert verify(tmp_path / "ben.zarr", archive, sample="all").sound


def test_a_pattern_finds_the_lists_too(parts: Path, unsplit: Path, tmp_path: Path) -> None:
    pattern = sorted(parts.glob("*")) if (parts / "lists").is_dir() else f"{parts}/*"
    bex.ingest(pattern, tmp_path / "ben.zarr")
    assert holdings(tmp_path / "ben.zarr") == holdings(unsplit)


def test_some_in_parts_and_some_whole_are_one_archive(
    parts: Path, published: Path, unsplit: Path, tmp_path: Path
) -> None:
    whole = [tar for tar in published.glob("*.tar.gz") if "S1" in tar.name or "Ref" in tar.name]
    bex.ingest([*whole, s2_in(parts)[0]], tmp_path / "ben.zarr", lists_of(parts))
    assert holdings(tmp_path / "ben.zarr") == holdings(unsplit)


def test_parts_of_a_plain_tar_are_read_by_several_processes(tmp_path: Path, release: Release) -> None:
    tar = write_archive(tmp_path / "ben.tar", pairs=PAIRS, version=release, container="tar")
    first = split(tar, tmp_path / "parts", tar.stat().st_size // 3, "-d")[0]
    assert len(open_archive(first).patches) == PAIRS
    for name, path, workers in (("whole", tar, 1), ("parts", first, 2)):
        bex.ingest(path, tmp_path / f"{name}.zarr", workers=workers)
    assert holdings(tmp_path / "parts.zarr") == holdings(tmp_path / "whole.zarr")


def test_every_missing_part_is_named_and_can_be_added(parts: Path, unsplit: Path, tmp_path: Path) -> None:
    *first, last = s2_in(parts)
    away = tmp_path / "away"
    for lost in first:
        lost.rename(away)
        with pytest.raises(ArchiveNotFoundError, match=rf"^{lost.name} is missing in {parts}, where "):
            bex.ingest(parts, tmp_path / "ben.zarr")
        away.rename(lost)
    last.rename(away)
    report = bex.ingest(parts, tmp_path / "ben.zarr")
    named = f"{last.name}, which would follow {first[-1].name}, is missing, or {first[-1].name} is not complete: "
    assert [problem.message.startswith(named) for problem in report.problems if problem.kind == "truncated"] == [True]
    assert 0 < report.stored < PAIRS
    away.rename(last)
    again = bex.ingest(parts, tmp_path / "ben.zarr")
    assert (again.stored, again.written) == (PAIRS, PAIRS - report.stored)
    assert holdings(tmp_path / "ben.zarr") == holdings(unsplit)
    assert not leftovers(tmp_path)


def test_a_damaged_part_is_named(parts: Path, tmp_path: Path) -> None:
    bad = s2_in(parts)[2]
    data = bytearray(bad.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 4000] = b"\xff" * 4000
    bad.write_bytes(data)
    with pytest.raises(DamagedError, match=r", or a part before it, is damaged or not complete: ") as caught:
        bex.ingest(parts, tmp_path / "ben.zarr")
    # Where a checksum tells it, it may have passed by long before.
    assert bad.name <= str(caught.value).partition(",")[0] <= s2_in(parts)[-1].name


# On a server.


@pytest.fixture
def served(parts: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(parts.glob("*.tar.gz?*"))}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("names", ["all", "first"])
def test_parts_on_a_server_are_one_stream(
    served: dict[str, bytes], parts: Path, unsplit: Path, tmp_path: Path, names: str
) -> None:
    with serving(served) as site:
        site.faults.append(limited(2, drops(lambda: 100_000)))
        given = [site.of(name) for name in served if names == "all" or name.endswith("aa")]
        report = bex.ingest(given, tmp_path / "ben.zarr", lists_of(parts))
        assert verify(tmp_path / "ben.zarr", given, metadata=lists_of(parts), sample=2).sound
    assert report.complete
    assert holdings(tmp_path / "ben.zarr") == holdings(unsplit)


def test_a_part_that_a_server_lacks_is_named(served: dict[str, bytes], parts: Path, tmp_path: Path) -> None:
    names = [path.name for path in s2_in(parts)]
    with serving({name: data for name, data in served.items() if name != names[3]}) as site:
        with pytest.raises(ArchiveNotFoundError, match=rf"^{names[1]} is missing in http://127"):
            bex.ingest([site.of(names[0]), site.of(names[2])], tmp_path / "ben.zarr")
        report = bex.ingest(site.of(names[0]), tmp_path / "ben.zarr", lists_of(parts), sensors="s2")
    (message,) = (problem.message for problem in report.problems if problem.kind == "truncated")
    assert message.startswith(f"{names[3]}, which would follow {names[2]}, is missing, or ")


# Through a pipe.


@contextmanager
def piped(*files: Path) -> Iterator[str]:
    """The place of a pipe that these files come through, as a shell's ``<(cat …)`` names it."""
    reading, writing = os.pipe()

    def write() -> None:
        with suppress(BrokenPipeError), os.fdopen(writing, "wb", buffering=0) as pipe:
            for file in files:
                pipe.write(file.read_bytes())

    writer = Thread(target=write)
    writer.start()
    try:
        yield f"/dev/fd/{reading}"
    finally:
        os.close(reading)
        writer.join()


@pytest.mark.sampled(2)
@pytest.mark.parametrize("with_lists", [True, False])
def test_two_pipes_give_the_store_of_the_tars(
    parts: Path, published: Path, tmp_path: Path, release: Release, with_lists: bool
) -> None:
    lists = lists_of(parts) if with_lists else None
    tars = sorted(published.glob("*.tar.gz"))
    bex.ingest(tars, tmp_path / "tars.zarr", lists)
    s2 = s2_in(parts)
    with piped(*s2) as one, piped(*sorted(set(parts.glob("*S1*.tar.gz*")))) as other:
        rest = [tar for tar in tars if "Ref" in tar.name]
        report = bex.ingest([one, other, *rest], tmp_path / "ben.zarr", lists)
    assert (report.stored, report.complete) == (PAIRS, True)
    # What is not known before it comes lies on disk until it is wanted.
    assert (report.extra_bytes > 0) == (not with_lists)
    assert holdings(tmp_path / "ben.zarr") == holdings(tmp_path / "tars.zarr")
    assert {path.suffix for path in tmp_path.iterdir()} <= {".zarr", ".parquet", ""}


def test_patches_that_the_lists_leave_out_come_through_a_pipe(root: Path, tmp_path: Path) -> None:
    tar = write_archive(tmp_path / "ben.tar.zst", pairs=PAIRS, container="tar.zst")
    few = write_archive(tmp_path / "few", pairs=2)
    bex.ingest(tar, tmp_path / "tar.zarr", few)
    with piped(tar) as pipe:
        report = bex.ingest(pipe, tmp_path / "ben.zarr", few)
    assert (report.stored, report.unlisted) == (PAIRS, PAIRS - 2)
    assert holdings(tmp_path / "ben.zarr") == holdings(tmp_path / "tar.zarr")


@pytest.mark.parametrize(
    ("container", "before", "behind"), [("tar", "cat ben |", ""), ("tar.zst", "cat ben |", ""), ("tar", "", "<ben")]
)
def test_standard_input_is_read_whatever_it_is(tmp_path: Path, container: Container, before: str, behind: str) -> None:
    tar = write_archive(tmp_path / "ben", pairs=2, container=container)
    bex.ingest(tar, tmp_path / "tar.zarr")
    command = f"'{sys.executable}' -c 'from bigearth_xr.cli import main; main()' ingest - ben.zarr"
    shell = ["bash", "-c", f"{before} {command} {behind}"]
    subprocess.run(shell, check=True, cwd=tmp_path, capture_output=True)
    assert holdings(tmp_path / "ben.zarr") == holdings(tmp_path / "tar.zarr")


def test_a_store_is_compared_with_what_comes_through_a_named_pipe(tmp_path: Path) -> None:
    tar = write_archive(tmp_path / "ben.tar.gz", pairs=3, container="tar.gz")
    bex.ingest(tar, tmp_path / "ben.zarr")
    os.mkfifo(tmp_path / "fifo")
    writer = Thread(target=lambda: (tmp_path / "fifo").write_bytes(tar.read_bytes()))
    writer.start()
    report = verify(tmp_path / "ben.zarr", tmp_path / "fifo", sample="all")
    writer.join()
    assert report.sound
    assert report.comparison is not None
    assert report.comparison.compared == 3


def test_a_pipe_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page").write_text("<html>no such file</html>")
    with (
        piped(tmp_path / "page") as pipe,
        pytest.raises(ArchiveError, match=r"/dev/fd/\d+ is not a tar, or damaged"),
    ):
        bex.ingest(pipe, tmp_path / "ben.zarr")
    with (
        piped(tmp_path / "page") as pipe,
        pytest.raises(ArchiveError, match="all that is compressed, on a server or"),
    ):
        open_archive(pipe)


def test_a_terminal_is_no_archive() -> None:
    controlling, terminal = os.openpty()
    (pipe,) = find_containers(f"/dev/fd/{terminal}").streams
    with pytest.raises(ArchiveError, match=r"/dev/fd/\d+ is a terminal, expected a tar; pipe one into it, as: cat"):
        pipe.open()  # type: ignore[union-attr]  # a pipe
    os.close(terminal)
    os.close(controlling)


# Real pairs.


def test_24_of_24_real_pairs_come_out_of_parts(shared: Path, tmp_path: Path) -> None:
    real = shared / "data" / "v2" / "reconstructed"
    (tmp_path / "parts").mkdir()
    for half in ("BigEarthNet-S1", "BigEarthNet-S2"):
        with tarfile.open(tmp_path / f"{half}.tar.gz", "w:gz", compresslevel=1) as tar:
            tar.add(real / half, half)
        split(tmp_path / f"{half}.tar.gz", tmp_path / "parts", 500_000)
    for path in real.glob("*.parquet"):
        shutil.copy(path, tmp_path / "parts")
    bex.ingest(real, tmp_path / "real.zarr")
    with piped(*s2_in(tmp_path / "parts")) as pipe:
        ways: dict[str, Path | str | list[Path | str]] = {
            "folder": tmp_path / "parts",
            "list": [*sorted((tmp_path / "parts").iterdir())],
            "glob": f"{tmp_path}/parts/*",
            "pipe": [pipe, tmp_path / "parts" / "BigEarthNet-S1.tar.gzaa", tmp_path / "parts" / "metadata.parquet"],
        }
        for name, given in ways.items():
            assert bex.ingest(given, tmp_path / f"{name}.zarr").stored == 24
            assert holdings(tmp_path / f"{name}.zarr") == holdings(tmp_path / "real.zarr")
