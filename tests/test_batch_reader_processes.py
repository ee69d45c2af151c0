"""A reader of batches is shared by threads, sent to processes, and opens many shards."""

import gc
import os
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from reading import PAIRS, ROWS, each_profile, memory, same, shard_of

from bigearth_xr.store import encoded
from bigearth_xr.store.batch import BatchReader
from bigearth_xr.store.location import location_of
from bigearth_xr.store.open import Store
from bigearth_xr.store.read import read_patches
from bigearth_xr.store.shard import shard_path

pytest_plugins = ["opened_stores"]


def widened(store: Store, folder: Path, shards: int) -> Store:
    """The same store with its one shard many times over; its columns know nothing of that."""
    for array in store.arrays:
        for shard in range(shards):
            file = shard_path(folder, array, shard)
            file.parent.mkdir(parents=True)
            shutil.copy(shard_of(store, array.name), file)
    (folder / "zarr.json").write_bytes(store.location.read("zarr.json"))
    return replace(store, location=location_of(folder), rows=1024 * shards)


def maps() -> int:
    return Path("/proc/self/maps").read_text().count("ben.zarr")


@each_profile
def test_many_shards_cost_no_descriptors_and_a_bounded_number_of_maps(
    opened: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoded, "MAPPED_SHARDS", 4)
    store = widened(opened, tmp_path / "ben.zarr", 20)
    gc.collect()
    descriptors, before = len(os.listdir("/proc/self/fd")), maps()
    reader = BatchReader(store, ["B01", "B05"])
    rows = np.random.default_rng(0).permutation(20) * 1024 + np.arange(20)
    expected = [read_patches(opened, opened.array("s2_60m"), rows % 1024).tobytes()]
    for _ in range(3):
        assert reader.read(rows)["s2_60m"].tobytes() == expected[0]
        assert [reader.read([row])["s2_60m"].tobytes() for row in rows[:6]]
        assert len(os.listdir("/proc/self/fd")) == descriptors
        assert maps() - before == 8
    reader.close()
    gc.collect()
    assert maps() == before


@each_profile
def test_threads_may_share_a_reader(opened: Store) -> None:
    reader = BatchReader(opened, threads=2)
    rows = [np.random.default_rng(seed).integers(0, PAIRS, 16) for seed in range(12)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(reader.read, rows))
    assert all(same(pixels, opened, wanted) for pixels, wanted in zip(found, rows, strict=True))


@each_profile
def test_a_reader_travels_without_what_it_has_open(opened: Store) -> None:
    reader = BatchReader(opened, ["B8A"], checks="always", threads=2)
    reader.read([2])
    sent = pickle.dumps(reader)
    assert len(sent) < 3000
    arrived = pickle.loads(sent)
    assert arrived.sources == reader.sources
    assert same(arrived.read(ROWS), opened, ROWS)


@each_profile
def test_a_forked_reader_opens_the_store_anew(opened: Store) -> None:
    reader = BatchReader(opened, threads=2)
    kept = reader.locate([2])
    expected = reader.read(ROWS)["s1"].tobytes()
    child = os.fork()
    if child == 0:
        same_memory = memory(int(kept.addresses[0, 0]), 8) == reader.read([2])["s2_10m"].tobytes()[:8]
        os._exit(17 if same_memory and reader.read(ROWS)["s1"].tobytes() == expected else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 17


@each_profile
def test_a_closed_reader_opens_again(opened: Store) -> None:
    with BatchReader(opened, threads=2) as reader:
        reader.prefetch(ROWS)
        reader.read(ROWS)
    reader.close()
    assert same(reader.read(ROWS), opened, ROWS)
