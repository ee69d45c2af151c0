"""The transform compiled for the CPU gives what the reference gives, to the last bit but for noise."""

import math
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from transforms import ARRAYS, NAMES, SCALE, augmentations, parameters_for, sources_of, transforms

from bigearth_xr.device import host
from bigearth_xr.device.host import addresses_of
from bigearth_xr.device.kernels.resampling import fill_taps
from bigearth_xr.device.records import patch_records
from bigearth_xr.errors import TransformError
from bigearth_xr.ops.augmentation import Augmentation, draw_parameters
from bigearth_xr.ops.reference import transform_batch
from bigearth_xr.ops.resample import TAPS, Resampling, crop_taps
from bigearth_xr.ops.transform import Precision, Transform, transform_of

PLAIN = transform_of(ARRAYS, NAMES, SCALE)
STORED = sources_of(PLAIN, 4, missing=True)
ROWS = np.array([3, 1, 41, 5])


def assert_same_bits(batch: NDArray[Any], expected: NDArray[Any]) -> None:
    """Equal, and of the same sign where they are 0; any NaN is like another."""
    assert batch.dtype == expected.dtype
    assert batch.shape == expected.shape
    np.testing.assert_array_equal(batch, expected)
    if batch.dtype.kind == "f":
        known = ~np.isnan(batch)
        np.testing.assert_array_equal(np.signbit(batch[known]), np.signbit(expected[known]))


@given(
    transform=transforms(),
    allowed=augmentations(),
    places=st.lists(st.integers(0, 3), max_size=5),
    seed=st.integers(0, 99),
)
def test_it_is_the_reference(transform: Transform, allowed: Augmentation, places: list[int], seed: int) -> None:
    stored = sources_of(transform, 4, seed, missing=True)
    drawn = parameters_for(transform, np.array(places, np.int64), allowed, seed)
    chosen = [pixels[places] for pixels in stored.values()]
    addresses = addresses_of(stored)[:, places]
    assert_same_bits(host.transform_batch(transform, addresses, drawn), transform_batch(transform, chosen, drawn))
    assert_same_bits(host.transform_batch(transform, addresses), transform_batch(transform, chosen))


def test_boxes_do_not_matter_where_nothing_is_cropped() -> None:
    drawn = parameters_for(PLAIN, ROWS, Augmentation(gain=(0.5, 2)))
    boxed = drawn.for_patches(
        len(ROWS),
        **{name: getattr(drawn, name) for name in ("rows", "d4", "gain", "bias")},
        crop=np.array([(10, 40, 60, 60)] * len(ROWS), np.float32),
    )
    expected = transform_batch(PLAIN, list(STORED.values()), drawn)
    assert_same_bits(transform_batch(PLAIN, list(STORED.values()), boxed), expected)
    assert_same_bits(host.transform_batch(PLAIN, addresses_of(STORED), boxed), expected)
    assert patch_records(PLAIN, boxed, len(ROWS)).tobytes() == patch_records(PLAIN, drawn, len(ROWS)).tobytes()


@pytest.mark.parametrize("code", range(8))
@pytest.mark.parametrize("size", [120, 240, 360])
def test_every_symmetry_is_the_reference(code: int, size: int) -> None:
    transform = replace(PLAIN, size=size)
    drawn = parameters_for(transform, ROWS, Augmentation(gain=(0.5, 2)))
    drawn.d4[:] = code
    assert_same_bits(
        host.transform_batch(transform, addresses_of(STORED), drawn),
        transform_batch(transform, list(STORED.values()), drawn),
    )


