"""What an earlier version pickled reads the same patches."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from old_pickles import UUID, load_old, write_their_store
from xarray.core.indexing import BasicIndexer, OuterIndexer

import bigearth_xr as bex
from bigearth_xr.errors import StoreError
from bigearth_xr.ops.augmentation import Augmentation
from bigearth_xr.store.open import open_store


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where their store lies."""
    folder = tmp_path_factory.mktemp("old")
    assert open_store(write_their_store(folder)).uuid == UUID
    return folder


def test_a_dask_array_is_narrowed_and_computed(folder: Path) -> None:
    old, ds = load_old("array", folder), bex.open(folder / "ben.zarr")
    assert type(old) is type(ds.s2.data)
    np.testing.assert_array_equal(old[[4, 1], 2:5].compute(), ds.s2[[4, 1], 2:5])


def test_arrays_that_xarray_indexes_are_read(folder: Path) -> None:
    ds = xr.open_dataset(folder / "ben.zarr", engine="bigearth")
    assert load_old("column", folder)[BasicIndexer((slice(None),))].tolist() == ds.country.values.tolist()
    found = load_old("pixels", folder)[OuterIndexer((np.array([3, 0]), np.array([1]), slice(None), slice(None)))]
    np.testing.assert_array_equal(found, ds.s2[[3, 0], [1]])


def test_an_augmentation_is_the_same() -> None:
    assert load_old("augmentation", Path("/home/user")) == Augmentation(gain=(0.9, 1.1), crop=(0.6, 1))


def test_another_store_in_their_place_is_refused(tmp_path: Path) -> None:
    bex.testing.write_store(tmp_path / "ben.zarr", pairs=5)
    with pytest.raises(StoreError, match=UUID):
        load_old("array", tmp_path).compute()


def test_a_name_that_never_was_is_an_attribute_error() -> None:
    for module in ("store.place", "store.objects", "batches.cache", "batches.build"):
        with pytest.raises(AttributeError, match="Nothing"):
            pickle.loads(f"cbigearth_xr.{module}\nNothing\n.".encode())


@pytest.mark.parametrize(
    "name",
    [
        "store.objects\nObjectPlace",
        "batches.cache\nMemory",
        "batches.build\nBufferPool",
        "sampling.rules\nSampling",
    ],
)
def test_a_class_that_moved_is_found_whether_its_module_is_there_or_not(name: str) -> None:
    assert isinstance(pickle.loads(f"cbigearth_xr.{name}\n.".encode()), type)
