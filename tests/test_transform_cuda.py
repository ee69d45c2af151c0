"""Batches made on a GPU are those that the specification, and the engine of the host, make."""

from itertools import product
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from stored_pixels import stored_pixels, transform_to_test, widened

from bigearth_xr.device import cuda, host
from bigearth_xr.device.cuda import kernel_of
from bigearth_xr.device.records import Variant
from bigearth_xr.errors import TransformError
from bigearth_xr.ops.augmentation import Augmentation, AugmentParameters, draw_parameters
from bigearth_xr.ops.reference import transform_batch
from bigearth_xr.ops.resample import TAPS
from bigearth_xr.ops.transform import Precision, Transform

pytestmark = pytest.mark.gpu

PATCHES = 7
PIXELS = stored_pixels(PATCHES)
BANDS = ("VH", "B09", "B04", "B11", "B8A", "B01", "VV")
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
WAYS = {
    "plain": None,
    "turned": Augmentation(),
    "cropped": Augmentation(crop=(0.1, 0.9)),
    "varied": Augmentation(gain=(0.5, 2), bias=(-1, 1), drop=0.5),
    "mixup": Augmentation(mixup=0.4),
    "cutmix": Augmentation(cutmix=1),
    "noise": Augmentation(noise_std=0.5),
    "all": Augmentation(gain=(0.5, 2), bias=(-1, 1), drop=0.2, noise_std=0.3, crop=(0.1, 0.9), mixup=0.4, cutmix=1),
}


def draw(augmentation: Augmentation | None) -> AugmentParameters | None:
    if augmentation is None:
        return None
    return draw_parameters(1000 * np.arange(PATCHES), augmentation, bands=BANDS, seed=5, epoch=2, view=1)


def on_gpu(transform: Transform) -> dict[str, Any]:
    """The stored pixels of a transform, copied to the GPU."""
    import cupy

    return {name: cupy.asarray(PIXELS[name]) for name in transform.sources}


def made(transform: Transform, parameters: AugmentParameters | None = None, **how: Any) -> NDArray[Any]:
    """A batch, back on the host."""
    import cupy

    pixels = on_gpu(transform)
    batch: NDArray[Any] = cupy.asnumpy(cuda.transform_batch(transform, cuda.addresses_of(pixels), parameters, **how))
    return batch


def expected(transform: Transform, parameters: AugmentParameters | None = None) -> NDArray[Any]:
    with np.errstate(invalid="ignore"):  # inf - inf
        return transform_batch(transform, [PIXELS[name] for name in transform.sources], parameters)


