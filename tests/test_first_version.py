"""Stores of format version 1 open and read as before, and are brought up without their archive."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from first_version import as_first_version
from typer.testing import CliRunner

import bigearth_xr as bex
from bigearth_xr.cli import app
from bigearth_xr.errors import ChecksumError, StoreError
from bigearth_xr.releases import Release
from bigearth_xr.store.codec import ProfileName
from bigearth_xr.store.create import table_path
from bigearth_xr.store.location import LocalLocation
from bigearth_xr.store.open import open_store
from bigearth_xr.store.read import read_column
from bigearth_xr.testing import write_archive, write_store
from bigearth_xr.verification import upgrade

PAIRS = 5
KINDS: list[tuple[Release, ProfileName]] = [("v1", "compact"), ("v2", "fast")]


@pytest.fixture(scope="module", params=KINDS, ids=["v1", "v2"])
def fresh(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store as it is ingested now, with vectors of some patches."""
    release, profile = request.param
    path = tmp_path_factory.mktemp("fresh") / "ben.zarr"
    write_store(path, pairs=PAIRS, version=release, profile=profile)
    return path


@pytest.fixture
def old(fresh: Path, tmp_path: Path) -> Path:
    return as_first_version(fresh, tmp_path / "old" / "ben.zarr")


def files(store: Path) -> dict[str, bytes]:
    found = {path.relative_to(store).as_posix(): path.read_bytes() for path in store.rglob("*") if path.is_file()}
    return {**found, "table": table_path(store).read_bytes()}


def embed_some(store: Path) -> None:
    bex.embed(bex.open(store).isel(patch=slice(0, 3)), "spectral", name="spectral", bands=["B02", "B03"])


def test_it_reads_as_it_did(old: Path, fresh: Path) -> None:
    assert (open_store(old).format_version, open_store(fresh).format_version) == (1, 2)
    assert not (old / "cloud_or_shadow/c").exists() or (read_column(open_store(old), "cloud_or_shadow") != 0).any()
    ds, now = bex.open(old), bex.open(fresh)
    for name in now.variables:
        np.testing.assert_array_equal(ds[name].values, now[name].values)


def test_columns_that_cannot_be_fill_are_missed(old: Path) -> None:
    for name in ("patch", "lat", "epsg", "s2_time"):
        (old / name / "c/0").unlink()
        with pytest.raises(StoreError, match=f"{name}/c/0: is missing"):
            read_column(open_store(old), name)


def test_metadata_that_disagree_are_refused(old: Path) -> None:
    path = old / "split/zarr.json"
    path.write_text(path.read_text().replace("train validation test", "test train validation"))
    with pytest.raises(ChecksumError, match=r"split/zarr\.json: has another attributes than .*zarr\.json says"):
        bex.open(old).split.load()


def test_damage_that_does_not_decode_names_the_file(old: Path) -> None:
    (old / "lat/c/0").write_bytes(b"no chunk at all")
    with pytest.raises(ChecksumError, match=r"lat/c/0: cannot be decoded \(.*--repair"):
        read_column(open_store(old), "lat")


def test_verify_says_how_to_bring_it_up(old: Path) -> None:
    report = bex.verify(old)
    assert report.sound
    assert f"format 1: its columns have no checksums; bring it up with: bigearth upgrade {old}" in report.summary()


def test_brought_up_it_has_the_bytes_of_a_fresh_ingest(old: Path, fresh: Path) -> None:
    assert upgrade(old)
    assert files(old) == files(fresh)
    assert not upgrade(old)


def test_embeddings_are_kept(old: Path, fresh: Path, tmp_path: Path) -> None:
    shutil.copytree(fresh.parent, tmp_path / "now")
    now = tmp_path / "now" / fresh.name
    embed_some(now)
    embed_some(old)
    assert upgrade(old)
    assert files(old) == files(now)


def test_the_command_line_brings_it_up(old: Path, fresh: Path) -> None:
    done = CliRunner().invoke(app, ["upgrade", str(old)])
    assert (done.exit_code, "brought up to" in done.output) == (0, True)
    assert files(old) == files(fresh)
    assert "is of the format" in CliRunner().invoke(app, ["upgrade", str(old)]).output


@pytest.mark.sampled(3)
@pytest.mark.parametrize("after", [0, 1, 7, 40, 60])
def test_killed_it_can_be_called_again(old: Path, fresh: Path, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    embed_some(old)
    moved = 0
    adopt = LocalLocation.adopt

    def killed(place: LocalLocation, key: str, file: Path) -> None:
        nonlocal moved
        if place.path == old and moved == after:
            raise KeyboardInterrupt
        moved += place.path == old
        adopt(place, key, file)

    with monkeypatch.context() as patched:
        patched.setattr(LocalLocation, "adopt", killed)
        with pytest.raises(KeyboardInterrupt):
            upgrade(old)
    assert (bex.open(old).patch.values == bex.open(fresh).patch.values).all()
    assert upgrade(old)
    shutil.rmtree(old / "embeddings")
    found, expected = files(old), files(fresh)
    assert {key for key in found if found[key] != expected.get(key)} == {"zarr.json"}


def test_a_lost_table_is_made_again(old: Path, fresh: Path) -> None:
    table_path(old).unlink()
    if open_store(old).release == "v2":
        # Names of v1 that v2 lists are in its table alone.
        with pytest.raises(StoreError, match=r"nothing tells what its columns were .*ben\.parquet: is missing"):
            upgrade(old)
        return
    assert upgrade(old)
    assert files(old) == files(fresh)


def test_nothing_vouches_for_a_damaged_record(old: Path) -> None:
    shard = next(path for path in (old / "s1/c").rglob("0") if path.is_file())
    shard.unlink()
    with pytest.raises(StoreError, match=r"s1: 5 patches are recorded as stored and missing.*verify .*--repair"):
        upgrade(old)


def test_a_store_whose_columns_nothing_tells_is_not_brought_up(old: Path) -> None:
    table_path(old).unlink()
    (old / "patch/c/0").unlink()
    with pytest.raises(StoreError, match=r"nothing tells what its columns were .*verify .*--repair"):
        upgrade(old)


def test_another_ingest_brings_it_up_too(old: Path, fresh: Path, tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "archive", pairs=PAIRS, version=open_store(old).release)
    bex.ingest(archive, old)
    assert files(old) == files(fresh)
