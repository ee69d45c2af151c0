"""An LMDB of safetensors gives the store that its archive gives, byte for byte; damage in it costs what is damaged."""

import pickle
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pytest
import safetensors.numpy
import xarray as xr
from holdings import files
from lmdbs import Values, values_of, write_lmdb
from numpy.typing import NDArray

import bigearth_xr as bex
from bigearth_xr.archive import Archive, PatchFiles, open_archive, read_patch
from bigearth_xr.archive.lmdb_source import LmdbSource, find_tensors, is_lmdb
from bigearth_xr.errors import ArchiveError, ArchiveNotFoundError, PatchError
from bigearth_xr.ingestion import IngestReport
from bigearth_xr.releases import Release

PAIRS = 6


def ingested(archive: Path, store: Path, metadata: Path, **options: Any) -> xr.Dataset:
    bex.ingest(archive, store, metadata, **options)
    return bex.open(store)


def report_of(tmp_path: Path, values: dict[str, bytes], **options: Any) -> IngestReport:
    return bex.ingest(write_lmdb(tmp_path / "lmdb", values), tmp_path / "ben.zarr", **options)


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Release], Path]:
    """A small synthetic archive of a release."""
    made: dict[Release, Path] = {}

    def make(version: Release) -> Path:
        if version not in made:
            folder = tmp_path_factory.mktemp("archive") / version
            made[version] = bex.testing.write_archive(folder, pairs=PAIRS, version=version)
        return made[version]

    return make


@pytest.fixture(scope="module")
def made_of_v2(archives: Callable[[Release], Path]) -> Values:
    return values_of(open_archive(archives("v2")))


@pytest.fixture
def values(made_of_v2: Values) -> Values:
    """A synthetic archive of v2 as the keys and values of an LMDB, to be changed by a test."""
    return dict(made_of_v2)


def s2_keys(values: Iterable[str]) -> list[str]:
    return sorted(key for key in values if key.startswith("S2") and not key.endswith("reference_map"))


# Whole ones.


@pytest.mark.parametrize("profile", ["fast", "compact"])
@pytest.mark.parametrize("where", ["named", "beside the file"])
def test_store_is_that_of_the_archive_byte_for_byte(
    archives: Callable[[Release], Path], values: Values, tmp_path: Path, profile: Any, where: str
) -> None:
    archive = archives("v2")
    of_folder = bex.ingest(archive, tmp_path / "folder" / "ben.zarr", profile=profile)
    environment = write_lmdb(tmp_path / "lmdb", values)
    if where == "beside the file":
        for parquet in archive.glob("*.parquet"):
            (environment / parquet.name).write_bytes(parquet.read_bytes())
    before = files(environment)
    of_lmdb = bex.ingest(
        environment,
        tmp_path / "converted" / "ben.zarr",
        metadata=None if where == "beside the file" else archive,
        profile=profile,
    )
    assert of_folder.complete
    assert (of_lmdb.stored, of_lmdb.failures, of_lmdb.unlisted) == (PAIRS, (), 0)
    assert files(tmp_path / "converted") == files(tmp_path / "folder")
    assert files(environment) == before


