"""A repair leaves the bytes of a fresh ingest, and names what it cannot mend."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from damages import (
    DAMAGES,
    MAP_DAMAGES,
    ROW,
    Damage,
    both,
    change_root,
    cut_in_half,
    cut_index,
    delete_all_shards,
    delete_column,
    delete_shard,
    delete_table,
    everything_at_once,
    flip_index,
    flip_pixels,
    garble_column,
    garble_table,
    kinds,
    patch_of,
    swap_patches,
)
from holdings import copy_store, holdings

import bigearth_xr as bex
from bigearth_xr.errors import StoreError
from bigearth_xr.ingestion.staging import lock_store
from bigearth_xr.releases import Release
from bigearth_xr.store.location import location_of
from bigearth_xr.store.open import open_store
from bigearth_xr.store.read import read_encoded
from bigearth_xr.store.schema import pixel_arrays
from bigearth_xr.testing import encode_tiff, formula_pixels, synthetic_pair, write_archive
from bigearth_xr.verification import verify

# Damage is named, and repaired.


@pytest.mark.sampled(2)
@both
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: str(damage.__name__))
def test_damage_is_named_and_repaired(archive: Path, own: Path, damage: Damage) -> None:
    before = holdings(own)
    expected = damage(own)
    report = verify(own, archive, sample="all")
    assert kinds(report) == expected
    assert report.sound == (not expected)
    repaired = verify(own, archive, sample="all", repair=True)
    assert repaired.sound, repaired.failures
    if expected:
        assert repaired.repaired
        assert holdings(own) == before


def test_damage_of_many_kinds_is_named_and_repaired(archive: Path, own: Path) -> None:
    before = holdings(own)
    expected = everything_at_once(own)
    assert kinds(verify(own, archive)) == expected
    assert verify(own, archive, repair=True).sound
    assert holdings(own) == before


@both
def test_one_repair_mends_what_differs_beside_what_is_damaged(archive: Path, own: Path) -> None:
    before = holdings(own)
    expected = swap_patches(own) | flip_pixels("s1")(own)
    assert kinds(verify(own, archive, sample="all")) == expected
    assert verify(own, archive, sample="all", repair=True).sound
    assert holdings(own) == before


Mapped = tuple[Path, Path]
"""An archive with reference maps, and its store."""


@pytest.fixture(scope="module", params=[("fast", True), ("compact", True), ("compact", False)], ids=str)
def mapped(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Mapped:
    """Reference maps of all patches, or of all but one."""
    profile, is_bare = request.param
    root = tmp_path_factory.mktemp("mapped")
    archive = write_archive(root / "v2", pairs=9)
    lacking = synthetic_pair(1).patch
    if is_bare:
        next((archive / "Reference_Maps").rglob(f"{lacking}_*.tif")).unlink()
    bex.ingest(archive, root / "ben.zarr", profile=profile)
    assert patch_of(root / "ben.zarr") != lacking
    return archive, root / "ben.zarr"


@pytest.mark.sampled(2)
@pytest.mark.parametrize("damage", MAP_DAMAGES, ids=lambda damage: str(damage.__name__))
def test_reference_maps_are_repaired_where_there_are_any(tmp_path: Path, damage: Damage, mapped: Mapped) -> None:
    archive, store = mapped
    own = copy_store(store, tmp_path)
    expected = damage(own)
    assert kinds(verify(own, archive, sample="all")) == expected
    assert verify(own, archive, repair=True, sample="all").sound
    assert holdings(own) == holdings(store)


@both
def test_a_repair_of_a_sound_store_writes_nothing(archive: Path, store: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in store.parent.rglob("*")}
    assert verify(store, archive, repair=True).repaired == ()
    assert {path: path.stat().st_mtime_ns for path in store.parent.rglob("*")} == before


@both
def test_embeddings_outlive_a_repair(archive: Path, own: Path) -> None:
    bex.embed(bex.open(own), "spectral", name="mine", bands=["B04"])
    before = holdings(own)
    assert verify(own, archive).sound
    for damage in (delete_column, delete_shard, change_root):
        damage(own)
    assert verify(own, archive, repair=True).sound
    assert holdings(own) == before


@both
def test_what_is_no_part_of_the_store_is_told_and_left(archive: Path, own: Path) -> None:
    bex.embed(bex.open(own), "spectral", name="mine", bands=["B04"])
    (own / ".DS_Store").touch()
    (own / "notes").mkdir()
    before = holdings(own)
    report = verify(own)
    assert report.sound
    assert report.strays == (".DS_Store", "notes")
    assert "2 in the store but no part of it, to be deleted: .DS_Store, notes" in report.summary()
    change_root(own)
    assert verify(own, archive, repair=True).sound
    assert holdings(own) == before


def test_arrays_that_are_not_there_are_not_asked_for(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "v2", pairs=3)
    bex.ingest(archive, tmp_path / "ben.zarr", bands=["B02", "VH"])
    assert open_store(tmp_path / "ben.zarr").arrays == pixel_arrays(["B02", "VH"], reference_map=True)
    before = holdings(tmp_path / "ben.zarr")
    delete_all_shards(tmp_path / "ben.zarr")
    assert verify(tmp_path / "ben.zarr", archive, repair=True).sound
    assert holdings(tmp_path / "ben.zarr") == before


def test_real_patches_survive_damage(shared: Path, tmp_path: Path) -> None:
    archive, store = shared / "data/v2/reconstructed", tmp_path / "ben.zarr"
    bex.ingest(archive, store, shared / "data/v2", profile="compact")
    before = holdings(store)
    for damage in (flip_index, cut_in_half, delete_shard, delete_column, garble_table):
        damage(store)
    report = verify(store, archive, metadata=shared / "data/v2", repair=True, sample="all")
    assert report.sound, report.failures
    assert holdings(store) == before
    listed = next(tally for tally in report.completeness.tallies if tally.name == "all").listed
    assert listed == 549_488
    assert len(report.completeness.lacking) == listed - report.rows


# What cannot be repaired.


@both
def test_what_the_archive_lacks_is_named_and_kept(archive: Path, own: Path, tmp_path: Path) -> None:
    opened = open_store(own)
    flip_pixels("s1")(own)
    flip_pixels("s2_10m")(own)
    damaged, patch = holdings(own), patch_of(own)
    part = shutil.copytree(archive, tmp_path / "part")
    for folder in sorted(part.rglob(patch)):
        shutil.rmtree(folder)
    report = verify(own, part, repair=True)
    assert not report.sound
    assert report.unrepaired.keys() == {patch}
    assert f"{patch}: cannot be repaired, as {part} does not have it" in report.failures[-1]
    assert kinds(report) == {("checksum", "s1/c/0/0/0/0"), ("checksum", "s2_10m/c/0/0/0/0")}
    assert holdings(own) == damaged
    assert read_encoded(opened, opened.array("s2_20m"), ROW) is not None


@both
def test_what_the_archive_has_damaged_is_named_with_its_reason(archive: Path, own: Path, tmp_path: Path) -> None:
    flip_pixels("s2_20m")(own)
    patch = patch_of(own)
    broken = shutil.copytree(archive, tmp_path / "broken")
    next(broken.rglob(f"{patch}_B05.tif")).unlink()
    report = verify(own, broken, repair=True)
    assert "band B05" in report.unrepaired[patch]
    assert not report.sound


@both
def test_patches_that_are_lost_for_good_are_recorded_as_absent(archive: Path, own: Path, tmp_path: Path) -> None:
    patch = patch_of(own)
    delete_all_shards(own)
    part = shutil.copytree(archive, tmp_path / "part")
    for folder in sorted(part.rglob(patch)):
        shutil.rmtree(folder)
    report = verify(own, part, repair=True)
    assert report.unrepaired.keys() == {patch}
    assert report.absent == (patch,)
    assert report.stored == 23
    # The rest is here again, and says the truth; the archive that has the last one completes it.
    assert verify(own, part).sound
    assert bex.ingest(archive, own).written == 1
    assert verify(own, archive, sample="all").sound


@both
@pytest.mark.parametrize("damage", [flip_index, cut_index])
def test_a_damaged_index_costs_no_patch(archive: Path, own: Path, tmp_path: Path, damage: Damage) -> None:
    before = holdings(own)
    damage(own)
    # The archive has one other patch: everything comes out of the shard itself.
    part = shutil.copytree(archive, tmp_path / "part")
    for row in range(24):
        for folder in sorted(part.rglob(patch_of(own, row))) if row != ROW else ():
            shutil.rmtree(folder)
    report = verify(own, part, repair=True)
    assert report.sound
    assert holdings(own) == before


# What is refused.


@both
def test_an_archive_of_other_pixels_is_not_repaired_from(archive: Path, own: Path, tmp_path: Path) -> None:
    other = shutil.copytree(archive, tmp_path / "other")
    ones: dict[str, bytes] = {}
    for row in range(24):
        pair = next(p for p in map(_pair_of(own), range(24)) if p.patch == patch_of(own, row))
        ulx, uly = pair.corner
        for file in [*other.rglob(f"{pair.patch}_B??.tif"), *other.rglob(f"{pair.s1_name}_V?.tif")]:
            band = file.stem.rpartition("_")[2]
            pixels = formula_pixels(pair.patch, band) + 1
            ones[file.name] = encode_tiff(pixels, epsg=pair.epsg, ulx=ulx, uly=uly)
            file.write_bytes(ones[file.name])
    before = holdings(own)
    with pytest.raises(StoreError, match=r"24 of the 24 patches compared differ .*another archive, and nothing was"):
        verify(own, other, repair=True)
    assert holdings(own) == before


def _pair_of(store: Path) -> Callable[[int], bex.testing.SyntheticPair]:
    release = open_store(store).release
    return lambda index: synthetic_pair(index, release=release)


@both
def test_pixels_are_not_repaired_without_an_archive(own: Path) -> None:
    next(path for path in (own / "s1").rglob("c/**/0") if path.is_file()).unlink()
    damaged = holdings(own)
    report = verify(own, repair=True)
    assert not report.sound
    assert "--against ARCHIVE --repair" in report.failures[0]
    assert (report.repaired, holdings(own)) == ((), damaged)


@both
def test_what_the_table_tells_is_repaired_without_an_archive(own: Path) -> None:
    before = holdings(own)
    assert verify(own, repair=True).sound
    for name in ("split", "labels_19", "y_10m", "zarr.json"):
        (own / name / "zarr.json").unlink() if (own / name).is_dir() else (own / name).unlink()
    report = verify(own, repair=True)
    assert report.sound
    assert {name.split("/")[0] for name in report.repaired} >= {"split", "labels_19", "y_10m", "zarr.json"}
    assert holdings(own) == before


@both
def test_a_store_that_is_being_filled_is_not_repaired(archive: Path, store: Path) -> None:
    with lock_store(location_of(store)):
        assert verify(store, archive).sound
        with pytest.raises(StoreError, match="another ingest is filling it"):
            verify(store, archive, repair=True)


@both
def test_nothing_tells_which_row_is_which_patch(own: Path, tmp_path: Path, release: Release) -> None:
    garble_column(own)
    delete_table(own)
    assert not verify(own).sound
    other = write_archive(tmp_path / "other", pairs=3, version=release)
    with pytest.raises(StoreError, match="neither its table nor its column 'patch' tells"):
        verify(own, other, repair=True)
