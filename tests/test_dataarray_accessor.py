"""``.ben`` on DataArrays: the same numbers however the values are held, and statistics that belong to the pixels."""

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from cupy_stand_in import cupy_stand_in
from hypothesis import given, settings
from hypothesis import strategies as st

import bigearth_xr as bex
from bigearth_xr.backend.origin import own_rows
from bigearth_xr.bands import BANDS
from bigearth_xr.errors import AugmentationError, BandError, NormalizationError
from bigearth_xr.releases import Release
from bigearth_xr.scaling import NORMALIZED
from bigearth_xr.stats import band_statistics
from bigearth_xr.testing import count_reads

NAMES = [band.name for band in BANDS]
SOME = ["B04", "B8A", "B01", "VV"]
PAIRS = 6
EVERYTHING: dict[str, Any] = {"gain": (0.8, 1.2), "bias": (-0.1, 0.1), "noise_std": 0.1, "drop": 0.2}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bex.testing.write_store(tmp_path_factory.mktemp("store") / "ben.zarr", pairs=PAIRS)


@pytest.fixture(scope="module")
def ds(path: Path) -> xr.Dataset:
    return bex.open(path)


@pytest.fixture(scope="module")
def image(ds: xr.Dataset) -> xr.DataArray:
    """Four bands of every resolution and both sensors, in memory."""
    loaded: xr.DataArray = ds.ben.image(SOME).load()
    return loaded


@pytest.fixture(scope="module")
def corner(image: xr.DataArray) -> xr.DataArray:
    """The upper left corner of that image: a square, but quick."""
    return image[..., :24, :24]


def exact(image: xr.DataArray, release: Release = "v2") -> xr.DataArray:
    """Standardise in float64."""
    stats = band_statistics(release, "none")
    mean, std = (
        xr.DataArray([moments[name] for name in image.band.values], dims="band") for moments in (stats.mean, stats.std)
    )
    return (image.astype(np.float64) - mean) / std


# ---- any way of holding the values gives the same ------------------------------------------------------------------


@st.composite
def selections(draw: st.DrawFn) -> dict[str, list[int]]:
    """Some patches and bands in any order."""
    patches = draw(st.lists(st.integers(0, PAIRS - 1), min_size=1, max_size=PAIRS, unique=True))
    bands = draw(st.lists(st.integers(0, len(SOME) - 1), min_size=1, unique=True))
    return {"patch": patches, "band": bands}


def processed(array: xr.DataArray) -> xr.DataArray:
    result: xr.DataArray = array.ben.normalize().ben.augment(seed=7, epoch=2, **EVERYTHING)
    return result


@given(chosen=selections(), chunks=st.tuples(*(st.integers(1, size) for size in (PAIRS, len(SOME), 24, 24))))
@settings(max_examples=15)  # each computes a graph of up to a thousand tasks
def test_chunks_order_and_selection_do_not_matter(
    corner: xr.DataArray, chosen: dict[str, list[int]], chunks: tuple[int, ...]
) -> None:
    expected = processed(corner).isel(chosen)
    lazy = processed(corner.isel(chosen).chunk(dict(zip(corner.dims, chunks, strict=True))))
    assert isinstance(lazy.data, da.Array)
    assert lazy.dtype == lazy.data._meta.dtype == np.float32
    xr.testing.assert_equal(lazy.compute(), expected)
    xr.testing.assert_equal(processed(corner.isel(chosen)), expected)


@pytest.mark.parametrize("order", [("band", "patch", "y", "x"), ("y", "x", "band", "patch")])
def test_dimensions_may_be_in_any_order(corner: xr.DataArray, order: tuple[str, ...]) -> None:
    for turned in (corner.transpose(*order), corner.chunk(patch=2).transpose(*order)):
        result = processed(turned)
        assert result.dims == order
        xr.testing.assert_identical(result.transpose(*corner.dims).compute(), processed(corner))


def test_one_patch_and_one_band_need_no_dimension(corner: xr.DataArray) -> None:
    whole = processed(corner)
    for chosen in ({"patch": 2}, {"band": 1}, {"patch": 2, "band": 1}):
        for array in (corner, corner.chunk(patch=1)):
            xr.testing.assert_equal(processed(array.isel(chosen)).compute(), whole.isel(chosen))


