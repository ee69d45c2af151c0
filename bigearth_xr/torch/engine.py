"""What builds batches as tensors: on the host, or on a GPU, which native pixels reach once, as they are stored.

On a GPU copies and kernels have streams of their own, so that they overlap with the model's. What waits for what, by
events:

- the kernel for the copy of its pixels, and for nothing else;
- the consumer's stream, when it is handed a batch, for the kernel that built it;
- memory of native pixels on the GPU for the kernel, before torch gives it to another copy (`record_stream`);
- memory of a batch for the consumer's stream, before it becomes another batch (`record_stream`);
- pinned memory on the host for its copy, before the next batch is read into it.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from bigearth_xr.batches.build import BatchBuilder, BatchPart, BatchPlan, OutputPool
from bigearth_xr.batches.cache import Cache, CachedReader, HostMemory, free_host_bytes, with_cache
from bigearth_xr.batches.patches import Patches
from bigearth_xr.device import gpu_available
from bigearth_xr.device.host import transform_kernel
from bigearth_xr.errors import DeviceError, LoaderError
from bigearth_xr.sampling import check_integer
from bigearth_xr.spelling import check_choice, did_you_mean
from bigearth_xr.store.batch import BatchReader

__all__ = ["PatchBatch"]

_OF_FREE = 2
"""Which part of the free memory a cache takes by default: 1 / 2."""


class PatchBatch(NamedTuple):
    """Patches with their labels, as `PatchLoader` gives them."""

    image: torch.Tensor
    """Pixels, shape ``(patch, band, y, x)``, on the loader's device."""

    labels: torch.Tensor
    """Shape ``(patch, label)``, float32, same device: 1 where a patch has a label, a share where patches were mixed,
    NaN where nothing is known of a patch's labels."""

    row: torch.Tensor
    """Row of each patch in its store, shape ``(patch,)``, int64, on the host."""

    place: torch.Tensor
    """Place of each patch in the Dataset, or in the Datasets one after the other; shape ``(patch,)``, int64, on the
    host."""

    image2: torch.Tensor | None = None
    """Second view of the same patches, if two were asked for."""


class Built(NamedTuple):
    """A batch on its way from the thread that built it to the consumer."""

    batch: PatchBatch
    """What the consumer gets."""

    nonfinite: int = 0
    """How many stored pixels of its patches are not finite, where these are counted."""

    ready: Any = None
    """Event of a GPU after which it is whole; None on the host."""


class Engine(Protocol):
    """Builds batches on one device."""

    device: torch.device
    """Which."""

    def start(self) -> None:
        """Get ready, in the consumer's thread, before a pass begins."""
        ...

    def build(self, places: NDArray[np.intp], repeats: NDArray[np.int64], epoch: int) -> Built:
        """Build a batch, in any thread; patches of one Dataset follow each other."""
        ...

    def deliver(self, built: Built) -> PatchBatch:
        """Make a batch ready for what the consumer does next, in its own thread."""
        ...


def create_engine(builder: BatchBuilder, device: torch.device, batch_size: int, *, keep: int) -> Engine:
    """Choose what builds batches on a device."""
    if device.type == "cpu":
        return HostEngine(builder, batch_size=batch_size, keep=keep)
    return GpuEngine(builder, device)


