"""Decode packed patches on the host, many in one call, without a line of Python a patch, and without the lock."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.device.compiling import compile_kernel, compiled_once

if TYPE_CHECKING:
    from bigearth_xr.device.kernels.blosc import PackedArrays

__all__ = ["Packed", "unpack"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Packed:
    """Where packed patches are in memory, by pixel array: `bigearth_xr.device.host.apply_packed` unpacks them."""

    starts: NDArray[np.uint64]
    """Addresses, shape ``(source, patch)``."""

    lengths: NDArray[np.int64]
    """Bytes of each."""

    patch_bytes: tuple[int, ...]
    """Bytes of a patch of each source, once unpacked."""

    itemsizes: tuple[int, ...]
    """Bytes of a pixel of each source: 2 or 4."""


def unpack(
    sources: NDArray[np.uint64],
    lengths: NDArray[np.integer],
    targets: NDArray[np.uint64],
    *,
    patch_bytes: int,
    itemsize: int,
) -> NDArray[np.bool_]:
    """Decode what Blosc packed of patches of one array: LZ4, bits shuffled, a patch in a block.

    The first call of all on a machine compiles for some seconds, and says so.

    Parameters
    ----------
    sources, lengths
        Where in memory each packed patch is, and its bytes, shape ``(patch,)``.
    targets
        Where in memory the pixels of each are to be written, shape ``(patch,)``.
    patch_bytes, itemsize
        Bytes of a decoded patch and of a pixel; of these, 2 or 4.

    Returns
    -------
    NDArray
        Which were decoded, shape ``(patch,)``. Others are damaged, or packed in another way: a library that knows all
        ways is to be asked. What is in their place now means nothing.

    Examples
    --------
    >>> import imagecodecs
    >>> pixels, decoded = np.arange(800, dtype=np.uint16), np.zeros(800, np.uint16)
    >>> packed = np.frombuffer(imagecodecs.blosc_encode(pixels, compressor="lz4", shuffle="bitshuffle"), np.uint8)
    >>> source, target = np.uint64([packed.ctypes.data]), np.uint64([decoded.ctypes.data])
    >>> unpack(source, np.array([packed.size]), target, patch_bytes=1600, itemsize=2)
    array([ True])
    >>> bool((decoded == pixels).all())
    True
    """
    unpacked = np.zeros(len(sources), np.bool_)
    _kernel()(sources, lengths.astype(np.int64), targets, patch_bytes, itemsize, unpacked)
    return unpacked


def packed_of(packed: Packed | None) -> "PackedArrays":
    """Say where patches lie packed; with no patches, where they lie as they are.

    Examples
    --------
    >>> packed_of(None).unpacked.size
    0
    """
    from bigearth_xr.device.kernels.blosc import PackedArrays

    starts = np.zeros((0, 0)) if packed is None else packed.starts
    sizes = [] if packed is None else [*zip(packed.patch_bytes, packed.itemsizes, strict=True)]
    return PackedArrays(
        starts=np.array(starts, np.uint64),
        lengths=np.array(starts if packed is None else packed.lengths, np.int64),
        sizes=np.array(sizes, np.int64).reshape(-1, 2),
        unpacked=np.zeros(starts.shape[1], np.bool_),
    )


@compiled_once
def _kernel() -> Any:
    from bigearth_xr.device.kernels import blosc

    addresses, lengths = np.zeros(1, np.uint64), np.zeros(1, np.int64)
    return compile_kernel(blosc.unpack_patches, (addresses, lengths, addresses, 1, 1, np.zeros(1, np.bool_)))
