"""A file on a server, read like an open file while it comes."""

import hashlib
import io
import time
from collections.abc import Callable
from threading import Event
from typing import TYPE_CHECKING

import requests

from bigearth_xr.download.connection import (
    Answer,
    ChangedError,
    NoRangesError,
    RetryPolicy,
    TransientError,
    Version,
    ask,
)
from bigearth_xr.errors import DownloadError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


Notice = Callable[[str], object]
"""Takes a line for those who wait."""

CHUNK_BYTES = 256 * 1024
"""Read at once, at most: more than this the kernel seldom has ready."""

_FRESH_START_BYTES = 1024 * 1024
"""Bytes after which the failure of a connection does not count as one in a row."""

_SLOWEST_BYTES_S = 1024
"""A connection that is slower is as good as dead."""


def _say_nothing(line: str) -> None:
    """Drop a line."""


def open_url(
    address: str, *, md5: str | None = None, retry: RetryPolicy | None = None, notice: Notice = _say_nothing
) -> "UrlStream":
    """Open a file on a server as a stream of bytes, which dropped connections do not end.

    Parameters
    ----------
    address
        Its ``http`` or ``https`` address. Proxies, certificates and passwords are taken from where requests takes
        them: the environment and ``.netrc``.
    md5
        Checksum that the file must have, hexadecimal; without one, only its length is checked.
    retry
        How often and how long to try again.
    notice
        Called with a line for each fault that was survived.

    Returns
    -------
    UrlStream
        At the first byte.

    Raises
    ------
    DownloadError
        Here or while reading, if the file is not there, changes while it is read, ends early for good, or has another
        checksum.

    Examples
    --------
    >>> from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
    >>> from threading import Thread
    >>> class Quiet(SimpleHTTPRequestHandler):
    ...     log_message = lambda *_: None
    >>> server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *request: Quiet(*request, directory=folder))
    >>> folder = getfixture("tmp_path")
    >>> _ = (folder / "hello.txt").write_text("hello")
    >>> Thread(target=server.serve_forever, daemon=True).start()
    >>> with open_url(f"http://127.0.0.1:{server.server_port}/hello.txt") as stream:
    ...     print(stream.size, stream.read(), stream.md5())
    5 b'hello' 5d41402abc4b2a76b9719d911017c592
    >>> server.shutdown()
    >>> server.server_close()
    """
    stream = UrlStream(RangeReader(address, retry=retry or RetryPolicy(), notice=notice), md5)
    try:
        stream.connect()
    except BaseException:
        stream.close()
        raise
    return stream


