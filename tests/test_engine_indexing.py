"""Indexing an opened store gives the pixels asked for, in their order, and reads no others."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray
from openings import CHUNKED_OPENERS, KNOWING, OPENERS, Opener, of_patches

from bigearth_xr.backend import pixels
from bigearth_xr.bands import S2_BANDS
from bigearth_xr.store.open import Store
from bigearth_xr.store.read import each_patch
from bigearth_xr.store.schema import PixelArray
from bigearth_xr.testing import count_reads

MANY = 300
SCATTERED = [7, 150, 290]


# ---- how much is read ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("opening", "patches"), [("no chunks", 3), ("bex.open", 3), ("7 patches", 3 * 7), ("chunks={}", 128 + 128 + 44)]
)
def test_three_scattered_patches_of_a_band_read(many: Path, opening: str, patches: int) -> None:
    ds = CHUNKED_OPENERS[opening](many)
    with count_reads() as reads:
        values = ds.s2.sel(band="B04").isel(patch=SCATTERED).values
    assert reads == {"s2_10m": patches}
    np.testing.assert_array_equal(values, of_patches(ds.patch[SCATTERED], ["B04"])[:, 0])


@pytest.mark.parametrize("opening", KNOWING)
@pytest.mark.parametrize(
    "choose",
    {
        "by id": lambda ds: ds.sel(patch=ds.patch.values[SCATTERED]),
        "by mask": lambda ds: ds.isel(patch=np.isin(np.arange(MANY), SCATTERED)),
        "in other order": lambda ds: ds.isel(patch=SCATTERED).sortby("lat", ascending=False),
        "step by step": lambda ds: (
            ds.isel(patch=slice(5, None)).isel(patch=[285, 2, 145]).isel(patch=slice(-1, None, -1))
        ),
        "of the whole": lambda ds: ds.isel(patch=SCATTERED),
    }.values(),
)
def test_k_patches_read_k_of_each_array(many: Path, opening: str, choose: Callable[[xr.Dataset], xr.Dataset]) -> None:
    chosen = choose(OPENERS[opening](many))
    with count_reads() as reads:
        chosen.load()
    k = chosen.sizes["patch"]
    assert reads == {"s2_10m": k, "s2_20m": k, "s2_60m": k, "s1": k, "reference_map": k}


@pytest.mark.parametrize(
    ("bands", "arrays"),
    [
        (["B02", "B08"], {"s2_10m"}),
        (["B8A"], {"s2_20m"}),
        (["B09", "B01"], {"s2_60m"}),
        (["B12", "B02"], {"s2_20m", "s2_10m"}),
        (["B01", "B02", "B05"], {"s2_60m", "s2_10m", "s2_20m"}),
    ],
)
@pytest.mark.parametrize("opening", KNOWING)
def test_only_arrays_of_the_bands_asked_for_are_read(
    opening: str, store: Path, bands: list[str], arrays: set[str]
) -> None:
    ds = OPENERS[opening](store)
    with count_reads() as reads:
        values = ds.s2.sel(band=bands).isel(patch=[3, 20]).values
    assert reads == dict.fromkeys(arrays, 2)
    np.testing.assert_array_equal(values, of_patches(ds.patch[[3, 20]], bands))


def test_nothing_is_read_twice_without_dask(store: Path) -> None:
    ds = OPENERS["no chunks"](store)
    ds.s1.load()
    with count_reads() as reads:
        ds.s1.mean()
    assert reads == {}


@pytest.mark.parametrize(
    ("opening", "window"),
    [
        ("no chunks", {}),
        ("no chunks", {"y": slice(5, 9), "x": slice(None, None, 40)}),
        ("no chunks", {"y": [3, 0], "x": 7}),
        ("bex.open", {}),
        ("bex.open", {"y": slice(5, 9), "x": slice(None, None, 40)}),
        ("bex.open", {"y": [3, 0], "x": 7}),
    ],
)
def test_outer_indexing_is_one_gather(
    opening: str, window: dict[str, Any], store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathers: list[tuple[str, list[int]]] = []

    def note(store: Store, array: PixelArray, rows: NDArray[np.intp], put: Callable[[int, NDArray[Any]], None]) -> None:
        gathers.append((array.name, rows.tolist()))
        each_patch(store, array, rows, put)

    ds = OPENERS[opening](store)
    chosen = ds.s2.isel(patch=[9, 1, 4, 9], band=[3, 1, 2], **window)
    monkeypatch.setattr(pixels, "each_patch", note)
    with count_reads() as reads:
        values = chosen.values
    assert gathers == [("s2_10m", [9, 1, 4, 9])]
    assert reads == {"s2_10m": 3}
    expected = of_patches(ds.patch[[9, 1, 4, 9]], ["B04", "B02", "B03"])
    y, x = window.get("y", slice(None)), window.get("x", slice(None))
    np.testing.assert_array_equal(values, expected[:, :, y][..., x])


# ---- indexing ------------------------------------------------------------------------------------------------------


def test_pixels_are_cropped_by_y_and_x(any_opener: Opener, store: Path) -> None:
    ds = any_opener(store)
    window = ds.sel(y=slice(-300, -500), x=slice(20, 40)).isel(patch=[2])
    whole = of_patches(ds.patch[[2]], ["B01", "B02"])
    np.testing.assert_array_equal(window.s2.sel(band=["B01", "B02"]), whole[:, :, 30:50, 2:4])
    assert window.s1.shape == (1, 2, 20, 2)


def test_pixels_are_taken_in_any_order_along_any_dimension(any_opener: Opener, store: Path) -> None:
    ds = any_opener(store)
    some = ds.s1.isel(patch=[7, 2], polarization=[1, 0], y=[5, 3, 119], x=slice(None, None, -7))
    whole = of_patches(ds.patch[[7, 2]], ["VH", "VV"])
    np.testing.assert_array_equal(some, whole[:, :, [5, 3, 119], ::-7])
    np.testing.assert_array_equal(ds.s1.isel(y=[5, 3])[7, :, 1], whole[0, ::-1, 3])


def test_points_are_taken_pairwise(any_opener: Opener, store: Path) -> None:
    ds = any_opener(store)
    point = {"patch": [1, 8], "y": [3, 119], "x": [0, 60]}
    found = ds.s2.isel({dim: xr.DataArray(places, dims="point") for dim, places in point.items()})
    whole = of_patches(ds.patch[[1, 8]], [b.name for b in S2_BANDS])
    np.testing.assert_array_equal(found.transpose("point", "band"), whole[[0, 1], :, [3, 119], [0, 60]])


@pytest.mark.parametrize("dim", ["patch", "band", "y"])
def test_nothing_selected_is_an_empty_array(any_opener: Opener, store: Path, dim: str) -> None:
    ds = any_opener(store)
    nothings: list[Any] = [slice(0, 0), []]
    for nothing in nothings:
        found = ds.s2.isel({dim: nothing})
        assert found.values.shape == tuple(0 if name == dim else n for name, n in ds.s2.sizes.items())
        assert found.values.dtype == "uint16"
    assert ds.s1.isel(polarization=[]).values.dtype == "float32"


def test_a_band_asked_for_twice_comes_twice(any_opener: Opener, store: Path) -> None:
    ds = any_opener(store)
    bands = ["B05", "B04", "B05"]
    np.testing.assert_array_equal(ds.s2.sel(band=bands)[[3, 3]], of_patches(ds.patch[[3, 3]], bands))
