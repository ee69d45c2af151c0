"""The JSONs of v1 say what the table needs, and are refused where they break their format."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from bigearth_xr.archive import Archive, open_archive, read_metadata
from bigearth_xr.bands import Sensor
from bigearth_xr.errors import PatchError
from bigearth_xr.testing import synthetic_pair, write_archive


@pytest.fixture
def v1(tmp_path: Path) -> Archive:
    return open_archive(write_archive(tmp_path / "v1", pairs=1, version="v1"))


def at(root: Path, path: str | None) -> Path:
    """Give the full path of a file or folder that must be known."""
    assert path is not None
    return root / path


def change(archive: Archive, path: str | None, **changes: object) -> None:
    """Rewrite the JSON at ``path``; a value of ... removes the key."""
    file = at(archive.root, path)
    metadata = {**json.loads(file.read_text()), **changes}
    kept = {key: value for key, value in metadata.items() if value is not ...}
    file.write_text(json.dumps(kept))


def test_a_json_says_what_was_written(v1: Archive) -> None:
    pair = synthetic_pair(0, release="v1")
    metadata = read_metadata(v1, v1.patches[0])
    assert metadata.patch == pair.patch
    assert metadata.s1_name == pair.s1_name
    assert metadata.labels == pair.labels_43
    assert metadata.s2_time == pair.product.sensing_time
    assert str(metadata.s1_time) in at(v1.root, v1.patches[0].s1_json).read_text()
    assert metadata.s2_product == pair.product.name
    assert metadata.s1_scene is not None


def test_real_jsons_agree_with_each_other_and_the_grid(shared: Path) -> None:
    archive = open_archive(shared / "data" / "v1")
    for patch in archive.patches:
        metadata = read_metadata(archive, patch)
        optical = json.loads(at(archive.root, patch.s2_json).read_bytes())
        radar = json.loads(at(archive.root, patch.s1_json).read_bytes())
        assert metadata.labels is not None
        assert list(metadata.labels) == optical["labels"] == radar["labels"]
        assert metadata.s2_product == optical["tile_source"]
        assert metadata.s1_scene == radar["scene_source"]
        if optical["acquisition_date"]:
            assert metadata.s2_time == np.datetime64(optical["acquisition_date"])
            assert metadata.s1_time == np.datetime64(radar["acquisition_time"])
            assert f"_T{patch.tile}_" in str(metadata.s2_product)


def test_v2_has_no_labels_in_the_archive_itself(tmp_path: Path) -> None:
    archive = open_archive(write_archive(tmp_path / "v2", pairs=1))
    metadata = read_metadata(archive, archive.patches[0])
    assert metadata.labels is None
    assert metadata.s2_time == synthetic_pair(0).product.sensing_time
    assert metadata.s1_time is not None


@pytest.mark.parametrize("sensor", ["s1", "s2"])
def test_one_sensor_alone_has_the_labels_too(v1: Archive, sensor: Sensor) -> None:
    archive = open_archive(v1.root, sensors=(sensor,))
    assert read_metadata(archive, archive.patches[0]).labels == synthetic_pair(0, release="v1").labels_43


def test_no_pixel_is_read(v1: Archive) -> None:
    for file in v1.root.rglob("*.tif"):
        file.unlink()
    assert read_metadata(v1, v1.patches[0]).labels


def test_null_sources_are_none(v1: Archive) -> None:
    change(v1, v1.patches[0].s2_json, tile_source=None, acquisition_date=None)
    change(v1, v1.patches[0].s1_json, scene_source=None, acquisition_time=..., corresponding_s2_patch=None)
    metadata = read_metadata(v1, v1.patches[0])
    assert (metadata.s2_time, metadata.s2_product, metadata.s1_scene) == (None, None, None)
    assert metadata.s1_time is not None


def test_a_missing_json_is_named(v1: Archive) -> None:
    at(v1.root, v1.patches[0].s2_json).unlink()
    with pytest.raises(PatchError, match=r"_labels_metadata\.json is missing; unpack the archive again"):
        read_metadata(v1, v1.patches[0])


def test_a_json_followed_by_pasted_text_is_refused(shared: Path, tmp_path: Path) -> None:
    name = "S2A_MSIL2A_20170613T101031_0_46"
    shutil.copytree(shared / "data" / "v1" / "BigEarthNet-v1.0" / name, tmp_path / name)
    malformed = shared / "data" / "v1" / "malformed" / f"{name}_labels_metadata.json"
    target = tmp_path / name / malformed.name
    target.unlink()
    shutil.copyfile(malformed, target)
    archive = open_archive(tmp_path, sensors=["s2"])
    # Without its JSON nobody knows where a v1 patch lies.
    assert archive.patches == ()
    assert [problem.kind for problem in archive.problems] == ["unplaced"]

    archive = open_archive(tmp_path, sensors=["s2"], pairs={name: "S1A_IW_GRDH_1SDV_20170613T165043_34VER_0_46"})
    with pytest.raises(PatchError, match=r"0_46_labels_metadata\.json is not valid JSON \(Extra data: line"):
        read_metadata(archive, archive.patches[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", r"is not valid JSON \(Expecting value"),
        (b"\xff\xfe\xfd", "is not valid JSON"),
        (b"[]", "holds a list, expected an object"),
        (b"{}", "has no 'coordinates', expected ulx, uly, lrx and lry"),
    ],
)
def test_what_is_no_json_object_is_refused(v1: Archive, text: bytes, message: str) -> None:
    at(v1.root, v1.patches[0].s1_json).write_bytes(text)
    with pytest.raises(PatchError, match=f"{v1.patches[0].s1_name}_labels_metadata.json {message}"):
        read_metadata(v1, v1.patches[0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ...}, "'labels' is None, expected a list of class names"),
        ({"labels": "Pastures"}, "'labels' is 'Pastures', expected a list of class names"),
        ({"labels": [1]}, r"'labels' is \[1\], expected a list of class names"),
        ({"labels": ["Pasture"]}, "'Pasture' is not one of the 43 classes; did you mean 'Pastures'"),
        ({"labels": ["Pastures", "Pastures"]}, "'labels' names a class twice"),
        ({"coordinates": {"ulx": 1}}, r"'coordinates' are \{'ulx': 1\}, expected four numbers"),
        ({"projection": "UTM 33N"}, "has no 'projection' with an EPSG code, expected WKT"),
        ({"projection": None}, "has no 'projection' with an EPSG code, expected WKT"),
        (
            {"coordinates": {"ulx": 0, "uly": 0, "lrx": 1200, "lry": -1200}},
            r"footprint \(EPSG, ulx, uly, lrx, lry\) is \(32633, 0, 0, 1200, -1200\), expected \(32633,",
        ),
        (
            {"projection": 'PROJCS["WGS 84 / UTM zone 34N",AUTHORITY["EPSG","32634"]]'},
            r"is \(32634, .*\), expected \(32633, .*for column 68 and row 76 of tile 33UUP; unpack",
        ),
    ],
)
@pytest.mark.parametrize("half", ["s2_json", "s1_json"])
def test_a_json_that_breaks_its_format_is_refused(
    v1: Archive, half: str, changes: dict[str, object], message: str
) -> None:
    path = getattr(v1.patches[0], half)
    change(v1, path, **changes)
    with pytest.raises(PatchError, match=message) as raised:
        read_metadata(v1, v1.patches[0])
    assert str(at(v1.root, path)) in str(raised.value)


def test_halves_that_disagree_on_the_labels_are_refused(v1: Archive) -> None:
    change(v1, v1.patches[0].s1_json, labels=["Airports"])
    with pytest.raises(PatchError, match=r"labels \['Airports'\] differ from \[.*\] of the Sentinel-2 JSON"):
        read_metadata(v1, v1.patches[0])


def test_a_partner_that_belongs_elsewhere_is_refused(v1: Archive) -> None:
    pair = v1.patches[0]
    other = "S2A_MSIL2A_20170613T101031_1_1"
    change(v1, pair.s1_json, corresponding_s2_patch=other)
    with pytest.raises(PatchError, match=f"it belongs to {other}, expected {pair.patch}; correct the pairs"):
        read_metadata(v1, pair)
