"""One request for bytes of a file, and every way in which its answer can be wrong.

requests does the HTTP. What it lacks, and pooch and fsspec with it, is in this package: to continue a file after a
dropped connection, or after a killed process, and to notice that the file has changed in between.
"""

import random
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

import requests
from urllib3.exceptions import HTTPError, ReadTimeoutError

from bigearth_xr.errors import DownloadError, SelectionError

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse


_PASSING = (408, 425, 429, 500, 502, 503, 504)
"""Statuses that may be gone at the next request."""

_FINAL = (
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
    requests.exceptions.TooManyRedirects,
)


class ChangedError(DownloadError):
    """The server offers another file than before."""


class NoRangesError(DownloadError):
    """The server answers with the whole file where a part was asked for."""


class RefusedError(DownloadError):
    """The server has no such file, or does not give it."""


class TransientError(Exception):
    """Something that may be gone when it is tried again."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """Which bytes a server offers, as far as it says."""

    size: int | None
    """Bytes of the whole file."""

    etag: str | None = None
    """Entity tag, which differs between versions."""

    modified: str | None = None
    """Date of the last change, where there is no tag."""

    def agrees_with(self, other: "Version") -> bool:
        """Whether both can be the same bytes; what one of them does not say is not held against it."""
        if None not in (self.size, other.size) and self.size != other.size:
            return False
        if self.etag and other.etag:
            return self.etag == other.etag
        return not (self.modified and other.modified) or self.modified == other.modified

    @property
    def condition(self) -> str | None:
        """Value of ``If-Range``, which may hold a date only where there is no tag, and no weak tag."""
        if self.etag:
            return None if self.etag.startswith("W/") else self.etag
        return self.modified


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server sends for one request."""

    version: Version
    """Which file it is of."""

    start: int
    """Position of the first byte in the file."""

    stop: int | None
    """Position behind the last byte; None if the server does not say."""

    response: requests.Response
    """Its head, and the connection that the rest comes from."""

    def read(self, most: int) -> bytes:
        """Wait for some bytes, at most `most`; none at the end."""
        raw: BaseHTTPResponse = self.response.raw
        try:
            # As they arrive: `read` would wait for all of them, and lose what came before a fault. And as they are: a
            # server that labels a .tar.gz "Content-Encoding: gzip" still sends the file.
            return raw.read1(most, decode_content=False) or b""
        except ReadTimeoutError:
            raise TransientError("nothing came for too long") from None
        except (HTTPError, OSError) as error:
            raise TransientError(f"the connection broke ({_innermost(error)})") from None

    def close(self) -> None:
        """Leave the connection."""
        self.response.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When to give up."""

    retries: int = 8
    """Failures in a row, with less than a mebibyte between them, after which the next one is final."""

    first_wait_s: float = 1.0
    """Wait after the first failure; each further one doubles it, and each is cut short at random by up to a half."""

    longest_wait_s: float = 60.0
    """Where the doubling ends."""

    longest_retry_after_s: float = 900.0
    """A server that asks (``Retry-After``) for more than this is given up."""

    timeout_s: float = 60.0
    """A connection that brings nothing for this long, or less than 1 KiB a second, is dropped and made anew."""

    def __post_init__(self) -> None:
        if self.retries < 0:
            raise SelectionError(f"retries is {self.retries}, expected 0 or more")

    def wait_s(self, failures: int) -> float:
        """Time to wait after N failures in a row; at random, so that all who were dropped do not return at once.

        Examples
        --------
        >>> 2.0 <= RetryPolicy().wait_s(3) <= 4.0
        True
        """
        doublings = min(failures - 1, 30)
        return min(self.first_wait_s * 2.0**doublings, self.longest_wait_s) * random.uniform(0.5, 1.0)


def ask(
    session: requests.Session, address: str, start: int, stop: int | None, version: Version | None, retry: RetryPolicy
) -> Answer:
    """Ask for the bytes from `start` to before `stop`, or to the end, of a version of a file.

    Raises
    ------
    TransientError
        If another request may do.
    ChangedError
        If the file is not that version any more.
    RefusedError
        If the server does not give it.
    DownloadError
        If no request will do.
    """
    headers = {"Accept-Encoding": "identity", "Range": f"bytes={start}-{'' if stop is None else stop - 1}"}
    if version is not None and version.condition is not None:
        headers["If-Range"] = version.condition
    try:
        response = session.get(address, headers=headers, stream=True, timeout=retry.timeout_s)
    except _FINAL as error:
        raise DownloadError(f"{address}: {error}") from None
    except requests.RequestException as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise DownloadError(f"{address}: {_innermost(error)}; name yours in REQUESTS_CA_BUNDLE") from None
        raise TransientError(f"no connection ({_innermost(error)})") from None
    try:
        answer = _understand(response, address, start, stop)
        if version is not None and not version.agrees_with(answer.version):
            raise ChangedError(f"{address}: the file has changed on the server: {_difference(version, answer.version)}")
        if answer.start == answer.stop != answer.version.size:
            raise TransientError(f"the server refuses the bytes from {start:,} on, of {answer.version.size:,}")
    except BaseException:
        response.close()
        raise
    return answer


def parse_retry_after(retry_after: str | None) -> float | None:
    """Read a ``Retry-After`` header: seconds, or a date.

    Returns
    -------
    float or None
        Seconds from now, not negative; None if there is no header, or it cannot be read.

    Examples
    --------
    >>> parse_retry_after("120")
    120.0
    >>> parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT")
    0.0
    """
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        date = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max((date - datetime.now(UTC)).total_seconds(), 0.0)


def _understand(response: requests.Response, address: str, start: int, stop: int | None) -> Answer:
    """Read the head of a response."""
    if response.status_code == HTTPStatus.PARTIAL_CONTENT:
        return _understand_part(response, start, stop)
    if response.status_code == HTTPStatus.OK:
        size = _length(response)
        return Answer(version=_version(response, size), start=0, stop=size, response=response)
    if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        said = re.fullmatch(r"bytes \*/(\d+)", response.headers.get("Content-Range", ""))
        if said is None:
            raise TransientError(f"the server has no bytes from {start:,} on")
        # No bytes of the file; what comes is a page that says so.
        return Answer(version=Version(size=int(said[1])), start=start, stop=start, response=response)
    status = f"HTTP {response.status_code} {response.reason}"
    if response.status_code in _PASSING:
        raise TransientError(status, parse_retry_after(response.headers.get("Retry-After")))
    raise RefusedError(f"{address}: {status}; check the address, and that you may read it")


def _understand_part(response: requests.Response, start: int, stop: int | None) -> Answer:
    """Read the head of an answer to a range."""
    said = response.headers.get("Content-Range", "")
    parsed = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", said)
    if parsed is None:
        raise TransientError(f"a part without its place (Content-Range: {said!r})")
    first, behind = int(parsed[1]), int(parsed[2]) + 1
    size = None if parsed[3] == "*" else int(parsed[3])
    limit = behind if stop is None else stop
    # Fewer bytes than asked for are allowed.
    if first != start or not start < behind <= limit or (size is not None and behind > size):
        asked = f"{start}-{'' if stop is None else stop - 1}"
        raise TransientError(f"another part than asked for (Content-Range: {said!r}, expected {asked})")
    length = _length(response)
    if length is not None and length != behind - first:
        raise TransientError(f"a part of {behind - first:,} bytes that announces {length:,} (Content-Range: {said!r})")
    return Answer(version=_version(response, size), start=first, stop=behind, response=response)


def _version(response: requests.Response, size: int | None) -> Version:
    """Name the version that a response is of."""
    return Version(size=size, etag=response.headers.get("ETag"), modified=response.headers.get("Last-Modified"))


def _length(response: requests.Response) -> int | None:
    """Bytes that a response announces."""
    said = response.headers.get("Content-Length", "")
    return int(said) if said.isdecimal() else None


def _difference(old: Version, new: Version) -> str:
    """Say how two versions differ."""
    if old.size != new.size and new.size is not None:
        return f"{new.size:,} bytes, {old.size:,} before" if old.size is not None else f"{new.size:,} bytes"
    return f"it is {new.etag or new.modified}, was {old.etag or old.modified}"


def _innermost(error: BaseException) -> str:
    """Say what lies below the wrappings of requests and urllib3."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return str(error) or type(error).__name__
