"""Dask arrays that know their store: they index as NumPy does, and never claim pixels that they are not."""

import operator
import pickle
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import cloudpickle  # type: ignore[import-untyped]  # it has none
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

import bigearth_xr as bex
from bigearth_xr.backend.origin import own_rows
from bigearth_xr.backend.patches import PatchArray, with_patch_arrays
from bigearth_xr.store.read import Store, read_column
from bigearth_xr.testing import count_reads, formula_pixels

Pixels = NDArray[np.generic]
Opener = Callable[..., xr.Dataset]
Change = Callable[[xr.Dataset], xr.DataArray]

OPENERS: dict[str, Opener] = {
    "no chunks": lambda path, **options: xr.open_dataset(path, engine="bigearth", **options),
    "chunks={}": lambda path, **options: xr.open_dataset(path, engine="bigearth", chunks={}, **options),
    "bex.open": bex.open,
}


@pytest.fixture(scope="session")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 12 pairs."""
    return bex.testing.write_store(tmp_path_factory.mktemp("patches") / "ben.zarr", pairs=12)


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 12 other pairs."""
    return bex.testing.write_store(tmp_path_factory.mktemp("other") / "ben.zarr", pairs=12, seed=1)


@pytest.fixture(scope="session")
def loaded(path: Path) -> xr.Dataset:
    """All pixels of the store, as NumPy arrays."""
    return bex.open(path).load()


@pytest.fixture(params=OPENERS)
def opener(request: pytest.FixtureRequest) -> Opener:
    """Each way of opening a store in turn."""
    return OPENERS[request.param]


