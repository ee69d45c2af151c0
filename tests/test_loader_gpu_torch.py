"""On a GPU: the same batches, to the last bit where nothing is interpolated or noisy."""

from typing import Any

import pytest
import torch
import xarray as xr
from loading import loader_of

from bigearth_xr.errors import (
    DeviceError,
    LoaderError,
)
from bigearth_xr.torch import Augmentation


@pytest.mark.gpu
@pytest.mark.parametrize("cache", [None, "device", "host"])
@pytest.mark.parametrize("kept", [None, 9 * 275_200])
def test_a_gpu_makes_the_same_batches(ds: xr.Dataset, cache: Any, kept: int | None) -> None:
    options: Any = {"augment": Augmentation(gain=(0.9, 1.1), drop=0.2, mixup=0.4), "batch_size": 7, "views": 2}
    options |= {"cache": cache, "cache_bytes": kept if cache else None}
    here, there = (loader_of(ds, **(options | {"device": device})) for device in ("cpu", "cuda"))
    for _ in range(2):
        for mine, theirs in zip(there, here, strict=True):
            assert mine.image.is_cuda
            assert mine.image2 is not None
            assert theirs.image2 is not None
            torch.testing.assert_close(mine.image.cpu(), theirs.image, rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(mine.image2.cpu(), theirs.image2, rtol=1e-5, atol=1e-5)
            assert torch.equal(mine.labels.cpu(), theirs.labels)
            assert torch.equal(mine.row, theirs.row)


@pytest.mark.gpu
def test_a_batch_on_a_gpu_is_whole_when_it_is_handed_out(ds: xr.Dataset) -> None:
    plain = [batch.image.sum((2, 3)) for batch in loader_of(ds, batch_size=2)]
    for _ in range(20):
        sums = [batch.image.sum((2, 3)) for batch in loader_of(ds, batch_size=2, device="cuda", threads=3)]
        torch.testing.assert_close([each.cpu() for each in sums], plain, rtol=1e-3, atol=1)


@pytest.mark.gpu
def test_what_is_not_finite_is_looked_for_on_the_host(ds: xr.Dataset) -> None:
    with pytest.raises(LoaderError, match=r"on the host alone; use 'keep', and torch\.nan_to_num"):
        loader_of(ds, device="cuda", nonfinite="zero")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused(ds: xr.Dataset) -> None:
    with pytest.raises(DeviceError, match="torch finds no GPU; use device='cpu'"):
        loader_of(ds, device="cuda")
