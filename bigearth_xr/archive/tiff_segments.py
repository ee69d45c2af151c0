"""The strips or tiles of an image: how they are cut and encoded, and the pixels that they give."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.archive.source import Data
from bigearth_xr.errors import PatchError

if TYPE_CHECKING:
    from tifffile import TiffPage


STORED = 1

_NO_PREDICTOR, _DIFFERENCES, _FLOATING = 1, 2, 3
"""A pixel is stored as it is, as the difference to its left neighbour, or as a float whose bytes are apart."""

_LZW = 5

_CODECS = {_LZW: "lzw", 8: "deflate", 32773: "packbits", 32946: "deflate", 34925: "lzma", 34926: "zstd", 50000: "zstd"}
"""Lossless ones, as imagecodecs calls them; deflate is libdeflate, half again as fast as zlib, and checks checksums."""

_WITHOUT_PREDICTOR = (STORED, 32773)
"""Compressions that take no notice of a predictor, whatever the header says."""

_MOST_BYTES = 1 << 26
"""Of a segment: 4,096 × 4,096 floats. More is a header that lies."""

_MOST_KEPT = 1 << 21
"""Bytes of memory that a thread keeps for the tiles of one file: a COG has a megabyte of padding, and new memory for it
takes longer than to decode it."""

_kept = threading.local()


class _Decoder(Protocol):
    def __call__(self, data: Data, /, *, out: NDArray[np.uint8]) -> NDArray[np.uint8]: ...


@dataclass(frozen=True, kw_only=True)
class Segments:
    """How the pixels of an image are cut into strips or tiles, and how each of these is encoded."""

    shape: tuple[int, int]
    """Rows and columns of the image."""

    side: tuple[int, int]
    """Rows and columns of a segment."""

    is_tiled: bool
    """Whether those at the lower and right border are as large as all others, and end in padding."""

    dtype: np.dtype[np.generic]
    """Type of a pixel, in the byte order of the file."""

    compression: int
    """Code of the compression."""

    predictor: int
    """What a value is the difference to."""

    nodata: float
    """Value of the pixels of segments that were never written."""

    @cached_property
    def grid(self) -> tuple[int, int]:
        """Segments below and beside each other."""
        return -(-self.shape[0] // self.side[0]), -(-self.shape[1] // self.side[1])

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """Bytes of each segment when decoded."""
        (down, across), (rows, columns) = self.grid, self.side
        whole = rows * columns * self.dtype.itemsize
        last = whole if self.is_tiled else (self.shape[0] - (down - 1) * rows) * columns * self.dtype.itemsize
        return (whole,) * (down * across - 1) + (last,)

    @cached_property
    def wanted(self) -> tuple[int, ...]:
        """Bytes of each segment that are decoded: LZW, which has no checksum after them, not into the last padding."""
        if self.compression != _LZW or not self.is_tiled:
            return self.lengths
        (down, across), (rows, columns) = self.grid, self.side
        last = (self.shape[0] - (down - 1) * rows) * columns * self.dtype.itemsize
        return self.lengths[across:] + (last,) * across

    def decode(self, data: Data, offsets: Sequence[int], sizes: Sequence[int]) -> NDArray[np.generic]:
        """Decode all segments, of which none may lie outside of the file.

        Parameters
        ----------
        data
            The whole file.
        offsets, sizes
            Place of each segment, and its bytes; both 0 for one that was never written.

        Returns
        -------
        numpy.ndarray
            Shape ``(y, x)``, native byte order, read-only.

        Raises
        ------
        ValueError, RuntimeError
            If a segment is damaged, or holds more or less than its pixels.

        Examples
        --------
        >>> raw = {"compression": 1, "predictor": 1, "dtype": np.dtype("uint8"), "nodata": 0}
        >>> whole = Segments(shape=(2, 3), side=(16, 16), is_tiled=True, **raw)
        >>> whole.decode(bytes(range(256)), [0], [256])
        array([[ 0,  1,  2],
               [16, 17, 18]], dtype=uint8)
        """
        lengths = self.lengths
        if self.compression == STORED and _follow(offsets, sizes, lengths):
            # No need to copy padding.
            values: NDArray[Any] = np.frombuffer(data, np.uint8, sum(lengths), offsets[0])
            return _frozen(self._arranged(values.view(self.dtype) if self.is_tiled else values.copy().view(self.dtype)))
        buffer = _room(sum(lengths) + 1) if self.is_tiled else np.empty(sum(lengths) + 1, np.uint8)
        decode, start = self._decoder, 0
        for offset, size, length, wanted in zip(offsets, sizes, lengths, self.wanted, strict=True):
            if size or offset:
                # One byte more than there should be: a segment that holds more is refused, not cut.
                stop = start + length + 1 if wanted == length else start + wanted
                found = len(decode(data[offset : offset + size], out=buffer[start:stop]))
                if found != wanted:
                    raise ValueError(f"a segment at byte {offset:,} holds {found:,} bytes, expected {length:,}")
            start += length
        pixels = self._arranged(buffer[:-1].view(self.dtype))
        if not all(sizes):
            self._fill(pixels, [i for i, size in enumerate(sizes) if not size])
        return _frozen(pixels)

    @cached_property
    def _decoder(self) -> _Decoder:
        if self.compression == STORED:
            return _copy
        import imagecodecs

        found: _Decoder = getattr(imagecodecs, f"{_CODECS[self.compression]}_decode")
        return found

    def _arranged(self, values: NDArray[Any]) -> NDArray[np.generic]:
        """Give the pixels of the image, without padding, of the values of its segments one after the other."""
        (height, width), (rows, columns), (down, across) = self.shape, self.side, self.grid
        if not self.is_tiled:
            return self._undone(values.reshape(height, width))
        tiles = values.reshape(down, across, rows, columns)
        if (down, across) == (1, 1):
            # All of the padding, if it is at the border only.
            tiles = tiles[:, :, :height, : columns if self.predictor == _FLOATING else width]
        tiles = self._undone(tiles)
        _, _, rows, columns = tiles.shape
        pixels: NDArray[np.generic] = tiles.swapaxes(1, 2).reshape(down * rows, across * columns)[:height, :width]
        # Out of the room, in which the next file will be decoded.
        return pixels.copy()

    def _undone(self, values: NDArray[Any]) -> NDArray[Any]:
        """Give values in native byte order, summed up along the last axis where they are differences."""
        if self.predictor == _FLOATING:
            import imagecodecs

            # Their bytes are in one order whatever the file's.
            floats: NDArray[Any] = imagecodecs.floatpred_decode(
                np.ascontiguousarray(values).view(self.dtype.newbyteorder("=")), axis=-1
            )
            return floats
        values = values.astype(self.dtype.newbyteorder("="), copy=False)
        if self.predictor == _DIFFERENCES:
            import imagecodecs

            # Floats too are subtracted as integers, which wrap around.
            integers = np.ascontiguousarray(values).view(f"u{values.itemsize}")
            summed: NDArray[Any] = imagecodecs.delta_decode(integers, axis=-1)
            return summed.view(values.dtype)
        return values

    def _fill(self, pixels: NDArray[Any], absent: Sequence[int]) -> None:
        """Give the pixels of segments that were never written the value that stands for them."""
        if len(absent) == len(self.lengths):
            raise ValueError("none of its pixels was ever written")
        for number in absent:
            row, column = (place * side for place, side in zip(divmod(number, self.grid[1]), self.side, strict=True))
            pixels[row : row + self.side[0], column : column + self.side[1]] = self.nodata


def find_segments(page: "TiffPage", *, where: str) -> Segments | None:
    """Tell how an image is cut and encoded; None where only tifffile can decode it.

    Raises
    ------
    PatchError
        If a tile is larger than any program makes it.
    """
    side = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    side = side if page.is_tiled else (min(side[0], page.imagelength), side[1])
    dtype = np.dtype(page.dtype)
    if page.is_tiled and side[0] * side[1] * dtype.itemsize > _MOST_BYTES:
        raise PatchError(
            f"{where}: its tiles are of {side[0]:,} × {side[1]:,} pixels, expected {_MOST_BYTES:,} bytes at most; save "
            "it with smaller tiles, or remove the patch"
        )
    is_one_image = page.samplesperpixel == page.imagedepth == page.fillorder == 1 and dtype.kind in "uif"
    is_whole = page.bitspersample == 8 * dtype.itemsize
    is_known = page.compression == STORED or page.compression in _CODECS
    predictor = _NO_PREDICTOR if page.compression in _WITHOUT_PREDICTOR else int(page.predictor)
    fits = predictor in (_NO_PREDICTOR, _DIFFERENCES) or (predictor == _FLOATING and dtype.kind == "f")
    if not (is_one_image and is_whole and is_known and fits):
        return None
    return Segments(
        shape=(page.imagelength, page.imagewidth),
        side=side,
        is_tiled=page.is_tiled,
        dtype=dtype.newbyteorder(page.parent.byteorder),
        compression=int(page.compression),
        predictor=predictor,
        nodata=page.nodata,
    )


def _follow(offsets: Sequence[int], sizes: Sequence[int], lengths: Sequence[int]) -> bool:
    """Tell whether segments of these lengths follow each other without a gap."""
    ends = (offset + length for offset, length in zip(offsets, lengths, strict=True))
    return tuple(sizes) == tuple(lengths) and all(map(int.__eq__, ends, offsets[1:]))


def _frozen(pixels: NDArray[np.generic]) -> NDArray[np.generic]:
    pixels.flags.writeable = False
    return pixels


def _room(size: int) -> NDArray[np.uint8]:
    """Memory of this thread to decode tiles into, until the next file."""
    room: NDArray[np.uint8] | None = getattr(_kept, "room", None)
    if room is None or len(room) < size:
        room = np.empty(size, np.uint8)
        if size <= _MOST_KEPT:
            _kept.room = room
    return room[:size]


def _copy(data: Data, /, *, out: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Decode what is stored as it is."""
    found = out[: len(data)]
    found[:] = np.frombuffer(data[: len(out)], np.uint8)
    return found
