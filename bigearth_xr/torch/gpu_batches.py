"""Batches on a GPU: native pixels cross the bus once, as they are stored, and one kernel makes the batch of them.

Copies and kernels have streams of their own, so that they overlap with the model's. Who waits for whom, by events:

- the kernel for the copy of its pixels, and for nothing else;
- the consumer's stream, when it is handed a batch, for the kernel that made it;
- memory of native pixels on the GPU for the kernel, before torch gives it to another copy (`record_stream`);
- memory of a batch for the consumer's stream, before it becomes another batch (`record_stream`);
- pinned memory on the host for its copy, before the next batch is read into it.

Not yet measured on a GPU.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bigearth_xr.batches.cache import CachedReader
from bigearth_xr.batches.making import Drawn, Maker, grouped
from bigearth_xr.errors import LoaderError
from bigearth_xr.torch.batch import Made, PatchBatch
from bigearth_xr.torch.gpu_memory import as_arrays, pinned_buffers

__all__ = ["GpuEngine"]


class GpuEngine:
    """Makes batches on a GPU; may be used by many threads at once.

    Parameters
    ----------
    maker
        Of what.
    device
        Which GPU.

    Examples
    --------
    >>> engine = GpuEngine(maker, torch.device("cuda", 0))  # doctest: +SKIP
    """

    def __init__(self, maker: Maker, device: torch.device) -> None:
        if maker.recipe.nonfinite != "keep":
            raise LoaderError("nonfinite is looked for on the host alone; use 'keep', and torch.nan_to_num on batches")
        self._maker, self.device = maker, device
        # torch has no types for the making of streams.
        self._copies: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._kernels: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def __reduce__(self) -> tuple[type["GpuEngine"], tuple[Maker, torch.device]]:
        """Travel without streams."""
        return GpuEngine, (self._maker, self.device)

    def start(self) -> None:
        """Do nothing: the first batch has the kernel compiled."""

    def make(self, places: NDArray[np.intp], repeats: NDArray[np.int64], epoch: int) -> Made:
        """Make a batch; returns before the GPU has."""
        maker = self._maker
        order = grouped(maker.patches, places)
        places = places[order]
        drawn = maker.draw(places, repeats[order], epoch)
        labels, drawn = maker.labels(places, drawn)
        with torch.cuda.device(self.device):
            staged = [self._stage(one) for one in drawn]
            copied = self._copies.record_event()
            with torch.cuda.stream(self._kernels):
                self._kernels.wait_event(copied)
                images = [self._transform(drawn, staged, view, places.size) for view in range(maker.recipe.views)]
                on_gpu = torch.from_numpy(labels).pin_memory().to(self.device, non_blocking=True)
                ready = self._kernels.record_event()
        batch = PatchBatch(
            image=images[0],
            labels=on_gpu,
            row=torch.from_numpy(maker.patches.row[places]),
            place=torch.from_numpy(places),
            image2=images[1] if len(images) > 1 else None,
        )
        return Made(batch=batch, ready=ready)

    def deliver(self, made: Made) -> PatchBatch:
        """Have the consumer's current stream wait for the kernel; the consumer's thread does not wait."""
        current = torch.cuda.current_stream(self.device)
        current.wait_event(made.ready)
        for tensor in (made.batch.image, made.batch.labels, made.batch.image2):
            if tensor is not None:
                tensor.record_stream(current)
        return made.batch

    def _transform(
        self, drawn: Sequence[Drawn], staged: Sequence[NDArray[np.uint64]], view: int, patches: int
    ) -> torch.Tensor:
        """Start the kernel for one view of a batch, in the kernels' stream, which is the current one."""
        from bigearth_xr.device.cuda import apply

        kind = getattr(torch, self._maker.recipe.dtype)
        image = torch.empty((patches, *self._maker.patch_shape), dtype=kind, device=self.device)
        for one, addresses in zip(drawn, staged, strict=True):
            apply(one.part.transform, addresses, one.views[view], out=image[one.within], stream=self._kernels)
        return image

    def _stage(self, one: Drawn) -> NDArray[np.uint64]:
        """Copy native pixels to the GPU that are not kept there, in the copies' stream; and say where they all are."""
        reader: Any = one.part.reader
        addresses = np.zeros((len(reader.sources), one.numbers.size), np.uint64)
        missing = np.arange(one.numbers.size)
        if isinstance(reader, CachedReader) and reader.is_on_gpu:
            addresses, missing = reader.kept_addresses(one.numbers), np.flatnonzero(~reader.is_kept(one.numbers))
            reader = reader.uncached
        if not missing.size:
            return addresses
        # torch lends neither pinned memory before its copy is done, nor the GPU's before a stream on record is.
        pinned = pinned_buffers(reader, missing.size)
        reader.read(one.numbers[missing], out=as_arrays(pinned, reader))
        with torch.cuda.stream(self._copies):
            for line, array in zip(addresses, reader.sources, strict=True):
                pixels = pinned[array.name].to(self.device, non_blocking=True)
                pixels.record_stream(self._kernels)
                steps = np.arange(missing.size, dtype=np.uint64) * np.uint64(array.patch_bytes)
                line[missing] = np.uint64(pixels.data_ptr()) + steps
        return addresses
