"""Bytes of a file, in order, through as many connections as it takes."""

import hashlib
import time
from collections.abc import Callable
from threading import Event

import requests

from bigearth_xr.download.connection import Answer, ChangedError, HiccupError, NoRangesError, Version, ask
from bigearth_xr.download.patience import Patience
from bigearth_xr.errors import DownloadError

__all__ = ["CHUNK_BYTES", "Notice", "RangeReader"]

Notice = Callable[[str], object]
"""Takes a line for whoever waits."""

CHUNK_BYTES = 256 * 1024
"""Read at once, at most: more than this the kernel seldom has ready."""

_FRESH_START_BYTES = 1024 * 1024
"""A connection that brought so much is no failure in a row."""

_SLOWEST_BYTES_S = 1024
"""A connection that is slower is as good as dead."""


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
        patience: Patience,
        notice: Notice,
        stopped: Event | None = None,
    ) -> None:
        self.address = address
        self.position = start
        self.version = version
        self.md5 = hashlib.md5(usedforsecurity=False) if stop is None else None
        self._stop = stop
        self._patience = patience
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
            except HiccupError as hiccup:
                self._recover(hiccup)
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
            except HiccupError as hiccup:
                self._recover(hiccup)
                continue
            if data:
                self.position += len(data)
                if self.md5 is not None:
                    self.md5.update(data)
                return data
            try:
                self._finish_answer(self._answer)
            except HiccupError as hiccup:
                self._recover(hiccup)
        self.close()
        return b""

    def close(self) -> None:
        """Leave the connection."""
        self._drop()
        self._session.close()

    def _connect(self) -> None:
        """Open a connection at the position."""
        answer = ask(self._session, self.address, self.position, self._stop, self.version, self._patience)
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
                raise HiccupError("the file ended where it went on before")
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
        if self._waited_s >= self._patience.timeout_s:
            if self._brought < _SLOWEST_BYTES_S * self._waited_s:
                raise HiccupError(f"only {self._brought:,} bytes came in {self._waited_s:.1f} s")
            self._waited_s, self._brought = 0.0, 0
        return data

    def _finish_answer(self, answer: Answer) -> None:
        """Note the end of the file, where nobody announced it; else only of what one answer had to give."""
        if self._stop is None:
            self._stop = self.position
        if self.position < (answer.stop or self._stop):
            raise HiccupError("the answer ended early")
        self._drop()

    def _recover(self, hiccup: HiccupError) -> None:
        """Wait before the next connection, or give up."""
        self._drop()
        if self.position - self._failed_at >= _FRESH_START_BYTES:
            self._failures = 0
        self._failures += 1
        self._failed_at = self.position
        if self._failures > self._patience.retries:
            raise DownloadError(
                f"{self.address}: gave up at byte {self.position:,} after {self._failures} failures in a row: {hiccup}"
            )
        wait_s = self._patience.wait_s(self._failures)
        if hiccup.asked_s is not None:
            if hiccup.asked_s > self._patience.longest_asked_s:
                raise DownloadError(
                    f"{self.address}: {hiccup}: the server asks to be left alone for {hiccup.asked_s:,.0f} s; try then"
                )
            wait_s = max(wait_s, hiccup.asked_s)
        attempt = f"{self._failures} of {self._patience.retries}"
        self._notice(f"{self.address}: {hiccup} at byte {self.position:,}; again in {wait_s:.1f} s ({attempt})")
        if self._stopped.wait(wait_s):
            raise DownloadError(f"{self.address}: stopped")

    def _drop(self) -> None:
        """Leave the answer, whatever is still to come of it."""
        if self._answer is not None:
            self._answer.close()
            self._answer = None
