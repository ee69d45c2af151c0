"""A verification names what is wrong and what is missing; a repair leaves the bytes of a fresh ingest."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import zarr

import bigearth_xr as bex
from bigearth_xr.errors import (
    ArchiveError,
    FormatError,
    MetadataError,
    SelectionError,
    StoreError,
    StoreNotFoundError,
)
from bigearth_xr.ingestion.locking import alone
from bigearth_xr.releases import Release
from bigearth_xr.store.address import place_of
from bigearth_xr.store.create import write_states
from bigearth_xr.store.presence import shard_count
from bigearth_xr.store.read import open_store, read_column, read_encoded, read_state
from bigearth_xr.store.schema import PROFILES, Profile, pixel_arrays
from bigearth_xr.store.shard import INDEX_BYTES, shard_path
from bigearth_xr.store.write import ShardWriter
from bigearth_xr.testing import encode_tiff, formula_pixels, synthetic_pair, write_archive
from bigearth_xr.verification import VerifyReport, verify
from bigearth_xr.verification.comparison import draw_sample

ROW = 5
"""The patch that is damaged."""


def holdings(store: Path) -> dict[str, bytes]:
    """Every file of a store, and its table."""
    files = {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*") if path.is_file()}
    return files | {"table": store.with_suffix(".parquet").read_bytes()}


@pytest.fixture
def own(store: Path, tmp_path: Path) -> Path:
    """A copy of the store that a test may damage."""
    shutil.copy(store.with_suffix(".parquet"), tmp_path)
    return shutil.copytree(store, tmp_path / "ben.zarr")


def shard(store: Path, array: str, number: int = 0) -> Path:
    return shard_path(store, open_store(store).array(array), number)


def patch_of(store: Path, row: int = ROW) -> str:
    return str(read_column(open_store(store), "patch")[row])


def flip(file: Path, at: int) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 0x10
    file.write_bytes(data)


def kinds(report: VerifyReport) -> set[tuple[str, str]]:
    """What sort of thing is wrong with which file."""
    return {(finding.kind, finding.file) for finding in report.findings}


# A sound store.


def test_a_fresh_store_is_sound_and_equals_its_archive(archive: Path, store: Path) -> None:
    report = verify(store, archive, sample="all")
    assert report.sound
    assert report.comparison is not None
    assert (report.comparison.compared, report.comparison.sampled) == (24, False)
    assert report.checked == 24 * 4 + 24 * (report.release == "v2")
    assert report.comparison.only_in_archive == report.comparison.only_in_store == ()
    assert report.repaired == ()


def test_a_repair_of_a_sound_store_writes_nothing(archive: Path, store: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in store.parent.rglob("*")}
    assert verify(store, archive, repair=True).repaired == ()
    assert {path: path.stat().st_mtime_ns for path in store.parent.rglob("*")} == before


def test_the_report_is_all_in_its_json(archive: Path, own: Path, tmp_path: Path) -> None:
    flip(shard(own, "s1"), 100)
    report = verify(own, archive)
    report.write_json(tmp_path / "report.json")
    told = json.loads((tmp_path / "report.json").read_text())
    assert not told["sound"]
    assert [finding["message"] for finding in told["findings"]] == list(report.failures)
    assert told["comparison"]["archive"] == str(archive)
    assert told["completeness"]["tallies"][0] == {
        "group": "release",
        "name": "all",
        "published": {"v1": 590_326, "v2": 549_488}[report.release],
        "listed": 24,
        "rows": 24,
        "stored": 24,
    }


# Damage is named, and repaired.

Damage = Callable[[Path], set[tuple[str, str]]]
"""Damages a store; what comes back is what a verification should find."""


def flip_pixels(array: str) -> Damage:
    def damage(store: Path) -> set[tuple[str, str]]:
        opened = open_store(store)
        chunk = read_encoded(opened, opened.array(array), ROW)
        assert chunk is not None
        flip(shard(store, array), shard(store, array).read_bytes().index(chunk) + len(chunk) // 2)
        return {("checksum", f"{array}/c/0" + "/0" * (len(opened.array(array).patch_shape)))}

    damage.__name__ = f"flip_{array}"
    return damage


def flip_index(store: Path) -> set[tuple[str, str]]:
    flip(shard(store, "s2_20m"), -100)
    return {("index", "s2_20m/c/0/0/0/0")}


def cut_index(store: Path) -> set[tuple[str, str]]:
    os.truncate(shard(store, "s2_10m"), shard(store, "s2_10m").stat().st_size - 1000)
    return {("index", "s2_10m/c/0/0/0/0")}


def cut_in_half(store: Path) -> set[tuple[str, str]]:
    os.truncate(shard(store, "s1"), shard(store, "s1").stat().st_size // 2)
    return {("index", "s1/c/0/0/0/0")}


def empty_file(store: Path) -> set[tuple[str, str]]:
    os.truncate(shard(store, "s2_60m"), 0)
    return {("index", "s2_60m/c/0/0/0/0")}


def delete_shard(store: Path) -> set[tuple[str, str]]:
    shard(store, "s2_60m").unlink()
    return {("missing", "s2_60m/c/0/0/0/0")}


def delete_all_shards(store: Path) -> set[tuple[str, str]]:
    arrays = open_store(store).arrays
    for array in arrays:
        shutil.rmtree(store / array.name / "c")
    return {("missing", str(shard(store, array.name).relative_to(store))) for array in arrays}


def lengthen(store: Path) -> set[tuple[str, str]]:
    """Bytes before the index, which is read from the end: only the fixed size tells."""
    file = shard(store, "s2_60m")
    data = file.read_bytes()
    file.write_bytes(data[:-INDEX_BYTES] + b"\0" * 10 + data[-INDEX_BYTES:])
    return {("layout", "s2_60m/c/0/0/0/0")} if open_store(store).profile == "fast" else set()


def delete_column(store: Path) -> set[tuple[str, str]]:
    (store / "lon/c/0").unlink()
    return {("column", "lon")}


def delete_column_whole(store: Path) -> set[tuple[str, str]]:
    shutil.rmtree(store / "epsg")
    return {("column", "epsg")}


def garble_column(store: Path) -> set[tuple[str, str]]:
    (store / "patch/c/0").write_bytes(b"no chunk at all")
    return {("column", "patch")}


def change_column(store: Path) -> set[tuple[str, str]]:
    zarr.open_array(store / "ulx", mode="r+")[3] = 7
    return {("column", "ulx")}


def change_axis(store: Path) -> set[tuple[str, str]]:
    zarr.open_array(store / "band_10m", mode="r+")[0] = "B03"
    return {("column", "band_10m")}


def garble_array_metadata(store: Path) -> set[tuple[str, str]]:
    (store / "s1/zarr.json").write_text("{")
    return {("metadata", "s1")}


def change_root(store: Path) -> set[tuple[str, str]]:
    document = json.loads((store / "zarr.json").read_text())
    document["consolidated_metadata"]["metadata"]["split"]["attributes"]["flag_meanings"] = "test train validation"
    (store / "zarr.json").write_text(json.dumps(document))
    return {("metadata", "zarr.json")}


def delete_table(store: Path) -> set[tuple[str, str]]:
    store.with_suffix(".parquet").unlink()
    return {("table", "ben.parquet")}


def garble_table(store: Path) -> set[tuple[str, str]]:
    os.truncate(store.with_suffix(".parquet"), 3000)
    return {("table", "ben.parquet")}


def move_footprints(store: Path) -> set[tuple[str, str]]:
    """What is not part of a table's identity."""
    rows = pq.read_table(store.with_suffix(".parquet"))
    place = rows.column_names.index("lat")
    pq.write_table(rows.set_column(place, "lat", pc.add(rows["lat"], 0.001)), store.with_suffix(".parquet"))
    return {("table", "ben.parquet")}


