"""Augmentation: what each patch gets depends on the patch alone."""

import pickle
from dataclasses import fields
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bigearth_xr.bands import BANDS
from bigearth_xr.errors import AugmentationError, BandError
from bigearth_xr.ops.augmentation import PATCH_VALUES, Augmentation, AugmentationOptions, draw_parameters, unvaried
from bigearth_xr.ops.reference import augment, orient

EVERYTHING = Augmentation(gain=(0.8, 1.2), bias=(-5, 5), noise_std=0.5, drop=0.3)
NAMES = [band.name for band in BANDS]
ROWS = np.arange(40)


@pytest.fixture(params=["numpy", pytest.param("cupy", marks=pytest.mark.gpu)])
def xp(request: pytest.FixtureRequest) -> ModuleType:
    return import_module(request.param)


def on_host(array: Any) -> NDArray[Any]:
    return array.get() if hasattr(array, "get") else np.asarray(array)


def some_pixels(rows: NDArray[np.integer], names: list[str], size: int = 6) -> NDArray[np.uint16]:
    """Pixels of which each is different, by row, band, y and x."""
    places = [NAMES.index(name) for name in names]
    start = rows[:, None] * 1000 + np.array(places) * 50
    return np.asarray(start[:, :, None, None] + np.arange(size**2).reshape(size, size), np.uint16)


def augmented(
    rows: NDArray[np.integer], names: list[str], allowed: Augmentation = EVERYTHING, *, seed: int = 1, epoch: int = 0
) -> Any:
    drawn = draw_parameters(rows, allowed, bands=names, seed=seed, epoch=epoch)
    return augment(some_pixels(rows, names), drawn)


@given(
    rows=st.lists(st.sampled_from(ROWS.tolist()), max_size=8),
    names=st.lists(st.sampled_from(NAMES), min_size=1, unique=True),
)
def test_neither_order_nor_company_matters(rows: list[int], names: list[str]) -> None:
    all_of_them = augmented(ROWS, NAMES)
    chosen = augmented(np.array(rows, int), names)
    np.testing.assert_array_equal(chosen, all_of_them[rows][:, [NAMES.index(name) for name in names]])


@pytest.mark.parametrize("code", range(8))
def test_a_symmetry_is_a_turn_then_a_flip(xp: ModuleType, code: int) -> None:
    pixels = some_pixels(ROWS[:3], NAMES[:2])
    turned = np.stack([np.stack([np.rot90(band, code % 4) for band in patch]) for patch in pixels])
    expected = turned if code < 4 else turned[..., ::-1]
    result = orient(xp.asarray(pixels), np.full(3, code, np.uint8))
    np.testing.assert_array_equal(on_host(result), expected)
    assert result.flags.c_contiguous


def test_the_eight_symmetries_differ_and_are_as_likely() -> None:
    square = np.arange(9).reshape(1, 3, 3)
    assert len({orient(square, np.array([code], np.uint8)).tobytes() for code in range(8)}) == 8
    drawn = draw_parameters(np.arange(80_000), Augmentation(), bands=["B04"], seed=0).d4
    # Chi-square of 7 degrees of freedom: beyond 24.3 once in a thousand.
    assert ((np.bincount(drawn, minlength=8) - 10_000) ** 2 / 10_000).sum() < 24.3


def test_all_bands_of_a_patch_turn_together() -> None:
    result = augmented(ROWS, ["B04", "VV"], Augmentation())
    step = 50 * (NAMES.index("VV") - NAMES.index("B04"))
    np.testing.assert_array_equal(result[:, 1], result[:, 0] + step)


def test_order_is_turn_scale_noise_drop() -> None:
    drawn = draw_parameters(ROWS, EVERYTHING, bands=NAMES, seed=3)
    pixels = some_pixels(ROWS, NAMES)
    noise = augment(
        np.zeros_like(pixels), draw_parameters(ROWS, Augmentation(flips=False, noise_std=0.5), bands=NAMES, seed=3)
    )
    per_patch = (slice(None), None, None, None)
    expected = orient(pixels, drawn.d4) * drawn.gain[per_patch] + drawn.bias[per_patch] + noise
    expected[drawn.dropped] = 0
    np.testing.assert_array_equal(augment(pixels, drawn), expected)


def test_drawn_values_are_in_range_and_as_frequent() -> None:
    drawn = draw_parameters(np.arange(10_000), EVERYTHING, bands=NAMES, seed=0)
    assert 0.8 <= drawn.gain.min() < 0.81 < 1.19 < drawn.gain.max() <= 1.2
    assert -5 <= drawn.bias.min() < -4.9 < 4.9 < drawn.bias.max() <= 5
    assert abs(np.corrcoef(drawn.gain, drawn.bias)[0, 1]) < 0.03
    np.testing.assert_allclose(drawn.dropped.mean(axis=0), 0.3, atol=0.02)


