"""Lists may lie anywhere, come late, and name more or fewer pairs than there are."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import xarray as xr
import zarr
from archives import without_lists
from holdings import holdings

import bigearth_xr as bex
from bigearth_xr import table
from bigearth_xr.errors import MetadataError, NotStoredError, StoreError
from bigearth_xr.releases import Release
from bigearth_xr.store.layout import consolidate
from bigearth_xr.store.location import location_of
from bigearth_xr.testing import synthetic_pair, write_archive


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_lists_may_lie_inside_the_archive_or_elsewhere(tmp_path: Path, version: Release) -> None:
    archive = write_archive(tmp_path / version, pairs=5, version=version)
    assert bex.ingest(archive, tmp_path / "inside.zarr").unlisted == 0
    lists = without_lists(archive, tmp_path / "elsewhere")
    bex.ingest(archive, tmp_path / "outside.zarr", metadata=lists)
    assert holdings(tmp_path / "outside.zarr") == holdings(tmp_path / "inside.zarr")


def test_parquets_may_be_named_one_by_one(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "v2", pairs=10)
    bex.ingest(archive, tmp_path / "inside.zarr")
    lists = without_lists(archive, tmp_path / "elsewhere")
    bex.ingest(archive, tmp_path / "outside.zarr", metadata=sorted(lists.iterdir(), reverse=True))
    assert holdings(tmp_path / "outside.zarr") == holdings(tmp_path / "inside.zarr")


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_without_lists_what_they_decide_is_unknown(tmp_path: Path, version: Release) -> None:
    archive = write_archive(tmp_path / version, pairs=3, version=version)
    without_lists(archive, tmp_path / "elsewhere")
    bex.ingest(archive, tmp_path / "ben.zarr")
    ds = bex.open(tmp_path / "ben.zarr")
    assert not ds.listed.any()
    assert set(ds.split.values) == set(ds.country.values) == {""}
    # The JSONs of v1 have the labels all the same.
    assert ds.has_labels.values.tolist() == [version == "v1"] * 3
    assert ds.labels.any() == (version == "v1")


def test_lists_that_turn_up_later_complete_the_store(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "v2", pairs=5)
    lists = without_lists(archive, tmp_path / "elsewhere")
    bex.ingest(archive, tmp_path / "ben.zarr")
    assert bex.ingest(archive, tmp_path / "ben.zarr", metadata=lists).written == 0
    bex.ingest(archive, tmp_path / "whole.zarr", metadata=lists)
    assert holdings(tmp_path / "ben.zarr") == holdings(tmp_path / "whole.zarr")


def test_an_update_of_the_lists_that_was_killed_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = write_archive(tmp_path / "v2", pairs=5)
    lists = without_lists(archive, tmp_path / "elsewhere")
    bex.ingest(archive, tmp_path / "ben.zarr")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(table, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            bex.ingest(archive, tmp_path / "ben.zarr", metadata=lists)
    bex.ingest(archive, tmp_path / "ben.zarr", metadata=lists)
    bex.ingest(archive, tmp_path / "whole.zarr", metadata=lists)
    assert holdings(tmp_path / "ben.zarr") == holdings(tmp_path / "whole.zarr")
    assert not list(tmp_path.glob("*.new"))


def test_embeddings_outlive_lists_that_turn_up_later(tmp_path: Path) -> None:
    archive, store = write_archive(tmp_path / "v2", pairs=5), tmp_path / "ben.zarr"
    lists = without_lists(archive, tmp_path / "elsewhere")
    bex.ingest(archive, store)
    group = zarr.open_group(store, mode="r+", use_consolidated=False).create_group("embeddings/mine")
    group.create_array("embedding", data=np.ones((5, 3), "float32"), dimension_names=("patch", "feature"))
    consolidate(location_of(store))
    bex.ingest(archive, store, metadata=lists)
    tree = xr.open_datatree(store, engine="zarr", chunks=None)
    assert (tree["embeddings/mine"].embedding == 1).all()
    assert bex.open(store).listed.all()


def test_lists_are_not_forgotten(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "v2", pairs=5)
    bex.ingest(archive, tmp_path / "ben.zarr")
    without_lists(archive, tmp_path / "elsewhere")
    with pytest.raises(StoreError, match=r"its metadata say more.*give the same metadata as before"):
        bex.ingest(archive, tmp_path / "ben.zarr")


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_patch_that_the_lists_do_not_name_is_stored_and_counted(tmp_path: Path, version: Release) -> None:
    archive = write_archive(tmp_path / "more", pairs=4, version=version)
    fewer = write_archive(tmp_path / "fewer", pairs=3, version=version)
    lists = fewer / "lists" if version == "v1" else fewer
    without_lists(archive, tmp_path / "elsewhere")
    report = bex.ingest(archive, tmp_path / "ben.zarr", metadata=lists)
    assert (report.unlisted, report.complete) == (1, True)
    assert report.summary().endswith("left out or incomplete: 1 not in the metadata")
    ds = bex.open(tmp_path / "ben.zarr")
    strange = synthetic_pair(3, release=version).patch
    assert ds.patch.values[~ds.listed.values].tolist() == [strange]
    assert ds.split.sel(patch=strange).item() == ""


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_rows_can_be_planned_for_every_listed_pair(tmp_path: Path, version: Release) -> None:
    whole = write_archive(tmp_path / "whole", pairs=6, version=version)
    part = write_archive(tmp_path / "part", pairs=2, version=version)
    without_lists(part, tmp_path / "elsewhere")
    lists = whole / "lists" if version == "v1" else whole
    report = bex.ingest(part, tmp_path / "ben.zarr", metadata=lists, rows="listed")
    assert (report.rows, report.found, report.stored, report.complete) == (6, 2, 2, False)
    assert bex.open(tmp_path / "ben.zarr").sizes["patch"] == 2

    # The rest arrives: the store is that of the whole archive.
    assert bex.ingest(whole, tmp_path / "ben.zarr", rows="listed").written == 4
    bex.ingest(whole, tmp_path / "once.zarr")
    assert holdings(tmp_path / "ben.zarr") == holdings(tmp_path / "once.zarr")


def test_a_listed_row_that_is_absent_refuses_to_be_read(tmp_path: Path) -> None:
    part = write_archive(tmp_path / "part", pairs=2)
    bex.ingest(part, tmp_path / "ben.zarr", metadata=write_archive(tmp_path / "whole", pairs=6), rows="listed")
    ds = bex.open(tmp_path / "ben.zarr", states="all")
    absent = synthetic_pair(5).patch
    assert ds.state.sel(patch=absent).item() == "absent"
    with pytest.raises(NotStoredError, match=f"row {int(ds.row.sel(patch=absent))} \\({absent}\\) is absent"):
        ds.s2.sel(patch=absent).load()


def test_lists_of_the_other_release_are_refused(tmp_path: Path) -> None:
    v1, v2 = (write_archive(tmp_path / version, pairs=1, version=version) for version in ("v1", "v2"))
    with pytest.raises(MetadataError, match=r"lists of v2, but .*v1 is an archive of v1; give the metadata of its own"):
        bex.ingest(v1, tmp_path / "ben.zarr", metadata=v2)
    assert not (tmp_path / "ben.zarr").exists()


def test_the_lists_of_an_archive_are_found_below_its_root(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "v2", pairs=3)
    lists = without_lists(archive, archive / "published")
    assert pq.read_table(lists / "metadata.parquet").num_rows
    assert bex.ingest(archive, tmp_path / "ben.zarr").unlisted == 0
    assert bex.open(tmp_path / "ben.zarr").listed.all()