def test_every_pair_of_configilm_is_stored_as_from_its_folder(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data" / "v2" / "reconstructed"
    environment = shared / "data" / "lmdb" / "configilm_v2"
    bex.ingest(folder, tmp_path / "folder" / "ben.zarr")
    report = bex.ingest(environment, tmp_path / "lmdb" / "ben.zarr", metadata=folder, strict=True)
    assert report.stored == 24
    assert files(tmp_path / "lmdb") == files(tmp_path / "folder")
    ours, theirs = (bex.open(tmp_path / name / "ben.zarr") for name in ("lmdb", "folder"))
    for name in ("epsg", "ulx", "uly"):
        np.testing.assert_array_equal(ours[name], theirs[name])
    with lmdb.open(str(environment), readonly=True, lock=False) as env, env.begin() as transaction:
        for patch in ours["patch"].values:
            for band, pixels in safetensors.numpy.load(transaction.get(patch.encode(), b"")).items():
                at_10_m = np.kron(pixels, np.ones((120 // len(pixels), 120 // len(pixels)), "uint16"))
                np.testing.assert_array_equal(ours["s2"].sel(patch=patch, band=band), at_10_m)


@pytest.mark.parametrize("sensor", ["s2", "s1"])
def test_halves_of_rico_hdl_equal_the_original_files(shared: Path, tmp_path: Path, sensor: Any) -> None:
    data = shared / "data"
    ours, theirs = (
        ingested(archive, tmp_path / name / "ben.zarr", data / "v2", sensors=sensor)
        for name, archive in (("lmdb", data / "lmdb" / "rico_hdl_v2"), ("folder", data / "v2" / "original"))
    )
    assert ours.sizes["patch"] == 1
    xr.testing.assert_equal(
        ours[["epsg", "ulx", "uly", sensor]].drop_vars("row"),
        theirs[["epsg", "ulx", "uly", sensor]].sel(patch=ours["patch"]).drop_vars("row"),
    )


def test_v1_has_labels_only_where_lists_tell_and_nothing_else_is_missing(
    archives: Callable[[Release], Path], tmp_path: Path
) -> None:
    archive = archives("v1")
    environment = write_lmdb(tmp_path / "lmdb", values_of(open_archive(archive)))
    report = bex.ingest(environment, tmp_path / "lmdb.zarr", archive / "lists", strict=True)
    bex.ingest(archive, tmp_path / "folder.zarr", archive / "lists")
    assert (report.release, report.stored) == ("v1", PAIRS)
    ours, theirs = bex.open(tmp_path / "lmdb.zarr"), bex.open(tmp_path / "folder.zarr")
    for name in ("patch", "epsg", "ulx", "uly", "split", "country", "s2", "s1"):
        np.testing.assert_array_equal(ours[name], theirs[name])
    table = bex.table.read(tmp_path / "lmdb.parquet")
    assert table["labels_43"].null_count == PAIRS


def test_v1_finds_its_tiles_through_its_partners(archives: Callable[[Release], Path], tmp_path: Path) -> None:
    archive = open_archive(archives("v1"))
    found = open_archive(write_lmdb(tmp_path / "lmdb", values_of(archive)))
    assert [(patch.patch, patch.s1_name, patch.tile, patch.ulx, patch.uly) for patch in found.patches] == [
        (patch.patch, patch.s1_name, patch.tile, patch.ulx, patch.uly) for patch in archive.patches
    ]
    assert {patch.s2_json or patch.s1_json for patch in found.patches} == {None}


def test_v1_without_a_partner_has_no_tile(archives: Callable[[Release], Path], tmp_path: Path) -> None:
    archive = open_archive(archives("v1"))
    values = values_of(archive)
    environment = write_lmdb(tmp_path, {key: values[key] for key in s2_keys(values)})
    assert {problem.kind for problem in open_archive(environment, sensors="s2").problems} == {"unplaced"}
    pairs = {patch.patch: str(patch.s1_name) for patch in archive.patches}
    placed = open_archive(environment, sensors="s2", pairs=pairs).patches
    assert [patch.tile for patch in placed] == [patch.tile for patch in archive.patches]


def test_source_can_be_sent_to_a_worker(values: Values, tmp_path: Path) -> None:
    archive = open_archive(write_lmdb(tmp_path, values))
    sent = pickle.loads(pickle.dumps(archive.source.only([])))
    assert sent == archive.source
    file = next(iter(archive.patches[0].files.values()))
    assert sent.read(file) == values[archive.patches[0].patch]


def test_file_may_be_named_instead_of_its_folder(values: Values, tmp_path: Path) -> None:
    write_lmdb(tmp_path, values)
    assert [is_lmdb(path) for path in (tmp_path, tmp_path / "data.mdb", tmp_path / "lock.mdb")] == [True, True, False]
    assert len(open_archive(tmp_path / "data.mdb").patches) == PAIRS


# Damaged values.


def header(text: str, pixels: bytes = b"") -> bytes:
    return len(text).to_bytes(8, "little") + text.encode() + pixels


BAD_VALUES = {
    "empty": (b"", "its header should have 0 bytes, the value has 0"),
    "short": (b"abc", "the value has 3"),
    "absurd header": (bytes([255] * 7 + [127]) + bytes(200), "its header should have 9,223,372,036,854,775,807 bytes"),
    "no JSON": (header("no JSON at all"), "its header is damaged"),
    "no object": (header("[1, 2]"), "it is a list, expected an object"),
    "deep": (header("[" * 50_000), "its header is damaged"),
    "not UTF-8": ((4).to_bytes(8, "little") + b'{"\xff"', "its header is damaged"),
    "a name twice": (header('{"B01": {}, "B01": {}}'), "a name comes twice"),
    "no entry": (header('{"B01": 3}'), "tensor B01 is 3, expected an object"),
    "not a number": (
        header('{"B01": {"dtype": "U16", "shape": [NaN, 20], "data_offsets": [0, 800]}}', bytes(800)),
        "expected a known dtype, a shape and two data_offsets",
    ),
    "true for 1": (
        header('{"B01": {"dtype": "U16", "shape": [true], "data_offsets": [0, 2]}}', bytes(2)),
        "expected a known dtype",
    ),
    "unknown dtype": (
        header('{"B01": {"dtype": ["U16"], "shape": [1], "data_offsets": [0, 2]}}', bytes(2)),
        "expected a known dtype",
    ),
    "negative offset": (
        header('{"B01": {"dtype": "U16", "shape": [20, 20], "data_offsets": [-800, 0]}}', bytes(800)),
        "expected a known dtype",
    ),
    "wrong length": (
        header('{"B01": {"dtype": "U16", "shape": [20, 20], "data_offsets": [0, 400]}}', bytes(400)),
        r"tensor B01, U16 \[20, 20\], should lie at \[0, 400\]",
    ),
    "gap": (
        header('{"B01": {"dtype": "U16", "shape": [1], "data_offsets": [2, 4]}}', bytes(4)),
        r"should lie at \[2, 4\]",
    ),
    "more than it tells": (
        header('{"B01": {"dtype": "U16", "shape": [1], "data_offsets": [0, 2]}}', bytes(4)),
        "its header tells of",
    ),
    "pickled": (pickle.dumps(list(range(2000))), "it was pickled, which is never read"),
}


@pytest.mark.parametrize("name", BAD_VALUES)
def test_damaged_value_costs_its_patch_only_and_key_and_tensor_are_named(
    values: Values, tmp_path: Path, name: str
) -> None:
    patch = s2_keys(values)[-1]
    bad, reason = BAD_VALUES[name]
    values[patch] = bad
    report = report_of(tmp_path, values)
    assert report.stored == PAIRS - 1
    assert list(report.quarantined) == [patch]
    with pytest.raises(PatchError, match=f"key {patch}, tensor B0.*{reason}"):
        raise PatchError(report.quarantined[patch])


@pytest.mark.parametrize("name", BAD_VALUES)
def test_the_library_refuses_what_we_refuse(name: str) -> None:
    data, _ = BAD_VALUES[name]
    with pytest.raises(ValueError, match=r"header"):
        find_tensors(data, len(data))
    with pytest.raises(Exception, match=r"."):
        safetensors.numpy.load(data)


@pytest.mark.parametrize("cut", [1, 100, 160_000, 160_800])
def test_truncated_value_is_quarantined(values: Values, tmp_path: Path, cut: int) -> None:
    patch = s2_keys(values)[2]
    values[patch] = values[patch][:-cut]
    report = report_of(tmp_path, values)
    assert report.stored == PAIRS - 1
    assert list(report.quarantined) == [patch]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"B05": np.zeros((120, 120), "uint16")}, r"\('U16', \(120, 120\)\), expected \('U16', \(60, 60\)\)"),
        ({"B05": np.zeros((60, 60), "int16")}, r"\('I16', \(60, 60\)\), expected \('U16', \(60, 60\)\)"),
        ({"B05": np.zeros((60, 60), "float32")}, r"dtype and shape are \('F32', "),
        ({"B05": np.zeros((1, 60, 60), "uint16")}, r"\('U16', \(1, 60, 60\)\)"),
        ({"B05": None}, "tensor B05.* is missing"),
    ],
)
def test_tensor_of_another_kind_is_quarantined(
    values: Values, tmp_path: Path, change: dict[str, NDArray[Any] | None], reason: str
) -> None:
    patch = s2_keys(values)[0]
    tensors = safetensors.numpy.load(values[patch]) | change
    kept = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items() if tensor is not None}
    values[patch] = safetensors.numpy.save(kept)
    report = report_of(tmp_path, values)
    assert report.stored == PAIRS - 1
    with pytest.raises(PatchError, match=reason):
        raise PatchError(report.quarantined[patch])


