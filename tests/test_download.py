"""Files come over a bad network whole, and under their name only when they are right."""

import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from hashlib import md5
from pathlib import Path
from types import SimpleNamespace

import faulty_server as faulty
import pytest
from faulty_server import Site

from bigearth_xr.download import Patience, download, published_files
from bigearth_xr.download.journal import read_journal
from bigearth_xr.errors import DownloadError, SelectionError
from bigearth_xr.published import PublishedFile

MIB = 1024**2
PATIENCE = Patience(retries=4, first_wait_s=0.001, timeout_s=5)
CONTENT = random.Random(4).randbytes(5 * MIB + 77)

pytestmark = pytest.mark.usefixtures("direct")


@pytest.fixture
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy between us and loopback."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def site() -> Iterator[Site]:
    with faulty.serving({"a.tar": CONTENT}) as site:
        yield site


def published(site: Site, name: str = "a.tar", content: bytes = CONTENT, **changes: str) -> PublishedFile:
    sum_ = changes.get("md5", md5(content, usedforsecurity=False).hexdigest())
    return PublishedFile(name=name, part="s2", address=changes.get("address", site.of(name)), md5=sum_)


def fetch(site: Site, folder: Path, *files: PublishedFile, patience: Patience = PATIENCE) -> str:
    """Download, strictly; the summary."""
    return str(download("v2", folder, files=files or [published(site)], patience=patience, strict=True))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# What is chosen.


def test_every_published_file_has_one_part() -> None:
    assert Counter(file.part for file in published_files("v2")) == {"s1": 1, "s2": 1, "maps": 1, "metadata": 2}
    assert Counter(file.part for file in published_files("v1")) == {"s1": 1, "s2": 1, "metadata": 3}


def test_only_the_parts_asked_for(site: Site, tmp_path: Path) -> None:
    report = download("v2", tmp_path, parts=["maps"], source=f"{site.address}/", patience=PATIENCE)
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
    report = download("v2", tmp_path / "new", files=[published(site)], parallel=parallel, patience=PATIENCE)
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


# What goes wrong, and is survived.


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_connections_that_drop_at_any_byte(site: Site, tmp_path: Path, seed: int, ranges: bool) -> None:
    random_ = random.Random(seed)
    site.ranges = ranges
    site.faults = [faulty.limited(4, faulty.drops(lambda: random_.randrange(2 * MIB)), after=1)]
    fetch(site, tmp_path)
    assert (tmp_path / "a.tar").read_bytes() == CONTENT


