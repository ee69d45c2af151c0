"""What a loader refuses, with the reason: choices that are none, patches that are none, damage."""

import threading
from pathlib import Path
from typing import Any

import pytest
import xarray as xr
from damages import ROW, flip_pixels, shard
from loading import loader_of

import bigearth_xr as bex
from bigearth_xr.errors import (
    BandError,
    BigEarthError,
    ChecksumError,
    DeviceError,
    LoaderError,
    NormalizationError,
    NotStoredError,
    TransformError,
)
from bigearth_xr.torch import PatchLoader


@pytest.mark.parametrize(
    ("options", "error", "problem"),
    [
        ({"bands": ["B4"]}, BandError, "B04"),
        ({"bands": []}, BandError, "no band asked for"),
        ({"bands": "B04"}, LoaderError, r"bands is 'B04', expected several names; for one, bands=\['B04'\]"),
        ({"dtype": "float64"}, TransformError, "dtype is 'float64', expected one of float32"),
        ({"size": 0}, TransformError, "size is 0"),
        ({"method": "standardise"}, NormalizationError, "no method 'standardise'"),
        ({"stats": {"B04": (0, 1)}}, NormalizationError, "stats lack B8A"),
        ({"resampling": "bicubic"}, NormalizationError, "no statistics were published"),
        ({"views": 3}, LoaderError, "views is 3, expected 1 or 2"),
        ({"views": 2}, LoaderError, "the same without augment"),
        ({"nomenclature": 20}, LoaderError, "nomenclature is 20"),
        ({"nonfinite": "zeros"}, LoaderError, "nonfinite is 'zeros'.*did you mean 'zero'"),
        ({"balance": "classes"}, LoaderError, "balance is 'classes', expected 'class', 'country' or None"),
        ({"threads": -1}, LoaderError, "threads is -1"),
        ({"rank": 1}, LoaderError, "rank is 1 and world_size is None; give both"),
        ({"device": "gpu"}, DeviceError, "device is 'gpu', expected 'auto', 'cpu', 'cuda'"),
        ({"device": "meta"}, DeviceError, "made on 'cpu' or 'cuda', not on 'meta'"),
        ({"cache": "disk"}, LoaderError, "cache is 'disk', expected 'device', 'host' or None"),
        ({"cache": "host", "cache_bytes": 0}, LoaderError, "cache_bytes is 0"),
        ({"balance": "class", "shuffle": False}, LoaderError, "shuffle=False keeps their order"),
    ],
)
def test_what_does_not_exist_is_refused(ds: xr.Dataset, options: Any, error: type[BigEarthError], problem: str) -> None:
    with pytest.raises(error, match=problem):
        next(iter(loader_of(ds, **options)))


def test_an_unknown_option_is_a_type_error(ds: xr.Dataset) -> None:
    with pytest.raises(TypeError, match="'band'"):
        PatchLoader(ds, batch_size=2, band=["B04"])  # type: ignore[call-arg]


def test_no_patches_are_refused(ds: xr.Dataset) -> None:
    nothings: tuple[Any, ...] = (ds.isel(patch=[]), ds.isel(patch=0), [], ds.s2)
    for nothing in nothings:
        with pytest.raises(LoaderError, match="expected Datasets with at least one patch"):
            PatchLoader(nothing, batch_size=2)


def test_cropped_patches_are_refused(ds: xr.Dataset) -> None:
    with pytest.raises(LoaderError, match=r"y: 60, x: 120\), expected \(patch, band, y: 120.*Augmentation\(crop=…\)"):
        loader_of(ds.isel(y=slice(60)), method=None)


def test_a_damaged_patch_is_named_and_ends_the_pass(own: Path) -> None:
    flip_pixels("s2_10m")(own)
    ds = bex.open(own)
    with pytest.raises(ChecksumError, match=rf"row {ROW} \({ds.patch.values[ROW]}\)"):
        list(loader_of(ds, threads=3, checks="always"))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("bigearth-batch")]


def test_a_lost_shard_is_named_with_its_patches(own: Path) -> None:
    ds = bex.open(own)
    shard(own, "s1").unlink()
    with pytest.raises(NotStoredError, match=r"row \d+ \(S2.*s1 holds no pixels of it, nor of"):
        list(loader_of(ds))