def test_metadata_and_order_of_tensors_do_not_matter(values: Values, tmp_path: Path) -> None:
    patch = s2_keys(values)[0]
    tensors = safetensors.numpy.load(values[patch])
    turned = dict(reversed(tensors.items()))
    values[patch] = safetensors.numpy.save(turned, metadata={"long": "x" * 20_000})
    assert report_of(tmp_path, values, strict=True).stored == PAIRS


def test_map_may_lie_among_the_bands(values: Values, tmp_path: Path) -> None:
    patch = s2_keys(values)[0]
    tensors = safetensors.numpy.load(values[patch])
    tensors["reference_map"] = safetensors.numpy.load(values.pop(f"{patch}_reference_map"))["Data"]
    values[patch] = safetensors.numpy.save(tensors)
    report = report_of(tmp_path, values, strict=True)
    assert report.without_map == ()


def test_map_without_its_tensor_is_quarantined(values: Values, tmp_path: Path) -> None:
    patch = s2_keys(values)[0]
    values[f"{patch}_reference_map"] = safetensors.numpy.save({"Map": np.zeros((120, 120), "uint16")})
    report = report_of(tmp_path, values)
    with pytest.raises(PatchError, match=f"key {patch}_reference_map, tensor Data.* is missing"):
        raise PatchError(report.quarantined[patch])


