"""Dask arrays know of which rows of which store their pixels are, and never claim pixels that they are not."""

import pickle
from collections.abc import Callable
from pathlib import Path

import cloudpickle  # type: ignore[import-untyped]  # it has none
import numpy as np
import pytest
import xarray as xr
from openings import OPENERS, ORDER, Opener, is_known

import bigearth_xr as bex
from bigearth_xr.backend.origin import own_rows
from bigearth_xr.testing import count_reads

Change = Callable[[xr.Dataset], xr.DataArray]

KEEPING: dict[str, tuple[Change, list[int]]] = {
    "as opened": (lambda ds: ds.s2, list(range(12))),
    "reversed": (lambda ds: ds.s2.isel(patch=slice(None, None, -1)), list(range(11, -1, -1))),
    "shuffled": (lambda ds: ds.s2.isel(patch=ORDER), ORDER),
    "masked": (lambda ds: ds.s2.isel(patch=np.arange(12) % 5 == 1), [1, 6, 11]),
    "one patch": (lambda ds: ds.s2.isel(patch=[4]), [4]),
    "by id": (lambda ds: ds.sel(patch=ds.patch.values[[9, 3]]).s2, [9, 3]),
    "sorted": (lambda ds: ds.sortby("row", ascending=False).s2, list(range(11, -1, -1))),
    "step by step": (lambda ds: ds.s2[2:][::-1][[0, 3]][1:], [8]),
    "bands": (lambda ds: ds.s2.sel(band=["B8A", "B01", "B04"]), list(range(12))),
    "whole window": (lambda ds: ds.s2.isel(y=slice(None), x=slice(0, 120)), list(range(12))),
    "assigned": (lambda ds: ds.assign(s2=ds.s2, other=ds.row + 1).s2, list(range(12))),
    "renamed": (lambda ds: ds.rename(s2="image", band="channel").image, list(range(12))),
    "dropped": (lambda ds: ds.drop_vars(["row", "s1"]).s2, list(range(12))),
    "head and tail": (lambda ds: ds.head(patch=5).tail(patch=2).s2, [3, 4]),
}
"""Changes that keep pixels as they are in the store, and the rows that they leave."""

COPYING: dict[str, Callable[[xr.Dataset], xr.Dataset]] = {
    "copy": lambda ds: ds.copy(),
    "deep copy": lambda ds: ds.copy(deep=True),
    "pickle": lambda ds: pickle.loads(pickle.dumps(ds)),
    "cloudpickle": lambda ds: cloudpickle.loads(cloudpickle.dumps(ds)),
}

