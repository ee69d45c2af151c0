"""Pixels of the store that are NaN or infinite: kept, counted as the store holds them, or replaced in batches."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
import xarray as xr
import zarr
from echoless import PAIRS, write_echoless
from loading import loader_of
from numpy.typing import NDArray

import bigearth_xr as bex
from bigearth_xr.batches.recipe import Nonfinite
from bigearth_xr.torch import Augmentation, PatchLoader

WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "bicubic": {"resampling": "bicubic", "method": None, "augment": Augmentation(crop=(0.1, 0.5)), "size": 50},
    "views": {
        "resampling": "bilinear",
        "method": None,
        "augment": Augmentation(crop=(0.3, 1), gain=(0.5, 2)),
        "views": 2,
    },
    "mixed": {"augment": Augmentation(mixup=0.4, drop=0.5)},
    "half": {"dtype": "float16"},
    "brain": {"dtype": "bfloat16", "augment": Augmentation(noise_std=1)},
}


@pytest.fixture(scope="module", params=["fast", "compact"])
def bad_store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with radar pixels without echo, in each profile."""
    return write_echoless(tmp_path_factory.mktemp("bad"), request.param)


@pytest.fixture
def bad(bad_store: Path) -> xr.Dataset:
    return bex.open(bad_store)


def stored_radar(store: Path) -> NDArray[np.float32]:
    """VV and VH of all rows, by Zarr alone."""
    array: Any = zarr.open_group(store, mode="r")["s1"]
    return np.asarray(array[:])


@pytest.mark.sampled(2)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("policy", ["count", "zero"])
@pytest.mark.parametrize("bands", [("VV",), ("B04", "VH", "VV"), ("B04", "B09")])
def test_what_the_store_holds_is_counted(
    bad: xr.Dataset, bad_store: Path, policy: Nonfinite, bands: tuple[str, ...], way: str
) -> None:
    odd = ~np.isfinite(stored_radar(bad_store)).all(axis=0)
    assert odd.any()
    by_band = dict(zip(("VV", "VH"), (~np.isfinite(stored_radar(bad_store))).sum(axis=(0, 2, 3)), strict=True))
    expected = sum(by_band.get(name, 0) for name in bands)
    loader = loader_of(bad, bands=bands, nonfinite=policy, **WAYS[way])
    for epoch in (1, 2):
        for _ in loader:
            pass
        assert loader.nonfinite == epoch * expected


def test_patches_that_are_not_asked_for_do_not_count(bad: xr.Dataset, bad_store: Path) -> None:
    radar = stored_radar(bad_store)
    for row in range(PAIRS):
        loader = loader_of(bad.isel(patch=[row, row]), bands=["VH"], nonfinite="count")
        assert len(list(loader)) == 1
        assert loader.nonfinite == 2 * (~np.isfinite(radar[row, 1])).sum()


def test_what_is_not_finite_is_kept_counted_or_replaced(bad: xr.Dataset) -> None:
    for dtype in ("float32", "float16", "bfloat16"):
        # In half precision, what is beyond 65,504 is infinite, though the store holds none such.
        options: Any = {"stats": {"VV": (0.0, 1e-4), "B04": (0.0, 1.0)}, "bands": ["VV", "B04"], "dtype": dtype}
        options |= {"batch_size": PAIRS, "shuffle": False}
        keep, count, zero = (loader_of(bad, nonfinite=policy, **options) for policy in get_args(Nonfinite))
        (kept,), (counted,), (replaced,) = keep, count, zero
        odd = ~torch.isfinite(kept.image)
        assert odd.sum() > 841 if dtype == "float16" else odd.sum() == 841
        assert (keep.nonfinite, count.nonfinite, zero.nonfinite) == (0, 841, 841)
        assert torch.equal(counted.image.nan_to_num(7), kept.image.nan_to_num(7))
        assert torch.equal(replaced.image, torch.where(odd, 0, kept.image))


def test_computed_pixels_count_as_they_were_computed(bad: xr.Dataset) -> None:
    changed = bad.assign(s1=bad.s1.where(bad.s1 > 0))
    with pytest.warns(UserWarning, match="s1 of this Dataset is not as a store holds it"):
        loader = PatchLoader(changed, batch_size=4, bands=["VV"], method=None, nonfinite="count", device="cpu")
    assert len(list(loader)) == 2
    assert loader.nonfinite == int((~np.isfinite(changed.s1.sel(polarization="VV"))).sum())
