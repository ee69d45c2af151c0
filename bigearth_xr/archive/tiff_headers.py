"""The headers of the archive's GeoTIFFs, recognized byte by byte instead of parsed.

The archive has eight million files but only a few dozen headers: apart from the corner of the patch, a header of stored
pixels is a function of band and UTM zone. So each is parsed once, by tifffile in 250 µs, and from then on compared in
1 µs with what it has to be. What is compressed, or saved anew, is for `bigearth_xr.archive.tiff_headers`.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.archive.source import Data
from bigearth_xr.archive.tiff_segments import STORED, Segments

if TYPE_CHECKING:
    from tifffile import TiffPage


CORNER = struct.Struct("<2d")
"""Easting and northing of the upper left corner, as a header has them."""

_TIEPOINT = 33922

_TIEPOINT, _NODATA = 33922, 42113

_OFFSETS, _SIZES = (273, 324), (279, 325)

_TEXT, _DOUBLE = 2, 12

_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of a value, by the code of its type."""

_OUTSIDE = (struct.error, OverflowError)
"""Raised where an offset lies outside of the file; a damaged one of a BigTIFF may be larger than any."""

_FORMATS = {3: "H", 4: "I", 16: "Q", _DOUBLE: "d"}

_MOST_ENTRIES, _MOST_BYTES = 256, 1 << 16
"""Of a directory, and of the values of one entry: more take longer to compare than to parse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    """One of the four forms that a TIFF has: either byte order, either size of offsets."""

    magic: bytes
    """First bytes of the file, before the place of the directory."""

    order: str
    """Of bytes, as `struct` spells it."""

    pointer: struct.Struct
    """An offset."""

    count: struct.Struct
    """Number of entries, before them."""

    entry: struct.Struct
    """Code, type and number of values, before the value or its offset."""

    def entries(self, data: Data) -> tuple[int, int]:
        """Tell where the directory begins and how many entries it has."""
        (start,) = self.pointer.unpack_from(data, len(self.magic))
        return start, self.count.unpack_from(data, start)[0]


_FORMS = tuple(
    _Form(
        magic=magic,
        order=order,
        pointer=struct.Struct(order + pointer),
        count=struct.Struct(order + count),
        entry=struct.Struct(f"{order}HH{pointer}"),
    )
    for magic, order, pointer, count in (
        (b"II*\0", "<", "I", "H"),
        (b"MM\0*", ">", "I", "H"),
        (b"II+\0\x08\0\0\0", "<", "Q", "Q"),
        (b"MM\0+\0\x08\0\0", ">", "Q", "Q"),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A header that was parsed, and what it means whatever the corner."""

    header: bytes
    """The header with zeros where files differ."""

    corner_at: int
    """Where in it the corner stands."""

    length: int
    """Bytes of a file of stored pixels."""

    shape: tuple[int, ...]
    """Rows and columns."""

    dtype: np.dtype[np.generic]
    """Type of a pixel."""

    epsg: int
    """Coordinate reference system."""

    res_m: float
    """Side of a pixel, metres."""

    def corner(self, data: Data) -> bytes | None:
        """Read the corner of a file that has this header up to it; None if it has not."""
        at = slice(self.corner_at, self.corner_at + CORNER.size)
        found = bytes(data[at])
        return found if len(found) == CORNER.size and self._is_header_of(data, found) else None

    def pixels(self, data: Data, corner: bytes) -> NDArray[np.generic] | None:
        """Read the pixels of a file that has exactly this header with this corner.

        Returns
        -------
        numpy.ndarray or None
            Shape ``(y, x)``, read-only; None where the header is another.
        """
        if not self._is_header_of(data, corner):
            return None
        return np.frombuffer(data, self.dtype, offset=len(self.header)).reshape(self.shape)

    def _is_header_of(self, data: Data, corner: bytes) -> bool:
        if len(data) != self.length:
            return False
        head = bytearray(data[: len(self.header)])
        expected_corner = slice(self.corner_at, self.corner_at + CORNER.size)
        if head[expected_corner] != corner:
            return False
        head[expected_corner] = bytes(CORNER.size)
        return head == self.header