def test_noise_is_normal_and_new_for_every_pixel() -> None:
    allowed = Augmentation(flips=False, noise_std=2)
    noise = augment(np.zeros((4, 3, 120, 120), np.float32), draw_parameters(ROWS[:4], allowed, bands=NAMES[:3], seed=0))
    assert abs(noise.mean()) < 0.02
    assert abs(noise.std() - 2) < 0.02
    flat = noise.reshape(12, -1)
    assert abs(np.corrcoef(flat) - np.eye(12)).max() < 0.05
    assert len(np.unique(noise)) > 0.95 * noise.size


@pytest.mark.parametrize("size", [1, 5, 120])
def test_patches_of_any_size_have_noise(size: int) -> None:
    drawn = draw_parameters(ROWS[:2], Augmentation(noise_std=1), bands=["VV"], seed=0)
    assert augment(np.zeros((2, 1, size, size)), drawn).all()


@pytest.mark.parametrize(
    ("allowed", "given_type", "expected"),
    [
        (Augmentation(), "uint16", "uint16"),
        (Augmentation(drop=0.5), "uint16", "uint16"),
        (Augmentation(gain=(1, 2)), "uint16", "float32"),
        (Augmentation(bias=(0, 1)), "int16", "float32"),
        (Augmentation(noise_std=1), "uint16", "float32"),
        (EVERYTHING, "float32", "float32"),
        (EVERYTHING, "float64", "float64"),
    ],
)
def test_types_change_only_where_values_do(allowed: Augmentation, given_type: str, expected: str) -> None:
    pixels = some_pixels(ROWS, NAMES).astype(given_type)
    before = pixels.copy()
    drawn = draw_parameters(ROWS, allowed, bands=NAMES, seed=0)
    assert augment(pixels, drawn).dtype == expected
    np.testing.assert_array_equal(pixels, before)


def test_a_dropped_band_is_0_even_where_pixels_are_missing() -> None:
    drawn = draw_parameters(ROWS[:1], Augmentation(drop=1), bands=["VV"], seed=0)
    np.testing.assert_array_equal(augment(np.full((1, 1, 2, 2), np.nan), drawn), 0)


@pytest.mark.parametrize("key", [{"seed": 2}, {"epoch": 1}, {"seed": 1 << 32}])
def test_another_key_gives_another_result(key: Any) -> None:
    assert (augmented(ROWS, NAMES, **key) == augmented(ROWS, NAMES)).mean() < 0.2  # dropped twice by chance


def test_nothing_allowed_changes_nothing() -> None:
    pixels = some_pixels(ROWS, NAMES)
    drawn = draw_parameters(ROWS, Augmentation(flips=False), bands=NAMES, seed=0)
    np.testing.assert_array_equal(augment(pixels, drawn), pixels)


def test_every_namespace_gives_the_same(xp: ModuleType) -> None:
    drawn = draw_parameters(ROWS, EVERYTHING, bands=NAMES, seed=0)
    pixels = some_pixels(ROWS, NAMES)
    result = augment(xp.asarray(pixels), drawn)
    assert type(result) is type(xp.asarray(pixels))
    # A logarithm, a sine and a product-and-sum may differ in their last bit.
    np.testing.assert_allclose(on_host(result), augment(pixels, drawn), rtol=1e-6, atol=1e-5)


def test_parameters_are_taken_in_another_order() -> None:
    drawn = draw_parameters(ROWS, EVERYTHING, bands=NAMES, seed=0)
    taken = drawn.take(np.array([9, 2]), ["VV", "B01"])
    again = draw_parameters(np.array([9, 2]), EVERYTHING, bands=["VV", "B01"], seed=0)
    for name in ("rows", "d4", "gain", "bias", "dropped"):
        np.testing.assert_array_equal(getattr(taken, name), getattr(again, name))


def test_parameters_of_others_are_refused() -> None:
    drawn = draw_parameters(ROWS, EVERYTHING, bands=["B04"], seed=0)
    with pytest.raises(AugmentationError, match=r"nothing was drawn for row 40, row 41, .*row 44 and others; draw"):
        drawn.take(np.arange(35, 50), ["B04"])
    with pytest.raises(AugmentationError, match=r"nothing was drawn for band VV; draw .* same seed"):
        drawn.take(ROWS, ["VV", "B04"])
    empty = drawn.take(np.empty(0, int), [])
    with pytest.raises(AugmentationError, match="nothing was drawn for row 3, band B04;"):
        empty.take(np.array([3]), ["B04"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flips": "no"}, "flips is 'no', expected True or False"),
        ({"flips": 3}, "flips is 3, expected True or False"),
        (
            {"gain": (2, 1)},
            r"gain is \(2, 1\), expected two numbers \(low, high\) with low <= high, .* e.g. \(0.9, 1.1\)",
        ),
        *(
            ({"gain": wrong}, "gain is .*, expected two")
            for wrong in (0.9, (0.9,), None, ("a", "b"), (1, 1.1, 1.2), "ab")
        ),
        ({"gain": (1e30, 1e39)}, r"gain is \(1e\+30, 1e\+39\), expected .* both finite in float32"),
        ({"gain": (-3e38, 3e38)}, "gain is .*, expected two numbers"),
        ({"gain": [1.2, 1.1]}, "gain is"),
        ({"bias": (0, np.inf)}, r"bias is \(0, inf\), expected .* both finite"),
        *(({"noise_std": wrong}, "noise_std is .*, expected a number of") for wrong in (None, 1e39, -1, np.nan, (1,))),
        *(({"drop": wrong}, f"drop is {wrong!r}, expected a probability, 0 to 1") for wrong in (None, "x", True, 1.5)),
    ],
)
def test_impossible_ways_are_refused(options: Any, message: str) -> None:
    with pytest.raises(AugmentationError, match=message):
        Augmentation(**options)


