"""Memory of batches: buffers of the caller or recycled ones, copies, and where the pixels of a batch lie."""

import ctypes
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.device.host import Packed
from bigearth_xr.errors import BatchError
from bigearth_xr.store.schema import PixelArray

__all__ = ["Located", "copy_bytes"]

_KEPT = 8
"""Buffers that wait to be used again; more are given back to the system."""


def new_buffers(arrays: Sequence[PixelArray], patches: int) -> dict[str, NDArray[Any]]:
    """Make memory for the native pixels of some patches.

    Returns
    -------
    dict
        By array name, shape ``(patch, band, y, x)``, that of the reference map ``(patch, y, x)``; not filled.
    """
    return {array.name: np.empty((patches, *array.patch_shape), array.dtype) for array in arrays}


def check_buffers(out: Mapping[str, NDArray[Any]], arrays: Sequence[PixelArray], patches: int) -> None:
    """Refuse memory that the native pixels of some patches cannot be written into.

    Raises
    ------
    BatchError
        Says which array, what is wrong, and how to make one that is right.
    """
    if not isinstance(out, Mapping):
        raise BatchError(f"out is a {type(out).__name__}, expected a dict of arrays by name; {_REMEDY}")
    names = [array.name for array in arrays]
    if set(out) != set(names):
        raise BatchError(f"out has arrays {', '.join(out) or 'none'}, expected {', '.join(names)}; {_REMEDY}")
    for array in arrays:
        problem = _problem(out[array.name], (patches, *array.patch_shape), np.dtype(array.dtype))
        if problem:
            raise BatchError(f"out[{array.name!r}] {problem}; {_REMEDY}")


_REMEDY = "make it by reader.buffers(patches), or leave `out` out"


def _problem(found: object, shape: tuple[int, ...], dtype: np.dtype[Any]) -> str:
    """What keeps pixels from being written there; nothing if all is well."""
    if not isinstance(found, np.ndarray):
        return f"is a {type(found).__name__}, expected a NumPy array; a tensor on the host lends its own by .numpy()"
    if found.dtype != dtype:
        return f"is {found.dtype}, expected {dtype}"
    if found.shape != shape:
        return f"has shape {found.shape}, expected {shape}"
    if not found.flags.c_contiguous:
        return "does not lie in one piece (C order)"
    return "" if found.flags.writeable else "is read-only"


class DecodePool:
    """Buffers to decode patches into, used again and again, by any thread."""

    def __init__(self) -> None:
        # Its ends are changed in one step, so that a buffer may come back from a destructor, without a lock.
        self._waiting: deque[NDArray[np.uint8]] = deque(maxlen=_KEPT)

    def take(self, size: int) -> NDArray[np.uint8]:
        """Give out a buffer of at least `size` bytes."""
        for _ in range(len(self._waiting)):
            try:
                buffer = self._waiting.popleft()
            except IndexError:
                break
            if size <= buffer.size <= 2 * size + _SMALL:
                return buffer
            self._waiting.append(buffer)
        return np.empty(math.ceil(size / _SMALL) * _SMALL, np.uint8)

    def give(self, buffer: NDArray[np.uint8]) -> None:
        """Take a buffer back that is not read any more."""
        self._waiting.append(buffer)


_SMALL = 1 << 16
"""Sizes are rounded up to this, so that batches that differ by a few patches share buffers."""


class Located(AbstractContextManager["Located"]):
    """Where the native pixels of a batch lie in this process's memory, which stays theirs as long as this lives.

    Leaving its context, or `release`, hands decoded pixels' memory to the next batch.

    Parameters
    ----------
    addresses
        Of each patch's first pixel, shape ``(source, patch)``.
    kept
        What keeps the memory.
    give_back
        Called once, when it is released.
    """

    def __init__(
        self, addresses: NDArray[np.uint64], kept: object, give_back: Callable[[], object] | None = None
    ) -> None:
        self._addresses, self._kept, self._give_back = addresses, kept, give_back

    @property
    def addresses(self) -> NDArray[np.uint64]:
        """Address of each patch's first pixel, shape ``(source, patch)``; to be read, never to be written to."""
        self._check()
        return self._addresses

    @property
    def packed(self) -> Packed | None:
        """Where the patches lie packed, for callers that unpack them one at a time; None where they lie as they are."""
        return None

    def release(self) -> None:
        """Give the memory up; nothing happens the second time."""
        give_back, self._give_back, self._kept = self._give_back, None, None
        if give_back is not None:
            give_back()

    def _check(self) -> None:
        if self._kept is None:
            raise BatchError("this batch was released, its memory is another's; read it before, or locate it again")

    def __exit__(self, *_: object) -> None:
        self.release()

    def __del__(self) -> None:
        self.release()


class LocatedPacked(Located):
    """Patches that lie packed; they are decoded all at once if a caller asks for the addresses of their pixels.

    Parameters
    ----------
    packed
        Where they lie.
    kept
        What keeps that memory.
    decode
        Called once, when it is asked for addresses.
    """

    def __init__(self, packed: Packed, kept: object, decode: Callable[[], Located]) -> None:
        super().__init__(np.empty((0, 0), np.uint64), kept)
        self._packed, self._decode = packed, decode
        self._decoded: Located | None = None

    @property
    def addresses(self) -> NDArray[np.uint64]:
        """Address of each patch's first pixel, shape ``(source, patch)``; to be read, never to be written to.

        Raises
        ------
        ChecksumError
            If bytes do not decode to a patch.
        """
        self._check()
        if self._decoded is None:
            self._decoded = self._decode()
        return self._decoded.addresses

    @property
    def packed(self) -> Packed:
        """Where the patches lie packed."""
        self._check()
        return self._packed

    def release(self) -> None:
        """Give the memory up; nothing happens the second time."""
        super().release()
        if self._decoded is not None:
            self._decoded.release()


def copy_bytes(targets: NDArray[np.uint64], sources: NDArray[np.uint64], length: int) -> None:
    """Copy as many bytes from each address to each other one: a loop in C, that lets other threads run.

    Parameters
    ----------
    targets, sources
        Addresses on the host, shape ``(patch,)`` each.
    length
        Bytes of each copy.
    """
    deque(map(ctypes.memmove, targets.tolist(), sources.tolist(), repeat(length)), maxlen=0)
