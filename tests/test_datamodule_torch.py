"""Splits for Lightning's Trainer: trained on, validated, and gone on with where a checkpoint was kept."""

from pathlib import Path

import pytest
import torch
import xarray as xr
from fit_by_lightning import BANDS, fit

import bigearth_xr as bex
from bigearth_xr.errors import LoaderError
from bigearth_xr.torch import Augmentation, PatchDataModule, PatchLoader

# Of lightning itself, with torch 2.13.
of_lightning = pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning", "ignore:Checkpoint directory:UserWarning")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bex.testing.write_store(tmp_path_factory.mktemp("store") / "ben.zarr", pairs=20)


@pytest.fixture
def whole(path: Path) -> xr.Dataset:
    return bex.open(path)


def two_epochs(whole: xr.Dataset) -> list[list[int]]:
    """Rows to train on, batch by batch."""
    loader = PatchLoader(whole.ben.select(split="train"), batch_size=2, bands=BANDS, device="cpu")
    return [batch.row.tolist() for _ in range(2) for batch in loader]


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
            plain = PatchLoader(selected, batch_size=4, bands=BANDS, shuffle=False, device="cpu")
            expected = torch.cat([batch.image for batch in plain])
            assert torch.equal(torch.cat([batch.image for batch in loader]), expected)


def test_a_data_module_refuses_at_once(whole: xr.Dataset) -> None:
    with pytest.raises(TypeError, match=r"has no option 'augmnt'; it has .*; did you mean 'augment'"):
        PatchDataModule(whole, augmnt=1)
    with pytest.raises(LoaderError, match="expected Datasets"):
        PatchDataModule(None, batch_size=2)  # type: ignore[arg-type]


@of_lightning
def test_a_trainer_trains_and_resumes_in_an_epoch(path: Path, whole: xr.Dataset, tmp_path: Path) -> None:
    expected = two_epochs(whole)
    first = fit(path, tmp_path)
    assert first.rows == expected
    assert first.validated == 2 * whole.ben.select(split="validation").row.values.tolist()
    resumed = fit(path, tmp_path, str(next(tmp_path.glob("*step=3.ckpt"))))
    assert resumed.rows == expected[3:]


@of_lightning
def test_loaders_that_a_trainer_makes_anew_go_on_with_its_epoch(path: Path, whole: xr.Dataset, tmp_path: Path) -> None:
    expected = two_epochs(whole)
    assert fit(path, tmp_path, reload_dataloaders_every_n_epochs=1).rows == expected
    middle = str(max(tmp_path.glob("*.ckpt"), key=lambda kept: int(kept.stem.rpartition("=")[2])))
    step = int(Path(middle).stem.rpartition("=")[2])
    assert len(expected) > step > len(expected) / 2
    assert fit(path, tmp_path, middle, reload_dataloaders_every_n_epochs=1).rows == expected[step:]
