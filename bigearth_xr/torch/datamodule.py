"""The three splits of a Dataset as a LightningDataModule; needs lightning (extra ``train``)."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import lightning
import xarray as xr
from lightning.pytorch.utilities import rank_zero_warn

from bigearth_xr.batches.patches import datasets_of
from bigearth_xr.errors import LoaderError
from bigearth_xr.sampling import check_integer
from bigearth_xr.spelling import check_known
from bigearth_xr.torch.loader import PatchLoader, loader_options

__all__ = ["PatchDataModule"]

_OF_TRAINING = {"augment": None, "views": 1, "balance": None, "drop_last": False}
"""What applies to training alone, and what stands for it elsewhere."""

_STATE = "train_loader"


class PatchDataModule(lightning.LightningDataModule):
    """Loads the recommended training, validation and test patches of a Dataset.

    Training is shuffled, augmented and balanced as asked for, and padded so that all ranks take as many steps; in
    validation, test and prediction each patch comes once, in stored order, as it is. A checkpoint has the position of
    the training loader, from which it goes on.

    ``Trainer(overfit_batches=…)`` trains on the first batches in stored order, the same in every epoch, as it does with
    any loader; they still vary if they are augmented.

    Parameters
    ----------
    ds
        Dataset as ``bex.open`` makes it, or several.
    **options
        Those of `PatchLoader`, ``batch_size`` among them, which Lightning's batch-size finder changes.

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
        self._resumed: Mapping[str, Any] | None = None

    def __repr__(self) -> str:
        """Say of how many patches, before their splits, and with which options."""
        patches = sum(ds.sizes["patch"] for ds in self._datasets)
        options = "".join(f", {name}={value!r}" for name, value in self._options.items())
        return f"PatchDataModule({patches:,} patches of {len(self._datasets)} Dataset(s), before their splits{options})"

    @property
    def batch_size(self) -> int:
        """Patches in a batch of the loaders that are made from now on."""
        return self._options["batch_size"]  # type: ignore[no-any-return]  # checked where it was set

    @batch_size.setter
    def batch_size(self, batch_size: int) -> None:
        check_integer("batch_size", batch_size, 1)
        self._options["batch_size"] = batch_size

    def setup(self, stage: str) -> None:
        """Forget what an earlier run was resumed from; Lightning calls this before it reads a checkpoint."""
        self._resumed = None

    def state_dict(self) -> dict[str, Any]:
        """Tell the position of the loader that is trained from, for a checkpoint."""
        loader = None if self.trainer is None else self.trainer.train_dataloader
        return {_STATE: loader.state_dict()} if isinstance(loader, PatchLoader) else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Have the training loader go on where a checkpoint was taken.

        Lightning loads the position too, but not where the loader was asked for before it restores its loops, as
        ``trainer.estimated_stepping_batches`` does.
        """
        # Later it is the tuner that restores what it saved: then loaders begin anew.
        if self.trainer is None or self.trainer.train_dataloader is None:
            self._resumed = state_dict.get(_STATE)

    def train_dataloader(self) -> PatchLoader:
        """Batches to train on, of the trainer's epoch: it may ask for a loader more than once."""
        loader = PatchLoader(self._of("train"), **self._for_training())
        if self.trainer is not None:
            loader.set_epoch(self.trainer.current_epoch)
            self._resume(loader, self.trainer.current_epoch)
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

    def _for_training(self) -> dict[str, Any]:
        """Options of the loader to train with: all ranks take as many steps, and none shuffles what is overfitted."""
        options = {**self._options, "pad": self._options.get("pad", True)}
        # An attribute of a trainer that it does not declare.
        if not getattr(self.trainer, "overfit_batches", 0):
            return options
        if options.get("shuffle", True):
            rank_zero_warn(
                "Trainer(overfit_batches=…) trains on the same batches in every epoch: shuffle and balance are left "
                "out, and the first patches come in stored order. augment still varies them; leave it out if they are "
                "to stay as they are."
            )
        return {**options, "shuffle": False, "balance": None}

    def _resume(self, loader: PatchLoader, epoch: int) -> None:
        """Have a loader go on where a checkpoint was taken, if it is not of an epoch that is over."""
        if self._resumed is None or self._resumed["epoch"] < epoch:
            return
        try:
            loader.load_state_dict(self._resumed)
        except LoaderError as error:
            warnings.warn(f"the epoch does not go on where the checkpoint was taken: {error}", stacklevel=2)

    def _evaluation(self, split: str) -> PatchLoader:
        return PatchLoader(self._of(split), **{**self._options, **_OF_TRAINING, "shuffle": False})

    def _of(self, split: str) -> list[xr.Dataset]:
        return [ds.ben.select(split=split) for ds in self._datasets]
