"""A stream over HTTP gives the bytes of one file, in order and whole, or says why not."""

import io
import random
import tarfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from hashlib import md5

import faulty_server as faulty
import pytest
import requests
from faulty_server import Site

from bigearth_xr.download import RetryPolicy, UrlStream, open_url
from bigearth_xr.download.connection import Version, parse_retry_after
from bigearth_xr.download.transfer import run_threads
from bigearth_xr.errors import DownloadError

MIB = 1024**2
RETRY = RetryPolicy(retries=4, first_wait_s=0.001, timeout_s=5)
CONTENT = random.Random(5).randbytes(3 * MIB + 5)
SUM = md5(CONTENT, usedforsecurity=False).hexdigest()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with faulty.serving({"a.tar": CONTENT}) as site:
        yield site


def opened(site: Site, md5: str | None = None) -> UrlStream:
    return open_url(site.of("a.tar"), md5=md5, retry=RETRY)


def read_all(site: Site, md5: str | None = None) -> bytes:
    with opened(site, md5) as stream:
        return stream.read()


# What comes.


def test_it_reads_like_an_open_file(site: Site) -> None:
    with opened(site, md5=SUM.upper()) as stream:
        assert (stream.size, stream.position, stream.tell(), stream.readable()) == (len(CONTENT), 0, 0, True)
        assert stream.read(0) == b""
        first = stream.read(10)
        assert CONTENT.startswith(first)
        buffer = bytearray(100)
        assert CONTENT[len(first) :].startswith(buffer[: stream.readinto(buffer)])
        assert stream.readinto(bytearray()) == 0
        assert first + buffer[: stream.position - len(first)] + stream.read() == CONTENT
        assert (stream.position, stream.md5()) == (len(CONTENT), SUM)
        assert (stream.read(10), stream.readinto(buffer)) == (b"", 0)
    assert len(site.requests) == 1


def test_tarfile_reads_members_from_it(site: Site) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for number in range(20):
            member = tarfile.TarInfo(f"{number}.tif")
            member.size = 50_000
            tar.addfile(member, io.BytesIO(CONTENT[number : number + 50_000]))
    site.files["a.tar"] = archive.getvalue()
    random_ = random.Random(1)
    site.faults = [faulty.limited(4, faulty.drops(lambda: random_.randrange(300_000)))]
    with opened(site) as stream, tarfile.open(fileobj=stream, mode="r|gz") as tar:
        for number, member in enumerate(tar):
            file = tar.extractfile(member)
            assert file is not None
            assert file.read() == CONTENT[number : number + 50_000]


def test_it_cannot_be_read_after_its_end(site: Site) -> None:
    stream = opened(site)
    stream.close()
    stream.close()
    for read in (lambda: stream.read(1), lambda: stream.readinto(bytearray(1))):
        with pytest.raises(ValueError, match=r"a.tar: the stream was closed"):
            read()


@pytest.mark.parametrize("content", [b"", b"x"])
@pytest.mark.parametrize("ranges", [True, False])
def test_short_and_empty_files(site: Site, content: bytes, ranges: bool) -> None:
    site.files["a.tar"], site.ranges = content, ranges
    assert read_all(site) == content


def test_a_server_that_says_no_size(site: Site) -> None:
    site.chunked, site.ranges = True, False
    with opened(site) as stream:
        assert stream.size is None
        assert stream.read() == CONTENT


