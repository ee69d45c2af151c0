"""What a pixel that is NaN or infinite does to a batch: as much as it weighs, and nothing where it weighs nothing."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from bad_pixels import exact_weights, expected_badness
from fused_on_host import run_on_host
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from transforms import ARRAYS, parameters_for

from bigearth_xr.device import host
from bigearth_xr.ops.augmentation import Augmentation, AugmentParameters, draw_parameters
from bigearth_xr.ops.mixing import mix_labels
from bigearth_xr.ops.reference import transform_batch
from bigearth_xr.ops.resample import LEAST_WEIGHT, TAPS, Resampling, crop_taps, upsample
from bigearth_xr.ops.transform import Transform, transform_of

Engine = Callable[[Transform, NDArray[Any], AugmentParameters | None], NDArray[Any]]

BAD = [np.nan, -np.inf, np.inf]
SMOOTH: list[Resampling] = ["bilinear", "bicubic"]
# Of whole patches and whole pixels every centre is a stored one's; 119.996 is the largest side that is not whole.
CROPS = {
    "whole": (0, 0, 120, 120),
    "height": (0, 7.5, 120, 100.25),
    "pixels": (30, 10, 60, 60),
    "almost": (0, 1 / 256, 120 - 1 / 256, 120 - 1 / 256),
    "some": (3.5, 20.25, 70.125, 50),
}


def on_gpu(transform: Transform, pixels: NDArray[Any], drawn: AugmentParameters | None) -> NDArray[Any]:
    import cupy

    from bigearth_xr.device import cuda

    batch = cuda.transform_batch(transform, cuda.addresses_of({"s1": cupy.asarray(pixels)}), drawn)
    made: NDArray[Any] = cupy.asnumpy(batch)
    return made


def compiled(transform: Transform, pixels: NDArray[Any], drawn: AugmentParameters | None) -> NDArray[Any]:
    return host.transform_batch(transform, host.addresses_of({"s1": pixels}), drawn)


def reference(transform: Transform, pixels: NDArray[Any], drawn: AugmentParameters | None) -> NDArray[Any]:
    return transform_batch(transform, [pixels], drawn)


@pytest.fixture(params=["reference", "compiled", "source", pytest.param("gpu", marks=pytest.mark.gpu)])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine in turn; the source of the CUDA kernel runs on the host, and on a GPU where there is one."""
    if request.param == "source":
        library = request.getfixturevalue("on_host")
        return lambda transform, pixels, drawn: run_on_host(library, transform, [pixels], drawn)
    engines: dict[str, Engine] = {"reference": reference, "compiled": compiled, "gpu": on_gpu}
    return engines[request.param]


