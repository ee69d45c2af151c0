"""What Trainer's flags do to a loader of torch, they do to ours: the same patches, batch by batch."""

from pathlib import Path
from typing import Any

import pytest
import torch
import xarray as xr
from lightning.fabric.utilities.apply_func import move_data_to_device
from lightning.pytorch.callbacks import BasePredictionWriter
from lightning.pytorch.utilities import CombinedLoader
from lightning_runs import Model, epochs_of, module_of, of_lightning, ours, stock, trainer_of

import bigearth_xr as bex
from bigearth_xr.torch import Augmentation, PatchBatch

pytestmark = of_lightning

FLAGS: list[dict[str, Any]] = [
    {"limit_train_batches": 2},
    {"limit_train_batches": 0.5},
    {"limit_val_batches": 1},
    {"limit_val_batches": 0.5},
    {"limit_val_batches": 0},
    {"fast_dev_run": 2},
    {"overfit_batches": 2},
    {"overfit_batches": 0.5},
    {"max_steps": 5},
    {"max_epochs": 1, "min_steps": 3},
    {"check_val_every_n_epoch": 2},
    {"val_check_interval": 2},
    {"val_check_interval": 0.5},
    {"val_check_interval": 3, "check_val_every_n_epoch": None},
    {"num_sanity_val_steps": 1},
    {"num_sanity_val_steps": -1},
    {"reload_dataloaders_every_n_epochs": 1},
    {"use_distributed_sampler": False},
    {"accumulate_grad_batches": 2, "gradient_clip_val": 1.0},
    {"precision": "64-true"},
    {"barebones": True},
    {"profiler": "simple", "detect_anomaly": True, "inference_mode": False},
]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bex.testing.write_store(tmp_path_factory.mktemp("store") / "ben.zarr", pairs=17)


@pytest.fixture
def whole(path: Path) -> xr.Dataset:
    return bex.open(path)


def train_of(whole: xr.Dataset) -> xr.Dataset:
    return whole.isel(patch=slice(0, 11))


def val_of(whole: xr.Dataset) -> xr.Dataset:
    return whole.isel(patch=slice(11, 17))


def fitted(make: Any, whole: xr.Dataset, flags: dict[str, Any]) -> Model:
    model = Model()
    train, val = make(train_of(whole), shuffle=False), make(val_of(whole), shuffle=False, batch_size=2)
    trainer_of(**flags).fit(model, train, val)
    return model


@pytest.mark.parametrize("flags", FLAGS, ids=str)
def test_a_flag_does_to_our_loader_what_it_does_to_a_stock_one(whole: xr.Dataset, flags: dict[str, Any]) -> None:
    expected = fitted(stock, whole, flags).seen
    assert expected
    assert fitted(ours, whole, flags).seen == expected


@pytest.mark.parametrize(
    ("flags", "batches"),
    [({}, 4), ({"limit_train_batches": 2}, 2), ({"limit_train_batches": 0.5}, 2), ({"fast_dev_run": 3}, 3)],
    ids=str,
)
def test_each_epoch_begins_another_order(whole: xr.Dataset, flags: dict[str, Any], batches: int) -> None:
    model = Model()
    trainer_of(**flags).fit(model, ours(train_of(whole)))
    epochs = epochs_of(lambda: ours(train_of(whole)), 2)
    assert model.rows() == [rows for epoch in epochs[: 1 if "fast_dev_run" in flags else 2] for rows in epoch[:batches]]


def test_what_is_overfitted_is_the_same_in_every_epoch(whole: xr.Dataset) -> None:
    data = module_of(whole, balance="class")
    expected, model = Model(), Model()
    with pytest.warns(UserWarning, match="We are turning off the train dataloader shuffling"):
        trainer_of(overfit_batches=2).fit(expected, stock(whole.ben.select(split="train")))
    with pytest.warns(UserWarning, match="same batches in every epoch: shuffle and balance are left out"):
        trainer_of(overfit_batches=2).fit(model, datamodule=data)
    assert model.rows() == expected.rows()
    assert model.rows()[:2] == model.rows()[2:]


def test_a_shuffled_loader_cannot_be_overfitted_in_silence(whole: xr.Dataset) -> None:
    expected = "PatchLoader.*an order of its own, which no other sampler replaces; take shuffle=False"
    with (
        pytest.warns(UserWarning, match="You requested to overfit"),
        pytest.raises(ValueError, match=expected),
    ):
        trainer_of(overfit_batches=2).fit(Model(), ours(whole))


@pytest.mark.parametrize("stage", ["validate", "test", "predict"])
@pytest.mark.parametrize("limit", [1.0, 2, 0.5])
def test_evaluation_sees_patches_in_stored_order(whole: xr.Dataset, stage: str, limit: float) -> None:
    name = {"validate": "limit_val_batches"}.get(stage, f"limit_{stage}_batches")
    expected, model = Model(), Model()
    answers = []
    for each, make in ((expected, stock), (model, ours)):
        answers.append(getattr(trainer_of(**{name: limit}), stage)(each, make(whole, shuffle=False)))
    assert model.seen == expected.seen
    if stage == "predict":
        assert torch.equal(torch.cat(answers[0]), torch.cat(answers[1]))