def test_pairs_may_be_lists() -> None:
    assert Augmentation(gain=[1.0, 1.0], crop=[0.5, 1]) == Augmentation(crop=(0.5, 1))  # type: ignore[arg-type]  # as JSON has them


@pytest.mark.parametrize(
    ("rows", "key", "message"),
    [
        ([0], {"seed": -1}, "seed is -1, expected an integer from 0 to 18446744073709551615"),
        ([0], {"seed": 0.5}, "seed is 0.5, expected an integer"),
        ([0], {"seed": 0, "epoch": 2**32}, "epoch is 4294967296, expected an integer from 0 to 4294967295"),
        ([-1, 5], {"seed": 0}, "rows are -1 to 5, expected rows of a store"),
        ([1.5], {"seed": 0}, r"rows are float64 of shape \(1,\), expected integers of shape \(patch,\); take"),
        ([True], {"seed": 0}, "rows are bool"),
        (3, {"seed": 0}, r"of shape \(\), expected integers"),
        (["a"], {"seed": 0}, "rows are <U1 of"),
    ],
)
def test_impossible_keys_are_refused(rows: Any, key: Any, message: str) -> None:
    for given_rows in (rows, np.array(rows)):
        with pytest.raises(AugmentationError, match=message):
            draw_parameters(given_rows, Augmentation(), bands=["B04"], **key)


def test_rows_may_be_a_list() -> None:
    listed, empty = (draw_parameters(rows, Augmentation(), bands=["B04"], seed=0) for rows in ([7, 9], []))
    assert listed.d4.tolist() == [6, 7]
    assert empty.rows.tolist() == []


def test_a_seed_may_be_an_integer_of_numpy() -> None:
    assert augmented(ROWS, NAMES, seed=np.int32(1)).tobytes() == augmented(ROWS, NAMES, seed=1).tobytes()  # type: ignore[arg-type]


def test_unknown_bands_are_refused() -> None:
    with pytest.raises(BandError, match="there is no band 'B4'"):
        draw_parameters(ROWS, Augmentation(), bands=["B4"], seed=0)


def test_only_squares_are_turned() -> None:
    oblong = np.zeros((1, 1, 120, 60))
    drawn = draw_parameters(np.array([0]), Augmentation(), bands=["B04"], seed=0)
    with pytest.raises(AugmentationError, match=r"patches are 120 × 60 pixels, .* or pass flips=False"):
        augment(oblong, drawn)
    still = draw_parameters(np.array([0]), Augmentation(flips=False), bands=["B04"], seed=0)
    assert augment(oblong, still).shape == oblong.shape


def test_keywords_are_the_options() -> None:
    assert [*AugmentationOptions.__annotations__] == [option.name for option in fields(Augmentation)]


def test_what_leaves_patches_as_they_are_is_what_is_drawn_where_nothing_is_allowed() -> None:
    drawn = draw_parameters(ROWS, Augmentation(flips=False), bands=NAMES, seed=0)
    still = unvaried(len(ROWS), NAMES)
    for name, value in PATCH_VALUES.items():
        one, other = getattr(drawn, name), getattr(still, name)
        assert one.dtype == other.dtype == value.dtype
        assert one.shape == other.shape
        assert name == "rows" or (one == other).all()


def test_what_was_pickled_before_an_option_came_has_its_default() -> None:
    older = Augmentation.__new__(Augmentation)
    older.__setstate__([False, (0.9, 1.1)])
    assert older == Augmentation(flips=False, gain=(0.9, 1.1))
    drawn = draw_parameters(ROWS, EVERYTHING, bands=NAMES, seed=0)
    again = pickle.loads(pickle.dumps(drawn))
    state = [getattr(drawn, one.name) for one in fields(drawn)]
    again.__setstate__(state[:-1])
    assert (again.gain == drawn.gain).all()
    assert again.box.shape == drawn.box.shape
    assert not again.box.any()