def radar(patches: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(-12, 5, (patches, 2, 120, 120)).astype(np.float32)


def transform_to(size: int, resampling: Resampling, scale: Any = None) -> Transform:
    return transform_of(ARRAYS, ["VV"], scale, resampling=resampling, size=size)


def cropped(transform: Transform, crop: Any, d4: int = 0, patches: int = 1) -> AugmentParameters:
    drawn = parameters_for(transform, np.arange(patches), Augmentation(crop=(0.5, 0.5)))
    drawn.crop[:], drawn.d4[:] = crop, d4
    return drawn


@pytest.mark.parametrize("resampling", SMOOTH)
@pytest.mark.parametrize("bad", BAD)
def test_a_crop_that_takes_all_gives_the_stored_pixels(engine: Engine, resampling: Resampling, bad: float) -> None:
    pixels = radar()
    pixels[0, 0, [0, 50, 50, 119], [3, 60, 61, 119]] = bad
    transform = transform_to(120, resampling)
    np.testing.assert_array_equal(engine(transform, pixels, cropped(transform, CROPS["whole"])), pixels[:, :1])
    # So does whatever is cropped at random from practically all of it.
    nearly = Augmentation(crop=(1 - 1e-9, 1), aspect=(1, 1), flips=False)
    drawn = draw_parameters(np.arange(1), nearly, bands=["VV"], seed=0)
    np.testing.assert_array_equal(engine(transform, pixels, drawn), pixels[:, :1])


@pytest.mark.parametrize("resampling", SMOOTH)
def test_a_crop_of_whole_pixels_gives_the_stored_ones(engine: Engine, resampling: Resampling) -> None:
    pixels = radar()
    pixels[0, 0, 29:91:3, 9:71:5] = -np.inf  # also just outside
    pixels[0, 0, 41, 41] = np.nan
    transform = transform_to(60, resampling)
    batch = engine(transform, pixels, cropped(transform, CROPS["pixels"]))
    np.testing.assert_array_equal(batch, pixels[:, :1, 30:90, 10:70])


@pytest.mark.sampled(2)
@pytest.mark.parametrize("resampling", [*TAPS])
@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize("bad", [np.nan, -np.inf])
def test_a_bad_pixel_shows_where_it_weighs_something(
    engine: Engine, resampling: Resampling, crop: str, bad: float
) -> None:
    transform, pixels, (top, left, height, width) = transform_to(120, resampling), radar(), CROPS[crop]
    is_bad = np.zeros((120, 120), bool)
    is_bad[[0, 50, 51, 119], [119, 60, 30, 0]] = True
    pixels[0, 0, is_bad] = bad
    of_y, of_x = (
        exact_weights(start, extent, size=120, side=120, method=resampling)
        for start, extent in ((top, height), (left, width))
    )
    (batch,) = engine(transform, pixels, cropped(transform, CROPS[crop]))[0]
    np.testing.assert_array_equal(~np.isfinite(batch), expected_badness(is_bad, of_y, of_x))
    good = np.isfinite(batch)
    expected = of_y @ np.where(is_bad, 0, pixels[0, 0]) @ of_x.T
    np.testing.assert_allclose(batch[good], expected[good], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("resampling", SMOOTH)
@pytest.mark.parametrize("code", range(8))
def test_a_turned_patch_has_its_bad_pixels_turned(engine: Engine, resampling: Resampling, code: int) -> None:
    pixels = radar()
    pixels[0, 0, [10, 50, 70], [20, 21, 110]] = np.nan, -np.inf, np.inf
    transform = transform_to(120, resampling, {"VV": (-12, 5)})
    drawn = cropped(transform, CROPS["whole"], code)
    turned = np.rot90(pixels[0, 0], code % 4)
    expected = ((turned if code < 4 else turned[:, ::-1]) - np.float32(-12)) * (np.float32(1) / np.float32(5))
    np.testing.assert_array_equal(engine(transform, pixels, drawn)[0, 0], expected)


@pytest.mark.parametrize("resampling", SMOOTH)
@pytest.mark.parametrize(("weight", "taken"), [(0, 1), (1, 0)])
def test_of_what_has_no_share_in_a_blend_nothing_is_left(
    engine: Engine, resampling: Resampling, weight: float, taken: int
) -> None:
    pixels = radar(2)
    pixels[1 - taken] = -np.inf
    pixels[taken, 0, 5, 6] = np.nan
    transform = transform_to(120, resampling)
    drawn = draw_parameters(np.arange(2), Augmentation(mixup=1, flips=False), bands=["VV"], seed=0)
    drawn.weight[:] = weight
    np.testing.assert_array_equal(engine(transform, pixels, drawn)[0], pixels[taken, :1])


def test_boxes_and_dropped_bands_leave_nothing_of_what_was_there(engine: Engine) -> None:
    pixels = radar(2)
    pixels[0, 0, 30:60, 30:60] = -np.inf
    transform = transform_to(120, "bicubic")
    pasted = draw_parameters(np.arange(2), Augmentation(cutmix=1, flips=False), bands=["VV"], seed=0)
    pasted.box[:] = 30, 30, 30, 30
    expected = pixels[0, 0].copy()
    expected[30:60, 30:60] = pixels[1, 0, 30:60, 30:60]
    np.testing.assert_array_equal(engine(transform, pixels, pasted)[0, 0], expected)
    dropped = parameters_for(transform, np.arange(2), Augmentation(drop=1, gain=(0.5, 2), crop=(0.5, 1)))
    assert not engine(transform, pixels, dropped).any()


@given(
    method=st.sampled_from([*TAPS]),
    size=st.integers(1, 40),
    start=st.integers(0, 60 * 256),
    extent=st.integers(1, 60 * 256) | st.sampled_from([30 * 256, 60 * 256]),
    bad=st.lists(st.tuples(st.integers(0, 119), st.integers(0, 119)), min_size=1, max_size=9),
    value=st.sampled_from(BAD),
)
def test_any_crop_shows_bad_pixels_where_they_weigh_something(
    method: Resampling, size: int, start: int, extent: int, bad: list[tuple[int, int]], value: float
) -> None:
    transform, pixels, is_bad = transform_to(size, method), radar(), np.zeros((120, 120), bool)
    is_bad[tuple(np.array(bad).T)] = True
    pixels[0, 0, is_bad] = value
    whole = exact_weights(0, 120, size=size, side=120, method=method)
    part = exact_weights(start / 256, extent / 256, size=size, side=120, method=method)
    drawn = cropped(transform, (0, start / 256, 120, extent / 256))
    expected = expected_badness(is_bad, whole, part)
    batches = [one(transform, pixels, drawn)[0, 0] for one in (reference, compiled)]
    for batch in batches:
        np.testing.assert_array_equal(~np.isfinite(batch), expected)
    np.testing.assert_array_equal(*batches)


@pytest.mark.parametrize("method", SMOOTH)
@pytest.mark.parametrize("factor", [1, 2, 3, 5])
@pytest.mark.parametrize("bad", BAD)
def test_upsampling_shows_a_bad_pixel_where_it_weighs_something(method: Resampling, factor: int, bad: float) -> None:
    pixels, is_bad = np.ones((8, 9), np.float32), np.zeros((8, 9), bool)
    is_bad[[0, 4, 4], [8, 3, 4]] = True
    pixels[is_bad] = bad
    weights = [
        exact_weights(0, 120, size=size * factor, side=size, method=method) for size in pixels.shape
    ]  # a patch is 120 long, whatever its pixels
    fine = upsample(pixels, factor, method)
    np.testing.assert_array_equal(~np.isfinite(fine), expected_badness(is_bad, *weights))
    np.testing.assert_allclose(fine[np.isfinite(fine)], 1, rtol=1e-5)


def test_what_float32_loses_beside_1_weighs_nothing() -> None:
    near = 60 + np.array([0, 2.0**-26, 2.0**-22])
    for method in SMOOTH:
        weight: Any = crop_taps(near, np.ones(3), size=1, side=120, method=method).weight[..., 0]
        assert (abs(weight[weight != 0]) >= LEAST_WEIGHT).all()
    weight = crop_taps(near + 0.0, np.ones(3), size=1, side=120, method="bilinear").weight[..., 0]
    assert weight.tolist() == [[1, 0], [1, 0], [1 - 2.0**-22, 2.0**-22]]


def test_a_share_of_a_blend_that_is_lost_beside_1_is_none() -> None:
    drawn = draw_parameters(np.arange(20_000), Augmentation(mixup=0.1), bands=[], seed=0)
    rest = np.float32(1) - drawn.weight
    assert (rest == 1).sum() > 100
    assert (drawn.weight[rest == 1] == 0).all()
    labels = np.array([[np.nan, np.nan], [0, 1]], np.float32)
    mixed = mix_labels(labels, np.array([1, 0]), np.array([0, 1], np.float32), np.zeros((2, 4), np.int32))
    np.testing.assert_array_equal(mixed, [[0, 1], [0, 1]])
