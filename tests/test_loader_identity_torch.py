"""Loaders read the store that their rows are rows of, or nothing: after exchanges, in other processes, on resuming."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from torch.utils.data import DataLoader

import bigearth_xr as bex
from bigearth_xr.errors import LoaderError, StoreChangedError, StoreNotFoundError
from bigearth_xr.store.codec import PROFILES
from bigearth_xr.testing import formula_pixels, write_archive
from bigearth_xr.torch import PatchDataset, PatchLoader


@pytest.fixture(scope="module", params=PROFILES)
def two(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two stores: ``all.zarr`` of nine pairs, and ``less.zarr`` of these less the first."""
    folder, profile = tmp_path_factory.mktemp("two"), request.param
    archive = write_archive(folder / "archive", pairs=9)
    bex.ingest(archive, folder / "all.zarr", profile=profile)
    for patch in [*archive.rglob(str(bex.open(folder / "all.zarr").patch.values[0]))]:
        shutil.rmtree(patch)
    bex.ingest(archive, folder / "less.zarr", profile=profile)
    return folder


@pytest.fixture
def store(two: Path, tmp_path: Path) -> Path:
    """A copy of the store of all."""
    return shutil.copytree(two / "all.zarr", tmp_path / "ben.zarr")


def exchange(store: Path, two: Path) -> None:
    """Put the other store at the path."""
    shutil.rmtree(store)
    shutil.copytree(two / "less.zarr", store)


def loader(ds: xr.Dataset, **options: object) -> PatchLoader:
    return PatchLoader(ds, batch_size=3, bands=["VV"], method=None, device="cpu", **options)  # type: ignore[arg-type]


def test_a_pickled_dataset_gives_no_batch_of_another_store(store: Path, two: Path) -> None:
    sent = pickle.dumps(bex.open(store))
    exchange(store, two)
    with pytest.raises(StoreChangedError, match="holds another store by now"):
        next(iter(loader(pickle.loads(sent))))


@pytest.mark.parametrize("cache", [None, "host"])
def test_batches_after_an_exchange_are_right_or_refused(store: Path, two: Path, cache: str | None) -> None:
    ds = bex.open(store)
    load = loader(ds, cache=cache, threads=0)
    patches, seen = ds.patch.values, 0
    with pytest.raises(StoreChangedError) if cache is None else torch.no_grad():
        for batch in load:
            for row, image in zip(batch.row.tolist(), batch.image, strict=True):
                np.testing.assert_array_equal(image[0], formula_pixels(str(patches[row]), "VV"))
            seen += len(batch.row)
            if seen == 3:
                exchange(store, two)
    assert seen == (3 if cache is None else 9)  # what was kept in memory is still what was asked for


def test_a_loader_whose_store_is_gone_says_so(store: Path) -> None:
    load = loader(bex.open(store))
    next(iter(load))
    shutil.rmtree(store)
    with pytest.raises(StoreNotFoundError, match=r"no store at .*ben\.zarr on .* any more"):
        list(load)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stock_loader_gives_no_patch_of_another_store(store: Path, two: Path, workers: int) -> None:
    patches = PatchDataset(bex.open(store), bands=["VV"])
    exchange(store, two)
    with pytest.raises((StoreChangedError, RuntimeError), match="holds another store by now"):
        next(iter(DataLoader(patches, batch_size=3, num_workers=workers)))


LOADED: dict[str, Callable[[xr.Dataset], xr.Dataset]] = {"stored": lambda ds: ds, "loaded": lambda ds: ds.load()}


@pytest.mark.sampled(2)
@pytest.mark.filterwarnings("ignore:.*read through xarray")
@pytest.mark.parametrize("prepare", LOADED.values(), ids=LOADED)
def test_a_state_of_another_store_is_refused(two: Path, prepare: Callable[[xr.Dataset], xr.Dataset]) -> None:
    one = loader(prepare(bex.open(two / "all.zarr").isel(patch=slice(8))))
    next(iter(one))
    other = loader(prepare(bex.open(two / "less.zarr")))
    with pytest.raises(LoaderError, match="this state was taken of other batches: patches_digest"):
        other.load_state_dict(one.state_dict())
    again = loader(prepare(bex.open(two / "all.zarr").isel(patch=slice(8))))
    again.load_state_dict(one.state_dict())


def test_pixels_of_other_rows_than_the_dataset_says_are_refused(two: Path) -> None:
    ds = bex.open(two / "all.zarr")
    mixed = ds.isel(patch=[0, 1, 2]).assign(s1=(ds.s1.dims, ds.s1.isel(patch=[3, 4, 5]).data))
    with pytest.raises(bex.errors.StoreError, match="'row' are not of the same rows of the store"):
        loader(mixed)