def assert_same(result: NDArray[Any], wanted: NDArray[Any], transform: Transform, *, noisy: bool) -> None:
    """Equal to the last bit, but for the noise, whose logarithms and sines differ in theirs."""
    if not noisy:
        np.testing.assert_array_equal(widened(result), widened(wanted))
        return
    digits = {"float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}[transform.dtype]
    np.testing.assert_allclose(widened(result), widened(wanted), rtol=2 * digits, atol=5e-6)


@pytest.mark.parametrize("ways", WAYS)
@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("resampling", TAPS)
def test_a_batch_is_as_specified(resampling: Any, dtype: Precision, ways: str) -> None:
    transform, parameters = transform_to_test(BANDS, resampling=resampling, dtype=dtype), draw(WAYS[ways])
    noisy = ways in ("noise", "all")
    assert_same(made(transform, parameters), expected(transform, parameters), transform, noisy=noisy)


@pytest.mark.parametrize("size", [20, 60, 119, 136, 224, 300])
def test_a_batch_of_another_size_is_as_specified(size: int) -> None:
    for resampling, dtype in product(TAPS, PRECISIONS):
        transform = transform_to_test(BANDS, resampling=resampling, dtype=dtype, size=size)
        parameters = draw(WAYS["cropped"])
        assert_same(made(transform, parameters), expected(transform, parameters), transform, noisy=False)


@pytest.mark.parametrize("ways", WAYS)
def test_both_engines_make_the_same(ways: str) -> None:
    transform, parameters = transform_to_test(BANDS, resampling="bilinear"), draw(WAYS[ways])
    addresses = host.addresses_of({name: PIXELS[name] for name in transform.sources})
    wanted = host.transform_batch(transform, addresses, parameters)
    assert_same(made(transform, parameters), wanted, transform, noisy=ways in ("noise", "all"))


def test_rows_are_gathered_on_the_gpu_or_from_the_host() -> None:
    import cupy

    transform, rows = transform_to_test(BANDS), np.array([6, 0, 0, 3])
    pixels = on_gpu(transform)
    for there in (rows, cupy.asarray(rows)):
        batch = cupy.asnumpy(cuda.transform_batch(transform, cuda.addresses_of(pixels, there)))
        np.testing.assert_array_equal(batch, expected(transform)[rows])


def test_patches_may_begin_at_any_pixel() -> None:
    import cupy

    transform = transform_to_test(("B04",))
    shifted = cupy.empty(PIXELS["s2_10m"].size + 1, np.uint16)[1:].reshape(PIXELS["s2_10m"].shape)
    shifted[...] = cupy.asarray(PIXELS["s2_10m"])
    batch = cuda.transform_batch(transform, cuda.addresses_of({"s2_10m": shifted}))
    np.testing.assert_array_equal(cupy.asnumpy(batch), expected(transform))


def test_more_patches_than_one_launch_makes() -> None:
    import cupy

    transform, rows = transform_to_test(("B01",), size=4), np.arange(70_000) % PATCHES
    batch = cuda.transform_batch(transform, cuda.addresses_of(on_gpu(transform), rows))
    np.testing.assert_array_equal(cupy.asnumpy(batch), expected(transform)[rows])


def test_no_patch_makes_an_empty_batch() -> None:
    transform = transform_to_test(BANDS)
    assert cuda.transform_batch(transform, cuda.addresses_of(on_gpu(transform), np.arange(0))).shape == (0, 7, 120, 120)


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_a_batch_is_written_to_an_array(dtype: Precision) -> None:
    import cupy

    transform = transform_to_test(BANDS, dtype=dtype)
    out = cupy.full(transform.out_shape(PATCHES), 99, transform.out_dtype)
    result = made(transform, out=out)
    np.testing.assert_array_equal(widened(cupy.asnumpy(out)), widened(expected(transform)))
    np.testing.assert_array_equal(result, cupy.asnumpy(out))


def test_a_batch_is_made_on_the_stream_that_is_given() -> None:
    import cupy

    transform = transform_to_test(BANDS)
    pixels = on_gpu(transform)
    cupy.cuda.Device().synchronize()
    stream = cupy.cuda.Stream(non_blocking=True)
    batch = cuda.transform_batch(transform, cuda.addresses_of(pixels), stream=stream)
    stream.synchronize()
    np.testing.assert_array_equal(cupy.asnumpy(batch), expected(transform))


def test_addresses_of_the_host_are_refused() -> None:
    transform = transform_to_test(BANDS)
    addresses = host.addresses_of({name: PIXELS[name] for name in transform.sources})
    with pytest.raises(TransformError, match=r"the addresses in s1 are on the host"):
        cuda.transform_batch(transform, addresses)


def test_addresses_between_pixels_are_refused() -> None:
    transform = transform_to_test(BANDS)
    addresses = cuda.addresses_of(on_gpu(transform)) + np.uint64(1)
    with pytest.raises(TransformError, match=r"an address in s1 is no multiple of 4 bytes"):
        cuda.transform_batch(transform, addresses)


def test_an_array_that_does_not_fit_is_refused() -> None:
    import cupy

    transform = transform_to_test(BANDS)
    with pytest.raises(TransformError, match="out is float64 of shape"):
        made(transform, out=cupy.empty(transform.out_shape(PATCHES)))
    with pytest.raises(TransformError, match="out is not contiguous"):
        made(transform, out=cupy.empty((*transform.out_shape(PATCHES), 2), np.float32)[..., 0])


@pytest.mark.parametrize("taps", TAPS.values())
def test_no_register_is_spilled_on_this_gpu(taps: int) -> None:
    import cupy

    kernel = kernel_of(Variant(taps=taps, dtype="float16", noise=False, mix=False), cupy.cuda.Device().id)
    assert kernel.local_size_bytes == 0


def test_kernels_are_kept_on_disk(capsys: pytest.CaptureFixture[str]) -> None:
    variant = Variant(taps=1, dtype="float32", noise=False, mix=False)
    kernel_of(variant, 0)
    kernel_of.cache_clear()
    capsys.readouterr()
    kernel_of(variant, 0)
    assert "compiled" not in capsys.readouterr().err
