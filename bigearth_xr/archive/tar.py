"""Reads tars: their index where one can seek, their members as they come where one cannot.

Leaner than tarfile, as an archive has nine million members; and warier. What no archive has (links, devices, names that
lead outside, files of gigabytes) is passed over and reported, and so is what damage took away.

A compressed bomb does no harm: of a file whose size is refused no byte is kept, the size that a header claims is only
ever gathered up to the limits below, and the rest streams past in blocks.
"""

import sys
import zlib
from collections.abc import Iterator
from typing import Literal, NamedTuple, Protocol, TypeAlias

from bigearth_xr.archive.source import Data, Refusal
from bigearth_xr.errors import ArchiveError, DamagedError

__all__ = ["Member"]

BLOCK = 512
"""Bytes of a header; the data of each member are padded to a multiple of it."""

_SPARSE = b"S"
"""Kind of a file with holes."""

_POSIX = b"ustar\0"

_Header: TypeAlias = tuple[bytes, int, bytes, bool]
"""Path as far as the header holds it; bytes of data; kind (``b"0"`` is a file, ``b"5"`` a folder, ``b"L"`` a long
name); whether more header follows before the data, as a file with many holes has. No class: it is built nine million
times."""

PATCH_FILE_BYTES = 2**20
"""Most bytes of a GeoTIFF or JSON, and of what is none of the archive's; the largest it has is a tenth of that."""

LIST_BYTES = 2**28
"""Most bytes of a list or parquet of metadata."""

_LIST_SUFFIXES = (".parquet", ".csv", ".csv.bz2", ".csv.gz", ".csv.xz", ".csv.zst")
"""How the names of lists end."""

_UNUSUAL = ("", "/", ".")

_ACCEPTED = (b"0", b"\0", b"7", b"5")

_KINDS = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"6": "a named pipe",
    _SPARSE: "a file with holes",
}

Entry: TypeAlias = tuple[str, int, int]
"""Path of a file or, with ``/`` at its end, of a folder; first byte of its data in the tar; bytes of them. No class: it
is built nine million times."""

_ZEROS = bytes(BLOCK)

_CHUNK = 2**16

_EXTENSION_BYTES = 2**16

_LONG_NAMES = 64
"""Headers of long names that are kept: one for each length that there is."""

_LONG_NAME, _LONG_LINK, _RECORDS_OF_ALL = b"L", b"K", b"g"

_EXTENSIONS = (_LONG_NAME, _LONG_LINK, b"x", b"X", _RECORDS_OF_ALL)

_WITHOUT_DATA = (b"1", b"2", b"3", b"4", b"5", b"6")
"""Links, devices, folders and pipes: of these the size means nothing."""

_AGAIN = "download or copy it again"

_Told: TypeAlias = tuple[bytes | None, int | None, str | None]
"""What the headers before a header say of its member: name, size, and why it is refused."""

_NOTHING: _Told = (None, None, None)

_STREAM_BLOCK = 2**22


class Member(NamedTuple):
    """A file of a tar, read."""

    name: str
    """Its path, ``/`` between its parts."""

    data: Data
    """All of it. A view keeps the megabytes alive that it was read with: copy what is to stay."""


class TapeStream(Protocol):
    """Anything that is read like a binary file, from front to back."""

    def read(self, size: int, /) -> bytes | memoryview | None:
        """Give up to `size` bytes, fewer where that is easier; none at the end."""
        ...


def read_members(stream: TapeStream, *, where: str) -> Iterator[Member | Refusal]:
    """Read the files of a tar in one pass, and to its end: there a compressed one keeps its checksum.

    Yields
    ------
    Member or Refusal
        Every whole file, in the order of the tar, and between them what is not obeyed or was lost.

    Examples
    --------
    >>> import io, tarfile
    >>> link, file = tarfile.TarInfo("here"), tarfile.TarInfo("patch_B02.tif")
    >>> link.type, link.linkname, file.size = tarfile.SYMTYPE, "/etc", 3
    >>> tape = io.BytesIO(link.tobuf() + file.tobuf() + b"II*" + bytes(509) + bytes(1024))
    >>> refusal, member = read_members(tape, where="S2.tar")
    >>> refusal.message
    'S2.tar: here is a symbolic link, which no archive has; it is passed over'
    >>> member.name, bytes(member.data)
    ('patch_B02.tif', b'II*')
    """
    tape = _StreamTape(stream)
    on_the_way = _Walk(tape, where)
    for item in on_the_way:
        if isinstance(item, Refusal):
            yield item
            continue
        name, offset, size = item
        if name[-1] != "/":
            data = tape.read(offset, size)
            if len(data) < size:
                yield on_the_way.cut_short(f"inside of {name}")
                return
            on_the_way.whole += 1
            yield Member(name, data)


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