class HostEngine:
    """Builds batches on the host, into memory that is used again once the consumer has let go of a batch.

    Parameters
    ----------
    builder
        Of what.
    batch_size
        Of the largest batch.
    keep
        How many batches' memory may wait to be used again.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.batches.patches import patches_of
    >>> from bigearth_xr.batches.recipe import Recipe
    >>> ds = bex.open(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> recipe = Recipe(bands=("B04", "VV"))
    >>> engine = HostEngine(BatchBuilder(patches_of([ds], recipe), recipe), batch_size=2, keep=2)
    >>> batch = engine.build(np.array([2, 0]), np.array([0, 0]), epoch=0).batch
    >>> batch.image.shape, batch.row
    (torch.Size([2, 2, 120, 120]), tensor([2, 0]))
    """

    def __init__(self, builder: BatchBuilder, *, batch_size: int, keep: int) -> None:
        self.device = torch.device("cpu")
        self._builder = builder
        nbytes = batch_size * int(np.prod(builder.patch_shape)) * builder.dtype.itemsize
        self._pool = OutputPool(nbytes, keep=keep * builder.recipe.views)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Unpickle; attributes had other names once."""
        former = {"_maker": "_builder", "_recycler": "_pool"}
        self.__dict__.update({former.get(name, name): value for name, value in state.items()})

    def start(self) -> None:
        """Have the kernel compiled, if it is not: once, and not by each thread."""
        transform_kernel()

    def build(self, places: NDArray[np.intp], repeats: NDArray[np.int64], epoch: int) -> Built:
        """Build a batch."""
        plan = self._builder.plan(places, repeats, epoch)
        views = [self._view(plan, view) for view in range(self._builder.recipe.views)]
        batch = _batch(plan, [image for image, _ in views], torch.from_numpy(plan.targets))
        return Built(batch=batch, nonfinite=sum(count for _, count in views))

    def deliver(self, built: Built) -> PatchBatch:
        """Give it as it is."""
        return built.batch

    def _view(self, plan: BatchPlan, view: int) -> tuple[torch.Tensor, int]:
        pixels = self._pool.lend((plan.places.size, *self._builder.patch_shape), self._builder.dtype)
        count = self._builder.fill(plan, view, pixels)
        # The tensor keeps this very array, whose end gives its memory back.
        image = torch.from_numpy(pixels)
        return (image.view(torch.bfloat16) if self._builder.recipe.dtype == "bfloat16" else image), count


class GpuEngine:
    """Builds batches on a GPU; may be used by many threads at once.

    Parameters
    ----------
    builder
        Of what.
    device
        Which GPU.
    """

    def __init__(self, builder: BatchBuilder, device: torch.device) -> None:
        if builder.recipe.nonfinite != "keep":
            raise LoaderError("nonfinite is looked for on the host alone; use 'keep', and torch.nan_to_num on batches")
        self._builder, self.device = builder, device
        # torch has no types for the making of streams.
        self._copies: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._kernels: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def __reduce__(self) -> tuple[type["GpuEngine"], tuple[BatchBuilder, torch.device]]:
        """Pickle without streams."""
        return GpuEngine, (self._builder, self.device)

    def start(self) -> None:
        """Do nothing: the first batch has the kernel compiled."""

    def build(self, places: NDArray[np.intp], repeats: NDArray[np.int64], epoch: int) -> Built:
        """Build a batch; returns before the GPU has."""
        plan = self._builder.plan(places, repeats, epoch)
        with torch.cuda.device(self.device):
            staged = [self._stage(one) for one in plan.parts]
            copied = self._copies.record_event()
            with torch.cuda.stream(self._kernels):
                self._kernels.wait_event(copied)
                images = [self._transform(plan, staged, view) for view in range(self._builder.recipe.views)]
                labels = torch.from_numpy(plan.targets).pin_memory().to(self.device, non_blocking=True)
                ready = self._kernels.record_event()
        return Built(batch=_batch(plan, images, labels), ready=ready)

    def deliver(self, built: Built) -> PatchBatch:
        """Have the consumer's current stream wait for the kernel; the consumer's thread does not wait."""
        current = torch.cuda.current_stream(self.device)
        current.wait_event(built.ready)
        for tensor in (built.batch.image, built.batch.labels, built.batch.image2):
            if tensor is not None:
                tensor.record_stream(current)
        return built.batch

    def _transform(self, plan: BatchPlan, staged: Sequence[NDArray[np.uint64]], view: int) -> torch.Tensor:
        """Start the kernel for one view of a batch, in the kernels' stream, which is the current one."""
        from bigearth_xr.device.cuda import transform_batch

        kind = getattr(torch, self._builder.recipe.dtype)
        image = torch.empty((plan.places.size, *self._builder.patch_shape), dtype=kind, device=self.device)
        for one, addresses in zip(plan.parts, staged, strict=True):
            transform_batch(one.part.transform, addresses, one.views[view], out=image[one.within], stream=self._kernels)
        return image

    def _stage(self, one: BatchPart) -> NDArray[np.uint64]:
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
        pinned = _pinned_buffers(reader, missing.size)
        reader.read(one.numbers[missing], out=_as_arrays(pinned, reader))
        with torch.cuda.stream(self._copies):
            for line, array in zip(addresses, reader.sources, strict=True):
                pixels = pinned[array.name].to(self.device, non_blocking=True)
                pixels.record_stream(self._kernels)
                steps = np.arange(missing.size, dtype=np.uint64) * np.uint64(array.patch_bytes)
                line[missing] = np.uint64(pixels.data_ptr()) + steps
        return addresses