def test_dropped_pieces_go_on_where_they_were(site: Site, tmp_path: Path) -> None:
    site.faults = [faulty.limited(3, faulty.drops(lambda: MIB // 2), after=1)]
    fetch(site, tmp_path)
    # What lay in the sockets' buffers at the drop is all that may come twice; here nothing does, but for the probe.
    assert site.served["a.tar"] == len(CONTENT) + 1


def test_a_server_without_ranges_is_read_as_one_stream(site: Site, tmp_path: Path) -> None:
    site.ranges = False
    fetch(site, tmp_path)
    assert (tmp_path / "a.tar").read_bytes() == CONTENT
    assert len(site.requests) == 2  # the probe, and the stream
    assert names(tmp_path) == {"a.tar"}


def test_a_server_that_says_no_size(site: Site, tmp_path: Path) -> None:
    site.ranges, site.chunked = False, True
    fetch(site, tmp_path)
    assert (tmp_path / "a.tar").read_bytes() == CONTENT


def test_a_server_that_stops_giving_ranges(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def stop(handler: faulty.Handler) -> bool:
        handler.site.ranges = False
        return False

    site.faults = [faulty.limited(1, stop, after=2)]
    fetch(site, tmp_path)
    assert (tmp_path / "a.tar").read_bytes() == CONTENT
    assert "the server gives no ranges; fetching it in one stream" in capsys.readouterr().err


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_an_overloaded_server_is_asked_again(site: Site, tmp_path: Path, status: int) -> None:
    site.faults = [faulty.limited(3, faulty.answers(status))]
    fetch(site, tmp_path)
    assert (tmp_path / "a.tar").read_bytes() == CONTENT


def test_retry_after_is_obeyed(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site.faults = [faulty.limited(1, faulty.answers(503, Retry_After="1"))]
    began = time.monotonic()
    fetch(site, tmp_path)
    assert time.monotonic() - began >= 1
    assert "HTTP 503 Service Unavailable at byte 0; again in 1.0 s (1 of 4)" in capsys.readouterr().err


def test_retry_after_may_be_too_long(site: Site, tmp_path: Path) -> None:
    site.faults = [faulty.answers(429, Retry_After="7200")]
    with pytest.raises(DownloadError, match=r"HTTP 429 .*: the server asks to be left alone for 7,200 s; try then"):
        fetch(site, tmp_path)


def test_a_trickle_is_given_up_and_made_anew(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site.faults = [faulty.limited(1, faulty.trickles(0.05), after=1)]
    fetch(site, tmp_path, patience=Patience(retries=2, first_wait_s=0.001, timeout_s=1))
    assert (tmp_path / "a.tar").read_bytes() == CONTENT
    assert "bytes came in 1." in capsys.readouterr().err


def test_silence_is_given_up_and_made_anew(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site.faults = [faulty.limited(1, faulty.trickles(2), after=1)]
    fetch(site, tmp_path, patience=Patience(retries=2, first_wait_s=0.001, timeout_s=0.5))
    assert (tmp_path / "a.tar").read_bytes() == CONTENT
    assert "nothing came for too long at byte" in capsys.readouterr().err


@pytest.mark.parametrize(
    "fault",
    [
        faulty.claims("bytes 7-{last}/{size}"),
        faulty.claims("bytes {start}-{size}/{size}"),
        faulty.claims("characters"),
        faulty.claims("bytes {start}-{last}/{size}", length=3),
    ],
)
def test_an_answer_to_another_range_is_not_taken(site: Site, tmp_path: Path, fault: faulty.Fault) -> None:
    site.faults = [faulty.limited(2, fault, after=1)]
    fetch(site, tmp_path)
    assert (tmp_path / "a.tar").read_bytes() == CONTENT


def test_a_file_that_changes_meanwhile_is_fetched_anew(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = CONTENT[::-1]

    def change(handler: faulty.Handler) -> bool:
        handler.site.files["a.tar"] = new
        return False

    site.faults = [faulty.limited(1, change, after=3)]
    fetch(site, tmp_path, published(site, content=new))
    assert (tmp_path / "a.tar").read_bytes() == new
    assert "the file has changed on the server: it is " in capsys.readouterr().err


# What goes wrong for good.


def test_a_file_that_is_not_there(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"/b.tar: HTTP 404 Not Found; check the address, and that you may read it"):
        fetch(site, tmp_path, published(site, "b.tar"))
    assert names(tmp_path) == set()
    assert len(site.requests) == 1


def test_other_files_go_on_and_failures_come_together(site: Site, tmp_path: Path) -> None:
    files = [published(site, "b.tar"), published(site), published(site, "c.tar")]
    report = download("v2", tmp_path, files=files, patience=PATIENCE)
    assert [one.state for one in report.files] == ["failed", "fetched", "failed"]
    assert [("b.tar" in one, "c.tar" in one) for one in report.failures] == [(True, False), (False, True)]
    with pytest.raises(DownloadError, match=r"2 files could not be fetched:\n.*b.tar.*\n.*c.tar"):
        fetch(site, tmp_path, *files)


def test_a_wrong_md5_is_deleted(site: Site, tmp_path: Path) -> None:
    right = md5(CONTENT, usedforsecurity=False).hexdigest()
    said = f"a.tar.part: md5 of its 5,242,957 bytes is {right}, published is {'0' * 32}; it was deleted: try again"
    with pytest.raises(DownloadError, match=said):
        fetch(site, tmp_path, published(site, md5="0" * 32))
    assert names(tmp_path) == set()


@pytest.mark.parametrize(("extra", "said"), [(-1000, "md5 of its 5,241,957 bytes"), (1000, "the connection broke")])
def test_a_server_that_lies_about_the_length(site: Site, tmp_path: Path, extra: int, said: str) -> None:
    site.ranges = False
    site.faults = [faulty.announces(extra)]
    with pytest.raises(DownloadError, match=said):
        fetch(site, tmp_path)
    assert names(tmp_path) == set()


def test_a_server_that_goes_away(site: Site, tmp_path: Path) -> None:
    site.faults = [faulty.limited(9999, faulty.drops(lambda: 1000), after=1)]
    said = r"a.tar: gave up at byte .* after 5 failures in a row: the connection broke \(.*\); what was fetched is kept"
    with pytest.raises(DownloadError, match=said):
        fetch(site, tmp_path)
    assert names(tmp_path) == {"a.tar.part", "a.tar.part.ranges"}
    site.faults = []
    fetch(site, tmp_path)
    assert (tmp_path / "a.tar").read_bytes() == CONTENT


def test_nobody_listens(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"gave up at byte 0 after 5 failures in a row: no connection \(.*refused"):
        fetch(site, tmp_path, published(site, address="http://127.0.0.1:9/a.tar"))


def test_an_address_of_another_kind(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="gopher://x: No connection adapters were found for 'gopher://x'"):
        fetch(site, tmp_path, published(site, address="gopher://x"))


def test_a_file_that_never_stops_changing(site: Site, tmp_path: Path) -> None:
    def change(handler: faulty.Handler) -> bool:
        handler.site.files["a.tar"] = handler.content[-2::-1]
        return False

    site.faults = [change]
    with pytest.raises(DownloadError, match=r"the file has changed on the server: 5,242,9.. bytes, 5,242,9.. before"):
        fetch(site, tmp_path)


def test_too_little_space_is_said_before(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    said = "5.2 MB are to be fetched, 1.0 MB are free; free some, choose fewer parts of s2, or another folder"
    with pytest.raises(DownloadError, match=said):
        fetch(site, tmp_path)
    assert site.served["a.tar"] == 1


def test_a_full_disk(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs to mount a small tmpfs, which this user may not")
    try:
        monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10**9))
        with pytest.raises(DownloadError, match=r"a.tar: No space left on device; run it again when that is mended"):
            fetch(site, small)
        assert "a.tar" not in names(small)
        subprocess.run(["mount", "-o", "remount,size=20m", str(small)], check=True)
        fetch(site, small)
        assert (small / "a.tar").read_bytes() == CONTENT
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_two_processes_at_once(site: Site, tmp_path: Path) -> None:
    from bigearth_xr.download.locking import locked

    with (
        locked(tmp_path / "a.tar.part"),
        pytest.raises(DownloadError, match=r"a.tar.part: another process is fetching it; wait for that one"),
    ):
        fetch(site, tmp_path)
    fetch(site, tmp_path)


# Runs that continue earlier ones.


def begun(site: Site, folder: Path) -> int:
    """Leave a download unfinished; the bytes that it has noted."""
    site.faults = [faulty.limited(9999, faulty.answers(500), after=4)]
    with pytest.raises(DownloadError, match="HTTP 500"):
        download(
            "v2", folder, files=[published(site)], parallel=1, patience=Patience(retries=0, timeout_s=5), strict=True
        )
    site.faults = []
    site.served.clear()
    journal = read_journal(folder / "a.tar.part.ranges")
    assert journal is not None
    held = sum(stop - start for start, stop in journal.held)
    assert 0 < held < len(CONTENT)
    return held


def test_what_is_there_is_not_fetched_again(site: Site, tmp_path: Path) -> None:
    held = begun(site, tmp_path)
    fetch(site, tmp_path)
    assert (tmp_path / "a.tar").read_bytes() == CONTENT
    assert site.served["a.tar"] == len(CONTENT) - held + 1


def test_another_mirror_goes_on_with_it(site: Site, tmp_path: Path) -> None:
    held = begun(site, tmp_path)
    with faulty.serving({"a.tar": CONTENT}) as mirror:
        mirror.etags = False
        mirror.headers["Last-Modified"] = "Wed, 21 Oct 2015 07:28:00 GMT"
        fetch(mirror, tmp_path)
        assert mirror.served["a.tar"] == len(CONTENT) - held + 1


def test_a_file_that_changed_between_runs_starts_over(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun(site, tmp_path)
    new = CONTENT[::-1]
    site.files["a.tar"] = new
    fetch(site, tmp_path, published(site, content=new))
    assert (tmp_path / "a.tar").read_bytes() == new
    assert "a.tar: what an earlier run left is of another version; starting over" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["cut", "torn", "garbage", "beyond", "shorter part"])
def test_a_damaged_journal_costs_bytes_at_most(site: Site, tmp_path: Path, damage: str) -> None:
    begun(site, tmp_path)
    journal, part = tmp_path / "a.tar.part.ranges", tmp_path / "a.tar.part"
    text = journal.read_text()
    if damage == "shorter part":
        os.truncate(part, 100)
    else:
        texts = {"cut": text[:30], "torn": text[:-3], "garbage": "\0" * 50, "beyond": f"{text}[0, 99999999]\n"}
        journal.write_text(texts[damage])
    fetch(site, tmp_path)
    assert (tmp_path / "a.tar").read_bytes() == CONTENT


def test_a_line_behind_a_torn_one_is_not_believed(site: Site, tmp_path: Path) -> None:
    begun(site, tmp_path)
    journal = tmp_path / "a.tar.part.ranges"
    journal.write_text(f"{journal.read_text()}[0, 52[1, 2]\n")
    fetch(site, tmp_path)
    assert (tmp_path / "a.tar").read_bytes() == CONTENT


def downloading(file: PublishedFile, folder: Path) -> subprocess.Popen[bytes]:
    """Download in a process that can be killed."""
    script = (
        "from bigearth_xr.download import download\n"
        "from bigearth_xr.published import PublishedFile\n"
        f"download('v2', {str(folder)!r}, files=[{file!r}])\n"
    )
    return subprocess.Popen([sys.executable, "-c", script])


def test_a_killed_process_fetched_nothing_in_vain(site: Site, tmp_path: Path) -> None:
    enough = threading.Event()

    def wait(handler: faulty.Handler) -> bool:
        enough.wait(60)
        handler.hang_up()
        return True

    site.faults = [faulty.limited(9999, wait, after=3)]
    with downloading(published(site), tmp_path) as run:
        # The probe, two pieces, and four connections that wait: what came is noted before more is asked for.
        assert eventually(lambda: len(site.requests) == 7)
        run.kill()
    enough.set()
    assert names(tmp_path) == {"a.tar.part", "a.tar.part.ranges"}
    site.faults = []
    site.served.clear()
    fetch(site, tmp_path)
    assert (tmp_path / "a.tar").read_bytes() == CONTENT
    assert site.served["a.tar"] == len(CONTENT) - 2 * MIB + 1


def test_processes_killed_at_any_moment(site: Site, tmp_path: Path) -> None:
    site.pause_s = 0.01
    site.files["a.tar"] = content = CONTENT * 4
    file, random_, part = published(site, content=content), random.Random(7), tmp_path / "a.tar.part"
    for _ in range(4):
        with downloading(file, tmp_path) as run:
            assert eventually(lambda run=run: part.exists() or run.poll() is not None)  # type: ignore[misc]  # a lambda
            time.sleep(0.2 * random_.random())
            run.kill()
    site.pause_s = 0
    fetch(site, tmp_path, file)
    assert (tmp_path / "a.tar").read_bytes() == content


def eventually(happened: Callable[[], bool]) -> bool:
    """Wait until it happened, a minute at most."""
    deadline = time.monotonic() + 60
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.005)
    return happened()


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
    assert "there is no release 'v3'" in done.stderr