def walk(tape: Tape, *, where: str) -> Iterator[Entry | Refusal]:
    """Go from header to header of a tar, and past the data between them.

    Yields
    ------
    Entry or Refusal
        Every file and folder, in the order of the tar, and between them what is not obeyed or was lost. The data of a
        file lie within the tape, if its end is known.
    """
    on_the_way = _Walk(tape, where)
    for item in on_the_way:
        if not isinstance(item, Refusal):
            name, offset, size = item
            if offset + size > tape.end:
                yield on_the_way.cut_short(f"inside of {name}")
                return
            on_the_way.whole += name[-1] != "/"
        yield item


def parse_header(block: bytes) -> _Header | None:
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
    size, checksum = _number(block[124:136]), _number(field)
    if size is None or checksum is None:
        return None
    if block.isascii():
        # The low half of Adler-32 is 1 plus the sum of all bytes, many times faster than sum(); it wraps around at
        # 65,521, which 512 such bytes do not reach. The field itself counts as eight spaces.
        if checksum != (zlib.adler32(block) & 0xFFFF) + 255 - sum(field):
            return None
    elif checksum not in _sums(block):
        return None
    name = block[:100].partition(b"\0")[0]
    # Where GNU tar calls itself so, the prefix holds times.
    if block[345] and block[257:263] == _POSIX:
        name = block[345:500].partition(b"\0")[0] + b"/" + name
    kind = block[156:157]
    return name, size, kind, kind == _SPARSE and block[482] != 0


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


class _StreamTape:
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


