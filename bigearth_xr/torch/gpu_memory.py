"""Native pixels kept in the memory of a GPU."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bigearth_xr.store.batch import BatchReader

__all__ = ["GpuMemory", "as_arrays", "pinned_buffers"]


class GpuMemory:
    """Where a `CachedReader` keeps native pixels on a GPU, as `bigearth_xr.batches.cache.Memory` does on the host.

    torch allocates it: its allocator knows of it, and gives it back with it.

    Parameters
    ----------
    device
        Which GPU.

    Examples
    --------
    >>> memory = GpuMemory(torch.device("cuda", 0))  # doctest: +SKIP
    >>> memory.allocate("s1", 2, 115_200)  # doctest: +SKIP
    >>> memory.start("s1") % 16  # doctest: +SKIP
    0
    """

    on_gpu = True
    """Whether addresses are of a GPU."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._arrays: dict[str, torch.Tensor] = {}

    def __reduce__(self) -> tuple[type["GpuMemory"], tuple[torch.device]]:
        """Travel empty."""
        return GpuMemory, (self._device,)

    def allocate(self, name: str, patches: int, patch_bytes: int) -> None:
        """Take memory for so many patches of an array."""
        self._arrays[name] = torch.empty((patches, patch_bytes), dtype=torch.uint8, device=self._device)

    def start(self, name: str) -> int:
        """Address of the first patch of an array, on the GPU."""
        return self._arrays[name].data_ptr()

    def read(self, reader: BatchReader, rows: NDArray[np.integer], slots: slice) -> None:
        """Read patches of every array into their slots, through pinned memory."""
        pinned = pinned_buffers(reader, rows.size)
        reader.read(rows, out=as_arrays(pinned, reader))
        for name, pixels in pinned.items():
            self._arrays[name][slots].copy_(pixels, non_blocking=True)
        # The pinned memory is let go of next; and whatever stream reads the slots finds them filled.
        torch.cuda.synchronize(self._device)

    def keep(self) -> object:
        """What has to live as long as its addresses are used."""
        return self._arrays


def pinned_buffers(reader: Any, patches: int) -> dict[str, torch.Tensor]:
    """Take pinned memory of the host for so many patches of each array, shape ``(patch, byte)``.

    Examples
    --------
    >>> pinned_buffers(None, 256)  # doctest: +SKIP
    """
    return {
        array.name: torch.empty((patches, array.patch_bytes), dtype=torch.uint8, pin_memory=True)
        for array in reader.sources
    }


def as_arrays(buffers: dict[str, torch.Tensor], reader: Any) -> dict[str, NDArray[Any]]:
    """View buffers of the host, shape ``(patch, byte)``, as what a reader reads into.

    Examples
    --------
    >>> from types import SimpleNamespace as Stored
    >>> stored = Stored(name="s2_60m", dtype="uint16", size=20, bands=("B01", "B09"))
    >>> pixels = as_arrays({"s2_60m": torch.zeros((3, 1600), dtype=torch.uint8)}, Stored(sources=[stored]))
    >>> pixels["s2_60m"].shape, pixels["s2_60m"].dtype
    ((3, 2, 20, 20), dtype('uint16'))
    """
    return {
        array.name: buffers[array.name].numpy().view(array.dtype).reshape(-1, len(array.bands), array.size, array.size)
        for array in reader.sources
    }
