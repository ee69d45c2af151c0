"""Upsampling follows the convention of torch."""

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from bigearth_xr.ops.resample import Resampling, upsample


@pytest.mark.parametrize("factor", [1, 2, 3, 6])
@pytest.mark.parametrize("method", ["bilinear", "bicubic"])
def test_smooth_methods_are_those_of_torch(method: Resampling, factor: int) -> None:
    pixels = np.random.default_rng(factor).integers(0, 20_000, (2, 3, 20, 17), np.uint16)
    coarse = torch.from_numpy(pixels.astype(np.float32))
    theirs = interpolate(coarse, scale_factor=factor, mode=method, align_corners=False)
    np.testing.assert_allclose(upsample(pixels, factor, method), theirs, rtol=1e-5, atol=0.02)


@pytest.mark.parametrize("factor", [1, 2, 6])
def test_nearest_is_that_of_torch(factor: int) -> None:
    pixels = np.random.default_rng(factor).random((2, 3, 20, 17), np.float32)
    theirs = interpolate(torch.from_numpy(pixels), scale_factor=factor, mode="nearest")
    np.testing.assert_array_equal(upsample(pixels, factor, "nearest"), theirs)
