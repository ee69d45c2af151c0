"""Memory of batches and threads that make them: used again, and let go; and pixels that are kept."""

import gc
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from damages import shard
from loading import loader_of, rows_of

import bigearth_xr as bex
from bigearth_xr.torch import Augmentation


def test_memory_is_used_again_once_nobody_holds_it(ds: xr.Dataset) -> None:
    loader = loader_of(ds, batch_size=2, threads=1, prefetch=1)
    addresses = set()
    for batch in loader:
        addresses.add(batch.image.data_ptr())
        del batch
    assert len(addresses) < len(loader)


def test_memory_of_a_batch_that_is_held_is_never_written_over(ds: xr.Dataset) -> None:
    loader = loader_of(ds, batch_size=2, threads=2)
    views = [(batch.image[:, 1:2, ::2].permute(0, 2, 3, 1), batch.image.clone()) for batch in loader]
    for _ in range(3):
        list(loader)
    for view, copy in views:
        assert torch.equal(view, copy[:, 1:2, ::2].permute(0, 2, 3, 1))
    kept = [batch.image.numpy()[0] for batch in loader]  # what NumPy sees of it counts too
    copies = [array.copy() for array in kept]
    list(loader)
    np.testing.assert_array_equal(kept, copies)


def test_no_thread_is_left_behind(ds: xr.Dataset) -> None:
    before = {
        thread for thread in threading.enumerate() if thread.name.startswith(("bigearth-batch", "bigearth-ahead"))
    }
    loader = loader_of(ds, batch_size=1, threads=3, prefetch=8)
    for _ in loader:
        break
    passing = iter(loader)
    next(passing)
    del passing
    gc.collect()
    list(loader)
    after = {thread for thread in threading.enumerate() if thread.name.startswith(("bigearth-batch", "bigearth-ahead"))}
    assert after <= before


@pytest.mark.sampled(2)
@pytest.mark.parametrize("kept", [None, 1_000, 9 * 275_200])
@pytest.mark.parametrize("cache", ["host", "device"])
def test_cached_batches_are_the_same(ds: xr.Dataset, cache: Any, kept: int | None) -> None:
    plain = loader_of(ds, augment=Augmentation())
    cached = loader_of(ds, augment=Augmentation(), cache=cache, cache_bytes=kept)
    for _ in range(2):
        for mine, theirs in zip(cached, plain, strict=True):
            assert torch.equal(mine.image, theirs.image)
            assert torch.equal(mine.row, theirs.row)


def test_later_epochs_of_a_cached_loader_read_no_disk(own: Path) -> None:
    loader = loader_of(bex.open(own), cache="host", cache_bytes=10**8, checks="always")
    first = {int(row): image.clone() for batch in loader for row, image in zip(batch.row, batch.image, strict=True)}
    for array in ("s2_10m", "s2_20m", "s2_60m", "s1"):
        shard(own, array).unlink()
    for batch in loader:
        for row, image in zip(batch.row, batch.image, strict=True):
            assert torch.equal(image, first[int(row)])


def test_each_rank_caches_its_share(ds: xr.Dataset) -> None:
    loaders = [loader_of(ds, rank=rank, world_size=2, cache="host") for rank in range(2)]
    for loader in loaders:
        first, second = (sorted(row for batch in rows_of(loader) for row in batch) for _ in range(2))
        assert first == second
        assert [part.reader.patches for part in loader._builder.patches.parts] == [12]  # type: ignore[attr-defined]