# What is survived.


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("etags", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_connections_that_drop_at_any_byte(site: Site, seed: int, ranges: bool, etags: bool) -> None:
    random_ = random.Random(seed)
    site.ranges, site.etags = ranges, etags
    site.faults = [faulty.limited(4, faulty.drops(lambda: random_.randrange(MIB)))]
    assert read_all(site, md5=SUM) == CONTENT


def test_nothing_comes_twice(site: Site) -> None:
    site.faults = [faulty.limited(4, faulty.drops(lambda: MIB // 2))]
    assert read_all(site) == CONTENT
    assert site.served["a.tar"] == len(CONTENT)


def test_a_mebibyte_between_them_makes_failures_no_row(site: Site) -> None:
    site.faults = [faulty.limited(2, faulty.drops(lambda: MIB))]
    with open_url(site.of("a.tar"), retry=RetryPolicy(retries=1, first_wait_s=0.001)) as stream:
        assert stream.read() == CONTENT


def test_a_reader_that_takes_its_time_is_no_trickle(site: Site) -> None:
    with open_url(site.of("a.tar"), retry=RetryPolicy(retries=0, timeout_s=0.5)) as stream:
        read = stream.read(100)
        time.sleep(1)
        assert read + stream.read() == CONTENT


@pytest.mark.parametrize("ranges", [True, False])
def test_what_was_survived_is_told(site: Site, ranges: bool) -> None:
    site.ranges = ranges
    site.faults = [faulty.limited(1, faulty.answers(503))]
    said: list[str] = []
    with open_url(site.of("a.tar"), retry=RETRY, notice=said.append) as stream:
        assert stream.read() == CONTENT
    assert said == [f"{site.of('a.tar')}: HTTP 503 Service Unavailable at byte 0; again in 0.0 s (1 of 4)"]


# What is refused.


def change(site: Site, content: bytes) -> faulty.Fault:
    """Another file under the same address, from the second request on."""

    def fault(handler: faulty.Handler) -> bool:
        site.files["a.tar"] = content
        return False

    return faulty.limited(1, fault, after=1)


def dropping_once(site: Site, then: Callable[[], faulty.Fault]) -> Site:
    site.faults = [then(), faulty.limited(1, faulty.drops(lambda: MIB))]
    return site


@pytest.mark.parametrize("ranges", [True, False])
def test_a_file_that_changes_meanwhile(site: Site, ranges: bool) -> None:
    site.ranges = ranges
    dropping_once(site, lambda: change(site, CONTENT[::-1]))
    with pytest.raises(DownloadError, match=r'a.tar: the file has changed on the server: it is ".*", was ".*"'):
        read_all(site)


def test_a_file_that_changes_its_size(site: Site) -> None:
    dropping_once(site, lambda: change(site, CONTENT[:-1]))
    with pytest.raises(DownloadError, match="has changed on the server: 3,145,732 bytes, 3,145,733 before"):
        read_all(site)


def test_a_file_that_is_cut_below_what_was_read(site: Site) -> None:
    dropping_once(site, lambda: change(site, CONTENT[:1000]))
    with pytest.raises(DownloadError, match="has changed on the server: 1,000 bytes, 3,145,733 before"):
        read_all(site)


def test_a_file_that_changes_where_nothing_tells(site: Site) -> None:
    site.ranges = site.etags = False
    dropping_once(site, lambda: change(site, CONTENT[::-1]))
    with pytest.raises(DownloadError, match="has changed on the server: it begins with other bytes"):
        read_all(site)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (
            faulty.claims("bytes 7-{last}/{size}"),
            r"another part than asked for \(Content-Range: 'bytes 7-.*expected 0-",
        ),
        (faulty.claims("characters"), r"a part without its place \(Content-Range: 'characters'\)"),
        (faulty.claims("bytes {start}-{last}/{size}", 5), "a part of 3,145,733 bytes that announces 5"),
        (faulty.claims("bytes {start}-{last}/9"), "another part than asked for"),
        (faulty.answers(416), "the server has no bytes from 0 on"),
        (faulty.answers(416, Content_Range="bytes */9"), "the server refuses the bytes from 0 on, of 9"),
        (faulty.announces(1000), "the connection broke"),
        (faulty.drops(lambda: 0), "the connection broke"),
    ],
)
def test_a_server_that_lies_for_good(site: Site, fault: faulty.Fault, said: str) -> None:
    site.faults = [fault]
    with pytest.raises(DownloadError, match=f"gave up at byte .* after 5 failures in a row: {said}"):
        read_all(site)


def test_chunks_that_end_early(site: Site) -> None:
    def fault(handler: faulty.Handler) -> bool:
        site.chunked = True
        handler.begin(206, None, f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}")
        handler.send_body(b"")
        return True

    site.faults = [fault]
    with pytest.raises(DownloadError, match="gave up at byte 0 after 5 failures in a row: the answer ended early"):
        read_all(site)


def test_a_length_that_is_too_small_has_another_md5(site: Site) -> None:
    site.faults = [faulty.announces(-1000)]
    cut = md5(CONTENT[:-1000], usedforsecurity=False).hexdigest()
    said = f"md5 of its 3,144,733 bytes is {cut}, published is {SUM}; they are not the published file: try again"
    with pytest.raises(DownloadError, match=said):
        read_all(site, md5=SUM)


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_what_may_not_be_read_is_said_at_once(site: Site, status: int) -> None:
    site.faults = [faulty.answers(status)]
    with pytest.raises(DownloadError, match=f"a.tar: HTTP {status} .*; check the address, and that you may read it"):
        opened(site)
    assert len(site.requests) == 1


def test_a_circle_of_redirects(site: Site) -> None:
    site.faults = [faulty.answers(302, Location="/a.tar")]
    with pytest.raises(DownloadError, match=r"a.tar: Exceeded 30 redirects"):
        opened(site)


def test_a_certificate_that_is_not_trusted(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise requests.exceptions.SSLError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed")

    monkeypatch.setattr(requests.Session, "get", refuse)
    with pytest.raises(DownloadError, match=r"CERTIFICATE_VERIFY_FAILED.*; name yours in REQUESTS_CA_BUNDLE"):
        opened(site)


# Parts of it.


def test_versions_agree_unless_they_say_otherwise() -> None:
    said = Version(size=3, etag='"a"', modified="Monday")
    assert said.agrees_with(Version(size=3, etag='"a"', modified="Tuesday"))  # of another machine of the publisher
    assert said.agrees_with(Version(size=None))
    assert not said.agrees_with(Version(size=4, etag='"a"'))
    assert not said.agrees_with(Version(size=3, etag='"b"'))
    assert not said.agrees_with(Version(size=3, modified="Tuesday"))


def test_a_condition_is_a_strong_tag_or_a_date() -> None:
    assert Version(size=3, etag='"a"', modified="Monday").condition == '"a"'
    assert Version(size=3, etag='W/"a"', modified="Monday").condition is None
    assert Version(size=3, modified="Monday").condition == "Monday"


def test_waits_grow_to_a_limit() -> None:
    retry = RetryPolicy(first_wait_s=1, longest_wait_s=60)
    for failures, longest in ((1, 1), (2, 2), (5, 16), (7, 60), (10_000, 60)):
        waits = [retry.wait_s(failures) for _ in range(50)]
        assert longest / 2 <= min(waits) < max(waits) <= longest


def test_retry_after_may_be_a_date() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(minutes=5), usegmt=True)
    wait_s = parse_retry_after(date)
    assert wait_s is not None
    assert 200 < wait_s <= 300
    assert parse_retry_after("soon") is None
    assert parse_retry_after(None) is None


def test_the_first_error_of_a_thread_is_raised() -> None:
    def work(stopped: object) -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        run_threads(work, 3)
