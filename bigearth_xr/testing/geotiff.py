"""Single-band GeoTIFFs as the archive has them."""

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.archive.tiff import decode_tiff
from bigearth_xr.bands import PATCH_SIDE_M

_STRIP_BYTES = 8192

_FIRST_ZONE_NORTH = 32600

_STRIP_OFFSETS, _STRIP_SIZES, _TIEPOINT = 273, 279, 33922

Damage = Literal["truncate", "header", "geo", "zero-length", "bomb"]
"""Half of the file is lost; its header is inverted; its corner is 10 m off; nothing is left; or 20 kB claim to be
1.8 GB of pixels."""

_BOMB_SIDE, _BOMB_ROWS_PER_STRIP = 30_000, 300

_WIDTH, _LENGTH, _STRIP_OFFSETS, _ROWS_PER_STRIP, _STRIP_SIZES = 256, 257, 273, 278, 279

_TIEPOINT = 33922


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


def _invert_header(data: bytes) -> bytes:
    """Flip every bit between the first bytes and the pixels."""
    return data[:8] + bytes(byte ^ 0xFF for byte in data[8:200]) + data[200:]


def _move(data: bytes) -> bytes:
    """Move the corner 10 m to the east."""
    at = _tag(data, _TIEPOINT)[1] + 24
    (ulx,) = struct.unpack_from("<d", data, at)
    return data[:at] + struct.pack("<d", ulx + 10) + data[at + 8 :]


def _cut(data: bytes) -> bytes:
    """Lose the second half."""
    return data[: len(data) // 2]


_HOW: dict[Damage, Callable[[bytes], bytes]] = {
    "truncate": _cut,
    "header": _invert_header,
    "geo": _move,
    "zero-length": _empty,
    "bomb": _inflate,
}


def encode_tiff(
    pixels: NDArray[np.generic],
    *,
    epsg: int,
    ulx: int,
    uly: int,
    is_deflated: bool = False,
) -> bytes:
    """Encode one band of one patch, without a nodata value, uncompressed by default.

    Parameters
    ----------
    pixels
        Shape ``(y, x)``, both sides alike; uint16 or float32.
    epsg
        A UTM zone of the northern hemisphere, 32601-32660.
    ulx, uly
        Upper left corner of the patch, metres.
    is_deflated
        Whether to compress as the reference maps of v2 are.

    Returns
    -------
    bytes
        The whole file.

    Examples
    --------
    >>> encode_tiff(np.zeros((20, 20), "uint16"), epsg=32633, ulx=331200, uly=5331600)[:2]
    b'II'
    """
    # Writing a header costs a hundred times what copying one does.
    header = _header(pixels.shape, pixels.dtype.str, epsg, is_deflated)
    if not is_deflated:
        before, after = header.data[: header.corner], header.data[header.corner + 16 :]
        return b"".join((before, struct.pack("<2d", ulx, uly), after, pixels.tobytes()))
    strips = _deflate(pixels)
    sizes = [len(strip) for strip in strips]
    data = bytearray(header.data)
    struct.pack_into("<2d", data, header.corner, ulx, uly)
    struct.pack_into(f"<{len(sizes)}I", data, header.offsets, *np.cumsum([len(data), *sizes[:-1]]).tolist())
    struct.pack_into(f"<{len(sizes)}I", data, header.sizes, *sizes)
    return b"".join((data, *strips))


def damage_tiff(data: bytes, how: Damage) -> bytes:
    """Damage a file of one band."""
    return _HOW[how](data)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    """All that precedes the pixels of a file, and where in it stands what varies."""

    data: bytes
    corner: int
    offsets: int
    sizes: int


@lru_cache(maxsize=256)
def _header(shape: tuple[int, ...], dtype: str, epsg: int, is_deflated: bool) -> _Header:
    """Encode the header of all bands that are alike but for place and pixels."""
    import tifffile

    data = _encode(np.zeros(shape, dtype), epsg, is_deflated=is_deflated)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages.first
        return _Header(
            data=data[: page.dataoffsets[0]],
            corner=page.tags[_TIEPOINT].valueoffset + 24,
            offsets=page.tags[_STRIP_OFFSETS].valueoffset,
            sizes=page.tags[_STRIP_SIZES].valueoffset,
        )


def _deflate(pixels: NDArray[np.generic]) -> list[bytes]:
    """Compress strip by strip, each pixel less its western neighbour."""
    rows = _rows_per_strip(pixels)
    steps = np.diff(pixels, axis=1, prepend=pixels.dtype.type(0))
    raw = [steps[top : top + rows].tobytes() for top in range(0, len(steps), rows)]
    # Strips of a formula are often alike.
    compressed = {strip: zlib.compress(strip) for strip in set(raw)}
    return [compressed[strip] for strip in raw]


def _rows_per_strip(pixels: NDArray[np.generic]) -> int:
    """Rows that GDAL puts into a strip."""
    height, width = pixels.shape
    rows: int = min(_STRIP_BYTES // (width * pixels.itemsize), height)
    return rows


def _encode(pixels: NDArray[np.generic], epsg: int, *, is_deflated: bool) -> bytes:
    """Encode a file from scratch, its corner at 0, 0."""
    import tifffile

    file = io.BytesIO()
    tifffile.imwrite(
        file,
        pixels,
        photometric="minisblack",
        compression="zlib" if is_deflated else None,
        predictor=is_deflated,
        rowsperstrip=_rows_per_strip(pixels),
        metadata=None,
        software="",
        byteorder="<",
        extratags=_geo_tags(epsg, res_m=PATCH_SIDE_M / pixels.shape[1]),
    )
    return file.getvalue()


def _geo_tags(epsg: int, *, res_m: float) -> list[tuple[int, str, int, Any, bool]]:
    """Tags that say where pixels lie, the corner at 0, 0: code, type, count, values, and that it is written once."""
    name = f"WGS 84 / UTM zone {epsg - _FIRST_ZONE_NORTH}N|"
    keys = (
        *(1, 1, 0, 7),
        *(1024, 0, 1, 1),  # projected
        *(1025, 0, 1, 1),  # a pixel is an area
        *(1026, 34737, len(name), 0),
        *(2049, 34737, 7, len(name)),
        *(2054, 0, 1, 9102),  # degrees
        *(3072, 0, 1, epsg),
        *(3076, 0, 1, 9001),  # metres
    )
    return [
        (33550, "d", 3, (res_m, res_m, 0.0), True),
        (_TIEPOINT, "d", 6, (0.0,) * 6, True),
        (34735, "H", len(keys), keys, True),
        (34737, "s", 0, f"{name}WGS 84|", True),
    ]


def _tag(data: bytes, code: int) -> tuple[int, int]:
    """Find where the entry of a tag stands, and where its value."""
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        tag = file.pages.first.tags[code]
        return tag.offset, tag.valueoffset
