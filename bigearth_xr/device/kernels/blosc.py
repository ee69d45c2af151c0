"""Decode patches that Blosc packed: LZ4 over planes of bits, all of a patch in one block.

The format is that of Blosc 1 (README_CHUNK_FORMAT of the library): 16 bytes of header, the place of the block, and for
each byte of a number the planes of its bits, behind their length. Planes that LZ4 makes no smaller lie as they are, and
are read from there.
"""

from typing import Any

import numpy as np

from bigearth_xr.device.kernels.bitplanes import ROOM, gather
from bigearth_xr.device.kernels.lz4 import decompress
from bigearth_xr.device.kernels.memory import advance, get, kernel
from bigearth_xr.device.kernels.octets import bytes_at

__all__ = ["unpack_patch", "unpack_patches"]

_FORMAT, _LZ4_OF_BITS = 2, 0x24
_HEADER = 16
_FIRST = _HEADER + 4
"""Where the planes begin, behind the place of the only block."""


@kernel
def unpack_patches(sources: Any, lengths: Any, targets: Any, size: Any, width: Any, unpacked: Any) -> None:
    """Decode patches of one array.

    Parameters
    ----------
    sources, targets
        Addresses of the packed patches, and of where their pixels are to be written, arrays of uint64.
    lengths
        Bytes of the packed ones, array of int64.
    size
        Bytes of a patch: a multiple of ``8 * width``.
    width
        Bytes of a pixel: 2 or 4.
    unpacked
        Array of bool, to be written: which are what a patch is packed to. What is written of others means nothing.

    Examples
    --------
    >>> import imagecodecs
    >>> pixels, decoded, unpacked = np.arange(800, dtype=np.uint16), np.zeros(800, np.uint16), np.zeros(1, bool)
    >>> packed = np.frombuffer(imagecodecs.blosc_encode(pixels, compressor="lz4", shuffle="bitshuffle"), np.uint8)
    >>> addresses = [np.uint64([array.ctypes.data]) for array in (packed, decoded)]
    >>> unpack_patches(addresses[0], np.int64([packed.size]), addresses[1], 1600, 2, unpacked)
    >>> bool(unpacked[0]), bool((decoded == pixels).all())
    (True, True)
    """
    room = np.empty(size + ROOM, np.uint8)
    planes = np.empty(width, np.uint64)
    for patch in range(len(sources)):
        source, target, spare = sources[patch], targets[patch], np.uint64(room.ctypes.data)
        unpacked[patch] = unpack_patch(source, lengths[patch], target, size, width, spare, planes)


@kernel
def unpack_patch(source: Any, length: Any, target: Any, size: Any, width: Any, room: Any, planes: Any) -> Any:
    """Decode a patch of one array.

    Parameters
    ----------
    source, length, target, size, width
        As `unpack_patches` takes them, of one patch.
    room
        Address of ``size + ROOM`` bytes to work in.
    planes
        Array of ``width`` uint64, to work in.

    Returns
    -------
    bool
        Whether that is what a patch is packed to.

    Examples
    --------
    >>> bool(unpack_patch(np.uint64(0), 0, np.uint64(0), 1600, 2, np.uint64(0), np.zeros(2, np.uint64)))
    False
    """
    found = _find(source, length, size, width, room, planes)
    if found:
        gather(planes, width, size // (8 * width), target, room + np.uint64(size))
    return found


@kernel
def _find(source: Any, length: Any, size: Any, width: Any, room: Any, planes: Any) -> Any:
    """Find the planes of each byte of the pixels, or decompress them; and tell whether they are there."""
    packed, each = bytes_at(source), size // width
    if not _is_known(packed, length, size, width):
        return False
    at = _FIRST
    for byte in range(width):
        if at + 4 > length:
            return False
        taken = _number(packed, at)
        at += 4
        if taken > length - at:
            return False
        planes[byte] = source + np.uint64(at)
        if taken != each:
            planes[byte] = room + np.uint64(byte * each)
            if not decompress(advance(packed, at), taken, bytes_at(planes[byte]), each):
                return False
        at += taken
    return at == length


@kernel
def _is_known(packed: Any, length: Any, size: Any, width: Any) -> Any:
    """Whether a header is that of a patch in one block."""
    return (
        length >= _FIRST
        and get(packed, 0) == _FORMAT
        and get(packed, 2) == _LZ4_OF_BITS
        and get(packed, 3) == width
        and _number(packed, 4) == size
        and _number(packed, 8) == size
        and _number(packed, 12) == length
        and _number(packed, _HEADER) == _FIRST
    )


@kernel
def _number(packed: Any, at: Any) -> Any:
    """The uint32 at a place."""
    low = np.int64(get(packed, at)) | np.int64(get(packed, at + 1)) << 8
    return low | np.int64(get(packed, at + 2)) << 16 | np.int64(get(packed, at + 3)) << 24