def garble_table_and_column(store: Path) -> set[tuple[str, str]]:
    return garble_table(store) | garble_column(store)


def change_table(store: Path) -> set[tuple[str, str]]:
    rows = pq.read_table(store.with_suffix(".parquet"))
    pq.write_table(rows.slice(1), store.with_suffix(".parquet"))
    return {("table", "ben.parquet")}


def forget_one(store: Path) -> set[tuple[str, str]]:
    """A state that says too little."""
    opened = open_store(store)
    state, mapped = read_state(opened).copy(), read_column(opened, "patch") != ""
    state[ROW] = 0
    write_states(opened, state, mapped)
    return {("unrecorded", str(shard(store, array.name).relative_to(store))) for array in opened.arrays}


def garble_states(store: Path) -> set[tuple[str, str]]:
    (store / "state/c/0").write_bytes(b"nonsense")
    return {("state", "state")}


def delete_states(store: Path) -> set[tuple[str, str]]:
    shutil.rmtree(store / "state")
    return {("column", "state")}


def impossible_state(store: Path) -> set[tuple[str, str]]:
    zarr.open_array(store / "state", mode="r+")[2] = 9
    return {("state", "state")}


def garble_states_and_delete_shard(store: Path) -> set[tuple[str, str]]:
    return garble_states(store) | delete_shard(store)