@pytest.mark.parametrize("make", [stock, ours])
def test_shuffled_validation_is_warned_of(whole: xr.Dataset, make: Any) -> None:
    with pytest.warns(UserWarning, match="sampler has shuffling enabled"):
        trainer_of().validate(Model(), make(whole), verbose=False)


def test_a_loader_predicted_with_can_be_trained_with(whole: xr.Dataset) -> None:
    loader = ours(whole, shuffle=False, threads=0)
    model = Model()
    trainer_of().predict(model, loader)
    trainer_of(max_epochs=1).fit(model, loader)
    assert model.rows("train") == model.rows("predict")


class Writer(BasePredictionWriter):
    """Notes which patches it is told of."""

    def __init__(self) -> None:
        super().__init__("batch")
        self.told: list[Any] = []

    def write_on_batch_end(self, trainer: Any, model: Any, prediction: Any, indices: Any, *rest: Any) -> None:
        self.told.append(indices)


def test_a_writer_of_predictions_hears_that_it_gets_no_places(whole: xr.Dataset) -> None:
    writer, model = Writer(), Model()
    with pytest.warns(
        UserWarning, match="Couldn't infer the batch indices fetched from your dataloader: `PatchLoader`"
    ):
        trainer_of(callbacks=[writer]).predict(model, ours(whole, shuffle=False))
    assert writer.told == [[]] * len(model.rows("predict"))


def test_patches_that_are_never_seen_are_told(whole: xr.Dataset) -> None:
    with pytest.warns(UserWarning, match="leaves out 2 of 17 patches, and without shuffling they are the same"):
        loader = ours(whole, shuffle=False, drop_last=True)
    model, expected = Model(), Model()
    trainer_of().predict(model, loader)
    trainer_of().predict(expected, stock(whole, shuffle=False, drop_last=True))
    assert model.rows("predict") == expected.rows("predict")[:5]
    assert len(expected.rows("predict")) == 6  # Lightning takes drop_last back


def test_several_validation_loaders_follow_each_other(whole: xr.Dataset) -> None:
    seen = []
    for make in (stock, ours):
        model = Model()
        several = [make(part, shuffle=False) for part in (train_of(whole), val_of(whole))]
        trainer_of(limit_train_batches=1).fit(model, make(train_of(whole), shuffle=False), several)
        seen.append(model.seen)
    assert seen[0] == seen[1]


@pytest.mark.parametrize("mode", ["min_size", "max_size", "max_size_cycle"])
def test_loaders_are_combined(whole: xr.Dataset, mode: Any) -> None:
    seen = []
    for make in (stock, ours):
        model = Model()
        pair = [make(train_of(whole), shuffle=False), make(val_of(whole), shuffle=False)]
        trainer_of().fit(model, CombinedLoader(pair, mode))
        seen.append(model.seen)
    assert seen[0] == seen[1]


def test_a_loader_that_comes_round_again_in_an_epoch_is_of_another_order(whole: xr.Dataset) -> None:
    model = Model()
    pair = [ours(train_of(whole)), ours(val_of(whole))]  # 4 and 2 batches
    trainer_of().fit(model, CombinedLoader(pair, "max_size_cycle"))
    long, short = (
        [rows for epoch in epochs_of(lambda ds=ds: ours(ds), epochs) for rows in epoch]  # type: ignore[misc]
        for ds, epochs in ((train_of(whole), 2), (val_of(whole), 4))
    )
    assert model.rows() == [one + other for one, other in zip(long, short, strict=True)]


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [
        ("32-true", torch.float32),
        ("64-true", torch.float64),
        ("bf16-true", torch.bfloat16),
        ("16-true", torch.float16),
        ("bf16-mixed", torch.float32),
    ],
)
def test_precision_casts_pixels_and_labels_and_keeps_rows(whole: xr.Dataset, precision: Any, dtype: Any) -> None:
    for make in (stock, ours):
        model = Model()
        trainer_of(precision=precision, max_epochs=1).fit(model, make(train_of(whole), shuffle=False))
        batch = model.batches[0]
        assert (batch.image.dtype, batch.labels.dtype, batch.row.dtype) == (dtype, dtype, torch.int64)
        whole_batch = next(iter(ours(train_of(whole), shuffle=False)))
        assert torch.equal(batch.image, whole_batch.image.to(dtype))
        assert torch.equal(batch.labels.float(), whole_batch.labels)
    assert isinstance(batch, PatchBatch)
    assert batch.image2 is None


def test_a_batch_moves_to_a_device_whole(whole: xr.Dataset) -> None:
    batch = next(iter(ours(whole, views=2, augment=Augmentation(noise_std=0.1))))
    moved = move_data_to_device(batch, torch.device("meta"))
    assert isinstance(moved, PatchBatch)
    assert {tensor.device.type for tensor in moved if tensor is not None} == {"meta"}
