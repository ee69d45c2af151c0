"""An archive in tars is the archive that was packed: same patches, same problems, same pixels."""

import os
import pickle
import random
import shutil
import tarfile
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bigearth_xr.archive import Archive, open_archive, read_patch
from bigearth_xr.archive.containers import find_containers, open_source
from bigearth_xr.archive.source import FolderSource, JoinedSource
from bigearth_xr.archive.tar_source import TarIndex, TarSource, build_index, open_tar
from bigearth_xr.errors import ArchiveError, ArchiveNotFoundError, PatchError
from bigearth_xr.releases import Release
from bigearth_xr.testing import write_archive


@pytest.fixture
def root(release: Release, tmp_path: Path) -> Path:
    return write_archive(tmp_path / "archive", pairs=5, version=release)


@pytest.fixture
def packed(root: Path) -> Path:
    return pack(root, root.with_name("archive.tar"))


def pack(root: Path, tar_path: Path, files: Iterable[Path] | None = None, mode: str = "w") -> Path:
    """Pack a folder, or some of its files in this order, with tarfile."""
    with tarfile.open(tar_path, mode) as tar:  # type: ignore[call-overload]  # a mode that is no literal
        for file in sorted(root.rglob("*")) if files is None else files:
            tar.add(file, file.relative_to(root), recursive=False)
    return tar_path


def shuffled(root: Path, order: int) -> list[Path]:
    files = sorted(file for file in root.rglob("*") if file.is_file())
    random.Random(order).shuffle(files)
    return files


def assert_same_pixels(archive: Archive, expected: Archive) -> None:
    """Compare every patch that both can read, bit for bit."""
    for ours, theirs in zip(archive.patches, expected.patches, strict=True):
        read, packed = read_patch(expected, theirs), read_patch(archive, ours)
        assert packed.metadata == read.metadata
        assert list(packed.bands) == list(read.bands)
        for name, pixels in read.bands.items():
            np.testing.assert_array_equal(packed.bands[name], pixels, strict=True)
        np.testing.assert_array_equal(packed.reference_map, read.reference_map)


def without_source(archive: Archive) -> Archive:
    return replace(archive, name="", source=FolderSource(Path()))


# One tar.


def test_a_tar_reads_as_the_folder_that_was_packed(root: Path, packed: Path) -> None:
    expected, archive = open_archive(root), open_archive(packed)
    assert isinstance(archive.source, TarSource)
    assert list(archive.source.folders()) == list(expected.source.folders())
    assert without_source(archive) == without_source(expected)
    assert len(archive.patches) == 5
    assert_same_pixels(archive, expected)
    for file in expected.metadata_files:
        assert archive.source.read(file) == (root / file).read_bytes()


@pytest.mark.parametrize("order", range(3))
def test_the_order_of_the_members_does_not_matter(root: Path, order: int) -> None:
    expected = open_archive(root)
    archive = open_archive(pack(root, root.with_name("archive.tar"), shuffled(root, order)))
    assert without_source(archive) == without_source(expected)
    assert_same_pixels(archive, expected)


def test_problems_are_those_of_the_folder(root: Path, tmp_path: Path) -> None:
    first, second, third, *_ = open_archive(root).patches
    shutil.rmtree(root / str(first.s1_folder))
    (root / str(second.s2_folder)).rename(root / "S2A_renamed")
    shutil.copytree(root / str(third.s1_folder), root / "copy" / str(third.s1_name))
    expected, archive = open_archive(root), open_archive(pack(root, tmp_path / "archive.tar"))
    assert Counter(problem.kind for problem in expected.problems) == Counter(p.kind for p in archive.problems)
    assert len(expected.problems) >= 4
    placeless = [
        replace(problem, message=problem.message.replace(f"{tmp_path / 'archive.tar'}: ", f"{root}/"))
        for problem in archive.problems
    ]
    assert placeless == list(expected.problems)


def test_real_patches_come_out_of_a_tar_bit_for_bit(shared: Path, tmp_path: Path) -> None:
    for folder in ("v1", "v2/reconstructed"):
        root = shared / "data" / folder
        with tarfile.open(tmp_path / "real.tar", "w") as tar:
            tar.add(root, ".")
        expected, archive = open_archive(root), open_archive(tmp_path / "real.tar")
        assert archive.patches == expected.patches
        assert len(archive.patches) > 20
        assert_same_pixels(archive, expected)


