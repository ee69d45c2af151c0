"""Faults of a network are survived, and those that last are told."""

import random
import time
from hashlib import md5
from pathlib import Path
from types import SimpleNamespace

import faulty_server as faulty
import pytest
from downloads import CONTENT, MIB, RETRY, fetch, names, published
from faulty_server import Site
from full_disk import files_end_at

from bigearth_xr.download import RetryPolicy, download
from bigearth_xr.errors import DownloadError

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
    fetch(site, tmp_path, retry=RetryPolicy(retries=2, first_wait_s=0.001, timeout_s=1))
    assert (tmp_path / "a.tar").read_bytes() == CONTENT
    assert "bytes came in 1." in capsys.readouterr().err


def test_silence_is_given_up_and_made_anew(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site.faults = [faulty.limited(1, faulty.trickles(2), after=1)]
    fetch(site, tmp_path, retry=RetryPolicy(retries=2, first_wait_s=0.001, timeout_s=0.5))
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
    report = download("v2", tmp_path, files=files, retry=RETRY)
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


def test_a_full_disk(site: Site, tmp_path: Path) -> None:
    said = r"a.tar: File too large; run it again when that is mended"
    with files_end_at(2 * MIB), pytest.raises(DownloadError, match=said):
        fetch(site, tmp_path)
    assert "a.tar" not in names(tmp_path)
    fetch(site, tmp_path)
    assert (tmp_path / "a.tar").read_bytes() == CONTENT


def test_two_processes_at_once(site: Site, tmp_path: Path) -> None:
    from bigearth_xr.processes import lock_file

    with (
        lock_file(tmp_path / "a.tar.part"),
        pytest.raises(DownloadError, match=r"a.tar.part: another process is fetching it; wait for that one"),
    ):
        fetch(site, tmp_path)
    fetch(site, tmp_path)
