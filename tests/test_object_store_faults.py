"""What is damaged, lost, refused or unreachable on object storage is found, and told in words."""

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from s3 import BUCKET, PAIRS, change, key_of, put

import bigearth_xr as bex
from bigearth_xr.errors import (
    ChecksumError,
    DependencyError,
    NotStoredError,
    StoreAccessError,
    StoreError,
    StoreNotFoundError,
)
from bigearth_xr.store import objects
from bigearth_xr.store.create import read_table
from bigearth_xr.store.location import location_of
from bigearth_xr.store.open import open_store
from bigearth_xr.store.shard import read_index, shard_key
from bigearth_xr.verification import verify

pytest_plugins = ["s3_stores"]

ADDRESS = f"s3://{BUCKET}/v2/ben.zarr"


def test_a_flipped_bit_is_found_and_named(own_remote: str, s3: dict[str, str]) -> None:
    store = open_store(own_remote, s3)
    key = shard_key(store.array("s2_20m"), 0)
    offset = int(read_index(store.location, key)[4, 0])  # type: ignore[index]  # it is there

    def flip(data: bytearray) -> None:
        data[offset + 5] ^= 1

    change(s3, key_of(own_remote, key), flip)
    patch = str(bex.open(own_remote, storage_options=s3).patch[4].values)
    report = verify(own_remote, storage_options=s3)
    assert len(report.failures) == 1
    assert f"{own_remote}/{key}: row 4 ({patch}): checksum is" in report.failures[0]
    with pytest.raises(ChecksumError, match=rf"row 4 \({patch}\): {own_remote}/{key}: checksum"):
        bex.open(own_remote, storage_options=s3).s2.sel(band="B05").isel(patch=4).load()


def test_a_shard_that_is_lost_is_found(own_remote: str, s3: dict[str, str]) -> None:
    store = open_store(own_remote, s3)
    key = shard_key(store.array("s1"), 0)
    store.location.delete(key)
    assert read_index(store.location, key) is None
    (failure,) = verify(own_remote, storage_options=s3).failures
    assert failure.startswith(
        f"{own_remote}/{key}: is missing: 12 patches are recorded as stored but missing, first S2"
    )
    with pytest.raises(NotStoredError, match=rf"{own_remote}: row 2 \(S2.*\) is stored: s1 holds no pixels"):
        bex.open(own_remote, storage_options=s3).s1.isel(patch=2).load()


def test_a_shard_that_was_cut_is_found(own_remote: str, s3: dict[str, str]) -> None:
    store = open_store(own_remote, s3)
    key = shard_key(store.array("s1"), 0)
    change(s3, key_of(own_remote, key), lambda data: data.__delitem__(slice(0, 20_000)))
    (failure,) = verify(own_remote, storage_options=s3).failures
    assert "its index speaks of" in failure
    change(s3, key_of(own_remote, key), lambda data: data.__delitem__(slice(100, None)))
    (failure,) = verify(own_remote, storage_options=s3).failures
    assert "100 bytes, too short for a shard index" in failure


def test_what_is_damaged_there_is_repaired(own_remote: str, uploaded: Path, s3: dict[str, str]) -> None:
    store = open_store(own_remote, s3)
    parent = location_of(own_remote, s3).parent
    before = {key: parent.read(key) for key in parent.keys()}  # noqa: SIM118  # a Place is no mapping
    key = shard_key(store.array("s2_20m"), 0)
    offset = int(read_index(store.location, key)[4, 0])  # type: ignore[index]  # it is there
    change(s3, key_of(own_remote, key), lambda data: data.__setitem__(offset + 5, data[offset + 5] ^ 1))
    for lost in (shard_key(store.array("s1"), 0), "lon", "state"):
        store.location.delete(lost)
    parent.delete("ben.parquet")
    assert len(verify(own_remote, uploaded, storage_options=s3).findings) == 5
    report = verify(own_remote, uploaded, sample="all", repair=True, storage_options=s3)
    assert report.sound, report.failures
    assert {key: parent.read(key) for key in parent.keys()} == before  # noqa: SIM118


def test_a_column_that_is_lost_is_named(own_remote: str, s3: dict[str, str]) -> None:
    open_store(own_remote, s3).location.delete("lon")
    with pytest.raises(StoreError, match=f"{own_remote}/lon/c/0: is missing"):
        bex.open(own_remote, storage_options=s3).lon.load()


def test_a_table_that_is_lost_is_named(own_remote: str, s3: dict[str, str]) -> None:
    place = location_of(own_remote, s3)
    assert read_table(place).num_rows == PAIRS
    place.parent.delete("ben.parquet")
    (failure,) = verify(own_remote, storage_options=s3).failures
    assert failure.startswith(f"{own_remote.removesuffix('.zarr')}.parquet: is missing")


def test_no_store_is_said_so(s3: dict[str, str]) -> None:
    with pytest.raises(StoreNotFoundError, match=f"s3://{BUCKET}/none.zarr: no store here"):
        bex.open(f"s3://{BUCKET}/none.zarr", storage_options=s3)


def test_no_bucket_is_said_so(uploaded: Path, s3: dict[str, str]) -> None:
    for attempt in (bex.open, lambda store, **o: bex.ingest(uploaded, store, **o)):
        with pytest.raises(StoreAccessError, match="there is no bucket 'elsewhere'; check its name and the endpoint"):
            attempt("s3://elsewhere/ben.zarr", storage_options=s3)


def test_wrong_credentials_are_said_so(remote: str, endpoint: str, s3: dict[str, str]) -> None:
    put(f"{endpoint}/moto-api/reset-auth", b"0", "POST")
    try:
        with pytest.raises(StoreAccessError, match=r"access was refused \(InvalidAccessKeyId\)") as caught:
            bex.open(remote, storage_options=s3)
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


def test_a_wrong_endpoint_is_said_so(nowhere: str, s3: dict[str, str]) -> None:
    with pytest.raises(StoreAccessError, match=r"object storage did not answer as expected .*check endpoint"):
        bex.open(ADDRESS, storage_options=s3 | {"endpoint": nowhere})


def test_a_fork_is_refused_rather_than_waited_for(remote: str, s3: dict[str, str]) -> None:
    store = open_store(remote, s3)
    child = os.fork()
    if child == 0:
        try:
            store.location.find("zarr.json")
        except StoreAccessError as error:
            os._exit(17 if "start processes by 'spawn'" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 17


def test_obstore_is_asked_for(s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    objects._connected.cache_clear()
    with pytest.raises(DependencyError, match=r"pip install 'bigearth-xr\[s3\]'"):
        bex.open("s3://new/ben.zarr", storage_options=s3)