def in_store(store: Store, rows: Sequence[int], bands: Sequence[str]) -> Pixels:
    """Pixels of a store's rows at 10 m, repeated, from the formula: shape (patch, band, y, x)."""
    patches = read_column(store, "patch")[np.asarray(rows, dtype=int)]
    at_10m = [[np.kron(one, np.ones((120 // len(one),) * 2, one.dtype)) for one in native] for native in
              ([formula_pixels(patch, band) for band in bands] for patch in patches)]  # fmt: skip
    return np.asarray(at_10m).reshape(len(patches), len(bands), 120, 120)


def is_known(array: xr.DataArray) -> bool:
    """Whether the array knows its rows; if so, they hold exactly its pixels."""
    own = own_rows(array)
    if own is None:
        return False
    np.testing.assert_array_equal(array, in_store(*own))
    return True


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
    path: Path, loaded: xr.Dataset, name: str, data: st.DataObject
) -> None:
    lazy, pixels = bex.open(path)[name].data, loaded[name].values
    for _ in range(data.draw(st.integers(1, 4), label="keys")):
        # Dask takes one vector at a time.
        vector = data.draw(st.integers(0, max(0, pixels.ndim - 1)), label="axis of a vector")
        keys = tuple(data.draw(keys_of_axis(n, vectors=axis == vector)) for axis, n in enumerate(pixels.shape))
        lazy, pixels = lazy[keys], outer(pixels, keys)
        assert lazy.shape == pixels.shape
        assert lazy.dtype == pixels.dtype
    np.testing.assert_array_equal(lazy.compute(), pixels)


@pytest.mark.parametrize("opening", OPENERS)
@given(data=st.data())
@settings(max_examples=25)
def test_any_sequence_of_xarray_operations_gives_what_it_gives_on_numpy(
    path: Path, loaded: xr.Dataset, opening: str, data: st.DataObject
) -> None:
    lazy, pixels = OPENERS[opening](path).s2, loaded.s2
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
def test_ellipses_lists_and_new_axes_are_numpys(path: Path, loaded: xr.Dataset, key: Any) -> None:
    np.testing.assert_array_equal(bex.open(path).s1.data[key], loaded.s1.values[key])


def test_a_mask_of_pixels_is_numpys(path: Path, loaded: xr.Dataset) -> None:
    pixels = bex.open(path).s1.data
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
def test_what_is_not_there_is_an_index_error(path: Path, key: Any, message: str) -> None:
    with pytest.raises(IndexError, match=message):
        bex.open(path).s1.data[key]


def test_points_of_several_axes_are_left_to_dask(path: Path, loaded: xr.Dataset) -> None:
    pixels = bex.open(path).s1.data
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
def test_indexing_keeps_the_knowledge(path: Path, narrow: Callable[[da.Array], da.Array]) -> None:
    assert isinstance(narrow(bex.open(path).s2.data), PatchArray)


@pytest.mark.parametrize("compute", [lambda s2: s2 + 1, lambda s2: s2.T, lambda s2: s2.mean(0)])
def test_any_other_operation_gives_a_plain_dask_array(path: Path, compute: Callable[[da.Array], da.Array]) -> None:
    assert type(compute(bex.open(path).s2.data)) is da.Array


# ---- what an array knows -------------------------------------------------------------------------------------------

ORDER = [7, 2, 11, 2, 0]

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
def test_indexed_arrays_know_their_rows(path: Path, opening: str, change: str) -> None:
    keep, rows = KEEPING[change]
    array = keep(OPENERS[opening](path))
    own = own_rows(array)
    assert own is not None
    store, found, bands = own
    assert store.place.local == path
    assert found.tolist() == rows
    assert list(bands) == array[array.dims[1]].values.tolist()
    assert is_known(array)


@pytest.mark.parametrize("change", KEEPING)
def test_indexed_stock_dask_arrays_are_never_taken_for_other_rows(path: Path, change: str) -> None:
    is_known(KEEPING[change][0](OPENERS["chunks={}"](path)))


@pytest.mark.parametrize("copying", COPYING)
def test_copies_know_their_rows(opener: Opener, path: Path, copying: str) -> None:
    copied = COPYING[copying](opener(path))
    assert is_known(copied.s2)
    assert is_known(copied.s1)


@pytest.mark.parametrize("copying", COPYING)
@pytest.mark.parametrize("opening", ["no chunks", "bex.open"])
def test_copies_of_a_selection_know_their_rows(path: Path, opening: str, copying: str) -> None:
    chosen = OPENERS[opening](path).isel(patch=ORDER, band=[4, 0])
    own = own_rows(COPYING[copying](chosen).s2)
    assert own is not None
    assert own[1].tolist() == ORDER
    assert own[2] == ("B05", "B01")


@pytest.mark.parametrize("opening", ["no chunks", "bex.open"])
def test_chunked_anew_an_array_knows_its_rows(path: Path, opening: str) -> None:
    chunked = OPENERS[opening](path).isel(patch=ORDER).chunk(patch=2, band=5, y=50)
    assert chunked.s2.chunks == ((2, 2, 1), (5, 5, 2), (50, 50, 20), (120,))
    assert is_known(chunked.s2)
    # What `chunk` makes of an array without Dask is stock Dask.
    assert is_known(chunked.chunk(patch=-1).s2[::-1]) or opening == "no chunks"


@pytest.mark.parametrize("change", LOSING)
def test_changed_arrays_know_no_rows(opener: Opener, path: Path, change: str) -> None:
    assert own_rows(LOSING[change](opener(path))) is None


@pytest.mark.parametrize("change", LOSING)
def test_changed_arrays_hold_what_they_hold_on_numpy(path: Path, loaded: xr.Dataset, change: str) -> None:
    changed, expected = LOSING[change](bex.open(path)), LOSING[change](loaded.copy())
    np.testing.assert_array_equal(changed, expected)


@pytest.mark.parametrize("opening", ["chunks={}", "bex.open"])
def test_persisted_pixels_are_read_once(path: Path, loaded: xr.Dataset, opening: str) -> None:
    persisted = OPENERS[opening](path).s2.isel(patch=[3, 8]).persist()
    with count_reads() as reads:
        np.testing.assert_array_equal(persisted[::-1], loaded.s2[[8, 3]])
        is_known(persisted)
    assert reads == {}


def test_two_stores_concatenated_are_not_taken_for_one(opener: Opener, path: Path, other: Path) -> None:
    first, second = opener(path), opener(other)
    assert own_rows(xr.concat([first.s2, second.s2], "patch")) is None
    assert own_rows(xr.concat([first, second], "patch").s1) is None


def test_parts_of_one_store_concatenated_are_never_taken_for_other_rows(opener: Opener, path: Path) -> None:
    s2 = opener(path).s2
    is_known(xr.concat([s2[6:], s2[:2]], "patch"))
    is_known(xr.concat([s2[:, 6:], s2[:, :2]], "band"))


def test_pixels_assigned_from_another_store_are_that_stores(opener: Opener, path: Path, other: Path) -> None:
    mixed = opener(path).assign(s2=opener(other).s2.variable)
    own = own_rows(mixed.s2)
    assert own is not None
    assert own[0].place.local == other
    assert is_known(mixed.s2)
    assert is_known(mixed.s1)


def test_native_arrays_of_the_tree_know_their_rows(path: Path) -> None:
    tree = xr.open_datatree(path, engine="bigearth").to_dataset()
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
    opener: Opener, path: Path, loaded: xr.Dataset, follow: Callable[[xr.DataArray], xr.DataArray]
) -> None:
    written, expected = opener(path).s2, loaded.s2.copy()
    for array in (written, expected):
        array[2] = 7
        array[0, 3:] = 1
    assert own_rows(written) is None
    np.testing.assert_array_equal(follow(written), follow(expected))


def test_an_array_written_to_by_a_ufunc_holds_its_result(path: Path, loaded: xr.Dataset) -> None:
    ds = bex.open(path)
    np.add(ds.s1.data, 1, out=ds.s1.data)
    assert own_rows(ds.s1) is None
    np.testing.assert_array_equal(ds.s1[3:5], loaded.s1[3:5] + 1)


# ---- beside other arrays -------------------------------------------------------------------------------------------


def test_xarray_computes_them_beside_plain_dask_arrays(path: Path, loaded: xr.Dataset, tmp_path: Path) -> None:
    # xarray refuses to mix types of chunked arrays, and takes a subclass for another type.
    def with_ratio(ds: xr.Dataset) -> xr.Dataset:
        ratio_db = ds.s1.isel(patch=0, polarization=0) - ds.s1.isel(patch=0, polarization=1)
        return ds[["s1"]].isel(patch=ORDER[:3]).assign(ratio_db=ratio_db.reset_coords(drop=True))

    expected = with_ratio(loaded)
    mixed = with_ratio(bex.open(path))
    assert isinstance(mixed.s1.data, PatchArray)
    for compute in (xr.Dataset.compute, xr.Dataset.persist, xr.Dataset.unify_chunks):
        xr.testing.assert_identical(compute(mixed).compute(), expected)
    mixed.to_zarr(tmp_path / "mixed.zarr", zarr_format=2)
    xr.testing.assert_identical(xr.open_zarr(tmp_path / "mixed.zarr", chunks=None).load(), expected.load())


def test_functions_are_applied_to_them_beside_plain_dask_arrays(path: Path, loaded: xr.Dataset) -> None:
    s1 = bex.open(path).s1
    sums = xr.apply_ufunc(np.add, s1, s1 * 2, dask="parallelized", output_dtypes=["float32"])
    np.testing.assert_array_equal(sums, loaded.s1 + loaded.s1 * 2)
    np.testing.assert_array_equal(xr.where(s1 > 0, s1, s1 - 1), xr.where(loaded.s1 > 0, loaded.s1, loaded.s1 - 1))
    np.testing.assert_array_equal(xr.concat([s1, s1 + 1], "patch")[11:13], [loaded.s1[11], loaded.s1[0] + 1])


# ---- names -----------------------------------------------------------------------------------------------------------


def test_the_same_pixels_have_the_same_name(path: Path) -> None:
    first, second = (bex.open(path).s2.isel(patch=[3, 1]).data for _ in range(2))
    assert first.name == second.name
    assert tokenize(first) == tokenize(second)


def test_other_pixels_have_another_name(path: Path, other: Path) -> None:
    s2 = bex.open(path).s2
    tree = with_patch_arrays(xr.open_datatree(path, engine="bigearth", chunks={}).to_dataset())
    arrays = [
        *(s2, s2[:6], s2[6:], s2[[0, 2]], s2[[2, 0]], s2[:, :1], s2[:, 1:2], s2[0], s2[:, 0], s2.chunk(patch=5)),
        *(bex.open(path, resampling="bilinear").s2, bex.open(path).s1, bex.open(path).reference_map),
        *(bex.open(other).s2, tree.s2_10m, tree.s2_20m, tree.s1),
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
def test_every_scheduler_computes_the_same(path: Path, loaded: xr.Dataset, opening: str, scheduler: str) -> None:
    with dask.config.set(scheduler=scheduler, num_workers=2):
        xr.testing.assert_allclose(brightness(OPENERS[opening](path)).compute(), brightness(loaded))


def test_a_cluster_computes_the_same(opener: Opener, path: Path, loaded: xr.Dataset, cluster: Client) -> None:
    ds = opener(path).chunk(patch=5)
    xr.testing.assert_allclose(brightness(ds).compute(scheduler=cluster), brightness(loaded))


def test_datasets_travel_to_a_cluster(opener: Opener, path: Path, loaded: xr.Dataset, cluster: Client) -> None:
    found = cluster.submit(lambda ds: ds.s1.isel(patch=[3, 1]).values, opener(path), pure=False).result()
    np.testing.assert_array_equal(found, loaded.s1[[3, 1]])


def test_an_array_travels_as_what_it_knows(path: Path) -> None:
    array = bex.open(path).s2.isel(patch=ORDER).data
    back = pickle.loads(pickle.dumps(array))
    assert len(pickle.dumps(array)) < 5000
    assert (type(back), back.name, back.chunks) == (PatchArray, array.name, array.chunks)


def test_reads_grow_with_what_is_computed_not_with_the_array(path: Path) -> None:
    s2 = bex.open(path).s2
    with count_reads() as reads:
        reduce(operator.add, (s2.isel(patch=row, band=[1]) for row in (2, 9))).compute()
    assert reads == {"s2_10m": 2}
