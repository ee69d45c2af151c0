"""Stores on object storage, against a server that speaks S3: the same bytes, the same pixels, and errors in words."""

import ctypes
import json
import os
import pickle
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import numpy as np
import obstore
import pytest
import xarray as xr
import zarr
from distributed import Client, LocalCluster
from obstore.store import S3Store
from typer.testing import CliRunner

import bigearth_xr as bex
from bigearth_xr.backend.origin import own_rows
from bigearth_xr.cli import app
from bigearth_xr.errors import (
    ChecksumError,
    DependencyError,
    EmbeddingError,
    NotStoredError,
    StoreAccessError,
    StoreError,
    StoreNotFoundError,
)
from bigearth_xr.store import objects
from bigearth_xr.store.address import place_of
from bigearth_xr.store.batch import BatchReader
from bigearth_xr.store.create import read_table, write_states
from bigearth_xr.store.patches import read_patches
from bigearth_xr.store.place import LocalPlace
from bigearth_xr.store.read import Store, open_store, read_column
from bigearth_xr.store.schema import PROFILES, Profile
from bigearth_xr.store.shard import read_index, shard_key
from bigearth_xr.verification import verify

PAIRS = 12
BUCKET = f"patches-{os.getpid()}"
"""Of this process alone: two ingests on one machine into one address, of whatever server, keep each other away."""

ADDRESS = f"s3://{BUCKET}/v2/ben.zarr"


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server of our own, on a port that was free, with one bucket."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    log = (tmp_path_factory.mktemp("s3") / "log").open("wb")
    with log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        try:
            yield answering(f"http://127.0.0.1:{port}", server)
        finally:
            server.terminate()


def answering(endpoint: str, server: "subprocess.Popen[bytes]") -> str:
    """Wait until the server is up; then make the bucket."""
    for _ in range(300):
        assert server.poll() is None, "the server ended"
        try:
            put(f"{endpoint}/{BUCKET}")
        except URLError:
            time.sleep(0.1)
        else:
            return endpoint
    raise TimeoutError("the server does not answer")


def put(address: str, data: bytes = b"", method: str = "PUT") -> None:
    headers = {"Content-Type": "application/octet-stream"}
    with urlopen(Request(address, data=data, method=method, headers=headers)) as answer:
        answer.read()


@pytest.fixture(scope="module")
def options(endpoint: str) -> dict[str, str]:
    return {"endpoint": endpoint, "region": "us-east-1", "access_key_id": "me", "secret_access_key": "sesame"}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bex.testing.write_archive(tmp_path_factory.mktemp("archive") / "v2", pairs=PAIRS)


@pytest.fixture(scope="module", params=PROFILES)
def profile(request: pytest.FixtureRequest) -> Profile:
    found: Profile = request.param
    return found


