"""What an opened store gives lies in memory in the order of its axes, and was copied no more than once."""

import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from openings import CHUNKED_OPENERS, OPENERS, Opener

import bigearth_xr as bex
from bigearth_xr.backend.pixels import SIZE_10M
from bigearth_xr.store.embeddings import create_embedding, write_vectors
from bigearth_xr.store.open import open_store

TREE = "tree"
SCATTERED = [7, 2, 11, 3]


def variables(opening: str, store: Path) -> xr.Dataset:
    """What a store holds, opened in one of the ways, or the root of its tree."""
    if opening == TREE:
        return xr.open_datatree(store, engine="bigearth").to_dataset()
    ds = OPENERS[opening](store)
    return ds.assign(image=ds.ben.image(["B8A", "VV", "B01", "B02", "VH"]).rename(band="image_band"))


def keys_of_axis(length: int) -> st.SearchStrategy[Any]:
    """Any key of one axis: integer, slice of any step, or integer vector in any order, with repeats."""
    places = st.integers(-length, length - 1)
    return st.one_of(st.slices(length), places, st.lists(places, max_size=5).map(lambda some: np.array(some, int)))


@pytest.mark.parametrize("opening", [*OPENERS, TREE])
@given(data=st.data())
@settings(max_examples=40, phases=[Phase.generate])
def test_any_key_gives_an_array_in_c_order(opened: dict[str, xr.Dataset], opening: str, data: st.DataObject) -> None:
    ds, expected = opened[opening], opened[f"{opening}, loaded"]
    name = data.draw(st.sampled_from(sorted(map(str, ds.data_vars))), label="variable")
    key = {dim: data.draw(keys_of_axis(n), label=str(dim)) for dim, n in ds[name].sizes.items()}
    values = ds[name].isel(key).values
    assert values.flags.c_contiguous
    assert values.dtype == ds[name].dtype
    np.testing.assert_array_equal(values, outer(expected[name].values, list(key.values())))


@pytest.mark.parametrize("opening", [*OPENERS, TREE])
@pytest.mark.parametrize("key", [slice(-1, 11, -1), slice(3, 3, -2), slice(2, 9, -1), slice(9, 2)])
def test_an_empty_slice_of_any_step_gives_nothing(opened: dict[str, xr.Dataset], opening: str, key: slice) -> None:
    for name, variable in opened[opening].data_vars.items():
        expected = np.empty((0, *opened[f"{opening}, loaded"][name].shape[1:]), variable.dtype)
        np.testing.assert_array_equal(variable.isel(patch=key).values, expected, err_msg=str(name))


@pytest.fixture(scope="module")
def opened(twelve: Path) -> dict[str, xr.Dataset]:
    """A store opened in each of the ways; and the same, read whole."""
    lazy = {opening: variables(opening, twelve) for opening in [*OPENERS, TREE]}
    return lazy | {f"{opening}, loaded": ds.copy().load() for opening, ds in lazy.items()}


def outer(values: Any, keys: Sequence[Any]) -> Any:
    """Index axis by axis, the last first, so that an axis dropped moves no other."""
    for axis in reversed(range(len(keys))):
        values = values[(slice(None),) * axis + (keys[axis],)]
    return values


@pytest.mark.parametrize("resampling", ["nearest", "bilinear", "bicubic"])
def test_resampled_bands_lie_in_c_order(any_opener: Opener, twelve: Path, resampling: str) -> None:
    values = any_opener(twelve, resampling=resampling).s2.isel(patch=SCATTERED, band=[11, 0, 3], y=[4, 1]).values
    assert values.strides == (3 * 2 * SIZE_10M * values.itemsize, 2 * SIZE_10M * values.itemsize,
                              SIZE_10M * values.itemsize, values.itemsize)  # fmt: skip


@pytest.mark.parametrize("opening", CHUNKED_OPENERS)
def test_points_and_turned_axes_lie_in_c_order(twelve: Path, opening: str) -> None:
    ds = CHUNKED_OPENERS[opening](twelve)
    point = {dim: xr.DataArray(places, dims="point") for dim, places in {"patch": [1, 8], "y": [3, 119]}.items()}
    assert ds.s2.isel(point).values.flags.c_contiguous
    assert ds.s1.transpose("x", "y", "patch", "polarization").isel(x=[3, 1]).values.flags.c_contiguous


def test_an_image_of_computed_values_lies_in_c_order(twelve: Path) -> None:
    ds = xr.open_dataset(twelve, engine="bigearth").isel(patch=SCATTERED).load()
    image = ds.ben.image(["B04", "VV", "B01"])
    assert image.values.flags.c_contiguous
    np.testing.assert_array_equal(image[:, 1], ds.s1.sel(polarization="VV"))


def test_vectors_lie_in_c_order(tmp_path: Path) -> None:
    store = open_store(bex.testing.write_store(tmp_path / "ben.zarr", pairs=3))
    write_vectors(
        create_embedding(store, "mine", features=4, provenance={}),
        np.arange(3),
        np.arange(12, dtype=np.float32).reshape(3, 4),
    )
    tree = xr.open_datatree(tmp_path / "ben.zarr", engine="bigearth")
    found = tree["embeddings/mine"].embedding.isel(patch=[2, 0], feature=[3, 1]).values
    assert found.tolist() == [[11, 9], [3, 1]]
    assert found.flags.c_contiguous


@pytest.mark.parametrize("patches", [slice(None), SCATTERED], ids=["all", "scattered"])
def test_a_mean_of_float32_is_as_exact_as_of_an_array_in_c_order(many: Path, patches: Any) -> None:
    s1 = xr.open_dataset(many, engine="bigearth").s1.isel(patch=patches)
    exact = s1.astype("float64").mean(["y", "x"])
    np.testing.assert_allclose(s1.mean(["y", "x"]), exact, rtol=3e-7)


@pytest.mark.parametrize("key", [{}, {"patch": list(range(299, -1, -1))}], ids=["all", "reversed"])
@pytest.mark.parametrize("name", ["s1", "s2", "reference_map"])
def test_reading_holds_the_result_and_a_patch(many: Path, name: str, key: dict[str, Any]) -> None:
    chosen = xr.open_dataset(many, engine="bigearth")[name].isel(key)
    chosen.isel(patch=[0]).load()  # indexes of shards, and what is imported on the way
    tracemalloc.start()
    try:
        values = chosen.variable.values
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < values.nbytes + 2**20
