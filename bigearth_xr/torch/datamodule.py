"""The three splits of a Dataset as a LightningDataModule; needs lightning (extra ``train``)."""

from collections.abc import Sequence
from typing import Any

import lightning
import xarray as xr

from bigearth_xr.batches.datasets import datasets_of
from bigearth_xr.sampling.options import check_known
from bigearth_xr.torch.loader import PatchLoader, loader_options

__all__ = ["PatchDataModule"]

_OF_TRAINING = {"augment": None, "views": 1, "balance": None, "drop_last": False}
"""What applies to training alone, and what stands for it elsewhere."""


class PatchDataModule(lightning.LightningDataModule):
    """Loads the recommended training, validation and test patches of a Dataset.

    Training is shuffled, augmented and balanced as asked for, and padded so that all ranks take as many steps; in
    validation, test and prediction each patch comes once, in stored order, as it is. A checkpoint has the position of
    the training loader, from which it goes on.

    Parameters
    ----------
    ds
        Dataset as ``bex.open`` makes it, or several.
    **options
        Those of `PatchLoader`, ``batch_size`` among them.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> ds = bex.open(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=20))
    >>> data = PatchDataModule(ds, batch_size=4, bands=["B04", "B03", "B02"])
    >>> next(iter(data.val_dataloader())).image.shape[1:]
    torch.Size([3, 120, 120])
    """

    def __init__(self, ds: xr.Dataset | Sequence[xr.Dataset], **options: Any) -> None:
        super().__init__()
        check_known("PatchDataModule", options, loader_options())
        self._datasets, self._options = datasets_of(ds), options

    def train_dataloader(self) -> PatchLoader:
        """Batches to train on, of the trainer's epoch: it may ask for a loader more than once."""
        loader = PatchLoader(self._of("train"), **self._options)
        if self.trainer is not None:
            loader.set_epoch(self.trainer.current_epoch)
        return loader

    def val_dataloader(self) -> PatchLoader:
        """Batches to validate with."""
        return self._evaluation("validation")

    def test_dataloader(self) -> PatchLoader:
        """Batches to test with."""
        return self._evaluation("test")

    def predict_dataloader(self) -> PatchLoader:
        """Batches to predict: those of the test."""
        return self._evaluation("test")

    def _evaluation(self, split: str) -> PatchLoader:
        return PatchLoader(self._of(split), **{**self._options, **_OF_TRAINING, "shuffle": False})

    def _of(self, split: str) -> list[xr.Dataset]:
        return [ds.ben.select(split=split) for ds in self._datasets]
