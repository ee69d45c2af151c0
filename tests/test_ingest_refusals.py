"""What cannot be meant is refused before anything is written."""

from pathlib import Path
from typing import Any

import pytest
from holdings import files, holdings

import bigearth_xr as bex
from bigearth_xr.errors import ArchiveError, SelectionError, StoreError
from bigearth_xr.testing import write_archive


def test_another_archive_is_refused(tmp_path: Path) -> None:
    one, other = (write_archive(tmp_path / name, pairs=2, seed=seed) for seed, name in enumerate(("one", "other")))
    bex.ingest(one, tmp_path / "ben.zarr")
    before = holdings(tmp_path / "ben.zarr")
    with pytest.raises(StoreError, match=r"its 2 patches are not the 2 of this archive.*rows='listed'"):
        bex.ingest(other, tmp_path / "ben.zarr")
    assert holdings(tmp_path / "ben.zarr") == before


@pytest.mark.parametrize("change", [{"profile": "compact"}, {"bands": ["B02", "VV"]}, {"sensors": ("s2",)}])
def test_another_profile_or_choice_of_bands_is_refused(archive: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    bex.ingest(archive, tmp_path / "ben.zarr", profile="fast")
    with pytest.raises(StoreError, match="choose another place, or delete it first"):
        bex.ingest(archive, tmp_path / "ben.zarr", **change)


def test_an_unknown_profile_is_refused(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="unknown profile 'gpu'; expected one of fast, compact"):
        bex.ingest(archive, tmp_path / "ben.zarr", profile="gpu")  # type: ignore[arg-type]  # the mistake


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("file", "is a file, and a store is a folder; check the path"),
        ("folder", "exists and is not a store; choose another"),
    ],
)
def test_a_place_that_is_taken_is_left_alone(archive: Path, tmp_path: Path, kind: str, told: str) -> None:
    taken = tmp_path / "ben.zarr"
    if kind == "file":
        taken.write_text("mine")
    else:
        taken.mkdir()
        (taken / "mine").touch()
    with pytest.raises(StoreError, match=rf"ben\.zarr: {told}"):
        bex.ingest(archive, taken)
    assert taken.is_file() or [path.name for path in taken.iterdir()] == ["mine"]


def test_choices_are_checked(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(SelectionError, match="unknown rows 'lsited'; expected one of found, listed"):
        bex.ingest(archive, tmp_path / "ben.zarr", rows="lsited")  # type: ignore[arg-type]  # the mistake
    for number in (0, "2", 2.5, True):
        with pytest.raises(SelectionError, match=f"workers is {number!r}, expected a whole number, at least 1"):
            bex.ingest(archive, tmp_path / "ben.zarr", workers=number)  # type: ignore[arg-type]
    with pytest.raises(SelectionError, match=r"client is 'tcp://x', expected a distributed\.Client"):
        bex.ingest(archive, tmp_path / "ben.zarr", client="tcp://x")  # type: ignore[arg-type]


@pytest.mark.parametrize("place", [5, None, b"archive", "", [], ["a\0"]], ids=repr)
def test_what_names_no_archive_is_refused(tmp_path: Path, place: Any) -> None:
    with pytest.raises((SelectionError, ArchiveError), match=r"archive is .*, expected a path|no archive was given"):
        bex.ingest(place, tmp_path / "ben.zarr")


def test_what_names_no_lists_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SelectionError, match="metadata is 4, expected a path"):
        bex.ingest(tmp_path, tmp_path / "ben.zarr", metadata=4)  # type: ignore[arg-type]


@pytest.mark.parametrize("place", [7, "", "a\0.zarr", b"ben.zarr", "/"], ids=repr)
def test_what_names_no_store_is_refused(tmp_path: Path, place: Any) -> None:
    with pytest.raises(StoreError, match=r"names no store; expected a path|names no folder"):
        bex.ingest(tmp_path, place)


def test_other_addresses_than_those_of_the_web_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"ftp://x/y\.tar: no address that can be read; expected http://"):
        bex.ingest("ftp://x/y.tar", tmp_path / "ben.zarr")


def test_a_store_is_not_made_below_a_file_or_in_its_archive(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "archive", pairs=1)
    before = files(archive)
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file is a file, so no store can be made below; choose another place"):
        bex.ingest(archive, tmp_path / "file" / "ben.zarr")
    for place in (archive, archive / "ben.zarr", archive / "deep" / "ben.zarr"):
        with pytest.raises(StoreError, match=r"lies in the archive .*; choose a place outside"):
            bex.ingest(archive, place)
    assert files(archive) == before
