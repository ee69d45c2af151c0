"""Parts are put together in the order in which split counts them, and a missing one is named."""

import random
import shutil
import string
from collections.abc import Iterable
from pathlib import Path

import pytest
from packing import split

from bigearth_xr.archive.containers import find_containers, open_source
from bigearth_xr.archive.parts import Parts, find_parts
from bigearth_xr.errors import ArchiveError, ArchiveNotFoundError
from bigearth_xr.testing import write_archive
from bigearth_xr.testing.container import Container

WAYS: dict[str, list[str]] = {
    "letters": [],
    "one letter": ["-a1"],
    "three letters": ["-a3"],
    "digits": ["-d"],
    "three digits": ["-d", "-a3"],
    "digits from 1": ["--numeric-suffixes=1", "-a3"],
    "hexadecimal": ["-x"],
}
"""Options of split, by what they make it count with."""


def found(places: Iterable[Path], first: Path) -> tuple[list[Parts], list[str]]:
    return find_parts(map(str, places), lambda place: place == str(first))


@pytest.fixture(scope="module")
def tar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_archive(tmp_path_factory.mktemp("tar") / "S2.tar", pairs=2, container="tar")


@pytest.fixture(scope="module")
def bytes_700(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bytes") / "S2.tar.gz"
    path.write_bytes(bytes(700))
    return path


# In order.


@pytest.mark.parametrize("way", WAYS)
def test_parts_come_in_the_order_of_split(way: str, bytes_700: Path, tmp_path: Path) -> None:
    parts = split(bytes_700, tmp_path, {"one letter": 30, "digits from 1": 5}.get(way, 3), *WAYS[way])
    places = random.Random(0).sample(parts, len(parts))
    assert found(places, parts[0]) == ([Parts(tuple(map(str, parts)))], [])


@pytest.mark.parametrize("way", ["letters", "digits", "hexadecimal"])
def test_suffixes_that_grow_longer_go_on(way: str, bytes_700: Path, tmp_path: Path) -> None:
    parts = split(bytes_700, tmp_path, 1, *WAYS[way])
    assert len({len(part.name) for part in parts}) == 2
    assert found(parts[::-1], parts[0]) == ([Parts(tuple(map(str, parts)))], [])


@pytest.mark.parametrize(
    ("names", "behind"),
    [
        (["S2.tar.gzaa", "S2.tar.gzab"], "S2.tar.gzac"),
        (["S2.tar.zst.00", "S2.tar.zst.01"], "S2.tar.zst.02"),
        (["S2.tar.001", "S2.tar.002"], "S2.tar.003"),
        (["S2.tgz-aa"], "S2.tgz-ab"),
        ([f"S2.tar.part{i}" for i in range(1, 13)], "S2.tar.part13"),
        (["S2.tar.gz.partaa", "S2.tar.gz.partab"], "S2.tar.gz.partac"),
        ([f"S2.TAR.GZ.{i:02}" for i in range(10)], "S2.TAR.GZ.10"),
        ([f"S2.tar.gza{letter}" for letter in string.ascii_lowercase], "S2.tar.gzba"),
    ],
    ids=lambda value: str(value[0]),
)
def test_names_of_other_programs_are_known(names: list[str], behind: str, tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"1")
    (parts,), others = found([tmp_path / name for name in names], tmp_path / names[0])
    assert parts == Parts(tuple(f"{tmp_path}/{name}" for name in names))
    assert (parts.next, others) == (f"{tmp_path}/{behind}", [])


def test_addresses_keep_what_follows_their_question_mark() -> None:
    given = [f"https://example.org/V2/S2.tar.gza{letter}?download=true" for letter in "ba"]
    (parts,), _ = find_parts(given, lambda place: False)
    assert parts.places == tuple(given[::-1])
    assert parts.next == "https://example.org/V2/S2.tar.gzac?download=true"


@pytest.mark.parametrize(
    "name",
    ["S2.tar", "S2.tar.gz", "S2.tar.zst", "S2.tgz", "S2.tar.gz.asc", "S2.tar.gz.md5", "S2.tar.gz-20240101", "b12"],
)
def test_what_only_looks_so_is_no_part(name: str, tmp_path: Path) -> None:
    assert found([tmp_path / name], tmp_path / name) == ([], [f"{tmp_path}/{name}"])


# What is missing.


@pytest.mark.parametrize("way", WAYS)
def test_every_missing_part_is_named(way: str, bytes_700: Path, tmp_path: Path) -> None:
    parts = split(bytes_700, tmp_path, 70, *WAYS[way])
    for lost in parts[:-1]:
        # Whether they are counted from 0 or from 1, the content of the first one tells.
        if way not in ("digits", "three digits", "hexadecimal") or lost != parts[0]:
            with pytest.raises(ArchiveNotFoundError, match=rf"^{lost.name} is missing in {tmp_path}, where S2\.tar"):
                found([part for part in parts if part != lost], parts[0])
    (rest,), _ = found(parts[:-1], parts[0])
    assert rest.next == str(parts[-1])


@pytest.mark.parametrize("way", ["letters", "digits", "hexadecimal"])
def test_a_hole_is_named_where_suffixes_grow_longer(way: str, bytes_700: Path, tmp_path: Path) -> None:
    parts = split(bytes_700, tmp_path, 1, *WAYS[way])
    for i in range(10 if way == "digits" else 200, 698, 29 if way == "digits" else 43):
        lost = {parts[i].name, parts[i + 1].name}
        with pytest.raises(ArchiveNotFoundError) as caught:
            found([part for part in parts if part.name not in lost], parts[0])
        assert str(caught.value).startswith(f"{parts[i].name}, {parts[i + 1].name} are missing in ")


def test_many_missing_parts_are_counted(bytes_700: Path, tmp_path: Path) -> None:
    parts = split(bytes_700, tmp_path, 5)
    with pytest.raises(ArchiveNotFoundError, match=r"^S2\.tar\.gzab, .*, S2\.tar\.gzaf and 133 more are missing"):
        found([parts[0], parts[-1]], parts[0])


def test_a_plain_tar_without_its_first_part_is_refused(tar: Path, tmp_path: Path) -> None:
    parts = split(tar, tmp_path / "parts", 100_000, "-d")
    parts[0].unlink()
    with pytest.raises(ArchiveError, match=r"S2\.tar01 has the name of the first part .* and any part before it"):
        find_containers(tmp_path / "parts")


def test_a_part_that_is_shorter_than_the_others_is_named(tar: Path, tmp_path: Path) -> None:
    parts = split(tar, tmp_path / "parts", 100_000)
    parts[1].write_bytes(parts[1].read_bytes()[:70_000])
    with pytest.raises(ArchiveError, match=r"S2\.tarab has 70,000 bytes, other parts have 100,000: it is not complete"):
        find_containers(tmp_path / "parts")


# Where they lie.


def test_two_archives_in_one_folder_are_told_apart(tar: Path, tmp_path: Path) -> None:
    expected = [
        Parts(tuple(map(str, split(tar, tmp_path / "parts", 200_000, prefix=f"{sensor}.tar"))))
        for sensor in ("S1", "S2")
    ]
    assert list(find_containers(tmp_path / "parts").tars) == expected


def test_parts_of_two_kinds_of_one_file_are_refused(tar: Path, tmp_path: Path) -> None:
    split(tar, tmp_path / "parts", 200_000)
    split(tar, tmp_path / "parts", 300_000, "-d", prefix="S2.tar.")
    with pytest.raises(ArchiveError, match=r"are both parts of .*S2\.tar; expected one set, move the other elsewhere"):
        find_containers(tmp_path / "parts")


def test_a_tar_beside_its_own_parts_is_refused(tar: Path, tmp_path: Path) -> None:
    split(tar, tmp_path, 200_000)
    shutil.copy(tar, tmp_path)
    with pytest.raises(ArchiveError, match=r"S2\.tar lies beside its own parts, .*S2\.taraa to S2\.tar"):
        find_containers(tmp_path)
    assert find_containers(tmp_path / "S2.tar").tars == (tmp_path / "S2.tar",)


def test_one_part_stands_for_all_beside_it(tar: Path, tmp_path: Path) -> None:
    parts = Parts(tuple(map(str, split(tar, tmp_path, 200_000))))
    for given in (
        parts.places[0],
        parts.places[2],
        parts.places[::-1],
        tmp_path,
        f"{tmp_path}/S2*",
        f"{tmp_path}/S2.tara[ab]",
    ):
        assert find_containers(given).tars == (parts,)


def test_parts_of_one_tar_may_lie_in_two_folders(tar: Path, tmp_path: Path) -> None:
    parts = split(tar, tmp_path / "one", 200_000)
    (tmp_path / "other").mkdir()
    moved = [part.rename(tmp_path / "other" / part.name) for part in parts[2:]]
    assert find_containers([moved[0], parts[0]]).tars == (Parts(tuple(map(str, [*parts[:2], *moved]))),)


def test_parts_without_the_name_of_a_tar_are_found(tar: Path, tmp_path: Path) -> None:
    parts = split(tar, tmp_path / "parts", 200_000, prefix="x")
    assert find_containers(tmp_path / "parts").tars == (Parts(tuple(map(str, parts))),)
    assert find_containers(parts[0]).tars == (Parts(tuple(map(str, parts))),)


@pytest.mark.parametrize("container", ["tar", "tar.gz"])
def test_tars_that_are_only_numbered_are_read_one_by_one(container: Container, tmp_path: Path) -> None:
    for i in (1, 2):
        whole = write_archive(tmp_path / f"S2.{container}", pairs=1, first=i, container=container)
        whole.rename(tmp_path / f"S2.{container}.{i}")
    containers = find_containers(tmp_path)
    assert [*map(str, containers.tars), *map(str, containers.streams)] == [
        f"{tmp_path}/S2.{container}.{i}" for i in (1, 2)
    ]


# What they hold.


@pytest.mark.parametrize("size", [512, 513, 70_001, 10_000_000])
def test_a_plain_tar_in_parts_is_read_where_it_lies(size: int, tar: Path, tmp_path: Path) -> None:
    size = max(size, tar.stat().st_size // 600)
    split(tar, tmp_path / "parts", size)
    whole, source = open_source(tar), open_source(tmp_path / "parts" / "S2.taraa")
    assert list(source.folders()) == list(whole.folders())
    for folder in whole.folders():
        assert source.read_files(folder.path, folder.files) == whole.read_files(folder.path, folder.files)
    assert source.refusals() == ()


def test_a_plain_tar_that_lacks_its_last_part_says_so(tar: Path, tmp_path: Path) -> None:
    parts = split(tar, tmp_path / "parts", 200_000)
    parts[-1].unlink()
    (refusal,) = open_source(parts[0]).refusals()
    assert refusal.kind == "truncated"
    last = parts[-2].name
    assert refusal.message.startswith(
        f"{parts[-1].name}, which would follow {last}, is missing, or {last} is not complete: "
    )
