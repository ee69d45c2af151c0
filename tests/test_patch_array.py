"""Dask arrays that know their store index as NumPy does, and are computed by every scheduler."""

import operator
import pickle
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from dask.base import tokenize
from distributed import Client, LocalCluster
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from openings import OPENERS, ORDER, Opener, is_known

import bigearth_xr as bex
from bigearth_xr.backend.patch_array import PatchArray, with_patch_arrays
from bigearth_xr.testing import count_reads

Pixels = NDArray[np.generic]


# ---- indexing is NumPy's -------------------------------------------------------------------------------------------


@st.composite
def keys_of_axis(draw: st.DrawFn, length: int, *, vectors: bool = True) -> Any:
    """Any key of one axis: integer, slice of any step, integer vector with repeats, or mask."""
    kinds: list[st.SearchStrategy[Any]] = [st.just(slice(None)), st.slices(length)]
    places = st.integers(-length, length - 1)
    if length:
        kinds.append(places)
    if vectors:
        several = st.lists(places, max_size=5) if length else st.just([])
        kinds.append(several.map(lambda chosen: np.array(chosen, dtype=int)))
        kinds.append(st.lists(st.booleans(), min_size=length, max_size=length).map(lambda m: np.array(m, dtype=bool)))
    return draw(st.one_of(kinds))


def outer(pixels: Pixels, keys: Sequence[Any]) -> Pixels:
    """Index axis by axis, the last first, so that an axis dropped moves no other."""
    return reduce(lambda kept, axis: kept[(slice(None),) * axis + (keys[axis],)], reversed(range(len(keys))), pixels)


@pytest.mark.parametrize("name", ["s2", "s1", "reference_map"])
@given(data=st.data())
@settings(max_examples=40)
def test_any_sequence_of_keys_gives_what_numpy_gives(
    twelve: Path, loaded: xr.Dataset, name: str, data: st.DataObject
) -> None:
    lazy, pixels = bex.open(twelve)[name].data, loaded[name].values
    for _ in range(data.draw(st.integers(1, 4), label="keys")):
        # Dask takes one vector at a time.
        vector = data.draw(st.integers(0, max(0, pixels.ndim - 1)), label="axis of a vector")
        keys = tuple(data.draw(keys_of_axis(n, vectors=axis == vector)) for axis, n in enumerate(pixels.shape))
        lazy, pixels = lazy[keys], outer(pixels, keys)
        assert lazy.shape == pixels.shape
        assert lazy.dtype == pixels.dtype
    np.testing.assert_array_equal(lazy.compute(), pixels)


@pytest.mark.parametrize("dim", ["y", "x", "band", "patch"])
def test_turned_round_twice_it_is_as_it_was(twelve: Path, loaded: xr.Dataset, dim: str) -> None:
    back = {dim: slice(None, None, -1)}
    xr.testing.assert_identical(bex.open(twelve).s2.isel(back).isel(back).load(), loaded.s2)


@pytest.mark.parametrize("opening", OPENERS)
@given(data=st.data())
@settings(max_examples=25)
def test_any_sequence_of_xarray_operations_gives_what_it_gives_on_numpy(
    twelve: Path, loaded: xr.Dataset, opening: str, data: st.DataObject
) -> None:
    lazy, pixels = OPENERS[opening](twelve).s2, loaded.s2
    for _ in range(data.draw(st.integers(1, 4), label="operations")):
        operate = data.draw(operations(pixels))
        lazy, pixels = operate(lazy), operate(pixels)
        is_known(lazy)
    xr.testing.assert_identical(lazy.compute(), pixels)


@st.composite
def operations(draw: st.DrawFn, array: xr.DataArray) -> Callable[[xr.DataArray], xr.DataArray]:
    """An operation that the array allows, and that moves pixels without changing them."""
    dims = [str(dim) for dim in array.dims]
    kinds = ["isel", "transpose", "pickle"]
    kinds += ["sel", "sortby", "ids"] if "patch" in dims and array.sizes["patch"] else []
    kind = draw(st.sampled_from(kinds))
    if kind == "isel":
        some = draw(st.lists(st.sampled_from(dims), unique=True)) if dims else []
        indexers = {dim: draw(keys_of_axis(array.sizes[dim])) for dim in some}
        return lambda given: given.isel(indexers)
    if kind == "transpose":
        order = draw(st.permutations(dims))
        return lambda given: given.transpose(*order)
    if kind == "sel":
        patch = draw(st.sampled_from(list(array.patch.values)))
        return lambda given: given.sel(patch=[patch]) if given.indexes["patch"].is_unique else given
    if kind == "ids":
        ids = draw(st.lists(st.sampled_from(list(array.patch.values)), max_size=5))
        return lambda given: given[{"patch": np.flatnonzero(given.patch.isin(ids))}]
    if kind == "sortby":
        ascending = draw(st.booleans())
        return lambda given: given.sortby(["lat", "row"], ascending=ascending)
    return lambda given: pickle.loads(pickle.dumps(given))


