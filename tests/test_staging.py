"""Pixels that have arrived survive what happens to the run, and only they."""

import errno
import os
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest
from numpy.typing import NDArray

from bigearth_xr.ingestion import staging as module
from bigearth_xr.ingestion.staging import Staging, staged_file
from bigearth_xr.store.schema import SHARD_PATCHES, PixelArray, pixel_arrays

ARRAYS = pixel_arrays(["B02", "B03", "B04", "B01", "VV", "VH"], reference_map=True)
SLOTS = SHARD_PATCHES + 3


def open_staging(folder: Path, slots: int = SLOTS, *, identity: str = "mine") -> Staging:
    return Staging(folder / "ben.ingest", ARRAYS, slots, identity=identity)


def pixels(staging: Staging, number: int, seed: int = 0) -> NDArray[Any]:
    array = staging.planes[number].array
    values = np.random.default_rng([number, seed]).integers(0, 9999, (array.size, array.size))
    return values.astype(array.dtype)


def lying(staging: Staging, array: PixelArray, slot: int) -> NDArray[Any]:
    """What lies in the slot of a patch, shape ``(band, y, x)``."""
    data = staged_file(staging.folder, array, slot // SHARD_PATCHES).read_bytes()
    start = slot % SHARD_PATCHES * (array.patch_bytes + 4)
    return np.frombuffer(data[start : start + array.patch_bytes], array.dtype).reshape(-1, array.size, array.size)


def test_planes_lie_where_a_shard_has_them_whatever_the_order(tmp_path: Path) -> None:
    staging = open_staging(tmp_path)
    for slot in (SLOTS - 1, 5):
        for number in reversed(range(len(staging.planes))):
            staging.put(slot, {number: pixels(staging, number, slot)})
            assert staging.checksums[slot, number] == google_crc32c.value(pixels(staging, number, slot).tobytes())
        for array in ARRAYS:
            planes = [plane.number for plane in staging.planes if plane.array == array]
            assert np.array_equal(lying(staging, array, slot), [pixels(staging, number, slot) for number in planes])
    assert staging.arrived.sum() == 2 * len(staging.planes)
    staging.close()


def test_what_was_noted_is_taken_up_again(tmp_path: Path) -> None:
    staging = open_staging(tmp_path)
    staging.put(2, {0: pixels(staging, 0), 1: pixels(staging, 1)})
    staging.checkpoint()
    staging.put(3, {0: pixels(staging, 0)})
    staging.close()
    again = open_staging(tmp_path)
    assert np.argwhere(again.arrived).tolist() == [[2, 0], [2, 1]]
    assert again.checksums[2, 1] == google_crc32c.value(pixels(staging, 1).tobytes())


def test_what_left_for_the_store_is_expected_anew(tmp_path: Path) -> None:
    staging = open_staging(tmp_path)
    staging.put(2, {number: pixels(staging, number) for number in range(len(staging.planes))})
    staging.checkpoint()
    staged_file(staging.folder, ARRAYS[0], 0).unlink()
    again = open_staging(tmp_path)
    assert again.arrived[2].tolist() == [plane.array != ARRAYS[0] for plane in staging.planes]


@pytest.mark.parametrize("damage", [b"", b"half", b"PK\3\4" + bytes(100)])
def test_a_journal_that_cannot_be_read_is_none(tmp_path: Path, damage: bytes) -> None:
    staging = open_staging(tmp_path)
    staging.put(2, {0: pixels(staging, 0)})
    staging.checkpoint()
    (staging.folder / "journal.npz").write_bytes(damage)
    assert not open_staging(tmp_path).arrived.any()
    assert not staged_file(staging.folder, ARRAYS[0], 0).exists()


def test_another_plan_is_discarded(tmp_path: Path) -> None:
    for other in ({"identity": "other"}, {"slots": SLOTS + 1}):
        staging = open_staging(tmp_path)
        staging.put(2, {0: pixels(staging, 0)})
        staging.checkpoint()
        assert not open_staging(tmp_path, **other).arrived.any()
        assert not staged_file(staging.folder, ARRAYS[0], 0).exists()
    other_bands = pixel_arrays(["B05", "B06", "B07", "B09", "VV", "VH"], reference_map=True)
    staging = open_staging(tmp_path)
    staging.put(2, {0: pixels(staging, 0)})
    staging.checkpoint()
    assert not Staging(staging.folder, other_bands, SLOTS, identity="mine").arrived.any()


def test_a_plan_that_had_grown_is_continued_with_what_it_began_with(tmp_path: Path) -> None:
    staging = open_staging(tmp_path)
    staging.grow(SLOTS + 9)
    staging.put(2, {0: pixels(staging, 0)})
    staging.put(SLOTS + 8, {0: pixels(staging, 0)})
    staging.checkpoint()
    assert np.argwhere(open_staging(tmp_path).arrived).tolist() == [[2, 0]]


def test_a_checkpoint_is_due_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    staging = open_staging(tmp_path)
    staging.checkpoint_if_due()
    assert not (staging.folder / "journal.npz").exists()
    monkeypatch.setattr(module, "CHECKPOINT_S", -1.0)
    staging.checkpoint_if_due()
    assert (staging.folder / "journal.npz").exists()


def test_few_files_are_open_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_OPEN", 5)
    staging = open_staging(tmp_path, 20 * SHARD_PATCHES)
    before = len(os.listdir("/proc/self/fd"))
    for slot in range(0, 20 * SHARD_PATCHES, SHARD_PATCHES):
        staging.put(slot, {number: pixels(staging, number, slot) for number in range(len(staging.planes))})
        assert len(os.listdir("/proc/self/fd")) <= before + 5
    for slot in range(0, 20 * SHARD_PATCHES, SHARD_PATCHES):
        assert np.array_equal(lying(staging, ARRAYS[0], slot)[0], pixels(staging, 0, slot))
    staging.discard()
    assert len(os.listdir("/proc/self/fd")) == before
    assert not staging.folder.exists()


def test_what_the_system_takes_in_parts_is_written_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pwrite, pwritev = os.pwrite, os.pwritev
    monkeypatch.setattr(os, "pwritev", lambda file, data, start: pwritev(file, [bytes(data[0])[:1000]], start))
    monkeypatch.setattr(os, "pwrite", lambda file, data, start: pwrite(file, bytes(data)[:777], start))
    staging = open_staging(tmp_path)
    staging.put(1, {0: pixels(staging, 0), 1: pixels(staging, 1)})
    assert np.array_equal(lying(staging, staging.planes[0].array, 1)[:2], [pixels(staging, n) for n in (0, 1)])


def test_pixels_that_could_not_be_flushed_are_never_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    staging = open_staging(tmp_path)
    staging.put(2, {0: pixels(staging, 0)})
    staging.checkpoint()
    staging.put(3, {0: pixels(staging, 0)})

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            staging.checkpoint()
    staging.checkpoint()
    staging.close()
    assert np.argwhere(open_staging(tmp_path).arrived).tolist() == [[2, 0]]
