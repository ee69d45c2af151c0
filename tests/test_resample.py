"""Upsampling against sums written out pixel by pixel."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from bigearth_xr.errors import SelectionError
from bigearth_xr.ops.resample import Resampling, upsample

Kernel = Callable[[float], float]


def _triangle(distance: float) -> float:
    return max(0.0, 1 - abs(distance))


def _keys(distance: float, a: float = -0.75) -> float:
    d = abs(distance)
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * (d**3 - 5 * d**2 + 8 * d - 4) if d < 2 else 0.0


def _brute_force(pixels: NDArray[Any], factor: int, kernel: Kernel) -> NDArray[np.float64]:
    """Sum over all pixels, the border repeated, weighed by their distance."""
    height, width = pixels.shape
    fine = np.zeros((height * factor, width * factor))
    for y, x in np.ndindex(fine.shape):
        at_y, at_x = (y + 0.5) / factor - 0.5, (x + 0.5) / factor - 0.5
        nearby = itertools.product(
            range(math.floor(at_y) - 1, math.floor(at_y) + 3),
            range(math.floor(at_x) - 1, math.floor(at_x) + 3),
        )
        for j, i in nearby:
            pixel = float(pixels[min(max(j, 0), height - 1), min(max(i, 0), width - 1)])
            fine[y, x] += kernel(at_y - j) * kernel(at_x - i) * pixel
    return fine


@pytest.mark.parametrize(("method", "kernel"), [("bilinear", _triangle), ("bicubic", _keys)])
@given(
    pixels=hnp.arrays(np.uint16, hnp.array_shapes(min_dims=2, max_dims=2, max_side=5)),
    factor=st.integers(1, 6),
)
def test_smooth_methods_agree_with_brute_force(
    method: Resampling, kernel: Kernel, pixels: NDArray[np.uint16], factor: int
) -> None:
    fine = upsample(pixels, factor, method)
    np.testing.assert_allclose(fine, _brute_force(pixels, factor, kernel), rtol=1e-5, atol=0.05)


@given(
    pixels=hnp.arrays(np.uint16, hnp.array_shapes(min_dims=2, max_dims=4, max_side=4)),
    factor=st.integers(1, 6),
)
def test_nearest_repeats_each_pixel_and_keeps_its_type(pixels: NDArray[np.uint16], factor: int) -> None:
    fine = upsample(pixels, factor)
    expected = np.kron(pixels, np.ones((factor, factor), np.uint16))
    assert fine.dtype == np.uint16
    np.testing.assert_array_equal(fine, expected)


@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic"])
def test_patches_and_bands_are_independent(method: Resampling) -> None:
    pixels = np.random.default_rng(0).integers(0, 10_000, (3, 2, 20, 20), np.uint16)
    fine = upsample(pixels, 6, method)
    assert fine.shape == (3, 2, 120, 120)
    for patch, band in np.ndindex(3, 2):
        np.testing.assert_array_equal(fine[patch, band], upsample(pixels[patch, band], 6, method))


@pytest.mark.parametrize("method", ["bilinear", "bicubic"])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.float64])
def test_smooth_methods_give_float32(method: Resampling, dtype: type) -> None:
    assert upsample(np.ones((2, 2), dtype), 2, method).dtype == np.float32


@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic"])
def test_an_even_patch_stays_even(method: Resampling) -> None:
    fine = upsample(np.full((60, 60), 10_000, np.uint16), 2, method)
    np.testing.assert_allclose(fine, 10_000, rtol=1e-6)


def test_bicubic_overshoots_and_is_not_clipped() -> None:
    step = np.array([[0, 0, 10_000, 10_000]], np.uint16)
    fine = upsample(step, 2, "bicubic")
    assert fine.min() < 0
    assert fine.max() > 10_000


@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic"])
def test_a_missing_pixel_stays_in_its_neighbourhood(method: Resampling) -> None:
    pixels = np.ones((20, 20), np.float32)
    pixels[10, 10] = np.nan
    missing = np.argwhere(np.isnan(upsample(pixels, 6, method)))
    reach = 6 * 2
    assert missing.min() >= 60 - reach
    assert missing.max() < 66 + reach


def test_what_cannot_be_resampled_is_refused() -> None:
    pixels = np.zeros((2, 2))
    with pytest.raises(SelectionError, match="unknown resampling 'cubic'; expected one of nearest, bilinear, bicubic"):
        upsample(pixels, 2, "cubic")  # type: ignore[arg-type]  # the mistake under test
    for factor in (0, 1.5):
        with pytest.raises(SelectionError, match=f"factor is {factor}, expected a positive"):
            upsample(pixels, factor)  # type: ignore[arg-type]  # the mistake under test
