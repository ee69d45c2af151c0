"""Patches one by one: in workers of every kind, in the Trainer, and the same as the loader's."""

import pickle
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch
import xarray as xr
from torch.utils.data import DataLoader, default_collate

import bigearth_xr as bex
from bigearth_xr.errors import LoaderError
from bigearth_xr.torch import Augmentation, PatchDataModule, PatchDataset, PatchItem, PatchLoader

BANDS = ["B04", "B8A", "VV"]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bex.testing.write_store(tmp_path_factory.mktemp("store") / "ben.zarr", pairs=20)


@pytest.fixture
def whole(path: Path) -> xr.Dataset:
    return bex.open(path)


def in_order(ds: xr.Dataset, **options: Any) -> torch.Tensor:
    loader = PatchLoader(ds, batch_size=6, bands=BANDS, shuffle=False, device="cpu", **options)
    return torch.cat([batch.image for batch in loader])


def test_items_are_those_of_the_loader(ds: xr.Dataset) -> None:
    patches = PatchDataset(ds, bands=BANDS, augment=Augmentation(noise_std=0.1), seed=3)
    images = in_order(ds, augment=Augmentation(noise_std=0.1), seed=3)
    assert len(patches) == 24
    assert patches.bands == tuple(BANDS)
    for place in (0, 23, 7):
        item = patches[place]
        assert torch.equal(item.image, images[place])
        np.testing.assert_array_equal(item.labels, ds.labels.values[place])
        assert item.row == ds.row.values[place]
    assert torch.equal(patches[-1].image, images[23])


def test_lists_come_in_the_order_asked_for(whole: xr.Dataset) -> None:
    patches = PatchDataset([whole.isel(patch=slice(12, None)), whole.isel(patch=slice(12))], bands=BANDS)
    images = in_order(whole)
    places = [15, 2, 2, 9, 0, 8]
    items = patches.__getitems__(places)
    for place, item in zip(places, items, strict=True):
        row = place + 12 if place < 8 else place - 8
        assert item.row == row
        assert torch.equal(item.image, images[row])
    assert patches.__getitems__([]) == []


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_workers_of_every_kind_read_after_their_parent(whole: xr.Dataset, method: str) -> None:
    patches = PatchDataset(whole, bands=BANDS)
    expected = in_order(whole)
    assert torch.equal(patches[3].image, expected[3])
    loader = DataLoader(patches, batch_size=6, num_workers=2, multiprocessing_context=method, timeout=120)
    batches = list(loader)
    assert all(isinstance(batch, PatchItem) for batch in batches)
    assert torch.equal(torch.cat([batch.image for batch in batches]), expected)
    assert torch.cat([batch.row for batch in batches]).tolist() == list(range(20))


def test_workers_that_live_on_see_the_epoch_change(whole: xr.Dataset) -> None:
    patches = PatchDataset(whole, bands=BANDS, augment=Augmentation(noise_std=0.1))
    loader = DataLoader(patches, batch_size=20, num_workers=1, persistent_workers=True, multiprocessing_context="fork")
    first, again = next(iter(loader)), next(iter(loader))
    patches.set_epoch(1)
    later = next(iter(loader))
    assert torch.equal(first.image, again.image)
    assert not torch.equal(first.image, later.image)
    assert torch.equal(later.image, default_collate(patches.__getitems__(range(20))).image)
    del loader


def test_a_forked_process_begins_its_own_iterator(whole: xr.Dataset) -> None:
    loader = PatchLoader(whole, batch_size=2, bands=BANDS, device="cpu", threads=2, shuffle=False)
    passing = iter(loader)
    next(passing)
    context = torch.multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=_in_a_fork, args=(passing, loader, queue))
    child.start()
    child.join(120)
    assert child.exitcode == 0
    assert "begun before the process was forked" in queue.get()
    assert queue.get() == list(range(20))
    assert [row for batch in passing for row in batch.row.tolist()] == list(range(2, 20))


def _in_a_fork(passing: Any, loader: PatchLoader, queue: Any) -> None:
    try:
        next(passing)
    except LoaderError as error:
        queue.put(str(error))
    queue.put([row for batch in loader for row in batch.row.tolist()])


def test_it_is_pickled_with_its_epoch(whole: xr.Dataset) -> None:
    patches = PatchDataset(whole, bands=BANDS, augment=Augmentation())
    patches.set_epoch(4)
    copy = pickle.loads(pickle.dumps(patches))
    assert torch.equal(copy[5].image, patches[5].image)


def test_what_it_cannot_do_is_refused(whole: xr.Dataset) -> None:
    with pytest.raises(LoaderError, match="neither are mixed nor come in two views; use PatchLoader"):
        PatchDataset(whole, augment=Augmentation(mixup=0.2))
    with pytest.raises(LoaderError, match="neither are mixed"):
        PatchDataset(whole, augment=Augmentation(), views=2)
    patches = PatchDataset(whole, bands=BANDS)
    for place in (20, -21):
        with pytest.raises(IndexError, match=f"places are {place} to {place}, expected 0 to 19"):
            patches[place]


# Lightning.


def test_splits_of_a_data_module(whole: xr.Dataset) -> None:
    data = PatchDataModule(whole, batch_size=4, bands=BANDS, augment=Augmentation(noise_std=1), device="cpu")
    loaders = {
        "train": data.train_dataloader(),
        "validation": data.val_dataloader(),
        "test": data.test_dataloader(),
    }
    for split, loader in loaders.items():
        selected = whole.ben.select(split=split)
        rows = [row for batch in loader for row in batch.row.tolist()]
        assert sorted(rows) == selected.row.values.tolist()
        if split != "train":
            assert rows == sorted(rows)
            assert torch.equal(torch.cat([batch.image for batch in loader]), in_order(selected))


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


# Of lightning itself, with torch 2.13.
@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning", "ignore:Checkpoint directory:UserWarning")
def test_a_trainer_trains_and_resumes_in_an_epoch(whole: xr.Dataset, tmp_path: Path) -> None:
    keeper = lightning.pytorch.callbacks.ModelCheckpoint(tmp_path / "kept", every_n_train_steps=3, save_top_k=-1)

    def fit(**options: Any) -> Model:
        data = PatchDataModule(whole, batch_size=2, bands=BANDS, device="cpu", threads=1)
        model, resumed = Model(), options.pop("ckpt_path", None)
        quiet: Any = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        trainer = lightning.Trainer(accelerator="cpu", num_sanity_val_steps=0, max_epochs=2, **quiet, **options)
        trainer.fit(model, datamodule=data, ckpt_path=resumed)
        return model

    loader = PatchLoader(whole.ben.select(split="train"), batch_size=2, bands=BANDS, device="cpu")
    expected = [batch.row.tolist() for _ in range(2) for batch in loader]
    assert len(loader) > 3
    first = fit(callbacks=[keeper])
    assert first.rows == expected
    assert first.validated == 2 * whole.ben.select(split="validation").row.values.tolist()
    resumed = fit(callbacks=[keeper], ckpt_path=next(tmp_path.glob("kept/*step=3.ckpt")))
    assert resumed.rows == expected[3:]