def swap_patches(store: Path) -> set[tuple[str, str]]:
    """Two patches in each other's places, with true checksums: only the archive knows."""
    opened = open_store(store)
    array = opened.array("s2_20m")
    chunks = [read_encoded(opened, array, row) for row in range(opened.rows)]
    chunks[ROW], chunks[ROW + 1] = chunks[ROW + 1], chunks[ROW]
    with ShardWriter(opened.place, array, 0, opened.profile, patches=opened.rows) as writer:
        for place, chunk in enumerate(chunks):
            writer.put_encoded(place, chunk or b"")
    return {("different", "s2_20m/c/0/0/0/0")}


def everything_at_once(store: Path) -> set[tuple[str, str]]:
    expected: set[tuple[str, str]] = set()
    for damage in (flip_pixels("s1"), cut_index, delete_shard, delete_column, delete_table):
        expected |= damage(store)
    return expected


DAMAGES: list[Damage] = [
    *map(flip_pixels, ("s2_10m", "s2_20m", "s2_60m", "s1")),
    flip_index,
    cut_index,
    cut_in_half,
    empty_file,
    delete_shard,
    delete_all_shards,
    lengthen,
    delete_column,
    delete_column_whole,
    garble_column,
    change_column,
    change_axis,
    garble_array_metadata,
    change_root,
    delete_table,
    garble_table,
    garble_table_and_column,
    move_footprints,
    change_table,
    forget_one,
    garble_states,
    delete_states,
    impossible_state,
    garble_states_and_delete_shard,
    swap_patches,
    everything_at_once,
]


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


def delete_maps(store: Path) -> set[tuple[str, str]]:
    shutil.rmtree(store / "reference_map/c")
    return {("missing", "reference_map/c/0/0/0")}


def garble_mapped(store: Path) -> set[tuple[str, str]]:
    (store / "has_reference_map/c/0").write_bytes(b"nonsense")
    return {("state", "has_reference_map")}


def forget_a_map(store: Path) -> set[tuple[str, str]]:
    zarr.open_array(store / "has_reference_map", mode="r+")[ROW] = False
    return {("unrecorded", "reference_map/c/0/0/0"), ("different", "reference_map/c/0/0/0")}


