"""The same archive gives the same bytes and the same name, whoever writes them and wherever."""

import os
import random
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from holdings import files
from shards import HOLE, index_of

import bigearth_xr as bex
from bigearth_xr.store.codec import PROFILES, ProfileName
from bigearth_xr.store.open import open_store
from bigearth_xr.testing import write_archive


@pytest.mark.parametrize("profile", PROFILES)
def test_bytes_do_not_depend_on_the_workers(long_archive: Path, tmp_path: Path, profile: ProfileName) -> None:
    trees = []
    for workers in (1, 2):
        place = tmp_path / f"workers{workers}"
        report = bex.ingest(
            long_archive, place / "ben.zarr", sensors=["s2"], bands=["B01"], profile=profile, workers=workers
        )
        assert report.complete
        trees.append(files(place))
    assert trees[0] == trees[1]
    assert "ben.zarr/s2_60m/c/1/0/0/0" in trees[0]
    index, _ = index_of(tmp_path / "workers2/ben.zarr/s2_60m/c/1/0/0/0")
    assert (index[:76] != HOLE).all()
    assert (index[76:] == HOLE).all()


def test_bytes_do_not_depend_on_the_order_of_a_directory(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bex.ingest(archive, tmp_path / "one" / "ben.zarr")
    shuffled: list[str] = []
    plain_scandir = os.scandir

    class Shuffled:
        """`os.scandir` in another order."""

        def __init__(self, path: str) -> None:
            with plain_scandir(path) as entries:
                self._entries = list(entries)
            random.Random(0).shuffle(self._entries)
            shuffled.append(path)

        def __enter__(self) -> Iterator["os.DirEntry[str]"]:
            return iter(self)

        def __iter__(self) -> Iterator["os.DirEntry[str]"]:
            return iter(self._entries)

        def __exit__(self, *_: object) -> None:
            return

    with monkeypatch.context() as patched:
        patched.setattr("bigearth_xr.archive.source.os.scandir", Shuffled)
        bex.ingest(archive, tmp_path / "other" / "ben.zarr")
    assert shuffled
    assert files(tmp_path / "one") == files(tmp_path / "other")


def test_bytes_do_not_depend_on_the_place_of_the_archive(archive: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(archive, tmp_path / "elsewhere")
    for name, root in (("one", archive), ("other", moved)):
        bex.ingest(root, tmp_path / name / "ben.zarr")
    assert files(tmp_path / "one") == files(tmp_path / "other")


def test_no_place_is_written_into_a_store(store: Path, archive: Path) -> None:
    for name, data in files(store).items():
        if name.endswith("zarr.json"):
            assert str(archive.parent).encode() not in data
            assert os.uname().nodename.encode() not in data


# Identity.


def identity(store: Path) -> uuid.UUID:
    return uuid.UUID(open_store(store).uuid)


def test_the_uuid_names_the_content(archive: Path, store: Path, tmp_path: Path) -> None:
    profile = open_store(store).profile
    again = tmp_path / "again.zarr"
    bex.ingest(archive, again, profile=profile)
    assert identity(again) == identity(store)
    assert identity(store).version == 5


@pytest.mark.parametrize(
    "change", [{"profile": "compact"}, {"bands": ["B02", "VV"]}, {"sensors": ["s1"]}, {"metadata": "other"}]
)
def test_another_content_has_another_uuid(tmp_path: Path, change: dict[str, Any]) -> None:
    archive = write_archive(tmp_path / "v2", pairs=3)
    if "metadata" in change:
        # The same pairs, and other labels.
        change = {"metadata": write_archive(tmp_path / "lists", pairs=2)}
    for name, options in (("one", {}), ("other", change)):
        bex.ingest(archive, tmp_path / f"{name}.zarr", **options)
    assert identity(tmp_path / "one.zarr") != identity(tmp_path / "other.zarr")
