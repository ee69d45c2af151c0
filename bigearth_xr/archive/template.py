"""The headers of the archive's GeoTIFFs, recognized byte by byte instead of parsed.

The archive has eight million files but only a few dozen headers: apart from the corner of the patch, a header of stored
pixels is a function of band and UTM zone. So each is parsed once, by tifffile in 250 µs, and from then on compared in
1 µs with what it has to be. What is compressed, or saved anew, is for `bigearth_xr.archive.directory`.
"""

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.archive.segments import STORED, Data

if TYPE_CHECKING:
    from tifffile import TiffPage

__all__ = ["CORNER", "Data", "Template", "learn_template"]

CORNER = struct.Struct("<2d")
"""Easting and northing of the upper left corner, as a header has them."""

_TIEPOINT = 33922


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

        Examples
        --------
        Learnt and asked by `bigearth_xr.archive.tiff.read_pixels`.

        >>> CORNER.pack(331200, 5331600).hex()
        '000000000037144100000000a4565441'
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
    """Make a template of a file that was parsed; None where its header depends on more than a template knows.

    Parameters
    ----------
    page
        As tifffile parsed it; complete.
    data
        The whole file.
    corner, epsg, res_m
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
