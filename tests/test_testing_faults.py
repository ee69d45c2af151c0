"""Damaged archives are damaged as they say, and in nothing else; strategies draw what there may be."""

import gzip
import io
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pytest
import rasterio
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from test_testing import tree

from bigearth_xr.archive import parse_s1, parse_s2
from bigearth_xr.archive.names import recognize
from bigearth_xr.bands import bands
from bigearth_xr.errors import ArchiveError
from bigearth_xr.labels import decode_labels, encode_labels, group_labels
from bigearth_xr.releases import Release
from bigearth_xr.testing import strategies, synthetic_pair, write_archive
from bigearth_xr.testing.faults import flipped, hostile_members, truncated, with_corrupt_tiff, with_members
from bigearth_xr.testing.geotiff import Damage
from bigearth_xr.testing.strategies import Rows

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PAIR = synthetic_pair(1)


@pytest.fixture(scope="module")
def tars(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One archive of two pairs in each kind of tar, by suffix."""
    folder = tmp_path_factory.mktemp("tars")
    return {
        "tar": write_archive(folder / "archive.tar", pairs=2, container="tar"),
        "tar.gz": write_archive(folder / "archive.tar.gz", pairs=2, container="tar.gz"),
        "tar.zst": write_archive(folder / "archive.tar.zst", pairs=2, container="tar.zst"),
    }


def members(tar: Path) -> dict[str, bytes]:
    """Read the files of a plain tar."""
    with tarfile.open(tar) as opened:
        return {one.name: opened.extractfile(one).read() for one in opened if one.isfile()}  # type: ignore[union-attr]  # is a file


def test_a_truncated_copy_is_a_beginning(tars: dict[str, Path], tmp_path: Path) -> None:
    whole = tars["tar.gz"].read_bytes()
    assert truncated(tars["tar.gz"], tmp_path / "some.tar.gz", at=700).read_bytes() == whole[:700]
    assert truncated(tars["tar.gz"], tmp_path / "half.tar.gz").read_bytes() == whole[: round(len(whole) / 2)]
    assert truncated(tars["tar.gz"], tmp_path / "all.tar.gz", at=1.0).read_bytes() == whole


@pytest.mark.parametrize("at", [0.0, 0.3, 1.0, 512])
def test_a_flipped_copy_differs_in_one_byte(tars: dict[str, Path], tmp_path: Path, at: float) -> None:
    bad = flipped(tars["tar"], tmp_path / "flipped.tar", at=at)
    one, other = (np.frombuffer(file.read_bytes(), np.uint8) for file in (tars["tar"], bad))
    (place,) = np.flatnonzero(one != other)
    assert one[place] ^ other[place] == 255
    assert place == (512 if at == 512 else min(round(at * len(one)), len(one) - 1))


def decompressed(tar: Path) -> io.BytesIO:
    """Decompress a tar by tools that are not ours."""
    data = tar.read_bytes()
    if tar.suffix == ".gz":
        data = gzip.decompress(data)
    elif tar.suffix == ".zst":
        data = zstd.decompress(data)
    return io.BytesIO(data)


@pytest.mark.parametrize("where", ["start", "end"])
@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tar.zst"])
def test_hostile_members_stand_beside_the_sound_ones(
    tars: dict[str, Path], tmp_path: Path, where: Literal["start", "end"], suffix: str
) -> None:
    hostile = hostile_members(f"BigEarthNet-S2/{PAIR.patch}/{PAIR.patch}_B02.tif")
    del hostile["absurd size"]
    bad = with_members(tars[suffix], tmp_path / f"bad.{suffix}", hostile.values(), where=where)
    with tarfile.open(fileobj=decompressed(bad)) as opened, tarfile.open(tars["tar"]) as sound:
        found = [(one.name, one.type, one.linkname, one.size) for one in opened]
        kept = [(one.name, one.type, one.linkname, one.size) for one in sound]
    extra = [(header.name, header.type, header.linkname, header.size) for header, _ in hostile.values()]
    assert found == (extra + kept if where == "start" else kept + extra)


def test_an_absurd_size_is_that_of_a_petabyte(tars: dict[str, Path], tmp_path: Path) -> None:
    absurd = hostile_members("patch/patch_B02.tif")["absurd size"]
    bad = with_members(tars["tar"], tmp_path / "bad.tar", [absurd], where="start")
    # Not by iteration: tarfile would look for the end of it.
    header, sound = bad.read_bytes()[:512], tars["tar"].read_bytes()[:512]
    assert tarfile.TarInfo.frombuf(header, "utf-8", "strict").size == 2**50
    assert bad.read_bytes()[512:1024] == sound, "nothing follows of what it claims"


def test_the_filter_of_tarfile_refuses_what_is_hostile(tars: dict[str, Path], tmp_path: Path) -> None:
    # `absolute` is made relative instead, and a duplicate is no danger to the file system.
    for kind in ("traversal", "symlink", "hardlink", "device", "fifo"):
        hostile = hostile_members("patch/patch_B02.tif")[kind]
        bad = with_members(tars["tar"], tmp_path / "bad.tar", [hostile])
        with tarfile.open(bad) as tar, pytest.raises((tarfile.FilterError, KeyError)):
            tar.extractall(tmp_path / "out", filter="data")


@pytest.mark.parametrize("how", get_args(Damage))
@pytest.mark.parametrize("band", ["B05", "reference_map"])
def test_one_tiff_is_damaged_and_no_other(tars: dict[str, Path], tmp_path: Path, how: Damage, band: str) -> None:
    bad = with_corrupt_tiff(tars["tar"], tmp_path / "bad.tar", patch=PAIR.patch, band=band, how=how)
    sound, found = members(tars["tar"]), members(bad)
    assert sound.keys() == found.keys()
    (changed,) = [name for name in sound if sound[name] != found[name]]
    assert changed.endswith(f"{PAIR.patch}/{PAIR.patch}_{band}.tif")


def test_a_folder_is_damaged_as_a_tar_is(tars: dict[str, Path], tmp_path: Path) -> None:
    folder = write_archive(tmp_path / "folder", pairs=2)
    how: Damage = "truncate"
    bad = with_corrupt_tiff(folder, tmp_path / "bad", patch=PAIR.s1_name, band="VV", how=how)
    tar = with_corrupt_tiff(tars["tar.zst"], tmp_path / "bad.tar", patch=PAIR.s1_name, band="VV", how=how)
    assert {path.as_posix(): data for path, data in tree(bad).items()} == members(tar)


def test_a_file_that_is_not_there_cannot_be_damaged(tars: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"has no x/x_B02.tif; take a patch and a band that it holds"):
        with_corrupt_tiff(tars["tar"], tmp_path / "bad.tar", patch="x", band="B02", how="geo")


def damaged(tars: dict[str, Path], tmp_path: Path, how: Damage) -> tuple[bytes, bytes]:
    """Give B02 before and after."""
    bad = with_corrupt_tiff(tars["tar"], tmp_path / "bad.tar", patch=PAIR.patch, band="B02", how=how)
    sound, found = (
        next(data for name, data in members(tar).items() if name.endswith(f"{PAIR.patch}_B02.tif"))
        for tar in (tars["tar"], bad)
    )
    return sound, found


@contextmanager
def opened(data: bytes) -> Iterator[rasterio.DatasetReader]:
    """Open a GeoTIFF as rasterio does."""
    with rasterio.MemoryFile(data) as file, file.open() as reader:
        yield reader


def test_half_of_a_truncated_tiff_is_left(tars: dict[str, Path], tmp_path: Path) -> None:
    sound, found = damaged(tars, tmp_path, "truncate")
    assert found == sound[: len(sound) // 2]


def test_nobody_can_read_an_inverted_header(tars: dict[str, Path], tmp_path: Path) -> None:
    _, found = damaged(tars, tmp_path, "header")
    with rasterio.MemoryFile(found) as file, pytest.raises(rasterio.errors.RasterioIOError):
        file.open()


def test_a_moved_corner_leaves_the_pixels(tars: dict[str, Path], tmp_path: Path) -> None:
    sound, found = damaged(tars, tmp_path, "geo")
    with (
        rasterio.MemoryFile(sound) as one,
        one.open() as before,
        rasterio.MemoryFile(found) as two,
        two.open() as after,
    ):
        assert after.transform.c == before.transform.c + 10
        np.testing.assert_array_equal(after.read(1), before.read(1))


def test_a_bomb_is_a_valid_tiff_of_the_place(tars: dict[str, Path], tmp_path: Path) -> None:
    sound, found = damaged(tars, tmp_path, "bomb")
    assert len(found) < 25_000
    with tifffile.TiffFile(io.BytesIO(found)) as file:
        assert file.pages.first.nbytes == 1_800_000_000
    with (
        rasterio.MemoryFile(sound) as one,
        one.open() as before,
        rasterio.MemoryFile(found) as two,
        two.open() as after,
    ):
        assert (after.crs, after.transform) == (before.crs, before.transform)
        assert not after.read(1, window=((29_900, 30_000), (29_900, 30_000))).any()


@given(data=st.data(), release=st.sampled_from(["v1", "v2"]))
def test_drawn_names_are_names_of_the_release(data: st.DataObject, release: Release) -> None:
    s2 = parse_s2(data.draw(strategies.patch_ids(release)))
    assert s2.release == release
    assert recognize(s2.name) == s2
    s1 = parse_s1(data.draw(strategies.s1_names()))
    assert recognize(s1.name) == s1


@given(data=st.data(), release=st.sampled_from(["v1", "v2"]))
def test_drawn_pairs_have_labels_that_survive_encoding(data: st.DataObject, release: Release) -> None:
    pair = data.draw(strategies.pairs(release))
    assert tuple(decode_labels(encode_labels(pair.labels_43, 43), 43)) == pair.labels_43
    assert pair.labels_19 or release == "v1"
    assert set(pair.labels_19) == set(group_labels(pair.labels_43))


@given(names=strategies.band_names())
def test_drawn_bands_are_bands(names: list[str]) -> None:
    assert [one.name for one in bands(names)] == names


@given(rows=strategies.rows(7))
def test_drawn_rows_select_rows(rows: Rows) -> None:
    assert np.isin(np.arange(7)[rows], np.arange(7)).all()


def test_strategies_alone_need_hypothesis() -> None:
    code = (
        "import sys; sys.modules['hypothesis'] = None; import bigearth_xr as bex; bex.testing.write_archive; "
        "import bigearth_xr.testing.strategies"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert "testing.strategies needs hypothesis; run: pip install hypothesis" in done.stderr
