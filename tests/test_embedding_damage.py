"""Vectors that were computed are never NaN again, and no damaged one is read."""

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import bigearth_xr as bex
from bigearth_xr.errors import ChecksumError, StoreError
from bigearth_xr.store.embeddings import open_embedding, read_computed, read_vectors, write_vectors
from bigearth_xr.store.open import open_store
from bigearth_xr.testing import write_store

PAIRS = 6


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_store(tmp_path_factory.mktemp("made") / "ben.zarr", pairs=PAIRS)
    bex.embed(bex.open(path).isel(patch=slice(1, 4)), "spectral", name="mine", bands=["B02"])
    return path


@pytest.fixture
def own(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made.parent, tmp_path / "own")
    return tmp_path / "own" / made.name


@pytest.mark.parametrize("part", ["embedding/c/0/0", "computed/c/0"])
def test_no_flipped_or_cut_chunk_is_read(own: Path, part: str) -> None:
    vectors = xr.open_datatree(own, engine="bigearth")["embeddings/mine"]
    chunk = own / "embeddings/mine" / part
    sound = chunk.read_bytes()
    cuts = [sound[:length] for length in (0, 5, len(sound) - 1)]
    for bit in random.Random(0).choices(range(8 * len(sound)), k=40):
        changed = bytearray(sound)
        changed[bit // 8] ^= 1 << bit % 8
        cuts.append(bytes(changed))
    for data in cuts:
        chunk.write_bytes(data)
        with pytest.raises(ChecksumError, match=rf"embeddings/mine/{part}: .*bex.embed.*name='mine', overwrite=True"):
            vectors[part.partition("/")[0]].load()


def test_a_lost_chunk_is_not_nan(own: Path) -> None:
    (own / "embeddings/mine/embedding/c/0/0").unlink()
    mine = open_embedding(open_store(own), "mine")
    assert np.isnan(read_vectors(mine, np.array([0, 5]))).all()
    with pytest.raises(ChecksumError, match=r"row 1 \(S2.*mine/embedding/c/0/0: vectors are missing.*for 2 more, rows"):
        read_vectors(mine, np.arange(PAIRS))
    with pytest.raises(ChecksumError, match=r"mine/embedding/c/0/0: is missing, or lacks vectors .* row 1; "):
        write_vectors(mine, np.array([0]), np.zeros((1, mine.features), np.float32))
    assert not read_computed(mine)[0]


def test_a_lost_record_is_not_all_to_be_done(own: Path) -> None:
    (own / "embeddings/mine/computed/c/0").unlink()
    with pytest.raises(StoreError, match=r"mine/computed/c/0: is missing; .*overwrite=True"):
        bex.embed(bex.open(own), "spectral", name="mine", bands=["B02"])


def test_made_again_it_is_sound(own: Path) -> None:
    for part in ("embedding/c/0/0", "computed/c/0"):
        (own / "embeddings/mine" / part).write_bytes(b"nonsense")
    (own / "embeddings/mine/zarr.json").write_text("{")
    again = bex.embed(bex.open(own), "spectral", name="mine", bands=["B02"], overwrite=True)
    assert np.isfinite(again.values).all()


def test_how_it_was_made_is_read_of_the_checked_root(own: Path) -> None:
    path = own / "embeddings/mine/zarr.json"
    path.write_text(path.read_text().replace('"spectral"', '"other"'))
    assert open_embedding(open_store(own), "mine").provenance["model"] == "spectral"


def test_other_rows_of_a_chunk_stay(own: Path) -> None:
    mine = open_embedding(open_store(own), "mine")
    before = read_vectors(mine, np.arange(PAIRS))
    write_vectors(mine, np.array([5, 0]), np.full((2, mine.features), 7, np.float32))
    after = read_vectors(mine, np.arange(PAIRS))
    np.testing.assert_array_equal(after[1:5], before[1:5])
    assert (after[[0, 5]] == 7).all()
    assert read_computed(mine).tolist() == [True, True, True, True, False, True]
