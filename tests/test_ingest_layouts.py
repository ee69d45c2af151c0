"""A store is the same byte for byte, in whatever layout the GeoTIFFs of its archive are, and whatever their names."""

import shutil
from pathlib import Path

import pytest
from archives import only
from layouts import LAYOUTS, by_gdal, few_real_pairs, files_of_store, rewrite
from packing import files_of, put

import bigearth_xr as bex
from bigearth_xr.archive import open_archive

SPELLINGS = (".TIF", ".tiff", ".TIFF", ".Tif", ".tif")


@pytest.fixture(scope="module", params=["synthetic", "real"])
def original(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of two pairs, in strips: of v2 with maps, or real ones of v1."""
    root = tmp_path_factory.mktemp("original") / request.param
    if request.param == "synthetic":
        return bex.testing.write_archive(root, pairs=2, version="v2")
    shared: Path = request.getfixturevalue("shared")
    return few_real_pairs(shared / "data" / "v1" / "reconstructed", root, pairs=2)


@pytest.fixture(scope="module")
def expected(original: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The store of that archive."""
    store = tmp_path_factory.mktemp("expected") / "ben.zarr"
    report = bex.ingest(original, store, workers=1)
    assert (report.stored, report.quarantined) == (2, {})
    return files_of_store(store)


@pytest.fixture
def own(original: Path, tmp_path: Path) -> Path:
    """A copy of that archive, to save anew."""
    return shutil.copytree(original, tmp_path / "own")


@pytest.mark.sampled(2)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_store_is_the_same_byte_for_byte(
    layout: str, own: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    bex.ingest(rewrite(own, LAYOUTS[layout]), tmp_path / "ben.zarr", workers=1)
    assert files_of_store(tmp_path / "ben.zarr") == expected


@pytest.mark.sampled(2)
@pytest.mark.parametrize("container", ["own.tar", "own.tar.gz"])
@pytest.mark.parametrize("layout", ["COG, overviews", "tiles of 64, DEFLATE, predictor 2"])
def test_tars_give_the_same_store(
    layout: str, container: str, own: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    rewrite(own, LAYOUTS[layout])
    packed = put(files_of(own), tmp_path / container)
    bex.ingest(packed, tmp_path / "ben.zarr", workers=1)
    assert files_of_store(tmp_path / "ben.zarr") == expected
    assert bex.verify(tmp_path / "ben.zarr", against=packed).sound


def test_a_cut_tile_quarantines_its_patch(own: Path, tmp_path: Path) -> None:
    rewrite(own, by_gdal("COG", blocksize=64, compress="DEFLATE"))
    file = sorted(own.rglob("*_B8A.tif"))[1]
    file.write_bytes(file.read_bytes()[:-300])
    report = bex.ingest(own, tmp_path / "ben.zarr", workers=1)
    ((patch, reason),) = report.quarantined.items()
    assert report.stored == 1
    assert file.name.startswith(patch)
    assert str(file) in reason
    assert "is cut short" in reason


def spell_otherwise(archive: Path) -> Path:
    """Give the files of an archive names that differ from its own by capitals and suffix."""
    for number, file in enumerate(sorted(archive.rglob("*.tif"))):
        other = file.with_suffix(SPELLINGS[number // 4 % len(SPELLINGS)])
        file.rename(other.with_name(other.name.replace("_B8A", "_b8a").replace("_reference_map", "_Reference_Map")))
    for file in sorted(archive.rglob("*_labels_metadata.json")):
        file.rename(file.with_suffix(".JSON"))
    return archive


@pytest.mark.parametrize("container", ["folder", "own.tar", "own.tar.gz"])
def test_names_may_be_spelled_otherwise(container: str, own: Path, expected: dict[str, bytes], tmp_path: Path) -> None:
    packed = put(files_of(spell_otherwise(own)), tmp_path / container)
    report = bex.ingest(packed, tmp_path / "ben.zarr", workers=1)
    assert (report.stored, report.problems) == (2, ())
    assert files_of_store(tmp_path / "ben.zarr") == expected
    assert bex.verify(tmp_path / "ben.zarr", against=packed).sound


@pytest.mark.sampled(2)
@pytest.mark.parametrize("container", ["folder", "own.tar", "own.tar.gz"])
@pytest.mark.parametrize(("first", "second"), [(".TIF", ".tif"), (".tif", ".tiff"), (".TIFF", ".tiff")])
def test_two_files_of_one_band_are_named_and_neither_is_read(
    first: str, second: str, container: str, own: Path, tmp_path: Path
) -> None:
    file = min(own.rglob("S2*_B03.tif"))
    data = file.read_bytes()
    file.unlink()
    for suffix in (first, second):
        file.with_suffix(suffix).write_bytes(data)
    packed = put(files_of(own), tmp_path / container)
    report = bex.ingest(packed, tmp_path / "ben.zarr", workers=1)
    (problem,) = report.problems
    assert (report.rows_stored, problem.kind, problem.patch) == (1, "duplicate", file.parent.name)
    assert problem.message.startswith(f"{file.parent.name} has its B03.tif twice: ")
    assert problem.message.endswith("; neither is read, remove one of them")
    for suffix in (first, second):
        assert f"{file.stem}{suffix} " in problem.message.replace(";", " ")


def test_a_file_that_is_there_under_both_names_in_two_folders_is_there_twice(own: Path, tmp_path: Path) -> None:
    file = min(own.rglob("S2*_B03.tif"))
    other = own / "more" / file.parent.name / f"{file.stem}.TIF"
    other.parent.mkdir(parents=True)
    shutil.copy(file, other)
    problem = only(open_archive(own))
    assert problem.kind == "duplicate"
    assert str(other.parent) in problem.message
    assert str(file.parent) in problem.message


def test_halves_of_a_patch_may_lie_in_two_folders_under_other_names(
    own: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    for file in sorted(own.rglob("S2*_B0[345].tif")):
        place = own / "more" / file.parent.name / f"{file.stem}.TIFF"
        place.parent.mkdir(parents=True, exist_ok=True)
        file.rename(place)
    report = bex.ingest(own, tmp_path / "ben.zarr", workers=1)
    assert report.problems == ()
    assert files_of_store(tmp_path / "ben.zarr") == expected


@pytest.mark.parametrize("suffix", [".TIF", ".tiff"])
def test_a_file_in_the_folder_of_another_patch_is_reported(suffix: str, own: Path) -> None:
    file = min(own.rglob("S2*_B03.tif"))
    (own / "elsewhere").mkdir()
    shutil.copy(file, own / "elsewhere" / f"{file.stem}{suffix}")
    problem = only(open_archive(own))
    assert (problem.kind, problem.patch) == ("stray", "elsewhere")
    assert f"first {file.stem}{suffix}" in problem.message


def test_what_macos_packs_beside_a_file_is_no_second_one(own: Path) -> None:
    for file in sorted(own.rglob("S2*_B03.tif")):
        (file.parent / f"._{file.name}").write_bytes(b"\0\5\x16\7")
    assert open_archive(own).problems == ()
