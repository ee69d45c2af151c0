"""A file on a server, read like an open file while it comes."""

import io
from typing import TYPE_CHECKING

from bigearth_xr.download.patience import Patience
from bigearth_xr.download.reader import CHUNK_BYTES, Notice, RangeReader
from bigearth_xr.errors import DownloadError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["UrlStream", "open_url"]


def _say_nothing(line: str) -> None:
    """Take a line that nobody reads."""


def open_url(
    address: str, *, md5: str | None = None, patience: Patience | None = None, notice: Notice = _say_nothing
) -> "UrlStream":
    """Open a file on a server as a stream of bytes, which dropped connections do not end.

    Parameters
    ----------
    address
        Its ``http`` or ``https`` address. Proxies, certificates and passwords are taken from where requests takes
        them: the environment and ``.netrc``.
    md5
        Checksum that the file must have, hexadecimal; without one, only its length is checked.
    patience
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
    stream = UrlStream(RangeReader(address, patience=patience or Patience(), notice=notice), md5)
    try:
        stream.connect()
    except BaseException:
        stream.close()
        raise
    return stream


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
