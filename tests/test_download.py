"""Files come whole, once, and under their name only when they are right."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import faulty_server as faulty
import pytest
from downloads import CONTENT, MIB, RETRY, fetch, names, published
from faulty_server import Site

from bigearth_xr.download import download, published_files
from bigearth_xr.errors import DownloadError, SelectionError

# What is chosen.


def test_every_published_file_has_one_part() -> None:
    assert Counter(file.part for file in published_files("v2")) == {"s1": 1, "s2": 1, "maps": 1, "metadata": 2}
    assert Counter(file.part for file in published_files("v1")) == {"s1": 1, "s2": 1, "metadata": 3}


def test_only_the_parts_asked_for(site: Site, tmp_path: Path) -> None:
    report = download("v2", tmp_path, parts=["maps"], source=f"{site.address}/", retry=RETRY)
    assert [one.name for one in report.files] == ["Reference_Maps.tar.zst"]
    assert {path for path, _ in site.requests} == {"/Reference_Maps.tar.zst"}


def test_a_misspelt_part_is_named(tmp_path: Path) -> None:
    with pytest.raises(SelectionError, match=r"no part 'map'; known are s1, s2, maps, metadata; did you mean 'maps'"):
        download("v2", tmp_path, parts=["map"])  # type: ignore[list-item]  # the mistake


def test_a_part_that_a_release_lacks(tmp_path: Path) -> None:
    with pytest.raises(SelectionError, match="release v1 has no maps; it has metadata, s1, s2"):
        download("v1", tmp_path, parts=["maps"])


def test_no_connections(tmp_path: Path) -> None:
    with pytest.raises(SelectionError, match="0 connections cannot fetch anything; give 1 or more"):
        download("v2", tmp_path, parallel=0)


# What comes.


@pytest.mark.parametrize("parallel", [1, 4])
def test_a_file_comes_in_pieces_side_by_side(site: Site, tmp_path: Path, parallel: int) -> None:
    report = download("v2", tmp_path / "new", files=[published(site)], parallel=parallel, retry=RETRY)
    assert (tmp_path / "new/a.tar").read_bytes() == CONTENT
    assert names(tmp_path / "new") == {"a.tar"}
    (outcome,) = report.files
    assert (outcome.state, outcome.size, outcome.fetched_bytes) == ("fetched", len(CONTENT), len(CONTENT))
    assert outcome.rate_mb_s > 0
    assert len({asked for _, asked in site.requests}) >= 5  # the probe and its pieces
    assert report.complete
    assert "1 files fetched, 0 there already, 0 failed; 5.2 MB" in str(report)


def test_a_file_that_is_there_is_not_fetched_again(site: Site, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(CONTENT)
    assert "0 files fetched, 1 there already, 0 failed" in fetch(site, tmp_path)
    assert site.requests == []


def test_a_file_of_that_name_that_is_another_is_not_overwritten(site: Site, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"mine")
    with pytest.raises(DownloadError, match=r"a.tar: md5 of its 4 bytes is .*, published is .*; it is not ours"):
        fetch(site, tmp_path)
    assert (tmp_path / "a.tar").read_bytes() == b"mine"


@pytest.mark.parametrize("size", [0, 1, 2, MIB, MIB + 1])
@pytest.mark.parametrize("ranges", [True, False])
def test_small_and_empty_files(site: Site, tmp_path: Path, size: int, ranges: bool) -> None:
    site.ranges = ranges
    site.files["x"] = CONTENT[:size]
    fetch(site, tmp_path, published(site, "x", CONTENT[:size]))
    assert (tmp_path / "x").read_bytes() == CONTENT[:size]


def test_redirects_are_followed(site: Site, tmp_path: Path) -> None:
    site.faults = [faulty.redirects]
    fetch(site, tmp_path, published(site, address=site.of("old/a.tar")))
    assert (tmp_path / "a.tar").read_bytes() == CONTENT


def test_a_file_labelled_as_compressed_is_kept_as_it_is(site: Site, tmp_path: Path) -> None:
    site.headers["Content-Encoding"] = "gzip"
    fetch(site, tmp_path)
    assert (tmp_path / "a.tar").read_bytes() == CONTENT


# The command.


def bigearth(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", "from bigearth_xr.cli import main; main()", "download"]
    return subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.fixture
def parquets(site: Site, shared: Path) -> Site:
    """The published metadata of v2, as its publisher serves it."""
    for file in published_files("v2", ["metadata"]):
        site.files[file.name] = (shared / "data/v2" / file.name).read_bytes()
    return site


def test_the_command_fetches_real_files(parquets: Site, tmp_path: Path) -> None:
    arguments = ("v2", "--to", tmp_path / "v2", "--parts", "metadata", "--from", parquets.address)
    done = bigearth(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 files fetched, 0 there already, 0 failed" in done.stdout
    assert names(tmp_path / "v2") == {file.name for file in published_files("v2", ["metadata"])}
    again = bigearth(*arguments)
    assert again.returncode == 0
    assert "0 files fetched, 2 there already, 0 failed" in again.stdout


def test_the_command_exits_1_if_a_file_failed(parquets: Site, tmp_path: Path) -> None:
    done = bigearth("v2", "--to", tmp_path, "--parts", "metadata,maps", "--from", parquets.address)
    assert done.returncode == 1
    assert "Reference_Maps.tar.zst: HTTP 404" in done.stdout
    assert "2 files fetched, 0 there already, 1 failed" in done.stdout


def test_the_command_exits_2_if_it_makes_no_sense(tmp_path: Path) -> None:
    done = bigearth("v3", "--to", tmp_path)
    assert done.returncode == 2
    assert "unknown release 'v3'" in done.stderr
