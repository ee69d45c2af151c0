"""What passed by in a stream is remembered: names, JSONs and lists, and nothing else."""

from pathlib import Path

import pytest

from bigearth_xr.archive.scan import scan
from bigearth_xr.archive.source import FolderSource
from bigearth_xr.archive.streams import StreamIndex
from bigearth_xr.errors import ArchiveError


def passed(root: Path, paths: list[Path]) -> StreamIndex:
    index = StreamIndex("ben.tar.gz")
    for path in paths:
        assert index.note(path.relative_to(root).as_posix(), path.read_bytes())
    return index


def test_it_shows_the_folders_that_a_walk_would_whatever_the_order(archive: Path) -> None:
    paths = [path for path in archive.rglob("*") if path.is_file()]
    for order in (sorted(paths), sorted(paths, reverse=True)):
        assert list(passed(archive, order).folders()) == list(FolderSource(archive).folders())


def test_it_gives_back_every_json_and_list(archive: Path) -> None:
    paths = [path for path in archive.rglob("*") if path.is_file()]
    index = passed(archive, paths)
    found = scan(index)
    lists = [file for files in found.metadata_files.values() for file in files]
    assert lists
    for path in paths:
        name = path.relative_to(archive).as_posix()
        if path.suffix == ".json" or name in lists:
            assert index.read(name) == path.read_bytes()


def test_it_keeps_nothing_of_other_files() -> None:
    index = StreamIndex("ben.tar.gz")
    for name in ("README", "patch/patch_B02.tif", "big.parquet", "big.csv"):
        assert index.note(name, bytes(1000))
        with pytest.raises(FileNotFoundError, match=r"ben\.tar\.gz: .*: no such file, or its pixels were read as they"):
            index.read(name)


@pytest.mark.parametrize("name", ["patch/patch_B02.tif", "patch/README", "train.csv", "P/P_labels_metadata.json"])
def test_a_file_that_comes_again_is_refused(name: str) -> None:
    index = StreamIndex("ben.tar.gz")
    assert index.note(name, b"first")
    assert not index.note(name, b"second")
    (refusal,) = index.refusals()
    assert (refusal.member, refusal.kind) == (name, "refused")
    assert refusal.message == f"ben.tar.gz: {name} is there twice; the first is read, the second is not"


def test_pixels_cannot_be_asked_for() -> None:
    index = StreamIndex("ben.tar.gz")
    with pytest.raises(ArchiveError, match=r"ben\.tar\.gz has passed by; its pixels were read as they came"):
        index.read_files("patch", ["patch_B02.tif"])
    assert index.only(["patch"]) is index
    assert index.locate("") == "ben.tar.gz"
