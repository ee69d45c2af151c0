"""Rows are read from the store that they are rows of, or refused: whatever lies at its path by now."""

import os
import pickle
import shutil
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import bigearth_stac
import numpy as np
import pytest
import xarray as xr
from openings import CHUNKED_OPENERS, Opener

import bigearth_xr as bex
from bigearth_xr.errors import StoreChangedError, StoreNotFoundError
from bigearth_xr.store.batch import BatchReader
from bigearth_xr.store.codec import PROFILES, ProfileName
from bigearth_xr.store.open import check_current, open_store
from bigearth_xr.testing import formula_pixels, write_archive


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of an archive, its store, and one of the same archive less its first pair, in either profile."""
    folder = tmp_path_factory.mktemp("two")
    bex.ingest(write_archive(folder / "archive", pairs=5), folder / "ben.zarr")
    first = str(bex.open(folder / "ben.zarr").patch.values[0])
    less = shutil.copytree(folder / "archive", folder / "less")
    for patch in [*less.rglob(first)]:
        shutil.rmtree(patch)
    for profile in PROFILES:
        bex.ingest(less, folder / profile / "ben.zarr", profile=profile)
    return folder


@pytest.fixture
def five(two: Path, tmp_path: Path) -> Path:
    """A store of five pairs."""
    return shutil.copytree(two / "ben.zarr", tmp_path / "ben.zarr")


def exchange(store: Path, two: Path, profile: ProfileName = "fast") -> None:
    """Put another store at the path, in which the same row is another patch."""
    shutil.rmtree(store)
    shutil.copytree(two / profile / "ben.zarr", store)


READS: dict[str, Callable[[xr.Dataset], Any]] = {
    "pixels": lambda ds: ds.s2.isel(patch=3).compute().values,
    "one pixel": lambda ds: float(ds.s1[3, 0, 0, 0]),
    "all": lambda ds: ds.load(),
    "labels": lambda ds: ds.labels.values,
    "maps": lambda ds: ds.reference_map[[3]].values,
    "coordinate": lambda ds: ds.country.values,
    "time": lambda ds: ds.s2_time.values,
    "image": lambda ds: ds.ben.image(["B04", "VV"]).isel(patch=[3]).values,
    "mean": lambda ds: ds.s1.mean().compute(),
}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize("opener", CHUNKED_OPENERS.values(), ids=CHUNKED_OPENERS)
def test_a_pickled_dataset_never_reads_another_store(
    five: Path, two: Path, opener: Opener, read: Callable[[xr.Dataset], Any]
) -> None:
    ds = opener(five)
    was = open_store(five).uuid
    sent = pickle.dumps(ds)
    exchange(five, two)
    now = open_store(five).uuid
    with pytest.raises(StoreChangedError, match=f"{five} on .* holds another store by now: uuid {now}.*is {was}"):
        read(pickle.loads(sent))


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("has_read", [False, True], ids=["fresh", "in use"])
def test_a_batch_reader_never_reads_another_store(five: Path, two: Path, profile: ProfileName, has_read: bool) -> None:
    reader = BatchReader(open_store(five))
    if has_read:
        reader.read([3])
    exchange(five, two, profile)
    for read in (reader.read, reader.locate):
        with pytest.raises(StoreChangedError, match="holds another store by now"):
            read([3])


def test_a_dataset_in_use_notices_that_two_stores_were_exchanged(five: Path, two: Path, tmp_path: Path) -> None:
    ds, patch = bex.open(five), str(bex.open(five).patch.values[3])
    right = ds.s1[3].values
    five.rename(tmp_path / "kept.zarr")
    shutil.copytree(two / "fast" / "ben.zarr", five)
    with pytest.raises(StoreChangedError):
        ds.s1[3].values  # noqa: B018
    exchanged = five.rename(tmp_path / "exchanged.zarr")
    (tmp_path / "kept.zarr").rename(five)
    np.testing.assert_array_equal(ds.s1[3], right)
    np.testing.assert_array_equal(ds.s1[3, 1], formula_pixels(patch, "VH"))
    assert str(bex.open(exchanged).patch.values[3]) != patch


def test_the_same_archive_ingested_again_is_the_same_store(five: Path, two: Path) -> None:
    ds = bex.open(five)
    right = ds.s2.values
    shutil.rmtree(five)
    bex.ingest(two / "archive", five)
    np.testing.assert_array_equal(ds.s2.values, right)


def test_embeddings_are_of_the_store_that_was_opened(five: Path, two: Path) -> None:
    ds = bex.open(five)
    vectors = bex.embed(ds, "spectral", name="mine")
    exchange(five, two)
    bex.embed(bex.open(five), "spectral", name="mine")
    for use in (lambda: vectors.values, lambda: bex.embed(ds, "spectral", name="mine")):
        with pytest.raises(StoreChangedError, match="holds another store by now"):
            use()


def test_a_store_that_is_gone_is_not_called_damaged(five: Path) -> None:
    ds, reader, vectors = bex.open(five), BatchReader(open_store(five)), bex.embed(bex.open(five), "spectral", name="a")
    reader.read([1])
    shutil.rmtree(five)
    reads: list[Callable[[], Any]] = [partial(read, ds) for read in READS.values()]
    reads += [partial(reader.read, [2]), partial(reader.locate, [1]), lambda: vectors.values]
    for read in reads:
        with pytest.raises(StoreNotFoundError, match=f"no store at {five} on {socket.gethostname()} any more"):
            read()


def test_a_root_that_tells_no_identity_is_named(five: Path) -> None:
    store = open_store(five)
    (five / "zarr.json").write_text('{"attributes": {}}')
    with pytest.raises(bex.errors.FormatError, match=r"zarr\.json: describes a Zarr store, but not one of bigearth_xr"):
        check_current(store)


def test_a_worker_writes_no_shard_into_another_store(five: Path, two: Path) -> None:
    from bigearth_xr.archive import open_archive
    from bigearth_xr.ingestion.shards import FileJob, write_shard

    job = FileJob(
        store=open_store(five),
        archive=open_archive(two / "archive"),
        shard=0,
        patches={},
        refused={},
        kept=frozenset(range(5)),
    )
    exchange(five, two)
    with pytest.raises(StoreChangedError):
        write_shard(job)


@pytest.mark.parametrize("opener", CHUNKED_OPENERS.values(), ids=CHUNKED_OPENERS)
def test_a_relative_path_is_of_the_folder_in_which_it_was_given(
    five: Path, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(five.parent)
    ds = opener("ben.zarr")
    sent = pickle.dumps(ds)
    (five.parent / "elsewhere").mkdir()
    monkeypatch.chdir(five.parent / "elsewhere")
    right = opener(five).s1.values
    for one in (ds, pickle.loads(sent)):
        np.testing.assert_array_equal(one.s1.values, right)


def test_a_home_folder_is_found_at_every_door(five: Path, two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bigearth_xr.sample import unpack_sample

    monkeypatch.setenv("HOME", str(five.parent))
    shutil.copytree(two / "archive", five.parent / "archive")
    assert bex.open("~/ben.zarr").sizes["patch"] == 5
    assert xr.open_dataset("~/ben.zarr", engine="bigearth").sizes["patch"] == 5
    assert bex.ingest("~/archive", "~/new/ben.zarr").rows_stored == 5
    assert bex.ingest(Path("~/archive"), Path("~/again.zarr"), metadata="~/archive/metadata.parquet").rows_stored == 5
    assert bex.verify("~/again.zarr", "~/archive", metadata=["~/archive/metadata.parquet"]).sound
    assert bex.table.from_lists("~/archive").num_rows == 5
    assert bex.table.read("~/again.parquet").num_rows == 5
    assert bex.testing.write_archive("~/made", pairs=1).is_dir()
    assert unpack_sample("~/sample").is_dir()
    bigearth_stac.build_catalog("~/again.zarr", "~/catalog")
    assert len(bigearth_stac.find_items("~/catalog")) == 5
    assert not os.path.lexists("~")