def test_variables_of_a_dataset_give_what_their_image_gives(ds: xr.Dataset) -> None:
    for variable, dim in ((ds.s2, "band"), (ds.s1, "polarization")):
        image = ds.ben.image(variable[dim].values)
        assert processed(variable).dims == ("patch", dim, "y", "x")
        np.testing.assert_array_equal(processed(variable), processed(image))


def test_stored_arrays_of_every_resolution_are_taken(path: Path) -> None:
    stored = xr.open_datatree(path, engine="bigearth").to_dataset()
    result = processed(stored.s2_20m)
    assert result.dims == ("patch", "band_20m", "y_20m", "x_20m")
    assert abs(result.ben.augment(seed=0).mean() - result.mean()) < 1e-6


def test_values_on_a_gpu_stay_there_and_are_the_same(corner: xr.DataArray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", cupy_stand_in())
    for there in (corner.ben.to_gpu(), corner.chunk(patch=4, band=3).ben.to_gpu()):
        result = processed(there)
        assert result.ben.on_gpu
        # Engines differ in the last bits of noise.
        xr.testing.assert_allclose(result.ben.to_cpu().compute(), processed(corner), rtol=1e-6, atol=1e-6)


@pytest.mark.gpu
def test_values_on_a_gpu_are_the_same(corner: xr.DataArray) -> None:
    for there in (corner.ben.to_gpu(), corner.chunk(patch=4, band=3).ben.to_gpu()):
        result = processed(there)
        assert result.ben.on_gpu
        xr.testing.assert_allclose(result.ben.to_cpu().compute(), processed(corner), rtol=1e-5, atol=1e-6)


def test_dask_arrays_stay_lazy_and_read_what_is_asked_for(ds: xr.Dataset) -> None:
    with count_reads() as reads:
        lazy = processed(ds.ben.image(["B04"]).isel(patch=[1, 4]))
        assert not reads
        lazy.load()
    assert reads == {"s2_10m": 2}


def test_graphs_travel_to_other_processes(ds: xr.Dataset) -> None:
    lazy = processed(ds.ben.image(SOME))
    xr.testing.assert_identical(pickle.loads(pickle.dumps(lazy)).compute(), lazy.compute())


# ---- what is kept --------------------------------------------------------------------------------------------------


def test_name_coordinates_and_attributes_are_kept(ds: xr.Dataset) -> None:
    image = ds.ben.image(["B04", "B8A"])
    image.encoding = {"preferred_chunks": {"patch": 128}, "dtype": "uint16", "scale_factor": 2}
    turned = image.ben.augment(seed=0)
    assert (turned.name, turned.attrs, turned.encoding) == (image.name, image.attrs, image.encoding)
    xr.testing.assert_identical(turned.coords.to_dataset(), image.coords.to_dataset())
    scaled = image.ben.normalize()
    xr.testing.assert_identical(scaled.coords.to_dataset(), image.coords.to_dataset())
    # uint16 in a file would cut the fractions off.
    assert scaled.encoding == {"preferred_chunks": {"patch": 128}}
    assert scaled.attrs["bigearth"] == image.attrs["bigearth"]
    assert "uint16" in image.encoding.values()


def test_the_attributes_say_what_was_done(image: xr.DataArray, tmp_path: Path) -> None:
    scaled = image.ben.normalize()
    assert scaled.attrs["units"] == "1"
    assert scaled.attrs["history"] == "standardised: (value - mean) / std, by band"
    record = json.loads(scaled.attrs[NORMALIZED])
    assert record["method"] == "standardize"
    assert record["numbers"]["B04"] == [588.4096, 684.56885]
    assert "official train split of v2" in record["source"]
    scaled.to_zarr(tmp_path / "image.zarr", consolidated=False, zarr_format=2)
    kept = xr.open_dataarray(tmp_path / "image.zarr", engine="zarr", consolidated=False)
    xr.testing.assert_equal(kept, scaled)
    assert kept.attrs == scaled.attrs


# ---- normalise -----------------------------------------------------------------------------------------------------


def test_standardised_pixels_agree_with_float64(image: xr.DataArray) -> None:
    np.testing.assert_allclose(image.ben.normalize(), exact(image), rtol=1e-5, atol=1e-6)


def test_limits_are_mapped_to_0_and_1(ds: xr.Dataset) -> None:
    image = ds.ben.image(["B04", "VV"])
    limits = {"B04": (0, 10_000), "VV": (-74.33214569091797, 34.60696029663086)}
    scaled = image.ben.normalize("minmax")
    for name, (low, high) in limits.items():
        expected = (image.sel(band=name).astype(np.float64) - low) / (high - low)
        np.testing.assert_allclose(scaled.sel(band=name), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(image.ben.normalize("minmax", limits), image.ben.normalize("minmax"))


def test_reflectance_is_digital_numbers_by_10_000(ds: xr.Dataset) -> None:
    scaled = ds.s2.ben.normalize("reflectance")
    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(scaled, ds.s2.values.astype(np.float32) * (1 / np.float32(10_000)))


def test_given_numbers_are_used_for_the_bands_they_name(image: xr.DataArray) -> None:
    mine = {"VV": (-10.0, 4.0), "B01": (100.0, 10.0), "B8A": (0.0, 1.0), "B04": (1.0, 2.0), "B12": (0.0, 0.0)}
    scaled = image.ben.normalize(stats=mine)
    np.testing.assert_allclose(scaled.sel(band="VV"), (image.sel(band="VV") + 10) / 4, rtol=1e-6, atol=1e-6)
    assert json.loads(scaled.attrs[NORMALIZED])["source"] == "given"


@pytest.mark.parametrize("release", ["v1", "v2"])
def test_statistics_are_those_of_the_release(release: Release, tmp_path: Path) -> None:
    ds = bex.open(bex.testing.write_store(tmp_path / "ben.zarr", pairs=2, version=release))
    np.testing.assert_allclose(ds.s2.ben.normalize(), exact(ds.s2, release), rtol=1e-5, atol=1e-6)
    other: Release = "v2" if release == "v1" else "v1"
    for array in (ds.s2, ds.ben.image(["B04"]), ds.ben.image(["B04"]).load()):
        with pytest.raises(NormalizationError, match=f"are of release {other}, the pixels of {release}; leave stats"):
            array.ben.normalize(stats=band_statistics(other, "nearest"))


@pytest.mark.parametrize("resampling", ["bilinear", "bicubic"])
def test_interpolated_bands_have_no_published_statistics(path: Path, resampling: Any) -> None:
    ds = bex.open(path, resampling=resampling)
    for array in (ds.s2, ds.ben.image(["B05", "B04"]), ds.ben.image(["B05"]).load()):
        with pytest.raises(
            NormalizationError,
            match=rf"B05.* brought to 10 m by {resampling}, .*align_corners=True.* resampling='nearest', or",
        ):
            array.ben.normalize()
        for table in ("none", "nearest", f"{resampling}_align_corners"):
            with pytest.raises(NormalizationError, match=f"are of resampling '{table}', the pixels of '{resampling}'"):
                array.ben.normalize(stats=band_statistics("v2", table))  # type: ignore[arg-type]
    mine = dict.fromkeys(NAMES, (0.0, 1.0))
    np.testing.assert_array_equal(ds.s2.ben.normalize(stats=mine), ds.s2)


def test_bands_of_10_m_have_statistics_however_others_are_resampled(path: Path) -> None:
    ds = bex.open(path, resampling="bilinear")
    for array in (ds.s1, ds.ben.image(["B04", "VV"])):
        assert np.isfinite(array.ben.normalize()).all()
    np.testing.assert_array_equal(ds.s1.ben.normalize(), bex.open(path).s1.ben.normalize())


def test_statistics_of_another_size_or_resampling_are_refused(image: xr.DataArray) -> None:
    with pytest.raises(NormalizationError, match="are of patches of 60 pixels, the pixels of patches of 120; leave"):
        image.ben.normalize(stats=band_statistics("v2", "nearest", 60))
    with pytest.raises(NormalizationError, match="'bilinear_align_corners', the pixels of 'nearest'; leave stats out"):
        image.ben.normalize(stats=band_statistics("v2", "bilinear_align_corners"))
    for table in ("none", "nearest"):
        result = image.ben.normalize(stats=band_statistics("v2", table))
        xr.testing.assert_identical(result, image.ben.normalize())


def test_pixels_of_unknown_origin_need_statistics(image: xr.DataArray) -> None:
    np.testing.assert_array_equal(image.drop_attrs().ben.normalize(), image.ben.normalize())  # ids tell the release
    unknown = image.drop_attrs().assign_coords(patch=np.arange(PAIRS))
    with pytest.raises(NormalizationError, match=r"the release of these pixels is not known.*stats=band_statistics"):
        unknown.ben.normalize()
    np.testing.assert_array_equal(unknown.ben.normalize(stats=band_statistics("v2", "nearest")), image.ben.normalize())
    shifted = image.drop_attrs().roll(x=1)  # coarse pixels repeat no more as they would
    with pytest.raises(NormalizationError, match="nothing says how they were brought to 10 m"):
        shifted.ben.normalize()
    assert shifted.sel(band=["B04"]).ben.normalize().shape == (PAIRS, 1, 120, 120)  # is at 10 m as stored


def test_nothing_is_normalised_twice(image: xr.DataArray) -> None:
    with pytest.raises(NormalizationError, match=r"normalised before: .*standardize.*; normalise pixels as they were"):
        image.ben.normalize().isel(patch=[0]).ben.normalize("minmax")


def test_backscatter_has_no_reflectance(image: xr.DataArray) -> None:
    with pytest.raises(BandError, match=r"VV is backscatter in dB and has no reflectance; take .*, or use 'standard"):
        image.ben.normalize("reflectance")


@pytest.mark.parametrize(
    ("method", "stats", "message"),
    [
        ("zscore", None, "unknown method 'zscore'; expected one of standardize, minmax, reflectance"),
        ("reflectance", {"B04": (0, 1)}, "reflectance needs no statistics"),
        ("minmax", band_statistics("v2", "nearest"), "minmax takes no BandStatistics"),
        ("minmax", {"B04": (1, 1)}, r"limits of B04 are not \(low, high\) with low < high"),
        ("standardize", {"B4": (0, 1)}, "stats lack B04, and hold B4; give two for every band; did you mean 'B4'"),
        ("standardize", {}, "stats lack B04, and hold nothing"),
        ("standardize", {"B04": (0, 0)}, "the standard deviation of B04 is not above 0"),
        ("standardize", {"B04": (0, np.nan)}, "stats of B04 are not two finite numbers"),
        ("standardize", {"B04": (0, 1, 2)}, "stats of B04 are not two finite numbers"),
    ],
)
def test_impossible_scales_are_refused(image: xr.DataArray, method: Any, stats: Any, message: str) -> None:
    with pytest.raises(NormalizationError, match=message):
        image.sel(band=["B04"]).ben.normalize(method, stats)


def test_bands_have_to_be_named(ds: xr.Dataset) -> None:
    with pytest.raises(BandError, match=r"names its bands by no coordinate, expected one of band, .*; take"):
        ds.reference_map.ben.normalize()
    chosen = ds.sel(band="B04", polarization="VV").s1
    with pytest.raises(BandError, match="names its bands by band and polarization, expected one"):
        chosen.ben.normalize()
    assert ds.sel(band="B04").s1.ben.normalize().sizes["polarization"] == 2


# ---- augment -------------------------------------------------------------------------------------------------------


def test_parameters_replay_what_was_done(corner: xr.DataArray) -> None:
    augmented, drawn = corner.ben.augment(seed=7, **EVERYTHING, return_parameters=True)
    xr.testing.assert_identical(corner.ben.augment(parameters=drawn), augmented)
    some = {"patch": [4, 0], "band": [3, 1]}
    again, taken = corner.isel(some).ben.augment(parameters=drawn, return_parameters=True)
    xr.testing.assert_identical(again, augmented.isel(some))
    np.testing.assert_array_equal(taken.rows, corner.row[[4, 0]])


def test_a_map_turns_with_its_image(ds: xr.Dataset) -> None:
    both = ds.assign(s2=ds.s2 * 0 + ds.reference_map)
    augmented, drawn = both.s2.transpose("patch", "band", "y", "x").ben.augment(seed=3, return_parameters=True)
    for turned in (ds.reference_map.ben.augment(seed=3), ds.reference_map.ben.augment(parameters=drawn)):
        assert turned.dtype == np.uint16
        np.testing.assert_array_equal(turned, augmented.isel(band=0))
    alone = ds.reference_map.isel(patch=2)
    np.testing.assert_array_equal(alone.ben.augment(seed=3, gain=(2, 2)), augmented.isel(band=0, patch=2))


def test_a_seed_or_parameters_are_needed(image: xr.DataArray) -> None:
    drawn = image.ben.augment(seed=0, return_parameters=True)[1]
    for options in ({}, {"seed": 0, "parameters": drawn}):
        with pytest.raises(AugmentationError, match=r"give either a seed, as in augment\(seed=0\), or the"):
            image.ben.augment(**options)
    for options in ({"epoch": 1}, {"noise_std": 1.0}):
        with pytest.raises(AugmentationError, match="parameters say how each patch varies; leave out epoch, flips"):
            image.ben.augment(parameters=drawn, **options)


def test_patches_have_to_be_known_and_whole(image: xr.DataArray) -> None:
    with pytest.raises(AugmentationError, match=r"no coordinate 'row', .*assign_coords\(row=\('patch', numbers\)\)"):
        image.drop_vars("row").ben.augment(seed=0)
    with pytest.raises(AugmentationError, match="the dimensions are patch, band, y, expected patch, band, y, x"):
        image.isel(x=0).ben.augment(seed=0)
    with pytest.raises(AugmentationError, match="the dimensions are time, patch, band, y, x, expected"):
        image.expand_dims("time").ben.augment(seed=0)
    with pytest.raises(AugmentationError, match="patches are 120 × 60 pixels"):
        image.isel(x=slice(60)).ben.augment(seed=0)


# ---- where pixels come from ----------------------------------------------------------------------------------------


def test_computed_pixels_are_no_stored_ones(ds: xr.Dataset) -> None:
    for computed in (ds.s2.ben.normalize(), ds.s2.ben.augment(seed=0)):
        assert own_rows(computed) is None


def test_shuffled_masked_and_concatenated_arrays_are_normalised_as_they_are(ds: xr.Dataset) -> None:
    image = ds.ben.image(SOME)
    expected = exact(image)
    order = [3, 0, 5]
    np.testing.assert_allclose(image.isel(patch=order).ben.normalize(), expected[order], rtol=1e-5, atol=1e-6)
    masked = image.where(abs(image) > 5)
    np.testing.assert_allclose(masked.ben.normalize(), expected.where(abs(image) > 5), rtol=1e-5, atol=1e-6)
    twice = xr.concat([image[:2], image[4:]], dim="patch")
    np.testing.assert_allclose(twice.ben.normalize(), expected[[0, 1, 4, 5]], rtol=1e-5, atol=1e-6)
    assigned = ds.assign(s2=ds.s2 + 1).ben.image(["B04"]).ben.normalize(stats=band_statistics("v2", "nearest"))
    np.testing.assert_allclose(assigned, exact(image[:, :1] + 1), rtol=1e-5, atol=1e-6)


def test_statistics_of_one_release_are_refused_to_patches_of_the_other(tmp_path: Path) -> None:
    stores = [
        bex.testing.write_store(tmp_path / f"{version}.zarr", pairs=2, version=version) for version in ("v1", "v2")
    ]
    images = [bex.open(store).ben.image(["B04"]) for store in stores]
    both = xr.concat([each.drop_vars("has_reference_map", errors="ignore") for each in images], "patch")
    with pytest.raises(
        NormalizationError, match=r"patches of v1 and v2, but the array's attributes say v1.*each alone"
    ):
        both.ben.normalize()


def test_statistics_of_digital_numbers_are_refused_to_reflectances(store: Path) -> None:
    reflectance = bex.open(store).ben.image(["B04"]).compute() / 10_000
    with pytest.raises(NormalizationError, match=r"Sentinel-2 pixels have fractions.*stats="):
        reflectance.ben.normalize()
