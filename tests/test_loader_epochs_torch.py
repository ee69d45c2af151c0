"""Epochs: their order, how they go on where they were, and what each rank has of them."""

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
import xarray as xr
from loading import loader_of, rows_of

import bigearth_xr as bex
from bigearth_xr.errors import (
    LoaderError,
)
from bigearth_xr.torch import Augmentation


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bex.testing.write_store(tmp_path_factory.mktemp("store") / "ben.zarr", pairs=20, version="v2")


def test_each_pass_is_another_epoch(ds: xr.Dataset) -> None:
    loader = loader_of(ds)
    first, second = rows_of(loader), rows_of(loader)
    assert first != second
    assert loader.epoch == 1
    loader.set_epoch(0)
    assert rows_of(loader) == first
    assert rows_of(loader_of(ds)) == first
    assert rows_of(loader_of(ds, seed=1)) != first


def test_a_pass_that_is_left_early_is_one(ds: xr.Dataset) -> None:
    loader = loader_of(ds)
    next(iter(loader))
    next(iter(loader))
    assert loader.epoch == 1


def test_a_pass_that_goes_on_beside_a_newer_one_moves_nothing(ds: xr.Dataset) -> None:
    loader = loader_of(ds)
    older, newer = iter(loader), iter(loader)
    next(older), next(newer), next(newer)
    next(older)
    assert (loader.epoch, loader.state_dict()["step"]) == (1, 2)
    next(iter(loader))
    assert loader.epoch == 2
    loader.set_epoch(7)
    list(older)
    assert (loader.epoch, loader.state_dict()["step"]) == (7, 0)


@pytest.mark.parametrize("travel", [copy.deepcopy, lambda loader: pickle.loads(pickle.dumps(loader))])
@pytest.mark.parametrize("options", [{}, {"cache": "host"}, {"augment": Augmentation(cutmix=1.0, noise_std=0.1)}])
def test_a_loader_travels_with_its_position(path: Path, travel: Any, options: Any) -> None:
    loader = loader_of(bex.open(path), threads=2, **options)
    passing = iter(loader)
    next(passing), next(passing)
    copied = travel(loader)
    assert copied.state_dict() == loader.state_dict()
    again = travel(loader)
    again.load_state_dict(loader.state_dict())
    for mine, theirs in ((again, passing), (copied, loader)):
        for one, other in zip(mine, theirs, strict=True):
            assert torch.equal(one.image, other.image)
            assert torch.equal(one.labels, other.labels)


def test_a_travelling_loader_leaves_its_cache_behind(ds: xr.Dataset) -> None:
    loader = loader_of(ds, cache="host")
    before = len(pickle.dumps(loader))
    list(loader)
    assert len(pickle.dumps(loader)) < before + 1000


@pytest.mark.parametrize("drop_last", [False, True])
def test_length_is_that_of_a_pass(ds: xr.Dataset, drop_last: bool) -> None:
    loader = loader_of(ds, batch_size=7, drop_last=drop_last)
    assert [len(rows) for rows in rows_of(loader)] == [7, 7, 7] + [3] * (not drop_last)
    assert len(loader) == 4 - drop_last


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("threads", "prefetch"), [(0, 0), (1, 0), (2, 5), (3, 1)])
def test_a_pass_goes_on_exactly_where_it_was(ds: xr.Dataset, threads: int, prefetch: int) -> None:
    augment = Augmentation(noise_std=0.1)
    loader = loader_of(ds, batch_size=4, augment=augment)
    list(loader)
    batches = list(loader)
    following = next(iter(loader))

    loader = loader_of(ds, batch_size=4, augment=augment)
    list(loader)
    passing = iter(loader)
    for _ in range(3):
        next(passing)
    state = loader.state_dict()
    again = loader_of(ds, batch_size=4, augment=augment, threads=threads, prefetch=prefetch)
    again.load_state_dict(state)
    again.set_epoch(1)  # as a trainer says before each epoch: no new beginning
    resumed = list(again)
    assert len(resumed) == len(batches) - 3
    for mine, theirs in zip(resumed, batches[3:], strict=True):
        assert torch.equal(mine.image, theirs.image)
        assert torch.equal(mine.row, theirs.row)
    assert torch.equal(next(iter(again)).image, following.image)


