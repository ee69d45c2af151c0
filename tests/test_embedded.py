"""Damage to embeddings is found; a repair gives up what is lost, and the same model computes it again."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from damages import flip, kinds
from holdings import holdings

import bigearth_xr as bex
from bigearth_xr import table
from bigearth_xr.store.codec import crc32c
from bigearth_xr.store.create import create_store
from bigearth_xr.store.embeddings import create_embedding, open_embedding, read_computed, read_vectors, write_vectors
from bigearth_xr.store.open import open_store
from bigearth_xr.store.schema import pixel_arrays
from bigearth_xr.verification import verify
from bigearth_xr.verification.vectors import check_embeddings, repair_embeddings

CHUNK = "embeddings/mine/embedding/c/0/0"
FLAGS = "embeddings/mine/computed/c/0"
DONE = 5
"""Rows that are computed, of six."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An archive, and its store with an embedding."""
    root = tmp_path_factory.mktemp("embedded")
    archive = bex.testing.write_archive(root / "v2", pairs=6)
    bex.ingest(archive, root / "ben.zarr", bands=["B04", "VV"])
    embed(root / "ben.zarr")
    return archive, root / "ben.zarr"


@pytest.fixture
def embedded(made: tuple[Path, Path], tmp_path: Path) -> Path:
    shutil.copy(made[1].with_suffix(".parquet"), tmp_path)
    return shutil.copytree(made[1], tmp_path / "ben.zarr")


def embed(store: Path) -> None:
    bex.embed(bex.open(store).isel(patch=slice(0, DONE)), "spectral", name="mine", bands=["B04", "VV"])


def delete_chunk(store: Path) -> None:
    (store / CHUNK).unlink()


def flip_vector(store: Path) -> None:
    flip(store / CHUNK, 40)


def cut_chunk(store: Path) -> None:
    (store / CHUNK).write_bytes((store / CHUNK).read_bytes()[:100])


def blank_one(store: Path) -> None:
    """A row called computed that is NaN, under a true checksum."""
    vectors = np.frombuffer((store / CHUNK).read_bytes()[:-4], "<f4").copy().reshape(1024, -1)
    vectors[2] = np.nan
    (store / CHUNK).write_bytes(vectors.tobytes() + crc32c(vectors.tobytes()))


@pytest.mark.parametrize(
    ("damage", "lost"), [(delete_chunk, DONE), (flip_vector, DONE), (cut_chunk, DONE), (blank_one, 1)]
)
def test_lost_vectors_are_named_given_up_and_computed_anew(
    made: tuple[Path, Path], embedded: Path, damage: Callable[[Path], None], lost: int
) -> None:
    before = holdings(embedded)
    damage(embedded)
    (finding,) = verify(embedded).findings
    assert (finding.kind, finding.file, len(finding.patches)) == ("embedding", CHUNK, lost)
    assert str(embedded / CHUNK) in finding.message
    assert "bex.embed(..., name='mine') computes them anew" in finding.message
    report = verify(embedded, made[0], repair=True)
    assert report.sound
    assert report.given_up == {"mine": lost}
    assert f"{lost} vectors given up, to be computed anew with bex.embed(..., name='mine')" in report.summary()
    assert verify(embedded).sound
    embed(embedded)
    assert holdings(embedded) == before


@pytest.mark.parametrize("damage", [lambda file: file.unlink(), lambda file: flip(file, 3)], ids=["deleted", "flipped"])
def test_flags_follow_from_the_vectors(made: tuple[Path, Path], embedded: Path, damage: Callable[[Path], None]) -> None:
    before = holdings(embedded)
    damage(embedded / FLAGS)
    assert kinds(verify(embedded)) == {("embedding", FLAGS)}
    report = verify(embedded, made[0], repair=True)
    assert report.sound
    assert report.given_up == {}
    assert holdings(embedded) == before


@pytest.mark.parametrize("member", ["embeddings", "embeddings/mine", "embeddings/mine/computed"])
def test_metadata_of_embeddings_are_compared_and_repaired(made: tuple[Path, Path], embedded: Path, member: str) -> None:
    before = holdings(embedded)
    file = embedded / member / "zarr.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"attributes": {"bigearth": {"model": "another"}}}))
    assert kinds(verify(embedded)) == {("embedding", member)}
    file.unlink()
    assert kinds(verify(embedded)) == {("embedding", member)}
    assert verify(embedded, made[0], repair=True).sound
    assert holdings(embedded) == before


def test_an_embedding_that_is_deleted_by_hand_is_told(made: tuple[Path, Path], embedded: Path) -> None:
    shutil.rmtree(embedded / "embeddings/mine")
    named = {finding.file for finding in verify(embedded).findings}
    assert named == {"embeddings/mine", "embeddings/mine/embedding", "embeddings/mine/computed", FLAGS}
    assert verify(embedded, made[0], repair=True).sound
    assert not read_computed(open_embedding(open_store(embedded), "mine")).any()


def test_a_chunk_costs_only_its_own_rows(tmp_path: Path) -> None:
    ids = [
        f"S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_{column:02d}_{row:02d}"
        for column in range(80)
        for row in range(20)
    ]
    columns = {
        "patch": pa.array(ids),
        "s1_name": pa.array([None] * len(ids), pa.string()),
        "tile": pa.array(["33UUP"] * len(ids)),
        "column": pa.array([int(name[-5:-3]) for name in ids]),
        "tile_row": pa.array([int(name[-2:]) for name in ids]),
    }
    rows = table.assemble("v2", columns)
    arrays = pixel_arrays(["B01"], reference_map=False)
    create_store(tmp_path / "ben.zarr", rows, profile="fast", arrays=arrays, sensors=["s2"])
    store = open_store(tmp_path / "ben.zarr")
    mine = create_embedding(store, "mine", features=3, provenance={})
    some = np.arange(0, len(ids), 3)
    vectors = np.random.default_rng(0).normal(size=(some.size, 3)).astype(np.float32)
    write_vectors(mine, some, vectors)
    assert check_embeddings(store, ids) == ()
    flip(tmp_path / "ben.zarr" / "embeddings/mine/embedding/c/1/0", 5)
    (finding,) = check_embeddings(store, ids)
    assert finding.patches == tuple(ids[row] for row in some[some >= 1024])
    written, given_up = repair_embeddings(store)
    assert written == (FLAGS, "embeddings/mine/embedding/c/1/0")
    assert given_up == {"mine": int((some >= 1024).sum())}
    assert np.flatnonzero(read_computed(mine)).tolist() == some[some < 1024].tolist()
    kept = some[some < 1024]
    np.testing.assert_array_equal(read_vectors(mine, kept), vectors[: kept.size])
