"""Stores on object storage open, index, travel and give batches as those in a folder do."""

import ctypes
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import obstore
import pytest
import xarray as xr
import zarr
from distributed import Client, LocalCluster
from obstore.store import S3Store
from s3 import BUCKET, PAIRS, change, key_of

import bigearth_xr as bex
from bigearth_xr.backend.origin import own_rows
from bigearth_xr.errors import ChecksumError, EmbeddingError, NotStoredError
from bigearth_xr.store.batch import BatchReader
from bigearth_xr.store.open import open_store
from bigearth_xr.store.read import read_column, read_patches
from bigearth_xr.store.shard import read_index, shard_key
from bigearth_xr.verification import verify

pytest_plugins = ["s3_stores"]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many ranges of an object were asked for, of each request."""
    counts: list[int] = []
    get_ranges = obstore.get_ranges

    def counted(*args: Any, starts: list[int], **options: Any) -> Any:
        counts.append(len(starts))
        return get_ranges(*args, starts=starts, **options)

    monkeypatch.setattr(obstore, "get_ranges", counted)
    return counts


def test_every_way_of_opening_gives_the_pixels_of_the_folder(remote: str, local: Path, s3: dict[str, str]) -> None:
    expected = bex.open(local).load()
    for ds in (
        bex.open(remote, storage_options=s3),
        xr.open_dataset(remote, engine="bigearth", storage_options=s3),
        xr.open_dataset(remote, engine="bigearth", storage_options=s3, chunks={}),
    ):
        xr.testing.assert_equal(ds.load(), expected)
    tree = xr.open_datatree(remote, engine="bigearth", storage_options=s3)
    xr.testing.assert_equal(tree.load().to_dataset(), xr.open_datatree(local, engine="bigearth").load().to_dataset())


def test_plain_zarr_reads_it(remote: str, local: Path, s3: dict[str, str]) -> None:
    client = S3Store(BUCKET, prefix=key_of(remote, "").rstrip("/"), client_options={"allow_http": True}, **s3)  # type: ignore[arg-type]  # names of ours
    plain = xr.open_zarr(zarr.storage.ObjectStore(client, read_only=True), chunks=None)
    xr.testing.assert_equal(plain.load(), xr.open_zarr(local, chunks=None).load())


def test_the_environment_may_tell_where_it_is(remote: str, s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3["endpoint"])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sesame")
    assert bex.open(remote).sizes["patch"] == PAIRS


def test_patches_come_in_the_order_asked_for(remote: str, local: Path, s3: dict[str, str]) -> None:
    rows = np.array([7, 0, 7, 11, 3])
    there, here = open_store(remote, s3), open_store(local)
    for array in there.arrays:
        np.testing.assert_array_equal(read_patches(there, array, rows), read_patches(here, array, rows))


def test_patches_of_a_shard_are_asked_for_together(remote: str, s3: dict[str, str], asked: list[int]) -> None:
    ds = bex.open(remote, storage_options=s3)
    with bex.testing.count_reads() as reads:
        ds.s2.sel(band="B04").isel(patch=[11, 0, 5, 6]).load()
    assert (dict(reads), [count for count in asked if count > 1]) == ({"s2_10m": 4}, [4])


def test_an_index_is_read_again_when_its_object_changed(own_remote: str, s3: dict[str, str]) -> None:
    store = open_store(own_remote, s3)
    key = shard_key(store.array("s1"), 0)
    first = read_index(store.location, key)
    assert read_index(store.location, key) is first
    change(s3, key_of(own_remote, key), lambda data: data.extend(data[-16388:]))
    again = read_index(store.location, key)
    assert again is not first
    np.testing.assert_array_equal(again, first)


def test_a_dataset_knows_its_address_and_rows_but_no_credentials(remote: str, s3: dict[str, str]) -> None:
    ds = bex.open(remote, storage_options=s3)
    assert json.loads(ds.attrs["bigearth"])["store"] == remote
    owned = own_rows(ds.s1.isel(patch=[2, 0]))
    assert owned is not None
    store, rows, bands = owned
    assert (str(store.location), list(rows), bands) == (remote, [2, 0], ("VV", "VH"))
    said = repr(ds) + repr(store) + str(ds.s1.data.dask) + repr(ds.attrs) + ds.ben._repr_html_()
    assert "sesame" not in said


@pytest.mark.parametrize("profile", ["fast"], indirect=True)
def test_datasets_travel_to_workers(remote: str, local: Path, s3: dict[str, str]) -> None:
    ds = pickle.loads(pickle.dumps(bex.open(remote, storage_options=s3)))
    expected = bex.open(local).s2.sel(band="B8A").mean("patch").values
    with (
        LocalCluster(n_workers=2, processes=True, dashboard_address=":0") as cluster,  # type: ignore[no-untyped-call]
        Client(cluster),  # type: ignore[no-untyped-call]
    ):
        found = ds.s2.sel(band="B8A").mean("patch").values
    np.testing.assert_allclose(found, expected)


def test_embeddings_are_kept_there(own_remote: str, local: Path, s3: dict[str, str]) -> None:
    ds = bex.open(own_remote, storage_options=s3)
    bands = ["B04", "B08"]
    first = bex.embed(ds.isel(patch=slice(5)), "spectral", name="mine", bands=bands)
    assert np.isfinite(first).all()
    vectors = bex.embed(ds, "spectral", name="mine", bands=bands)
    expected = bex.embed(bex.open(local), "spectral", name="mine", bands=bands)
    np.testing.assert_array_equal(vectors, expected)
    bex.embed(ds, "spectral", name="mine", bands=bands[:1], overwrite=True)
    with pytest.raises(EmbeddingError, match=r"s3://.*: embedding 'mine' was replaced"):
        vectors.load()
    tree = xr.open_datatree(own_remote, engine="bigearth", storage_options=s3)
    assert tree["embeddings/mine"].computed.all()
    assert verify(own_remote, storage_options=s3).sound


# Batches.


@pytest.mark.parametrize("threads", [1, 2])
def test_batches_are_those_of_the_folder(remote: str, local: Path, s3: dict[str, str], threads: int) -> None:
    here = BatchReader(open_store(local), reference_map=True)
    there = BatchReader(open_store(remote, s3), reference_map=True, threads=threads)
    rows = [7, 0, 7, 11, 3]
    expected = here.read(rows)
    for reader in (there, pickle.loads(pickle.dumps(there))):
        found = reader.read(rows)
        assert {name: pixels.tobytes() for name, pixels in found.items()} == {
            name: pixels.tobytes() for name, pixels in expected.items()
        }
    with there.locate(rows) as located:
        for array, addresses in zip(there.sources, located.addresses.tolist(), strict=True):
            for address, patch in zip(addresses, expected[array.name], strict=True):
                assert ctypes.string_at(address, array.patch_bytes) == patch.tobytes()
    there.prefetch(rows)


def test_a_batch_asks_once_for_each_array(remote: str, s3: dict[str, str], asked: list[int]) -> None:
    reader = BatchReader(open_store(remote, s3), ["B02", "VV"])
    reader.read([0])
    asked.clear()
    reader.read([11, 0, 5, 0, 6])
    assert asked == [4, 4]


def test_a_batch_that_is_damaged_there_names_its_patches(own_remote: str, s3: dict[str, str]) -> None:
    store = open_store(own_remote, s3)
    reader = BatchReader(store)
    reader.read(range(PAIRS))
    patch = read_column(store, "patch")[4]
    key = shard_key(store.array("s2_20m"), 0)
    index = read_index(store.location, key)
    assert index is not None
    ends = [int(index[row].sum()) - 2 for row in (4, 9)]
    change(s3, key_of(own_remote, key), lambda data: [data.__setitem__(end, data[end] ^ 1) for end in ends])
    message = rf"row 4 \({patch}\): {own_remote}/{key}: checksum is .*; and so for 1 more, row 9$"
    for _ in range(2):
        with pytest.raises(ChecksumError, match=message):
            reader.read([0, 4, 9])
    store.location.delete(shard_key(store.array("s1"), 0))
    with pytest.raises(
        NotStoredError, match=rf"row 4 \({patch}\) is stored: s1 holds no pixels of it; s1/c/0/0/0/0 was"
    ):
        reader.locate([4])
    change(s3, key_of(own_remote, key), lambda data: data.__setitem__(-9, data[-9] ^ 1))
    with pytest.raises(ChecksumError, match=rf"row 4 \({patch}\): {own_remote}/{key}: index: checksum is"):
        reader.read([4])
