"""A stream of bytes whatever it is compressed with, and a thread that reads ahead of it.

A stream that ends too early, or is damaged, gives all that comes before, then an `ArchiveError`. A compressed bomb does
no harm: never more is decompressed than is asked for.
"""

import os
import stat
import struct
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from queue import Empty, Queue
from tempfile import TemporaryFile
from threading import Event, Thread
from types import TracebackType
from typing import IO, Literal, Protocol, TypeAlias

from bigearth_xr.archive.source import Refusal
from bigearth_xr.archive.tar import Member
from bigearth_xr.errors import ArchiveError, ArchiveNotFoundError, DamagedError

__all__ = ["Pipe"]

_Compression: TypeAlias = Literal["gzip", "zstd", "bzip2", "xz"]

_MAGIC_BYTES = 6
"""As many as tell how a file is compressed."""

_MAGICS: dict[bytes, _Compression] = {
    b"\x1f\x8b\x08": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
}

# Frames that mean nothing to a decompressor; pzstd begins with one.
_SKIPPABLE = bytes(range(0x50, 0x60))

# The fastest by measurement: smaller ones cost calls, larger ones the processor's cache.
_COMPRESSED_BLOCK = 2**18

_BLOCK = 2**21

_XZ_MEMORY = 2**28

STANDARD_INPUT = "-"

_SIZES = struct.Struct("<II")


class ByteSource(Protocol):
    """What bytes come from: a file, a response of a server."""

    def read(self, size: int, /) -> bytes | None:
        """Give up to `size` bytes; none at the end."""
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...


def compression_of(start: bytes) -> _Compression | None:
    """Tell by its first bytes how a file is compressed; None if it is not."""
    if start[:1] in _SKIPPABLE and start[1:4] == b"\x2a\x4d\x18":
        return "zstd"
    return next((name for magic, name in _MAGICS.items() if start.startswith(magic)), None)


def open_bytes(
    source: str | os.PathLike[str] | ByteSource, *, name: str | None = None, size: int | None = None
) -> "ByteStream":
    """Open a file or stream and decompress it as its first bytes say: gzip, zstd, bzip2, xz, or not at all."""
    if not isinstance(source, str | os.PathLike):
        return ByteStream(source, name=name or "the stream", size=size)
    path = Path(source)
    if not path.exists():
        raise ArchiveNotFoundError(f"there is no archive at {path}; check the path")
    # Closed with the stream.
    file = open(path, "rb", buffering=0)  # noqa: SIM115
    return ByteStream(file, name=name or str(path), size=os.fstat(file.fileno()).st_size)


