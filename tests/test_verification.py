"""A verification names what is wrong and what is missing."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from damages import ROW, both, flip, flip_pixels, kinds, patch_of, shard
from holdings import copy_store, holdings

import bigearth_xr as bex
from bigearth_xr.errors import (
    FormatError,
    MetadataError,
    SelectionError,
    StoreError,
    StoreNotFoundError,
)
from bigearth_xr.releases import Release
from bigearth_xr.store.codec import PROFILES
from bigearth_xr.store.open import open_store
from bigearth_xr.store.read import read_encoded, shard_count
from bigearth_xr.store.shard import ShardWriter
from bigearth_xr.testing import encode_tiff, formula_pixels, synthetic_pair, write_archive
from bigearth_xr.verification import shards, verify
from bigearth_xr.verification.examination import draw_sample

# A sound store.


def test_a_fresh_store_is_sound_and_equals_its_archive(archive: Path, store: Path) -> None:
    report = verify(store, archive, sample="all")
    assert report.sound
    assert report.comparison is not None
    assert (report.comparison.compared, report.comparison.sampled) == (24, False)
    assert report.checked == 24 * 4 + 24 * (report.release == "v2")
    assert report.comparison.only_in_archive == report.comparison.only_in_store == ()
    assert report.repaired == ()


@both
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


@both
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


@both
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
def long(request: pytest.FixtureRequest, long_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of two shards, in each profile."""
    path = tmp_path_factory.mktemp("long") / "ben.zarr"
    bex.ingest(long_archive, path, sensors=["s2"], bands=["B01"], profile=request.param, workers=1)
    return path


def plant(store: Path, row: int) -> None:
    """Put other pixels, with a true checksum, in the place of a patch."""
    opened = open_store(store)
    (array,) = opened.arrays
    first = row // 1024 * 1024
    places = range(first, min(first + 1024, opened.rows))
    chunks = [read_encoded(opened, array, place) for place in places]
    with ShardWriter(opened.location, array, row // 1024, opened.profile, patches=len(places)) as writer:
        for place, chunk in enumerate(chunks):
            if first + place == row:
                writer.put(place, [np.full((20, 20), 4242, np.uint16)])
            else:
                writer.put_encoded(place, chunk or b"")


def test_a_planted_patch_is_found_by_a_full_comparison(long_archive: Path, long: Path, tmp_path: Path) -> None:
    own = copy_store(long, tmp_path)
    plant(own, 1050)
    assert verify(own).sound
    (finding,) = verify(own, long_archive, sample="all").findings
    assert (finding.kind, finding.patches) == ("different", (patch_of(own, 1050),))
    # A sample that meets one of two is enough to repair its whole shard; another meets none.
    plant(own, 1051)
    met = [bool({1050, 1051} & set(draw_sample(np.arange(1100), 100, seed).tolist())) for seed in range(12)]
    assert verify(own, long_archive, sample=100, seed=met.index(False)).sound
    assert not verify(own, long_archive, sample=100, seed=met.index(True)).sound
    assert verify(own, long_archive, sample=100, seed=met.index(True), repair=True).sound
    assert holdings(own) == holdings(long)


def test_a_sample_is_drawn_again_with_its_seed_and_from_every_shard(long_archive: Path, long: Path) -> None:
    rows = np.arange(1100)
    drawn = [draw_sample(rows, 40, seed) for seed in (7, 7, 8)]
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])
    assert np.bincount(drawn[0] // 1024).tolist() in ([37, 3], [38, 2])
    assert (np.diff(drawn[0]) > 0).all()
    report = verify(long, long_archive, sample=40)
    assert report.comparison is not None
    assert (report.comparison.compared, report.comparison.sampled) == (40, True)
    assert "a sample of 40 patches (seed 0)" in report.summary()


def test_shards_in_each_others_places_are_found(long_archive: Path, long: Path, tmp_path: Path) -> None:
    own = copy_store(long, tmp_path)
    assert shard_count(open_store(own)) == 2
    first, second = (shard(own, "s2_60m", number) for number in (0, 1))
    first.rename(own / "other")
    second.rename(first)
    (own / "other").rename(second)
    assert {kind for kind, _ in kinds(verify(own))} >= {"missing"}
    report = verify(own, long_archive, repair=True, sample=50)
    assert report.sound
    assert holdings(own) == holdings(long)


@pytest.mark.parametrize("long", ["compact"], indirect=True)
def test_processes_find_the_same(
    long_archive: Path, long: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = copy_store(long, tmp_path)
    plant(own, 1050)
    flip(shard(own, "s2_60m"), 100)
    alone = verify(own, long_archive, sample="all", workers=1)
    assert len(alone.findings) == 2
    monkeypatch.setattr(shards, "WORTH_PROCESSES", 0)
    assert verify(own, long_archive, sample="all", workers=2) == alone


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


@both
def test_patches_of_one_side_alone_are_told(archive: Path, store: Path, tmp_path: Path, release: Release) -> None:
    other = write_archive(tmp_path / "other", pairs=24, version=release, first=1)
    report = verify(store, other)
    assert report.comparison is not None
    assert report.comparison.only_in_archive == (synthetic_pair(24, release=release).patch,)
    assert report.comparison.only_in_store == (synthetic_pair(0, release=release).patch,)
    assert report.sound
    assert not report.complete


# What is refused.


@both
def test_an_archive_of_the_other_release_is_refused(store: Path, tmp_path: Path, release: Release) -> None:
    other = write_archive(tmp_path / "other", pairs=1, version="v1" if release == "v2" else "v2")
    with pytest.raises((StoreError, MetadataError), match=f"of v., but .*{store.name} holds {release}; give"):
        verify(store, other)


@both
def test_an_archive_without_any_patch_of_the_store_is_refused(store: Path, tmp_path: Path, release: Release) -> None:
    other = write_archive(tmp_path / "other", pairs=2, version=release, first=500)
    with pytest.raises(StoreError, match="has none of the 24 patches of"):
        verify(store, other)


@both
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample": 0}, "sample is 0"),
        ({"sample": "some"}, "sample is 'some'"),
        ({"workers": 0}, "workers is 0"),
        ({"against": 4}, "against is 4, expected a path"),
        ({"metadata": b"lists"}, "metadata is b'lists', expected a path"),
    ],
)
def test_impossible_options_are_refused(store: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(SelectionError, match=message):
        verify(store, **options)  # type: ignore[arg-type]


def test_a_lost_root_is_told_by_all_alike(own: Path, archive: Path) -> None:
    (own / "zarr.json").unlink()
    assert verify(own).failures[0].startswith(f"{own / 'zarr.json'}: is missing; repair it")
    for use in (lambda: bex.ingest(archive, own), lambda: bex.open(own)):
        with pytest.raises(FormatError, match=r"zarr.json: is missing, though .*; put it back, or repair it with"):
            use()


@both
def test_a_store_can_be_named_from_inside(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(own)
    assert verify(".").sound


def test_no_store_is_no_report(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError, match="no store here"):
        verify(tmp_path / "nowhere.zarr")


@pytest.mark.sampled(3)
@both
@pytest.mark.parametrize("damage", [b"{", b"{}", b"\xff\xfe"])
def test_a_root_that_does_not_say_what_it_is_is_written_again(own: Path, archive: Path, damage: bytes) -> None:
    before = holdings(own)
    (own / "zarr.json").write_bytes(damage)
    assert kinds(verify(own)) == {("metadata", "zarr.json")}
    assert verify(own, archive, repair=True).sound
    assert holdings(own) == before
