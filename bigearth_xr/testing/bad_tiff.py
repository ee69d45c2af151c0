"""GeoTIFFs that are not what they should be."""

import io
import struct
import zlib
from collections.abc import Callable
from typing import Literal

import numpy as np

from bigearth_xr.archive.tiff import decode_tiff
from bigearth_xr.testing.geotiff import encode_tiff

__all__ = ["Damage", "damage_tiff"]

Damage = Literal["truncate", "header", "geo", "zero-length", "bomb"]
"""Half of the file is lost; its header is inverted; its corner is 10 m off; nothing is left; or 20 kB claim to be
1.8 GB of pixels."""

_BOMB_SIDE, _BOMB_ROWS_PER_STRIP = 30_000, 300
_WIDTH, _LENGTH, _STRIP_OFFSETS, _ROWS_PER_STRIP, _STRIP_SIZES = 256, 257, 273, 278, 279
_TIEPOINT = 33922


def damage_tiff(data: bytes, how: Damage) -> bytes:
    """Damage a file of one band.

    Parameters
    ----------
    data
        As `encode_tiff` gives it, or a file of the archive.
    how
        What happens to it.

    Examples
    --------
    >>> sound = encode_tiff(np.zeros((20, 20), "uint16"), epsg=32633, ulx=331200, uly=5331600)
    >>> damage_tiff(sound, "zero-length")
    b''
    """
    return _HOW[how](data)


def _cut(data: bytes) -> bytes:
    """Lose the second half."""
    return data[: len(data) // 2]


def _invert_header(data: bytes) -> bytes:
    """Flip every bit between the first bytes and the pixels."""
    return data[:8] + bytes(byte ^ 0xFF for byte in data[8:200]) + data[200:]


def _move(data: bytes) -> bytes:
    """Move the corner 10 m to the east."""
    at = _tag(data, _TIEPOINT)[1] + 24
    (ulx,) = struct.unpack_from("<d", data, at)
    return data[:at] + struct.pack("<d", ulx + 10) + data[at + 8 :]


def _empty(_data: bytes) -> bytes:
    """Leave nothing."""
    return b""


def _inflate(data: bytes) -> bytes:
    """Claim many strips of zeros, all of them one and the same few bytes."""
    place = decode_tiff(data, where="the file to replace")
    bomb = bytearray(
        encode_tiff(
            np.zeros((120, 120), np.uint16), epsg=place.epsg, ulx=int(place.ulx), uly=int(place.uly), is_deflated=True
        )
    )
    strip = zlib.compress(bytes(2 * _BOMB_SIDE * _BOMB_ROWS_PER_STRIP))
    strips = _BOMB_SIDE // _BOMB_ROWS_PER_STRIP
    start = len(bomb)
    offsets = start + len(strip)
    tags = {
        _WIDTH: (1, _BOMB_SIDE),
        _LENGTH: (1, _BOMB_SIDE),
        _ROWS_PER_STRIP: (1, _BOMB_ROWS_PER_STRIP),
        _STRIP_OFFSETS: (strips, offsets),
        _STRIP_SIZES: (strips, offsets + 4 * strips),
    }
    # All are found before the first is changed: tifffile logs what it thinks of a header that is half changed.
    entries = {code: _tag(bytes(bomb), code)[0] for code in tags}
    for code, (count, value) in tags.items():
        struct.pack_into("<HHII", bomb, entries[code], code, 4, count, value)
    bomb += strip + struct.pack(f"<{2 * strips}I", *[start] * strips, *[len(strip)] * strips)
    return bytes(bomb)


def _tag(data: bytes, code: int) -> tuple[int, int]:
    """Find where the entry of a tag stands, and where its value."""
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        tag = file.pages.first.tags[code]
        return tag.offset, tag.valueoffset


_HOW: dict[Damage, Callable[[bytes], bytes]] = {
    "truncate": _cut,
    "header": _invert_header,
    "geo": _move,
    "zero-length": _empty,
    "bomb": _inflate,
}
