"""`.ben.augment` takes what `Augmentation` takes, and crops and mixes images, maps and labels alike."""

import inspect
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
import xarray as xr
from openings import OPENERS, Opener

import bigearth_xr as bex
from bigearth_xr.accessor import DataArrayAccessor
from bigearth_xr.errors import AugmentationError
from bigearth_xr.ops.augmentation import Augmentation, AugmentationOptions, draw_parameters
from bigearth_xr.ops.reference import transform_batch
from bigearth_xr.ops.transform import transform_of

PAIRS = 9
BANDS = ["B04", "B03", "VV"]
WAYS: dict[str, dict[str, Any]] = {
    "crop": {"crop": (0.2, 0.9)},
    "aspect": {"crop": (0.2, 0.9), "aspect": (0.5, 2), "gain": (0.9, 1.1)},
    "mixup": {"mixup": 0.4},
    "cutmix": {"cutmix": 1.0, "noise_std": 3.0},
    "all": {"crop": (0.3, 1), "mixup": 0.4, "cutmix": 1.0, "bias": (-5, 5), "drop": 0.3},
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 9 synthetic pairs."""
    return bex.testing.write_store(tmp_path_factory.mktemp("small") / "ben.zarr", pairs=PAIRS)


def test_the_keywords_are_the_fields_of_an_augmentation(small: Path) -> None:
    assert get_type_hints(AugmentationOptions) == get_type_hints(Augmentation)
    own = inspect.signature(DataArrayAccessor.augment).parameters
    assert [*own] == ["self", "seed", "epoch", "parameters", "return_parameters", "ways"]
    with pytest.raises(TypeError, match=r"augment has no option 'gian'; it has seed, .*did you mean 'gain'\?"):
        bex.open(small).s2.ben.augment(seed=0, gian=(0.9, 1.1))


@pytest.mark.parametrize("opener", OPENERS.values(), ids=OPENERS)
@pytest.mark.parametrize("way", WAYS)
def test_images_are_varied_as_the_specification_says(opener: Opener, small: Path, way: str) -> None:
    ds = opener(small)
    image = ds.ben.image(BANDS)
    varied, drawn = image.ben.augment(seed=5, **WAYS[way], return_parameters=True)

    class Stored:
        name, bands, size, dtype = "image", tuple(BANDS), 120, "float32"

    stored: Any = Stored
    transform = transform_of([stored], BANDS)
    expected = draw_parameters(ds.row.values, Augmentation(**WAYS[way]), bands=BANDS, seed=5)
    np.testing.assert_array_equal(drawn.partner, expected.partner)
    np.testing.assert_allclose(varied, transform_batch(transform, [image.values], expected), rtol=1e-5, atol=2e-3)
    assert varied.dtype == np.float32
    assert varied.dims == image.dims


def test_chunks_do_not_matter(small: Path) -> None:
    image = bex.open(small).ben.image(BANDS)
    whole = image.compute().ben.augment(seed=1, **WAYS["all"])
    for chunks in (1, 2, 4):
        xr.testing.assert_allclose(image.chunk(patch=chunks).ben.augment(seed=1, **WAYS["all"]).compute(), whole)


def test_integers_stay_such_where_nothing_is_blended(small: Path) -> None:
    ds = bex.open(small)
    for options, dtype in (({"crop": (0.5, 1)}, "uint16"), ({"cutmix": 1.0}, "uint16"), ({"mixup": 1.0}, "float32")):
        varied = ds.s2.ben.augment(seed=0, **options)
        assert varied.dtype == dtype
        assert varied.compute().dtype == dtype
    assert bex.open(small, resampling="bilinear").s2.ben.augment(seed=0, crop=(0.5, 1)).compute().dtype == np.float32


def test_maps_are_cut_and_pasted_as_their_images(small: Path) -> None:
    ds = bex.open(small)
    both = ds.assign(s2=ds.s2 * 0 + ds.reference_map)
    image = both.s2.transpose("patch", "band", "y", "x")
    for options in ({"crop": (0.2, 0.8)}, {"cutmix": 1.0}, {"crop": (0.2, 0.8), "cutmix": 1.0}):
        varied = ds.reference_map.ben.augment(seed=2, **options)
        assert varied.dtype == np.uint16
        np.testing.assert_array_equal(varied, image.ben.augment(seed=2, **options).isel(band=0))
    with pytest.raises(AugmentationError, match="codes of a map cannot be blended; draw without mixup"):
        ds.reference_map.ben.augment(seed=2, mixup=0.4)


def test_one_patch_has_no_partner(small: Path) -> None:
    image = bex.open(small).ben.image(BANDS)
    alone = image.isel(patch=3)
    xr.testing.assert_equal(
        alone.ben.augment(seed=0, mixup=0.4, cutmix=0.4).compute(), alone.ben.augment(seed=0).compute()
    )
    drawn = image.ben.augment(seed=0, mixup=0.4, return_parameters=True)[1]
    with pytest.raises(AugmentationError, match="is mixed into another patch and is not among those taken"):
        image.isel(patch=[0]).ben.augment(parameters=drawn)


def test_pixels_that_are_missing_stay_where_they_weigh_something(small: Path) -> None:
    image = bex.open(small).ben.image(["VV"]).load().copy()
    image[2, 0] = -np.inf
    varied, drawn = image.ben.augment(seed=3, mixup=0.4, flips=False, return_parameters=True)
    touched = (np.arange(PAIRS) == 2) & (drawn.weight != 0) | (drawn.partner == 2) & (drawn.weight != 1)
    np.testing.assert_array_equal(~np.isfinite(varied).all(["band", "y", "x"]).values, touched)


def test_ranges_are_checked_as_ever(small: Path) -> None:
    ds = bex.open(small)
    with pytest.raises(AugmentationError, match=r"crop is \(1, 0.5\), expected two numbers \(low, high\)"):
        ds.s2.ben.augment(seed=0, crop=(1, 0.5))


def test_an_augmentation_names_what_is_not_usual() -> None:
    assert repr(Augmentation()) == "Augmentation()"
    assert repr(Augmentation(gain=(0.9, 1.1), flips=False)) == "Augmentation(flips=False, gain=(0.9, 1.1))"
    assert eval(repr(Augmentation(mixup=0.4))) == Augmentation(mixup=0.4)
