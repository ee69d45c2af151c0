"""Stores on object storage, against a server that speaks S3: the same bytes as in a folder."""

from pathlib import Path
from typing import Any

import numpy as np
import obstore
import pytest
import xarray as xr
from s3 import BUCKET, PAIRS, bucket, every_key, keys_of
from typer.testing import CliRunner

import bigearth_xr as bex
from bigearth_xr.cli import app
from bigearth_xr.errors import StoreError, StoreNotFoundError
from bigearth_xr.store.create import write_states
from bigearth_xr.store.location import LocalLocation, location_of
from bigearth_xr.store.open import open_store
from bigearth_xr.store.shard import shard_key
from bigearth_xr.verification import verify

pytest_plugins = ["s3_stores"]


# Writing.


def test_the_bytes_are_those_of_a_folder(remote: str, local: Path, s3: dict[str, str]) -> None:
    client, root = bucket(s3), local.parent
    prefix = remote.removeprefix(f"s3://{BUCKET}/").removesuffix("ben.zarr")
    there = {key.removeprefix(prefix): bytes(obstore.get(client, key).bytes()) for key in keys_of(client, prefix)}
    here = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert there.keys() == here.keys()
    assert [key for key in here if here[key] != there[key]] == []


def test_ingesting_again_changes_nothing(remote: str, uploaded: Path, s3: dict[str, str]) -> None:
    client = bucket(s3)
    prefix = remote.removeprefix(f"s3://{BUCKET}/").removesuffix("/ben.zarr")
    before = {entry["path"]: entry["last_modified"] for entry in obstore.list(client, prefix).collect()}
    report = bex.ingest(uploaded, remote, storage_options=s3)
    assert (report.written, report.stored, str(report.store)) == (0, PAIRS, remote)
    assert before.keys() == set(keys_of(client, prefix))


@pytest.mark.parametrize("profile", ["fast"], indirect=True)
@pytest.mark.parametrize("lists", ["beside", "inside", "of more"])
def test_a_stream_goes_there_by_way_of_the_working_directory(
    s3: dict[str, str],
    uploaded: Path,
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
    report = bex.ingest(tars, address, more, profile=profile, storage_options=s3)
    assert (report.written, report.complete) == (PAIRS, True)
    assert report.extra_bytes > 0
    assert not list((tmp_path / "here").iterdir())
    if lists == "of more":
        bex.ingest(uploaded, tmp_path / "ben.zarr", more, profile=profile)
        local = tmp_path / "ben.zarr"
    here, there = open_store(local), open_store(address, s3)
    assert {key: there.location.read(key) for key in every_key(there)} == {
        key: here.location.read(key) for key in every_key(here)
    }
    again = bex.ingest(tars, address, more, storage_options=s3)
    assert (again.written, again.complete) == (0, True)


def test_an_ingest_that_was_killed_is_finished(
    own_remote: str, local: Path, uploaded: Path, s3: dict[str, str]
) -> None:
    store = open_store(own_remote, s3)
    expected = {key: store.location.read(key) for key in every_key(store)}
    state = np.ones(PAIRS, np.uint8)
    state[3:7] = 0
    write_states(store, state, state > 0)
    store.location.delete(shard_key(store.array("s1"), 0))
    assert bex.ingest(uploaded, own_remote, storage_options=s3).written == PAIRS
    assert {key: store.location.read(key) for key in every_key(store)} == expected


@pytest.mark.parametrize("profile", ["fast"], indirect=True)
def test_a_creation_that_was_killed_is_finished(own_remote: str, uploaded: Path, s3: dict[str, str]) -> None:
    open_store(own_remote, s3).location.delete("zarr.json")
    with pytest.raises(StoreNotFoundError, match="no store here"):
        open_store(own_remote, s3)
    assert bex.ingest(uploaded, own_remote, storage_options=s3).stored == PAIRS
    assert verify(own_remote, storage_options=s3).sound


def test_a_prefix_that_holds_something_else_is_refused(uploaded: Path, s3: dict[str, str]) -> None:
    obstore.put(bucket(s3), "taken/ben.zarr/notes.txt", b"mine")
    with pytest.raises(StoreError, match=r"taken/ben\.zarr: exists and is not a store; choose another place"):
        bex.ingest(uploaded, f"s3://{BUCKET}/taken/ben.zarr", storage_options=s3)
    assert keys_of(bucket(s3), "taken") == ["taken/ben.zarr/notes.txt"]


def test_lists_that_turn_up_later_are_taken_in(s3: dict[str, str], tmp_path: Path) -> None:
    archive, lists = bex.testing.write_archive(tmp_path / "v2", pairs=3), tmp_path / "lists"
    lists.mkdir()
    for parquet in archive.glob("*.parquet"):
        parquet.rename(lists / parquet.name)
    address = f"s3://{BUCKET}/later/ben.zarr"
    bex.ingest(archive, address, storage_options=s3)
    assert not bex.open(address, storage_options=s3).listed.any()
    ds = bex.open(address, storage_options=s3)
    bex.embed(ds, "spectral", name="mine", bands=["B02"])
    report = bex.ingest(archive, address, metadata=lists, storage_options=s3)
    assert (report.written, report.stored) == (0, 3)
    assert bex.open(address, storage_options=s3).listed.all()
    assert "mine" in xr.open_datatree(address, engine="bigearth", storage_options=s3)["embeddings"]
    assert verify(address, storage_options=s3).sound


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
        location_of(address, storage_options)
    assert "sesame" not in str(caught.value)


def test_a_file_url_is_a_path(tmp_path: Path) -> None:
    path = bex.testing.write_store(tmp_path / "a b" / "ben.zarr", pairs=1)
    assert location_of(path.as_uri()) == LocalLocation(path)
    assert xr.open_dataset(path.as_uri(), engine="bigearth").sizes["patch"] == 1


# The command line.


def test_commands_take_addresses(remote: str, uploaded: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ENDPOINT_URL": endpoint, "ACCESS_KEY_ID": "me", "SECRET_ACCESS_KEY": "sesame"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    shown = CliRunner().invoke(app, ["info", remote])
    assert shown.exit_code == 0
    assert remote in shown.output
    assert "in objects" in shown.output
    assert f"{remote}: sound" in CliRunner().invoke(app, ["verify", remote]).output
    assert CliRunner().invoke(app, ["ingest", str(uploaded), remote]).exit_code == 0
