"""Nothing that was damaged is read: columns, names, metadata, maps; errors name the file."""

import json
import random
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr

import bigearth_xr as bex
from bigearth_xr.batches.build import MapReader
from bigearth_xr.errors import BigEarthError, ChecksumError, NotStoredError, StoreError
from bigearth_xr.store.batch import BatchReader
from bigearth_xr.store.codec import PROFILES
from bigearth_xr.store.layout import consolidate
from bigearth_xr.store.location import LocalLocation
from bigearth_xr.store.open import Store, open_store
from bigearth_xr.store.read import read_column, read_meanings
from bigearth_xr.testing import write_store

PAIRS = 6
FLIPS = 40


@pytest.fixture(scope="module", params=PROFILES)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("made") / "ben.zarr", pairs=PAIRS, profile=request.param)


@pytest.fixture
def own(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made.parent, tmp_path / "own")
    return tmp_path / "own" / made.name


def small_arrays(store: Path) -> list[str]:
    pixels = {array.name for array in open_store(store).arrays}
    return sorted(path.parent.name for path in store.glob("*/zarr.json") if path.parent.name not in pixels)


def chunk_of(store: Path, name: str) -> Path:
    return next(path for path in (store / name / "c").rglob("0") if path.is_file())


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def bits_of(data: bytes, seed: int, count: int = FLIPS) -> list[int]:
    return random.Random(seed).choices(range(8 * len(data)), k=count)


def said(store: Store) -> dict[str, Any]:
    """Everything that metadata decide."""
    meanings = {name: read_meanings(store, name) for name in ("split", "country", "tile", "season")}
    return {"store": store, "meanings": meanings, "dtypes": [read_column(store, n).dtype for n in ("lat", "labels_19")]}


# Columns and names.


def test_every_small_array_ends_in_a_checksum_and_has_its_chunk(own: Path) -> None:
    for name in small_arrays(own):
        codecs = [codec["name"] for codec in json.loads((own / name / "zarr.json").read_text())["codecs"]]
        assert codecs[-1] == "crc32c"
        assert chunk_of(own, name).is_file()


def test_no_flipped_bit_of_a_column_is_read(own: Path) -> None:
    store = open_store(own)
    for name in small_arrays(own):
        chunk = chunk_of(own, name)
        sound = chunk.read_bytes()
        for bit in bits_of(sound, seed=0):
            chunk.write_bytes(flipped(sound, bit))
            with pytest.raises(ChecksumError, match=rf"{name}/c/0.*: checksum is .* was written; .* --repair"):
                read_column(store, name)
        chunk.write_bytes(sound)
        read_column(store, name)


