"""The bytes of a tar by their place in it: of a file in any order, of a stream forwards."""

import sys
from typing import Protocol

from bigearth_xr.archive.tar_file import TarFile
from bigearth_xr.archive.tar_header import BLOCK
from bigearth_xr.archive.template import Data
from bigearth_xr.errors import ArchiveError, DamagedError

__all__ = ["FileTape", "StreamTape", "Tape", "TapeStream"]

_AHEAD = 3 * BLOCK
"""Read at once, at little more than one block costs: a long name, its header and that of its file."""

_STREAM_BLOCK = 2**22


class TapeStream(Protocol):
    """Anything that is read like a binary file, from front to back."""

    def read(self, size: int, /) -> bytes | memoryview | None:
        """Give up to `size` bytes, fewer where that is easier; none at the end."""
        ...


class Tape(Protocol):
    """Bytes of a tar."""

    @property
    def end(self) -> int:
        """Bytes in all; as many as there can be until that is known."""
        ...

    @property
    def fault(self) -> str | None:
        """Why it ended early, where that is known."""
        ...

    @property
    def is_damaged(self) -> bool:
        """Whether what came before its end is not certain either."""
        ...

    def read(self, at: int, size: int) -> Data:
        """Give `size` bytes from byte `at` on, fewer only at the end."""
        ...


class FileTape:
    """A tar on disk, of which only what is asked for is read."""

    def __init__(self, file: TarFile) -> None:
        self.end = file.size
        self.fault = None
        self.is_damaged = False
        self._file = file
        self._start = 0
        self._window = b""

    def read(self, at: int, size: int) -> Data:
        """Give `size` bytes from byte `at` on."""
        offset = at - self._start
        if not 0 <= offset <= len(self._window) - size:
            # Not mapped into memory: a file that shrinks meanwhile would end the process.
            self._window, self._start, offset = self._file.read(max(size, _AHEAD), at), at, 0
        return self._window[offset : offset + size]


class StreamTape:
    """A tar that is read once, in big blocks; what lies within one of them is not copied."""

    def __init__(self, stream: TapeStream) -> None:
        self.end = sys.maxsize
        self.fault: str | None = None
        self.is_damaged = False
        self._stream = stream
        self._start = 0
        self._block = memoryview(b"")

    def read(self, at: int, size: int) -> memoryview:
        """Give `size` bytes from byte `at` on, which is never before the end of what was given."""
        offset = at - self._start
        if offset + size <= len(self._block):
            return self._block[offset : offset + size]
        parts = [bytes(self._block[offset:])]
        missing = size - len(parts[0])
        # Where much is passed over, whole blocks are.
        skipped = max(0, offset - len(self._block))
        while missing > 0 and self._next():
            part = self._block[skipped : skipped + missing]
            skipped = max(0, skipped - len(self._block))
            missing -= len(part)
            parts.append(bytes(part))
        return memoryview(b"".join(parts))

    def _next(self) -> bool:
        """Go on to the next block, if there is one."""
        self._start += len(self._block)
        try:
            self._block = memoryview(self._stream.read(_STREAM_BLOCK) or b"")
        except ArchiveError as error:
            self._block, self.fault = memoryview(b""), str(error)
            self.is_damaged = isinstance(error, DamagedError)
        if not self._block:
            self.end = self._start
        return self.end == sys.maxsize
