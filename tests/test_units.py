"""Whose values statistics belong to: what was computed with is told by its values, refused, or said by the caller."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

import bigearth_xr as bex
from bigearth_xr.bands import BANDS
from bigearth_xr.errors import NormalizationError
from bigearth_xr.releases import Release
from bigearth_xr.stats import band_statistics
from bigearth_xr.testing import count_reads, formula_pixels
from bigearth_xr.units import UnitCheck

S2 = [band.name for band in BANDS if band.sensor == "s2"]
PAIRS = 3
FRACTIONS = "have fractions, which digital numbers have not"
WRAPPED = "expected digital numbers of 0 to 32,767: they wrapped"
RADAR = "backscatter in dB is mostly below"

Step = Callable[[xr.DataArray], xr.DataArray]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> dict[Release, xr.Dataset]:
    """A Dataset of each release."""
    folder = tmp_path_factory.mktemp("stores")
    releases: tuple[Release, ...] = ("v1", "v2")
    return {
        name: bex.open(bex.testing.write_store(folder / f"{name}.zarr", pairs=PAIRS, version=name)) for name in releases
    }


@pytest.fixture(scope="module")
def ds(both: dict[Release, xr.Dataset]) -> xr.Dataset:
    return both["v2"]


def pixels_of(array: xr.DataArray) -> NDArray[np.float64]:
    """Pixels of its patches and bands by their formula, repeated to 10 m."""
    dim = "band" if "band" in array.dims else "polarization"
    patches = [[formula_pixels(str(patch), str(name)) for name in array[dim].values] for patch in array.patch.values]
    repeated = [[p.repeat(120 // len(p), 0).repeat(120 // len(p), 1) for p in patch] for patch in patches]
    return np.array(repeated, np.float64)


def standardized(pixels: NDArray[np.float64], array: xr.DataArray, release: Release = "v2") -> NDArray[np.float64]:
    """In float64, by the published numbers."""
    stats = band_statistics(release, "none")
    names = array["band" if "band" in array.dims else "polarization"].values
    mean, std = (np.array([of[name] for name in names])[:, None, None] for of in (stats.mean, stats.std))
    scaled: NDArray[np.float64] = (pixels - mean) / std
    return scaled


def held(array: xr.DataArray) -> list[xr.DataArray]:
    """In each way in which values are held."""
    return [array, array.compute(), array.compute().chunk(patch=1, y=50)]


# ---- what is in the units of a store ------------------------------------------------------------------------------

STILL: list[Any] = [
    pytest.param(lambda a: a.astype(np.float32), lambda p: p, id="as float32"),
    pytest.param(lambda a: a.where(a > 500), lambda p: np.where(p > 500, p, np.nan), id="masked"),
    pytest.param(lambda a: a.where(a > 500).fillna(0), lambda p: np.where(p > 500, p, 0), id="filled"),
    pytest.param(lambda a: a.clip(0, 5000), lambda p: p.clip(0, 5000), id="clipped"),
    pytest.param(lambda a: a * 0.0, lambda p: p * 0, id="all zero"),
    pytest.param(lambda a: a.where(a < 0), lambda p: p * np.nan, id="all NaN"),
    pytest.param(lambda a: a / 10_000 * 10_000, lambda p: p, id="there and back"),
    pytest.param(lambda a: a % 60 + 3.0, lambda p: p % 60 + 3, id="a dark water patch"),
    pytest.param(lambda a: a.astype(np.int32), lambda p: p, id="as int32"),
    pytest.param(lambda a: a[:, :, :40, :40], lambda p: p[:, :, :40, :40], id="cropped"),
    pytest.param(lambda a: a[[2, 0]], lambda p: p[[2, 0]], id="selected"),
]


@pytest.mark.parametrize(("step", "expected"), STILL)
def test_digital_numbers_are_known_by_their_values(ds: xr.Dataset, step: Step, expected: Any) -> None:
    chosen = ds.s2.sel(band=["B04", "B8A", "B01"])
    for array in held(chosen):
        result = step(array).ben.normalize()
        truth = standardized(expected(pixels_of(chosen)), chosen)
        np.testing.assert_allclose(result, truth, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (lambda a: a.where(a > -12), lambda p: np.where(p > -12, p, np.nan)),
        (lambda a: a.where(a > -12, -np.inf), lambda p: np.where(p > -12, p, -np.inf)),
        (lambda a: 10 * np.log10(10 ** (a / 10)), lambda p: p),
        (lambda a: a.astype("float64")[:, :, :30, :30], lambda p: p[:, :, :30, :30]),
    ],
)
def test_decibels_are_known_by_their_values(ds: xr.Dataset, step: Step, expected: Any) -> None:
    shown = expected(pixels_of(ds.s1))
    for array in held(ds.s1):
        result = step(array).ben.normalize()
        np.testing.assert_allclose(result, standardized(shown, ds.s1), rtol=1e-4, atol=1e-4)


def test_saved_and_opened_again_is_what_it_was(ds: xr.Dataset, tmp_path: Path) -> None:
    part = ds[["s2", "s1"]].reset_coords(drop=True)
    part.drop_encoding().to_zarr(tmp_path / "x.zarr", consolidated=False, zarr_format=2)
    for again in (
        xr.open_dataset(tmp_path / "x.zarr", engine="zarr", consolidated=False),
        xr.open_zarr(tmp_path / "x.zarr", consolidated=False),
    ):
        for name in ("s2", "s1"):
            truth = standardized(pixels_of(ds[name]), ds[name])
            np.testing.assert_allclose(again[name].ben.normalize(), truth, rtol=1e-5, atol=1e-5)
        with pytest.raises(NormalizationError, match=FRACTIONS):
            (again.s2 / 10_000).ben.normalize().compute()


# ---- what is not, or may not be -----------------------------------------------------------------------------------

OTHERWISE: list[Any] = [
    ("s2", lambda a: a / 10_000, FRACTIONS),
    ("s2", lambda a: (a / 10_000).astype(np.float32), FRACTIONS),
    ("s2", lambda a: a / 100, FRACTIONS),
    ("s2", lambda a: a.where(a.band != "B04", a / 10_000), FRACTIONS),
    ("s2", lambda a: a.where(a.patch != a.patch[1], a / 10_000), FRACTIONS),
    ("s2", lambda a: (a - a.mean(["patch", "y", "x"])) / a.std(["patch", "y", "x"]), FRACTIONS),
    ("s2", lambda a: (a + a.shift(x=1)) / 2, FRACTIONS),
    ("s2", lambda a: (a > 500) * 1.0, "are all 0 or 1"),
    ("s2", lambda a: a - np.uint16(1000), WRAPPED),
    ("s2", lambda a: a.astype(np.int32) - 1000, WRAPPED),
    ("s2", lambda a: (a // 40).astype(np.uint8), "uint8, which holds no digital numbers"),
    ("s2", lambda a: a > 500, "bool, which holds no digital numbers"),
    ("s1", lambda a: 10 ** (a / 10), RADAR),
    ("s1", lambda a: 10 ** (a / 20), RADAR),
    ("s1", lambda a: (a + 75) / 110, RADAR),
    ("s1", lambda a: (a - a.mean(["y", "x"])) / a.std(["y", "x"]), RADAR),
    ("s1", lambda a: a.where(a.polarization == "VH", 10 ** (a / 10)), "pixels of VV are all above"),
    ("s1", lambda a: a.where(a.patch != a.patch[1], 10 ** (a / 10)), RADAR),
]


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("name", "step", "problem"), OTHERWISE)
def test_other_values_are_refused_however_they_are_held(ds: xr.Dataset, name: str, step: Step, problem: str) -> None:
    for array in held(ds[name]):
        changed = step(array)
        for stats in (None, band_statistics("v2", "nearest")):
            with pytest.raises(NormalizationError, match=problem):
                changed.ben.normalize(stats=stats).compute()
        with pytest.raises(NormalizationError, match=problem):
            changed.ben.normalize("minmax").compute()


def test_reflectance_is_not_divided_twice(ds: xr.Dataset) -> None:
    truth = pixels_of(ds.s2) / 10_000
    for array in held(ds.s2):
        with pytest.raises(NormalizationError, match=FRACTIONS):
            (array / 10_000).ben.normalize("reflectance").compute()
        np.testing.assert_allclose((array / 10_000).ben.normalize("reflectance", units="reflectance"), truth, rtol=1e-6)
        np.testing.assert_allclose(array.ben.normalize("reflectance"), truth, rtol=1e-6)


def test_one_rescaled_sensor_of_an_image_is_refused(ds: xr.Dataset) -> None:
    for changed, problem in (
        (ds.assign(s2=ds.s2 / 10_000), FRACTIONS),
        (ds.assign(s1=10 ** (ds.s1 / 10)), RADAR),
    ):
        image = changed.ben.image(["B04", "VV", "B8A"])
        for array in held(image):
            with pytest.raises(NormalizationError, match=problem):
                array.ben.normalize().compute()
    image = ds.assign(s2=ds.s2 / 10_000).ben.image(["B04", "VV", "B8A"])
    truth = standardized(pixels_of(ds.ben.image(["B04", "VV", "B8A"])), image)
    for given in ("reflectance", ("reflectance", "dB"), ["dB", "reflectance"]):
        np.testing.assert_allclose(image.ben.normalize(units=given), truth, rtol=1e-4, atol=1e-4)


def test_a_mean_over_time_needs_a_word(ds: xr.Dataset) -> None:
    mean = ds.s2.mean("patch")
    stats = band_statistics("v2", "nearest")
    with pytest.raises(NormalizationError, match=r"release of these pixels is not known.*no ids of patches"):
        mean.ben.normalize(units="digital number")
    with pytest.raises(NormalizationError, match=FRACTIONS):
        mean.ben.normalize(stats=stats).compute()
    truth = standardized(pixels_of(ds.s2).mean(0), ds.s2)
    result = mean.ben.normalize(stats=stats, units="digital number")
    np.testing.assert_allclose(result, truth, rtol=1e-4, atol=1e-4)


def test_interpolated_pixels_are_digital_numbers_with_fractions(ds: xr.Dataset) -> None:
    image = ds.ben.image(["B04", "B05"], "bilinear")
    np.testing.assert_array_equal(image.compute().ben.normalize("reflectance"), image.ben.normalize("reflectance"))
    with pytest.raises(NormalizationError, match=FRACTIONS):
        (image / 10_000).ben.normalize("reflectance").compute()
    mixed = xr.concat([ds.ben.image(["B04", "B05"]), image], "patch")
    with pytest.raises(NormalizationError, match=FRACTIONS):
        mixed.ben.normalize().compute()
    with pytest.raises(NormalizationError, match="of B05 some pixels are no whole digital numbers"):
        mixed.ben.normalize(units="digital number").compute()


# ---- what a caller says -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("units", "problem"),
    [
        ("DN", "units is 'DN', expected 'digital number', 'reflectance', 'dB'"),
        ("reflectences", "did you mean 'reflectance'"),
        (3, "units is 3, expected"),
        (("reflectance", "digital number"), "two of one sensor"),
        ("dB", "units says 'dB', of Sentinel-1, but there are B04"),
        ("reflectance", "units says 'reflectance', but these pixels are as a store holds them"),
    ],
)
def test_impossible_units_are_refused(ds: xr.Dataset, units: Any, problem: str) -> None:
    with pytest.raises(NormalizationError, match=problem):
        ds.s2.sel(band=["B04"]).ben.normalize(units=units)


def test_numbers_of_ones_own_are_in_the_unit_of_the_pixels(ds: xr.Dataset) -> None:
    mine = dict.fromkeys(S2, (0.1, 0.5))
    result = (ds.s2 / 10_000).ben.normalize(stats=mine, units="reflectance")
    np.testing.assert_allclose(result, (pixels_of(ds.s2) / 10_000 - 0.1) / 0.5, rtol=1e-5, atol=1e-6)


def test_normalisation_that_was_undone_is_the_callers_to_say(ds: xr.Dataset) -> None:
    undone = ds.s2.ben.normalize("reflectance") * 1
    with pytest.raises(NormalizationError, match="normalised before"):
        undone.ben.normalize()
    truth = standardized(pixels_of(ds.s2), ds.s2)
    np.testing.assert_allclose(undone.ben.normalize(units="reflectance"), truth, rtol=1e-4, atol=1e-4)


# ---- releases -----------------------------------------------------------------------------------------------------


def test_two_releases_together_are_refused_however_they_are_held(both: dict[Release, xr.Dataset]) -> None:
    parts = [ds.s2.reset_coords(drop=True) for ds in both.values()]
    for joined in held(xr.concat(parts, "patch")):
        for stats in (None, band_statistics("v1", "none"), band_statistics("v2", "none")):
            with pytest.raises(NormalizationError, match=r"patches of v1 and v2, .*PatchLoader\(\[v1, v2\]\)"):
                joined.ben.normalize(stats=stats)
        nameless = joined.assign_coords(patch=np.arange(2 * PAIRS))
        with pytest.raises(NormalizationError, match="no ids of patches"):
            nameless.ben.normalize()
    each = xr.concat([part.ben.normalize() for part in parts], "patch")
    truth = [standardized(pixels_of(part), part, release) for part, release in zip(parts, both, strict=True)]
    np.testing.assert_allclose(each, np.concatenate(truth), rtol=1e-5, atol=1e-5)


# ---- attributes ---------------------------------------------------------------------------------------------------


def test_attributes_of_what_was_computed_stay_true(ds: xr.Dataset) -> None:
    assert xr.get_options()["keep_attrs"] == "default"
    nir, red = (ds.s2.sel(band=name, drop=True).astype(np.float32) for name in ("B08", "B04"))
    image = ds.ben.image(["B08", "B04"]).astype(np.float32)
    ndvi = (nir - red) / (nir + red)
    of_image = (image[:, 0].drop_vars("band") - image[:, 1].drop_vars("band")) / image.sum("band")
    power = 10 ** (ds.s1 / 10)
    reflectance = ds.s2.ben.normalize("reflectance")
    ratio = reflectance.sel(band="B08", drop=True) / reflectance.sel(band="B04", drop=True)
    for array in (ndvi, of_image, power, ratio, (ds.s2 / 10_000).mean("patch"), ds.reference_map == 311):
        described = {name: text for name, text in array.attrs.items() if name != "bigearth"}
        assert "digital number" not in str(described)
        assert not {"long_name", "standard_name", "comment"} & set(described)
        assert described.get("units", "1") == "1"
    assert ndvi.attrs["source"].startswith("Sentinel-2 L2A")
    assert "units" not in power.attrs


# ---- cost ---------------------------------------------------------------------------------------------------------


def test_nothing_is_read_early_or_twice(ds: xr.Dataset) -> None:
    with count_reads() as reads:
        lazy = [ds.s2.astype(np.float32).ben.normalize(), (ds.s1 * 1).ben.normalize()]
        assert not reads
        for array in lazy:
            array.compute()
    assert reads == dict.fromkeys(("s2_10m", "s2_20m", "s2_60m", "s1"), PAIRS)


def test_verdicts_do_not_depend_on_blocks(ds: xr.Dataset) -> None:
    """A single pixel says little: patches are judged whole, however they are cut."""
    for chunks in ({"patch": 1}, {"y": 1}, {"x": 7, "patch": 2}, {"polarization": 1, "y": 11}):
        lazy = ds.s1.compute().chunk(chunks).ben.normalize()
        np.testing.assert_array_equal(lazy, ds.s1.compute().ben.normalize())


def test_many_patches_are_looked_at_to_the_last() -> None:
    pixels = np.full((3000, 40, 40, 1), 588, np.float32)
    check = UnitCheck(bands=("B04",), given={})
    assert check(pixels) is pixels
    pixels[-1, -1, -1] = 0.5
    with pytest.raises(NormalizationError, match=FRACTIONS):
        check(pixels)