def test_files_of_one_patch_are_read_at_once(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = open_archive(packed)
    calls: list[int] = []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, size, at: calls.append(size) or pread(fd, size, at))  # type: ignore[func-returns-value]  # on purpose
    patch = archive.patches[0]
    files = [f"{patch.patch}_{name}.tif" for name in ("B02", "B03", "B04")]
    (first, *_) = archive.source.read_files(str(patch.s2_folder), files)
    assert isinstance(first, memoryview)
    assert len(calls) == 1
    # Where the rest of the patch lies between two small files, it is not read.
    archive.source.read_files(str(patch.s2_folder), [f"{patch.patch}_{name}.tif" for name in ("B01", "B09")])
    assert len(calls) == 3
    assert sum(calls[1:]) < 6000


def test_what_is_not_in_a_tar_is_missing(packed: Path) -> None:
    source = open_tar(packed)
    folder = next(folder for folder in source.folders() if folder.files)
    with pytest.raises(FileNotFoundError):
        source.read("nowhere/file.tif")
    with pytest.raises(FileNotFoundError):
        source.read(f"{folder.path}/nothing.tif")
    data, missing = source.read_files(folder.path, [folder.files[0], "nothing.tif"])
    assert not isinstance(data, OSError)
    assert isinstance(missing, FileNotFoundError)
    archive = open_archive(packed)
    broken = replace(archive.patches[0], s2_folder="nowhere")
    with pytest.raises(PatchError, match=r"band B01 \(.*archive\.tar: nowhere/.*\) is missing"):
        read_patch(archive, broken)


def test_a_tar_travels_as_small_as_what_is_asked_of_it(packed: Path) -> None:
    archive = open_archive(packed)
    patch = archive.patches[0]
    whole = pickle.loads(pickle.dumps(archive))
    assert whole == archive
    assert_same_pixels(whole, archive)
    few = replace(archive, patches=(patch,), problems=(), source=archive.source.only(patch.folders))
    travelled = pickle.loads(pickle.dumps(few))
    assert len(pickle.dumps(few.source)) < 2500
    assert len(list(few.source.folders())) == len(set(patch.folders))
    assert_same_pixels(travelled, replace(archive, patches=(patch,)))
    assert list(archive.source.only(()).folders()) == []


def test_threads_read_one_tar(packed: Path) -> None:
    archive = open_archive(packed)
    expected = [read_patch(archive, patch).bands["B02"].tobytes() for patch in archive.patches]
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(lambda patch: read_patch(archive, patch).bands["B02"].tobytes(), archive.patches * 9))
    assert read == expected * 9


def overwrite(path: Path) -> None:
    with open(path, "r+b") as file:
        file.seek(9000)
        file.write(b"\xff" * 90_000)
    os.utime(path, ns=(0, 1))


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("change", [overwrite, cut])
@pytest.mark.parametrize("is_elsewhere", [False, True])
def test_a_tar_that_changes_gives_no_pixels(packed: Path, change: Callable[[Path], None], is_elsewhere: bool) -> None:
    archive = open_archive(packed)
    if is_elsewhere:
        archive = pickle.loads(pickle.dumps(archive))
    change(packed)
    for patch in archive.patches:
        with pytest.raises(PatchError, match=r"cannot be read \(.*archive\.tar has changed since it was opened"):
            read_patch(archive, patch)


def test_a_tar_that_is_replaced_gives_no_other_pixels(packed: Path, tmp_path: Path) -> None:
    archive = open_archive(packed)
    elsewhere = pickle.loads(pickle.dumps(archive))
    other = write_archive(tmp_path / "other", pairs=5, version=archive.release, seed=3)
    pack(other, tmp_path / "other.tar").replace(packed)
    assert len(read_patch(archive, archive.patches[0]).bands) == 14
    with pytest.raises(PatchError, match="has changed since it was opened"):
        read_patch(elsewhere, elsewhere.patches[0])


