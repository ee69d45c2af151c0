"""Each message says what was wrong, where, what was expected and what to do, and each error is a builtin too."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
import xarray as xr
import zarr

import bigearth_xr as bex
from bigearth_xr import errors
from bigearth_xr.archive import parse_s1, parse_s2
from bigearth_xr.archive.names import scene_folder
from bigearth_xr.errors import (
    ArchiveError,
    ArchiveNotFoundError,
    BandError,
    BigEarthError,
    ChecksumError,
    FormatError,
    LabelError,
    PatchError,
    SelectionError,
    StoreError,
    StoreNotFoundError,
)
from bigearth_xr.store.open import open_store
from bigearth_xr.testing import SyntheticPair, encode_tiff, synthetic_pair, write_archive, write_store

Damage: TypeAlias = Callable[[Path, SyntheticPair], object]

BAD = 1
"""Which of three pairs is damaged."""


def file_of(root: Path, pair: SyntheticPair, ending: str) -> Path:
    """Find a file of either half of a pair."""
    (file,) = [*root.rglob(f"{pair.patch}_{ending}"), *root.rglob(f"{pair.s1_name}_{ending}")][:1]
    return file


def redone(root: Path, pair: SyntheticPair, **changes: Any) -> None:
    """Write band B03 again, with something of it wrong."""
    ulx, uly = pair.corner
    right: dict[str, Any] = {"epsg": pair.epsg, "ulx": ulx, "uly": uly}
    pixels = np.zeros(changes.pop("shape", (120, 120)), changes.pop("dtype", "uint16"))
    file_of(root, pair, "B03.tif").write_bytes(encode_tiff(pixels, **(right | changes)))


def cut_short(root: Path, pair: SyntheticPair) -> None:
    file = file_of(root, pair, "B03.tif")
    file.write_bytes(file.read_bytes()[:-1000])


def edited(root: Path, pair: SyntheticPair, **changes: object) -> None:
    """Change the JSON of both halves."""
    for file in root.rglob("*_labels_metadata.json"):
        if file.parent.name in (pair.patch, pair.s1_name):
            file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def pasted(root: Path, pair: SyntheticPair) -> None:
    file = file_of(root, pair, "labels_metadata.json")
    file.write_text(f"{file.read_text()} and more")


# A patch that does not hold what its format promises: damage by release, and what is said of it.

ANY_RELEASE: list[tuple[str, Damage, str]] = [
    (
        "missing band",
        lambda root, pair: file_of(root, pair, "B03.tif").unlink(),
        r"{patch}: band B03 \(.*_B03\.tif\) is missing; unpack or download the archive again, or ask for other",
    ),
    (
        "missing polarization",
        lambda root, pair: file_of(root, pair, "VH.tif").unlink(),
        r"{patch}: band VH \(.*{s1_name}_VH\.tif\) is missing; unpack or download the archive again",
    ),
    (
        "truncated TIFF",
        cut_short,
        r"{patch}: band B03 .*B03\.tif\) is cut short: it has [\d,]+ bytes of [\d,]+; ",
    ),
    (
        "empty TIFF",
        lambda root, pair: file_of(root, pair, "B03.tif").write_bytes(b""),
        r"{patch}: band B03 .* is empty; unpack the archive again, or remove the patch",
    ),
    (
        "no TIFF",
        lambda root, pair: file_of(root, pair, "B03.tif").write_bytes(b"<html>not found</html>"),
        r"{patch}: band B03 .* is not a readable GeoTIFF \(.*\); unpack",
    ),
    (
        "wrong shape",
        lambda root, pair: redone(root, pair, shape=(60, 60)),
        r"{patch}: band B03 .*: shape is \(60, 60\), expected \(120, 120\); unpack",
    ),
    (
        "wrong dtype",
        lambda root, pair: redone(root, pair, dtype="float32"),
        r"{patch}: band B03 .*: dtype is float32, expected uint16; unpack",
    ),
    (
        "wrong CRS",
        lambda root, pair: redone(root, pair, epsg=32601),
        r"{patch}: band B03 .*: coordinate reference system is EPSG:32601, expected EPSG:{epsg}; unpack",
    ),
    (
        "wrong transform",
        lambda root, pair: redone(root, pair, ulx=pair.corner[0] + 10),
        r"{patch}: band B03 .*: upper left corner is \([\d.]+, [\d.]+\), expected \({ulx}, {uly}\); unpack",
    ),
]

V1_ONLY: list[tuple[str, Damage, str]] = [
    ("malformed JSON", pasted, r"{patch}_labels_metadata\.json is not valid JSON \(Extra data.*\); unpack"),
    (
        "missing JSON",
        lambda root, pair: file_of(root, pair, "labels_metadata.json").unlink(),
        r"{patch}_labels_metadata\.json is missing; unpack",
    ),
    (
        "unknown label",
        lambda root, pair: edited(root, pair, labels=["Pasture"]),
        r"{patch}_labels_metadata\.json: .*'Pasture'.*Pastures.*; unpack",
    ),
    (
        "label of the other nomenclature",
        lambda root, pair: edited(root, pair, labels=["Arable land"]),
        r"{patch}_labels_metadata\.json: .*'Arable land'",
    ),
    (
        "JSON of another place",
        lambda root, pair: edited(root, pair, coordinates={"ulx": 0, "uly": 0, "lrx": 1200, "lry": -1200}),
        r"{patch}_labels_metadata\.json: footprint .* is \({epsg}, 0, 0, 1200, -1200\), expected \({epsg}, {ulx}, ",
    ),
]


def cases() -> list[Any]:
    """Each damage, in each release that can have it."""
    both = [("v1", *case) for case in ANY_RELEASE + V1_ONLY] + [("v2", *case) for case in ANY_RELEASE]
    return [pytest.param(version, damage, said, id=f"{name}-{version}") for version, name, damage, said in both]


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("version", "damage", "said"), cases())
def test_a_bad_patch_is_quarantined_with_its_reason_and_raised_if_strict(
    tmp_path: Path, version: Any, damage: Damage, said: str
) -> None:
    archive = write_archive(tmp_path / "archive", pairs=3, version=version)
    pair = synthetic_pair(BAD, release=version)
    damage(archive, pair)
    ulx, uly = pair.corner
    said = said.format(patch=pair.patch, s1_name=pair.s1_name, epsg=pair.epsg, ulx=ulx, uly=uly)

    report = bex.ingest(archive, tmp_path / "ben.zarr")
    assert (report.found, report.stored) == (3, 2)
    assert re.search(said, report.quarantined[pair.patch])
    with pytest.raises(PatchError, match=rf"1 patches of .*archive could not be stored as they should; .*\n.*{said}"):
        bex.ingest(archive, tmp_path / "strict.zarr", strict=True)


def test_a_json_as_found_in_the_wild_is_quarantined(shared: Path, tmp_path: Path) -> None:
    (wild,) = (shared / "data/v1/malformed").iterdir()
    archive = write_archive(tmp_path / "archive", pairs=3, version="v1")
    pair = synthetic_pair(BAD, release="v1")
    shutil.copy(wild, file_of(archive, pair, "labels_metadata.json"))
    (reason,) = bex.ingest(archive, tmp_path / "ben.zarr").quarantined.values()
    assert re.search(rf"{pair.patch}_labels_metadata\.json is not valid JSON \(Extra data: line ", reason)


# What gives no patch.


def test_a_duplicate_patch_is_reported_and_neither_copy_is_used(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "archive", pairs=3)
    twice = synthetic_pair(BAD).patch
    shutil.copytree(archive / "BigEarthNet-S2" / scene_folder(parse_s2(twice)) / twice, archive / "copy" / twice)
    assert bex.ingest(archive, tmp_path / "ben.zarr").stored == 2
    with pytest.raises(PatchError, match=f"{twice} is there twice: .* and .*; neither is read, remove one of them"):
        bex.ingest(archive, tmp_path / "ben.zarr", strict=True)


@pytest.mark.parametrize("half", ["BigEarthNet-S1", "BigEarthNet-S2"])
def test_an_unpaired_patch_is_reported_by_its_id(tmp_path: Path, half: str) -> None:
    archive = write_archive(tmp_path / "archive", pairs=3)
    pair = synthetic_pair(BAD)
    lost, kept = (pair.s1_name, pair.patch) if half.endswith("S1") else (pair.patch, pair.s1_name)
    scene = scene_folder(parse_s1(lost) if half.endswith("S1") else parse_s2(lost))
    shutil.rmtree(archive / half / scene / lost)
    report = bex.ingest(archive, tmp_path / "ben.zarr")
    assert (kept, "unpaired") in {(problem.patch, problem.kind) for problem in report.problems}
    with pytest.raises(PatchError, match=rf"{kept} is not used: its partner {lost} is not in the archive; unpack the "):
        bex.ingest(archive, tmp_path / "ben.zarr", strict=True)


def test_a_missing_reference_map_is_an_error_if_strict(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "archive", pairs=3)
    bare = synthetic_pair(BAD).patch
    shutil.rmtree(archive / "Reference_Maps" / scene_folder(parse_s2(bare)) / bare)
    with pytest.raises(PatchError, match=f"{bare}: has no reference map, others of this archive have"):
        bex.ingest(archive, tmp_path / "ben.zarr", strict=True)


# Archives as a whole.


def test_no_archive(tmp_path: Path) -> None:
    with pytest.raises(ArchiveNotFoundError, match=r"there is no archive at .*nowhere; give the folder into which it"):
        bex.ingest(tmp_path / "nowhere", tmp_path / "ben.zarr")
    assert not list(tmp_path.iterdir())


def test_an_empty_archive(tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    with pytest.raises(ArchiveError, match=r"no patch folder below .*archive; looked for names like S2A_MSIL2A_"):
        bex.ingest(tmp_path / "archive", tmp_path / "ben.zarr")


def test_an_archive_of_both_releases(tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        write_archive(tmp_path / "both" / version, pairs=1, version=version)
    with pytest.raises(ArchiveError, match="both holds patches of both releases, expected one; give the folder of the"):
        bex.ingest(tmp_path / "both", tmp_path / "ben.zarr")


def test_unknown_bands(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "archive", pairs=1)
    with pytest.raises(BandError, match=r"'B10'.*B01, B02"):
        bex.ingest(archive, tmp_path / "ben.zarr", bands=["B02", "B10"])
    with pytest.raises(BandError, match=r"sensors is \['s3'\], expected 's1', 's2' or both"):
        bex.ingest(archive, tmp_path / "ben.zarr", sensors=("s3",))  # type: ignore[arg-type]  # the mistake


# Stores.


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("sound") / "ben.zarr", pairs=3)


@pytest.fixture
def own(sound: Path, tmp_path: Path) -> Path:
    """A copy of a sound store of three patches, to be damaged."""
    return shutil.copytree(sound, tmp_path / "ben.zarr")


def test_no_store(tmp_path: Path) -> None:
    said = r"nowhere\.zarr: no store here; check the path, or make one with: bigearth ingest ARCHIVE .*nowhere\.zarr"
    with pytest.raises(StoreNotFoundError, match=said):
        bex.open(tmp_path / "nowhere.zarr")
    with pytest.raises(StoreNotFoundError, match=said):
        xr.open_dataset(tmp_path / "nowhere.zarr", engine="bigearth")


def test_a_zarr_store_that_is_not_ours(tmp_path: Path) -> None:
    zarr.create_group(tmp_path / "other.zarr").create_array("x", shape=(3,), dtype="uint8")
    with pytest.raises(
        FormatError, match=r"zarr\.json: describes a Zarr store, but not one of bigearth_xr: .*engine='zarr'"
    ):
        bex.open(tmp_path / "other.zarr")


def test_an_ingest_into_a_zarr_store_that_is_not_ours(tmp_path: Path) -> None:
    zarr.create_group(tmp_path / "other.zarr")
    archive = write_archive(tmp_path / "archive", pairs=1)
    with pytest.raises(FormatError, match=r"zarr\.json: describes a Zarr store, but not one of bigearth_xr"):
        bex.ingest(archive, tmp_path / "other.zarr")


def test_a_store_of_another_format_version(own: Path) -> None:
    document = json.loads((own / "zarr.json").read_text())
    document["attributes"]["bigearth"]["format_version"] = 3
    (own / "zarr.json").write_text(json.dumps(document))
    with pytest.raises(FormatError, match=r"zarr\.json: format version 3, this package reads 1, 2; update bigearth-xr"):
        bex.open(own)


def test_store_metadata_that_was_cut(own: Path) -> None:
    data = (own / "zarr.json").read_bytes()
    (own / "zarr.json").write_bytes(data[:100])
    with pytest.raises(FormatError, match=r"zarr\.json: no JSON \(.*\); the file was cut or damaged: .* ingest again"):
        bex.open(own)


@pytest.mark.parametrize("array", ["s2_10m", "s2_20m", "s2_60m", "s1", "reference_map"])
def test_a_flipped_byte_names_file_and_patch(own: Path, array: str) -> None:
    store = open_store(own)
    row, shard = 2, next(path for path in (own / array).rglob("c/**/0") if path.is_file())
    data = bytearray(shard.read_bytes())
    data[row * (store.array(array).patch_bytes + 4) + 77] ^= 0x10
    shard.write_bytes(data)
    tree = xr.open_datatree(own, engine="bigearth")
    patch = tree.patch.values[row]
    said = rf"row {row} \({patch}\): .*ben\.zarr/{array}/c/.*: checksum is .*, .* was written; the file was damaged"
    with pytest.raises(ChecksumError, match=said):
        tree[array].isel(patch=row).load()
    assert tree[array].isel(patch=0).load().shape


def test_a_flipped_byte_of_an_index_names_the_file(own: Path) -> None:
    shard = own / "s1/c/0/0/0/0"
    data = bytearray(shard.read_bytes())
    data[-50] ^= 1
    shard.write_bytes(data)
    with pytest.raises(ChecksumError, match=r"s1/c/0/0/0/0: index: checksum is .*: delete it and ingest the archive"):
        bex.open(own).s1.load()


def test_a_shard_that_was_cut(own: Path) -> None:
    shard = own / "s1/c/0/0/0/0"
    shard.write_bytes(shard.read_bytes()[:1000])
    with pytest.raises(StoreError, match="1000 bytes, too short for a shard index of 16388; the file was cut: delete"):
        bex.open(own).s1.load()


# Datasets.


def test_43_classes_of_v2(sound: Path) -> None:
    with pytest.raises(LabelError, match="release v2 has no 43-class labels: reBEN publishes the 19 classes only"):
        bex.open(sound, nomenclature=43)


def test_an_unknown_nomenclature(sound: Path) -> None:
    with pytest.raises(LabelError, match="17"):
        bex.open(sound, nomenclature=17)  # type: ignore[arg-type]  # the mistake


def test_an_unknown_resampling_or_state(sound: Path) -> None:
    with pytest.raises(SelectionError, match="unknown resampling 'cubic'; expected one of nearest, bilinear, bicubic"):
        bex.open(sound, resampling="cubic")  # type: ignore[arg-type]  # the mistake
    with pytest.raises(SelectionError, match="unknown state 'lost'; expected one of absent, stored, quarantined, all"):
        bex.open(sound, states=["lost"])  # type: ignore[list-item]  # the mistake


def test_an_unknown_band_of_a_dataset(sound: Path) -> None:
    with pytest.raises(BandError, match="B10"):
        bex.open(sound).ben.image(bands=["B10"])


def test_an_unknown_split(sound: Path) -> None:
    with pytest.raises(SelectionError, match=r"'trian'.*train, validation"):
        bex.open(sound).ben.select(split="trian")


def test_an_empty_selection(sound: Path) -> None:
    with pytest.raises(SelectionError, match="no patch of 3 meets every criterion; each alone: country='Kosovo' keeps"):
        bex.open(sound).ben.select(country="Kosovo")


# Kinds.


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_is_ours_and_a_builtin(name: str) -> None:
    ancestors = getattr(errors, name).__mro__
    assert BigEarthError in ancestors
    builtins = {kind for kind in ancestors if kind.__module__ == "builtins"} - {Exception, BaseException, object}
    assert builtins or name == "BigEarthError"
