"""Where the native pixels of a batch are, and whose that memory is meanwhile."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.device.unpacking import Packed
from bigearth_xr.errors import BatchError

__all__ = ["Located", "LocatedPacked"]


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

    Examples
    --------
    >>> pixels = np.arange(4, dtype=np.uint16)
    >>> with Located(np.uint64([[pixels.ctypes.data]]), pixels) as located:
    ...     located.addresses.shape
    (1, 1)
    >>> located.addresses
    Traceback (most recent call last):
    ...
    bigearth_xr.errors.BatchError: this batch was released, its memory is another's; read it before, or locate it again
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
        """Where the patches lie packed, for who unpacks them one at a time; None where they lie as they are."""
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
    """Patches that lie packed; they are decoded all at once if somebody asks for the addresses of their pixels.

    Parameters
    ----------
    packed
        Where they lie.
    kept
        What keeps that memory.
    decode
        Called once, when it is asked for addresses.

    Examples
    --------
    >>> nothing = np.zeros((1, 0), np.uint64)
    >>> packed = Packed(starts=nothing, lengths=nothing.astype(int), patch_bytes=(1600,), itemsizes=(2,))
    >>> located = LocatedPacked(packed, packed, lambda: Located(nothing, packed))
    >>> located.addresses.shape, located.packed is packed
    ((1, 0), True)
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