@pytest.mark.parametrize("opening", OPENERS)
def test_a_band_of_an_image_has_the_type_of_the_image(twelve: Path, opening: str) -> None:
    image = OPENERS[opening](twelve).ben.image(["B08", "B04", "VV"])
    nir, red = image.sel(band="B08"), image.sel(band=["B04"])[:, 0]
    assert (nir.dtype, red.dtype) == ("float32", "float32")
    assert ((red - nir).values < 0).any()  # digital numbers in uint16 wrap
    assert image.isel(band=slice(2)).load().dtype == "float32"


@pytest.mark.parametrize(
    "key",
    [
        (..., slice(3, 5)),
        (slice(None), ..., 0),
        ([3, 1],),
        (2,),
        (-1, [0, -1]),
        (slice(None), 1, slice(None), slice(None, None, -1)),
        (None, [5, 5]),
        (slice(2), None, 0),
    ],
    ids=str,
)
def test_ellipses_lists_and_new_axes_are_numpys(twelve: Path, loaded: xr.Dataset, key: Any) -> None:
    np.testing.assert_array_equal(bex.open(twelve).s1.data[key], loaded.s1.values[key])


def test_a_mask_of_pixels_is_numpys(twelve: Path, loaded: xr.Dataset) -> None:
    pixels = bex.open(twelve).s1.data
    np.testing.assert_array_equal(pixels[pixels > 5].compute(), loaded.s1.values[loaded.s1.values > 5])


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ((12,), "out of bounds"),
        ((slice(None), -3), "out of bounds"),
        (([0, 12],), "out of bounds"),
        ((0, 0, 0, 0, 0), "[Tt]oo many ind"),
        ((np.ones(5, bool),), "did not match|boolean"),
    ],
    ids=str,
)
def test_what_is_not_there_is_an_index_error(twelve: Path, key: Any, message: str) -> None:
    with pytest.raises(IndexError, match=message):
        bex.open(twelve).s1.data[key]


def test_points_of_several_axes_are_left_to_dask(twelve: Path, loaded: xr.Dataset) -> None:
    pixels = bex.open(twelve).s1.data
    with pytest.raises(NotImplementedError, match="fancy indexing"):
        pixels[[0, 1], [0, 1]]
    np.testing.assert_array_equal(pixels.vindex[[0, 7], [1, 0]], loaded.s1.values[[0, 7], [1, 0]])


@pytest.mark.parametrize(
    "narrow",
    [
        lambda s2: s2[3],
        lambda s2: s2[[5, 2]],
        lambda s2: s2[::-2, 4],
        lambda s2: s2[:, [1, 0]][7],
        lambda s2: s2[np.arange(12) > 8],
        lambda s2: da.flip(s2, axis=0),
        lambda s2: s2[4:5].squeeze(),
        lambda s2: s2.rechunk({0: 1}),
        lambda s2: s2[..., 0],
        lambda s2: s2[:, :, 30:, ::2],
    ],
)
def test_indexing_keeps_the_knowledge(twelve: Path, narrow: Callable[[da.Array], da.Array]) -> None:
    assert isinstance(narrow(bex.open(twelve).s2.data), PatchArray)


@pytest.mark.parametrize("compute", [lambda s2: s2 + 1, lambda s2: s2.T, lambda s2: s2.mean(0)])
def test_any_other_operation_gives_a_plain_dask_array(twelve: Path, compute: Callable[[da.Array], da.Array]) -> None:
    assert type(compute(bex.open(twelve).s2.data)) is da.Array


# ---- beside other arrays -------------------------------------------------------------------------------------------


def test_xarray_computes_them_beside_plain_dask_arrays(twelve: Path, loaded: xr.Dataset, tmp_path: Path) -> None:
    # xarray refuses to mix types of chunked arrays, and takes a subclass for another type.
    def with_ratio(ds: xr.Dataset) -> xr.Dataset:
        ratio_db = ds.s1.isel(patch=0, polarization=0) - ds.s1.isel(patch=0, polarization=1)
        return ds[["s1"]].isel(patch=ORDER[:3]).assign(ratio_db=ratio_db.reset_coords(drop=True))

    expected = with_ratio(loaded)
    mixed = with_ratio(bex.open(twelve))
    assert isinstance(mixed.s1.data, PatchArray)
    for compute in (xr.Dataset.compute, xr.Dataset.persist, xr.Dataset.unify_chunks):
        xr.testing.assert_identical(compute(mixed).compute(), expected)
    mixed.to_zarr(tmp_path / "mixed.zarr", zarr_format=2)
    xr.testing.assert_identical(xr.open_zarr(tmp_path / "mixed.zarr", chunks=None).load(), expected.load())


