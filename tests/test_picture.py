"""Pictures: three bands of every patch, stretched as they say, whatever holds the pixels."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray
from openings import OPENERS, Opener

import bigearth_xr as bex
from bigearth_xr.bands import COMPOSITES
from bigearth_xr.errors import BandError, NormalizationError
from bigearth_xr.testing import count_reads
from bigearth_xr.thumbnails import color_optical

matplotlib.use("Agg")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 5 synthetic pairs."""
    return bex.testing.write_store(tmp_path_factory.mktemp("small") / "ben.zarr", pairs=5)


def by_hand(ds: xr.Dataset, bands: tuple[str, ...], low: float | None = None, high: float = 1) -> NDArray[np.float64]:
    """Brightness of every pixel, in float64; without limits each patch by its percentiles."""
    pictures = []
    for pixels in ds.s2.sel(band=list(bands)).values.astype(np.float64) / 10_000:
        black, white = np.percentile(pixels, [1, 99]) if low is None else (low, high)
        pictures.append(((pixels - black) / max(white - black, 0.06)).clip(0, 1) ** 0.75)
    return np.array(pictures)


@pytest.mark.parametrize("opener", OPENERS.values(), ids=OPENERS)
@pytest.mark.parametrize("name", COMPOSITES)
def test_bands_are_stretched_as_is_said(opener: Opener, small: Path, name: str) -> None:
    ds = opener(small)
    bands = COMPOSITES[name].bands
    picture = ds.ben.rgb(name)
    assert (picture.dims, picture.dtype) == (("patch", "band", "y", "x"), np.uint8)
    assert picture.band.values.tolist() == list(bands)
    assert np.abs(picture.values - by_hand(ds, bands) * 255).max() <= 0.51
    floats = ds.ben.rgb(name, dtype="float32", stretch=(0.01, 0.5))
    np.testing.assert_allclose(floats, by_hand(ds, bands, 0.01, 0.5), atol=1e-5)
    assert f"red, green, blue = {', '.join(bands)}; reflectance, black to white: 0.01" in floats.attrs["history"]


def test_it_is_the_picture_of_the_report(small: Path) -> None:
    ds = bex.open(small)
    for patch, picture in zip(ds.s2, ds.ben.rgb(), strict=True):
        drawn = color_optical(patch.sel(band=["B04", "B03", "B02"]).values)
        assert np.abs(drawn.astype(int) - picture.transpose("y", "x", "band").values).max() <= 1


def test_a_composite_stands_for_its_bands(small: Path) -> None:
    ds = bex.open(small)
    xr.testing.assert_identical(ds.ben.image("rgb"), ds.ben.image(["B04", "B03", "B02"]))
    xr.testing.assert_identical(ds.ben.image("RGB"), ds.ben.image("rgb"))
    with pytest.raises(BandError, match=r"unknown composite 'rbg'; expected one of rgb, infrared, .*mean 'rgb'"):
        ds.ben.image("rbg")
    with pytest.raises(BandError, match=r"got the one string 'B04'; write \['B04'\]"):
        ds.ben.image("B04")


def test_one_patch_and_an_image_are_drawn_alike(small: Path) -> None:
    ds = bex.open(small)
    drawn = ds.ben.rgb().isel(patch=3)
    for one in (
        ds.isel(patch=3).ben.rgb(),
        ds.ben.image(["VV", "B02", "B04", "B03"]).isel(patch=3).ben.rgb(),
        ds.ben.patch(ds.patch.values[3]).ben.rgb(),
        ds.s2.ben.normalize("reflectance").isel(patch=3).ben.rgb(),
        (ds.s2 / 10_000).isel(patch=3).ben.rgb(units="reflectance"),
    ):
        assert one.dims == ("band", "y", "x")
        assert np.abs(one.values.astype(int) - drawn.values).max() <= 1
    assert ds.ben.patch(ds.patch.values[3]).ben.rgb().attrs["long_name"] == ("B04", "B03", "B02")


def test_nothing_is_read_before_it_is_shown(small: Path) -> None:
    with count_reads() as reads:
        picture = bex.open(small).ben.rgb()
    assert not reads
    with count_reads() as reads:
        picture.isel(patch=[2]).compute()
    assert reads["s2_10m"] <= 5  # one chunk


def test_xarray_plots_one_and_many(small: Path, tmp_path: Path) -> None:
    import matplotlib.pyplot as plt

    ds = bex.open(small)
    shown = ds.ben.patch(ds.patch.values[0]).ben.rgb().plot.imshow(rgb="band")
    expected = ds.ben.rgb().isel(patch=0).transpose("y", "x", "band")
    np.testing.assert_array_equal(np.ma.getdata(shown.get_array())[..., :3], expected)
    west, east, south, north = shown.get_extent()
    assert (west, east) == (ds.ulx[0].item(), ds.ulx[0].item() + 1200)
    assert {south, north} == {ds.uly[0].item() - 1200, ds.uly[0].item()}
    grid = ds.ben.rgb().plot.imshow(rgb="band", col="patch", col_wrap=3)
    assert sum(bool(ax.images) for ax in grid.axs.flat) == 5
    plt.close("all")


def test_what_is_not_finite_is_black_and_calm_water_is_calm() -> None:
    pixels = np.full((1, 3, 120, 120), 0.02, np.float32)
    pixels[0, :, 0, 0], pixels[0, :, 5, 5] = np.nan, 0.0201
    coords = {"band": ["B04", "B03", "B02"]}
    water = xr.DataArray(pixels, coords, ["patch", "band", "y", "x"])
    drawn = water.ben.rgb(units="reflectance")
    assert (drawn[0, :, 0, 0] == 0).all()
    assert drawn.max() < 10
    blank = xr.full_like(water, np.nan).ben.rgb(units="reflectance")
    assert (blank == 0).all()


@pytest.mark.parametrize(
    ("options", "error", "problem"),
    [
        (
            {"composite": "false"},
            BandError,
            "unknown composite 'false'; expected one of rgb, infrared, agri",
        ),
        ({"composite": 3}, BandError, "unknown composite 3; expected one of rgb"),
        (
            {"stretch": "pach"},
            NormalizationError,
            r"'pach'; expected one of patch, \(low, high\); .*'patch'",
        ),
        *(
            (
                {"stretch": given},
                NormalizationError,
                r"stretch is .*'patch', or two reflectances \(low, high\)",
            )
            for given in (3, (1, 0), (0, np.inf), ("a", 1), (0, 0.1, 0.2))
        ),
        ({"dtype": "uint16"}, NormalizationError, "unknown dtype 'uint16'; expected one of uint8, float32; .*'uint8'"),
        ({"gamma": 0}, NormalizationError, "gamma is 0, expected a number above 0, e.g. 0.75"),
        ({"strech": 3}, TypeError, "rgb has no option 'strech'; it has composite, .*; did you mean 'stretch'"),
    ],
)
def test_what_is_none_is_told(small: Path, options: dict[str, Any], error: type[Exception], problem: str) -> None:
    with pytest.raises(error, match=problem):
        bex.open(small).ben.rgb(**options)


def test_bands_and_reflectances_are_needed(small: Path) -> None:
    ds = bex.open(small)
    with pytest.raises(NormalizationError, match="normalised by 'standardize', and a picture is of pixels as stored"):
        ds.s2.ben.normalize().ben.rgb()
    with pytest.raises(BandError, match=r"rgb shows B04, B03, B02, and this array has VV, VH; .*ds.ben.rgb\('rgb'\)"):
        ds.s1.ben.rgb()
    with pytest.raises(NormalizationError, match="have fractions"):
        (ds / 10_000.0).ben.rgb().compute()
