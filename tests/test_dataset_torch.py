"""Patches one by one: in workers of every kind, and the same as the loader's."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch.utils.data import DataLoader, default_collate

import bigearth_xr as bex
from bigearth_xr.errors import LoaderError
from bigearth_xr.torch import Augmentation, PatchDataset, PatchItem, PatchLoader

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
    odds: tuple[Any, ...] = (1.5, True, "a", None, slice(0, 2), [1], np.array([1]))
    for odd in odds:
        with pytest.raises(TypeError, match=r"a place is .*, expected an integer from 0 to 19; several"):
            patches[odd]
    with pytest.raises(TypeError, match=r"PatchDataset has no option 'band'; it has .*; did you mean 'bands'"):
        PatchDataset(whole, band=BANDS)  # type: ignore[call-arg]