@pytest.fixture(scope="module")
def local(archive: Path, profile: Profile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("local") / "ben.zarr"
    bex.ingest(archive, path, profile=profile)
    return path


@pytest.fixture(scope="module")
def remote(archive: Path, profile: Profile, options: Mapping[str, str]) -> str:
    """A store on S3, ingested there; no test changes it."""
    address = f"s3://{BUCKET}/{profile}/ben.zarr"
    report = bex.ingest(archive, address, profile=profile, storage_options=options)
    assert (report.stored, report.complete, report.failures) == (PAIRS, True, ())
    return address


@pytest.fixture
def own(remote: str, options: Mapping[str, str], request: pytest.FixtureRequest) -> str:
    """A copy of it, of one test."""
    name = "".join(letter if letter.isalnum() else "-" for letter in request.node.name)
    client, before = bucket(options), remote.removeprefix(f"s3://{BUCKET}/").removesuffix("/ben.zarr")
    for key in keys_of(client, before):
        obstore.copy(client, key, f"{name}/{key.removeprefix(f'{before}/')}")
    return f"s3://{BUCKET}/{name}/ben.zarr"


def bucket(options: Mapping[str, str]) -> S3Store:
    return S3Store(BUCKET, client_options={"allow_http": True}, **options)  # type: ignore[arg-type]  # names of ours


def keys_of(client: S3Store, below: str) -> list[str]:
    return [entry["path"] for entry in obstore.list(client, below).collect()]


def every_key(store: Store) -> list[str]:
    return list(store.place.keys())


def key_of(address: str, key: str) -> str:
    return f"{address.removeprefix(f's3://{BUCKET}/')}/{key}"


def change(options: Mapping[str, str], key: str, change: Callable[[bytearray], Any]) -> None:
    """Replace an object by one that differs."""
    data = bytearray(bytes(obstore.get(bucket(options), key).bytes()))
    change(data)
    obstore.put(bucket(options), key, bytes(data))


# Writing.


def test_the_bytes_are_those_of_a_folder(remote: str, local: Path, options: Mapping[str, str]) -> None:
    client, root = bucket(options), local.parent
    prefix = remote.removeprefix(f"s3://{BUCKET}/").removesuffix("ben.zarr")
    there = {key.removeprefix(prefix): bytes(obstore.get(client, key).bytes()) for key in keys_of(client, prefix)}
    here = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert there.keys() == here.keys()
    assert [key for key in here if here[key] != there[key]] == []


def test_ingesting_again_changes_nothing(remote: str, archive: Path, options: Mapping[str, str]) -> None:
    client = bucket(options)
    prefix = remote.removeprefix(f"s3://{BUCKET}/").removesuffix("/ben.zarr")
    before = {entry["path"]: entry["last_modified"] for entry in obstore.list(client, prefix).collect()}
    report = bex.ingest(archive, remote, storage_options=options)
    assert (report.written, report.stored, str(report.store)) == (0, PAIRS, remote)
    assert before.keys() == set(keys_of(client, prefix))


@pytest.mark.parametrize("profile", ["fast"], indirect=True)
@pytest.mark.parametrize("lists", ["beside", "inside", "of more"])
def test_a_stream_goes_there_by_way_of_the_working_directory(
    options: dict[str, str],
    archive: Path,
    local: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lists: str,
) -> None:
    address, profile = f"s3://{BUCKET}/streams/{tmp_path.name}/ben.zarr", open_store(local).profile
    path = tmp_path / ("one.tar.gz" if lists == "inside" else "tars")
    tars = bex.testing.write_archive(path, pairs=PAIRS, container="tar.gz", as_published=lists != "inside")
    more = bex.testing.write_archive(tmp_path / "more", pairs=PAIRS + 3) if lists == "of more" else None
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    report = bex.ingest(tars, address, more, profile=profile, storage_options=options)
    assert (report.written, report.complete) == (PAIRS, True)
    assert report.extra_bytes > 0
    assert not list((tmp_path / "here").iterdir())
    if lists == "of more":
        bex.ingest(archive, tmp_path / "ben.zarr", more, profile=profile)
        local = tmp_path / "ben.zarr"
    here, there = open_store(local), open_store(address, options)
    assert {key: there.place.read(key) for key in every_key(there)} == {
        key: here.place.read(key) for key in every_key(here)
    }
    again = bex.ingest(tars, address, more, storage_options=options)
    assert (again.written, again.complete) == (0, True)


def test_an_ingest_that_was_killed_is_finished(own: str, local: Path, archive: Path, options: dict[str, str]) -> None:
    store = open_store(own, options)
    expected = {key: store.place.read(key) for key in every_key(store)}
    state = np.ones(PAIRS, np.uint8)
    state[3:7] = 0
    write_states(store, state, state > 0)
    store.place.delete(shard_key(store.array("s1"), 0))
    assert bex.ingest(archive, own, storage_options=options).written == PAIRS
    assert {key: store.place.read(key) for key in every_key(store)} == expected


@pytest.mark.parametrize("profile", ["fast"], indirect=True)
def test_a_creation_that_was_killed_is_finished(own: str, archive: Path, options: dict[str, str]) -> None:
    open_store(own, options).place.delete("zarr.json")
    with pytest.raises(StoreNotFoundError, match="no store here"):
        open_store(own, options)
    assert bex.ingest(archive, own, storage_options=options).stored == PAIRS
    assert verify(own, storage_options=options).sound


def test_a_prefix_that_holds_something_else_is_refused(archive: Path, options: dict[str, str]) -> None:
    obstore.put(bucket(options), "taken/ben.zarr/notes.txt", b"mine")
    with pytest.raises(StoreError, match=r"taken/ben\.zarr: exists and is no store; choose another place"):
        bex.ingest(archive, f"s3://{BUCKET}/taken/ben.zarr", storage_options=options)
    assert keys_of(bucket(options), "taken") == ["taken/ben.zarr/notes.txt"]


def test_lists_that_turn_up_later_are_taken_in(options: dict[str, str], tmp_path: Path) -> None:
    archive, lists = bex.testing.write_archive(tmp_path / "v2", pairs=3), tmp_path / "lists"
    lists.mkdir()
    for parquet in archive.glob("*.parquet"):
        parquet.rename(lists / parquet.name)
    address = f"s3://{BUCKET}/later/ben.zarr"
    bex.ingest(archive, address, storage_options=options)
    assert not bex.open(address, storage_options=options).listed.any()
    ds = bex.open(address, storage_options=options)
    bex.embed(ds, "spectral", name="mine", bands=["B02"])
    report = bex.ingest(archive, address, metadata=lists, storage_options=options)
    assert (report.written, report.stored) == (0, 3)
    assert bex.open(address, storage_options=options).listed.all()
    assert "mine" in xr.open_datatree(address, engine="bigearth", storage_options=options)["embeddings"]
    assert verify(address, storage_options=options).sound


# Reading.


def test_every_way_of_opening_gives_the_pixels_of_the_folder(remote: str, local: Path, options: dict[str, str]) -> None:
    expected = bex.open(local).load()
    for ds in (
        bex.open(remote, storage_options=options),
        xr.open_dataset(remote, engine="bigearth", storage_options=options),
        xr.open_dataset(remote, engine="bigearth", storage_options=options, chunks={}),
    ):
        xr.testing.assert_equal(ds.load(), expected)
    tree = xr.open_datatree(remote, engine="bigearth", storage_options=options)
    xr.testing.assert_equal(tree.load().to_dataset(), xr.open_datatree(local, engine="bigearth").load().to_dataset())


def test_plain_zarr_reads_it(remote: str, local: Path, options: dict[str, str]) -> None:
    client = S3Store(BUCKET, prefix=key_of(remote, "").rstrip("/"), client_options={"allow_http": True}, **options)  # type: ignore[arg-type]  # names of ours
    plain = xr.open_zarr(zarr.storage.ObjectStore(client, read_only=True), chunks=None)
    xr.testing.assert_equal(plain.load(), xr.open_zarr(local, chunks=None).load())


def test_the_environment_may_tell_where_it_is(
    remote: str, options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", options["endpoint"])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sesame")
    assert bex.open(remote).sizes["patch"] == PAIRS


def test_patches_come_in_the_order_asked_for(remote: str, local: Path, options: dict[str, str]) -> None:
    rows = np.array([7, 0, 7, 11, 3])
    there, here = open_store(remote, options), open_store(local)
    for array in there.arrays:
        np.testing.assert_array_equal(read_patches(there, array, rows), read_patches(here, array, rows))


def test_patches_of_a_shard_are_asked_for_together(
    remote: str, options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ds = bex.open(remote, storage_options=options)
    asked: list[int] = []
    get_ranges = obstore.get_ranges

    def counted(*args: Any, starts: list[int], **options: Any) -> Any:
        asked.append(len(starts))
        return get_ranges(*args, starts=starts, **options)

    monkeypatch.setattr(obstore, "get_ranges", counted)
    with bex.testing.count_reads() as reads:
        ds.s2.sel(band="B04").isel(patch=[11, 0, 5, 6]).load()
    assert (dict(reads), [count for count in asked if count > 1]) == ({"s2_10m": 4}, [4])


def test_an_index_is_read_again_when_its_object_changed(own: str, options: dict[str, str]) -> None:
    store = open_store(own, options)
    key = shard_key(store.array("s1"), 0)
    first = read_index(store.place, key)
    assert read_index(store.place, key) is first
    change(options, key_of(own, key), lambda data: data.extend(data[-16388:]))
    again = read_index(store.place, key)
    assert again is not first
    np.testing.assert_array_equal(again, first)


def test_a_dataset_knows_its_address_and_rows_but_no_credentials(remote: str, options: dict[str, str]) -> None:
    ds = bex.open(remote, storage_options=options)
    assert json.loads(ds.attrs["bigearth"])["store"] == remote
    owned = own_rows(ds.s1.isel(patch=[2, 0]))
    assert owned is not None
    store, rows, bands = owned
    assert (str(store.place), list(rows), bands) == (remote, [2, 0], ("VV", "VH"))
    said = repr(ds) + repr(store) + str(ds.s1.data.dask) + repr(ds.attrs) + ds.ben._repr_html_()
    assert "sesame" not in said


def test_datasets_travel_to_workers(remote: str, local: Path, options: dict[str, str]) -> None:
    ds = pickle.loads(pickle.dumps(bex.open(remote, storage_options=options)))
    expected = bex.open(local).s2.sel(band="B8A").mean("patch").values
    with (
        LocalCluster(n_workers=2, processes=True, dashboard_address=":0") as cluster,  # type: ignore[no-untyped-call]
        Client(cluster),  # type: ignore[no-untyped-call]
    ):
        found = ds.s2.sel(band="B8A").mean("patch").values
    np.testing.assert_allclose(found, expected)


def test_embeddings_are_kept_there(own: str, local: Path, options: dict[str, str]) -> None:
    ds = bex.open(own, storage_options=options)
    bands = ["B04", "B08"]
    first = bex.embed(ds.isel(patch=slice(5)), "spectral", name="mine", bands=bands)
    assert np.isfinite(first).all()
    vectors = bex.embed(ds, "spectral", name="mine", bands=bands)
    expected = bex.embed(bex.open(local), "spectral", name="mine", bands=bands)
    np.testing.assert_array_equal(vectors, expected)
    bex.embed(ds, "spectral", name="mine", bands=bands[:1], overwrite=True)
    with pytest.raises(EmbeddingError, match=r"s3://.*: embedding 'mine' was replaced"):
        vectors.load()
    tree = xr.open_datatree(own, engine="bigearth", storage_options=options)
    assert tree["embeddings/mine"].computed.all()
    assert verify(own, storage_options=options).sound


# Batches.


@pytest.mark.parametrize("threads", [1, 2])
def test_batches_are_those_of_the_folder(remote: str, local: Path, options: dict[str, str], threads: int) -> None:
    here = BatchReader(open_store(local), reference_map=True)
    there = BatchReader(open_store(remote, options), reference_map=True, threads=threads)
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


def test_a_batch_asks_once_for_each_array(
    remote: str, options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = BatchReader(open_store(remote, options), ["B02", "VV"])
    reader.read([0])
    asked: list[int] = []
    get_ranges = obstore.get_ranges

    def counted(*args: Any, starts: list[int], **options: Any) -> Any:
        asked.append(len(starts))
        return get_ranges(*args, starts=starts, **options)

    monkeypatch.setattr(obstore, "get_ranges", counted)
    reader.read([11, 0, 5, 0, 6])
    assert asked == [4, 4]


def test_a_batch_that_is_damaged_there_names_its_patches(own: str, options: dict[str, str]) -> None:
    store = open_store(own, options)
    reader = BatchReader(store)
    reader.read(range(PAIRS))
    patch = read_column(store, "patch")[4]
    key = shard_key(store.array("s2_20m"), 0)
    index = read_index(store.place, key)
    assert index is not None
    ends = [int(index[row].sum()) - 2 for row in (4, 9)]
    change(options, key_of(own, key), lambda data: [data.__setitem__(end, data[end] ^ 1) for end in ends])
    message = rf"row 4 \({patch}\): {own}/{key}: checksum is .*; and so for 1 more, row 9$"
    for _ in range(2):
        with pytest.raises(ChecksumError, match=message):
            reader.read([0, 4, 9])
    store.place.delete(shard_key(store.array("s1"), 0))
    with pytest.raises(
        NotStoredError, match=rf"row 4 \({patch}\) is stored: s1 holds no pixels of it; s1/c/0/0/0/0 was"
    ):
        reader.locate([4])
    change(options, key_of(own, key), lambda data: data.__setitem__(-9, data[-9] ^ 1))
    with pytest.raises(ChecksumError, match=rf"row 4 \({patch}\): {own}/{key}: index: checksum is"):
        reader.read([4])


# What is wrong there.


def test_a_flipped_bit_is_found_and_named(own: str, options: dict[str, str]) -> None:
    store = open_store(own, options)
    key = shard_key(store.array("s2_20m"), 0)
    offset = int(read_index(store.place, key)[4, 0])  # type: ignore[index]  # it is there

    def flip(data: bytearray) -> None:
        data[offset + 5] ^= 1

    change(options, key_of(own, key), flip)
    patch = str(bex.open(own, storage_options=options).patch[4].values)
    report = verify(own, storage_options=options)
    assert len(report.failures) == 1
    assert f"{own}/{key}: row 4 ({patch}): checksum is" in report.failures[0]
    with pytest.raises(ChecksumError, match=rf"row 4 \({patch}\): {own}/{key}: checksum"):
        bex.open(own, storage_options=options).s2.sel(band="B05").isel(patch=4).load()


def test_a_shard_that_is_lost_is_found(own: str, options: dict[str, str]) -> None:
    store = open_store(own, options)
    key = shard_key(store.array("s1"), 0)
    store.place.delete(key)
    assert read_index(store.place, key) is None
    (failure,) = verify(own, storage_options=options).failures
    assert failure.startswith(f"{own}/{key}: is missing: 12 patches are recorded as stored but missing, first S2")
    with pytest.raises(NotStoredError, match=rf"{own}: row 2 \(S2.*\) is stored: s1 holds no pixels"):
        bex.open(own, storage_options=options).s1.isel(patch=2).load()


def test_a_shard_that_was_cut_is_found(own: str, options: dict[str, str]) -> None:
    store = open_store(own, options)
    key = shard_key(store.array("s1"), 0)
    change(options, key_of(own, key), lambda data: data.__delitem__(slice(0, 20_000)))
    (failure,) = verify(own, storage_options=options).failures
    assert "its index speaks of" in failure
    change(options, key_of(own, key), lambda data: data.__delitem__(slice(100, None)))
    (failure,) = verify(own, storage_options=options).failures
    assert "100 bytes, too short for a shard index" in failure


def test_what_is_damaged_there_is_repaired(own: str, archive: Path, options: dict[str, str]) -> None:
    store = open_store(own, options)
    parent = place_of(own, options).parent
    before = {key: parent.read(key) for key in parent.keys()}  # noqa: SIM118  # a Place is no mapping
    key = shard_key(store.array("s2_20m"), 0)
    offset = int(read_index(store.place, key)[4, 0])  # type: ignore[index]  # it is there
    change(options, key_of(own, key), lambda data: data.__setitem__(offset + 5, data[offset + 5] ^ 1))
    for lost in (shard_key(store.array("s1"), 0), "lon", "state"):
        store.place.delete(lost)
    parent.delete("ben.parquet")
    assert len(verify(own, archive, storage_options=options).findings) == 5
    report = verify(own, archive, sample="all", repair=True, storage_options=options)
    assert report.sound, report.failures
    assert {key: parent.read(key) for key in parent.keys()} == before  # noqa: SIM118


def test_a_column_that_is_lost_is_named(own: str, options: dict[str, str]) -> None:
    open_store(own, options).place.delete("lon")
    with pytest.raises(StoreError, match=f"{own}/lon: is missing"):
        bex.open(own, storage_options=options).lon.load()


def test_a_table_that_is_lost_is_named(own: str, options: dict[str, str]) -> None:
    place = place_of(own, options)
    assert read_table(place).num_rows == PAIRS
    place.parent.delete("ben.parquet")
    (failure,) = verify(own, storage_options=options).failures
    assert failure.startswith(f"{own.removesuffix('.zarr')}.parquet: is missing")


def test_no_store_is_said_so(options: dict[str, str]) -> None:
    with pytest.raises(StoreNotFoundError, match=f"s3://{BUCKET}/none.zarr: no store here"):
        bex.open(f"s3://{BUCKET}/none.zarr", storage_options=options)


def test_no_bucket_is_said_so(archive: Path, options: dict[str, str]) -> None:
    for attempt in (bex.open, lambda store, **o: bex.ingest(archive, store, **o)):
        with pytest.raises(StoreAccessError, match="there is no bucket 'elsewhere'; check its name and the endpoint"):
            attempt("s3://elsewhere/ben.zarr", storage_options=options)


def test_wrong_credentials_are_said_so(remote: str, endpoint: str, options: dict[str, str]) -> None:
    put(f"{endpoint}/moto-api/reset-auth", b"0", "POST")
    try:
        with pytest.raises(StoreAccessError, match=r"access was refused \(InvalidAccessKeyId\)") as caught:
            bex.open(remote, storage_options=options)
    finally:
        put(f"{endpoint}/moto-api/reset-auth", b"inf", "POST")
    assert "sesame" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.fixture
def nowhere() -> Iterator[str]:
    """An address where nobody listens."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{silent.getsockname()[1]}"


def test_no_credentials_are_said_so(endpoint: str, nowhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", nowhere)  # this is no machine of AWS, which would have some
    with pytest.raises(StoreAccessError, match="no credentials; set AWS_ACCESS_KEY_ID"):
        bex.open(ADDRESS, storage_options={"endpoint": endpoint})


def test_a_wrong_endpoint_is_said_so(nowhere: str, options: dict[str, str]) -> None:
    with pytest.raises(StoreAccessError, match=r"object storage did not answer as expected .*check endpoint"):
        bex.open(ADDRESS, storage_options=options | {"endpoint": nowhere})


def test_a_fork_is_refused_rather_than_waited_for(remote: str, options: dict[str, str]) -> None:
    store = open_store(remote, options)
    child = os.fork()
    if child == 0:
        try:
            store.place.find("zarr.json")
        except StoreAccessError as error:
            os._exit(17 if "start processes by 'spawn'" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 17


def test_obstore_is_asked_for(options: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    objects._connected.cache_clear()
    with pytest.raises(DependencyError, match=r"pip install 'bigearth-xr\[s3\]'"):
        bex.open("s3://new/ben.zarr", storage_options=options)


# Addresses.


@pytest.mark.parametrize(
    ("address", "storage_options", "message"),
    [
        ("s3://me:sesame@patches/ben.zarr", {}, "s3://…@patches/ben.zarr: an address holds no credentials"),
        ("s3://patches", {}, "names a bucket alone"),
        ("https://example.org/ben.zarr", {}, "no place for a store; expected a path or s3://"),
        (Path("s3://patches/ben.zarr"), {}, "give it as text"),
        ("ben.zarr", {"region": "x"}, "ben.zarr: a folder takes no storage_options"),
        ("s3://patches/ben.zarr", {"key": "x"}, "unknown storage option 'key'.*did you mean 'access_key_id'"),
        ("s3://patches/ben.zarr", {"endpont": "x"}, "unknown storage option 'endpont'.*did you mean 'endpoint'"),
    ],
)
def test_an_address_that_cannot_be_one_is_refused(address: Any, storage_options: dict[str, str], message: str) -> None:
    with pytest.raises(StoreError, match=message) as caught:
        place_of(address, storage_options)
    assert "sesame" not in str(caught.value)


def test_a_file_url_is_a_path(tmp_path: Path) -> None:
    path = bex.testing.write_store(tmp_path / "a b" / "ben.zarr", pairs=1)
    assert place_of(path.as_uri()) == LocalPlace(path)
    assert xr.open_dataset(path.as_uri(), engine="bigearth").sizes["patch"] == 1


# The command line.


def test_commands_take_addresses(remote: str, archive: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ENDPOINT_URL": endpoint, "ACCESS_KEY_ID": "me", "SECRET_ACCESS_KEY": "sesame"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    shown = CliRunner().invoke(app, ["info", remote])
    assert shown.exit_code == 0
    assert remote in shown.output
    assert "in objects" in shown.output
    assert f"{remote}: sound" in CliRunner().invoke(app, ["verify", remote]).output
    assert CliRunner().invoke(app, ["ingest", str(archive), remote]).exit_code == 0