@pytest.mark.parametrize("shift", [0, 4, 60])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_batch_larger_than_the_cache_is_the_reference(dtype: Precision, shift: int) -> None:
    # Written past the cache, from 32 MiB on; whole lines of it only where memory allows.
    transform = replace(PLAIN, dtype=dtype)
    places = np.arange(90 if dtype == "bfloat16" else 45) % 4
    drawn = parameters_for(transform, np.arange(len(places)), Augmentation(drop=0.1, mixup=0.5, gain=(0.5, 2)))
    expected = transform_batch(transform, [pixels[places] for pixels in STORED.values()], drawn)
    assert expected.nbytes > 2**25
    memory = np.zeros(expected.nbytes + 128, np.uint8)
    start = -memory.ctypes.data % 64 + shift
    out = memory[start:][: expected.nbytes].view(expected.dtype).reshape(expected.shape)
    assert_same_bits(host.transform_batch(transform, addresses_of(STORED)[:, places], drawn, out=out), expected)
    assert not memory[:start].any()
    assert not memory[start + expected.nbytes :].any()


@pytest.mark.parametrize("resampling", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("size", [120, 119])
def test_resampled_patches_of_a_large_batch_are_the_reference(resampling: Resampling, size: int) -> None:
    transform = replace(PLAIN, resampling=resampling, size=size)
    places = np.arange(44) % 4
    drawn = parameters_for(transform, np.arange(len(places)), Augmentation(crop=(0.3, 1)))
    expected = transform_batch(transform, [pixels[places] for pixels in STORED.values()], drawn)
    assert expected.nbytes > 2**25
    out = np.zeros(expected.size + 1, np.float32)[1:].reshape(expected.shape)
    assert_same_bits(host.transform_batch(transform, addresses_of(STORED)[:, places], drawn, out=out), expected)


@pytest.mark.parametrize("resampling", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("size", [*range(1, 18), 31, 33])
def test_small_patches_are_the_reference(resampling: Resampling, size: int) -> None:
    # Eight pixels are made at once, of which a line may have fewer.
    transform = replace(PLAIN, resampling=resampling, size=size)
    for drawn in (None, parameters_for(transform, ROWS, Augmentation(crop=(0.3, 1)))):
        expected = transform_batch(transform, list(STORED.values()), drawn)
        assert_same_bits(host.transform_batch(transform, addresses_of(STORED), drawn), expected)


@pytest.mark.parametrize("side", [1, 2, 3, 5, 7, 18, 19])
def test_sides_of_any_length_are_turned(side: int) -> None:
    plane = replace(PLAIN.planes[0], size=side, dtype="float32", source=0, offset=0)
    transform = replace(transform_of(ARRAYS, ["B04"]), planes=(plane,), size=2 * side, subtract=(1.0,), factor=(0.5,))
    pixels = np.random.default_rng(side).normal(size=(8, 1, side, side)).astype(np.float32)
    drawn = parameters_for(transform, np.arange(8), Augmentation())
    drawn.d4[:] = np.arange(8)
    for sized in (transform, replace(transform, size=side)):
        expected = transform_batch(sized, [pixels], drawn)
        assert_same_bits(host.transform_batch(sized, addresses_of({"s2_10m": pixels}), drawn), expected)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("size", [120, 37])
def test_noise_is_the_reference_but_for_the_last_bits(size: int, dtype: Precision) -> None:
    transform = transform_of(ARRAYS, NAMES[::-1], SCALE, size=size, dtype=dtype)
    stored = sources_of(transform, 4)
    drawn = draw_parameters(
        ROWS, Augmentation(noise_std=0.5, drop=0.2), bands=NAMES[::-1], seed=2**63 + 5, epoch=7, view=3
    )
    batch = host.transform_batch(transform, addresses_of(stored), drawn)
    expected = transform_batch(transform, list(stored.values()), drawn)
    if dtype == "float32":
        np.testing.assert_allclose(batch, expected, rtol=3e-7, atol=3e-6)
        assert (batch == expected).mean() > 0.9
    else:
        assert (batch != expected).mean() < 1e-4  # a tie, decided otherwise


@given(
    start=st.integers(0, 100 * 256),
    extent=st.integers(1, 20 * 256),
    size=st.integers(1, 130),
    side=st.sampled_from([20, 60, 120]),
    method=st.sampled_from(["nearest", "bilinear", "bicubic"]),
)
def test_tables_are_those_of_the_reference(start: int, extent: int, size: int, side: int, method: Resampling) -> None:
    begin, length = np.array([start / 256]), np.array([extent / 256])
    taps: Any = crop_taps(begin, length, size=size, side=side, method=method)
    first, weight = np.zeros(size, np.int32), np.ones((TAPS[method], size), np.float32)
    fill_taps(begin[0], length[0], side, TAPS[method], first, weight)
    index = first + np.arange(TAPS[method])[:, None]
    np.testing.assert_array_equal(index.clip(0, side - 1), taps.index[0])
    np.testing.assert_array_equal(weight, taps.weight[0])


@pytest.mark.parametrize("side", [20, 60, 120])
def test_a_whole_patch_is_sampled_where_exact_arithmetic_says(side: int) -> None:
    for size in range(1, 513):
        taps: Any = crop_taps(np.zeros(1), np.full(1, 120.0), size=size, side=side, method="nearest")
        first = np.zeros(size, np.int32)
        fill_taps(0.0, 120.0, side, 1, first, np.ones((1, size), np.float32))
        # Of whole numbers: (i + 1/2) * side / size, rounded down.
        exact = [(2 * i + 1) * side // (2 * size) for i in range(size)]
        assert taps.index[0, 0].tolist() == first.tolist() == exact


@given(words=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=50))
def test_values_are_rounded_as_in_the_reference(words: list[int]) -> None:
    values = np.zeros((1, 1, 120, 120), np.float32)
    values.view(np.uint32).ravel()[: len(words)] = words
    addresses = addresses_of({"s1": values})
    for dtype in ("float16", "bfloat16"):
        transform = replace(transform_of(ARRAYS, ["VV"]), dtype=dtype)
        assert_same_bits(host.transform_batch(transform, addresses), transform_batch(transform, [values]))


def test_a_batch_is_written_to_the_memory_given_and_to_no_other() -> None:
    room = np.full((6, len(NAMES), 120, 120), 7, np.float32)
    assert host.transform_batch(PLAIN, addresses_of(STORED), out=room[1:5]).base is room
    assert_same_bits(room[1:5], host.transform_batch(PLAIN, addresses_of(STORED)))
    assert (room[[0, 5]] == 7).all()


def test_patches_may_be_apart_and_read_only() -> None:
    apart = {name: np.repeat(pixels, 2, axis=0)[::2] for name, pixels in STORED.items()}
    for pixels in apart.values():
        pixels.flags.writeable = False
    addresses = addresses_of(apart)
    addresses.flags.writeable = False
    assert_same_bits(host.transform_batch(PLAIN, addresses), host.transform_batch(PLAIN, addresses_of(STORED)))
    backwards = addresses_of({name: pixels[::-1] for name, pixels in apart.items()})
    np.testing.assert_array_equal(backwards, addresses[:, ::-1])


def test_threads_may_call_it_at_once() -> None:
    drawn = [parameters_for(PLAIN, ROWS + epoch, Augmentation(mixup=1)) for epoch in range(8)]
    with ThreadPoolExecutor(4) as pool:
        batches = list(pool.map(lambda one: host.transform_batch(PLAIN, addresses_of(STORED), one), drawn))
    for batch, one in zip(batches, drawn, strict=True):
        assert_same_bits(batch, host.transform_batch(PLAIN, addresses_of(STORED), one))


def test_transforms_and_parameters_travel_to_other_processes() -> None:
    drawn = parameters_for(PLAIN, ROWS, Augmentation(mixup=1))
    transform, parameters = pickle.loads(pickle.dumps((PLAIN, drawn)))
    assert_same_bits(
        host.transform_batch(transform, addresses_of(STORED), parameters),
        host.transform_batch(PLAIN, addresses_of(STORED), drawn),
    )


def read_only() -> NDArray[np.float32]:
    room = np.empty(PLAIN.out_shape(4), np.float32)
    room.flags.writeable = False
    return room


def unaligned() -> NDArray[np.float32]:
    shape = PLAIN.out_shape(4)
    return np.zeros(4 * math.prod(shape) + 1, np.uint8)[1:].view(np.float32).reshape(shape)


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (
            np.empty((4, 14, 120, 60), np.float32),
            r"out is float32 of shape \(4, 14, 120, 60\), expected float32 of shape",
        ),
        (np.empty(PLAIN.out_shape(3), np.float32), r"expected float32 of shape \(4, 14, 120, 120\); allocate it as"),
        (np.empty(PLAIN.out_shape(4), np.float64), "out is float64 of shape .* expected float32"),
        (np.empty(PLAIN.out_shape(4), ">f4"), "out is >f4 of shape .* expected float32"),
        (np.empty(PLAIN.out_shape(4)[::-1], np.float32).T, "out is not contiguous; give memory that is whole"),
        (np.empty(PLAIN.out_shape(8), np.float32)[::2], "out is not contiguous"),
        (unaligned(), "out is unaligned; give memory that begins at a multiple of 4 bytes"),
        (read_only(), "out is read-only; give memory that may be written to"),
        ([[1.0]], r"out is a builtins.list, expected a NumPy array; of a CPU tensor pass tensor.numpy\(\)"),
    ],
)
def test_memory_that_a_batch_does_not_fit_is_refused(out: Any, message: str) -> None:
    with pytest.raises(TransformError, match=message):
        host.transform_batch(PLAIN, addresses_of(STORED), out=out)