@pytest.mark.parametrize("damage", [flip_pixels("reference_map"), delete_maps, garble_mapped, forget_a_map])
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("bare", [True, False])
def test_reference_maps_are_repaired_where_there_are_any(
    tmp_path: Path, damage: Damage, profile: Profile, bare: bool
) -> None:
    archive = write_archive(tmp_path / "v2", pairs=9)
    if bare:
        lacking = synthetic_pair(1).patch
        next((archive / "Reference_Maps").rglob(f"{lacking}_*.tif")).unlink()
    store = tmp_path / "ben.zarr"
    bex.ingest(archive, store, profile=profile)
    if bare and patch_of(store) == lacking:
        pytest.fail("choose another row: this one has no map")
    before = holdings(store)
    assert kinds(verify(store)) | {("different", "reference_map/c/0/0/0")} >= set()
    expected = damage(store)
    assert kinds(verify(store, archive, sample="all")) == expected
    assert verify(store, archive, repair=True, sample="all").sound
    assert holdings(store) == before


def test_a_finding_names_file_and_patch(archive: Path, own: Path) -> None:
    flip_pixels("s2_10m")(own)
    (finding,) = verify(own).findings
    assert (finding.array, finding.patches) == ("s2_10m", (patch_of(own),))
    assert f"{own / 's2_10m/c/0/0/0/0'}: row {ROW} ({patch_of(own)}): checksum is" in finding.message


def test_a_difference_tells_band_pixels_and_values(tmp_path: Path) -> None:
    archive, store = write_archive(tmp_path / "v2", pairs=3), tmp_path / "ben.zarr"
    bex.ingest(archive, store)
    pair = synthetic_pair(1)
    pixels = formula_pixels(pair.patch, "B8A").astype(np.uint16)
    pixels[7, 9:12] += 1
    ulx, uly = pair.corner
    (file,) = archive.rglob(f"{pair.patch}_B8A.tif")
    file.write_bytes(encode_tiff(pixels, epsg=pair.epsg, ulx=ulx, uly=uly))
    (finding,) = verify(store, archive).findings
    assert finding.patches == (pair.patch,)
    stored = int(pixels[7, 9]) - 1
    assert (
        f"({pair.patch}): band B8A differs in 3 of 3,600 pixels, first in y 7, x 9: {stored} is stored, the archive "
        f"has {stored + 1}" in finding.message
    )


def test_not_a_number_is_compared_by_its_bits(tmp_path: Path) -> None:
    archive, store, pair = write_archive(tmp_path / "v2", pairs=1), tmp_path / "ben.zarr", synthetic_pair(0)
    (file,) = archive.rglob(f"{pair.s1_name}_VV.tif")
    ulx, uly = pair.corner
    plain, signed = (np.full((120, 120), bits, "<u4").view("<f4") for bits in (0x7FC00000, 0xFFC00000))
    file.write_bytes(encode_tiff(plain, epsg=pair.epsg, ulx=ulx, uly=uly))
    bex.ingest(archive, store)
    assert verify(store, archive).sound
    file.write_bytes(encode_tiff(signed, epsg=pair.epsg, ulx=ulx, uly=uly))
    assert "band VV differs in 14,400 of 14,400 pixels" in verify(store, archive).failures[0]


def test_labels_are_compared_with_the_jsons(tmp_path: Path) -> None:
    archive, store = write_archive(tmp_path / "v1", pairs=3, version="v1"), tmp_path / "ben.zarr"
    bex.ingest(archive, store)
    patch = patch_of(store, 1)
    for json_file in archive.rglob("*_labels_metadata.json"):
        document = json.loads(json_file.read_text())
        if patch in (json_file.parent.name, document.get("corresponding_s2_patch")):
            document["labels"] = ["Vineyards"]
            json_file.write_text(json.dumps(document))
    report = verify(store, archive)
    assert {finding.file for finding in report.findings} == {"labels_19", "labels_43"}
    assert all(finding.patches == (patch,) for finding in report.findings)
    assert "the archive says ['Vineyards']" in "".join(report.failures)