class _Decompressor(Protocol):
    """How the modules of the standard library decompress, and others like them."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class ByteStream(AbstractContextManager["ByteStream"]):
    """Bytes in one pass, decompressed as they are asked for."""

    def __init__(self, source: ByteSource, *, name: str, size: int | None) -> None:
        self.name = name
        self.size = size
        """Bytes in all, compressed; None if not known."""
        self.position = 0
        """Bytes taken from the source, compressed."""
        self._source = source
        self._taken = b""
        while len(self._taken) < _MAGIC_BYTES and (more := self._take(_MAGIC_BYTES)):
            self._taken += more
        self.compression = compression_of(self._taken)
        self._decompressor = _decompressor(self.compression) if self.compression else None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self, size: int, /) -> bytes:
        """Give up to `size` bytes, fewer where that is easier; none at the end.

        Raises
        ------
        ArchiveError
            If the compressed data are damaged, or end early.
        """
        if self.compression is None:
            data, self._taken = self._taken[:size], self._taken[size:]
            return data or self._take(size)
        while self._decompressor is not None:
            if self._decompressor.eof:
                self._begin_next(self.compression, self._decompressor.unused_data)
            elif data := self._decompress(self._decompressor, size):
                return data
        return b""

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def _take(self, size: int) -> bytes:
        """Read compressed bytes."""
        data = self._source.read(size) or b""
        self.position += len(data)
        return data

    def _decompress(self, decompressor: _Decompressor, size: int) -> bytes:
        """Go on with what the decompressor holds, or with more."""
        more = b""
        if decompressor.needs_input:
            more, self._taken = self._taken or self._take(_COMPRESSED_BLOCK), b""
            if not more:
                raise ArchiveError(
                    f"{self.name} ends at byte {self.position:,}, in the middle of its {self.compression} data; "
                    "download or copy it again"
                )
        try:
            return decompressor.decompress(more, size)
        # Each library has errors of its own.
        except Exception as error:
            raise DamagedError(
                f"{self.name} is damaged: its {self.compression} data do not decompress, or have another checksum, in "
                f"the {_COMPRESSED_BLOCK:,} bytes before byte {self.position:,} ({error}); download or copy it again"
            ) from error

    def _begin_next(self, compression: _Compression, rest: bytes) -> None:
        """Go on behind the end of compressed data: with more of them, as parallel compressors write, or not at all."""
        while not (rest := rest.lstrip(b"\0")) and (rest := self._take(_COMPRESSED_BLOCK)):
            pass
        self._taken = rest
        self._decompressor = _decompressor(compression) if rest else None


class ReadAhead(AbstractContextManager["ReadAhead"]):
    """A stream that another thread reads, a few blocks of 2 MiB ahead.

    No one else may read the stream from then on; it is closed with this.
    """

    def __init__(self, stream: ByteStream, *, blocks: int = 3) -> None:
        self._stream = stream
        self._queue: Queue[bytes | BaseException] = Queue(maxsize=blocks)
        self._rest = memoryview(b"")
        self._end: bytes | BaseException | None = None
        self._is_closed = Event()
        self._thread = Thread(target=self._read_on, name=f"read ahead of {stream.name}", daemon=True)
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def position(self) -> int:
        """Bytes taken from the source, compressed; a few blocks further than what was given."""
        return self._stream.position

    @property
    def size(self) -> int | None:
        """Bytes in all, compressed; None if not known."""
        return self._stream.size

    def read(self, size: int, /) -> bytes | memoryview:
        """Give up to `size` bytes, none at the end; what goes wrong in the thread is raised here."""
        if not self._rest:
            block = self._queue.get() if self._end is None else self._end
            if isinstance(block, BaseException) or not block:
                self._end = block
            if isinstance(block, BaseException):
                raise block
            self._rest = memoryview(block)
        given, self._rest = self._rest[:size], self._rest[size:]
        return given

    def close(self) -> None:
        """Stop reading, wait for the thread, and close the stream."""
        self._is_closed.set()
        while self._thread.is_alive():
            # It may wait for room in the queue.
            with suppress(Empty):
                self._queue.get(timeout=0.01)
        self._stream.close()

    def _read_on(self) -> None:
        try:
            while not self._is_closed.is_set():
                block = self._stream.read(_BLOCK)
                self._queue.put(block)
                if not block:
                    return
        # Raised where it is read.
        except BaseException as error:
            self._queue.put(error)


class Pipe:
    """A tar, compressed or not, that comes through a pipe: standard input, a named pipe, ``/dev/fd/N``."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.folder: Path | None = None
        """Where what is kept lies; None for that of temporary files."""
        self.is_over = False
        """Whether it has passed by."""
        self._is_kept = False
        self._kept: IO[bytes] | None = None

    def __str__(self) -> str:
        return "standard input" if self.path == STANDARD_INPUT else self.path

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pipe) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    def open(self) -> ByteStream:
        """Open it, once.

        Raises
        ------
        ArchiveError
            If nothing is at its end: a terminal, or a descriptor that is not open.
        """
        self.is_over = True
        is_ours = self.path != STANDARD_INPUT
        try:
            # Closed with the stream, but for that of the process.
            file = open(self.path if is_ours else 0, "rb", buffering=0, closefd=is_ours)  # noqa: SIM115
        except OSError as error:
            raise ArchiveError(f"{self} cannot be read ({error}); check what is to come through it") from None
        if file.isatty():
            file.close()
            raise ArchiveError(f"{self} is a terminal, expected a tar; pipe one into it, as: cat S2.tar.gz* | …")
        return ByteStream(file, name=str(self), size=None)

    def keep(self, members: Iterator[Member | Refusal], is_needed: Callable[[str], bool]) -> Iterator[Member | Refusal]:
        """Let members pass; of the first time keep those whose names say that they are needed again, on disk."""
        is_first, self._is_kept = not self._is_kept, True
        for member in members:
            if is_first and isinstance(member, Member) and is_needed(member.name):
                self._kept = self._kept or self._begin_to_keep()
                name = member.name.encode("utf-8", "surrogateescape")
                self._kept.write(_SIZES.pack(len(name), len(member.data)) + name)
                self._kept.write(member.data)
            yield member

    def kept(self) -> Iterator[Member]:
        """Give what was kept, in its order."""
        if self._kept is not None:
            self._kept.seek(0)
            while head := self._kept.read(_SIZES.size):
                name_bytes, data_bytes = _SIZES.unpack(head)
                name = self._kept.read(name_bytes).decode("utf-8", "surrogateescape")
                yield Member(name, self._kept.read(data_bytes))

    @property
    def kept_bytes(self) -> int:
        """Disk that this takes."""
        return 0 if self._kept is None else os.fstat(self._kept.fileno()).st_size

    def _begin_to_keep(self) -> IO[bytes]:
        """Make a file without a name, which is gone with this."""
        file = TemporaryFile(dir=self.folder)  # noqa: SIM115
        weakref.finalize(self, file.close)
        return file


def is_pipe(path: str) -> bool:
    """Tell what passes by once from a file."""
    try:
        mode = os.fstat(0).st_mode if path == STANDARD_INPUT else os.stat(path).st_mode
    except OSError:
        return path == STANDARD_INPUT
    if stat.S_ISREG(mode):
        # Redirected from a file that has no name any more.
        return path == STANDARD_INPUT or _is_descriptor(path)
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


def real_place(path: str) -> str:
    """Give the path of the file behind ``-`` or ``/dev/fd/N``, where it is one, else the path as it is."""
    descriptor = "/dev/fd/0" if path == STANDARD_INPUT else path
    if not _is_descriptor(descriptor):
        return path
    real = os.path.realpath(descriptor)
    try:
        is_same = os.path.isfile(real) and os.path.samestat(os.stat(real), os.stat(descriptor))
    except OSError:
        return path
    return path if _is_descriptor(real) or not is_same else real


def _decompressor(compression: _Compression) -> _Decompressor:
    """Start to decompress."""
    if compression == "gzip":
        # Twice as fast as zlib.
        from isal.igzip_lib import DECOMP_GZIP, IgzipDecompressor

        return IgzipDecompressor(flag=DECOMP_GZIP)
    if compression == "zstd":
        if sys.version_info >= (3, 14):
            from compression.zstd import ZstdDecompressor
        else:
            from backports.zstd import ZstdDecompressor
        return ZstdDecompressor()
    if compression == "bzip2":
        from bz2 import BZ2Decompressor

        return BZ2Decompressor()
    from lzma import LZMADecompressor

    return LZMADecompressor(memlimit=_XZ_MEMORY)


def _is_descriptor(path: str) -> bool:
    return path.startswith(("/dev/fd/", "/proc/", "/dev/std"))