def test_bits_of_bfloat16_are_asked_for_as_such() -> None:
    with pytest.raises(TransformError, match=r"expected uint16 \(bits of bfloat16\) of shape"):
        host.transform_batch(
            replace(PLAIN, dtype="bfloat16"), addresses_of(STORED), out=np.empty(PLAIN.out_shape(4), np.float32)
        )


def test_addresses_that_cannot_be_are_refused() -> None:
    addresses = addresses_of(STORED)
    addresses[1, 2] = 0
    with pytest.raises(TransformError, match="an address is 0, where no pixel is; take addresses from"):
        host.transform_batch(PLAIN, addresses)
    with pytest.raises(TransformError, match=r"addresses are uint64 of shape \(3, 4\), expected uint64 of shape \(4,"):
        host.transform_batch(PLAIN, addresses[:3])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 2, 20, 20)), "s2_60m is float64, expected uint16 or float32 as stored"),
        (np.zeros((4, 2, 20, 20), ">u2"), "s2_60m is >u2, expected"),
        (np.zeros((4, 2, 20, 40), np.uint16)[..., ::2], "the patches of s2_60m are not contiguous"),
        (np.array(7, np.uint16), r"s2_60m is of shape \(\), expected a NumPy array of shape \(patch, ..., y, x\)"),
        ([7], "s2_60m is a list, expected a NumPy array"),
        (np.zeros((5, 2, 20, 20), np.uint16), "the arrays hold .'s1': 4, 's2_60m': 5. patches; give the same"),
    ],
)
def test_arrays_that_are_not_as_stored_are_refused(array: Any, message: str) -> None:
    with pytest.raises(TransformError, match=message):
        addresses_of({"s1": STORED["s1"], "s2_60m": array})


@pytest.mark.parametrize(("arrays", "kind"), [({}, "empty"), ([STORED["s1"]], "a list"), (STORED["s1"], "a ndarray")])
def test_what_are_no_arrays_by_name_is_refused(arrays: Any, kind: str) -> None:
    with pytest.raises(TransformError, match=f"the arrays are {kind}, expected stored pixels by name"):
        addresses_of(arrays)


def test_no_patches_are_an_empty_batch() -> None:
    none = {name: pixels[:0] for name, pixels in STORED.items()}
    assert host.transform_batch(PLAIN, addresses_of(none)).shape == (0, 14, 120, 120)