class RangeReader:
    """Bytes ``start`` to before ``stop`` of one version of a file.

    Without `stop` it reads to the end, wherever that is, hashes what it reads, and starts over where a server gives no
    ranges: it skips what it has had, and refuses the file if that is not the same as before.
    """

    def __init__(
        self,
        address: str,
        start: int = 0,
        stop: int | None = None,
        *,
        version: Version | None = None,
        retry: RetryPolicy,
        notice: Notice,
        stopped: Event | None = None,
    ) -> None:
        self.address = address
        self.position = start
        self.version = version
        self.md5 = hashlib.md5(usedforsecurity=False) if stop is None else None
        self._stop = stop
        self._retry = retry
        self._notice = notice
        self._stopped = stopped or Event()
        self._session = requests.Session()
        self._answer: Answer | None = None
        self._failures = 0
        self._failed_at = start
        self._waited_s = 0.0
        self._brought = 0

    def connect(self) -> Version:
        """Get a first answer, unless there is one; what the server says of the file."""
        while self._answer is None:
            try:
                self._connect()
            except TransientError as error:
                self._recover(error)
        if self.version is None:
            raise AssertionError("connected, so known")
        return self.version

    def read(self, most: int = CHUNK_BYTES) -> bytes:
        """Wait for some bytes; none at the end."""
        while self._stop is None or self.position < self._stop:
            try:
                if self._answer is None:
                    self._connect()
                    continue
                data = self._pace(self._answer, most if self._stop is None else min(most, self._stop - self.position))
            except TransientError as error:
                self._recover(error)
                continue
            if data:
                self.position += len(data)
                if self.md5 is not None:
                    self.md5.update(data)
                return data
            try:
                self._finish_answer(self._answer)
            except TransientError as error:
                self._recover(error)
        self.close()
        return b""

    def close(self) -> None:
        """Leave the connection."""
        self._drop()
        self._session.close()

    def _connect(self) -> None:
        """Open a connection at the position."""
        answer = ask(self._session, self.address, self.position, self._stop, self.version, self._retry)
        self._answer = answer
        self._waited_s, self._brought = 0.0, 0
        if self.version is None:
            self.version = answer.version
        if self._stop is None:
            self._stop = answer.version.size
        if answer.start < self.position or (answer.stop or 0) > (self._stop or answer.stop or 0):
            self._skip(answer)

    def _skip(self, answer: Answer) -> None:
        """Read again what was read before, of a server that gives no ranges."""
        if self.md5 is None:
            raise NoRangesError(f"{self.address}: the server gives no ranges")
        again = hashlib.md5(usedforsecurity=False)
        left = self.position - answer.start
        while left:
            if self._stopped.is_set():
                raise DownloadError(f"{self.address}: stopped")
            data = self._pace(answer, min(left, CHUNK_BYTES))
            if not data:
                raise TransientError("the file ended where it went on before")
            again.update(data)
            left -= len(data)
        if again.digest() != self.md5.digest():
            raise ChangedError(f"{self.address}: the file has changed on the server: it begins with other bytes")

    def _pace(self, answer: Answer, most: int) -> bytes:
        """Read, unless that has become a trickle. The time that the caller takes in between is not counted."""
        began = time.monotonic()
        data = answer.read(most)
        self._waited_s += time.monotonic() - began
        self._brought += len(data)
        if self._waited_s >= self._retry.timeout_s:
            if self._brought < _SLOWEST_BYTES_S * self._waited_s:
                raise TransientError(f"only {self._brought:,} bytes came in {self._waited_s:.1f} s")
            self._waited_s, self._brought = 0.0, 0
        return data

    def _finish_answer(self, answer: Answer) -> None:
        """Note the end of the file, where no answer announced it; else only of what one answer had to give."""
        if self._stop is None:
            self._stop = self.position
        if self.position < (answer.stop or self._stop):
            raise TransientError("the answer ended early")
        self._drop()

    def _recover(self, error: TransientError) -> None:
        """Wait before the next connection, or give up."""
        self._drop()
        if self.position - self._failed_at >= _FRESH_START_BYTES:
            self._failures = 0
        self._failures += 1
        self._failed_at = self.position
        if self._failures > self._retry.retries:
            raise DownloadError(
                f"{self.address}: gave up at byte {self.position:,} after {self._failures} failures in a row: {error}"
            )
        wait_s = self._retry.wait_s(self._failures)
        if error.retry_after_s is not None:
            if error.retry_after_s > self._retry.longest_retry_after_s:
                asked = f"the server asks to be left alone for {error.retry_after_s:,.0f} s"
                raise DownloadError(f"{self.address}: {error}: {asked}; try then")
            wait_s = max(wait_s, error.retry_after_s)
        attempt = f"{self._failures} of {self._retry.retries}"
        self._notice(f"{self.address}: {error} at byte {self.position:,}; again in {wait_s:.1f} s ({attempt})")
        if self._stopped.wait(wait_s):
            raise DownloadError(f"{self.address}: stopped")

    def _drop(self) -> None:
        """Leave the answer, whatever is still to come of it."""
        if self._answer is not None:
            self._answer.close()
            self._answer = None


class UrlStream(io.RawIOBase):
    """The bytes of a file on a server, in order, once."""

    def __init__(self, reader: RangeReader, md5: str | None) -> None:
        super().__init__()
        self._reader = reader
        self._expected = md5
        self._size: int | None = None

    def connect(self) -> None:
        """Ask for the file, and learn its size."""
        self._size = self._reader.connect().size

    @property
    def address(self) -> str:
        """Where the file is."""
        return self._reader.address

    @property
    def size(self) -> int | None:
        """Bytes of the file; None if the server does not say."""
        return self._size

    @property
    def position(self) -> int:
        """Bytes read so far."""
        return self._reader.position

    def md5(self) -> str:
        """Checksum of what was read so far, hexadecimal."""
        if self._reader.md5 is None:
            raise AssertionError("a reader of a whole file hashes")
        return self._reader.md5.hexdigest()

    def readable(self) -> bool:
        """Say that this can be read from."""
        return True

    def tell(self) -> int:
        """Say how many bytes were read."""
        return self.position

    def read(self, size: int | None = -1, /) -> bytes:
        """Read what has come, at most `size` bytes, or everything; empty only at the end."""
        if size is None or size < 0:
            return self.readall()
        self._check_open()
        return self._read(min(size, CHUNK_BYTES)) if size else b""

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Read what has come into a buffer; 0 only at the end."""
        self._check_open()
        target = memoryview(buffer).cast("B")
        data = self._read(min(len(target), CHUNK_BYTES)) if len(target) else b""
        target[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Leave the connection."""
        if not self.closed:
            self._reader.close()
        super().close()

    def _read(self, most: int) -> bytes:
        """Read, and check the sum where the file ends."""
        data = self._reader.read(most)
        if not data and self._expected is not None and self.md5() != self._expected.lower():
            raise DownloadError(
                f"{self.address}: md5 of its {self.position:,} bytes is {self.md5()}, published is {self._expected}; "
                "they are not the published file: try again, or another address"
            )
        return data

    def _check_open(self) -> None:
        """Refuse to read after the end of a ``with``."""
        if self.closed:
            raise ValueError(f"{self.address}: the stream was closed")
