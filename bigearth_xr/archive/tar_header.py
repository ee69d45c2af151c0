"""The 512 bytes that stand before each member of a tar, and the records that extend them."""

import zlib
from typing import NamedTuple, TypeAlias

from bigearth_xr.archive.source import Data

__all__ = ["Member"]

BLOCK = 512
"""Bytes of a header; the data of each member are padded to a multiple of it."""

SPARSE = b"S"
"""Kind of a file with holes."""

_POSIX = b"ustar\0"

Header: TypeAlias = tuple[bytes, int, bytes, bool]
"""Path as far as the header holds it; bytes of data; kind (``b"0"`` is a file, ``b"5"`` a folder, ``b"L"`` a long
name); whether more header follows before the data, as a file with many holes has. No class: it is built nine million
times."""

PATCH_FILE_BYTES = 2**20
"""Most bytes of a GeoTIFF or JSON, and of what is none of the archive's; the largest it has is a tenth of that."""

LIST_BYTES = 2**28
"""Most bytes of a list or parquet of metadata."""

LIST_SUFFIXES = (".parquet", ".csv", ".csv.bz2", ".csv.gz", ".csv.xz", ".csv.zst")
"""How the names of lists end."""

_UNUSUAL = ("", "/", ".")

_ACCEPTED = (b"0", b"\0", b"7", b"5")

_KINDS = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"6": "a named pipe",
    SPARSE: "a file with holes",
}

Entry: TypeAlias = tuple[str, int, int]
"""Path of a file or, with ``/`` at its end, of a folder; first byte of its data in the tar; bytes of them. No class: it
is built nine million times."""


def parse_header(block: bytes) -> Header | None:
    """Read a header; None if these bytes are none, or are damaged.

    Examples
    --------
    >>> import tarfile
    >>> parse_header(tarfile.TarInfo("patch_B02.tif").tobuf())
    (b'patch_B02.tif', 0, b'0', False)
    >>> parse_header(bytes(512)) is None
    True
    """
    if len(block) != BLOCK:
        return None
    field = block[148:156]
    size, told = _number(block[124:136]), _number(field)
    if size is None or told is None:
        return None
    if block.isascii():
        # The low half of Adler-32 is 1 plus the sum of all bytes, many times faster than sum(); it wraps around at
        # 65,521, which 512 such bytes do not reach. The field itself counts as eight spaces.
        if told != (zlib.adler32(block) & 0xFFFF) + 255 - sum(field):
            return None
    elif told not in _sums(block):
        return None
    name = block[:100].partition(b"\0")[0]
    # Where GNU tar calls itself so, the prefix holds times.
    if block[345] and block[257:263] == _POSIX:
        name = block[345:500].partition(b"\0")[0] + b"/" + name
    kind = block[156:157]
    return name, size, kind, kind == SPARSE and block[482] != 0


def parse_records(data: bytes) -> dict[str, bytes] | None:
    r"""Read the records ``"<length> <key>=<value>\n"`` of a pax header; None if they are damaged.

    Examples
    --------
    >>> parse_records(b"12 path=a/b\n")
    {'path': b'a/b'}
    >>> parse_records(b"99 path=a/b\n") is None
    True
    """
    records: dict[str, bytes] = {}
    data = data.rstrip(b"\0")
    while data:
        length, _, _ = data.partition(b" ")
        # Of a length with too many digits Python refuses to make a number.
        end = int(length) if length.isdigit() and len(length) < 10 else 0
        key, equals, value = data[len(length) + 1 : end].partition(b"=")
        if not equals or end > len(data) or value[-1:] != b"\n":
            return None
        records[key.decode("utf-8", "replace")] = value[:-1]
        data = data[end:]
    return records


class Member(NamedTuple):
    """A file of a tar, read."""

    name: str
    """Its path, ``/`` between its parts."""

    data: Data
    """All of it. A view keeps the megabytes alive that it was read with: copy what is to stay."""


def why_refused(kind: bytes, name: str, size: int) -> str | None:
    """Say why a member is none of an archive, if it is none.

    Examples
    --------
    >>> why_refused(b"2", "patch_B02.tif", 0)
    'is a symbolic link, which no archive has'
    >>> why_refused(b"0", "patch_B02.tif", 29_000) is None
    True
    """
    if kind not in _ACCEPTED:
        return f"is {_KINDS.get(kind, f'of unknown kind {kind!r}')}, which no archive has"
    if size <= PATCH_FILE_BYTES:
        return None
    most = LIST_BYTES if name.endswith(LIST_SUFFIXES) else PATCH_FILE_BYTES
    return f"has {size:,} bytes, no such file of an archive has more than {most:,}" if size > most else None


def clean_name(raw: bytes) -> tuple[str, str | None]:
    """Read the name of a member.

    Returns
    -------
    tuple
        The path, fit for messages, and why it is refused, if it is.

    Examples
    --------
    >>> clean_name(b"./patch/patch_B02.tif")
    ('patch/patch_B02.tif', None)
    >>> clean_name(b"patch/../../etc")
    ('patch/../../etc', 'leads outside')
    """
    name = raw.decode("utf-8", "surrogateescape")
    if not name.isprintable() or "\\" in name:
        return ascii(name)[1:-1], "has characters in its name that no archive has"
    if "/." not in name and "//" not in name and name[:1] not in _UNUSUAL and name[-1] != "/":
        return name, None
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts:
        return name, "leads outside"
    return "/".join(parts), None


def _number(field: bytes) -> int | None:
    """Read a number that is not negative: octal digits, or where these do not suffice bytes behind a marked one."""
    try:
        number = int(field.partition(b"\0")[0], 8)
    except ValueError:
        if field[0] == 0o200:
            return int.from_bytes(field[1:], "big")
        number = -1 if field.partition(b"\0")[0].strip() else 0
    return number if number >= 0 else None


def _sums(block: bytes) -> tuple[int, int]:
    """Sum the bytes of a header, and sum them as some old programs did: as signed numbers."""
    rest = block[:148] + b" " * 8 + block[156:]
    return sum(rest), sum(rest) - 256 * sum(byte > 127 for byte in rest)
