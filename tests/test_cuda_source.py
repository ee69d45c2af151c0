"""The CUDA kernel without a GPU: it compiles for one, and on the host it computes what the specification says."""

import re
from itertools import product
from typing import Any, get_args

import numpy as np
import pytest
from fused_on_host import run_on_host
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from nvrtc import compile_cubin, resources
from stored_pixels import STORED, stored_pixels, transform_to_test, widened

from bigearth_xr.device.cuda import SOURCE
from bigearth_xr.device.records import BAND, PATCH, THREADS, Variant
from bigearth_xr.ops.augmentation import Augmentation, AugmentParameters, draw_parameters
from bigearth_xr.ops.reference import transform_batch
from bigearth_xr.ops.resample import TAPS
from bigearth_xr.ops.transform import Precision, Transform

PATCHES = 4
PIXELS = stored_pixels(PATCHES)
BANDS = ("VH", "B09", "B04", "B11", "B8A")
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
SWITCH = (False, True)
VARIANTS = [
    Variant(taps=taps, dtype=dtype, noise=noise, mix=mix)
    for taps, dtype, noise, mix in product(TAPS.values(), PRECISIONS, SWITCH, SWITCH)
]
ALL_WAYS = Augmentation(
    gain=(0.5, 2), bias=(-1, 1), drop=0.2, noise_std=0.3, crop=(0.1, 0.9), mixup=0.4, cutmix=1, flips=True
)


def run(
    on_host: Any, transform: Transform, parameters: AugmentParameters | None, *, past: int = 0, wide: bool = True
) -> NDArray[Any]:
    """Transform the patches with the kernel."""
    return run_on_host(on_host, transform, sources_of(transform), parameters, past=past, wide=wide)


def sources_of(transform: Transform) -> list[NDArray[Any]]:
    return [PIXELS[name] for name in transform.sources]


def draw(augmentation: Augmentation, bands: tuple[str, ...] = BANDS, seed: int = 5) -> AugmentParameters:
    rows = np.array([70_000, 3, 9, 590_325])
    return draw_parameters(rows, augmentation, bands=bands, seed=seed, epoch=2, view=1)


def assert_as_specified(on_host: Any, transform: Transform, parameters: AugmentParameters | None, **how: Any) -> None:
    """Equal to the last bit, but for the noise, whose logarithms and sines differ in theirs."""
    with np.errstate(invalid="ignore"):  # inf - inf
        expected = widened(transform_batch(transform, sources_of(transform), parameters))
    result = widened(run(on_host, transform, parameters, **how))
    if parameters is None or not parameters.augmentation.noise_std:
        np.testing.assert_array_equal(result, expected)
        return
    digits = {"float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}[transform.dtype]
    np.testing.assert_allclose(result, expected, rtol=2 * digits, atol=5e-6)


def test_records_are_laid_out_as_in_the_source() -> None:
    sizes = re.search(r"sizeof\(Band\) == (\d+) && sizeof\(Patch\) == (\d+)", SOURCE.read_text(encoding="utf-8"))
    assert sizes
    assert (BAND.itemsize, PATCH.itemsize) == (int(sizes[1]), int(sizes[2]))
    for name, record in (("Band", BAND), ("Patch", PATCH)):
        body = re.search(rf"struct {name} \{{(.*?)\n\}};", SOURCE.read_text(encoding="utf-8"), re.DOTALL)
        assert body
        declared = re.findall(r"(\w+)(?:\[\d\])?[,;]", re.sub("//.*", "", body[1]))
        assert tuple(declared) == record.names


def test_constants_are_those_of_the_source() -> None:
    source = SOURCE.read_text(encoding="utf-8")
    assert "TILE_X = 128, TILE_Y = 32;" in source
    assert "LANES = 32, WARPS = 4, THREADS = LANES * WARPS;" in source
    assert THREADS == 128


# The slowest to compile differ from their float32 twins in the last line alone.
RARE = [variant for variant in VARIANTS if variant.mix and variant.dtype != "float32"]


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "variant",
    [
        pytest.param(variant, marks=pytest.mark.prove if variant in RARE else (), id=str(variant))
        for variant in VARIANTS
    ],
)
def test_compiles_for_an_h100_without_spilling_registers(variant: Variant) -> None:
    options = ("--gpu-architecture=sm_90", *variant.options)
    registers, stack_bytes = resources(compile_cubin(SOURCE.read_text(encoding="utf-8"), options))
    assert stack_bytes == 0
    if not variant.mix:
        assert registers <= (80 if variant.taps == 4 else 64)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("architecture", [75, 80, 89, 100, 120])