class GpuMemory:
    """Memory of a GPU for the native pixels of a `CachedReader`, as `HostMemory` is on the host.

    torch allocates it: its allocator knows of it, and gives it back with it.

    Parameters
    ----------
    device
        Which GPU.
    """

    on_gpu = True

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._arrays: dict[str, torch.Tensor] = {}

    def __reduce__(self) -> tuple[type["GpuMemory"], tuple[torch.device]]:
        """Pickle empty."""
        return GpuMemory, (self._device,)

    def allocate(self, name: str, patches: int, patch_bytes: int) -> None:
        """Take memory for N patches of an array."""
        self._arrays[name] = torch.empty((patches, patch_bytes), dtype=torch.uint8, device=self._device)

    def start(self, name: str) -> int:
        """Address of the first patch of an array, on the GPU."""
        return self._arrays[name].data_ptr()

    def read(self, reader: BatchReader, rows: NDArray[np.integer], slots: slice) -> None:
        """Read patches of every array into their slots, through pinned memory."""
        pinned = _pinned_buffers(reader, rows.size)
        reader.read(rows, out=_as_arrays(pinned, reader))
        for name, pixels in pinned.items():
            self._arrays[name][slots].copy_(pixels, non_blocking=True)
        # The pinned memory is let go of next; and whatever stream reads the slots finds them filled.
        torch.cuda.synchronize(self._device)

    def keep(self) -> object:
        """What has to live as long as its addresses are used."""
        return self._arrays


def with_cache_on(
    device: torch.device, patches: Patches, places: NDArray[np.intp], cache: Cache, cache_bytes: int | None
) -> Patches:
    """Have native pixels kept in memory of the host or a GPU, as far as they fit; nothing is read yet.

    Parameters
    ----------
    device
        That of the loader.
    patches, places
        Of what, and which of them.
    cache, cache_bytes
        Where, and how much; None for half of what is free there.

    Raises
    ------
    LoaderError
        If there is no such cache, or pixels are computed, which nothing keeps.
    """
    check_choice("cache", cache, (*get_args(Cache), None), LoaderError)
    if cache_bytes is not None:
        check_integer("cache_bytes", cache_bytes, 1)
    on_gpu = cache == "device" and device.type == "cuda"
    if cache_bytes is None:
        cache_bytes = (torch.cuda.mem_get_info(device)[0] if on_gpu else free_host_bytes()) // _OF_FREE
    return with_cache(patches, places, cache_bytes, partial(GpuMemory, device) if on_gpu else HostMemory)


def choose_device(device: str) -> torch.device:
    """Choose a device by name: ``"auto"`` is the current GPU where torch and CuPy both find one, else the CPU.

    Raises
    ------
    DeviceError
        If there is no such device, or nothing to build batches on it with.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() and gpu_available() else "cpu"
    chosen = named_device(device)
    if chosen.type == "cpu":
        return chosen
    if chosen.type != "cuda":
        raise DeviceError(f"batches are made on 'cpu' or 'cuda', not on {device!r}; move them there: batch.image.to(…)")
    if not torch.cuda.is_available():
        raise DeviceError("torch finds no GPU; use device='cpu', or a build of torch with CUDA")
    if not gpu_available():
        raise DeviceError("CuPy, which makes batches on a GPU, is not there: pip install 'bigearth-xr[cuda12]'")
    return torch.device("cuda", torch.cuda.current_device() if chosen.index is None else chosen.index)


def named_device(device: str) -> torch.device:
    """Find a device of torch by its name, whether it exists or not.

    Raises
    ------
    DeviceError
        If it is not a name of a device.
    """
    try:
        return torch.device(device)
    except (RuntimeError, TypeError):
        near = did_you_mean(device, ("auto", "cpu", "cuda")) if isinstance(device, str) else ""
        raise DeviceError(f"device is {device!r}, expected 'auto', 'cpu', 'cuda' or e.g. 'cuda:1'{near}") from None


def _batch(plan: BatchPlan, images: Sequence[torch.Tensor], labels: torch.Tensor) -> PatchBatch:
    return PatchBatch(
        image=images[0],
        labels=labels,
        row=torch.from_numpy(plan.row),
        place=torch.from_numpy(plan.places),
        image2=images[1] if len(images) > 1 else None,
    )


def _pinned_buffers(reader: Any, patches: int) -> dict[str, torch.Tensor]:
    """Pinned memory of the host for N patches of each array, shape ``(patch, byte)``."""
    return {
        array.name: torch.empty((patches, array.patch_bytes), dtype=torch.uint8, pin_memory=True)
        for array in reader.sources
    }


def _as_arrays(buffers: dict[str, torch.Tensor], reader: Any) -> dict[str, NDArray[Any]]:
    """View buffers of the host, shape ``(patch, byte)``, as what a reader reads into."""
    return {
        array.name: buffers[array.name].numpy().view(array.dtype).reshape(-1, len(array.bands), array.size, array.size)
        for array in reader.sources
    }
