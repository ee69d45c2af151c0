"""Patches that are unpacked one at a time make the batch that unpacked ones make, or none."""

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray

import bigearth_xr as bex
from bigearth_xr.batches.build import BatchBuilder
from bigearth_xr.batches.patches import patches_of
from bigearth_xr.batches.recipe import Recipe
from bigearth_xr.device.host import transform_batch, transform_packed
from bigearth_xr.errors import ChecksumError, TransformError
from bigearth_xr.ops.augmentation import Augmentation, draw_parameters
from bigearth_xr.ops.transform import Transform, transform_of
from bigearth_xr.stats import band_statistics
from bigearth_xr.store import codec
from bigearth_xr.store.batch import BatchReader
from bigearth_xr.store.open import open_store

PAIRS = 12
ROWS = [3, 11, 0, 3, 7]
MIXED = ("B8A", "VH", "B01", "B02", "VV")


@pytest.fixture(scope="module")
def packed_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bex.testing.write_store(tmp_path_factory.mktemp("packed") / "ben.zarr", pairs=PAIRS, profile="compact")


@pytest.fixture(scope="module")
def reader(packed_store: Path) -> BatchReader:
    return BatchReader(open_store(packed_store))


def transform(reader: BatchReader, bands: Any = None, **options: Any) -> Transform:
    names, stats = bands or reader.store.bands, band_statistics("v2", "nearest")
    return transform_of(reader.sources, names, {name: (stats.mean[name], stats.std[name]) for name in names}, **options)


def room(made: Transform, patches: int) -> NDArray[Any]:
    return np.full(made.out_shape(patches), 7, made.out_dtype)


@pytest.mark.parametrize(
    "allowed",
    [
        None,
        Augmentation(),
        Augmentation(gain=(0.9, 1.1), bias=(-0.1, 0.1), drop=0.3),
        Augmentation(crop=(0.3, 1.0)),
        Augmentation(noise_std=0.1),
    ],
    ids=["plain", "flips", "values", "crop", "noise"],
)
@pytest.mark.parametrize("bands", [None, MIXED], ids=["all", "some"])
def test_batches_are_those_of_unpacked_patches(reader: BatchReader, bands: Any, allowed: Augmentation | None) -> None:
    made = transform(reader, bands)
    drawn = None if allowed is None else draw_parameters(np.array(ROWS), allowed, bands=made.bands, seed=1, epoch=2)
    out = room(made, len(ROWS))
    with reader.locate(ROWS) as located:
        assert located.packed is not None
        assert transform_packed(made, located.packed, drawn, out=out)
        expected = transform_batch(made, located.addresses, drawn)
    np.testing.assert_array_equal(out.view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize("options", [{"resampling": "bilinear"}, {"size": 240}, {"dtype": "bfloat16"}], ids=str)
def test_transforms_may_be_any(reader: BatchReader, options: dict[str, Any]) -> None:
    made = transform(reader, **options)
    out = room(made, len(ROWS))
    with reader.locate(ROWS) as located:
        assert located.packed is not None
        assert transform_packed(made, located.packed, out=out)
        np.testing.assert_array_equal(out.view(np.uint16), transform_batch(made, located.addresses).view(np.uint16))


def test_mixed_patches_are_left_to_who_has_all_of_them(reader: BatchReader) -> None:
    made = transform(reader)
    drawn = draw_parameters(np.array(ROWS), Augmentation(mixup=0.4), bands=made.bands, seed=1)
    with reader.locate(ROWS) as located:
        assert located.packed is not None
        assert not transform_packed(made, located.packed, drawn, out=room(made, len(ROWS)))


def test_memory_that_a_batch_does_not_fit_is_refused(reader: BatchReader) -> None:
    made = transform(reader)
    with reader.locate(ROWS) as located:
        packed = located.packed
        assert packed is not None
        with pytest.raises(TransformError, match=r"out is float32 of shape \(4, 14"):
            transform_packed(made, packed, out=room(made, 4))


def test_pixels_that_lie_as_they_are_are_not_packed(tmp_path: Path) -> None:
    store = open_store(bex.testing.write_store(tmp_path / "ben.zarr", pairs=3))
    with BatchReader(store).locate([0]) as located:
        assert located.packed is None


def batch_of(store: Path, **augment: Any) -> NDArray[Any]:
    """What a loader makes of all patches."""
    recipe = Recipe(augment=Augmentation(**augment)) if augment else Recipe()
    patches = patches_of([bex.open(store)], recipe, checks="never")
    builder = BatchBuilder(patches, recipe)
    out = np.zeros((PAIRS, *builder.patch_shape), builder.dtype)
    builder.fill(builder.plan(np.arange(PAIRS)), 0, out)
    return out


def rewrite(monkeypatch: pytest.MonkeyPatch, path: Path, encode: Any) -> Path:
    """Write a store whose patches somebody else packed."""
    with monkeypatch.context() as patched:
        patched.setattr(codec.Profile, "encode", encode)
        return bex.testing.write_store(path, pairs=PAIRS, profile="compact")


def test_what_another_writer_packed_is_read_too(
    packed_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def by_zstd(profile: Any, pixels: Any, array: Any) -> bytes:
        data = bytes(imagecodecs.blosc_encode(pixels.tobytes(), compressor="zstd", typesize=array.itemsize))
        return data + codec.crc32c(data)

    other = rewrite(monkeypatch, tmp_path / "other.zarr", by_zstd)
    for augment in ({}, {"mixup": 0.4}):
        np.testing.assert_array_equal(batch_of(other, **augment), batch_of(packed_store, **augment))


def test_a_patch_that_does_not_unpack_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut_short(profile: Any, pixels: Any, array: Any, plain: Any = codec.Profile.encode) -> bytes:
        data: bytes = plain(profile, pixels, array)[: -codec.CRC_BYTES]
        if array.name == "s1":
            data = data[:16] + bytes(len(data) - 16)
        return data + codec.crc32c(data)

    damaged = rewrite(monkeypatch, tmp_path / "damaged.zarr", cut_short)
    with pytest.raises(ChecksumError, match=r"row 0 \(S2.*/s1/c/0/0/0/0: does not decompress .* for 11 more"):
        batch_of(damaged)
