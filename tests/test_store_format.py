"""The bytes of a store are those of its specification, whoever writes them, and every Zarr reader reads them."""

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tensorstore
import xarray as xr
import zarr
from numcodecs import Blosc, blosc  # type: ignore[import-untyped]  # ships no types
from shards import HOLE, INDEX_BYTES, crc32c, index_of

import bigearth_xr as bex
from bigearth_xr.store.codec import CRC_BYTES, PROFILES
from bigearth_xr.store.open import Store, open_store
from bigearth_xr.store.read import read_patches, read_state
from bigearth_xr.store.schema import PixelArray, pixel_arrays
from bigearth_xr.store.shard import shard_path
from bigearth_xr.testing import encode_tiff, formula_pixels, formula_reference_map, synthetic_pair, write_archive

PAIRS = 6
BAD = 1, PAIRS - 1
"""Rows of the holed store whose patch is damaged; the last row is one of them."""
EMPTY = 2
"""Its row whose every pixel is the fill value."""

# The specification, typed anew: dimensions after `patch`, patch shape, type, fill value.
ARRAYS = {
    "s2_10m": (("band_10m", "y_10m", "x_10m"), (4, 120, 120), "uint16", 0),
    "s2_20m": (("band_20m", "y_20m", "x_20m"), (6, 60, 60), "uint16", 0),
    "s2_60m": (("band_60m", "y_60m", "x_60m"), (2, 20, 20), "uint16", 0),
    "s1": (("polarization", "y_10m", "x_10m"), (2, 120, 120), "float32", "NaN"),
    "reference_map": (("y_10m", "x_10m"), (120, 120), "uint16", 65535),
}
BANDS = {
    "s2_10m": "B02 B03 B04 B08",
    "s2_20m": "B05 B06 B07 B8A B11 B12",
    "s2_60m": "B01 B09",
    "s1": "VV VH",
}


def expected_pixels(patch: str, array: PixelArray) -> npt.NDArray[np.generic]:
    """What the archive was written with, as the store's array has it."""
    if array.bands:
        return np.stack([formula_pixels(patch, band) for band in array.bands])
    (labels,) = [pair.labels_19 for pair in map(synthetic_pair, range(24)) if pair.patch == patch]
    return formula_reference_map(labels)


def blank(archive: Path, patch: str) -> None:
    """Give a patch nothing but fill values."""
    pair = next(pair for pair in map(synthetic_pair, range(PAIRS)) if pair.patch == patch)
    fill: dict[str, tuple[float, str]] = {"VV": (np.nan, "float32"), "VH": (np.nan, "float32")}
    for name in (patch, pair.s1_name):
        for path in archive.rglob(f"{name}_*.tif"):
            band = path.stem.removeprefix(f"{name}_")
            value, dtype = (65535, "uint16") if band == "reference_map" else fill.get(band, (0, "uint16"))
            size = 120 if band == "reference_map" else bex.bands.band(band).size
            ulx, uly = pair.corner
            pixels = np.full((size, size), value, dtype)
            path.write_bytes(encode_tiff(pixels, epsg=pair.epsg, ulx=ulx, uly=uly))


