"""One patch with its place: as GeoTIFF it is what the archive's files are, and it is found by either of its names."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rioxarray  # noqa: F401  registers `.rio`
import xarray as xr
from openings import OPENERS, Opener

import bigearth_xr as bex
from bigearth_xr.bands import BANDS, band
from bigearth_xr.errors import BandError, SelectionError
from bigearth_xr.testing import count_reads, formula_pixels

# Of the affine that rioxarray multiplies.
pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")

FOUR_BANDS = ["B02", "B03", "B04", "B08", "VV", "VH"]
REAL: dict[str, tuple[int, dict[str, Any]]] = {
    "v1": (26, {}),
    "v2/reconstructed": (24, {}),
    "v2/partial_bands": (40, {"bands": FOUR_BANDS, "metadata": "v2"}),
}


@pytest.fixture(scope="module", params=REAL)
def real(request: pytest.FixtureRequest, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of real pairs, 90 in all, and a store of it."""
    pairs, options = REAL[request.param]
    metadata = {"metadata": shared / "data" / options["metadata"]} if "metadata" in options else {}
    root, store = shared / "data" / request.param, tmp_path_factory.mktemp("real") / "ben.zarr"
    assert bex.ingest(root, store, **options | metadata).stored == pairs
    return root, store


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 6 synthetic pairs."""
    return bex.testing.write_store(tmp_path_factory.mktemp("small") / "ben.zarr", pairs=6)


def as_files(one: xr.DataArray, path: Path) -> Iterator[tuple[str, Any, Any]]:
    """Name of each band in a GeoTIFF of a patch, its pixels, and where they lie."""
    one.rio.to_raster(path)
    with rasterio.open(path) as file:
        assert file.count == one.sizes["band"]
        for number, name in enumerate(file.descriptions, start=1):
            yield name, file.read(number), (file.crs, file.transform)


def test_geotiffs_are_the_files_of_the_archive(real: tuple[Path, Path], tmp_path: Path) -> None:
    root, store = real
    ds, files = bex.open(store), {path.name: path for path in root.rglob("*.tif")}
    kinds: list[dict[str, Any]] = [{"bands": list(ds.polarization.values)}]
    kinds += [{"bands": [name for name in ds.band.values if band(name).res_m == 10]}]
    kinds += [{"res_m": res_m} for res_m in (20, 60) if (ds.native_res_m == res_m).any()]
    kinds += [{"bands": "reference_map"}] if "reference_map" in ds else []
    compared = 0
    some = ds.isel(patch=slice(None, None, 3))  # of 40 pairs at most: the others lie as these do
    for patch, s1_name in zip(some.patch.values, some.s1_name.values, strict=True):
        for kind in kinds:
            for name, pixels, place in as_files(ds.ben.patch(patch, **kind), tmp_path / "patch.tif"):
                stem = s1_name if name in ("VV", "VH") else patch
                with rasterio.open(files[f"{stem}_{name}.tif"]) as source:
                    assert place == (source.crs, source.transform)
                    expected = source.read(1)
                assert (pixels.dtype, pixels.tobytes()) == (expected.dtype, expected.tobytes())
                compared += 1
    assert compared == some.sizes["patch"] * (len(ds.band) + len(ds.polarization) + ("reference_map" in ds))


def test_pixels_are_at_their_centres_in_metres(small: Path) -> None:
    ds = bex.open(small)
    for res_m in (10, 20, 60):
        one = ds.ben.patch(ds.patch.values[2], res_m=res_m)
        size = 1200 // res_m
        np.testing.assert_array_equal(one.x, ds.ulx[2].item() + res_m * (np.arange(size) + 0.5))
        np.testing.assert_array_equal(one.y, ds.uly[2].item() - res_m * (np.arange(size) + 0.5))
        assert (one.x.attrs["units"], one.x.attrs["standard_name"]) == ("metre", "projection_x_coordinate")
        assert one.rio.crs.to_epsg() == ds.epsg[2].item()
        assert one.dims == ("band", "y", "x")
        assert one.attrs["long_name"] == tuple(one.band.values)


@pytest.mark.parametrize("opener", OPENERS.values(), ids=OPENERS)
def test_every_band_is_there_whatever_opened_the_store(opener: Opener, small: Path) -> None:
    ds = opener(small)
    patch = str(ds.patch.values[4])
    whole = ds.ben.patch(patch)
    assert whole.band.values.tolist() == [each.name for each in BANDS]
    for name in ("B02", "VH"):
        np.testing.assert_array_equal(whole.sel(band=name), formula_pixels(patch, name))
    np.testing.assert_array_equal(whole.sel(band="B09")[::6, ::6], formula_pixels(patch, "B09"))
    for alone in (
        ds.ben.patch(patch, res_m=60, bands=["B09"]),
        ds.ben.select(tile=ds.tile.values[4]).ben.patch(patch, res_m=60, bands=["B09"]),
    ):
        assert alone.dtype == np.uint16
        np.testing.assert_array_equal(alone[0], formula_pixels(patch, "B09"))
    xr.testing.assert_identical(ds.isel(patch=[4]).ben.patch().compute(), whole.compute())


@pytest.mark.parametrize("opener", [OPENERS["no chunks"], bex.open], ids=["no chunks", "bex.open"])
def test_a_dataset_of_one_patch_needs_no_id(opener: Opener, small: Path) -> None:
    one = opener(small).isel(patch=4)
    np.testing.assert_array_equal(one.ben.patch(res_m=60)[1], formula_pixels(str(one.patch.item()), "B09"))


def test_only_what_is_asked_for_is_read(small: Path) -> None:
    ds = bex.open(small)
    with count_reads() as reads:
        one = ds.ben.patch(ds.patch.values[1], res_m=20)
    assert not reads
    with count_reads() as reads:
        one.compute()
    assert reads == {"s2_20m": 1}


def test_a_part_of_a_patch_lies_where_it_is(small: Path) -> None:
    ds = bex.open(small)
    whole = ds.ben.patch(ds.patch.values[0], "rgb")
    part = ds.isel(y=slice(30, 60), x=slice(10, None)).ben.patch(ds.patch.values[0], "rgb")
    xr.testing.assert_identical(part.compute(), whole.isel(y=slice(30, 60), x=slice(10, None)).compute())
    coarse = whole.astype("float32").coarsen(x=2, y=2).mean()
    assert tuple(coarse.rio.transform())[:6] == (20, 0, ds.ulx[0].item(), 0, -20, ds.uly[0].item())


def test_a_patch_is_found_by_either_name(small: Path, tmp_path: Path) -> None:
    ds = bex.open(small)
    expected = ds.ben.patch(ds.patch.values[3], ["B04", "VV"]).compute()
    for found in (ds.s1_name.values[3], ds.patch[3], ds.patch.values[3]):
        xr.testing.assert_identical(ds.ben.patch(found, ["B04", "VV"]).compute(), expected)
    picked = ds.drop_indexes("patch")
    xr.testing.assert_identical(picked.ben.patch(ds.patch.values[3], ["B04", "VV"]).compute(), expected)


def test_unknown_ids_are_answered_with_the_nearest(small: Path) -> None:
    ds = bex.open(small)
    known, s1_name = str(ds.patch.values[3]), str(ds.s1_name.values[3])
    with pytest.raises(SelectionError, match=f"there is no patch '{known}0' in this Dataset; near it are .*{known}"):
        ds.ben.patch(f"{known}0")
    with pytest.raises(SelectionError, match=f"near it are .*{s1_name}"):
        ds.ben.patch(s1_name.replace("S1", "S3"))
    with pytest.raises(SelectionError, match="no patch 'moon' in this Dataset; an id looks like S2"):
        ds.ben.patch("moon")
    with pytest.raises(SelectionError, match=r"though row 3 of .* is; it was left out by a selection"):
        ds.isel(patch=[0, 1]).ben.patch(known)
    with pytest.raises(SelectionError, match=r"3 is not the id of a patch, .*ds.isel\(patch=\[3\]\).ben.patch\(\)"):
        ds.ben.patch(3)
    with pytest.raises(SelectionError, match=r"has 6 patches; say which: ds.ben.patch\(ds.patch\[0\]\)"):
        ds.ben.patch()
    with pytest.raises(SelectionError, match=f"there is no patch 'moon': the Dataset is of {known} alone"):
        ds.isel(patch=3).ben.patch("moon")
    with pytest.raises(SelectionError, match=r"is there 2 times, at 1, 2; take one by its place: .*patch=\[1\]"):
        ds.isel(patch=[0, 3, 3]).ben.patch(known)


def test_what_cannot_be_given_is_told(small: Path) -> None:
    ds = bex.open(small)
    patch = ds.patch.values[0]
    with pytest.raises(SelectionError, match="unknown res_m 30; expected one of 10, 20, 60"):
        ds.ben.patch(patch, res_m=30)
    with pytest.raises(BandError, match=r"B04 of 20 m is not in this Dataset, .* B05, .*B12; .*: res_m=10"):
        ds.ben.patch(patch, ["B04", "B05"], res_m=20)
    with pytest.raises(BandError, match="resampling='bilinear' brings bands to 10 m, and those of 60 m"):
        ds.ben.patch(patch, res_m=60, resampling="bilinear")
    with pytest.raises(BandError, match="bands of 20 m need pixels as stored, but these were computed"):
        ds.load().ben.patch(patch, res_m=20)
    with pytest.raises(BandError, match="no reference maps, which release v2 has"):
        ds.drop_vars("reference_map").ben.patch(patch, "reference_map")
    with pytest.raises(SelectionError, match="no coordinate 'ulx', which says where the patch is"):
        ds.drop_vars("ulx").ben.patch(patch)


def test_its_place_is_saved_with_it(small: Path, tmp_path: Path) -> None:
    ds = bex.open(small)
    one = ds.ben.patch(ds.patch.values[0], "rgb").compute()
    one.to_zarr(tmp_path / "patch.zarr", consolidated=False, zarr_format=2)
    again = xr.open_zarr(tmp_path / "patch.zarr", consolidated=False, decode_coords="all")["image"]
    assert again.rio.crs == one.rio.crs
    assert again.rio.transform() == one.rio.transform()
    assert [name for name, *_ in as_files(again, tmp_path / "patch.tif")] == ["B04", "B03", "B02"]


def test_rioxarray_is_not_needed(small: Path) -> None:
    code = (
        "import sys; sys.modules.update(rioxarray=None, rasterio=None); import bigearth_xr as bex; "
        f"ds = bex.open({str(small)!r}); one = ds.ben.patch(ds.patch.values[0]); print(one.spatial_ref.crs_wkt)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "UTM zone" in done.stdout, done.stderr
