"""What comes through a pipe: it passes by once, so that what is asked for again is kept on disk."""

import os
import stat
import struct
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from bigearth_xr.archive.bytestream import ByteStream
from bigearth_xr.archive.source import Refusal
from bigearth_xr.archive.tar_member import Member
from bigearth_xr.errors import ArchiveError

__all__ = ["Pipe", "is_pipe", "real_place"]

STANDARD_INPUT = "-"
_SIZES = struct.Struct("<II")


class Pipe:
    """A tar, compressed or not, that comes through a pipe: standard input, a named pipe, ``/dev/fd/N``.

    Parameters
    ----------
    path
        Where it is opened.

    Examples
    --------
    >>> pipe = Pipe("/dev/fd/63")
    >>> passing = pipe.keep(iter([Member("patch/patch_B02.tif", b"II*")]), lambda name: True)
    >>> [member.name for member in passing], list(pipe.kept())
    (['patch/patch_B02.tif'], [Member(name='patch/patch_B02.tif', data=b'II*')])
    """

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
    """Tell what passes by once from a file.

    Examples
    --------
    >>> os.mkfifo(getfixture("tmp_path") / "fifo")
    >>> is_pipe(f"{getfixture('tmp_path')}/fifo"), is_pipe(str(getfixture("tmp_path")))
    (True, False)
    """
    try:
        mode = os.fstat(0).st_mode if path == STANDARD_INPUT else os.stat(path).st_mode
    except OSError:
        return path == STANDARD_INPUT
    if stat.S_ISREG(mode):
        # Redirected from a file that has no name any more.
        return path == STANDARD_INPUT or _is_descriptor(path)
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


def real_place(path: str) -> str:
    """Give the path of the file behind ``-`` or ``/dev/fd/N``, where it is one, else the path as it is.

    Examples
    --------
    >>> path = getfixture("tmp_path") / "S2.tar"
    >>> path.touch()
    >>> with open(path) as file:
    ...     real_place(f"/dev/fd/{file.fileno()}") == str(path), real_place("S2.tar")
    (True, 'S2.tar')
    """
    descriptor = "/dev/fd/0" if path == STANDARD_INPUT else path
    if not _is_descriptor(descriptor):
        return path
    real = os.path.realpath(descriptor)
    try:
        is_same = os.path.isfile(real) and os.path.samestat(os.stat(real), os.stat(descriptor))
    except OSError:
        return path
    return path if _is_descriptor(real) or not is_same else real


def _is_descriptor(path: str) -> bool:
    return path.startswith(("/dev/fd/", "/proc/", "/dev/std"))
