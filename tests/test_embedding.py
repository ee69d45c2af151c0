"""Embeddings without torch: what is computed, what is kept, what is refused."""

import json
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import xarray as xr

import bigearth_xr as bex
from bigearth_xr import table
from bigearth_xr.backend import pixels as stored_pixels
from bigearth_xr.errors import ChecksumError, EmbeddingError, NormalizationError, NotStoredError
from bigearth_xr.ops.spectral import spectral_features
from bigearth_xr.stats import band_statistics
from bigearth_xr.store.create import table_path, update_store
from bigearth_xr.store.embeddings import CHUNK_ROWS, open_embedding
from bigearth_xr.store.open import open_store
from bigearth_xr.testing import count_reads, formula_pixels

BANDS = ["VV", "B04", "VH", "B8A", "B08"]


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 12 pairs without embeddings."""
    return bex.testing.write_store(tmp_path_factory.mktemp("store") / "ben.zarr", pairs=12)


@pytest.fixture
def store(untouched: Path, tmp_path: Path) -> Path:
    """A copy of that store, to write in."""
    shutil.copy(table_path(untouched), tmp_path)
    return Path(shutil.copytree(untouched, tmp_path / "ben.zarr"))


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---- the spectral baseline -----------------------------------------------------------------------------------------


def test_spectral_features_are_their_definition(store: Path) -> None:
    ds = bex.open(store)
    image = ds.ben.image(BANDS).values.astype(np.float64)
    mean, std = (values.astype(np.float64)[:, None, None] for values in band_statistics("v2", "none").as_arrays(BANDS))
    vv, red, vh, _, nir = range(5)
    planes = list(((image - mean) / std).swapaxes(0, 1))
    planes += [(image[:, nir] - image[:, red]) / (image[:, nir] + image[:, red]), planes[vv] - planes[vh]]
    expected = [
        feature
        for plane in planes
        for feature in (
            plane.mean(axis=(1, 2)),
            plane.std(axis=(1, 2)),
            *np.quantile(plane, [0.1, 0.5, 0.9], axis=(1, 2)),
        )
    ]
    found = bex.embed(ds, "spectral", name="spectral", bands=BANDS)
    np.testing.assert_allclose(found, np.transpose(expected), rtol=1e-4, atol=1e-4)


def test_spectral_features_of_an_empty_patch_are_finite() -> None:
    features = spectral_features(
        np.zeros((1, 2, 4, 4), np.uint16), ["B08", "B04"], np.zeros(2, np.float32), np.ones(2, np.float32)
    )
    assert not np.asarray(features).any()


def test_pixels_as_stored_need_no_statistics(store: Path) -> None:
    found = bex.embed(bex.open(store), "spectral", name="raw", bands=["B02"], normalize=None)
    np.testing.assert_allclose(found[:, 0], bex.open(store).s2.sel(band="B02").mean(["y", "x"]), rtol=1e-5)


# ---- what comes back, and what the store holds ---------------------------------------------------------------------


def test_vectors_come_in_the_order_of_the_dataset(store: Path) -> None:
    ds = bex.open(store)
    whole = bex.embed(ds, "spectral", name="spectral", bands=BANDS)
    assert whole.dims == ("patch", "feature")
    assert whole.dtype == np.float32
    assert {"patch", "row", "split", "lon"} <= set(whole.coords)
    part = bex.embed(ds.isel(patch=[7, 2, 2, 11]), "spectral", name="spectral", bands=BANDS)
    xr.testing.assert_identical(part, whole.isel(patch=[7, 2, 2, 11]))


def test_nothing_is_read_but_rows_and_bands_asked_for(store: Path) -> None:
    ds = bex.open(store).isel(patch=[3, 9, 3])
    with count_reads() as reads:
        bex.embed(ds, "spectral", name="spectral", bands=["B04", "B02"])
    assert reads == {"s2_10m": 2}


def test_embedding_is_lazy_until_used(store: Path) -> None:
    found = bex.embed(bex.open(store), "spectral", name="spectral", bands=["B02"])
    (store / "embeddings/spectral/embedding/c/0/0").unlink()
    with pytest.raises(ChecksumError, match=r"row 0 .*spectral/embedding/c/0/0: vectors are missing.*overwrite=True"):
        found.load()


def test_rows_not_asked_for_are_nan_and_not_computed(store: Path) -> None:
    bex.embed(bex.open(store).isel(patch=[2, 5]), "spectral", name="spectral", bands=["B02"])
    group = xr.open_datatree(store, engine="bigearth")["embeddings/spectral"]
    assert np.flatnonzero(group.computed).tolist() == [2, 5]
    np.testing.assert_array_equal(np.isfinite(group.embedding).all("feature"), group.computed)


def test_a_second_call_computes_only_what_is_missing(store: Path) -> None:
    ds = bex.open(store)
    bex.embed(ds.isel(patch=slice(0, 5)), "spectral", name="spectral", bands=["B02"])
    with count_reads() as reads:
        bex.embed(ds, "spectral", name="spectral", bands=["B02"])
        bex.embed(ds, "spectral", name="spectral", bands=["B02"])
    assert reads == {"s2_10m": 7}


def test_a_run_that_is_killed_goes_on_where_it_was(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ds = bex.open(store)
    bex.embed(ds, "spectral", name="whole", bands=["B02"])
    monkeypatch.setattr("bigearth_xr.embedding.CHUNK_ROWS", 4)
    calls = []

    def interrupted(pixels: stored_pixels.StoredPixels, key: object) -> object:
        calls.append(pixels.rows)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(pixels, key)  # type: ignore[arg-type]

    original = stored_pixels.StoredPixels.read
    with monkeypatch.context() as context:
        context.setattr(stored_pixels.StoredPixels, "read", interrupted)
        with pytest.raises(KeyboardInterrupt):
            bex.embed(ds, "spectral", name="parts", bands=["B02"])
    with count_reads() as reads:
        parts = bex.embed(ds, "spectral", name="parts", bands=["B02"])
    assert reads == {"s2_10m": 4}
    np.testing.assert_array_equal(parts, bex.embed(ds, "spectral", name="whole", bands=["B02"]))


def test_same_rows_give_same_bytes_in_any_order_and_batches(untouched: Path, tmp_path: Path) -> None:
    contents = []
    for order, batch_size in ((slice(None), 128), ([*range(11, -1, -1)], 5)):
        store = Path(shutil.copytree(untouched, tmp_path / str(batch_size) / "ben.zarr"))
        bex.embed(bex.open(store).isel(patch=order), "spectral", name="spectral", batch_size=batch_size)
        contents.append(files_of(store))
    assert contents[0] == contents[1]


def test_a_table_that_says_more_leaves_vectors_valid(store: Path) -> None:
    before = bex.embed(bex.open(store), "spectral", name="spectral", bands=["B02"]).load()
    rows = table.read(table_path(store))
    countries = pa.array(["Kosovo"] * rows.num_rows)
    place = rows.schema.get_field_index("country")
    update_store(open_store(store), rows.set_column(place, "country", countries), sensors=["s1", "s2"])
    ds = bex.open(store)
    assert json.loads(ds.attrs["bigearth"])["uuid"] != json.loads(before.attrs["bigearth"])["uuid"]
    with count_reads() as reads:
        np.testing.assert_array_equal(bex.embed(ds, "spectral", name="spectral", bands=["B02"]), before)
    assert not reads


def test_provenance_says_how_the_vectors_were_made(store: Path) -> None:
    found = bex.embed(bex.open(store), "spectral", name="spectral", bands=["B04", "VV"])
    made = json.loads(found.attrs["bigearth"])
    assert made["model"] == "spectral"
    assert made["bands"] == ["B04", "VV"]
    assert made["resampling"] == "nearest"
    assert made["normalization"]["numbers"]["B04"] == [588.4096, 684.56885]
    assert made["uuid"] == json.loads(bex.open(store).attrs["bigearth"])["uuid"]


# ---- opened --------------------------------------------------------------------------------------------------------


def test_tree_shows_embeddings_for_the_rows_it_shows(tmp_path: Path) -> None:
    archive = bex.testing.write_archive(tmp_path / "archive", pairs=6)
    absent = min(path for path in archive.glob("BigEarthNet-S2/*/*") if path.is_dir())
    shutil.rmtree(absent)
    bex.ingest(archive, tmp_path / "ben.zarr", rows="listed")
    found = bex.embed(bex.open(tmp_path / "ben.zarr"), "spectral", name="spectral", bands=["B02"])
    tree = xr.open_datatree(tmp_path / "ben.zarr", engine="bigearth")
    assert tree.patch.size == tree["embeddings/spectral"].patch.size == 5
    np.testing.assert_array_equal(tree["embeddings/spectral"].embedding, found)
    np.testing.assert_array_equal(tree["embeddings/spectral"].row, tree.row)
    every = xr.open_datatree(tmp_path / "ben.zarr", engine="bigearth", states="all")
    assert every["embeddings/spectral"].embedding.shape == (6, 5)
    assert int(every["embeddings/spectral"].computed.sum()) == 5


def test_plain_readers_open_the_store_and_its_embeddings(store: Path) -> None:
    found = bex.embed(bex.open(store), "spectral", name="spectral", bands=["B02"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain = xr.open_zarr(store)
        group = xr.open_zarr(store, group="embeddings/spectral")
        tree = xr.open_datatree(store, engine="zarr")
    assert "s2_10m" in plain
    np.testing.assert_array_equal(group.embedding, found)
    np.testing.assert_array_equal(tree["embeddings/spectral/embedding"], found)


def test_store_is_as_it_was_but_for_its_embeddings(store: Path) -> None:
    before = files_of(store)
    assert bex.open(store).identical(bex.open(store))
    bex.embed(bex.open(store), "spectral", name="spectral", bands=["B02"])
    after = files_of(store)
    assert {name for name in after if after[name] != before.get(name)} == {
        "zarr.json",
        *(name for name in after if name.startswith("embeddings/")),
    }


# ---- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("compute", "expected"),
    [
        (lambda ds: ds.load(), lambda p: p),
        (lambda ds: ds.assign(s2=ds.s2.astype("int32") + 1), lambda p: p + 1),
        (lambda ds: ds.where(ds.s2 > 0), lambda p: p),
        (lambda ds: ds.isel(x=slice(0, 8)), lambda p: p[..., :8]),
    ],
    ids=["loaded", "arithmetic", "where", "cropped"],
)
def test_vectors_of_pixels_computed_with_are_kept_nowhere(compute: Any, expected: Any, store: Path) -> None:
    ds = bex.open(store)
    with pytest.warns(UserWarning, match=r"not as a store holds them: .*kept nowhere; .*as bex\.open gives it"):
        vectors = bex.embed(compute(ds), "spectral", name="nowhere", bands=["B02"], normalize=None)
    pixels = expected(np.array([formula_pixels(str(patch), "B02") for patch in ds.patch.values], np.float64))
    np.testing.assert_allclose(vectors[:, 0], pixels.mean((1, 2)), rtol=1e-5)
    np.testing.assert_allclose(vectors[:, 1], pixels.std((1, 2)), rtol=1e-4)
    assert vectors.patch.values.tolist() == ds.patch.values.tolist()
    assert "embeddings/nowhere" not in xr.open_datatree(store, engine="bigearth")


def test_one_name_holds_one_way_of_embedding(store: Path) -> None:
    ds = bex.open(store)
    bex.embed(ds, "spectral", name="mine", bands=["B02"])
    with pytest.raises(EmbeddingError, match=r"'mine' was made with another bands, normalization; .*overwrite=True"):
        bex.embed(ds, "spectral", name="mine", bands=["B03"])
    replaced = bex.embed(ds.isel(patch=[1]), "spectral", name="mine", bands=["B03", "B04"], overwrite=True)
    assert replaced.shape == (1, 10)
    assert int(xr.open_datatree(store, engine="bigearth")["embeddings/mine"].computed.sum()) == 1


def test_vectors_that_were_replaced_since_they_were_opened_are_refused(store: Path) -> None:
    ds = bex.open(store)
    before = bex.embed(ds, "spectral", name="mine", bands=["B02"])
    computed = xr.open_datatree(store, engine="bigearth")["embeddings/mine"].computed
    same = bex.embed(ds, "spectral", name="mine", bands=["B02"], overwrite=True)
    np.testing.assert_array_equal(before.copy(), same)
    bex.embed(ds, "spectral", name="mine", bands=["B03"], overwrite=True)
    for lazy in (before, same[2], computed):
        with pytest.raises(EmbeddingError, match=r"'mine' was replaced, made otherwise, since .*; open it again"):
            lazy.load()


def test_interpolated_pixels_have_no_published_statistics(store: Path) -> None:
    ds = bex.open(store, resampling="bilinear")
    with pytest.raises(NormalizationError, match="bilinear, for which no statistics were published"):
        bex.embed(ds, "spectral", name="mine", bands=["B05"])
    assert bex.embed(ds, "spectral", name="mine", bands=["B05"], stats={"B05": (900, 700)}).shape == (12, 5)


def test_absent_patches_are_refused_by_name(tmp_path: Path) -> None:
    archive = bex.testing.write_archive(tmp_path / "archive", pairs=3)
    shutil.rmtree(min(path for path in archive.glob("BigEarthNet-S2/*/*") if path.is_dir()))
    bex.ingest(archive, tmp_path / "ben.zarr", rows="listed")
    with pytest.raises(NotStoredError, match="is absent"):
        bex.embed(bex.open(tmp_path / "ben.zarr", states="all"), "spectral", name="spectral", bands=["B02"])


def test_what_makes_no_embedding_is_refused(store: Path) -> None:
    ds = bex.open(store)
    with pytest.raises(EmbeddingError, match=r"no patches along 'patch'.*isel"):
        bex.embed(ds.isel(patch=[]), "spectral", name="mine")
    with pytest.raises(EmbeddingError, match=r"no patches along 'patch'.*isel"):
        bex.embed(ds.isel(patch=0), "spectral", name="mine")
    with pytest.raises(EmbeddingError, match="unknown model 'resnet'"):
        bex.embed(ds, "resnet", name="mine")  # type: ignore[arg-type]
    with pytest.raises(EmbeddingError, match="batch_size is 0"):
        bex.embed(ds, "spectral", name="mine", batch_size=0)
    assert not (store / "embeddings").exists()


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "ä", "a b", "zarr.json", "a.b", "a\n", 5])
def test_names_that_are_no_folder_are_refused(name: object, store: Path) -> None:
    with pytest.raises(EmbeddingError, match="cannot name an embedding"):
        bex.embed(bex.open(store), "spectral", name=name, bands=["B02"])  # type: ignore[arg-type]
    assert not (store / "embeddings").exists()


def test_opening_what_was_never_made_is_refused(store: Path) -> None:
    with pytest.raises(EmbeddingError, match=r"no embedding 'mine', it has none; make it with bex\.embed"):
        open_embedding(open_store(store), "mine")


def test_baseline_needs_no_torch(store: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None; import bigearth_xr as bex\n"
        f"print(bex.embed(bex.open({str(store)!r}), 'spectral', name='spectral', bands=['B02']).shape)"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == "(12, 5)"


def test_chunks_are_of_1024_rows() -> None:
    assert CHUNK_ROWS == 1024