def test_no_cut_or_lost_column_is_read(own: Path) -> None:
    store = open_store(own)
    for name in small_arrays(own):
        chunk = chunk_of(own, name)
        sound = chunk.read_bytes()
        for length in {0, 3, len(sound) // 2, len(sound) - 1}:
            chunk.write_bytes(sound[:length])
            with pytest.raises(ChecksumError, match=rf"{name}/c/0"):
                read_column(store, name)
        chunk.unlink()
        with pytest.raises(StoreError, match=rf"{name}/c/0.*: is missing; .* --repair"):
            read_column(store, name)
        chunk.write_bytes(sound)


def test_a_column_of_another_length_is_refused(own: Path, tmp_path: Path) -> None:
    """Its own checksum is right."""
    other = write_store(tmp_path / "other.zarr", pairs=PAIRS - 1)
    for name in ("lat", "patch", "labels_19"):
        shutil.copy(chunk_of(other, name), chunk_of(own, name))
        with pytest.raises(ChecksumError, match=rf"{name}/c/0.*: cannot be decoded \(.* expected"):
            read_column(open_store(own), name)


def test_lost_columns_are_errors_of_the_dataset_too(own: Path) -> None:
    ds = bex.open(own)
    for name in ("split", "lat", "country", "labels_19"):
        chunk_of(own, name).unlink()
    for name in ("split", "lat", "country", "labels"):
        with pytest.raises(StoreError, match="is missing"):
            ds[name].load()


def test_zarr_python_checks_them_too(own: Path) -> None:
    chunk = chunk_of(own, "split")
    chunk.write_bytes(flipped(chunk.read_bytes(), 77))
    with pytest.raises(ValueError, match="checksum"):
        zarr.open_array(own / "split", mode="r")[...]


# Metadata.


def test_no_flipped_bit_of_the_root_changes_a_meaning(own: Path) -> None:
    sound, expected = (own / "zarr.json").read_bytes(), said(open_store(own))
    refused = named = 0
    for bit in bits_of(sound, seed=1, count=400):
        (own / "zarr.json").write_bytes(flipped(sound, bit))
        try:
            found = said(open_store(own))
        except BigEarthError as error:
            named += "zarr.json" in str(error)
            refused += 1
            continue
        assert found == expected | {"store": found["store"]}
        assert found["store"].columns >= expected["store"].columns
    assert named == refused > 200


@pytest.mark.parametrize("edit", ["flag_meanings", "shape", "bands", "profile", "format_version"])
def test_an_edited_root_is_refused(own: Path, edit: str) -> None:
    document = json.loads((own / "zarr.json").read_text())
    split = document["consolidated_metadata"]["metadata"]["split"]
    ours = document["attributes"]["bigearth"]
    match edit:
        case "flag_meanings":
            split["attributes"]["flag_meanings"] = "test train validation"
        case "shape":
            split["shape"] = [PAIRS - 1]
        case "bands":
            ours["bands"].reverse()
        case "profile":
            ours["profile"] = "compact" if ours["profile"] == "fast" else "fast"
        case "format_version":
            ours["format_version"] = 1
    (own / "zarr.json").write_text(json.dumps(document))
    with pytest.raises(ChecksumError, match=r"zarr\.json: its metadata have the digest .*; the file was damaged"):
        bex.open(own)


def test_an_arrays_own_metadata_are_not_what_is_read(own: Path) -> None:
    expected = bex.open(own).split.values
    path = own / "split/zarr.json"
    path.write_text(path.read_text().replace("train validation test", "test train validation"))
    assert (bex.open(own).split.values == expected).all()
    consolidate(LocalLocation(own), changed="embeddings/mine")
    assert (bex.open(own).split.values == expected).all()


def test_what_others_add_is_no_damage(own: Path) -> None:
    expected = bex.open(own).split.values
    group = zarr.open_group(own, mode="r+", use_consolidated=False)
    group.create_group("mine").create_array("scores", shape=(3,), dtype="float32")
    group.attrs["note"] = "mine"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(own)
    assert (bex.open(own).split.values == expected).all()
    bex.embed(bex.open(own), "spectral", name="spectral", bands=["B02"])
    assert "mine/scores" in zarr.open_group(own, mode="r", use_consolidated=True)
    assert xr.open_datatree(own, engine="bigearth")["embeddings/spectral"].computed.all()


# Maps of stored patches.


@pytest.mark.parametrize("damage", ["shard", "hole"])
def test_a_lost_reference_map_is_no_missing_one(own: Path, damage: str) -> None:
    from bigearth_xr.store.read import read_encoded
    from bigearth_xr.store.shard import ShardWriter

    store = open_store(own)
    maps = store.array("reference_map")
    if damage == "shard":
        chunk_of(own, "reference_map").parent.joinpath("0").unlink()
    else:
        chunks = [read_encoded(store, maps, row) for row in range(PAIRS)]
        with ShardWriter(store.location, maps, 0, store.profile, patches=PAIRS) as writer:
            for place, chunk in enumerate(chunks[:-1]):
                writer.put_encoded(place, chunk or b"")
    ds, row = bex.open(own), PAIRS - 1
    message = r"is stored: reference_map holds no pixels of it.*verify the store, and repair it"
    with pytest.raises(NotStoredError, match=message):
        ds.reference_map.isel(patch=[row]).load()
    with pytest.raises(NotStoredError, match=message):
        BatchReader(store, ["B02"], reference_map=True).read([row])
    with pytest.raises(NotStoredError, match=message):
        BatchReader(store, ["B02"], reference_map=True).locate([row])
    with pytest.raises(NotStoredError, match=message):
        MapReader(store).read(np.array([row]))


def test_maps_on_record_as_missing_are_fill(own: Path) -> None:
    from bigearth_xr.store.create import write_states

    store = open_store(own)
    write_states(store, np.ones(PAIRS, np.uint8), np.zeros(PAIRS, bool))
    chunk_of(own, "reference_map").unlink()
    assert (bex.open(own).reference_map.values == 65535).all()
    assert (BatchReader(store, (), reference_map=True).read([1, 4])["reference_map"] == 65535).all()
