"""Trains as a user of Lightning would; run as a script, by two processes that it starts itself."""

import json
import sys
from pathlib import Path
from typing import Any

import lightning
import torch

import bigearth_xr as bex
from bigearth_xr.torch import PatchDataModule, PatchLoader

BANDS = ["B04", "B8A", "VV"]


class Model(lightning.LightningModule):
    """Notes the rows that it is trained and validated on."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 19)
        self.rows: list[list[int]] = []
        self.validated: list[int] = []

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        self.rows.append(batch.row.tolist())
        logits = self.layer(batch.image.mean((2, 3)))
        return torch.nn.functional.binary_cross_entropy_with_logits(logits, batch.labels)

    def validation_step(self, batch: Any, index: int) -> None:
        self.validated += batch.row.tolist()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1e-3)


def fit(store: Path, kept: Path, resumed: str | None = None, **options: Any) -> Model:
    """Train for two epochs, and keep a checkpoint of the third step."""
    data = PatchDataModule(bex.open(store), batch_size=2, bands=BANDS, device="cpu", threads=1)
    keeper = lightning.pytorch.callbacks.ModelCheckpoint(kept, every_n_train_steps=3, save_top_k=-1)
    quiet: Any = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    model = Model()
    trainer = lightning.Trainer(
        accelerator="cpu", num_sanity_val_steps=0, max_epochs=2, callbacks=[keeper], **quiet, **options
    )
    trainer.fit(model, datamodule=data, ckpt_path=resumed)
    return model


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    # Made while nobody knows that there will be two processes.
    early = PatchLoader(bex.open(folder / "ben.zarr"), batch_size=2, bands=BANDS, device="cpu", threads=1)
    for name, resumed in (("whole", None), ("resumed", "step=3")):
        checkpoint = None if resumed is None else str(next(folder.glob(f"kept/*{resumed}.ckpt")))
        model = fit(folder / "ben.zarr", folder / "kept", checkpoint, devices=2, strategy="ddp")
        rank = torch.distributed.get_rank()
        (folder / f"{name}-{rank}.json").write_text(json.dumps([model.rows, model.validated]))
    joined: Any = {
        "accelerator": "cpu",
        "devices": 2,
        "strategy": "ddp",
        "logger": False,
        "enable_checkpointing": False,
    }
    for sampler in (True, False):
        model = Model()
        early.set_epoch(0)
        lightning.Trainer(**joined, max_epochs=1, limit_val_batches=0, use_distributed_sampler=sampler).fit(
            model, early
        )
        (folder / f"early-{sampler}-{rank}.json").write_text(json.dumps(model.rows))
    model = Model()
    data = PatchDataModule(bex.open(folder / "ben.zarr"), batch_size=2, bands=BANDS, device="cpu", threads=1)
    lightning.Trainer(**joined, max_epochs=2, limit_val_batches=0, overfit_batches=2).fit(model, datamodule=data)
    (folder / f"overfitted-{rank}.json").write_text(json.dumps(model.rows))
