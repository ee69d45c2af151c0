"""Batches of a store on object storage are those of the folder, at few requests, and say what is wrong there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import obstore
import pytest
import torch
import xarray as xr
from s3 import BUCKET, bucket, change, key_of, serving_s3
from torch.utils.data import DataLoader

import bigearth_xr as bex
from bigearth_xr.batches.prefetch import PrefetchReader
from bigearth_xr.errors import ChecksumError, NotStoredError, StoreAccessError
from bigearth_xr.store.open import open_store
from bigearth_xr.store.shard import read_index, shard_key
from bigearth_xr.torch import Augmentation, PatchDataset, PatchLoader

pytest_plugins = ["s3_stores"]


def loader_of(ds: xr.Dataset, **options: Any) -> PatchLoader:
    usual: Any = {"batch_size": 4, "device": "cpu", "seed": 3, "augment": Augmentation(noise_std=0.1)}
    return PatchLoader(ds, **(usual | options))


def same(mine: Any, theirs: Any) -> bool:
    return all(torch.equal(getattr(mine, name), getattr(theirs, name)) for name in ("image", "labels", "row"))


def prefetched(loader: PatchLoader) -> PrefetchReader:
    """What fetches ahead, a private matter of the loader."""
    (part,) = loader._builder.patches.parts
    assert isinstance(part.reader, PrefetchReader)
    return part.reader


# Pixels.


@pytest.mark.parametrize("options", [{}, {"window": 5}, {"window": None}, {"shuffle": False}, {"balance": "class"}])
def test_epochs_are_those_of_the_folder(remote: str, local: Path, s3: dict[str, str], options: Any) -> None:
    here = loader_of(bex.open(local), **options)
    there = loader_of(bex.open(remote, storage_options=s3), **options)
    for _ in range(2):
        for mine, theirs in zip(there, here, strict=True):
            assert same(mine, theirs)
        assert prefetched(there).kept == 0


def test_a_pass_goes_on_exactly_where_it_was(remote: str, local: Path, s3: dict[str, str]) -> None:
    first, *expected = loader_of(bex.open(local))
    there = loader_of(bex.open(remote, storage_options=s3))
    passing = iter(there)
    assert same(next(passing), first)
    again = loader_of(bex.open(remote, storage_options=s3))
    again.load_state_dict(there.state_dict())
    assert all(same(mine, theirs) for mine, theirs in zip(again, expected, strict=True))
    del passing
    assert prefetched(there).kept == 0


def test_two_passes_at_once_take_nothing_from_each_other(remote: str, local: Path, s3: dict[str, str]) -> None:
    expected = [list(loader_of(bex.open(local))), []]
    there = loader_of(bex.open(remote, storage_options=s3))
    first, second = iter(there), iter(there)
    begun = next(first)
    next(second)
    del second
    assert all(same(mine, theirs) for mine, theirs in zip([begun, *first], expected[0], strict=True))


@pytest.mark.sampled(2)
@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_workers_read_there_too(remote: str, local: Path, s3: dict[str, str], method: str) -> None:
    patches = PatchDataset(bex.open(remote, storage_options=s3), bands=["B04", "VV"])
    loader = DataLoader(patches, batch_size=5, num_workers=2, multiprocessing_context=method, timeout=120)
    expected = PatchDataset(bex.open(local), bands=["B04", "VV"])
    images = torch.cat([batch.image for batch in loader])
    assert torch.equal(images, torch.stack([item.image for item in expected.__getitems__(range(12))]))


@pytest.mark.parametrize("profile", ["fast"], indirect=True)
def test_forked_workers_say_that_they_cannot(remote: str, s3: dict[str, str]) -> None:
    patches = PatchDataset(bex.open(remote, storage_options=s3), bands=["B04", "VV"])
    loader = DataLoader(patches, batch_size=5, num_workers=1, multiprocessing_context="fork", timeout=120)
    with pytest.raises(StoreAccessError, match="start processes by 'spawn' or 'forkserver'"):
        next(iter(loader))


# Requests.


class Server:
    """A server with a store of 300 patches, that counts what it is asked for."""

    def __init__(self, log: Path, endpoint: str) -> None:
        self._log = log
        self.s3 = {
            "endpoint": endpoint,
            "region": "us-east-1",
            "access_key_id": "me",
            "secret_access_key": "sesame",
        }
        self.address = f"s3://{BUCKET}/many/ben.zarr"

    def requests(self) -> int:
        return self._log.read_text().count(' HTTP/1.1" ')

    def put(self, folder: Path) -> None:
        for file in folder.parent.rglob("*"):
            if file.is_file():
                key = f"many/{file.relative_to(folder.parent).as_posix()}"
                obstore.put(bucket(self.s3), key, file.read_bytes())


@pytest.fixture(scope="module")
def server(many: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("server") / "log"
    with serving_s3(log) as endpoint:
        server = Server(log, endpoint)
        server.put(many)
        yield server


def test_neighbours_are_asked_for_together(server: Server, many: Path) -> None:
    here = loader_of(bex.open(many), batch_size=16, window=128)
    there = loader_of(bex.open(server.address, storage_options=server.s3), batch_size=16, window=128)
    before = server.requests()
    for mine, theirs in zip(there, here, strict=True):
        assert same(mine, theirs)
    # Of 300 patches in four arrays; a batch drawn from a window of 8 blocks asks for nothing of its own.
    assert server.requests() - before < 300 * 4 / 6


@pytest.mark.parametrize("cache_bytes", [10**9, 20_000_000])
def test_what_is_cached_is_asked_for_once(server: Server, many: Path, cache_bytes: int) -> None:
    here = loader_of(bex.open(many), batch_size=16)
    there = loader_of(
        bex.open(server.address, storage_options=server.s3), batch_size=16, cache="host", cache_bytes=cache_bytes
    )
    counts = [server.requests()]
    for _ in range(2):
        assert all(same(mine, theirs) for mine, theirs in zip(there, here, strict=True))
        counts.append(server.requests())
    first, second = counts[1] - counts[0], counts[2] - counts[1]
    assert 0 < first < 300
    assert second == 0 if cache_bytes == 10**9 else 0 < second < 300


# What is wrong there.


def test_what_is_damaged_there_is_named_where_it_is_read(own_remote: str, s3: dict[str, str]) -> None:
    ds = bex.open(own_remote, storage_options=s3)
    store = open_store(own_remote, s3)
    key = shard_key(store.array("s2_20m"), 0)
    index = read_index(store.location, key)
    assert index is not None
    end = int(index[9].sum()) - 2
    change(s3, key_of(own_remote, key), lambda data: data.__setitem__(end, data[end] ^ 1))
    loader = loader_of(ds, shuffle=False)
    passing = iter(loader)
    assert [row for batch in (next(passing), next(passing)) for row in batch.row.tolist()] == list(range(8))
    with pytest.raises(ChecksumError, match=rf"row 9 \({ds.patch.values[9]}\): {own_remote}/{key}: checksum"):
        next(passing)
    assert prefetched(loader).kept == 0


def test_a_shard_that_is_lost_there_is_named(own_remote: str, s3: dict[str, str]) -> None:
    ds = bex.open(own_remote, storage_options=s3)
    store = open_store(own_remote, s3)
    store.location.delete(shard_key(store.array("s1"), 0))
    with pytest.raises(NotStoredError, match=r"row 0 \(S2.*s1 holds no pixels of it, nor of 3 more"):
        list(loader_of(ds, shuffle=False))