def test_functions_are_applied_to_them_beside_plain_dask_arrays(twelve: Path, loaded: xr.Dataset) -> None:
    s1 = bex.open(twelve).s1
    sums = xr.apply_ufunc(np.add, s1, s1 * 2, dask="parallelized", output_dtypes=["float32"])
    np.testing.assert_array_equal(sums, loaded.s1 + loaded.s1 * 2)
    np.testing.assert_array_equal(xr.where(s1 > 0, s1, s1 - 1), xr.where(loaded.s1 > 0, loaded.s1, loaded.s1 - 1))
    np.testing.assert_array_equal(xr.concat([s1, s1 + 1], "patch")[11:13], [loaded.s1[11], loaded.s1[0] + 1])


# ---- names -----------------------------------------------------------------------------------------------------------


def test_the_same_pixels_have_the_same_name(twelve: Path) -> None:
    first, second = (bex.open(twelve).s2.isel(patch=[3, 1]).data for _ in range(2))
    assert first.name == second.name
    assert tokenize(first) == tokenize(second)


def test_other_pixels_have_another_name(twelve: Path, other_twelve: Path) -> None:
    s2 = bex.open(twelve).s2
    tree = with_patch_arrays(xr.open_datatree(twelve, engine="bigearth", chunks={}).to_dataset())
    arrays = [
        *(s2, s2[:6], s2[6:], s2[[0, 2]], s2[[2, 0]], s2[:, :1], s2[:, 1:2], s2[0], s2[:, 0], s2.chunk(patch=5)),
        *(bex.open(twelve, resampling="bilinear").s2, bex.open(twelve).s1, bex.open(twelve).reference_map),
        *(bex.open(other_twelve).s2, tree.s2_10m, tree.s2_20m, tree.s1),
    ]
    assert len({array.data.name for array in arrays}) == len(arrays)


# ---- schedulers ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster() -> Iterator[Client]:
    """A worker in a process of its own."""
    with (
        # A busy machine takes more than the usual 30 s to start a worker.
        dask.config.set({"distributed.comm.timeouts.connect": "120s", "distributed.comm.timeouts.tcp": "120s"}),
        LocalCluster(n_workers=1, processes=True, dashboard_address=":0") as cluster,  # type: ignore[no-untyped-call]
        Client(cluster, set_as_default=False) as client,  # type: ignore[no-untyped-call]  # distributed has no types
    ):
        yield client


def brightness(ds: xr.Dataset) -> xr.DataArray:
    """Something computed of scattered patches and several stored arrays."""
    chosen: xr.DataArray = ds.s2.isel(patch=ORDER).sel(band=["B8A", "B01", "B04"])
    return chosen.astype("float64").mean(["y", "x"])


@pytest.mark.parametrize("opening", ["chunks={}", "bex.open"])
@pytest.mark.parametrize("scheduler", ["synchronous", "threads", "processes"])
def test_every_scheduler_computes_the_same(twelve: Path, loaded: xr.Dataset, opening: str, scheduler: str) -> None:
    with dask.config.set(scheduler=scheduler, num_workers=2):
        xr.testing.assert_allclose(brightness(OPENERS[opening](twelve)).compute(), brightness(loaded))


def test_a_cluster_computes_the_same(opener: Opener, twelve: Path, loaded: xr.Dataset, cluster: Client) -> None:
    ds = opener(twelve).chunk(patch=5)
    xr.testing.assert_allclose(brightness(ds).compute(scheduler=cluster), brightness(loaded))


def test_datasets_travel_to_a_cluster(opener: Opener, twelve: Path, loaded: xr.Dataset, cluster: Client) -> None:
    found = cluster.submit(lambda ds: ds.s1.isel(patch=[3, 1]).values, opener(twelve), pure=False).result()
    np.testing.assert_array_equal(found, loaded.s1[[3, 1]])


def test_an_array_travels_as_what_it_knows(twelve: Path) -> None:
    array = bex.open(twelve).s2.isel(patch=ORDER).data
    back = pickle.loads(pickle.dumps(array))
    assert len(pickle.dumps(array)) < 5000
    assert (type(back), back.name, back.chunks) == (PatchArray, array.name, array.chunks)


def test_reads_grow_with_what_is_computed_not_with_the_array(twelve: Path) -> None:
    s2 = bex.open(twelve).s2
    with count_reads() as reads:
        reduce(operator.add, (s2.isel(patch=row, band=[1]) for row in (2, 9))).compute()
    assert reads == {"s2_10m": 2}