def test_absurd_value_is_not_read(values: Values, tmp_path: Path) -> None:
    patch = s2_keys(values)[0]
    values[patch] += bytes(1 << 24)
    report = report_of(tmp_path, values)
    with pytest.raises(PatchError, match=r"cannot be read .it should have 16,938,048 bytes, a patch has less than"):
        raise PatchError(report.quarantined[patch])


# Keys.


def test_keys_that_are_no_names_are_reported(values: Values, tmp_path: Path) -> None:
    patch = s2_keys(values)[0]
    s1_name = next(key for key in values if key.startswith("S1"))
    strangers = ["../../etc/passwd", "airplane00", f"{s1_name}_reference_map", f"{patch}/{patch}", "a" * 500]
    report = report_of(tmp_path, values | dict.fromkeys(strangers, b"x"))
    assert report.stored == PAIRS
    assert sorted(problem.patch for problem in report.problems) == sorted(name[:80] for name in strangers)
    assert {problem.kind for problem in report.problems} == {"refused"}
    assert "is not the name of a patch or a reference map, and is not read" in report.problems[0].message


def test_lmdb_of_something_else_is_no_archive(tmp_path: Path) -> None:
    write_lmdb(tmp_path, {"airplane00": b"x"})
    with pytest.raises(ArchiveError, match=r"no patch folder below .*data.mdb"):
        open_archive(tmp_path)


def test_pickled_lmdb_is_refused_and_never_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    patch = "S2A_MSIL2A_20170613T101031_39_24"
    write_lmdb(tmp_path / "lmdb", {patch: pickle.dumps([Trap(), bytes(300_000)])})
    with pytest.raises(ArchiveError, match="holds pickled patches, as bigearthnet_encoder wrote them for v1"):
        open_archive(tmp_path / "lmdb")
    assert not (tmp_path / "sprung").exists()


# Damaged environments.


@pytest.mark.parametrize("text", [b"", b"abc", b"no LMDB" * 2000, bytes(20_000)])
def test_file_that_is_no_lmdb_is_refused(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "data.mdb").write_bytes(text)
    with pytest.raises(ArchiveError, match=r"data.mdb cannot be read as an LMDB: it does not begin as"):
        open_archive(tmp_path)


def test_lmdb_that_went_away_is_told(tmp_path: Path) -> None:
    with pytest.raises(ArchiveNotFoundError, match=r"there is no LMDB at .*data.mdb"):
        list(LmdbSource(tmp_path).folders())


def test_cut_file_is_refused_or_loses_only_what_was_cut(values: Values, tmp_path: Path) -> None:
    data = (write_lmdb(tmp_path, values) / "data.mdb").read_bytes()
    outcomes: list[str] = []
    for pages in range(2, len(data) // 4096, 40):
        (tmp_path / "data.mdb").write_bytes(data[: pages * 4096 + 100])
        try:
            archive = open_archive(tmp_path)
        except ArchiveError as error:
            outcomes.append(str(error))
        else:
            outcomes += (outcome_of(archive, patch) for patch in archive.patches)
    expected = ("cannot be read as an LMDB: the tree leads to page", "cannot be read (its value ends at byte", "read")
    assert all(any(part in outcome for outcome in outcomes) for part in expected)


def outcome_of(archive: Archive, patch: PatchFiles) -> str:
    try:
        read_patch(archive, patch)
    except PatchError as error:
        return str(error)
    return "read"


def test_database_within_the_database_is_refused(values: Values, tmp_path: Path) -> None:
    write_lmdb(tmp_path, values)
    with lmdb.open(str(tmp_path), max_dbs=2) as env:
        env.open_db(b"inner")
    with pytest.raises(ArchiveError, match="key b'inner' holds a database of its own, expected a patch"):
        open_archive(tmp_path)
