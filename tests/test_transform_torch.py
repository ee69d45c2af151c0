"""The batch transform follows the conventions of torch: resampling, crops, casts."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import grid_sample, interpolate
from transforms import ARRAYS, parameters_for, sources_of

from bigearth_xr.ops.augmentation import Augmentation
from bigearth_xr.ops.reference import round_to, transform_batch
from bigearth_xr.ops.resample import Resampling
from bigearth_xr.ops.transform import transform_of

BANDS = ["B05", "B06", "B07", "B8A", "B11", "B12"]  # all of an array, in its order
ROWS = np.arange(5)


@pytest.mark.parametrize("size", [120, 60, 224, 96, 33])
@pytest.mark.parametrize("method", ["bilinear", "bicubic"])
def test_resampling_is_that_of_torch(method: Resampling, size: int) -> None:
    transform = transform_of(ARRAYS, BANDS, resampling=method, size=size)
    (stored,) = sources_of(transform, 5).values()
    pixels = torch.from_numpy(stored.astype(np.float64))
    expected = interpolate(pixels, size=(size, size), mode=method, align_corners=False).numpy()
    np.testing.assert_allclose(transform_batch(transform, [stored]), expected, rtol=1e-6, atol=0.05)


@pytest.mark.parametrize("method", ["bilinear", "bicubic"])
@pytest.mark.parametrize("bands", [BANDS, ["B01", "B09"], ["VV", "VH"]])
def test_crops_are_samples_of_torch_at_the_same_places(method: Any, bands: list[str]) -> None:
    transform = transform_of(ARRAYS, bands, resampling=method, size=50)
    (stored,) = sources_of(transform, 5).values()
    drawn = parameters_for(transform, ROWS, Augmentation(crop=(0.05, 0.9), flips=False))
    top, left, height, width = (torch.from_numpy(edge.astype(np.float64))[:, None] for edge in drawn.crop.T)
    pixel = (torch.arange(50, dtype=torch.float64) + 0.5) / 50
    # −1 and 1 are the borders of a patch.
    y, x = (top + height * pixel) / 60 - 1, (left + width * pixel) / 60 - 1
    grid = torch.stack([x[:, None, :].expand(5, 50, 50), y[:, :, None].expand(5, 50, 50)], dim=-1)
    expected = grid_sample(
        torch.from_numpy(stored.astype(np.float64)), grid, mode=method, padding_mode="border", align_corners=False
    )
    np.testing.assert_allclose(transform_batch(transform, [stored], drawn), expected.numpy(), rtol=1e-5, atol=0.05)


def test_16_bits_are_those_of_torch() -> None:
    bits = np.random.default_rng(0).integers(0, 2**32, 100_000, np.uint32)
    edges = np.arange(2**16, dtype=np.uint32)[:, None] << 16 | np.array([0x7FFF, 0x8000, 0x8001], np.uint32)
    values = np.concatenate([bits, edges.ravel()]).view(np.float32)
    tensor = torch.from_numpy(values)
    brain = torch.from_numpy(round_to(values, "bfloat16").view(np.int16)).view(torch.bfloat16)
    assert torch.equal(brain.nan_to_num(7), tensor.to(torch.bfloat16).nan_to_num(7))
    half = torch.from_numpy(round_to(values, "float16"))
    assert torch.equal(half.nan_to_num(7), tensor.to(torch.float16).nan_to_num(7))
