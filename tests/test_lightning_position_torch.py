"""Where loaders go on when Lightning resumes, tunes and searches: in the epoch, at the batch, of the trainer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import xarray as xr
from lightning.pytorch.callbacks import BatchSizeFinder
from lightning.pytorch.tuner.tuning import Tuner
from lightning_runs import Model, epochs_of, keeper, module_of, of_lightning, ours, trainer_of

import bigearth_xr as bex
from bigearth_xr.errors import LoaderError

pytestmark = of_lightning

Given = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bex.testing.write_store(tmp_path_factory.mktemp("store") / "ben.zarr", pairs=20)


@pytest.fixture
def whole(path: Path) -> xr.Dataset:
    return bex.open(path)


def as_loader(ds: xr.Dataset, **options: Any) -> dict[str, Any]:
    return {"train_dataloaders": ours(ds.ben.select(split="train"), **options)}


def as_module(ds: xr.Dataset, **options: Any) -> dict[str, Any]:
    return {"datamodule": module_of(ds, **options)}


def epochs(ds: xr.Dataset, count: int, **options: Any) -> list[list[list[int]]]:
    return epochs_of(lambda: ours(ds.ben.select(split="train"), **options), count)


def kept(folder: Path, step: int) -> str:
    (found,) = folder.glob(f"*step={step}.ckpt")
    return str(found)


def trained(
    given: dict[str, Any], folder: Path | None = None, *, asks: bool = False, resumed: str | None = None, **flags: Any
) -> Model:
    """Train without validation, and keep a checkpoint of every step if there is a folder."""
    saving = {} if folder is None else {"callbacks": [keeper(folder, every_n_train_steps=1)]}
    model = Model(asks=asks)
    trainer = trainer_of(**({"enable_checkpointing": folder is not None, "limit_val_batches": 0} | saving | flags))
    trainer.fit(model, **given, ckpt_path=resumed)
    return model


@pytest.mark.parametrize("given", [as_loader, as_module])
@pytest.mark.parametrize("limit", [1.0, 2])
def test_a_run_resumed_between_epochs_goes_on_with_the_next_order(
    whole: xr.Dataset, tmp_path: Path, given: Given, limit: Any
) -> None:
    flags: dict[str, Any] = {"limit_train_batches": limit, "max_epochs": 3}
    saving: dict[str, Any] = {"enable_checkpointing": True, "callbacks": [keeper(tmp_path, every_n_epochs=1)]}
    expected = trained(given(whole), **flags, **saving).rows()
    batches = len(expected) // 3
    resumed = trained(given(whole), resumed=kept(tmp_path, batches), **flags).rows()
    assert resumed == expected[batches:]
    assert expected == [rows for epoch in epochs(whole, 3) for rows in epoch[:batches]]


@pytest.mark.parametrize("asks", [False, True])
def test_a_run_resumed_in_an_epoch_goes_on_with_the_next_batch(whole: xr.Dataset, tmp_path: Path, asks: bool) -> None:
    expected = trained(as_module(whole), tmp_path, asks=asks).rows()
    batches = len(expected) // 2
    for step in (1, batches - 1, batches + 1):
        assert trained(as_module(whole), resumed=kept(tmp_path, step), asks=asks).rows() == expected[step:]


def test_loaders_made_anew_after_a_resumed_epoch_are_of_theirs(whole: xr.Dataset, tmp_path: Path) -> None:
    flags: dict[str, Any] = {"reload_dataloaders_every_n_epochs": 1, "max_epochs": 3, "asks": True}
    expected = trained(as_module(whole), tmp_path, **flags).rows()
    assert trained(as_module(whole), resumed=kept(tmp_path, 1), **flags).rows() == expected[1:]


def test_a_resumed_run_with_other_batches_is_refused(whole: xr.Dataset, tmp_path: Path) -> None:
    trained(as_module(whole), tmp_path)
    with (
        pytest.warns(
            UserWarning, match="does not go on where the checkpoint was taken.*batch_size is 2 here and was 3"
        ),
        pytest.raises(LoaderError, match="batch_size is 2 here and was 3"),
    ):
        trained(as_module(whole, batch_size=2), resumed=kept(tmp_path, 1))


def test_a_module_used_again_begins_anew(whole: xr.Dataset, tmp_path: Path) -> None:
    expected = trained(as_module(whole), tmp_path).rows()
    data = as_module(whole)
    trainer_of().validate(Model(), **data, ckpt_path=kept(tmp_path, 1), verbose=False)
    assert trained(data).rows() == expected


@pytest.mark.parametrize("mode", ["power", "binsearch"])
def test_the_batch_size_is_found_and_trained_with(whole: xr.Dataset, mode: str) -> None:
    data, model = module_of(whole), Model()
    finder = BatchSizeFinder(mode, init_val=1, steps_per_trial=1, max_trials=3, margin=0.0)
    trainer_of(callbacks=[finder], limit_val_batches=0).fit(model, datamodule=data)
    assert finder.optimal_batch_size == data.batch_size == data.train_dataloader().batch_size == 4
    final = epochs(whole, 2, batch_size=4)
    assert model.rows()[-sum(map(len, final)) :] == final[0] + final[1]


def test_the_search_for_a_batch_size_ends_at_all_patches(whole: xr.Dataset) -> None:
    data = module_of(whole)
    tuner = Tuner(trainer_of(limit_val_batches=0))
    patches = len(data.train_dataloader().dataset)
    found = tuner.scale_batch_size(Model(), datamodule=data, init_val=2, steps_per_trial=1)
    assert found is not None
    assert patches <= found < 2 * patches


def test_a_batch_size_that_cannot_be_is_refused(whole: xr.Dataset) -> None:
    with pytest.raises(LoaderError, match="batch_size is 0, expected an integer of at least 1"):
        module_of(whole).batch_size = 0


@pytest.mark.parametrize("given", [as_loader, as_module])
def test_training_after_the_search_for_a_learning_rate_begins_a_pass(whole: xr.Dataset, given: Given) -> None:
    data, model = given(whole), Model()
    trainer = trainer_of(limit_val_batches=0)
    Tuner(trainer).lr_find(model, **data, num_training=2, update_attr=False)
    searched = len(model.rows())
    trainer.fit(model, **data)
    expected = epochs(whole, 3)
    # A loader goes on with the pass after, as a stock one with its generator; a module makes a loader for the trainer.
    first = 1 if given is as_loader else 0
    assert model.rows()[:searched] == expected[0][:2]
    assert model.rows()[searched:] == expected[first] + expected[first + 1]


def test_a_sampler_tells_the_next_pass_and_takes_the_epoch(whole: xr.Dataset) -> None:
    loader = ours(whole)
    expected = [[row for batch in epoch for row in batch] for epoch in epochs_of(lambda: ours(whole), 6)]
    assert list(loader.sampler) == expected[0]
    list(loader)
    assert list(loader.sampler) == expected[1]
    loader.sampler.set_epoch(1)
    assert [row for batch in loader for row in batch.row.tolist()] == expected[1]
    loader.sampler.set_epoch(1)  # begun before: no way back
    assert list(loader.sampler) == expected[2]
    loader.sampler.set_epoch(5)
    assert len(loader.sampler) == len(loader.dataset) == 20
    assert [row for batch in loader for row in batch.row.tolist()] == expected[5]
    assert "20 patches" in repr(ours(whole, shuffle=False))
    assert repr(ours(whole, shuffle=False)).endswith("shuffle=False)")
