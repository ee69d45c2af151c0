"""Shards are written by the workers of a Dask cluster as they are here, and one of them may be lost."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed import Client, LocalCluster
from holdings import changes, holdings

import bigearth_xr as bex
from bigearth_xr.errors import StoreError
from bigearth_xr.ingestion.api import _run_on_cluster
from bigearth_xr.ingestion.shards import ShardJob, ShardResult
from bigearth_xr.store.codec import PROFILES, ProfileName
from bigearth_xr.testing import write_archive

PAIRS = 2100
"""Three shards."""

BANDS = ["B01", "VV"]


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """A cluster of two processes, without a dashboard."""
    options: dict[str, Any] = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    # distributed is typed in part.
    with LocalCluster(**options) as cluster, Client(cluster) as client:  # type: ignore[no-untyped-call]
        yield client


@pytest.fixture(scope="module")
def tar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_archive(tmp_path_factory.mktemp("cluster") / "ben.tar", pairs=PAIRS, container="tar")


@pytest.fixture(scope="module")
def whole(tar: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store that is made here."""
    store = tmp_path_factory.mktemp("whole") / "ben.zarr"
    bex.ingest(tar, store, bands=BANDS, workers=1)
    return store


def test_a_cluster_writes_the_same_bytes(tmp_path: Path, tar: Path, whole: Path, client: Client) -> None:
    report = bex.ingest(tar, tmp_path / "ben.zarr", bands=BANDS, client=client)
    assert (report.written, report.complete) == (PAIRS, True)
    assert holdings(tmp_path / "ben.zarr") == holdings(whole)
    before = changes(tmp_path / "ben.zarr")
    assert bex.ingest(tar, tmp_path / "ben.zarr", bands=BANDS, client=client).written == 0
    assert changes(tmp_path / "ben.zarr") == before


@pytest.mark.parametrize("profile", PROFILES)
def test_a_cluster_moves_what_came_in_a_stream(tmp_path: Path, client: Client, profile: ProfileName) -> None:
    archive = write_archive(tmp_path / "ben", pairs=30, container="tar.gz", as_published=True)
    bex.ingest(archive, tmp_path / "cluster.zarr", profile=profile, client=client)
    bex.ingest(archive, tmp_path / "here.zarr", profile=profile)
    assert holdings(tmp_path / "cluster.zarr") == holdings(tmp_path / "here.zarr")


def test_each_shard_is_written_once(tmp_path: Path, tar: Path, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    submit = client.submit

    def noting(function: Callable[..., ShardResult], job: ShardJob, *, pure: bool) -> object:
        given.append(job.shard)
        return submit(function, job, pure=pure)

    monkeypatch.setattr(client, "submit", noting)
    bex.ingest(tar, tmp_path / "ben.zarr", bands=BANDS, client=client)
    assert sorted(given) == [0, 1, 2]


def test_a_worker_that_is_lost_is_made_up_for(
    tmp_path: Path, tar: Path, whole: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = tmp_path / "killed"

    def killed_once(job: ShardJob) -> ShardResult:
        import os
        from threading import Timer

        if job.shard == 1:
            try:
                os.close(os.open(once, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                pass
            else:
                Timer(0.02, os._exit, (9,)).start()
        return job.write()

    monkeypatch.setattr("bigearth_xr.ingestion.api._write", killed_once)
    report = bex.ingest(tar, tmp_path / "ben.zarr", bands=BANDS, client=client)
    assert once.exists()
    assert report.complete
    assert holdings(tmp_path / "ben.zarr") == holdings(whole)


def test_a_shard_that_kills_every_worker_is_told(
    tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deadly(_: ShardJob) -> ShardResult:
        os._exit(9)

    archive = write_archive(tmp_path / "v2", pairs=2)
    with monkeypatch.context() as patched:
        patched.setattr("bigearth_xr.ingestion.api._write", deadly)
        with pytest.raises(
            StoreError, match=r"one shard took several Dask workers with it .*call ingest again to continue"
        ):
            bex.ingest(archive, tmp_path / "ben.zarr", client=client)
    assert bex.ingest(archive, tmp_path / "ben.zarr").complete


def test_what_a_lost_worker_has_moved_already_is_not_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second of two workers finds the files of the first at their place."""
    archive = write_archive(tmp_path / "ben", pairs=10, container="tar.gz", as_published=True)
    write = bex.ingestion.shards.StagedJob.write
    results = []

    def twice(job: object, advance: object = lambda: None) -> object:
        results.extend([write(job), write(job)])  # type: ignore[arg-type]  # as it is called
        return results[-1]

    monkeypatch.setattr(bex.ingestion.shards.StagedJob, "write", twice)
    assert bex.ingest(archive, tmp_path / "ben.zarr").complete
    assert results[0] == results[1]
    monkeypatch.undo()
    bex.ingest(archive, tmp_path / "once.zarr")
    assert holdings(tmp_path / "ben.zarr") == holdings(tmp_path / "once.zarr")


def test_shards_are_handed_out_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch, client: Client) -> None:
    running, most = 0, 0

    class Plan:
        class row_plan:  # noqa: N801  # what a plan has
            shards = dict.fromkeys(range(40), np.array([0]))

        @staticmethod
        def job(shard: int) -> object:
            nonlocal running, most
            running += 1
            most = max(most, running)
            return shard

    monkeypatch.setattr("bigearth_xr.ingestion.api._write", lambda job: job)
    for _ in _run_on_cluster(Plan(), client):  # type: ignore[arg-type]  # as much of it as matters
        running -= 1
    assert running == 0
    assert most <= 5