def test_embeddings_outlive_a_repair(archive: Path, own: Path) -> None:
    bex.embed(bex.open(own), "spectral", name="mine", bands=["B04"])
    before = holdings(own)
    assert verify(own, archive).sound
    for damage in (change_root, delete_column, delete_shard):
        damage(own)
    assert verify(own, archive, repair=True).sound
    assert holdings(own) == before


# What cannot be repaired.


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


def test_what_the_archive_has_damaged_is_named_with_its_reason(archive: Path, own: Path, tmp_path: Path) -> None:
    flip_pixels("s2_20m")(own)
    patch = patch_of(own)
    broken = shutil.copytree(archive, tmp_path / "broken")
    next(broken.rglob(f"{patch}_B05.tif")).unlink()
    report = verify(own, broken, repair=True)
    assert "band B05" in report.unrepaired[patch]
    assert not report.sound


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


def test_a_patch_whose_archive_file_is_damaged_is_not_called_compared(archive: Path, own: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(archive, tmp_path / "broken")
    next(broken.rglob(f"{patch_of(own)}_B05.tif")).unlink()
    report = verify(own, broken)
    assert report.comparison is not None
    assert report.comparison.compared == 23
    (finding,) = report.findings
    assert finding.kind == "unreadable"
    assert "could not be compared" in finding.message


# Several shards.


@pytest.fixture(scope="module", params=PROFILES)
def long(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An archive of band B01 alone, and its store of two shards."""
    root = tmp_path_factory.mktemp("long")
    for pair in map(synthetic_pair, range(1100)):
        folder = root / "archive" / pair.patch
        folder.mkdir(parents=True)
        ulx, uly = pair.corner
        data = encode_tiff(formula_pixels(pair.patch, "B01"), epsg=pair.epsg, ulx=ulx, uly=uly)
        (folder / f"{pair.patch}_B01.tif").write_bytes(data)
    bex.ingest(root / "archive", root / "ben.zarr", sensors=["s2"], bands=["B01"], profile=request.param)
    return root / "archive", root / "ben.zarr"


def plant(store: Path, row: int) -> None:
    """Put other pixels, with a true checksum, in the place of a patch."""
    opened = open_store(store)
    (array,) = opened.arrays
    first = row // 1024 * 1024
    places = range(first, min(first + 1024, opened.rows))
    chunks = [read_encoded(opened, array, place) for place in places]
    with ShardWriter(opened.place, array, row // 1024, opened.profile, patches=len(places)) as writer:
        for place, chunk in enumerate(chunks):
            if first + place == row:
                writer.put(place, [np.full((20, 20), 4242, np.uint16)])
            else:
                writer.put_encoded(place, chunk or b"")


def test_a_planted_patch_is_found_by_a_full_comparison(long: tuple[Path, Path], tmp_path: Path) -> None:
    archive, store = long
    own = shutil.copytree(store, tmp_path / "ben.zarr")
    shutil.copy(store.with_suffix(".parquet"), tmp_path)
    plant(own, 1050)
    assert verify(own).sound
    (finding,) = verify(own, archive, sample="all", workers=2).findings
    assert (finding.kind, finding.patches) == ("different", (patch_of(own, 1050),))
    # A sample that meets it is enough to repair its whole shard; another does not meet it.
    plant(own, 1051)
    seeds = {len(verify(own, archive, sample=100, seed=seed).findings): seed for seed in range(12)}
    assert seeds.keys() == {0, 1}
    assert verify(own, archive, sample=100, seed=seeds[1], repair=True).sound
    assert holdings(own) == holdings(store)


def test_a_sample_is_drawn_again_with_its_seed_and_from_every_shard(long: tuple[Path, Path]) -> None:
    rows = np.arange(1100)
    drawn = [draw_sample(rows, 40, seed) for seed in (7, 7, 8)]
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])
    assert np.bincount(drawn[0] // 1024).tolist() in ([37, 3], [38, 2])
    assert (np.diff(drawn[0]) > 0).all()
    archive, store = long
    report = verify(store, archive, sample=40)
    assert report.comparison is not None
    assert (report.comparison.compared, report.comparison.sampled) == (40, True)
    assert "a sample of 40 patches (seed 0)" in report.summary()


def test_shards_in_each_others_places_are_found(long: tuple[Path, Path], tmp_path: Path) -> None:
    archive, store = long
    own = shutil.copytree(store, tmp_path / "ben.zarr")
    shutil.copy(store.with_suffix(".parquet"), tmp_path)
    assert shard_count(open_store(own)) == 2
    first, second = (shard(own, "s2_60m", number) for number in (0, 1))
    first.rename(own / "other")
    second.rename(first)
    (own / "other").rename(second)
    assert {kind for kind, _ in kinds(verify(own))} >= {"missing"}
    report = verify(own, archive, repair=True, sample=50)
    assert report.sound
    assert holdings(own) == holdings(store)


# Completeness.


def test_a_part_of_a_release_is_sound_but_not_complete(tmp_path: Path) -> None:
    store = bex.testing.write_store(tmp_path / "ben.zarr", pairs=3)
    report = verify(store)
    assert report.sound
    assert not report.complete
    tallies = {tally.name: tally for tally in report.completeness.tallies}
    assert tallies["validation"].published == 122_342
    assert tallies["all"].stored == 3
    assert tallies["all"].listed is None
    assert sum(tallies[split].rows for split in ("train", "validation", "test")) == tallies["recommended"].rows


def test_lists_tell_what_is_lacking_by_name(tmp_path: Path, release: Release) -> None:
    whole = write_archive(tmp_path / "whole", pairs=6, version=release)
    part = write_archive(tmp_path / "part", pairs=5, version=release, first=2)
    lists = whole / "lists" if release == "v1" else whole
    bex.ingest(part, tmp_path / "ben.zarr")
    report = verify(tmp_path / "ben.zarr", metadata=lists)
    assert report.sound
    assert not report.complete
    assert set(report.completeness.lacking) == {synthetic_pair(i, release=release).patch for i in (0, 1)}
    assert report.completeness.unlisted == (synthetic_pair(6, release=release).patch,)
    assert "2 listed but not in the store" in report.summary()
    assert verify(tmp_path / "ben.zarr", metadata=part / "lists" if release == "v1" else part).complete


def test_absent_and_quarantined_rows_are_told_by_name(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "v2", pairs=4)
    bad, gone = synthetic_pair(1).patch, synthetic_pair(2).patch
    next(archive.rglob(f"{bad}_B05.tif")).unlink()
    for folder in sorted(archive.rglob(gone)):
        shutil.rmtree(folder)
    bex.ingest(archive, tmp_path / "ben.zarr", rows="listed")
    report = verify(tmp_path / "ben.zarr", archive)
    assert (report.absent, report.quarantined) == ((gone,), (bad,))
    assert report.sound
    assert not report.complete
    assert f"1 quarantined: {bad}" in report.summary()


def test_patches_of_one_side_alone_are_told(archive: Path, store: Path, tmp_path: Path, release: Release) -> None:
    other = write_archive(tmp_path / "other", pairs=24, version=release, first=1)
    report = verify(store, other)
    assert report.comparison is not None
    assert report.comparison.only_in_archive == (synthetic_pair(24, release=release).patch,)
    assert report.comparison.only_in_store == (synthetic_pair(0, release=release).patch,)
    assert report.sound
    assert not report.complete


# What is refused.


def test_an_archive_of_the_other_release_is_refused(store: Path, tmp_path: Path, release: Release) -> None:
    other = write_archive(tmp_path / "other", pairs=1, version="v1" if release == "v2" else "v2")
    with pytest.raises((StoreError, MetadataError), match=f"of v., but .*{store.name} holds {release}; give"):
        verify(store, other)


def test_an_archive_without_any_patch_of_the_store_is_refused(store: Path, tmp_path: Path, release: Release) -> None:
    other = write_archive(tmp_path / "other", pairs=2, version=release, first=500)
    with pytest.raises(StoreError, match="has none of the 24 patches of"):
        verify(store, other)


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


def test_a_compressed_archive_is_refused_with_the_remedy(tmp_path: Path) -> None:
    store = bex.testing.write_store(tmp_path / "ben.zarr", pairs=2)
    tar = write_archive(tmp_path / "v2.tar.zst", pairs=2, container="tar.zst")
    with pytest.raises(ArchiveError, match=r"can only be read from front to back.*decompress it"):
        verify(store, tar)


def test_plain_tars_are_compared_and_repaired_from(archive: Path, own: Path, tmp_path: Path, release: Release) -> None:
    tars = write_archive(tmp_path / "tars", pairs=24, version=release, container="tar", as_published=True)
    before = holdings(own)
    everything_at_once(own)
    report = verify(own, tars, repair=True, sample="all")
    assert report.sound, report.failures
    assert holdings(own) == before
    assert report.comparison is not None
    assert report.comparison.compared == 24
    several = verify(own, sorted(tars.glob("*.tar")))
    assert several.comparison is not None
    assert several.comparison.compared == 24
    assert several.sound


def test_a_repair_needs_an_archive(store: Path) -> None:
    with pytest.raises(SelectionError, match="repair=True needs the archive"):
        verify(store, repair=True)


def test_a_store_that_is_being_filled_is_not_repaired(archive: Path, store: Path) -> None:
    with alone(place_of(store)):
        assert verify(store, archive).sound
        with pytest.raises(StoreError, match="another ingest is filling it"):
            verify(store, archive, repair=True)


@pytest.mark.parametrize(("options", "message"), [({"sample": 0}, "sample is 0"), ({"workers": 0}, "workers is 0")])
def test_impossible_numbers_are_refused(store: Path, options: dict[str, int], message: str) -> None:
    with pytest.raises(SelectionError, match=message):
        verify(store, **options)  # type: ignore[arg-type]


def test_no_store_is_no_report(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError, match="no store here"):
        verify(tmp_path / "nowhere.zarr")


@pytest.mark.parametrize("damage", [b"{", b"{}", b"\xff\xfe"])
def test_a_store_that_does_not_say_what_it_is_cannot_be_opened(own: Path, archive: Path, damage: bytes) -> None:
    (own / "zarr.json").write_bytes(damage)
    with pytest.raises(FormatError, match=r"zarr.json|not one of bigearth_xr"):
        verify(own, archive, repair=True)


def test_a_root_that_was_cut_out_of_is_told(own: Path) -> None:
    document = json.loads((own / "zarr.json").read_text())
    del document["consolidated_metadata"]
    (own / "zarr.json").write_text(json.dumps(document))
    with pytest.raises(FormatError, match=r"zarr.json: is damaged \(KeyError.*cannot be opened"):
        verify(own)


def test_nothing_tells_which_row_is_which_patch(own: Path, tmp_path: Path, release: Release) -> None:
    garble_column(own)
    delete_table(own)
    assert not verify(own).sound
    other = write_archive(tmp_path / "other", pairs=3, version=release)
    with pytest.raises(StoreError, match="neither its table nor its column 'patch' tells"):
        verify(own, other, repair=True)


# Real patches.


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


def test_arrays_that_are_not_there_are_not_asked_for(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "v2", pairs=3)
    bex.ingest(archive, tmp_path / "ben.zarr", bands=["B02", "VH"])
    assert open_store(tmp_path / "ben.zarr").arrays == pixel_arrays(["B02", "VH"], reference_map=True)
    before = holdings(tmp_path / "ben.zarr")
    delete_all_shards(tmp_path / "ben.zarr")
    assert verify(tmp_path / "ben.zarr", archive, repair=True).sound
    assert holdings(tmp_path / "ben.zarr") == before
