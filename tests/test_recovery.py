"""A root that is lost, damaged or edited is told and written again; what another format says stays."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zarr
from damages import both, delete_table, kinds
from holdings import copy_store, holdings

import bigearth_xr as bex
from bigearth_xr.errors import FormatError, StoreNotFoundError
from bigearth_xr.store.open import metadata_digest
from bigearth_xr.verification import verify

Edit = Callable[[dict[str, Any]], object]


def edit(store: Path, change: Edit) -> None:
    """Change a root's JSON."""
    document = json.loads((store / "zarr.json").read_text())
    change(document)
    (store / "zarr.json").write_text(json.dumps(document))


def no_attributes(document: dict[str, Any]) -> None:
    document["attributes"] = {}


def no_consolidation(document: dict[str, Any]) -> None:
    del document["consolidated_metadata"]


def another_uuid(document: dict[str, Any]) -> None:
    document["attributes"]["bigearth"]["uuid"] = "00000000-0000-5000-8000-000000000000"


def another_version(document: dict[str, Any]) -> None:
    document["attributes"]["bigearth"]["format_version"] = 3


def other_bands(document: dict[str, Any]) -> None:
    document["attributes"]["bigearth"]["bands"].remove("B03")


def a_list_for_a_group(document: dict[str, Any]) -> None:
    document["consolidated_metadata"]["metadata"] = []


EDITS: list[Edit] = [no_attributes, no_consolidation, another_uuid, another_version, other_bands, a_list_for_a_group]


@pytest.mark.sampled(3)
@both
@pytest.mark.parametrize("change", EDITS, ids=lambda change: str(change.__name__))
def test_an_edited_root_is_told_and_written_again(archive: Path, own: Path, change: Edit) -> None:
    before = holdings(own)
    edit(own, change)
    damaged = holdings(own)
    report = verify(own)
    assert kinds(report) == {("metadata", "zarr.json")}
    assert str(own / "zarr.json") in report.failures[0]
    assert holdings(own) == damaged
    assert verify(own, archive, repair=True).sound
    assert holdings(own) == before


@both
def test_a_lost_root_is_written_again_with_what_was_added(archive: Path, own: Path) -> None:
    bex.embed(bex.open(own).isel(patch=slice(0, 9)), "spectral", name="mine", bands=["B04"])
    before = holdings(own)
    (own / "zarr.json").unlink()
    report = verify(own)
    assert kinds(report) == {("metadata", "zarr.json")}
    assert report.failures == (f"{own / 'zarr.json'}: is missing; repair it with --repair",)
    assert verify(own, archive, repair=True).repaired == ("zarr.json",)
    assert holdings(own) == before


def test_a_root_that_other_tools_wrote_over_is_written_again(tmp_path: Path) -> None:
    archive = bex.testing.write_archive(tmp_path / "v2", pairs=3)
    bex.ingest(archive, tmp_path / "ben.zarr", bands=["B02", "B05", "VH"])
    before = holdings(tmp_path / "ben.zarr")
    root = zarr.open_group(tmp_path / "ben.zarr", mode="r+")
    root.attrs.clear()
    with pytest.warns(UserWarning, match="Consolidated metadata"):
        zarr.consolidate_metadata(tmp_path / "ben.zarr")
    assert not verify(tmp_path / "ben.zarr").sound
    assert verify(tmp_path / "ben.zarr", archive, repair=True).sound
    assert holdings(tmp_path / "ben.zarr") == before


@both
def test_attributes_that_were_added_are_no_damage_and_stay(archive: Path, own: Path) -> None:
    edit(own, lambda document: document["attributes"].update(mine="a note"))
    assert verify(own).sound
    edit(own, another_uuid)
    assert verify(own, archive, repair=True).sound
    assert json.loads((own / "zarr.json").read_text())["attributes"]["mine"] == "a note"


@both
def test_arrays_that_are_lost_wholly_are_written_again(archive: Path, own: Path) -> None:
    before = holdings(own)
    for name in ("s2_20m", "split", "x_10m", "labels_19", "state"):
        shutil.rmtree(own / name)
    named = {finding.file.split("/")[0] for finding in verify(own).findings}
    assert named >= {"s2_20m", "split", "x_10m", "labels_19", "state"}
    assert verify(own, archive, repair=True).sound
    assert holdings(own) == before


@both
def test_without_root_and_table_nothing_tells(archive: Path, own: Path) -> None:
    (own / "zarr.json").unlink()
    delete_table(own)
    before = set(own.rglob("*"))
    with pytest.raises(FormatError, match=r"zarr.json: is missing, and so is .*ben.parquet.*put one of them back"):
        verify(own, archive, repair=True)
    assert set(own.rglob("*")) == before


@both
def test_a_table_of_other_patches_tells_nothing(own: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = copy_store(own, tmp_path / "other")
    rows = bex.table.read(own.with_suffix(".parquet"))
    bex.table.write(rows.slice(1), other.with_suffix(".parquet"))
    (other / "zarr.json").unlink()
    with pytest.raises(FormatError, match=r"do not tell what it said .the table is of other patches"):
        verify(other)


def test_another_store_is_none_of_ours(tmp_path: Path) -> None:
    zarr.create_group(tmp_path / "mine.zarr", attributes={"mine": True})
    with pytest.raises(FormatError, match="not one of bigearth_xr"):
        verify(tmp_path / "mine.zarr")
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreNotFoundError, match="no store here"):
        verify(tmp_path / "empty")


def test_a_store_of_a_version_to_come_is_no_damage(tmp_path: Path) -> None:
    store = bex.testing.write_store(tmp_path / "ben.zarr", pairs=2)

    def renew(document: dict[str, Any]) -> None:
        ours = document["attributes"]["bigearth"]
        ours["format_version"] = 3
        ours["metadata_digest"] = metadata_digest(document)

    edit(store, renew)
    with pytest.raises(FormatError, match="format version 3"):
        verify(store)
