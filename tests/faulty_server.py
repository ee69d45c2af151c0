"""An HTTP server on loopback that serves files from memory, and misbehaves as told."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

Fault = Callable[["Handler"], bool]
"""Answers a request in the wrong way, and says so; or leaves it to the server."""


@dataclass
class Site:
    """What is served, how, and what was asked for."""

    files: dict[str, bytes] = field(repr=False)
    faults: list[Fault] = field(default_factory=list)
    """Tried in turn at each request."""
    ranges: bool = True
    etags: bool = True
    chunked: bool = False
    """No Content-Length: the end is where the chunks end."""
    headers: dict[str, str] = field(default_factory=dict)
    pause_s: float = 0.0
    """Between 64 KiB and the next."""
    address: str = ""
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and range of each request."""
    served: Counter[str] = field(default_factory=Counter)
    """Bytes of bodies sent, by path."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, name: str) -> str:
        """Address of a file."""
        return f"{self.address}/{name}"


class Handler(BaseHTTPRequestHandler):
    """Answers GET, with ranges, as the site says."""

    protocol_version = "HTTP/1.1"
    if TYPE_CHECKING:
        server: "Server"
        headers: Message

    @property
    def site(self) -> Site:
        return self.server.site

    @property
    def content(self) -> bytes:
        return self.site.files[self.path.lstrip("/")]

    @property
    def etag(self) -> str:
        return f'"{md5(self.content, usedforsecurity=False).hexdigest()}"'

    def do_GET(self) -> None:
        with self.site.lock:
            self.site.requests.append((self.path, self.headers["Range"]))
        if any(fault(self) for fault in self.site.faults):
            return
        if self.path.lstrip("/") not in self.site.files:
            self.send_error(404)
            return
        asked = self.asked_range()
        if asked is None:
            self.begin(200, len(self.content))
            self.send_body(self.content)
            return
        start, stop = asked
        if start >= len(self.content):
            self.begin(416, 0, f"bytes */{len(self.content)}")
            return
        self.begin(206, stop - start, f"bytes {start}-{stop - 1}/{len(self.content)}")
        self.send_body(self.content[start:stop])

    def asked_range(self) -> tuple[int, int] | None:
        """First byte and the one behind the last; None for all of them."""
        asked = self.headers["Range"]
        condition = self.headers["If-Range"]
        if (
            asked is None
            or not self.site.ranges
            or condition not in (None, self.etag, self.site.headers.get("Last-Modified"))
        ):
            return None
        start, _, last = asked.removeprefix("bytes=").partition("-")
        return int(start), min(int(last or len(self.content)) + 1, len(self.content))

    def begin(self, status: int, length: int | None, content_range: str | None = None) -> None:
        """Send the head of an answer."""
        self.send_response(status)
        if self.site.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif length is not None:
            self.send_header("Content-Length", str(length))
        if content_range is not None:
            self.send_header("Content-Range", content_range)
        if self.site.etags:
            self.send_header("ETag", self.etag)
        for name, value in self.site.headers.items():
            self.send_header(name, value)
        self.end_headers()

    def send_body(self, body: bytes) -> None:
        """Send a body, in pieces, each counted before the client can have it."""
        for at in range(0, len(body), 65536):
            piece = body[at : at + 65536]
            with self.site.lock:
                self.site.served[self.path.lstrip("/")] += len(piece)
            if self.site.chunked:
                self.wfile.write(b"%x\r\n" % len(piece))
            self.wfile.write(piece)
            if self.site.chunked:
                self.wfile.write(b"\r\n")
            if self.site.pause_s:
                time.sleep(self.site.pause_s)
        if self.site.chunked:
            self.wfile.write(b"0\r\n\r\n")

    def hang_up(self) -> None:
        """End the connection after this answer."""
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Keep the terminal clean."""


class Server(ThreadingHTTPServer):
    """Many connections at a time, none of which outlives the test."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, site: Site) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.site = site
        site.address = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that leave in the middle are what is tested."""


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[Site]:
    """Serve files until the end of the block."""
    site = Site(files)
    with Server(site) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield site
        server.shutdown()
        thread.join()


# Faults. Each is at work for the first `times` requests that it applies to.


def limited(times: int, fault: Fault, *, after: int = 0) -> Fault:
    """Let a fault happen so many times, after so many requests without."""
    left, lock, spared = [times], threading.Lock(), [after]

    def some(handler: Handler) -> bool:
        with lock:
            if spared[0]:
                spared[0] -= 1
                return False
            if not left[0]:
                return False
            left[0] -= 1
        return fault(handler)

    return some


def drops(at: Callable[[], int]) -> Fault:
    """Announce all of what was asked for, send some of it and hang up."""

    def fault(handler: Handler) -> bool:
        asked = handler.asked_range()
        start, stop = asked or (0, len(handler.content))
        where = f"bytes {start}-{stop - 1}/{len(handler.content)}" if asked else None
        handler.begin(206 if asked else 200, stop - start, where)
        handler.send_body(handler.content[start : min(start + at(), stop - 1)])
        handler.hang_up()
        return True

    return fault


def answers(status: int, **headers: str) -> Fault:
    """Refuse, with a status."""

    def fault(handler: Handler) -> bool:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return True

    return fault


def claims(content_range: str, length: int | None = None) -> Fault:
    """Answer a range with another Content-Range, or another length, than is right."""

    def fault(handler: Handler) -> bool:
        asked = handler.asked_range()
        if asked is None:
            return False
        start, stop = asked
        said = content_range.format(start=start, last=stop - 1, size=len(handler.content))
        handler.begin(206, stop - start if length is None else length, said)
        handler.send_body(handler.content[start:stop])
        handler.hang_up()
        return True

    return fault


def announces(extra: int) -> Fault:
    """Send the whole file under a Content-Length that is too large, or too small."""

    def fault(handler: Handler) -> bool:
        handler.begin(200, len(handler.content) + extra)
        handler.send_body(handler.content)
        handler.hang_up()
        return True

    return fault


def trickles(pause_s: float) -> Fault:
    """Send a byte now and then."""

    def fault(handler: Handler) -> bool:
        asked = handler.asked_range()
        start, stop = asked or (0, len(handler.content))
        where = f"bytes {start}-{stop - 1}/{len(handler.content)}" if asked else None
        handler.begin(206 if asked else 200, stop - start, where)
        for at in range(start, min(start + 200, stop)):
            handler.send_body(handler.content[at : at + 1])
            time.sleep(pause_s)
        handler.hang_up()
        return True

    return fault


def redirects(handler: Handler) -> bool:
    """Send clients on, as Zenodo does."""
    if not handler.path.startswith("/old/"):
        return False
    return answers(302, Location=handler.path.removeprefix("/old"))(handler)
