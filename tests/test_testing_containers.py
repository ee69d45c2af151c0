"""A synthetic archive in a tar is the same tree as in a folder, and the bytes are those that other tools write."""

import gzip
import hashlib
import io
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from test_testing import tree

from bigearth_xr.errors import ArchiveError
from bigearth_xr.releases import RELEASES, Release
from bigearth_xr.testing import write_archive
from bigearth_xr.testing.container import Container, File, tar_stream

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LISTS: dict[Release, int] = {"v1": 8, "v2": 2}


def unpacked(tar: Path, to: Path) -> dict[Path, bytes]:
    with tarfile.open(tar) as opened:
        opened.extractall(to, filter="data")
    return tree(to)


def written_by_tarfile(files: list[File]) -> bytes:
    """Write files as tarfile does, each of 1970 and of user 0, a folder before its files."""
    out = io.BytesIO()
    folders: set[Path] = set()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in files:
            for folder in reversed(Path(name).parents[:-1]):
                if folder not in folders:
                    folders.add(folder)
                    member = tarfile.TarInfo(f"{folder.as_posix()}/")
                    member.type, member.mode = tarfile.DIRTYPE, 0o755
                    tar.addfile(member)
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def test_a_tar_unpacks_to_the_folder(tmp_path: Path, release: Release) -> None:
    folder = write_archive(tmp_path / "folder", pairs=6, version=release)
    tar = write_archive(tmp_path / "tars" / "archive.tar", pairs=6, version=release, container="tar")
    assert unpacked(tar, tmp_path / "unpacked") == tree(folder)


def test_gnu_tar_unpacks_it_too(tmp_path: Path, release: Release) -> None:
    folder = write_archive(tmp_path / "folder", pairs=2, version=release)
    tar = write_archive(tmp_path / "archive.tar", pairs=2, version=release, container="tar")
    (tmp_path / "unpacked").mkdir()
    subprocess.run(["tar", "-xf", tar, "-C", tmp_path / "unpacked", "--no-same-owner"], check=True)
    assert tree(tmp_path / "unpacked") == tree(folder)


def test_a_tar_is_that_of_tarfile_bit_for_bit(tmp_path: Path, release: Release) -> None:
    tar = write_archive(tmp_path / "archive.tar", pairs=3, version=release, container="tar")
    with tarfile.open(tar) as opened:
        files = [(member.name, opened.extractfile(member).read()) for member in opened if member.isfile()]  # type: ignore[union-attr]  # is a file
    assert any(len(name) > 100 for name, _ in files), "a name that a header has no room for"
    assert tar.read_bytes() == written_by_tarfile(files)


@pytest.mark.parametrize("length", [1, 99, 100, 101, 255, 511, 512, 600])
@pytest.mark.parametrize("size", [0, 1, 511, 512, 513])
def test_names_and_files_of_any_length_are_those_of_tarfile(length: int, size: int) -> None:
    files: list[File] = [("a" * length, b"x" * size), ("b/" + "c" * length, b""), ("b/d/é", b"y")]
    assert b"".join(tar_stream(files)) == written_by_tarfile(files)


def test_compressed_tars_hold_the_tar(tmp_path: Path, release: Release) -> None:
    containers: tuple[Container, ...] = ("tar", "tar.gz", "tar.zst")
    tar, gz, zst = (
        write_archive(tmp_path / f"archive.{container}", pairs=4, version=release, container=container)
        for container in containers
    )
    assert gzip.decompress(gz.read_bytes()) == tar.read_bytes()
    assert zstd.decompress(zst.read_bytes()) == tar.read_bytes()


@pytest.mark.parametrize("container", ["tar", "tar.gz", "tar.zst"])
def test_the_same_arguments_write_the_same_tar(tmp_path: Path, container: Container) -> None:
    one, two, other = (
        hashlib.sha256(
            write_archive(tmp_path / f"{name}.{container}", pairs=3, container=container, seed=seed).read_bytes()
        )
        for name, seed in (("one", 0), ("two", 0), ("other", 1))
    )
    assert one.digest() == two.digest() != other.digest()


def test_the_lists_come_first_and_the_patches_in_order(tmp_path: Path, release: Release) -> None:
    tar = write_archive(tmp_path / "archive.tar", pairs=9, version=release, container="tar")
    with tarfile.open(tar) as opened:
        names = [member.name for member in opened if member.isfile()]
    lists, rest = names[: LISTS[release]], names[LISTS[release] :]
    assert all(name.endswith((".csv", ".parquet")) for name in lists)
    order = ["BigEarthNet-v1.0", "BigEarthNet-S1-v1.0"]
    if release == "v2":
        order = ["BigEarthNet-S2", "BigEarthNet-S1", "Reference_Maps"]
    assert rest == sorted(rest, key=lambda name: (order.index(name.split("/")[0]), name))


def test_tars_as_published_hold_the_same_tree(tmp_path: Path, release: Release) -> None:
    folder = write_archive(tmp_path / "folder", pairs=4, version=release)
    container: Container = "tar.gz" if release == "v1" else "tar.zst"
    root = write_archive(tmp_path / "tars", pairs=4, version=release, container=container, as_published=True)
    published = {file.name for file in RELEASES[release].files if ".tar" in file.name}
    assert {tar.name for tar in root.glob("*.tar*")} == published
    found = {path: data for path, data in tree(root).items() if ".tar" not in path.name}
    for tar in root.glob("*.tar*"):
        if container == "tar.zst":
            plain = tmp_path / tar.stem
            plain.write_bytes(zstd.decompress(tar.read_bytes()))
            tar = plain  # which tarfile can read
        found |= unpacked(tar, tmp_path / tar.name.replace(".", "_"))
    assert found == tree(folder)


def test_a_folder_is_not_as_published(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"as_published=True writes tars, but container is 'folder'; use 'tar'"):
        write_archive(tmp_path, pairs=1, as_published=True)


@pytest.mark.parametrize(
    ("pairs", "env", "shown"), [(3, {"FORCE_COLOR": "1"}, True), (3, {}, False), (2, {"FORCE_COLOR": "1"}, False)]
)
def test_many_pairs_show_a_bar_on_a_terminal(tmp_path: Path, pairs: int, env: dict[str, str], shown: bool) -> None:
    code = (
        "import sys; from bigearth_xr.testing import writer; writer._MOST_PAIRS_UNWATCHED = 2; "
        f"writer.write_archive(sys.argv[1], pairs={pairs}, container='tar')"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "archive.tar")]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={"TERM": "xterm", **env})
    assert ("Reference_Maps" in done.stderr) is shown, done.stderr
