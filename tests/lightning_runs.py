"""Runs of Lightning's Trainer, in which a model notes the patches that it is given."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
import xarray as xr
from torch.utils.data import DataLoader

from bigearth_xr.torch import PatchDataModule, PatchDataset, PatchLoader

BANDS = ["B04", "VV"]

_SAID = ("LeafSpec", "many workers", "Checkpoint directory", "no `val_dataloader`", "dirpath has", "Be aware that when")

# Of lightning itself, with torch 2.13, and of what is so small here.
of_lightning = [pytest.mark.filterwarnings(f"ignore:.*{words}") for words in _SAID]

Seen = tuple[str, int, list[int]]
"""What for, in which epoch of the trainer, and the rows of a batch."""


class Model(lightning.LightningModule):
    """Notes what it is given, and asks for the number of steps if told to."""

    def __init__(self, *, asks: bool = False) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(len(BANDS), 19)
        self.seen: list[Seen] = []
        self.batches: list[Any] = []
        self.lr, self._asks = 1e-3, asks

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        self._note("train", batch)
        together = batch if hasattr(batch, "image") else next(one for one in batch if one is not None)
        logits = self.layer(together.image.mean((2, 3)))
        return torch.nn.functional.binary_cross_entropy_with_logits(logits, together.labels)

    def validation_step(self, batch: Any, index: int, dataloader_idx: int = 0) -> None:
        self._note(f"validate {dataloader_idx}", batch)

    def test_step(self, batch: Any, index: int) -> None:
        self._note("test", batch)

    def predict_step(self, batch: Any, index: int) -> torch.Tensor:
        self._note("predict", batch)
        rows: torch.Tensor = batch.row
        return rows

    def configure_optimizers(self) -> torch.optim.Optimizer:
        if self._asks:
            assert self.trainer.estimated_stepping_batches > 0
        return torch.optim.SGD(self.parameters(), lr=self.lr)

    def rows(self, why: str = "train") -> list[list[int]]:
        """Rows by batch."""
        return [rows for what, _, rows in self.seen if what.startswith(why)]

    def _note(self, why: str, batch: Any) -> None:
        self.batches.append(batch)
        parts = [batch] if hasattr(batch, "row") else batch
        rows = [-1 if part is None else row for part in parts for row in ([0] if part is None else part.row.tolist())]
        self.seen.append((why, self.trainer.current_epoch, rows))


def trainer_of(**flags: Any) -> lightning.Trainer:
    """A quiet trainer on the CPU."""
    usual: dict[str, Any] = {"accelerator": "cpu", "max_epochs": 2, "num_sanity_val_steps": 0}
    if not flags.get("barebones"):
        usual |= {"logger": False, "enable_checkpointing": False}
        usual |= {"enable_progress_bar": False, "enable_model_summary": False}
    return lightning.Trainer(**(usual | flags))


def ours(ds: xr.Dataset, **options: Any) -> PatchLoader:
    """Our loader."""
    usual: dict[str, Any] = {"batch_size": 3, "bands": BANDS, "device": "cpu", "threads": 1}
    return PatchLoader(ds, **(usual | options))


def stock(ds: xr.Dataset, **options: Any) -> DataLoader[Any]:
    """That of torch over the same patches."""
    return DataLoader(PatchDataset(ds, bands=BANDS), **({"batch_size": 3, "shuffle": True} | options))


def module_of(ds: xr.Dataset, **options: Any) -> PatchDataModule:
    usual: dict[str, Any] = {"batch_size": 3, "bands": BANDS, "device": "cpu", "threads": 1}
    return PatchDataModule(ds, **(usual | options))


def epochs_of(make: Callable[[], PatchLoader], count: int) -> list[list[list[int]]]:
    """Rows of so many epochs, batch by batch."""
    loader = make()
    return [[batch.row.tolist() for batch in loader] for _ in range(count)]


def keeper(folder: Path, **when: Any) -> Any:
    """Keeps every checkpoint."""
    return lightning.pytorch.callbacks.ModelCheckpoint(folder, save_top_k=-1, **when)
