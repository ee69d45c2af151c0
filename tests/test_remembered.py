"""What long lists said is remembered, and never taken for what others say."""

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bigearth_xr as bex
from bigearth_xr import table
from bigearth_xr.releases import Release
from bigearth_xr.table import lists as memory
from bigearth_xr.table.lists import MOST_CACHED, Read, cached_lists, read_lists
from bigearth_xr.table.lists_v1 import read_v1
from bigearth_xr.table.lists_v2 import V2_RECOMMENDED, read_v2


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where lists are kept, here of any length."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(memory, "SHORTEST", 0)
    return tmp_path / "cache" / "bigearth-xr" / "lists"


@pytest.fixture
def v1(tmp_path: Path) -> Path:
    """Lists of v1."""
    return bex.testing.write_archive(tmp_path / "v1", pairs=5, version="v1") / "lists"


@pytest.fixture
def v2(tmp_path: Path) -> Path:
    """The parquet of v2 that names patches."""
    return bex.testing.write_archive(tmp_path / "v2", pairs=5, version="v2") / V2_RECOMMENDED


class Counted:
    """Reads lists, and counts how often."""

    def __init__(self, read: Callable[[], Read]) -> None:
        self.read, self.times = read, 0

    def __call__(self) -> Read:
        self.times += 1
        return self.read()


def v1_through_memory(folder: Path) -> tuple[Read, int]:
    read = Counted(lambda: ("v1", read_v1(folder)))
    return cached_lists({file.name: file for file in folder.iterdir()}, "v1", read), read.times


def parts_of(parquet: Path, folder: Path, column: str = "split") -> Path:
    """Save a list as folders of parts that name a column."""
    pq.write_to_dataset(pq.read_table(parquet), folder, partition_cols=[column])
    return folder


@pytest.mark.parametrize("form", ["v1", "v2", "parts"])
def test_what_is_remembered_is_what_was_read(
    form: str, v1: Path, v2: Path, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = {"v1": v1, "v2": v2, "parts": tmp_path / "parts.parquet"}[form]
    if form == "parts":
        parts_of(v2, place)
    release: Release = "v1" if form == "v1" else "v2"
    expected = read_v1(place) if form == "v1" else read_v2([place])
    first = read_lists([place])
    assert len(list(kept.glob("*.arrow"))) == 1
    for name in ("read_v1", "read_v2"):
        monkeypatch.delattr(f"bigearth_xr.table.lists.{name}")  # nobody can read them now
    for found_release, found in (first, read_lists([place])):
        assert found_release == release
        assert list(found) == list(expected)
        assert all(found[name].equals(array) for name, array in expected.items())


def test_tables_of_remembered_lists_are_the_same(v1: Path, kept: Path) -> None:
    first, again = table.from_lists(v1), table.from_lists(v1)
    assert list(kept.iterdir())
    assert first.equals(again, check_metadata=True)


def test_other_content_is_read_anew(v1: Path, kept: Path) -> None:
    (_, first), _ = v1_through_memory(v1)
    named = (v1 / "train.csv").read_text().splitlines()
    moved = (v1 / "val.csv").read_text().splitlines()
    before = (v1 / "train.csv").stat()
    (v1 / "train.csv").write_text("\n".join(moved) + "\n")
    (v1 / "val.csv").write_text("\n".join(named) + "\n")
    os.utime(v1 / "train.csv", ns=(before.st_atime_ns, before.st_mtime_ns))  # as a copy has the time of its source
    (_, second), times = v1_through_memory(v1)
    assert times == 1
    assert first["split"].to_pylist() != second["split"].to_pylist()
    assert second["split"].equals(read_v1(v1)["split"])
    assert len(list(kept.glob("*.arrow"))) == 2


def test_another_name_of_a_partition_is_another_list(v2: Path, kept: Path, tmp_path: Path) -> None:
    parts = parts_of(v2, tmp_path / "parts.parquet")
    _, first = read_lists([parts])
    one = next(parts.glob("split=*"))
    given = one.name.removeprefix("split=")
    other = next(name for name in ("train", "validation", "test") if not (parts / f"split={name}").exists())
    one.rename(parts / f"split={other}")
    _, second = read_lists([parts])
    assert given in first["split"].to_pylist()
    assert given not in second["split"].to_pylist()
    assert other in second["split"].to_pylist()


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "nonsense"])
def test_a_damaged_memory_is_read_anew_and_replaced(damage: str, v1: Path, kept: Path) -> None:
    (_, expected), _ = v1_through_memory(v1)
    (place,) = kept.glob("*.arrow")
    sound = place.read_bytes()
    middle = len(sound) // 2
    flipped = sound[:middle] + bytes([sound[middle] ^ 1]) + sound[middle + 1 :]
    place.write_bytes({"cut": sound[:middle], "flipped": flipped, "empty": b"", "nonsense": b"x" * 100}[damage])
    (_, found), times = v1_through_memory(v1)
    assert times == 1
    assert all(found[name].equals(array) for name, array in expected.items())
    assert place.read_bytes() == sound
    assert v1_through_memory(v1)[1] == 0


def test_what_lists_warn_of_is_told_each_time(v1: Path, kept: Path) -> None:
    def read() -> Read:
        warnings.warn("two patches are named twice", UserWarning, stacklevel=1)
        return "v1", read_v1(v1)

    counted = Counted(read)
    for times in (1, 2):
        with pytest.warns(UserWarning, match="named twice"):
            cached_lists({file.name: file for file in v1.iterdir()}, "v1", counted)
        assert counted.times == times
    assert not list(kept.iterdir())


def test_an_error_is_raised_each_time(v1: Path, kept: Path) -> None:
    (v1 / "train.csv").write_text("S2A_MSIL2A_nonsense\n")
    for _ in range(2):
        with pytest.raises(bex.errors.MetadataError, match=r"train\.csv"):
            read_lists([v1])
    assert not list(kept.iterdir())


def test_short_lists_are_not_kept(v1: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    read_lists([v1])
    assert not (tmp_path / "cache").exists()


def test_without_a_writable_folder_lists_are_read_each_time(
    v1: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "/proc/nowhere")
    monkeypatch.setattr("tempfile.tempdir", "/proc/nowhere")
    assert [v1_through_memory(v1)[1] for _ in range(2)] == [1, 1]


def test_the_sets_asked_for_last_are_kept(kept: Path, tmp_path: Path) -> None:
    def ask(number: int) -> int:
        file = tmp_path / "metadata.parquet"
        file.write_bytes(bytes([number]))
        counted = Counted(lambda: ("v2", {"patch": pa.array([str(number)])}))
        assert cached_lists({file.name: file}, "v2", counted)[1]["patch"].to_pylist() == [str(number)]
        for place in kept.glob("*.arrow"):  # as if each were asked for a minute after the last
            stat = place.stat()
            os.utime(place, ns=(stat.st_atime_ns, stat.st_mtime_ns - 60 * 10**9))
        return counted.times

    assert [ask(number) for number in range(MOST_CACHED)] == [1] * MOST_CACHED
    assert ask(0) == 0
    assert ask(MOST_CACHED) == 1
    assert len(list(kept.glob("*"))) == MOST_CACHED
    assert ask(0) == 0
    assert ask(1) == 1


def test_long_lists_are_remembered_by_themselves(
    published_lists: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    _, first = read_lists([published_lists])
    monkeypatch.delattr("bigearth_xr.table.lists.read_v1")
    _, again = read_lists([published_lists])
    assert len(again["patch"]) == 590_326
    assert all(again[name].equals(array) for name, array in first.items())
