"""An archive that was cut short gives a store that opens, says so, and becomes the store of the whole one."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from holdings import changes, holdings

import bigearth_xr as bex
from bigearth_xr.errors import StoreError
from bigearth_xr.ingestion import rerow
from bigearth_xr.ingestion.rerow import finish_rerow, rerow_store
from bigearth_xr.releases import Release
from bigearth_xr.store.codec import PROFILES, ProfileName
from bigearth_xr.store.create import Marker, describe, read_marker
from bigearth_xr.store.location import location_of
from bigearth_xr.store.open import open_store
from bigearth_xr.store.schema import pixel_arrays
from bigearth_xr.testing import write_archive
from bigearth_xr.testing.faults import truncated
from bigearth_xr.verification import verify

PAIRS = 24


def is_marked(store: Path) -> bool:
    return read_marker(location_of(store)) is not None


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.sampled(5)
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("container", ["tar", "tar.gz", "tar.zst"])
def test_a_tar_that_was_cut_short_is_finished_by_the_whole_one(
    tmp_path: Path, release: Release, container: str, profile: ProfileName
) -> None:
    whole = write_archive(tmp_path / f"ben.{container}", pairs=PAIRS, version=release, container=container)  # type: ignore[arg-type]  # one of them
    # In the middle of Sentinel-1, which comes behind Sentinel-2.
    cut = truncated(whole, tmp_path / f"cut.{container}", at=0.8)
    report = bex.ingest(cut, tmp_path / "ben.zarr", profile=profile)
    assert report.is_cut_short
    assert not report.complete
    assert 0 < report.stored < PAIRS
    assert "ends at byte" in describe(tmp_path / "ben.zarr")["incomplete"]
    assert bex.open(tmp_path / "ben.zarr").sizes["patch"] == report.stored
    assert bex.open(tmp_path / "ben.zarr").s1.isel(patch=0).values.any()

    report = bex.ingest(whole, tmp_path / "ben.zarr")
    assert (report.stored, report.complete) == (PAIRS, True)
    assert "incomplete" not in describe(tmp_path / "ben.zarr")
    bex.ingest(whole, tmp_path / "once.zarr", profile=profile)
    assert holdings(tmp_path / "ben.zarr") == holdings(tmp_path / "once.zarr")
    assert names(tmp_path) == {
        whole.name,
        cut.name,
        *(f"{name}.{end}" for name in ("ben", "once") for end in ("zarr", "parquet")),
    }


@pytest.mark.parametrize("container", ["tar", "tar.gz"])
@pytest.mark.parametrize("at", [0.2, 0.5])
def test_maps_may_come_later_if_their_tar_was_cut_short(tmp_path: Path, container: str, at: float) -> None:
    folder = write_archive(tmp_path / "ben", pairs=PAIRS, container=container, as_published=True)  # type: ignore[arg-type]  # one of them
    bex.ingest(folder, tmp_path / "once.zarr")
    whole = (folder / f"Reference_Maps.{container}").rename(tmp_path / f"maps.{container}")
    truncated(whole, folder / f"Reference_Maps.{container}", at=at)
    report = bex.ingest(folder, tmp_path / "ben.zarr")
    assert (report.is_cut_short, report.stored) == (True, PAIRS)
    whole.replace(folder / f"Reference_Maps.{container}")
    assert bex.ingest(folder, tmp_path / "ben.zarr").complete
    assert holdings(tmp_path / "ben.zarr") == holdings(tmp_path / "once.zarr")


def test_what_was_stored_is_not_read_again(tmp_path: Path) -> None:
    whole = write_archive(tmp_path / "ben.tar", pairs=PAIRS, container="tar", version="v1")
    stored = bex.ingest(truncated(whole, tmp_path / "cut.tar", at=0.9), tmp_path / "ben.zarr").stored
    assert stored
    assert bex.ingest(whole, tmp_path / "ben.zarr").written == PAIRS - stored


def test_nothing_that_is_stored_is_given_up(tmp_path: Path) -> None:
    whole = write_archive(tmp_path / "ben.tar", pairs=PAIRS, container="tar")
    bex.ingest(truncated(whole, tmp_path / "cut.tar", at=0.8), tmp_path / "ben.zarr")
    before = changes(tmp_path / "ben.zarr")
    other = write_archive(tmp_path / "other.tar", pairs=2, first=50, container="tar")
    with pytest.raises(StoreError, match="patches are not the 2 of this archive"):
        bex.ingest(other, tmp_path / "ben.zarr")
    assert changes(tmp_path / "ben.zarr") == before
    assert is_marked(tmp_path / "ben.zarr")


@pytest.fixture
def provisional(tmp_path: Path) -> tuple[Path, Callable[[], None]]:
    """A store of half an archive, and what gives it the rows of the whole one."""
    whole = write_archive(tmp_path / "ben.tar", pairs=PAIRS, container="tar")
    bex.ingest(truncated(whole, tmp_path / "cut.tar", at=0.8), tmp_path / "ben.zarr")
    archive = bex.archive.open_archive(whole)
    table = bex.table.from_archive(archive)
    marker = Marker(is_provisional=False, reason="test")

    def apply() -> None:
        store = open_store(tmp_path / "ben.zarr")
        rerow_store(
            store, table, arrays=pixel_arrays(archive.bands, reference_map=True), sensors=("s1", "s2"), marker=marker
        )

    return tmp_path / "ben.zarr", apply


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("place", "name"),
    [
        (rerow, "create_store"),
        (rerow, "_move_shard"),
        (rerow, "write_states"),
        (rerow, "_exchange_folders"),
        (rerow, "finish_rerow"),
        (rerow, "_is_table_of"),
    ],
)
def test_whenever_it_is_killed_there_is_a_store(
    provisional: tuple[Path, Callable[[], None]], monkeypatch: pytest.MonkeyPatch, place: object, name: str
) -> None:
    store, apply = provisional
    there = bex.open(store).patch.values.tolist()

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(place, name, killed)
        with pytest.raises(KeyboardInterrupt):
            apply()
    assert bex.open(store).patch.values.tolist() == there
    assert is_marked(store)
    whole = store.with_suffix(".tar")
    bex.ingest(whole, store)
    bex.ingest(whole, store.with_name("once.zarr"))
    assert holdings(store) == holdings(store.with_name("once.zarr"))
    assert not [path for path in store.parent.iterdir() if ".ingest" in path.name]


def test_the_old_store_comes_back_if_it_was_killed_between_two_renames(
    provisional: tuple[Path, Callable[[], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, apply = provisional
    before = holdings(store)
    monkeypatch.setattr(rerow, "_exchange_at_once", lambda one, other: False)
    replace = Path.replace

    def killed(path: Path, target: Path) -> Path:
        if path.name == "ben.ingest-new.zarr":
            raise KeyboardInterrupt
        return replace(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            apply()
    assert not store.exists()
    finish_rerow(store)
    assert holdings(store) == before
    apply()
    assert open_store(store).rows == PAIRS


def test_folders_change_places_where_the_system_cannot_exchange_them(
    provisional: tuple[Path, Callable[[], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, apply = provisional
    monkeypatch.setattr(rerow, "_exchange_at_once", lambda one, other: False)
    apply()
    assert open_store(store).rows == PAIRS
    assert not [path for path in store.parent.iterdir() if ".ingest" in path.name]


def test_a_store_with_new_rows_holds_what_it_held(provisional: tuple[Path, Callable[[], None]]) -> None:
    store, apply = provisional
    before = bex.open(store)
    pixels = {patch: before.s2.sel(patch=patch).values for patch in before.patch.values}
    apply()
    after = bex.open(store)
    assert set(after.patch.values) == pixels.keys()
    assert all(np.array_equal(after.s2.sel(patch=patch).values, values) for patch, values in pixels.items())
    assert verify(store).sound


def test_in_object_storage_rows_stay(provisional: tuple[Path, Callable[[], None]]) -> None:
    from dataclasses import replace

    store = replace(open_store(provisional[0]), location=location_of("s3://mine/ben.zarr"))
    with pytest.raises(StoreError, match="cannot be moved on object storage; delete it and ingest the whole archive"):
        rerow_store(
            store,
            bex.table.read(provisional[0].with_suffix(".parquet")),
            arrays=store.arrays,
            sensors=("s1",),
            marker=Marker(is_provisional=True, reason=""),
        )


def test_a_leftover_of_another_store_is_no_table(tmp_path: Path) -> None:
    bex.ingest(write_archive(tmp_path / "v2", pairs=2), tmp_path / "ben.zarr")
    before = holdings(tmp_path / "ben.zarr")
    shutil.copytree(tmp_path / "ben.zarr", tmp_path / "ben.ingest-new.zarr")
    bex.table.write(
        bex.table.from_lists(write_archive(tmp_path / "other", pairs=3)), tmp_path / "ben.ingest-new.parquet"
    )
    finish_rerow(tmp_path / "ben.zarr")
    assert holdings(tmp_path / "ben.zarr") == before
    assert names(tmp_path) == {"v2", "other", "ben.zarr", "ben.parquet"}
    assert json.loads((tmp_path / "ben.zarr/zarr.json").read_bytes())