def learn_template(
    page: "TiffPage", data: Data, *, corner: tuple[float, float], epsg: int, res_m: float
) -> Template | None:
    """Make a template of a file that was parsed; None where its header depends on more than a template knows."""
    corner_at, start = page.tags[_TIEPOINT].valueoffset + 24, min(page.dataoffsets)
    is_little = bytes(data[:2]) == b"II" and page.dtype is not None
    # Elsewhere the corner on the ground is not the pair of numbers that varies.
    is_at_corner = bytes(data[corner_at : corner_at + CORNER.size]) == CORNER.pack(*corner)
    is_plain = page.compression == STORED and page.is_contiguous and start + page.nbytes == len(data)
    if not (is_little and is_plain and is_at_corner and corner_at + CORNER.size <= start):
        return None
    header = bytearray(data[:start])
    header[corner_at : corner_at + CORNER.size] = bytes(CORNER.size)
    return Template(
        header=bytes(header),
        corner_at=corner_at,
        length=len(data),
        shape=page.shape,
        # By its text: only so is it native where little-endian is.
        dtype=np.dtype(np.dtype(page.dtype).newbyteorder("<").str),
        epsg=epsg,
        res_m=res_m,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Values:
    """Where values of a directory are found, and their form."""

    at: int
    """Where in the directory they are, or the offset of them."""

    is_inside: bool
    """Whether they are in the directory itself."""

    form: struct.Struct
    """The values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """A directory that was parsed, and what it means wherever its values are, and whatever the corner."""

    form: _Form
    """Form of the file."""

    entries: bytes
    """The directory, with zeros where files differ."""

    holes: tuple[slice, ...]
    """Where that is."""

    outside: tuple[tuple[int, bytes], ...]
    """Where in the directory the offsets of values stand that are the same in all files, and these values."""

    tiepoint: _Values
    """Corner on the ground, as six floats."""

    shift: float
    """Metres by which it is inside of the upper left corner."""

    offsets: _Values
    """Places of the segments."""

    sizes: _Values
    """Bytes of each."""

    segments: Segments
    """How they are decoded."""

    epsg: int
    """Coordinate reference system."""

    res_m: float
    """Side of a pixel, metres."""

    def corner(self, data: Data) -> bytes | None:
        """Read the corner of a file that has this directory; None if it has not."""
        start = self._start(data)
        return None if start is None else self._corner(data, start)

    def pixels(self, data: Data, corner: bytes) -> NDArray[np.generic] | None:
        """Read the pixels of a file that has this directory with this corner.

        Returns
        -------
        numpy.ndarray or None
            Shape ``(y, x)``, read-only; None where the directory is another, or the segments are damaged.
        """
        start = self._start(data)
        if start is None or self._corner(data, start) != corner:
            return None
        try:
            offsets, sizes = (self._values_at(data, start, values) for values in (self.offsets, self.sizes))
            if max(map(int.__add__, offsets, sizes)) > len(data):
                return None
            return self.segments.decode(data, offsets, sizes)
        # Codecs raise RuntimeError.
        except (*_OUTSIDE, ValueError, RuntimeError):
            return None

    def _start(self, data: Data) -> int | None:
        """Find the directory of a file, if it is this one."""
        form = self.form
        if data[: len(form.magic)] != form.magic:
            return None
        try:
            start, _ = form.entries(data)
            found = bytearray(data[start : start + len(self.entries)])
            if len(found) != len(self.entries):
                return None
            for hole in self.holes:
                found[hole] = bytes(hole.stop - hole.start)
            if found != self.entries:
                return None
            for at, expected in self.outside:
                (place,) = form.pointer.unpack_from(data, start + at)
                if data[place : place + len(expected)] != expected:
                    return None
        except _OUTSIDE:
            return None
        return int(start)

    def _corner(self, data: Data, start: int) -> bytes | None:
        try:
            column, row, _, x, y, _ = self._values_at(data, start, self.tiepoint)
        except _OUTSIDE:
            return None
        return CORNER.pack(x - self.shift, y + self.shift) if column == row == 0 else None

    def _values_at(self, data: Data, start: int, values: _Values) -> tuple[int, ...]:
        at = start + values.at
        return values.form.unpack_from(data, at if values.is_inside else self.form.pointer.unpack_from(data, at)[0])


def learn_directory(
    page: "TiffPage", data: Data, *, segments: Segments, corner: tuple[float, float], epsg: int, res_m: float
) -> Directory | None:
    """Make a directory of a file that was parsed; None where it says something in a way that is not known here."""
    form = next((form for form in _FORMS if data[: len(form.magic)] == form.magic), None)
    entries = None if form is None else _read_entries(form, data)
    if form is None or entries is None or form.entries(data)[0] != page.offset:
        return None
    offsets, sizes = (next((entries[code] for code in codes if code in entries), None) for codes in (_OFFSETS, _SIZES))
    tiepoint = entries.get(_TIEPOINT)
    if offsets is None or sizes is None or tiepoint is None or (tiepoint.kind, tiepoint.count) != (_DOUBLE, 6):
        return None
    varying = (tiepoint, offsets, sizes)
    same = [one for one in entries.values() if not (one.is_inside or one.is_text or one in varying)]
    size = form.count.size + len(entries) * (form.entry.size + form.pointer.size)
    holes = (
        *(slice(one.at, one.at + form.pointer.size) for one in (*varying, *same)),
        *(slice(one.at - form.pointer.size, one.at + form.pointer.size) for one in entries.values() if one.is_text),
    )
    return Directory(
        form=form,
        entries=_emptied(data[page.offset : page.offset + size], holes),
        holes=holes,
        outside=tuple((one.at, _content(form, data, page.offset, one)) for one in same),
        tiepoint=_find_values(form, tiepoint),
        shift=page.tags[_TIEPOINT].value[3] - corner[0],
        offsets=_find_values(form, offsets),
        sizes=_find_values(form, sizes),
        segments=segments,
        epsg=epsg,
        res_m=res_m,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """One tag of a directory."""

    code: int
    """What it says."""

    kind: int
    """Code of the type of its values."""

    count: int
    """How many there are."""

    at: int
    """Where in the directory they are, or the offset of them."""

    is_inside: bool
    """Whether they are in the directory itself."""

    @property
    def size(self) -> int:
        """Bytes of its values."""
        return self.count * _BYTES[self.kind]

    @property
    def is_text(self) -> bool:
        """Whether it says nothing of the pixels."""
        return self.kind == _TEXT and self.code != _NODATA


def _emptied(data: Data, holes: Iterable[slice]) -> bytes:
    """Data with zeros in some places."""
    emptied = bytearray(data)
    for hole in holes:
        emptied[hole] = bytes(hole.stop - hole.start)
    return bytes(emptied)


def _read_entries(form: _Form, data: Data) -> dict[int, _Entry] | None:
    """Read the entries of a directory by their codes; None if one is of an unknown type, or there twice."""
    start, count = form.entries(data)
    entries: dict[int, _Entry] = {}
    for number in range(min(count, _MOST_ENTRIES + 1)):
        at = form.count.size + number * (form.entry.size + form.pointer.size)
        code, kind, values = form.entry.unpack_from(data, start + at)
        size = values * _BYTES.get(kind, _MOST_BYTES)
        # tifffile takes the first of two entries of one code; which others take is not known.
        if code in entries or size > _MOST_BYTES or (code in (*_OFFSETS, *_SIZES) and kind not in _FORMATS):
            return None
        is_inside = size <= form.pointer.size
        entries[code] = _Entry(code=code, kind=kind, count=values, at=at + form.entry.size, is_inside=is_inside)
    return entries if len(entries) == count else None


def _content(form: _Form, data: Data, start: int, entry: _Entry) -> bytes:
    """Read the values of an entry that are not in the directory."""
    (place,) = form.pointer.unpack_from(data, start + entry.at)
    return bytes(data[place : place + entry.size])


def _find_values(form: _Form, entry: _Entry) -> _Values:
    return _Values(
        at=entry.at,
        is_inside=entry.is_inside,
        form=struct.Struct(f"{form.order}{entry.count}{_FORMATS[entry.kind]}"),
    )
