"""The specification of the batch transform: what it says, against brute force and the operations one by one."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from transforms import ARRAYS, NAMES, SCALE, parameters_for, some_pixels, sources_of, transforms

from bigearth_xr.errors import AugmentationError, BandError, SelectionError, TransformError
from bigearth_xr.ops.augmentation import Augmentation, draw_parameters
from bigearth_xr.ops.mixing import mix_labels, pixel_boxes
from bigearth_xr.ops.random import uniform
from bigearth_xr.ops.reference import augment, round_to, transform_batch
from bigearth_xr.ops.resample import Resampling, upsample
from bigearth_xr.ops.scale import standardize
from bigearth_xr.ops.transform import SYMMETRIES, Transform, check_parameters, transform_of

PLAIN = transform_of(ARRAYS, NAMES)
ROWS = np.array([3, 1, 41, 5])
EVERYTHING = Augmentation(gain=(0.8, 1.2), bias=(-5, 5), noise_std=0.5, drop=0.3)


def transformed(transform: Transform, allowed: Augmentation | None = None, patches: int = 4, **options: Any) -> Any:
    sources = list(sources_of(transform, patches, **options).values())
    drawn = None if allowed is None else parameters_for(transform, ROWS[:patches], allowed)
    return transform_batch(transform, sources, drawn)


@pytest.mark.parametrize("resampling", ["nearest", "bilinear", "bicubic"])
def test_it_is_the_operations_one_by_one(resampling: Resampling) -> None:
    transform = transform_of(ARRAYS, NAMES, SCALE, resampling=resampling)
    stored = sources_of(transform, len(ROWS), missing=True)
    planes = {
        name: upsample(stored[array.name][:, [place]], 120 // array.size, resampling if array.size < 120 else "nearest")
        for array in ARRAYS
        for place, name in enumerate(array.bands)
    }
    image = np.concatenate([planes[name] for name in NAMES], axis=1, dtype=np.float32)
    mean, std = np.array([SCALE[name] for name in NAMES], np.float32).T
    drawn = parameters_for(transform, ROWS, EVERYTHING)
    np.testing.assert_array_equal(
        transform_batch(transform, list(stored.values()), drawn), augment(standardize(image, mean, std), drawn)
    )


@given(transform=transforms(), seed=st.integers(0, 99))
def test_bands_do_not_know_of_each_other(transform: Transform, seed: int) -> None:
    batch = transformed(transform, Augmentation(crop=(0.5, 1), drop=0.2), seed=seed)
    last = transform_of(
        ARRAYS,
        transform.bands[-1:],
        SCALE if transform.subtract != (0.0,) * len(transform.bands) else None,
        resampling=transform.resampling,
        size=transform.size,
        dtype=transform.dtype,
    )
    np.testing.assert_array_equal(batch[:, -1:], transformed(last, Augmentation(crop=(0.5, 1), drop=0.2), seed=seed))


@pytest.mark.parametrize("code", range(8))
def test_symmetries_say_where_a_pixel_comes_from(code: int) -> None:
    turned = np.rot90(square := np.arange(25).reshape(5, 5), code % 4)
    expected = turned if code < 4 else turned[:, ::-1]
    backward_y, backward_x, transposed = SYMMETRIES[code]
    for y, x in np.ndindex(5, 5):
        a, b = (x, y) if transposed else (y, x)
        a, b = (4 - a if backward_y else a), (4 - b if backward_x else b)
        assert expected[y, x] == square[a, b]


def test_a_crop_of_whole_pixels_is_a_slice() -> None:
    transform = transform_of(ARRAYS, ["B04", "VV"], size=60)
    stored = sources_of(transform, 1)
    drawn = parameters_for(transform, ROWS[:1], Augmentation(crop=(0.25, 0.25), aspect=(1, 1), flips=False))
    drawn.crop[:] = (10, 40, 60, 60)
    window = np.s_[:, :, 10:70, 40:100]
    expected = np.concatenate([stored["s2_10m"][:, 2:3][window], stored["s1"][:, :1][window]], axis=1)
    np.testing.assert_array_equal(transform_batch(transform, list(stored.values()), drawn), expected)


@pytest.mark.parametrize("name", ["B04", "B05", "B09"])
def test_a_crop_takes_the_pixel_below_each_centre(name: str) -> None:
    transform = transform_of(ARRAYS, [name], size=50)
    (stored,) = sources_of(transform, 4).values()
    place = next(array.bands.index(name) for array in ARRAYS if name in array.bands)
    drawn = parameters_for(transform, ROWS, Augmentation(crop=(0.1, 0.9), flips=False))
    batch = transform_batch(transform, [stored], drawn)
    pixel_size = 120 / stored.shape[-1]
    for patch, (top, left, height, width) in enumerate(drawn.crop.astype(float)):
        for y, x in np.ndindex(50, 50):
            at = int((top + (y + 0.5) * height / 50) // pixel_size), int((left + (x + 0.5) * width / 50) // pixel_size)
            assert batch[patch, 0, y, x] == stored[patch, place][at]


def test_a_dropped_band_is_0_and_others_stay_missing_where_they_were() -> None:
    transform = transform_of(ARRAYS, ["VV", "VH"])
    batch = transformed(transform, Augmentation(drop=0.5, flips=False), missing=True)
    dropped = parameters_for(transform, ROWS, Augmentation(drop=0.5, flips=False)).dropped
    kept = transformed(transform, missing=True)
    assert np.isnan(kept).any()
    assert np.isneginf(kept).any()
    np.testing.assert_array_equal(batch, np.where(dropped[..., None, None], 0, kept))


def test_mixed_patches_are_blends_or_have_boxes() -> None:
    allowed = Augmentation(flips=False, mixup=0.8, cutmix=0.8, gain=(0.5, 2))
    transform = transform_of(ARRAYS, ["B04"], size=60)
    rows = np.arange(12)
    stored = list(sources_of(transform, 12).values())
    drawn = parameters_for(transform, rows, allowed)
    alone = transform_batch(
        transform, stored, parameters_for(transform, rows, Augmentation(flips=False, gain=(0.5, 2)))
    )
    mixed = transform_batch(transform, stored, drawn)
    blended, pasted = drawn.weight != 1, drawn.box.any(axis=1)
    assert blended.any()
    assert pasted.any()
    assert not (blended & pasted).any()
    for patch, partner in enumerate(drawn.partner):
        own, other, weight = alone[patch], alone[partner], drawn.weight[patch]
        top, left, height, width = drawn.box[patch] / 2
        y, x = np.ogrid[:60, :60]
        inside = (y >= np.floor(top)) & (y < np.floor(top + height))
        inside = inside & (x >= np.floor(left)) & (x < np.floor(left + width))
        expected = np.where(inside, other, own * weight + other * (1 - weight))
        np.testing.assert_array_equal(mixed[patch], expected)


@given(rows=st.lists(st.integers(0, 2**32 - 1), min_size=2, max_size=30, unique=True), seed=st.integers(0, 9))
def test_partners_are_others_and_depend_on_the_company_alone(rows: list[int], seed: int) -> None:
    given_rows = np.array(rows)
    drawn = draw_parameters(given_rows, Augmentation(mixup=1), bands=["B04"], seed=seed)
    assert sorted(drawn.partner) == list(range(len(rows)))
    assert (drawn.partner != np.arange(len(rows))).all()
    again = draw_parameters(given_rows[::-1], Augmentation(mixup=1), bands=["B04"], seed=seed)
    np.testing.assert_array_equal(given_rows[::-1][again.partner], given_rows[drawn.partner][::-1])
    taken = drawn.take(given_rows[::-1], ["B04"])
    np.testing.assert_array_equal(taken.partner, again.partner)
    np.testing.assert_array_equal(taken.weight, again.weight)


def test_partners_are_taken_along() -> None:
    drawn = draw_parameters(ROWS, Augmentation(cutmix=1), bands=["B04"], seed=0)
    with pytest.raises(AugmentationError, match=r"row \d+ is mixed into another patch and is not among those taken"):
        drawn.take(ROWS[:1], ["B04"])


@pytest.mark.parametrize("alpha", [0.1, 0.4, 1.0, 2.5, 20.0])
def test_weights_follow_a_beta_distribution(alpha: float) -> None:
    count = 40_000
    weight = draw_parameters(np.arange(count), Augmentation(mixup=alpha), bands=[], seed=3).weight
    expected = np.random.default_rng(0).beta(alpha, alpha, 10 * count)
    points = np.linspace(0.01, 0.99, 99)  # nearer to 1 float32 has fewer numbers than near 0
    shares = [np.searchsorted(np.sort(drawn), points) / drawn.size for drawn in (weight, expected)]
    # Kolmogorov and Smirnov: beyond 0.0102 once in a thousand.
    assert abs(shares[0] - shares[1]).max() < 0.0102


def test_boxes_have_the_share_that_is_not_kept() -> None:
    box = draw_parameters(np.arange(20_000), Augmentation(cutmix=1), bands=[], seed=0).box
    assert (box >= 0).all()
    assert (box[:, :2] + box[:, 2:] <= 120).all()
    centred = (box[:, :2] > 0).all(axis=1) & (box[:, :2] + box[:, 2:] < 120).all(axis=1)
    assert abs(box[centred, 2] - box[centred, 3]).max() <= 1
    assert box[:, 2:].max() > 110
    np.testing.assert_array_equal(pixel_boxes(box, 120)[:, 2:], box[:, :2] + box[:, 2:])
    assert (pixel_boxes(box, 37) <= 37).all()


def test_crops_are_of_the_share_and_aspect_allowed_and_lie_inside() -> None:
    allowed = Augmentation(crop=(0.2, 0.6), aspect=(0.5, 2))
    top, left, height, width = draw_parameters(np.arange(20_000), allowed, bands=[], seed=0).crop.T
    assert min(top.min(), left.min()) >= 0
    assert max((top + height).max(), (left + width).max()) <= 120
    whole = (height < 120) & (width < 120)
    share, aspect = (height * width / 120**2)[whole], (width / height)[whole]
    assert 0.199 < share.min() < 0.21 < 0.59 < share.max() < 0.601
    assert 0.499 < aspect.min() < 0.51 < 1.95 < aspect.max() < 2.01
    assert abs(np.log(aspect).mean()) < 0.02
    assert top[whole].min() < 1
    assert (top + height)[whole].max() > 119


def test_another_view_is_another_draw_and_the_first_is_as_before() -> None:
    first, second = (draw_parameters(ROWS, EVERYTHING, bands=NAMES, seed=9, view=view) for view in (0, 1))
    assert (first.gain != second.gain).all()
    assert (first.noise_words != second.noise_words).all()
    zero = np.uint64(0)
    of_patch: list[Any] = uniform([zero, zero, ROWS.astype(np.uint64), zero], seed=9)
    np.testing.assert_array_equal(first.d4, (8 * of_patch[0]).astype(np.uint8))
    pixels = np.zeros((4, len(NAMES), 8, 8), np.float32)
    assert (augment(pixels, first) != augment(pixels, second)).mean() > 0.5


def test_labels_are_blended_as_pixels() -> None:
    drawn = draw_parameters(ROWS, Augmentation(mixup=1), bands=["B04"], seed=0)
    labels = np.eye(4, 6, dtype=bool)
    mixed = mix_labels(labels, drawn.partner, drawn.weight, drawn.box)
    for patch, partner in enumerate(drawn.partner):
        assert mixed[patch, patch] == drawn.weight[patch]
        assert mixed[patch, partner] == 1 - drawn.weight[patch]
    np.testing.assert_allclose(mixed.sum(axis=1), 1, rtol=1e-6)
    pasted = draw_parameters(ROWS, Augmentation(cutmix=1), bands=["B04"], seed=0)
    with pytest.raises(AugmentationError, match="count them in the reference maps"):
        mix_labels(labels, pasted.partner, pasted.weight, pasted.box)


def test_labels_that_are_not_known_do_not_spread_to_patches_that_are_not_blended() -> None:
    labels, weight = np.array([[0, 1], [np.nan, np.nan]], np.float32), np.array([1, 0.5], np.float32)
    mixed = mix_labels(labels, np.array([1, 0]), weight, np.zeros((2, 4), np.int32))
    np.testing.assert_array_equal(mixed, labels)


@pytest.mark.parametrize(
    "allowed",
    [Augmentation(crop=(0.2, 1)), Augmentation(mixup=1), Augmentation(cutmix=1), Augmentation(crop=(0.2, 1), mixup=1)],
)
@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic"])
def test_an_image_is_cropped_and_mixed_as_a_batch_is(allowed: Augmentation, method: Resampling) -> None:
    transform = transform_of(ARRAYS, ["B02", "B04", "B08"], resampling=method)
    stored = some_pixels(ARRAYS[0], len(ROWS))
    drawn = parameters_for(transform, ROWS, allowed)
    places = [ARRAYS[0].bands.index(name) for name in transform.bands]
    image = augment(stored[:, places].astype(np.float32), drawn, method)
    np.testing.assert_array_equal(image, transform_batch(transform, [stored], drawn))


def test_half_precision_rounds_to_even_and_overflows_to_infinity() -> None:
    numbers = [1 + 2**-11, 1 + 3 * 2**-11, 65_520, -65_519, 2**-25, 3 * 2**-25, np.nan, -np.inf]
    values = np.array(numbers, np.float32)
    np.testing.assert_array_equal(
        round_to(values, "float16"), np.array([1, 1 + 2**-9, np.inf, -65_504, 0, 2**-23, np.nan, -np.inf], np.float16)
    )
    bits = np.array([0x3F80_8000, 0x3F81_8000, 0x3F80_8001, 0x7F7F_FFFF, 0xFF80_0000, 0x7F80_0001], np.uint32)
    rounded = round_to(bits.view(np.float32), "bfloat16")
    assert rounded.tolist() == [0x3F80, 0x3F82, 0x3F81, 0x7F80, 0xFF80, 0x7FC0]


def test_what_cannot_be_transformed_is_refused() -> None:
    with pytest.raises(BandError, match="no band asked for"):
        transform_of(ARRAYS, [])
    with pytest.raises(BandError, match="band VV is in none of the pixel arrays"):
        transform_of(ARRAYS[:2], ["B04", "VV"])
    with pytest.raises(BandError, match="there is no band 'B4'"):
        transform_of(ARRAYS, ["B4"])
    with pytest.raises(SelectionError, match="unknown resampling 'cubic'"):
        transform_of(ARRAYS, ["B04"], resampling="cubic")  # type: ignore[arg-type]  # the mistake under test
    with pytest.raises(TransformError, match="unknown dtype 'int8'; expected one of float32, float16, bfloat16"):
        transform_of(ARRAYS, ["B04"], dtype="int8")  # type: ignore[arg-type]  # the mistake under test
    for size in (0, 1.5, 2**14):
        with pytest.raises(TransformError, match=f"size is {size}, expected pixels along a side, 1 to 8192"):
            transform_of(ARRAYS, ["B04"], size=size)  # type: ignore[arg-type]  # the mistake under test
    with pytest.raises(TransformError, match="there is no scale for band B04, only for VV; give two numbers each"):
        transform_of(ARRAYS, ["B04"], {"VV": (0, 1)})
    for pair in ((0, 0), (np.nan, 1), (0, np.inf), (0, 1e-45)):
        with pytest.raises(TransformError, match=r"the scale of band B04 is .* the last not 0"):
            transform_of(ARRAYS, ["B04"], {"B04": pair})


@pytest.mark.parametrize("addresses", [np.ones((4, 2), int), np.ones((3, 2), np.uint64), np.ones(4, np.uint64)])
def test_addresses_of_other_sources_are_refused(addresses: NDArray[Any]) -> None:
    shape = re.escape(str(addresses.shape))
    with pytest.raises(TransformError, match=rf"addresses are {addresses.dtype} of shape {shape}, expected uint64 of"):
        check_parameters(PLAIN, addresses, None)


@pytest.mark.parametrize("addresses", [None, [[1], [2], [3], [4]]])
def test_what_are_no_addresses_is_refused(addresses: Any) -> None:
    kind = type(addresses).__name__
    with pytest.raises(
        TransformError, match=rf"addresses are a {kind}, expected uint64 of shape \(4, patch\): .*; take"
    ):
        check_parameters(PLAIN, addresses, None)


def test_parameters_of_others_are_refused() -> None:
    addresses = np.ones((4, 4), np.uint64)
    with pytest.raises(TransformError, match="parameters are a str, expected what draw_parameters gives, or None"):
        check_parameters(PLAIN, addresses, "flips")  # type: ignore[arg-type]  # the mistake under test
    with pytest.raises(TransformError, match=r"drawn for bands B04, the transform gives B01, .* use parameters\.take"):
        check_parameters(PLAIN, addresses, draw_parameters(ROWS, EVERYTHING, bands=["B04"], seed=0))
    with pytest.raises(TransformError, match="drawn for 3 patches, and addresses are of 4; draw them for the rows"):
        check_parameters(PLAIN, addresses, draw_parameters(ROWS[:3], EVERYTHING, bands=NAMES, seed=0))


@pytest.mark.parametrize("partner", [[0, 1, 2], [0, 1, 2, 4], [-1, 1, 2, 3]])
def test_partners_that_are_nowhere_in_the_batch_are_refused(partner: list[int]) -> None:
    drawn = replace(draw_parameters(ROWS, EVERYTHING, bands=NAMES, seed=0), partner=np.array(partner))
    with pytest.raises(TransformError, match="parameters of 4 patches hold other numbers of something, or partners"):
        check_parameters(PLAIN, np.ones((4, 4), np.uint64), drawn)


def test_parameters_of_which_some_are_missing_are_refused() -> None:
    drawn = draw_parameters(ROWS, EVERYTHING, bands=NAMES, seed=0)
    with pytest.raises(TransformError, match="take them whole from draw_parameters, or some with parameters"):
        check_parameters(PLAIN, np.ones((4, 4), np.uint64), replace(drawn, box=drawn.box[:0]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop": (0, 1)}, r"crop is \(0, 1\), expected two numbers \(low, high\) with 0 < low <= high <= 1, e.g."),
        *(({"crop": wrong}, "crop is .*, expected two") for wrong in (0.5, (0.5, 1.5), ("a", 1), (0.5, 0.6, 0.7))),
        ({"aspect": (2, 1)}, r"aspect is \(2, 1\), expected two .* with 0 < low <= high, both finite"),
        ({"aspect": 2}, "aspect is 2, expected two numbers"),
        ({"mixup": -1}, "mixup is -1, expected a finite number of at least 0"),
        ({"mixup": "1"}, "mixup is '1', expected a finite number"),
        ({"cutmix": np.inf}, "cutmix is inf, expected a finite number"),
    ],
)
def test_impossible_ways_are_refused(options: Any, message: str) -> None:
    with pytest.raises(AugmentationError, match=message):
        Augmentation(**options)


def test_a_view_is_one_of_256() -> None:
    with pytest.raises(AugmentationError, match="view is 256, expected an integer from 0 to 255"):
        draw_parameters(ROWS, Augmentation(), bands=["B04"], seed=0, view=256)
