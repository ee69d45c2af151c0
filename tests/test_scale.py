"""Scaling against float64."""

from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from bigearth_xr.ops.scale import minmax, standardize

MEAN, STD = np.array([[588.4096, -12.643864], [684.56885, 5.133494]], np.float32)


@pytest.fixture(params=["numpy", pytest.param("cupy", marks=pytest.mark.gpu)])
def xp(request: pytest.FixtureRequest) -> ModuleType:
    return import_module(request.param)


def on_host(array: Any) -> NDArray[np.float32]:
    return array.get() if hasattr(array, "get") else np.asarray(array)


@given(pixels=hnp.arrays(np.uint16, (3, 2, 4, 5)))
def test_standardizing_agrees_with_float64(pixels: NDArray[np.uint16]) -> None:
    exact = (pixels.astype(np.float64) - MEAN[:, None, None]) / STD[:, None, None]
    scaled = standardize(pixels, MEAN, STD)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, exact, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", ["uint16", "int32", "float32", "float64"])
def test_pixels_stay_as_they_were(xp: ModuleType, dtype: str) -> None:
    pixels = xp.ones((1, 2, 4, 4), dtype)
    scaled = standardize(pixels, MEAN, STD)
    assert type(scaled) is type(pixels)
    assert bool((pixels == 1).all())


def test_bands_may_be_on_any_axis(xp: ModuleType) -> None:
    pixels = xp.arange(2 * 3 * 4, dtype=xp.float32).reshape(2, 3, 4)
    last = standardize(pixels.transpose(1, 2, 0), MEAN, STD, axis=-1).transpose(2, 0, 1)
    assert bool((standardize(pixels, MEAN, STD) == last).all())
    assert last.flags.c_contiguous  # the layout of memory is kept: no copy is due when dimensions go back


def test_limits_become_0_and_1_and_nothing_is_clipped(xp: ModuleType) -> None:
    low, high = np.array([[0, -30], [10_000, 10]], np.float32)
    pixels = xp.asarray([[[0, 10_000, 12_000]], [[-30, 10, 20]]], dtype=xp.float32)
    scaled = minmax(pixels, low, high)
    np.testing.assert_array_max_ulp(on_host(scaled), np.array([[[0, 1, 1.2]], [[0, 1, 1.25]]], np.float32), maxulp=1)


def test_missing_pixels_stay_missing() -> None:
    pixels = np.full((2, 1, 2), np.nan, np.float32)
    pixels[:, :, 1] = MEAN[:, None]
    np.testing.assert_array_equal(standardize(pixels, MEAN, STD), [[[np.nan, 0]], [[np.nan, 0]]])