def test_a_state_of_the_end_goes_on_with_the_next_epoch(ds: xr.Dataset) -> None:
    loader = loader_of(ds)
    list(loader)
    state = loader.state_dict()
    assert (state["epoch"], state["step"]) == (0, len(loader))
    again = loader_of(ds)
    again.load_state_dict(state)
    assert rows_of(again) == rows_of(loader)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"batch_size": 6}, "batch_size is 6 here and was 5"),
        ({"seed": 1}, "seed is 1 here and was 0"),
        ({"rank": 0, "world_size": 2}, "world_size is 2 here and was 1"),
        ({"shuffle": False}, "shuffle is False here and was True"),
        ({"balance": "class"}, "balance is 'class' here and was None"),
    ],
)
def test_a_state_of_other_batches_is_refused(ds: xr.Dataset, options: Any, problem: str) -> None:
    state = loader_of(ds).state_dict()
    with pytest.raises(LoaderError, match=f"{problem}.*Make the loader as it was made then"):
        loader_of(ds, **options).load_state_dict(state)


def test_a_state_of_other_patches_is_refused(ds: xr.Dataset) -> None:
    state = loader_of(ds).state_dict()
    with pytest.raises(LoaderError, match="patches is 23 here and was 24; patches_digest"):
        loader_of(ds.isel(patch=slice(1, None))).load_state_dict(state)
    with pytest.raises(LoaderError, match="format None, expected 1"):
        loader_of(ds).load_state_dict({})


@pytest.mark.parametrize("state", [None, 3, "state", []])
def test_what_is_no_state_is_refused(ds: xr.Dataset, state: Any) -> None:
    with pytest.raises(LoaderError, match=r"this state is .*, expected what state_dict\(\) gave"):
        loader_of(ds).load_state_dict(state)


@pytest.mark.parametrize(
    "change",
    [*({"step": step} for step in (-1, 6, 1.5, "x", None, True)), *({"epoch": epoch} for epoch in (-1, 2**32, 0.5))],
)
def test_a_position_that_cannot_be_is_refused(ds: xr.Dataset, change: Any) -> None:
    ((name, value),) = change.items()
    loader = loader_of(ds)
    with pytest.raises(LoaderError, match=f"{name} of this state is {value!r}, expected an integer from 0 to"):
        loader.load_state_dict(loader.state_dict() | change)


def test_a_state_of_the_longest_rank_serves_the_others(ds: xr.Dataset) -> None:
    first, last = (loader_of(ds, rank=rank, world_size=5, shuffle=False, batch_size=1) for rank in (0, 4))
    list(last)
    first.load_state_dict(last.state_dict())
    next(iter(first))
    assert first.epoch == 1


def test_ranks_take_as_many_steps_to_train(ds: xr.Dataset) -> None:
    loaders = [loader_of(ds, rank=rank, world_size=5) for rank in range(5)]
    rows = [[row for batch in rows_of(loader) for row in batch] for loader in loaders]
    assert {len(mine) for mine in rows} == {5}
    assert {loader.padding for loader in loaders} == {1}
    assert set().union(*rows) == set(range(24))


def test_ranks_see_each_patch_once_to_evaluate(ds: xr.Dataset) -> None:
    loaders = [loader_of(ds, rank=rank, world_size=5, shuffle=False) for rank in range(5)]
    rows = [row for loader in loaders for batch in rows_of(loader) for row in batch]
    assert rows == list(range(24))
    assert {loader.padding for loader in loaders} == {0}


@pytest.mark.parametrize("balance", ["class", "country"])
def test_repeated_patches_vary_each_time(ds: xr.Dataset, balance: Any) -> None:
    loader = loader_of(ds, balance=balance, augment=Augmentation(noise_std=1), batch_size=24)
    (batch,) = loader
    rows = batch.row.tolist()
    again = [row for row in set(rows) if rows.count(row) > 1]
    assert again
    for row in again:
        first, second, *_ = (batch.row == row).nonzero().flatten()
        assert not torch.equal(batch.image[first], batch.image[second])
