"""Writes files into one container: a folder, or a tar as GNU tar lays it out, plain or compressed.

The same files give the same bytes: every member is of 1970 and of user 0. ``tarfile`` writes the same, member for
member, but takes ten times as long over a header.
"""

import io
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias, cast

__all__ = ["Container", "File", "open_container", "tar_stream", "write_folder", "write_tar"]

Container = Literal["folder", "tar", "tar.gz", "tar.zst"]
"""What an archive can lie in."""

File: TypeAlias = tuple[str, bytes]
"""Path below the root, with ``/`` between its parts, and contents."""

_BLOCK = 512
_RECORD = 20 * _BLOCK
_NAME_BYTES = 100
_BUFFER = 1 << 20
# igzip compresses 5 times as fast as zlib does; this is nearly its fastest level.
_GZIP_LEVEL = 1

_OWNER = b"0000000\0" * 2
_TIME = b"00000000000\0"
_MAGIC = b"ustar  \0"
_FILE, _FOLDER, _LONG_NAME = b"0", b"5", b"L"
_MODE = {_FILE: b"0000644\0", _FOLDER: b"0000755\0", _LONG_NAME: b"0000000\0"}


def write_folder(root: Path, files: Iterable[File]) -> None:
    """Write files below a folder.

    Examples
    --------
    >>> root = getfixture("tmp_path")
    >>> write_folder(root, [("lists/train.csv", b"")])
    >>> (root / "lists" / "train.csv").is_file()
    True
    """
    made: str | None = None
    for path, data in files:
        folder, _, name = path.rpartition("/")
        if folder != made:
            (root / folder).mkdir(parents=True, exist_ok=True)
            made = folder
        with open(root / folder / name, "wb") as file:
            file.write(data)


def write_tar(path: Path, files: Iterable[File], container: Container = "tar") -> None:
    """Write files into a tar, compressed as ``container`` says.

    Examples
    --------
    >>> import tarfile
    >>> path = getfixture("tmp_path") / "lists.tar.gz"
    >>> write_tar(path, [("lists/train.csv", b""), ("lists/val.csv", b"")], "tar.gz")
    >>> with tarfile.open(path) as tar:
    ...     print(tar.getnames())
    ['lists', 'lists/train.csv', 'lists/val.csv']
    """
    with open_container(path, container) as out:
        for piece in tar_stream(files):
            out.write(piece)


@contextmanager
def open_container(path: str | os.PathLike[str], container: Container) -> Iterator[BinaryIO]:
    """Open a file to write a tar into, compressing what is written.

    Examples
    --------
    >>> import gzip
    >>> path = getfixture("tmp_path") / "archive.tar.gz"
    >>> with open_container(path, "tar.gz") as out:
    ...     _ = out.write(b"a tar")
    >>> gzip.decompress(path.read_bytes())
    b'a tar'
    """
    with open(path, "wb", buffering=_BUFFER) as raw:
        if container == "tar":
            yield raw
            return
        with _compressor(raw, container) as packed:
            yield packed


def tar_stream(files: Iterable[File]) -> Iterator[bytes]:
    """Encode files as a tar, piece by piece; a folder comes before its files.

    Parameters
    ----------
    files
        Those of a folder one after the other.

    Yields
    ------
    bytes
        Whole members; at last what closes the tar.

    Examples
    --------
    >>> [len(piece) for piece in tar_stream([("lists/train.csv", b"")])]
    [1024, 9216]
    """
    length = 0
    around = ""
    for path, data in files:
        folder = path.rpartition("/")[0]
        folders = b"" if folder in ("", around) else b"".join(_new_folders(folder, around))
        piece = b"".join((folders, _header(path, len(data), _FILE), data, bytes(-len(data) % _BLOCK)))
        around = folder
        length += len(piece)
        yield piece
    yield bytes(2 * _BLOCK + -(length + 2 * _BLOCK) % _RECORD)


def _compressor(raw: BinaryIO, container: Container) -> BinaryIO:
    """Compress into a file; neither the time nor the file's name is written."""
    if container == "tar.gz":
        from isal import igzip

        gzip = igzip.IGzipFile("", "wb", _GZIP_LEVEL, raw, mtime=0)  # type: ignore[no-untyped-call]  # isal's lack
        return cast("BinaryIO", io.BufferedWriter(gzip, _BUFFER))
    if sys.version_info >= (3, 14):
        from compression.zstd import CompressionParameter, ZstdFile
    else:
        from backports.zstd import CompressionParameter, ZstdFile

    # The checksum is zstd's own default on the command line, though not the library's.
    options: dict[int, int] = {CompressionParameter.compression_level: 1, CompressionParameter.checksum_flag: 1}
    return cast("BinaryIO", io.BufferedWriter(ZstdFile(raw, "wb", options=options), _BUFFER))


def _new_folders(folder: str, around: str) -> Iterator[bytes]:
    """Encode those folders from the root down to one that are not around another one too."""
    for inner in accumulate(folder.split("/"), "{}/{}".format):
        if not f"{around}/".startswith(f"{inner}/"):
            yield _header(f"{inner}/", 0, _FOLDER)


def _header(path: str, size: int, kind: bytes) -> bytes:
    """Encode what precedes the contents of a member; a long name goes before it as a member of its own."""
    name = path.encode()
    if len(name) <= _NAME_BYTES:
        return _block(name, size, kind)
    padding = bytes(_BLOCK - len(name) % _BLOCK)
    long_name = _block(b"././@LongLink", len(name) + 1, _LONG_NAME)
    return b"".join((long_name, name, padding, _block(name[:_NAME_BYTES], size, kind)))


def _block(name: bytes, size: int, kind: bytes) -> bytes:
    """Encode one block of a header."""
    octal = b"%011o\0" % size
    # The checksum counts its own eight bytes as blanks.
    checksum = sum(name) + sum(octal) + _FIXED_SUM[kind]
    return b"%b%b%b%b%b%06o\0 %b%b%b" % (
        name.ljust(_NAME_BYTES, b"\0"),
        _MODE[kind],
        _OWNER,
        octal,
        _TIME,
        checksum,
        kind,
        bytes(_NAME_BYTES) + _MAGIC,
        bytes(_BLOCK - 265),
    )


_FIXED_SUM = {kind: sum(mode + _OWNER + _TIME + b" " * 8 + kind + _MAGIC) for kind, mode in _MODE.items()}
"""Checksum of all that neither name nor size decides."""
