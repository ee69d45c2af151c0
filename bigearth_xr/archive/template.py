"""The headers of the archive's GeoTIFFs, recognized byte by byte instead of parsed.

The archive has eight million files but only a few dozen headers: apart from the corner of the patch, and where pixels
are compressed the place of the strips, a header is a function of band and UTM zone. So each is parsed once, by tifffile
in 250 µs, and from then on compared in 1 µs with what it has to be.
"""

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tifffile import TiffPage, TiffTag

__all__ = ["CORNER", "Data", "Template", "learn_template"]

Data: TypeAlias = bytes | memoryview
"""Content of a file."""

CORNER = struct.Struct("<2d")
"""Easting and northing of the upper left corner, as a header has them."""

_STRIP_OFFSETS, _STRIP_SIZES, _TIEPOINT = 273, 279, 33922
_STORED, _DEFLATED = (1,), (8, 32946)
_DIFFERENCES = 2
"""Predictor of the reference maps: a pixel is stored as the difference to its left neighbour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Strips:
    """How the compressed strips of a file are found and decoded."""

    offsets: tuple[int, struct.Struct]
    """Where in the header their offsets are, and in which form."""

    sizes: tuple[int, struct.Struct]
    """The same for their sizes in bytes."""

    rows: int
    """Rows of a strip, fewer in the last."""

    is_differences: bool
    """Whether pixels are differences to their left neighbours."""


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

    strips: _Strips | None
    """Where pixels are compressed; None where they follow the header."""

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
            Shape ``(y, x)``, read-only; None where the header is another, or its strips are damaged.

        Examples
        --------
        Learnt and asked by `bigearth_xr.archive.tiff.read_pixels`.

        >>> CORNER.pack(331200, 5331600).hex()
        '000000000037144100000000a4565441'
        """
        if not self._is_header_of(data, corner):
            return None
        if self.strips is None:
            return np.frombuffer(data, self.dtype, offset=len(self.header)).reshape(self.shape)
        return _inflate(data, self.strips, self.shape, self.dtype)

    def _is_header_of(self, data: Data, corner: bytes) -> bool:
        if self.strips is None and len(data) != self.length:
            return False
        head = bytearray(data[: len(self.header)])
        expected_corner = slice(self.corner_at, self.corner_at + CORNER.size)
        if head[expected_corner] != corner:
            return False
        head[expected_corner] = bytes(CORNER.size)
        if self.strips is not None:
            for start, form in (self.strips.offsets, self.strips.sizes):
                head[start : start + form.size] = bytes(form.size)
        return head == self.header


def learn_template(page: "TiffPage", data: Data, *, epsg: int, res_m: float) -> Template | None:
    """Make a template of a file that was parsed; None where its header depends on more than a template knows.

    Parameters
    ----------
    page
        As tifffile parsed it; complete.
    data
        The whole file.
    epsg, res_m
        What its geographic tags mean.

    Examples
    --------
    Called by `bigearth_xr.archive.tiff.decode_tiff`.

    >>> learn_template.__name__
    'learn_template'
    """
    corner_at, start = page.tags[_TIEPOINT].valueoffset + 24, min(page.dataoffsets)
    is_little = bytes(data[:2]) == b"II" and page.dtype is not None
    # Elsewhere the corner on the ground is not the pair of numbers that varies.
    is_at_corner = page.tags[_TIEPOINT].value[:2] == (0.0, 0.0) and corner_at + CORNER.size <= start
    strips = _strips(page, start) if page.compression in _DEFLATED else None
    is_plain = page.compression in _STORED and page.is_contiguous and start + page.nbytes == len(data)
    if not (is_little and is_at_corner and (is_plain or strips)):
        return None
    holes = [(corner_at, CORNER.size)]
    if strips is not None:
        holes += [(at, form.size) for at, form in (strips.offsets, strips.sizes)]
    header = bytearray(data[:start])
    for at, length in holes:
        header[at : at + length] = bytes(length)
    return Template(
        header=bytes(header),
        corner_at=corner_at,
        length=len(data),
        shape=page.shape,
        # By its text: only so is it native where little-endian is.
        dtype=np.dtype(np.dtype(page.dtype).newbyteorder("<").str),
        epsg=epsg,
        res_m=res_m,
        strips=strips,
    )


def _strips(page: "TiffPage", start: int) -> _Strips | None:
    """How to find strips of deflated integers whose places stand in the header."""
    places = [_place(page.tags[tag], start) for tag in (_STRIP_OFFSETS, _STRIP_SIZES)]
    is_known = page.predictor in (1, _DIFFERENCES) and page.dtype is not None and page.dtype.kind == "u"
    if places[0] is None or places[1] is None or not is_known or page.is_tiled:
        return None
    return _Strips(
        offsets=places[0],
        sizes=places[1],
        rows=page.rowsperstrip,
        is_differences=page.predictor == _DIFFERENCES,
    )


def _place(tag: "TiffTag", start: int) -> tuple[int, struct.Struct] | None:
    """Where a tag of integers has its values, if before the pixels."""
    code = {3: "H", 4: "I"}.get(tag.dtype)
    if code is None:
        return None
    form = struct.Struct(f"<{tag.count}{code}")
    return (tag.valueoffset, form) if tag.valueoffset + form.size <= start else None


def _inflate(
    data: Data, strips: _Strips, shape: tuple[int, ...], dtype: np.dtype[np.generic]
) -> NDArray[np.generic] | None:
    """Decode all strips; None where one is damaged, or holds more or less than its rows."""
    import imagecodecs

    pixels: NDArray[Any] = np.empty(shape, dtype)
    offsets, sizes = (form.unpack_from(data, at) for at, form in (strips.offsets, strips.sizes))
    for i, (offset, size) in enumerate(zip(offsets, sizes, strict=True)):
        rows = pixels[i * strips.rows : (i + 1) * strips.rows]
        try:
            # One byte more than it should hold: a strip that holds more is refused, not cut.
            inflated = imagecodecs.zlib_decode(bytes(data[offset : offset + size]), out=rows.nbytes + 1)
        except imagecodecs.ZlibError:
            return None
        if offset + size > len(data) or len(inflated) != rows.nbytes:
            return None
        rows[...] = np.frombuffer(inflated, dtype).reshape(rows.shape)
    if strips.is_differences:
        # Differences wrap around as the integers do.
        np.cumsum(pixels, axis=1, dtype=dtype, out=pixels)
    pixels.flags.writeable = False
    return pixels
