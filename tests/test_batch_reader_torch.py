"""Batches in a DataLoader's workers, however they are started, after the parent has read too."""

import multiprocessing
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import bigearth_xr as bex
from bigearth_xr.store.batch import BatchReader
from bigearth_xr.store.codec import PROFILES, ProfileName
from bigearth_xr.store.open import Store, open_store
from bigearth_xr.store.read import read_patches

PAIRS = 12


@pytest.fixture(scope="module", params=PROFILES)
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Store:
    profile: ProfileName = request.param
    return open_store(bex.testing.write_store(tmp_path_factory.mktemp("s") / "ben.zarr", pairs=PAIRS, profile=profile))


class Batches(Dataset[dict[str, torch.Tensor]]):
    """A batch by its rows; what torch would call one item."""

    def __init__(self, store: Store) -> None:
        self.reader = BatchReader(store, threads=2)

    def __getitem__(self, rows: list[int]) -> dict[str, torch.Tensor]:
        return {name: torch.from_numpy(pixels) for name, pixels in self.reader.read(rows).items()}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_workers_read_what_the_parent_has_read(opened: Store, method: Literal["fork", "forkserver", "spawn"]) -> None:
    batches = Batches(opened)
    rows = np.random.default_rng(0).permutation(PAIRS).reshape(4, 3).tolist()
    kept = batches.reader.locate(rows[0])
    expected = [batches[wanted] for wanted in rows]
    loader: Any = DataLoader(
        batches,
        batch_size=None,
        sampler=rows,
        num_workers=2,
        multiprocessing_context=multiprocessing.get_context(method),
    )
    for found, wanted, whole in zip(loader, expected, rows, strict=True):
        assert found.keys() == wanted.keys()
        for name, pixels in found.items():
            assert torch.equal(pixels, wanted[name])
            stored = read_patches(opened, opened.array(name), np.array(whole))
            assert pixels.numpy().tobytes() == stored.tobytes()
    kept.release()


def test_a_tensors_memory_is_filled(opened: Store) -> None:
    reader = BatchReader(opened, ["B02", "VV"])
    tensors = {
        array.name: torch.empty((2, *array.patch_shape), dtype=getattr(torch, array.dtype)) for array in reader.sources
    }
    reader.read([7, 1], {name: tensor.numpy() for name, tensor in tensors.items()})
    for name, tensor in tensors.items():
        assert tensor.numpy().tobytes() == read_patches(opened, opened.array(name), np.array([7, 1])).tobytes()