def test_a_member_that_comes_twice_is_read_once_and_reported(root: Path, tmp_path: Path) -> None:
    path, expected = tmp_path / "archive.tar", open_archive(root)
    file = Path(root / expected.patches[0].files["B05"])
    pack(root, path)
    content = file.read_bytes()
    file.write_bytes(b"another")
    pack(root, path, [file], "a")
    file.write_bytes(content)
    archive = open_archive(path)
    assert archive.patches == expected.patches
    (problem,) = archive.problems
    assert problem.kind == "refused"
    assert f"{path}: {expected.patches[0].files['B05']} is there twice, at byte " in problem.message
    assert problem.message.endswith("; the first is read, the second is not")
    assert_same_pixels(archive, expected)


def test_what_is_refused_or_lost_is_a_problem_of_the_archive(root: Path, packed: Path) -> None:
    whole = open_archive(packed)
    with tarfile.open(packed, "a") as tar:
        link = tarfile.TarInfo("BigEarthNet-S2/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    archive = open_archive(packed)
    assert archive.patches == whole.patches
    assert [(problem.kind, problem.patch) for problem in archive.problems] == [("refused", "BigEarthNet-S2/link")]
    os.truncate(packed, packed.stat().st_size * 2 // 3 // 512 * 512)
    problems = {problem.kind: problem for problem in open_archive(packed).problems}
    assert problems["truncated"].patch == str(packed)
    assert "download or copy it again" in problems["truncated"].message
    assert 0 < len(open_archive(packed).patches) + len(problems) < 7


# The index.


def test_folders_are_sorted_as_a_walk_meets_them(tmp_path: Path) -> None:
    for folder in ("a/b", "a-b", "a", "a/b-c", "a/b/c", "ab", "é"):
        (tmp_path / "root" / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / folder / "z.txt").touch()
        (tmp_path / "root" / folder / "a.txt").touch()
    source = open_tar(pack(tmp_path / "root", tmp_path / "a.tar", shuffled(tmp_path / "root", 1)))
    assert list(source.folders()) == list(FolderSource(tmp_path / "root").folders())


def test_an_index_takes_little_memory() -> None:
    count = 20_000
    names = [f"BigEarthNet-v1.0/S2A_MSIL2A_20170613T101031_{i}" for i in range(count)]
    entries = (
        (f"{name}/{name[17:]}_B{band:02}.tif", 512 * (13 * i + band), 30_000)
        for i, name in enumerate(names)
        for band in range(13)
    )
    index, refusals = build_index(entries, "S2.tar")
    assert refusals == ()
    assert len(index.patterns) == 13
    assert arrays_nbytes(index) <= 14 * 13 * count + 8 * (count + 3)
    assert index.places(names[7])[f"{names[7][17:]}_B03.tif"] == (512 * (13 * 7 + 3), 30_000)


def arrays_nbytes(index: TarIndex) -> int:
    return sum(array.nbytes for array in (index.starts, index.pattern, index.offset, index.size))


# Several containers.


def split(root: Path, folder: Path) -> list[Path]:
    """Pack each folder at the top into a tar of its own."""
    folder.mkdir()
    return [
        pack(root, folder / f"{half.name}.tar", sorted(half.rglob("*"))) for half in root.iterdir() if half.is_dir()
    ]


def test_halves_in_tars_of_their_own_are_one_archive(root: Path, tmp_path: Path) -> None:
    tars, expected = split(root, tmp_path / "tars"), open_archive(root)
    lists = [root / file for file in expected.metadata_files]
    for paths in (tars, tars[::-1], [tmp_path / "tars"]):
        archive = open_archive(paths)
        assert [patch.patch for patch in archive.patches] == [patch.patch for patch in expected.patches]
        assert archive.problems == ()
        assert_same_pixels(archive, expected)
    for file in lists:
        shutil.copy(file, tmp_path / "tars")
    archive = open_archive(tmp_path / "tars")
    assert isinstance(archive.source, JoinedSource)
    assert set(archive.metadata_files) >= {file.name for file in lists}
    assert_same_pixels(pickle.loads(pickle.dumps(archive)), expected)


def test_some_unpacked_and_some_packed_are_one_archive(root: Path, tmp_path: Path) -> None:
    expected = open_archive(root)
    half = root / expected.patches[0].files["VV"].partition("/")[0]
    expected = open_archive(shutil.copytree(root, tmp_path / "copy"))
    pack(root, root / "S1.tar", sorted(half.rglob("*")))
    shutil.rmtree(half)
    archive = open_archive(root)
    # What is unpacked keeps its path, so that lists are found where they were.
    assert archive.metadata_files == expected.metadata_files
    assert archive.patches[0].s2_folder == expected.patches[0].s2_folder
    assert str(archive.patches[0].s1_folder).startswith("S1.tar/BigEarthNet-S1")
    assert archive.source.locate(str(archive.patches[0].s1_folder)).startswith(f"{root}/S1.tar: BigEarthNet-S1")
    assert_same_pixels(archive, expected)


def test_a_joined_source_sends_only_the_parts_that_are_needed(root: Path, tmp_path: Path) -> None:
    archive = open_archive(split(root, tmp_path / "tars"))
    folder = str(archive.patches[0].s2_folder)
    source = archive.source.only([folder])
    assert [found.path for found in source.folders()] == [folder]
    with pytest.raises(FileNotFoundError, match="no such file in the archive"):
        source.read("elsewhere/file")
    assert archive.source.locate("").count(".tar") == len(list((tmp_path / "tars").iterdir()))
    assert archive.source.refusals() == []


def test_containers_of_one_name_are_kept_apart(root: Path, tmp_path: Path) -> None:
    tars = split(root, tmp_path / "tars")
    moved = []
    for i, tar in enumerate(tars):
        (tmp_path / str(i)).mkdir()
        moved.append(tar.rename(tmp_path / str(i) / "part.tar"))
    assert_same_pixels(open_archive(moved), open_archive(root))


@pytest.mark.parametrize("mode", ["gz", "bz2", "xz"])
def test_compressed_tars_are_told_by_their_bytes(root: Path, tmp_path: Path, mode: str) -> None:
    path = pack(root, tmp_path / "misnamed.tar", mode=f"w:{mode}")
    (tmp_path / "list.gz").write_bytes(b"\x1f\x8b\x08nothing")
    found = find_containers(path)
    assert (found.folders, found.tars, found.streams) == ((), (), (str(path),))
    assert find_containers(tmp_path).streams == (str(path),)
    with pytest.raises(ArchiveError, match=r"misnamed\.tar can only be read from front to back, as all"):
        open_archive(path)


def test_what_is_given_twice_is_found_once(packed: Path) -> None:
    assert find_containers([packed.parent, packed, packed]).tars == (packed,)


def test_what_is_no_container_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArchiveNotFoundError, match=r"there is no archive at .*nowhere; give the folder"):
        open_source([tmp_path / "nowhere"])
    with pytest.raises(ArchiveError, match="no archive is given; give the path"):
        open_source([])
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(ArchiveError, match=r"a\.txt is a file, expected the folder of an unpacked archive, or a tar"):
        open_source(tmp_path / "a.txt")
    assert find_containers(tmp_path).folders == (tmp_path,)
    (tmp_path / "S2.tar").write_bytes(bytes(10_240))
    with pytest.raises(ArchiveError, match=r"S2\.tar has the name of a tar, but is none, or is damaged from its begin"):
        open_source(tmp_path)
    (tmp_path / "S2.tar").rename(tmp_path / "S2.tar.part")
    with pytest.raises(ArchiveError, match=r"S2\.tar\.part is not downloaded to its end; go on with it, or move it"):
        open_source(tmp_path)
    with pytest.raises(ArchiveNotFoundError, match="there is no archive at"):
        open_tar(tmp_path / "nowhere")
    with pytest.raises(ArchiveError, match="is not a file, expected a tar"):
        open_tar(tmp_path)


def test_an_lmdb_is_not_joined_with_others(tmp_path: Path) -> None:
    (tmp_path / "lmdb").mkdir()
    (tmp_path / "lmdb" / "data.mdb").touch()
    with pytest.raises(ArchiveError, match="lmdb is an LMDB, and cannot be joined with others; give it alone"):
        open_source([tmp_path / "lmdb", tmp_path])