def test_compiles_for_gpus_from_turing_to_blackwell(architecture: int) -> None:
    variant = Variant(taps=2, dtype="bfloat16", noise=True, mix=False)
    options = (f"--gpu-architecture=sm_{architecture}", *variant.options)
    registers, _ = resources(compile_cubin(SOURCE.read_text(encoding="utf-8"), options))
    assert registers <= 64


@pytest.mark.sampled(2)
@pytest.mark.parametrize("resampling", TAPS)
@pytest.mark.parametrize(
    ("size", "dtype"),
    [(20, "float32"), (119, "bfloat16"), (120, "float32"), (120, "float16"), (136, "bfloat16"), (200, "float16")],
)
@pytest.mark.parametrize(
    "augmentation",
    [
        None,
        Augmentation(),
        Augmentation(crop=(0.1, 0.9)),
        Augmentation(gain=(0.5, 2), bias=(-1, 1), drop=0.5),
        Augmentation(mixup=0.4),
        Augmentation(cutmix=1, crop=(0.5, 1)),
        Augmentation(noise_std=0.5),
        ALL_WAYS,
    ],
    ids=["plain", "turned", "cropped", "varied", "mixup", "cutmix", "noise", "all"],
)
def test_computes_what_the_specification_says(
    on_host: Any, resampling: Any, dtype: Precision, size: int, augmentation: Augmentation | None
) -> None:
    transform = transform_to_test(BANDS, resampling=resampling, dtype=dtype, size=size)
    assert_as_specified(on_host, transform, draw(augmentation) if augmentation else None)


@settings(max_examples=60)
@given(data=st.data())
def test_computes_what_the_specification_says_of_anything(on_host: Any, data: st.DataObject) -> None:
    every = tuple(band for array in STORED for band in array.bands)
    bands = tuple(data.draw(st.lists(st.sampled_from(every), min_size=1, max_size=3, unique=True)))
    transform = transform_to_test(
        bands,
        resampling=data.draw(st.sampled_from([*TAPS])),
        dtype=data.draw(st.sampled_from(PRECISIONS)),
        size=data.draw(st.integers(1, 150)),
    )
    share = data.draw(st.floats(0.01, 1))
    augmentation = Augmentation(
        flips=data.draw(st.booleans()),
        gain=data.draw(st.sampled_from([(1.0, 1.0), (0.9, 1.1)])),
        drop=data.draw(st.sampled_from([0, 0.3, 1])),
        crop=data.draw(st.sampled_from([(1.0, 1.0), (share, share)])),
        mixup=data.draw(st.sampled_from([0, 0.3])),
        cutmix=data.draw(st.sampled_from([0, 1])),
    )
    parameters = data.draw(st.sampled_from([None, draw(augmentation, bands, data.draw(st.integers(0, 2**64 - 1)))]))
    assert_as_specified(on_host, transform, parameters)


@pytest.mark.parametrize("past", range(1, 5))
def test_stored_pixels_may_begin_anywhere(on_host: Any, past: int) -> None:
    transform = transform_to_test(BANDS, resampling="bilinear")
    assert_as_specified(on_host, transform, draw(Augmentation()), past=past)


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_a_batch_may_begin_anywhere(on_host: Any, dtype: Precision) -> None:
    assert_as_specified(on_host, transform_to_test(BANDS, dtype=dtype), draw(Augmentation()), wide=False)