class _Walk:
    """One way through a tar, from its first header to its last."""

    def __init__(self, tape: Tape, where: str) -> None:
        self.whole = 0
        self._tape = tape
        self._where = where
        self._at = 0
        self._told = self._told_of_all = _NOTHING
        self._long_names: dict[bytes, _Header] = {}

    def __iter__(self) -> Iterator[Entry | Refusal]:
        for header in self._headers():
            if isinstance(header, Refusal):
                yield header
            elif header[2] in _EXTENSIONS:
                self._extend(header)
            else:
                item = self._enter(header)
                if item is not None:
                    yield item

    def cut_short(self, why: str) -> Refusal:
        """Say where the tar ends before its end, and how many files came before."""
        fault = f" ({self._tape.fault})" if self._tape.fault else ""
        ends = f"ends at byte {self._tape.end:,}, {why}, after {self.whole:,} whole files{fault}"
        return self._refuse(self._kind(), f"{self._where} {ends}; {_AGAIN}")

    def _enter(self, header: _Header) -> Entry | Refusal | None:
        """Understand the header of a member, and go behind its data."""
        (raw, size, kind, is_continued), fault = header, None
        if self._told is not _NOTHING:
            (told_name, told_size, fault), self._told = self._told, self._told_of_all
            raw = raw if told_name is None else told_name
            size = size if told_size is None else told_size
        if is_continued:
            self._skip_map()
        is_folder = kind == b"5" or raw[-1:] == b"/"
        offset = self._at
        if kind not in _WITHOUT_DATA:
            self._at += size + -size % BLOCK
        name, bad_name = _clean_name(raw)
        reason = fault or _why_refused(kind, name, size) or bad_name
        if reason is not None:
            message = f"{self._where}: {name or 'a member'} {reason}; it is passed over"
            return self._refuse("refused", message, member=name)
        # The folder above all others has no name: tar calls it "./".
        if not name:
            return None
        return (f"{name}/", offset, 0) if is_folder else (name, offset, size)

    def _extend(self, header: _Header) -> None:
        """Keep what a header says of the member behind it."""
        (_, size, kind, _), at, (told_name, told_size, fault) = header, self._at, self._told
        self._at += size + -size % BLOCK
        if size > _EXTENSION_BYTES:
            self._told = told_name, told_size, f"has {size:,} bytes of name or records"
            return
        data = bytes(self._tape.read(at, size))
        if kind == _LONG_NAME:
            self._told = data.partition(b"\0")[0], told_size, fault
        elif kind != _LONG_LINK:
            name, number, why = _understand(parse_records(data))
            self._told = told_name if name is None else name, told_size if number is None else number, why or fault
        if kind == _RECORDS_OF_ALL:
            self._told_of_all = self._told

    def _skip_map(self) -> None:
        """Go behind the blocks that say where the holes of a file are."""
        is_continued = True
        while is_continued:
            block = self._tape.read(self._at, BLOCK)
            self._at += len(block)
            is_continued = len(block) == BLOCK and block[504] != 0

    def _headers(self) -> Iterator[_Header | Refusal]:
        """Give the headers, ``self._at`` behind each; what is wrong between them and at the end are refusals."""
        while True:
            block = bytes(self._tape.read(self._at, BLOCK))
            header = self._long_names.get(block) or self._parse(block)
            # The page with which a server answers may be shorter than a header.
            is_whole = len(block) == BLOCK or (self._at == 0 and block)
            if header is None and is_whole and block != _ZEROS:
                refusal, header = self._resume(block)
                yield refusal
            elif header is None:
                yield from self._finish(len(block))
            if header is None:
                return
            self._at += BLOCK
            yield header

    def _parse(self, block: bytes) -> _Header | None:
        """Read a header, and keep that of a long name: v2 has one before every file, all of one length the same."""
        header = parse_header(block)
        if header is not None and header[2] == _LONG_NAME and len(self._long_names) < _LONG_NAMES:
            self._long_names[block] = header
        return header

    def _resume(self, start: bytes) -> tuple[Refusal, _Header | None]:
        """Look behind a damaged header for the next one, as tar does: it says no more how long its member is."""
        damaged, self._told = self._at, self._told_of_all
        what = f"{self._where} is damaged at byte {damaged:,}"
        block = _ZEROS
        while len(block) == BLOCK:
            self._at += BLOCK
            block = bytes(self._tape.read(self._at, BLOCK))
            # Those of the 1980s have no magic, and cannot be told from data with certainty.
            header = parse_header(block) if block[257:262] == b"ustar" else None
            if header is not None:
                lost = f"{what}: the {self._at - damaged:,} bytes up to the next header are lost; {_AGAIN}"
                return self._refuse("refused", lost), header
        fault = f" ({self._tape.fault})" if self._tape.fault else ""
        if not damaged:
            what = f"{self._where} is not a tar, or damaged from its beginning, which is {start[:32]!r}"
        lost = f"{what}: everything behind it is lost, after {self.whole:,} whole files{fault}; {_AGAIN}"
        return self._refuse(self._kind(), lost), None

    def _finish(self, remaining: int) -> Iterator[Refusal]:
        """Read to the end of the file, where there has to be nothing more: a compressed one has its checksum there."""
        if remaining < BLOCK:
            is_between = remaining == 0 and self._at == self._tape.end
            yield self.cut_short("without the mark that ends a tar" if is_between else "in the middle of a member")
            return
        mark, is_more = self._at, False
        self._at += BLOCK
        while block := bytes(self._tape.read(self._at, _CHUNK)):
            is_more = is_more or block.count(0) < len(block)
            self._at += len(block)
        if is_more:
            parts = "more follows, as where tars are joined; it is passed over, give the parts one by one"
            yield self._refuse("refused", f"{self._where} has its end at byte {mark:,}, but {parts}")
        if self._tape.fault:
            yield self.cut_short("behind its last file")

    def _kind(self) -> Literal["truncated", "damaged"]:
        """How a tar ended that did not come to its end."""
        return "damaged" if self._tape.is_damaged else "truncated"

    def _refuse(self, kind: Literal["refused", "truncated", "damaged"], message: str, *, member: str = "") -> Refusal:
        return Refusal(member=member or self._where, kind=kind, message=message)


def _understand(records: dict[str, bytes] | None) -> _Told:
    """Tell from records what they say of a member; all but a few are of no use here."""
    if records is None:
        return None, None, "has damaged records before it"
    if any(key.startswith("GNU.sparse") for key in records):
        return None, None, "is a file with holes, which no archive has"
    size = records.get("size")
    if size is not None and not (size.isdigit() and len(size) < 20):
        return None, None, "has a size that is not a number"
    return records.get("path"), None if size is None else int(size), None


def _why_refused(kind: bytes, name: str, size: int) -> str | None:
    """Say why a member is none of an archive, if it is none."""
    if kind not in _ACCEPTED:
        return f"is {_KINDS.get(kind, f'of unknown kind {kind!r}')}, which no archive has"
    if size <= PATCH_FILE_BYTES:
        return None
    most = LIST_BYTES if name.endswith(_LIST_SUFFIXES) else PATCH_FILE_BYTES
    return f"has {size:,} bytes, no such file of an archive has more than {most:,}" if size > most else None


def _clean_name(raw: bytes) -> tuple[str, str | None]:
    """Read the name of a member.

    Returns
    -------
    tuple
        The path, fit for messages, and why it is refused, if it is.

    Examples
    --------
    >>> _clean_name(b"./patch/patch_B02.tif")
    ('patch/patch_B02.tif', None)
    >>> _clean_name(b"patch/../../etc")
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
