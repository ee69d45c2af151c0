"""Arrays in memory are transformed by the kernel that makes batches: nothing shows it but the time."""

from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray
from transforms import NAMES

from bigearth_xr import array_augmentation, scaling
from bigearth_xr.device import host
from bigearth_xr.ops.augmentation import Augmentation, draw_parameters
from bigearth_xr.ops.reference import augment
from bigearth_xr.ops.scale import minmax, standardize

BANDS = NAMES[:5]
ROWS = np.array([3, 1, 41])


def some_values(kind: str, side: int = 20) -> NDArray[Any]:
    values = np.random.default_rng(side).normal(2000, 900, (len(ROWS), len(BANDS), side, side))
    values = values.clip(0, 2**16 - 1).astype(kind)
    if kind == "float32":
        values[0, 0, 0, :3] = np.nan, -np.inf, -0.0
    return values


def as_image(values: NDArray[Any]) -> xr.DataArray:
    return xr.DataArray(values, dims=("patch", "band", "y", "x"), coords={"band": list(BANDS), "row": ("patch", ROWS)})


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """As if all blocks were large; sizes of those that were compiled."""
    sizes: list[int] = []

    def transform(pixels: NDArray[Any], *arguments: Any, **options: Any) -> NDArray[np.float32]:
        sizes.append(pixels.size)
        return host.transform_block(pixels, *arguments, **options)

    monkeypatch.setattr(host, "_LARGE", 0)
    for module in (array_augmentation, scaling):
        monkeypatch.setattr(module, "transform_block", transform)
    return sizes


@pytest.mark.parametrize("kind", ["uint16", "float32"])
@pytest.mark.parametrize("side", [20, 7])
def test_a_block_varies_as_numpy_does_it_but_for_the_last_bits_of_noise(
    compiled: list[int], kind: str, side: int
) -> None:
    values = some_values(kind, side)
    for noise in (0, 0.5):
        allowed = Augmentation(gain=(0.5, 2), bias=(-3, 3), drop=0.3, noise_std=noise)
        drawn = draw_parameters(ROWS, allowed, bands=BANDS, seed=5, epoch=2)
        result = array_augmentation.augment(as_image(values), drawn).values
        np.testing.assert_allclose(result, augment(values, drawn), rtol=3e-7 * bool(noise), atol=3e-6 * bool(noise))
    assert compiled == [values.size, values.size]


def test_flips_of_integers_stay_integers(compiled: list[int]) -> None:
    drawn = draw_parameters(ROWS, Augmentation(), bands=BANDS, seed=0)
    assert array_augmentation.augment(as_image(some_values("uint16")), drawn).dtype == np.uint16
    assert array_augmentation.augment(as_image(some_values("float64")), drawn).dtype == np.float64
    assert compiled == []


@pytest.mark.parametrize("kind", ["uint16", "float32"])
@pytest.mark.parametrize("method", ["standardize", "minmax"])
def test_a_block_is_normalised_to_the_last_bit(compiled: list[int], kind: str, method: scaling.Method) -> None:
    values = some_values(kind)
    stats = {name: (100.0 + place / 3, 3000.0 + place) for place, name in enumerate(BANDS)}
    normalized = scaling.normalize(as_image(values), method, stats)
    one, other = (np.array(numbers) for numbers in zip(*stats.values(), strict=True))
    expected = (standardize if method == "standardize" else minmax)(values, one, other)
    np.testing.assert_array_equal(normalized.values, expected)
    assert normalized.dims == ("patch", "band", "y", "x")
    assert compiled == [values.size]


def test_pixels_that_lie_otherwise_are_normalised_all_the_same(compiled: list[int]) -> None:
    image = as_image(some_values("float32"))
    stats = dict.fromkeys(BANDS, (100.0, 3.0))
    turned = image.transpose("band", "y", "x", "patch")
    assert scaling.normalize(turned, stats=stats).identical(
        scaling.normalize(image, stats=stats).transpose("band", "y", "x", "patch")
    )
    assert compiled == [image.size]


@pytest.mark.parametrize("order", ["patch band y x", "x y band patch", "band patch y x"])
def test_blocks_of_any_layout_and_chunking_have_the_same_noise(compiled: list[int], order: str) -> None:
    image = as_image(some_values("float32"))
    drawn = draw_parameters(ROWS, Augmentation(noise_std=0.5, drop=0.3), bands=BANDS, seed=5)
    expected = array_augmentation.augment(image, drawn)
    moved = image.transpose(*order.split()).copy()
    for array in (moved, moved.chunk(patch=2), moved[::-1, ::-1][::-1, ::-1]):
        xr.testing.assert_identical(array_augmentation.augment(array, drawn).compute().transpose(*image.dims), expected)


def test_small_blocks_do_not_wait_for_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("compiled")

    monkeypatch.setattr(host, "transform_batch", refuse)
    image = as_image(some_values("float32"))
    drawn = draw_parameters(ROWS, Augmentation(gain=(0.5, 2)), bands=BANDS, seed=5)
    array_augmentation.augment(scaling.normalize(image, stats=dict.fromkeys(BANDS, (1, 2))), drawn)
    noisy = draw_parameters(ROWS, Augmentation(noise_std=1), bands=BANDS, seed=5)
    with pytest.raises(AssertionError, match="compiled"):
        array_augmentation.augment(image, noisy)
