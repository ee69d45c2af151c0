"""Batches in memory of the host, as tensors."""

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from bigearth_xr.batches.making import Drawn, Maker, grouped
from bigearth_xr.batches.recycling import Recycler
from bigearth_xr.torch.batch import Made, PatchBatch

__all__ = ["Engine", "HostEngine"]


class Engine(Protocol):
    """Makes batches on one device."""

    device: torch.device
    """Which."""

    def start(self) -> None:
        """Get ready, in the consumer's thread, before a pass begins."""
        ...

    def make(self, places: NDArray[np.intp], repeats: NDArray[np.int64], epoch: int) -> Made:
        """Make a batch, in any thread."""
        ...

    def deliver(self, made: Made) -> PatchBatch:
        """Make a batch ready for what the consumer does next, in its own thread."""
        ...


class HostEngine:
    """Makes batches on the host, into memory that is used again once the consumer has let go of a batch.

    Parameters
    ----------
    maker
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
    >>> engine = HostEngine(Maker(patches_of([ds], recipe), recipe), batch_size=2, keep=2)
    >>> batch = engine.make(np.array([2, 0]), np.array([0, 0]), epoch=0).batch
    >>> batch.image.shape, batch.row
    (torch.Size([2, 2, 120, 120]), tensor([2, 0]))
    """

    def __init__(self, maker: Maker, *, batch_size: int, keep: int) -> None:
        self.device = torch.device("cpu")
        self._maker = maker
        nbytes = batch_size * int(np.prod(maker.patch_shape)) * maker.dtype.itemsize
        self._recycler = Recycler(nbytes, keep=keep * maker.recipe.views)

    def start(self) -> None:
        """Have the kernel compiled, if it is not: once, and not by each thread."""
        from bigearth_xr.device.host import transform_patches

        transform_patches()

    def make(self, places: NDArray[np.intp], repeats: NDArray[np.int64], epoch: int) -> Made:
        """Make a batch; the patches of one Dataset follow each other."""
        maker = self._maker
        order = grouped(maker.patches, places)
        places = places[order]
        drawn = maker.draw(places, repeats[order], epoch)
        labels, drawn = maker.labels(places, drawn)
        views = [self._view(drawn, view, places.size) for view in range(maker.recipe.views)]
        images = [image for image, _ in views]
        batch = PatchBatch(
            image=images[0],
            labels=torch.from_numpy(labels),
            row=torch.from_numpy(maker.patches.row[places]),
            place=torch.from_numpy(places),
            image2=images[1] if len(images) > 1 else None,
        )
        return Made(batch=batch, nonfinite=sum(count for _, count in views))

    def deliver(self, made: Made) -> PatchBatch:
        """Give it as it is."""
        return made.batch

    def _view(self, drawn: list[Drawn], view: int, patches: int) -> tuple[torch.Tensor, int]:
        pixels = self._recycler.lend((patches, *self._maker.patch_shape), self._maker.dtype)
        count = self._maker.fill(drawn, view, pixels)
        # The tensor holds this very array, whose end gives its memory back.
        image = torch.from_numpy(pixels)
        return (image.view(torch.bfloat16) if self._maker.recipe.dtype == "bfloat16" else image), count