LOSING: dict[str, Change] = {
    "plus one": lambda ds: (ds + 1).s2,
    "plus nothing": lambda ds: ds.s2 + 0,
    "where": lambda ds: ds.s2.where(ds.s2 > 100, 0),
    "where by patch": lambda ds: ds.s2.where(ds.row < 5),
    "clipped": lambda ds: ds.s2.clip(max=4000),
    "as float": lambda ds: ds.s2.astype("float32"),
    "assigned from computed": lambda ds: ds.assign(s2=ds.s2 // 2).s2,
    "rolled": lambda ds: ds.s2.roll(x=3),
    "shifted": lambda ds: ds.s2.shift(patch=1, fill_value=0),
    "padded": lambda ds: ds.s2.pad(patch=1, constant_values=0),
    "cropped": lambda ds: ds.s2.isel(x=slice(60)),
    "turned over": lambda ds: ds.s2.isel(y=slice(None, None, -1)),
    "pixels repeated": lambda ds: ds.s2.isel(x=[0] * 120),
    "transposed": lambda ds: ds.s2.transpose("band", "patch", "x", "y"),
    "turned": lambda ds: ds.s2.transpose("patch", "band", "x", "y"),
    "one band": lambda ds: ds.s2.isel(band=0),
    "one patch": lambda ds: ds.s2.isel(patch=0),
    "no band": lambda ds: ds.s2.isel(band=[]),
    "a mean": lambda ds: ds.s2.mean("patch"),
    "a new axis": lambda ds: ds.s2.expand_dims("time"),
    "points": lambda ds: ds.s2.isel(patch=xr.DataArray([1, 2], dims="p"), band=xr.DataArray([1, 2], dims="p")),
    "reindexed": lambda ds: ds.s2.reset_coords(drop=True).reindex(patch=["nobody", *ds.patch.values[:2]], fill_value=0),
    "scaled on decoding": lambda ds: xr.decode_cf(ds.assign(s2=ds.s2.assign_attrs(scale_factor=0.5))).s2,
    "masked on decoding": lambda ds: xr.decode_cf(ds.assign(s2=ds.s1.assign_attrs(_FillValue=np.float32(-30)))).s2,
    "loaded": lambda ds: ds.s2.load(),
    "not of a store": lambda ds: xr.zeros_like(ds.s2),
}
"""Changes after which the pixels, or their places, are others than in the store."""


@pytest.mark.parametrize("opening", ["no chunks", "bex.open"])
@pytest.mark.parametrize("change", KEEPING)
def test_indexed_arrays_know_their_rows(twelve: Path, opening: str, change: str) -> None:
    keep, rows = KEEPING[change]
    array = keep(OPENERS[opening](twelve))
    own = own_rows(array)
    assert own is not None
    store, found, bands = own
    assert store.location.local == twelve
    assert found.tolist() == rows
    assert list(bands) == array[array.dims[1]].values.tolist()
    assert is_known(array)


@pytest.mark.parametrize("change", KEEPING)
def test_indexed_stock_dask_arrays_are_never_taken_for_other_rows(twelve: Path, change: str) -> None:
    is_known(KEEPING[change][0](OPENERS["chunks={}"](twelve)))


@pytest.mark.parametrize("copying", COPYING)
def test_copies_know_their_rows(opener: Opener, twelve: Path, copying: str) -> None:
    copied = COPYING[copying](opener(twelve))
    assert is_known(copied.s2)
    assert is_known(copied.s1)


@pytest.mark.parametrize("copying", COPYING)
@pytest.mark.parametrize("opening", ["no chunks", "bex.open"])
def test_copies_of_a_selection_know_their_rows(twelve: Path, opening: str, copying: str) -> None:
    chosen = OPENERS[opening](twelve).isel(patch=ORDER, band=[4, 0])
    own = own_rows(COPYING[copying](chosen).s2)
    assert own is not None
    assert own[1].tolist() == ORDER
    assert own[2] == ("B05", "B01")


@pytest.mark.parametrize("opening", ["no chunks", "bex.open"])
def test_chunked_anew_an_array_knows_its_rows(twelve: Path, opening: str) -> None:
    chunked = OPENERS[opening](twelve).isel(patch=ORDER).chunk(patch=2, band=5, y=50)
    assert chunked.s2.chunks == ((2, 2, 1), (5, 5, 2), (50, 50, 20), (120,))
    assert is_known(chunked.s2)
    # What `chunk` makes of an array without Dask is stock Dask.
    assert is_known(chunked.chunk(patch=-1).s2[::-1]) or opening == "no chunks"


@pytest.mark.parametrize("change", LOSING)
def test_changed_arrays_know_no_rows(opener: Opener, twelve: Path, change: str) -> None:
    assert own_rows(LOSING[change](opener(twelve))) is None


@pytest.mark.parametrize("change", LOSING)
def test_changed_arrays_hold_what_they_hold_on_numpy(twelve: Path, loaded: xr.Dataset, change: str) -> None:
    changed, expected = LOSING[change](bex.open(twelve)), LOSING[change](loaded.copy())
    np.testing.assert_array_equal(changed, expected)


@pytest.mark.parametrize("opening", ["chunks={}", "bex.open"])
def test_persisted_pixels_are_read_once(twelve: Path, loaded: xr.Dataset, opening: str) -> None:
    persisted = OPENERS[opening](twelve).s2.isel(patch=[3, 8]).persist()
    with count_reads() as reads:
        np.testing.assert_array_equal(persisted[::-1], loaded.s2[[8, 3]])
        is_known(persisted)
    assert reads == {}


def test_two_stores_concatenated_are_not_taken_for_one(opener: Opener, twelve: Path, other_twelve: Path) -> None:
    first, second = opener(twelve), opener(other_twelve)
    assert own_rows(xr.concat([first.s2, second.s2], "patch")) is None
    assert own_rows(xr.concat([first, second], "patch").s1) is None


def test_parts_of_one_store_concatenated_are_never_taken_for_other_rows(opener: Opener, twelve: Path) -> None:
    s2 = opener(twelve).s2
    is_known(xr.concat([s2[6:], s2[:2]], "patch"))
    is_known(xr.concat([s2[:, 6:], s2[:, :2]], "band"))


def test_pixels_assigned_from_another_store_are_that_stores(opener: Opener, twelve: Path, other_twelve: Path) -> None:
    mixed = opener(twelve).assign(s2=opener(other_twelve).s2.variable)
    own = own_rows(mixed.s2)
    assert own is not None
    assert own[0].location.local == other_twelve
    assert is_known(mixed.s2)
    assert is_known(mixed.s1)


def test_native_arrays_of_the_tree_know_their_rows(twelve: Path) -> None:
    tree = xr.open_datatree(twelve, engine="bigearth").to_dataset()
    own = own_rows(tree["s2_20m"].isel(patch=[4, 2], band_20m=[3]))
    assert own is not None
    assert (own[1].tolist(), own[2]) == ([4, 2], ("B8A",))


# ---- written to in place -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "follow",
    {
        "itself": lambda s2: s2,
        "indexed": lambda s2: s2[:4, 3:5],
        "chunked": lambda s2: s2.chunk(patch=5),
        "copied": lambda s2: s2.copy(deep=True),
        "pickled": lambda s2: pickle.loads(pickle.dumps(s2)),
    }.values(),
)
def test_an_array_written_to_holds_what_was_written(
    opener: Opener, twelve: Path, loaded: xr.Dataset, follow: Callable[[xr.DataArray], xr.DataArray]
) -> None:
    written, expected = opener(twelve).s2, loaded.s2.copy()
    for array in (written, expected):
        array[2] = 7
        array[0, 3:] = 1
    assert own_rows(written) is None
    np.testing.assert_array_equal(follow(written), follow(expected))


def test_an_array_written_to_by_a_ufunc_holds_its_result(twelve: Path, loaded: xr.Dataset) -> None:
    ds = bex.open(twelve)
    np.add(ds.s1.data, 1, out=ds.s1.data)
    assert own_rows(ds.s1) is None
    np.testing.assert_array_equal(ds.s1[3:5], loaded.s1[3:5] + 1)
