"""Patches one by one, or by the list, for a plain ``torch.utils.data.DataLoader``."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Unpack

import numpy as np
import torch
import xarray as xr
from torch.utils.data import Dataset

from bigearth_xr.batches.build import BatchBuilder
from bigearth_xr.batches.patches import patches_of
from bigearth_xr.batches.recipe import Recipe, RecipeOptions
from bigearth_xr.errors import LoaderError
from bigearth_xr.spelling import check_known
from bigearth_xr.store.rows import Checks
from bigearth_xr.torch.engine import HostEngine

__all__ = ["PatchDataset", "PatchItem"]


class PatchItem(NamedTuple):
    """One patch with its labels, as `PatchDataset` gives it; ``default_collate`` makes batches of them."""

    image: torch.Tensor
    """Pixels, shape ``(band, y, x)``."""

    labels: torch.Tensor
    """Shape ``(label,)``, float32, as in `PatchBatch`."""

    row: torch.Tensor
    """Row in its store, int64."""


class PatchDataset(Dataset[PatchItem]):
    """Gives patches by their place in a Dataset, the same as `PatchLoader` does; on the host.

    `PatchLoader` is faster: its threads share memory with the model, whereas a worker sends each batch to it. A
    DataLoader asks for whole batches at once; that of PyTorch turns them with ``default_collate`` into a `PatchItem`
    of stacked tensors. It may be sent to workers in any way: each opens files of its own.

    Parameters
    ----------
    ds
        Dataset, or several, as for `PatchLoader`.
    seed
        Key of the random numbers that patches vary with; `set_epoch` tells all workers the epoch.
    checks
        When checksums are verified: ``"always"``, ``"first"`` (in each process) or ``"never"``.
    **recipe
        ``bands``, ``resampling``, ``stats``, ``method``, ``units``, ``augment``, ``nomenclature``, ``label_order``,
        ``dtype``, ``size`` and ``nonfinite``, as for `PatchLoader`. Nothing is mixed here: mix batches, not items.

    Raises
    ------
    LoaderError
        If there is no patch, or patches are to be mixed or viewed twice.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> ds = bex.open(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=5))
    >>> patches = PatchDataset(ds, bands=["B04", "VV"])
    >>> len(patches), patches[4].image.shape, patches[4].row
    (5, torch.Size([2, 120, 120]), tensor(4))
    >>> next(iter(torch.utils.data.DataLoader(patches, batch_size=2))).image.shape
    torch.Size([2, 2, 120, 120])
    """

    def __init__(
        self,
        ds: xr.Dataset | Sequence[xr.Dataset],
        *,
        seed: int = 0,
        checks: Checks = "first",
        **recipe: Unpack[RecipeOptions],
    ) -> None:
        check_known("PatchDataset", recipe, [*RecipeOptions.__annotations__, "checks"])
        wanted = Recipe(seed=seed, **recipe)
        if wanted.views > 1 or (wanted.augment is not None and wanted.augment.mixes):
            raise LoaderError(
                "PatchDataset gives patches one by one, which neither are mixed nor come in two views; use PatchLoader"
            )
        self._builder = BatchBuilder(patches_of(ds, wanted, checks=checks), wanted)
        # Shared memory: workers that live through several epochs see it change.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]  # of torch

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Unpickle; attributes had other names once."""
        former = {"_maker": "_builder"}
        self.__dict__.update({former.get(name, name): value for name, value in state.items()})

    def __repr__(self) -> str:
        """Say what patches are given, and how."""
        return f"PatchDataset({self._builder}, seed={self._builder.recipe.seed}, epoch={int(self._epoch)})"

    def __len__(self) -> int:
        """Patches."""
        return int(self._builder.patches.row.size)

    def __getitem__(self, place: int) -> PatchItem:
        """Give one patch by its place; negative ones count from the end."""
        if isinstance(place, bool) or not isinstance(place, int | np.integer):
            raise TypeError(
                f"a place is {place!r}, expected an integer from 0 to {len(self) - 1}; several patches come by a "
                "DataLoader, or by __getitems__"
            )
        (item,) = self.__getitems__([place])
        return item

    def __getitems__(self, places: Sequence[int]) -> list[PatchItem]:
        """Give several at once, in the order asked for, repeats allowed: what a DataLoader calls for a batch."""
        asked = np.asarray(places, np.intp).reshape(-1)
        if not asked.size:
            return []
        if not -len(self) <= asked.min() <= asked.max() < len(self):
            raise IndexError(f"places are {asked.min()} to {asked.max()}, expected 0 to {len(self) - 1}")
        asked %= len(self)
        # Items hold on to the memory of their batch, and none of it is written over before they are gone.
        engine = HostEngine(self._builder, batch_size=asked.size, keep=0)
        batch = engine.build(asked, np.zeros(asked.size, np.int64), int(self._epoch)).batch
        at = {int(place): number for number, place in enumerate(batch.place)}
        return [PatchItem(batch.image[n], batch.labels[n], batch.row[n]) for n in map(at.__getitem__, asked.tolist())]

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands of a patch, in its order."""
        return self._builder.bands

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the labels, in the order of ``item.labels``."""
        return self._builder.patches.labels

    def set_epoch(self, epoch: int) -> None:
        """Vary patches as in this epoch from now on, in workers that were begun before too."""
        self._epoch.fill_(epoch)
