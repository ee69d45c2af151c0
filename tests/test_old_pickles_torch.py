"""A loader that an earlier version pickled goes on where it was, with the same batches."""

from pathlib import Path

import pytest
import torch
from old_pickles import load_old, write_their_store

import bigearth_xr as bex
from bigearth_xr.torch import Augmentation, PatchDataset, PatchLoader


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where their store lies."""
    folder = tmp_path_factory.mktemp("old")
    write_their_store(folder)
    return folder


@pytest.mark.parametrize("name", ["loader", "loader_augmenting"])
def test_a_loader_gives_the_batches_of_a_new_one(folder: Path, name: str) -> None:
    ds = bex.open(folder / "ben.zarr")
    if name == "loader":
        new = PatchLoader(ds, batch_size=2, bands="rgb", seed=0)
        next(iter(new))  # its epoch was begun
        rows = [[1, 0], [5, 2], [4, 3]]
    else:
        augment = Augmentation(gain=(0.9, 1.1), crop=(0.6, 1))
        new = PatchLoader(ds, batch_size=2, bands=["B04", "B8A", "VV"], seed=1, augment=augment)
        rows = [[4, 1], [0, 3], [5, 2]]
    old = load_old(name, folder)
    assert repr(old) == repr(new)
    for _ in range(2):
        found, expected = list(old), list(new)
        assert [batch.row.tolist() for batch in found] == [batch.row.tolist() for batch in expected]
        for one, other in zip(found, expected, strict=True):
            assert torch.equal(one.image, other.image)
            assert torch.equal(one.labels, other.labels)
        if rows:
            assert [batch.row.tolist() for batch in found] == rows
        rows = []


def test_a_dataset_gives_the_items_of_a_new_one(folder: Path) -> None:
    old, new = load_old("dataset", folder), PatchDataset(bex.open(folder / "ben.zarr"), bands="rgb")
    assert len(old) == len(new) == 6
    for i in range(6):
        assert torch.equal(old[i].image, new[i].image)
        assert (old[i].row, old[i].labels.tolist()) == (new[i].row, new[i].labels.tolist())
