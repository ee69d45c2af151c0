"""What is wrong in a store is noticed when it is read, and named with its patches."""

import os
import time
from typing import Any

import numpy as np
import pytest
from damages import flip
from reading import BAD, PAIRS, compact_only, each_profile, fast_only, flip_patch, memory, same, shard_of, unseen

from bigearth_xr.errors import ChecksumError, NotStoredError, StoreError
from bigearth_xr.store.batch import BatchReader
from bigearth_xr.store.create import write_states
from bigearth_xr.store.open import Store
from bigearth_xr.store.read import read_column, read_encoded, read_state
from bigearth_xr.store.rows import CHECKS
from bigearth_xr.store.shard import HOLE, ShardWriter, encode_index, read_index

pytest_plugins = ["opened_stores"]


@each_profile
@pytest.mark.parametrize("checks", ["always", "first"])
def test_damaged_patches_are_named_together(damaged: Store, checks: Any) -> None:
    patches = read_column(damaged, "patch")
    for name, row in [("s1", 9), ("s1", BAD), ("s2_20m", 2)]:
        flip_patch(damaged, name, row)
    reader = BatchReader(damaged, checks=checks)
    for _ in range(2):
        with pytest.raises(ChecksumError) as caught:
            reader.read([0, 9, BAD, 2])
        text = str(caught.value)
        assert text.startswith(f"row 2 ({patches[2]}): {damaged.location}/s2_20m/c/0/0/0/0: checksum is")
        assert text.endswith("; and so for 2 more, rows 9, 5" if damaged.profile == "fast" else "rows 5, 9")
    with pytest.raises(ChecksumError, match=rf"row {BAD} .*ingest the archive again into the same store$"):
        reader.locate([BAD])
    assert same(reader.read([0, 1]), damaged, [0, 1])


@each_profile
@pytest.mark.parametrize("checks", CHECKS)
def test_first_means_once_for_each_version_of_a_file(damaged: Store, checks: Any, watched: None) -> None:
    reader = BatchReader(damaged, ["VV"], checks=checks)
    file = shard_of(damaged, "s1")
    reader.read([BAD])
    raising = pytest.raises(ChecksumError, match=f"row {BAD} ")
    unseen(lambda: flip_patch(damaged, "s1", BAD), file)
    if checks == "always":
        with raising:
            reader.read([BAD])
    else:
        reader.read([BAD])
    file.touch()
    if checks == "never":
        reader.read([BAD])
    else:
        with raising:
            reader.read([BAD])


@compact_only
def test_bytes_that_do_not_decode_are_named_even_unchecked(damaged: Store) -> None:
    index = read_index(damaged.location, "s1/c/0/0/0/0")
    assert index is not None
    data = bytearray(shard_of(damaged, "s1").read_bytes())
    start = int(index[BAD, 0])
    data[start : start + 16] = b"\xff" * 16
    shard_of(damaged, "s1").write_bytes(data)
    with pytest.raises(ChecksumError, match=rf"row {BAD} \(S2.*\): .*/s1/c/0/0/0/0: does not decompress .*; the file"):
        BatchReader(damaged, ["VV"], checks="never").read([1, BAD])


@each_profile
def test_a_replaced_shard_is_noticed(damaged: Store, watched: None) -> None:
    reader = BatchReader(damaged, ["VV"])
    before = reader.locate([2])
    old = memory(int(before.addresses[0, 0]), 100) if damaged.profile == "fast" else b""
    array = damaged.array("s1")
    chunks = [read_encoded(damaged, array, row) or b"" for row in range(PAIRS)]
    with ShardWriter(damaged.location, array, 0, damaged.profile, patches=PAIRS) as writer:
        for place, chunk in enumerate(reversed(chunks)):
            writer.put_encoded(place, chunk)
    assert same(reader.read([2, 4]), damaged, [2, 4])
    if damaged.profile == "fast":
        assert memory(int(before.addresses[0, 0]), 100) == old


@fast_only
def test_a_change_is_noticed_within_a_moment(damaged: Store) -> None:
    reader = BatchReader(damaged, ["VV"])
    reader.read([2])
    shard_of(damaged, "s1").unlink()
    with pytest.raises(NotStoredError):  # noqa: PT012  # as soon as it is looked at again
        for _ in range(100):
            reader.read([2])
            time.sleep(0.01)


@each_profile
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            lambda file: file.unlink(),
            NotStoredError,
            "is stored: s1 holds no pixels of it, nor of 1 more, row 9; s1/c/0",
        ),
        (lambda file: os.truncate(file, 20), StoreError, "20 bytes, too short for a shard index"),
        (lambda file: os.truncate(file, 0), StoreError, " 0 bytes, too short for a shard index"),
        (lambda file: flip(file, -100), ChecksumError, "index: checksum is"),
        (lambda file: file.write_bytes(file.read_bytes()[20_000:]), StoreError, "its index speaks of"),
    ],
)
def test_a_damaged_shard_is_named_with_its_patches(damaged: Store, change: Any, error: Any, message: str) -> None:
    reader = BatchReader(damaged)
    patch = read_column(damaged, "patch")[BAD]
    change(shard_of(damaged, "s1"))
    for _ in range(2):
        with pytest.raises(error, match=rf"row {BAD} \({patch}\)") as caught:
            reader.read([BAD, 9])
        assert message in str(caught.value)
        assert "s1/c/0/0/0/0" in str(caught.value)


@each_profile
def test_absent_and_quarantined_rows_are_refused(damaged: Store) -> None:
    state, held = read_state(damaged).copy(), read_column(damaged, "patch") != ""
    state[BAD], state[8] = 2, 0
    for array in damaged.arrays:
        chunks = [read_encoded(damaged, array, row) for row in range(PAIRS)]
        with ShardWriter(damaged.location, array, 0, damaged.profile, patches=PAIRS) as writer:
            for place, chunk in enumerate(chunks):
                if state[place] == 1:
                    writer.put_encoded(place, chunk or b"")
    write_states(damaged, state, held & (state == 1))
    for reader in (BatchReader(damaged), BatchReader(damaged, [], reference_map=True, checks="never")):
        with pytest.raises(
            NotStoredError, match=rf"row {BAD} \(S2.*\) is quarantined: .* of it, nor of 1 more, row 8; o"
        ):
            reader.read([0, BAD, 8])
        with pytest.raises(NotStoredError, match=r"row 8 \(S2.*\) is absent: .* holds no pixels of it; open the store"):
            reader.locate([8])
        assert same(reader.read([0, 9]), damaged, [0, 9])


@fast_only
def test_a_layout_that_is_not_ours_is_refused(damaged: Store) -> None:
    data = shard_of(damaged, "s1").read_bytes()
    index = np.full((1024, 2), HOLE, "<u8")
    index[:2] = [[0, 115_204], [115_204, 1000]]
    shard_of(damaged, "s1").write_bytes(data[:300_000] + encode_index(index))
    with pytest.raises(StoreError, match=r"row 0 \(S2.*of 1000, 115204 bytes, expected 115204 at multiples of 4; an"):
        BatchReader(damaged, ["VV"], checks="never").read([0])
