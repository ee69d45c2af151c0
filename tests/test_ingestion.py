"""An ingest stores what can be stored, accounts for every patch, and can be broken off and repeated at will."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import xarray as xr
import zarr
from holdings import files, holdings

import bigearth_xr as bex
from bigearth_xr import table
from bigearth_xr.archive import parse_s1, parse_s2, read_pixels
from bigearth_xr.archive.layout import scene_folder
from bigearth_xr.bands import BANDS, Sensor
from bigearth_xr.errors import (
    ArchiveError,
    BandError,
    MetadataError,
    NotStoredError,
    PatchError,
    SelectionError,
    StoreError,
)
from bigearth_xr.ingestion import IngestReport, shards, workers
from bigearth_xr.releases import Release
from bigearth_xr.store.address import place_of
from bigearth_xr.store.create import write_states
from bigearth_xr.store.layout import consolidate
from bigearth_xr.store.read import open_store, read_state
from bigearth_xr.store.schema import PROFILES, Profile
from bigearth_xr.store.shard import shard_path
from bigearth_xr.testing import encode_tiff, formula_pixels, formula_reference_map, synthetic_pair, write_archive
from bigearth_xr.verification import verify

LISTS = ("metadata.parquet", "metadata_for_patches_with_snow_cloud_or_shadow.parquet", "lists")


def remove(archive: Path, pattern: str) -> bytes:
    """Remove the one file that matches, and give its bytes."""
    (file,) = archive.rglob(pattern)
    data = file.read_bytes()
    file.unlink()
    return data


def without_lists(archive: Path, to: Path) -> Path:
    """Move the lists of an archive away, into a folder of their own."""
    to.mkdir()
    for name in LISTS:
        if (archive / name).exists():
            shutil.move(archive / name, to / name)
    return to / "lists" if (to / "lists").exists() else to


@pytest.fixture
def own(archive: Path, tmp_path: Path) -> Path:
    """A copy of the archive that a test may damage."""
    return shutil.copytree(archive, tmp_path / "own")


# What is stored.


def test_every_pixel_is_that_of_the_archive(ds: xr.Dataset) -> None:
    native = {band.name: 120 // band.size for band in BANDS}
    for patch in ds.patch.values[::5]:
        pixels = ds.ben.image(bands=[band.name for band in BANDS]).sel(patch=patch)
        for band in pixels.band.values:
            expected = formula_pixels(patch, band).repeat(native[band], 0).repeat(native[band], 1)
            assert np.array_equal(pixels.sel(band=band), expected)


def test_every_reference_map_is_that_of_the_archive(tmp_path: Path) -> None:
    pair = synthetic_pair(0)
    bex.ingest(write_archive(tmp_path / "v2", pairs=1), tmp_path / "ben.zarr")
    ds = bex.open(tmp_path / "ben.zarr")
    assert np.array_equal(ds.reference_map.sel(patch=pair.patch), formula_reference_map(pair.labels_19))


def test_everything_found_is_stored_and_the_report_says_so(archive: Path, tmp_path: Path, release: Release) -> None:
    report = bex.ingest(archive, tmp_path / "ben.zarr")
    assert (report.release, report.profile, report.rows) == (release, "fast", 24)
    assert report.found == report.stored == report.written == 24
    assert report.complete
    assert not report.failures
    assert report.summary() == (
        f"{archive} ({release}): 24 patches found\n{tmp_path / 'ben.zarr'} (fast): 24 of 24 rows stored, 24 now"
    )


def test_nothing_is_left_beside_the_store(store: Path) -> None:
    assert sorted(path.name for path in store.parent.iterdir()) == ["ben.parquet", "ben.zarr"]
    assert not [name for name in files(store) if name.endswith((".partial", ".new"))]
    assert verify(store).sound


def test_an_existing_empty_folder_becomes_the_store(tmp_path: Path) -> None:
    (tmp_path / "ben.zarr").mkdir()
    assert bex.ingest(write_archive(tmp_path / "v2", pairs=1), tmp_path / "ben.zarr").complete


# Again, and again after an end before the end.


def test_a_second_ingest_writes_nothing(archive: Path, store: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in store.parent.rglob("*")}
    report = bex.ingest(archive, store)
    assert (report.written, report.stored) == (0, 24)
    assert {path: path.stat().st_mtime_ns for path in store.parent.rglob("*")} == before


def forget_states(store: Path) -> None:
    """As if the run had been killed before it recorded its only shard."""
    rows = open_store(store).rows
    write_states(open_store(store), np.zeros(rows, np.uint8), np.zeros(rows, bool))


def forget_half(store: Path) -> None:
    """As if half of the patches had been added to the archive since."""
    state = read_state(open_store(store)).copy()
    state[::2] = 0
    write_states(open_store(store), state, state > 0)


def delete_every_shard(store: Path) -> None:
    for array in open_store(store).arrays:
        shutil.rmtree(store / array.name / "c")


def delete_one_shard(store: Path) -> None:
    (store / "s2_20m/c/0/0/0/0").unlink()


def delete_the_maps(store: Path) -> None:
    shutil.rmtree(store / "reference_map" / "c", ignore_errors=True)


def leave_a_partial(store: Path) -> None:
    """As a run leaves one that is killed while it writes."""
    forget_states(store)
    for array in open_store(store).arrays:
        shard_path(store, array, 0).with_suffix(".partial").write_bytes(b"half")


@pytest.mark.parametrize(
    "end", [forget_states, forget_half, delete_every_shard, delete_one_shard, delete_the_maps, leave_a_partial]
)
def test_an_ingest_that_was_cut_short_ends_with_the_same_bytes(
    archive: Path, store: Path, tmp_path: Path, end: Callable[[Path], None]
) -> None:
    cut = shutil.copytree(store, tmp_path / "ben.zarr")
    shutil.copy(store.with_suffix(".parquet"), tmp_path)
    end(cut)
    assert bex.ingest(archive, cut).complete
    assert holdings(cut) == holdings(store)


@pytest.mark.parametrize("profile", PROFILES)
def test_an_ingest_that_raises_halfway_can_be_continued(
    tmp_path: Path, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = write_archive(tmp_path / "v2", pairs=5)
    left = iter(range(3))

    def interrupted(*arguments: Any) -> Any:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return read_pixels(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(shards, "read_pixels", interrupted)
        with pytest.raises(KeyboardInterrupt):
            bex.ingest(archive, tmp_path / "ben.zarr", profile=profile)
    assert bex.open(tmp_path / "ben.zarr", states="all").state.values.tolist() == ["absent"] * 5
    assert not [name for name in files(tmp_path / "ben.zarr") if name.endswith(".partial")]
    assert bex.ingest(archive, tmp_path / "ben.zarr").written == 5
    bex.ingest(archive, tmp_path / "whole.zarr", profile=profile)
    assert holdings(tmp_path / "ben.zarr") == holdings(tmp_path / "whole.zarr")


def test_a_store_keeps_its_profile_when_none_is_asked_for(archive: Path, store: Path) -> None:
    assert bex.ingest(archive, store).profile == open_store(store).profile


# Quarantine.


def test_a_bad_patch_is_quarantined_and_the_others_are_stored(own: Path, tmp_path: Path) -> None:
    bad = sorted(path.name for path in own.rglob("S2*_MSIL2A*_*_*") if path.is_dir())[3]
    remove(own, f"{bad}_B05.tif")
    report = bex.ingest(own, tmp_path / "ben.zarr")
    assert (report.found, report.stored, report.written) == (24, 23, 23)
    assert report.found == report.stored + len(report.quarantined)
    assert not report.complete
    (reason,) = report.quarantined.values()
    assert report.quarantined.keys() == {bad}
    assert reason.startswith(f"{bad}: band B05 (")
    assert report.failures == (reason,)
    assert report.summary().endswith("left out or incomplete: 1 quarantined")

    ds = bex.open(tmp_path / "ben.zarr", states="all")
    assert ds.state.sel(patch=bad).item() == "quarantined"
    assert (ds.state == "stored").sum() == 23
    assert bad not in bex.open(tmp_path / "ben.zarr").patch
    # No array holds any of it, the good bands neither.
    with pytest.raises(NotStoredError, match=f"{bad}.* is quarantined: s1 holds no pixels of it"):
        ds.s1.sel(patch=bad).load()


def break_tiff(archive: Path) -> Callable[[], object]:
    """Cut a TIFF short; what comes back mends it."""
    file = sorted(archive.rglob("*_B8A.tif"))[7]
    data = file.read_bytes()
    file.write_bytes(data[:1000])
    return lambda: file.write_bytes(data)


def break_json(archive: Path) -> Callable[[], object]:
    """Spoil a JSON, which in v1 holds labels; what comes back mends it."""
    file = sorted(archive.rglob("S2*_labels_metadata.json"))[7]
    data = file.read_bytes()
    file.write_bytes(data + b"pasted")
    return lambda: file.write_bytes(data)


@pytest.mark.parametrize(("version", "damage"), [("v1", break_tiff), ("v2", break_tiff), ("v1", break_json)])
@pytest.mark.parametrize("profile", PROFILES)
def test_a_quarantined_patch_that_was_repaired_leaves_no_trace(
    tmp_path: Path, version: Release, damage: Callable[[Path], Callable[[], object]], profile: Profile
) -> None:
    archive = write_archive(tmp_path / "archive", pairs=9, version=version)
    repair = damage(archive)
    assert len(bex.ingest(archive, tmp_path / "ben.zarr", profile=profile).quarantined) == 1
    repair()
    report = bex.ingest(archive, tmp_path / "ben.zarr")
    assert (report.written, report.complete, report.quarantined) == (1, True, {})
    bex.ingest(archive, tmp_path / "whole.zarr", profile=profile)
    assert holdings(tmp_path / "ben.zarr") == holdings(tmp_path / "whole.zarr")
    assert verify(tmp_path / "ben.zarr").sound


def test_what_stays_quarantined_is_reported_each_time(own: Path, tmp_path: Path) -> None:
    break_tiff(own)
    first, second = (bex.ingest(own, tmp_path / "ben.zarr") for _ in range(2))
    assert first.quarantined == second.quarantined
    assert (second.written, second.stored) == (0, 23)


def test_strict_raises_only_when_everything_else_is_stored(own: Path, tmp_path: Path) -> None:
    break_tiff(own)
    with pytest.raises(PatchError, match=r"1 patches of .*own could not be stored .*\n.*B8A.*is cut short") as caught:
        bex.ingest(own, tmp_path / "ben.zarr", strict=True)
    assert "the others are in" in str(caught.value)
    assert bex.open(tmp_path / "ben.zarr").sizes["patch"] == 23


def test_unpaired_patches_get_no_row_and_a_line_each(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "v2", pairs=3)
    lone = synthetic_pair(1)
    shutil.rmtree(archive / "BigEarthNet-S1" / scene_folder(parse_s1(lone.s1_name)) / lone.s1_name)
    report = bex.ingest(archive, tmp_path / "ben.zarr")
    assert (report.found, report.rows, report.stored, report.unpaired) == (3, 2, 2, 1)
    assert lone.patch not in bex.open(tmp_path / "ben.zarr", states="all").patch
    assert [(problem.patch, problem.kind) for problem in report.problems] == [(lone.patch, "unpaired")]
    assert report.summary().endswith("left out or incomplete: 1 unpaired")


def test_a_missing_reference_map_is_reported_and_reads_as_65535(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "v2", pairs=3)
    bare = synthetic_pair(1).patch
    shutil.rmtree(archive / "Reference_Maps" / scene_folder(parse_s2(bare)) / bare)
    report = bex.ingest(archive, tmp_path / "ben.zarr")
    assert (report.without_map, report.complete) == ((bare,), True)
    ds = bex.open(tmp_path / "ben.zarr")
    assert (ds.reference_map.sel(patch=bare) == 65535).all()
    assert ds.has_reference_map.sum() == 2
    assert not ds.has_reference_map.sel(patch=bare)


# Metadata.


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
    consolidate(place_of(store))
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


# Parts.


def arrays(store: Path) -> dict[str, tuple[str, ...]]:
    """Bands by array."""
    return {array.name: array.bands for array in open_store(store).arrays}


@pytest.mark.parametrize(
    ("sensors", "bands", "expected"),
    [
        (("s1",), None, {"s1": ("VV", "VH")}),
        ("s1", None, {"s1": ("VV", "VH")}),
        (("s1", "s2"), ["VH"], {"s1": ("VH",)}),
        (("s1", "s2"), ["B8A", "B04", "VV", "B02"], {"s2_10m": ("B02", "B04"), "s2_20m": ("B8A",), "s1": ("VV",)}),
        (("s2",), ["B09"], {"s2_60m": ("B09",)}),
    ],
)
def test_arrays_of_what_was_not_asked_for_do_not_exist(
    archive: Path,
    tmp_path: Path,
    sensors: Sensor | tuple[Sensor, ...],
    bands: list[str] | None,
    expected: dict[str, Any],
) -> None:
    report = bex.ingest(archive, tmp_path / "ben.zarr", sensors=sensors, bands=bands)
    assert report.complete
    found = arrays(tmp_path / "ben.zarr")
    found.pop("reference_map", None)
    assert found == expected
    there = {path.parent.name for path in (tmp_path / "ben.zarr").glob("*/c")}
    assert {"s2_10m", "s2_20m", "s2_60m", "s1"} & there == expected.keys()
    ds = bex.open(tmp_path / "ben.zarr")
    patch = ds.patch.values[9]
    for band in [band for stored in expected.values() for band in stored]:
        size = bex.bands.band(band).size
        pixels = ds.s1.sel(polarization=band) if band in ("VV", "VH") else ds.s2.sel(band=band)
        assert np.array_equal(pixels[9].values[:: 120 // size, :: 120 // size], formula_pixels(patch, band))


@pytest.mark.parametrize(("sensor", "other"), [("s1", "S2*"), ("s2", "S1*")])
def test_one_sensor_needs_nothing_of_the_other(own: Path, tmp_path: Path, sensor: Sensor, other: str) -> None:
    for folder in [path for path in own.rglob(f"{other}_*_*") if path.is_dir() and any(path.glob("*_V[VH].tif"))]:
        shutil.rmtree(folder)
    for file in own.rglob("*_B*.tif") if sensor == "s1" else ():
        file.unlink()
    report = bex.ingest(own, tmp_path / "ben.zarr", sensors=(sensor,))
    assert (report.stored, report.failures) == (24, ())


def test_a_band_that_the_archive_lacks_is_refused_before_anything_is_written(own: Path, tmp_path: Path) -> None:
    for file in own.rglob("*_B11.tif"):
        file.unlink()
    with pytest.raises(ArchiveError, match=r"no patch below .* has a file of B11; unpack them, or ask for those"):
        bex.ingest(own, tmp_path / "ben.zarr")
    assert not (tmp_path / "ben.zarr").exists()


def test_a_band_of_a_sensor_not_asked_for_is_refused(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(BandError, match=r"VV cannot be read with sensors=\['s2'\]; add its sensor or leave it out"):
        bex.ingest(archive, tmp_path / "ben.zarr", sensors=("s2",), bands=["B02", "VV"])


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"sensors": "s3"}, r"sensors is \['s3'\], expected 's1', 's2' or both"),
        ({"bands": "B04"}, r"expected several band names, got the one string 'B04'; write \['B04'\]"),
    ],
    ids=str,
)
def test_one_string_is_taken_as_one_name(archive: Path, tmp_path: Path, choice: dict[str, Any], message: str) -> None:
    with pytest.raises(BandError, match=message):
        bex.ingest(archive, tmp_path / "ben.zarr", **choice)


# What a store refuses.


def test_another_archive_is_refused(tmp_path: Path) -> None:
    one, other = (write_archive(tmp_path / name, pairs=2, seed=seed) for seed, name in enumerate(("one", "other")))
    bex.ingest(one, tmp_path / "ben.zarr")
    before = holdings(tmp_path / "ben.zarr")
    with pytest.raises(StoreError, match=r"its 2 patches are not the 2 of this archive.*rows='listed'"):
        bex.ingest(other, tmp_path / "ben.zarr")
    assert holdings(tmp_path / "ben.zarr") == before


@pytest.mark.parametrize("change", [{"profile": "compact"}, {"bands": ["B02", "VV"]}, {"sensors": ("s2",)}])
def test_another_profile_or_choice_of_bands_is_refused(archive: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    bex.ingest(archive, tmp_path / "ben.zarr", profile="fast")
    with pytest.raises(StoreError, match="choose another place, or delete it first"):
        bex.ingest(archive, tmp_path / "ben.zarr", **change)


def test_an_unknown_profile_is_refused(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="unknown profile 'gpu'; expected one of fast, compact"):
        bex.ingest(archive, tmp_path / "ben.zarr", profile="gpu")  # type: ignore[arg-type]  # the mistake


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_place_that_is_taken_is_left_alone(archive: Path, tmp_path: Path, kind: str) -> None:
    taken = tmp_path / "ben.zarr"
    if kind == "file":
        taken.write_text("mine")
    else:
        taken.mkdir()
        (taken / "mine").touch()
    with pytest.raises(StoreError, match=r"ben\.zarr: exists and is no store; choose another place"):
        bex.ingest(archive, taken)
    assert taken.is_file() or [path.name for path in taken.iterdir()] == ["mine"]


def test_a_damaged_patch_is_kept_as_it_is_and_found_by_verify(archive: Path, store: Path, tmp_path: Path) -> None:
    cut = shutil.copytree(store, tmp_path / "ben.zarr")
    shutil.copy(store.with_suffix(".parquet"), tmp_path)
    path = cut / "s1/c/0/0/0/0"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    (failure,) = verify(cut).failures
    assert "delete it and ingest the archive again into the same store" in failure
    path.unlink()
    assert bex.ingest(archive, cut).complete
    assert holdings(cut) == holdings(store)


def test_verify_finds_whatever_was_deleted(store: Path, tmp_path: Path) -> None:
    for array in open_store(store).arrays:
        cut = shutil.copytree(store, tmp_path / array.name / "ben.zarr")
        shutil.copy(store.with_suffix(".parquet"), tmp_path / array.name)
        shutil.rmtree(cut / array.name / "c")
        (failure,) = verify(cut).failures
        assert f"{array.name}/c/0" in failure
        assert "24 patches are recorded as stored but missing, first S2" in failure


# The report, workers.


def test_the_report_is_written_as_json(own: Path, tmp_path: Path) -> None:
    break_tiff(own)
    report = bex.ingest(own, tmp_path / "ben.zarr")
    report.write_json(tmp_path / "report.json")
    content = json.loads((tmp_path / "report.json").read_text())
    assert content["quarantined"] == dict(report.quarantined)
    assert (content["found"], content["stored"], content["complete"]) == (24, 23, False)


def test_workers_report_what_one_would(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "WORTH_PROCESSES", 0)
    break_tiff(own)

    def account(report: IngestReport) -> tuple[object, ...]:
        return report.found, report.stored, report.written, dict(report.quarantined)

    reports = [bex.ingest(own, tmp_path / f"{count}.zarr", workers=count) for count in (1, 2)]
    assert account(reports[0]) == account(reports[1])


def test_the_lists_of_an_archive_are_found_below_its_root(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "v2", pairs=3)
    lists = without_lists(archive, archive / "published")
    assert pq.read_table(lists / "metadata.parquet").num_rows
    assert bex.ingest(archive, tmp_path / "ben.zarr").unlisted == 0
    assert bex.open(tmp_path / "ben.zarr").listed.all()


def test_maps_of_a_wrong_size_are_quarantined(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "v2", pairs=2)
    pair = synthetic_pair(0)
    (file,) = archive.rglob(f"{pair.patch}_reference_map.tif")
    ulx, uly = pair.corner
    file.write_bytes(encode_tiff(np.zeros((60, 60), "uint16"), epsg=pair.epsg, ulx=ulx, uly=uly))
    (reason,) = bex.ingest(archive, tmp_path / "ben.zarr").quarantined.values()
    assert "reference_map" in reason


def test_choices_are_checked(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(SelectionError, match="unknown rows 'lsited'; expected one of found, listed"):
        bex.ingest(archive, tmp_path / "ben.zarr", rows="lsited")  # type: ignore[arg-type]  # the mistake
    for number in (0, "2", 2.5, True):
        with pytest.raises(SelectionError, match=f"workers is {number!r}, expected a whole number, at least 1"):
            bex.ingest(archive, tmp_path / "ben.zarr", workers=number)  # type: ignore[arg-type]
    with pytest.raises(SelectionError, match=r"client is 'tcp://x', expected a distributed\.Client"):
        bex.ingest(archive, tmp_path / "ben.zarr", client="tcp://x")  # type: ignore[arg-type]


@pytest.mark.parametrize("place", [5, None, b"archive", "", [], ["a\0"]], ids=repr)
def test_what_names_no_archive_is_refused(tmp_path: Path, place: Any) -> None:
    with pytest.raises((SelectionError, ArchiveError), match=r"archive is .*, expected a path|no archive was given"):
        bex.ingest(place, tmp_path / "ben.zarr")


def test_what_names_no_lists_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SelectionError, match="metadata is 4, expected a path"):
        bex.ingest(tmp_path, tmp_path / "ben.zarr", metadata=4)  # type: ignore[arg-type]


@pytest.mark.parametrize("place", [7, "", "a\0.zarr", b"ben.zarr", "/"], ids=repr)
def test_what_names_no_store_is_refused(tmp_path: Path, place: Any) -> None:
    with pytest.raises(StoreError, match=r"names no store; expected a path|names no folder"):
        bex.ingest(tmp_path, place)


def test_other_addresses_than_those_of_the_web_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"ftp://x/y\.tar: no address that can be read; expected http://"):
        bex.ingest("ftp://x/y.tar", tmp_path / "ben.zarr")


def test_a_store_is_not_made_below_a_file_or_in_its_archive(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "archive", pairs=1)
    before = files(archive)
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file is a file, so no store can be made below; choose another place"):
        bex.ingest(archive, tmp_path / "file" / "ben.zarr")
    for place in (archive, archive / "ben.zarr", archive / "deep" / "ben.zarr"):
        with pytest.raises(StoreError, match=r"lies in the archive .*; choose a place outside"):
            bex.ingest(archive, place)
    assert files(archive) == before


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    write_archive(tmp_path / "archive", pairs=1100)
    script = tmp_path / "script.py"
    script.write_text(
        "import os, threading, time\n"
        "import bigearth_xr as bex\n"
        "def workers():\n"
        "    mine = f'/proc/{os.getpid()}/task/{os.getpid()}/children'\n"
        "    return open(mine).read().split()\n"
        "def kill():\n"
        "    while len(workers()) < 2: time.sleep(0.01)\n"
        "    time.sleep(0.5)\n"
        "    print(*workers(), flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
        "threading.Thread(target=kill, daemon=True).start()\n"
        "bex.ingest('archive', 'ben.zarr', bands=['B01'], workers=2)\n"
        "time.sleep(60)\n"
    )
    killed = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert killed.returncode == -9
    workers = [Path("/proc", pid, "cmdline") for pid in killed.stdout.split()]
    assert workers
    deadline = time.monotonic() + 60
    while any(path.exists() and b"loky" in path.read_bytes() for path in workers) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not any(path.exists() and b"popen_loky" in path.read_bytes() for path in workers)
