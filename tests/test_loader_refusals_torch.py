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
    LabelError,
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
        ({"bands": "B04"}, BandError, r"got the one string 'B04'; write \['B04'\]"),
        ({"bands": 4}, BandError, "expected several band names, got 4"),
        ({"dtype": "float64"}, TransformError, "unknown dtype 'float64'; expected one of float32, .*mean 'float16'"),
        ({"size": 0}, TransformError, "size is 0"),
        ({"method": "standardise"}, NormalizationError, "unknown method 'standardise'; .*mean 'standardize'"),
        ({"stats": {"B04": (0, 1)}}, NormalizationError, "stats lack B8A"),
        ({"resampling": "bicubic"}, NormalizationError, "no statistics were published"),
        ({"views": 3}, LoaderError, "views is 3, expected 1 or 2"),
        ({"views": 2}, LoaderError, "the same without augment"),
        ({"nomenclature": 20}, LoaderError, "unknown nomenclature 20; expected one of 19, 43, None"),
        ({"nonfinite": "zeros"}, LoaderError, "unknown nonfinite 'zeros'; .* keep, count, zero; did you mean 'zero'"),
        ({"balance": "classes"}, LoaderError, "unknown balance 'classes'; .* class, country, None; .*'class'"),
        ({"label_order": "alphabetic"}, LabelError, "unknown label_order 'alphabetic'; .* paper, lexicographic"),
        ({"threads": -1}, LoaderError, "threads is -1"),
        ({"rank": 1}, LoaderError, "rank is 1 and world_size is None; give both"),
        ({"device": "gpu"}, DeviceError, "device is 'gpu', expected 'auto', 'cpu', 'cuda'"),
        ({"device": "meta"}, DeviceError, "made on 'cpu' or 'cuda', not on 'meta'"),
        ({"cache": "disk"}, LoaderError, "unknown cache 'disk'; expected one of device, host, None"),
        ({"cache": "host", "cache_bytes": 0}, LoaderError, "cache_bytes is 0"),
        ({"balance": "class", "shuffle": False}, LoaderError, "shuffle=False keeps their order"),
        *(({"stats": given}, NormalizationError, "stats is .*expected 'auto', BandS") for given in ("v1", "AUTO", 3)),
        *(
            ({"stats": {"B04": given}}, NormalizationError, "stats of B04 are .*, expected two numbers")
            for given in (1, ("a", 2), (None, 2), (1, 2, 3), "12")
        ),
        *(
            ({"augment": given}, LoaderError, "augment is .*expected an Augmentation")
            for given in (True, dict[str, Any](), "flips")
        ),
        *(({"device": given}, DeviceError, "device is .*expected 'auto', 'cpu'") for given in (None, True, 1.5)),
        *(
            ({"cache": "host", "cache_bytes": given}, LoaderError, "cache_bytes is .*an integer of at least 1")
            for given in ("1GB", 1.5, -1, True)
        ),
        ({"cache_bytes": 10**9}, LoaderError, "there is no cache; say where"),
        *(
            ({name: True}, LoaderError, f"{name} is True, expected")
            for name in ("batch_size", "size", "window", "threads", "prefetch", "seed", "views")
        ),
        *(
            ({name: given}, LoaderError, f"{name} is {given!r}, expected True or False")
            for name, given in (("shuffle", "yes"), ("shuffle", None), ("pad", "x"), ("drop_last", "no"))
        ),
        ({"batch_size": 25, "drop_last": True}, LoaderError, "24 patches do not fill one .*batch_size=25.*smaller"),
        (
            {"batch_size": 13, "drop_last": True, "rank": 0, "world_size": 2},
            LoaderError,
            "24 patches for 2 ranks do not fill",
        ),
    ],
)
def test_what_does_not_exist_is_refused(ds: xr.Dataset, options: Any, error: type[BigEarthError], problem: str) -> None:
    with pytest.raises(error, match=problem):
        next(iter(loader_of(ds, **options)))


def test_an_unknown_option_is_a_type_error(ds: xr.Dataset) -> None:
    with pytest.raises(TypeError, match=r"PatchLoader has no option 'band'; it has .*; did you mean 'bands'"):
        PatchLoader(ds, batch_size=2, band=["B04"])  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"PatchLoader has no option 'bach_size'; it has .*; did you mean 'batch_size'"):
        PatchLoader(ds, batch_size=2, bach_size=3)  # type: ignore[call-arg]


def test_no_patches_are_refused(ds: xr.Dataset) -> None:
    nothings: tuple[Any, ...] = (ds.isel(patch=[]), ds.isel(patch=0), [], ds.s2, None, 3, "ben.zarr")
    for nothing in nothings:
        with pytest.raises(LoaderError, match="expected Datasets with at least one patch"):
            PatchLoader(nothing, batch_size=2)


def test_cropped_patches_are_refused(ds: xr.Dataset) -> None:
    with pytest.raises(LoaderError, match=r"y: 60, x: 120\), expected \(patch, band, y: 120.*Augmentation\(crop=…\)"):
        loader_of(ds.isel(y=slice(60)), method=None)


@pytest.mark.filterwarnings("ignore:.*not as a store holds it")
def test_pixels_that_were_computed_are_not_resampled_again(ds: xr.Dataset) -> None:
    computed = (ds.load(), ds.assign(s2=ds.s2 * 2), xr.concat([ds.isel(patch=[0]), ds.isel(patch=[1])], "patch"))
    for each in computed:
        with pytest.raises(BandError, match="resampling='bilinear' needs pixels as stored"):
            loader_of(each, bands=["B04", "B05"], resampling="bilinear")
        # Those of 10 m are as stored, and may be brought to another size.
        fine = loader_of(each, bands=["B04"], resampling="bilinear", method=None, size=60)
        assert next(iter(fine)).image.shape[1:] == (1, 60, 60)


def test_a_large_batch_takes_memory_for_the_patches_there_are(ds: xr.Dataset) -> None:
    (batch,) = loader_of(ds, batch_size=10**9)
    assert len(batch.row) == 24


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