@pytest.fixture(scope="module", params=PROFILES)
def holed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store of six patches: two quarantined, the last among them, and one of fill values alone."""
    folder = tmp_path_factory.mktemp("holed")
    archive = write_archive(folder / "archive", pairs=PAIRS)
    patches = bex.table.from_lists(archive)["patch"].to_pylist()
    blank(archive, patches[EMPTY])
    for row in BAD:
        (file,) = archive.rglob(f"{patches[row]}_B09.tif")
        file.unlink()
    bex.ingest(archive, folder / "ben.zarr", profile=request.param)
    return open_store(folder / "ben.zarr")


def path_of(store: Store) -> Path:
    return Path(store.location.address)


fast_only = pytest.mark.parametrize("holed", ["fast"], indirect=True)
compact_only = pytest.mark.parametrize("holed", ["compact"], indirect=True)


def shards(store: Store) -> Iterator[tuple[PixelArray, Path]]:
    """The one shard of each array."""
    for array in store.arrays:
        yield array, shard_path(path_of(store), array, 0)


# Metadata.


def test_arrays_are_declared_as_specified(holed: Store) -> None:
    codecs = {"fast": ["bytes", "crc32c"], "compact": ["bytes", "blosc", "crc32c"]}[holed.profile]
    for name, (dims, shape, dtype, fill) in ARRAYS.items():
        declared = json.loads((path_of(holed) / name / "zarr.json").read_text())
        assert declared["zarr_format"] == 3
        assert declared["dimension_names"] == ["patch", *dims]
        assert declared["shape"] == [PAIRS, *shape]
        assert (declared["data_type"], declared["fill_value"]) == (dtype, fill)
        assert declared["chunk_grid"]["configuration"]["chunk_shape"] == [1024, *shape]
        (sharding,) = declared["codecs"]
        assert sharding["name"] == "sharding_indexed"
        inner = sharding["configuration"]
        assert inner["chunk_shape"] == [1, *shape]
        assert inner["index_location"] == "end"
        assert [codec["name"] for codec in inner["codecs"]] == codecs
        assert inner["codecs"][0]["configuration"]["endian"] == "little"
        assert [codec["name"] for codec in inner["index_codecs"]] == ["bytes", "crc32c"]


@compact_only
def test_compact_is_lz4_with_bit_shuffle(holed: Store) -> None:
    for name, (_, _, dtype, _) in ARRAYS.items():
        (sharding,) = json.loads((path_of(holed) / name / "zarr.json").read_text())["codecs"]
        settings = sharding["configuration"]["codecs"][1]["configuration"]
        assert (settings["cname"], settings["shuffle"]) == ("lz4", "bitshuffle")
        assert settings["typesize"] == np.dtype(dtype).itemsize


@pytest.mark.parametrize("name", ["s2_10m", "s1"])
def test_compact_shuffles_bits_of_numbers_not_of_bytes(name: str) -> None:
    array = next(one for one in pixel_arrays(["B02", "VV"], reference_map=False) if one.name == name)
    pixels = np.random.default_rng(0).integers(200, 1200, array.patch_shape).astype(array.dtype)
    theirs = Blosc("lz4", 5, Blosc.BITSHUFFLE).encode(pixels)
    assert PROFILES["compact"].encode(pixels, array)[:-CRC_BYTES] == theirs
    assert len(theirs) < 0.75 * pixels.nbytes


def test_bands_are_named_in_stored_order(holed: Store) -> None:
    for name, bands in BANDS.items():
        assert by_zarr_python(path_of(holed), ARRAYS[name][0][0]).tolist() == bands.split()


def test_what_lies_along_patch_alone_is_one_chunk(store: Path) -> None:
    for array in zarr.open_group(store, mode="r").array_values():
        if array.name.strip("/") not in ARRAYS:
            assert array.nchunks == 1, array.name


def test_codes_explain_themselves(store: Path) -> None:
    for name, meanings in [
        ("split", "train validation test"),
        ("season", "winter spring summer autumn"),
        ("seasonal_snow", "no yes"),
        ("cloud_or_shadow", "no yes"),
        ("recommended", "no yes"),
        ("state", "absent stored quarantined"),
    ]:
        column = zarr.open_array(store / name, mode="r")
        assert column.dtype == np.uint8
        assert column.attrs["flag_meanings"] == meanings
        assert column.attrs["flag_values"] == list(range(len(meanings.split())))
    for name in ("tile", "country"):
        assert zarr.open_array(store / name, mode="r").dtype == np.uint8


def test_unknown_codes_are_255_in_the_store(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "v2", pairs=2)
    for file in archive.glob("*.parquet"):
        file.unlink()
    bex.ingest(archive, tmp_path / "ben.zarr", bands=["B01"], sensors=["s2"])
    store = tmp_path / "ben.zarr"
    for name in ("country", "split", "seasonal_snow", "cloud_or_shadow", "recommended"):
        assert by_zarr_python(store, name).tolist() == [255, 255]
    assert by_zarr_python(store, "has_labels").tolist() == [False, False]


def test_metadata_is_consolidated_whole(holed: Store) -> None:
    root = json.loads((path_of(holed) / "zarr.json").read_text())
    gathered = root["consolidated_metadata"]["metadata"]
    lying = {path.parent.name: json.loads(path.read_text()) for path in path_of(holed).glob("*/zarr.json")}
    assert gathered.keys() == lying.keys()
    for name, document in lying.items():
        assert gathered[name]["shape"] == document["shape"]
        assert gathered[name]["attributes"] == document["attributes"]


# Shards.


@fast_only
def test_a_fast_shard_can_be_mapped_as_one_array(holed: Store) -> None:
    patches = by_zarr_python(path_of(holed), "patch")
    for array, path in shards(holed):
        layout = np.dtype([("pixels", np.dtype(array.dtype).newbyteorder("<"), array.patch_shape), ("crc32c", "<u4")])
        mapped = np.memmap(path, layout, mode="r", shape=PAIRS)
        for row in set(range(PAIRS)) - {*BAD, EMPTY}:
            assert np.array_equal(mapped[row]["pixels"], expected_pixels(str(patches[row]), array))
            assert mapped[row]["crc32c"] == crc32c(mapped[row]["pixels"].tobytes())


@fast_only
def test_fast_leaves_holes_for_absent_rows_and_ends_with_the_last(holed: Store) -> None:
    for array, path in shards(holed):
        length = array.patch_bytes + 4
        index, _ = index_of(path)
        stored = [row for row in range(PAIRS) if row not in BAD]
        assert index[stored].tolist() == [[row * length, length] for row in stored]
        # Its last row is absent, and has its place all the same.
        assert path.stat().st_size == PAIRS * length + INDEX_BYTES
        data = path.read_bytes()
        for row in BAD:
            assert not any(data[row * length : (row + 1) * length])


def test_every_index_lies_at_the_end_with_1024_entries_and_a_checksum(holed: Store) -> None:
    for _, path in shards(holed):
        index, checksum = index_of(path)
        assert checksum == crc32c(index.tobytes())
        absent = [*BAD, *range(PAIRS, 1024)]
        assert (index[absent] == HOLE).all()
        assert (np.delete(index, absent, axis=0) != HOLE).all()


@compact_only
def test_compact_packs_blosc_chunks_without_gaps(holed: Store) -> None:
    for array, path in shards(holed):
        data, (index, _) = path.read_bytes(), index_of(path)
        end = 0
        for row in set(range(PAIRS)) - set(BAD):
            offset, length = index[row].tolist()
            assert offset == end
            end += length
            chunk = data[offset:end]
            assert int.from_bytes(chunk[-4:], "little") == crc32c(chunk[:-4])
            assert len(blosc.decompress(chunk[:-4])) == array.patch_bytes
        assert len(data) == end + INDEX_BYTES


def test_a_stored_patch_of_fill_values_alone_is_written(holed: Store) -> None:
    assert read_state(holed)[EMPTY] == 1
    for array, path in shards(holed):
        index, _ = index_of(path)
        assert (index[EMPTY] != HOLE).all()
        pixels = read_patches(holed, array, np.array([EMPTY]))
        assert np.array_equal(pixels, np.full_like(pixels, array.fill_value), equal_nan=True)


def test_float_pixels_keep_every_bit(tmp_path: Path) -> None:
    pair = synthetic_pair(0)
    archive = write_archive(tmp_path / "archive", pairs=1)
    # Every kind of float: negative zero, infinities, a subnormal, NaNs with payload and sign.
    kinds = np.array([0x80000000, 0x7F800000, 0xFF800000, 1, 0x7FC00001, 0xFFC12345], "<u4").view("<f4")
    pixels = np.resize(kinds, (120, 120))
    (file,) = archive.rglob(f"{pair.s1_name}_VV.tif")
    ulx, uly = pair.corner
    file.write_bytes(encode_tiff(pixels, epsg=pair.epsg, ulx=ulx, uly=uly))
    for profile in PROFILES:
        bex.ingest(archive, tmp_path / f"{profile}.zarr", profile=profile)
        stored = bex.open(tmp_path / f"{profile}.zarr").s1.sel(polarization="VV").values
        assert stored.tobytes() == pixels.tobytes()


# Other readers.


def by_zarr_python(store: Path, name: str) -> Any:
    return zarr.open_array(store / name, mode="r")[...]


def by_zarrs(store: Path, name: str) -> Any:
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        return zarr.open_array(store / name, mode="r")[...]


def by_tensorstore(store: Path, name: str) -> Any:
    kvstore = {"driver": "file", "path": str(store / name)}
    return tensorstore.open({"driver": "zarr3", "kvstore": kvstore}).result().read().result()


def by_xarray(store: Path, name: str) -> Any:
    return xr.open_zarr(store, chunks=None, mask_and_scale=False)[name].values


@pytest.mark.parametrize("read", [by_zarr_python, by_zarrs, by_tensorstore, by_xarray])
def test_every_reader_gives_the_same_pixels(store: Path, read: Callable[[Path, str], Any]) -> None:
    ours = open_store(store)
    for array in ours.arrays:
        pixels = read_patches(ours, array, np.arange(ours.rows))
        assert np.asarray(read(store, array.name)).tobytes() == pixels.tobytes()


@pytest.mark.parametrize("read", [by_zarr_python, by_zarrs, by_tensorstore, by_xarray])
def test_every_reader_gives_fill_values_where_a_patch_is_absent(holed: Store, read: Callable[[Path, str], Any]) -> None:
    for array in holed.arrays:
        pixels = np.asarray(read(path_of(holed), array.name))[list(BAD)]
        assert np.array_equal(pixels, np.full_like(pixels, array.fill_value), equal_nan=True)


@pytest.mark.parametrize("name", ["epsg", "ulx", "s2_time", "split", "lon", "labels_19", "state"])
def test_tensorstore_reads_columns_too(store: Path, name: str) -> None:
    assert np.array_equal(by_tensorstore(store, name), by_zarr_python(store, name))


@pytest.mark.parametrize("chunks", [None, {}])
def test_plain_xarray_opens_a_store_without_a_warning(store: Path, ds: xr.Dataset, chunks: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain = xr.open_zarr(store, chunks=chunks)
        tree = xr.open_datatree(store, engine="zarr", chunks=chunks)
    assert plain.patch.values.tolist() == ds.patch.values.tolist()
    assert (plain.s2_time.values == ds.s2_time.values).all()
    assert np.array_equal(plain.labels_19.values, ds.labels.values)
    assert set(tree.data_vars) == set(plain.data_vars)
