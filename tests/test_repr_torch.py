"""Loaders say what they give, and composites name bands for them as for images."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loading import loader_of

import bigearth_xr as bex
from bigearth_xr.errors import BandError
from bigearth_xr.torch import Augmentation, PatchDataModule, PatchDataset


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 20 synthetic pairs."""
    return bex.testing.write_store(tmp_path_factory.mktemp("small") / "ben.zarr", pairs=20)


def test_a_loader_says_what_it_gives(small: Path) -> None:
    ds = bex.open(small)
    usual = loader_of(ds, batch_size=4, bands=["B04", "VV"], seed=3, device="cpu", shuffle=False)
    assert repr(usual) == (
        "PatchLoader(20 patches, bands=['B04', 'VV'], size=120, 19 labels, dtype='float32', method='standardize', "
        "augment=None, batch_size=4, seed=3, device='cpu', shuffle=False)"
    )
    rich = loader_of(
        ds,
        batch_size=4,
        bands="rgb",
        augment=Augmentation(crop=(0.5, 1), gain=(0.9, 1.1)),
        views=2,
        size=64,
        dtype="float16",
        nonfinite="zero",
        balance="country",
        cache="host",
        rank=1,
        world_size=3,
        drop_last=True,
    )
    for part in (
        "bands=['B04', 'B03', 'B02'], size=64, 19 labels, dtype='float16'",
        "augment=Augmentation(gain=(0.9, 1.1), crop=(0.5, 1)), views=2, nonfinite='zero'",
        "rank=1 of 3, balance='country', drop_last=True, cache='host'",
        "shuffle=True: an order of its own",
    ):
        assert part in repr(rich)


def test_a_dataset_and_a_module_say_it_too(small: Path) -> None:
    ds = bex.open(small)
    patches = PatchDataset(ds, bands=["VV"], size=60, seed=2)
    patches.set_epoch(5)
    assert repr(patches) == (
        "PatchDataset(20 patches, bands=['VV'], size=60, 19 labels, dtype='float32', method='standardize', "
        "augment=None, seed=2, epoch=5)"
    )
    module = PatchDataModule(ds, batch_size=4, bands="rgb", augment=Augmentation())
    assert repr(module) == (
        "PatchDataModule(20 patches of 1 Dataset(s), before their splits, batch_size=4, bands='rgb', "
        "augment=Augmentation())"
    )


def test_composites_name_bands_for_loaders(small: Path) -> None:
    ds = bex.open(small)
    loader = loader_of(ds, bands="infrared", shuffle=False, batch_size=20, method=None)
    assert loader.bands == ("B08", "B04", "B03")
    (batch,) = loader
    np.testing.assert_array_equal(batch.image, ds.ben.image("infrared"))
    with pytest.raises(BandError, match=r"unknown composite 'infared'; expected one of rgb, infrared, .*'infrared'"):
        loader_of(ds, bands="infared")


@pytest.mark.parametrize("options", [{"crop": (0.2, 0.9)}, {"crop": (0.3, 1), "gain": (0.9, 1.1), "mixup": 0.4}])
def test_arrays_are_augmented_as_by_loaders(small: Path, options: dict[str, Any]) -> None:
    ds = bex.open(small)
    bands = ["B04", "B8A", "B01", "VH"]
    loader = loader_of(
        ds, bands=bands, shuffle=False, batch_size=20, seed=4, augment=Augmentation(**options), device="cpu"
    )
    (batch,) = loader
    epoch = loader.epoch
    array = ds.ben.image(bands).ben.normalize().ben.augment(seed=4, epoch=epoch, **options)
    np.testing.assert_allclose(batch.image, array, rtol=1e-4, atol=1e-4)
