"""Unpack one patch at a time, into memory that stays in the cache until its pixels are transformed."""

from typing import Any, NamedTuple

import numpy as np

from bigearth_xr.device.kernels.bitplanes import ROOM
from bigearth_xr.device.kernels.blosc import unpack_patch
from bigearth_xr.device.kernels.memory import kernel

__all__ = ["PackedArrays", "pixel_room", "unpack_sources"]


class PackedArrays(NamedTuple):
    """`bigearth_xr.device.unpacking.Packed` as arrays; of pixels that lie as they are, with no patches."""

    starts: Any
    """Addresses, shape ``(source, patch)``, uint64."""

    lengths: Any
    """Bytes of each, int64."""

    sizes: Any
    """Bytes of a patch and of a pixel, shape ``(source, 2)``, int64."""

    unpacked: Any
    """Which patches were unpacked, shape ``(patch,)``, bool; to be written."""


@kernel
def pixel_room(packed: Any) -> Any:
    """Make room for the pixels of a patch, and to unpack its largest source in.

    Examples
    --------
    >>> sizes = np.int64([[1600, 2], [800, 2]])
    >>> packed = PackedArrays(np.zeros((2, 0), np.uint64), np.zeros((2, 0), np.int64), sizes, np.zeros(0, bool))
    >>> pixel_room(packed).size - ROOM
    4000
    """
    together, largest = 0, 0
    for source in range(len(packed.sizes)):
        together += packed.sizes[source, 0]
        largest = max(largest, packed.sizes[source, 0])
    return np.empty(together + largest + ROOM, np.uint8)


@kernel
def unpack_sources(packed: Any, patch: Any, addresses: Any, room: Any) -> Any:
    """Unpack the sources of a patch, if they are packed as we pack them.

    Parameters
    ----------
    packed, patch
        What, and which of its patches.
    addresses
        Shape ``(source, patch)``, uint64; those of the patch are to be written: where its pixels are now.
    room
        By `pixel_room`; the next patch takes the place of this one.

    Returns
    -------
    bool
        Whether they were.

    Examples
    --------
    >>> starts, lengths, sizes = np.zeros((0, 1), np.uint64), np.zeros((0, 1), np.int64), np.zeros((0, 2), np.int64)
    >>> packed = PackedArrays(starts, lengths, sizes, np.zeros(1, bool))
    >>> unpack_sources(packed, 0, np.zeros((0, 1), np.uint64), pixel_room(packed))
    True
    """
    target = np.uint64(room.ctypes.data)
    spare = target + np.uint64(packed.sizes[:, 0].sum())
    planes = np.empty(4, np.uint64)
    for source in range(len(packed.sizes)):
        size, width = packed.sizes[source, 0], packed.sizes[source, 1]
        start, length = packed.starts[source, patch], packed.lengths[source, patch]
        if not unpack_patch(start, length, target, size, width, spare, planes):
            return False
        addresses[source, patch] = target
        target += np.uint64(size)
    return True
