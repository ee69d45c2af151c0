"""Batches are the pixels of the store, in any order, in memory that is checked, mapped or used again."""

import ctypes
import gc
import os
import pickle
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damages import flip
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import bigearth_xr as bex
from bigearth_xr.errors import BandError, BatchError, ChecksumError, NotStoredError, StoreError
from bigearth_xr.store import mapped
from bigearth_xr.store.address import place_of
from bigearth_xr.store.batch import BatchReader, Located
from bigearth_xr.store.create import write_states
from bigearth_xr.store.intake import CHECKS
from bigearth_xr.store.patches import read_encoded, read_patches
from bigearth_xr.store.read import Store, open_store, read_column, read_state
from bigearth_xr.store.shard import HOLE, encode_index, read_index, shard_path
from bigearth_xr.store.write import ShardWriter
from bigearth_xr.testing import formula_pixels

PAIRS = 24
ROWS = [7, 0, 7, 23, 3]
BAD = 5

fast_only = pytest.mark.parametrize(("release", "store"), [("v2", "fast")], indirect=True)
compact_only = pytest.mark.parametrize(("release", "store"), [("v2", "compact")], indirect=True)
each_profile = pytest.mark.parametrize(("release", "store"), [("v2", "fast"), ("v2", "compact")], indirect=True)


@pytest.fixture
def opened(store: Path) -> Store:
    return open_store(store)


@pytest.fixture
def damaged(own: Path) -> Store:
    """A store of one test's own."""
    return open_store(own)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every change of a file is noticed at once."""
    monkeypatch.setattr(mapped, "LOOK_AGAIN_S", -1.0)


def same(found: dict[str, NDArray[Any]], store: Store, rows: Any) -> bool:
    """Whether pixels are those that the patch-by-patch reader gives."""
    return all(
        pixels.tobytes() == read_patches(store, store.array(name), np.asarray(rows)).tobytes()
        for name, pixels in found.items()
    )


def memory(address: int, size: int) -> bytes:
    return ctypes.string_at(address, size)


def pixels_at(located: Located, reader: BatchReader) -> dict[str, NDArray[Any]]:
    """What lies at the addresses, read by nobody's code but ctypes."""
    return {
        array.name: np.stack(
            [
                np.frombuffer(memory(address, array.patch_bytes), array.dtype).reshape(array.patch_shape)
                for address in line.tolist()
            ]
        )
        for array, line in zip(reader.sources, located.addresses, strict=True)
    }


def shard_of(store: Store, name: str) -> Path:
    return shard_path(Path(store.place.address), store.array(name), 0)


def flip_patch(store: Store, name: str, row: int) -> None:
    """Flip a bit in a patch's checksum: what it decodes to stays the same."""
    index = read_index(store.place, f"{name}/c/0/" + "/".join("0" * len(store.array(name).patch_shape)))
    assert index is not None
    flip(shard_of(store, name), int(index[row].sum()) - 2)


def unseen(change: Callable[[], object], file: Path) -> None:
    """Change a file behind everyone's back."""
    before = file.stat()
    change()
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


# Pixels.


@pytest.mark.parametrize("threads", [1, 3])
def test_a_batch_is_the_pixels_of_its_rows(opened: Store, threads: int) -> None:
    has_map = opened.release == "v2"
    with BatchReader(opened, reference_map=has_map, threads=threads) as reader:
        found = reader.read(ROWS)
        assert list(found) == [array.name for array in opened.arrays]
        assert same(found, opened, ROWS)
        with reader.locate(ROWS) as located:
            assert located.addresses.dtype == np.uint64
            assert same(pixels_at(located, reader), opened, ROWS)


def test_pixels_are_those_of_the_archive(opened: Store) -> None:
    patches = read_column(opened, "patch")
    found = BatchReader(opened, ["VH", "B8A"]).read(np.array(ROWS, np.uint8))
    assert list(found) == ["s2_20m", "s1"]
    for place, row in enumerate(ROWS):
        assert np.array_equal(found["s2_20m"][place, 3], formula_pixels(str(patches[row]), "B8A"))
        assert np.array_equal(found["s1"][place, 1], formula_pixels(str(patches[row]), "VH"))


@pytest.fixture(scope="module", params=["fast", "compact"])
def reader(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> BatchReader:
    """A reader that many examples share, and with it its recycled memory."""
    path = tmp_path_factory.mktemp("store") / "ben.zarr"
    return BatchReader(open_store(bex.testing.write_store(path, pairs=9, profile=request.param)), ["B02", "B01"])


@given(rows=st.lists(st.integers(0, 8), max_size=20))
def test_rows_come_in_any_order_and_number(reader: BatchReader, rows: list[int]) -> None:
    expected = [np.array([read_patches(reader.store, array, np.array(rows, int))]) for array in reader.sources]
    assert [pixels.tobytes() for pixels in reader.read(rows).values()] == [pixels.tobytes() for pixels in expected]
    with reader.locate(rows) as located:
        assert located.addresses.shape == (2, len(rows))
        if rows:
            assert same(pixels_at(located, reader), reader.store, rows)


@each_profile
def test_reads_are_counted(opened: Store) -> None:
    reader = BatchReader(opened, ["B02", "VV"])
    with bex.testing.count_reads() as reads:
        reader.read([4, 2, 9])
        reader.locate([1]).release()
    assert dict(reads) == {"s2_10m": 4, "s1": 4}


@each_profile
def test_a_stored_patch_without_a_map_has_one_of_65535(damaged: Store) -> None:
    array = damaged.array("reference_map")
    chunks = [read_encoded(damaged, array, row) for row in range(PAIRS)]
    with ShardWriter(damaged.place, array, 0, damaged.profile, patches=PAIRS) as writer:
        for place, chunk in enumerate(chunks):
            if place not in (BAD, 8):
                writer.put_encoded(place, chunk or b"")
    reader = BatchReader(damaged, [], reference_map=True)
    for rows in ([BAD, 3, 8], [BAD], [3, BAD]):
        assert same(reader.read(rows), damaged, rows)
        assert same(pixels_at(reader.locate(rows), reader), damaged, rows)
    assert (reader.read([8])["reference_map"] == 65535).all()


# Memory.


@fast_only
def test_fast_pixels_are_located_in_their_files(opened: Store) -> None:
    reader = BatchReader(opened, ["B02", "B05"])
    located = reader.locate([3, 5])
    lines = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    ranges = [([int(end, 16) for end in line[0].split("-")], line[-1]) for line in lines]
    for name, addresses in zip(("s2_10m", "s2_20m"), located.addresses.tolist(), strict=True):
        assert [path for (low, high), path in ranges for address in addresses if low <= address < high] == [
            str(shard_of(opened, name).resolve())
        ] * 2


@fast_only
def test_what_is_located_outlives_its_reader_and_file(damaged: Store) -> None:
    reader = BatchReader(damaged, ["B02"])
    expected = reader.read([3])["s2_10m"].tobytes()
    located = reader.locate([3])
    reader.close()
    shard_of(damaged, "s2_10m").unlink()
    del reader
    gc.collect()
    assert memory(int(located.addresses[0, 0]), len(expected)) == expected


@fast_only
def test_a_write_by_address_reaches_no_file(damaged: Store) -> None:
    before = shard_of(damaged, "s2_10m").read_bytes()
    located = BatchReader(damaged, ["B02"]).locate([3])
    ctypes.memset(int(located.addresses[0, 0]), 0xFF, 64)
    assert shard_of(damaged, "s2_10m").read_bytes() == before


@compact_only
def test_decoded_memory_is_used_again_once_it_is_released(opened: Store) -> None:
    reader = BatchReader(opened, ["B02"])
    first = reader.locate([3, 4])
    address = first.addresses[0, 0]
    second = reader.locate([5, 6])
    assert second.addresses[0, 0] != address
    assert memory(int(address), 4 * 120 * 120 * 2) == reader.read([3])["s2_10m"].tobytes()
    first.release()
    first.release()
    assert reader.locate([7, 8]).addresses[0, 0] == address
    with pytest.raises(BatchError, match=r"was released, its memory is another's; .* locate it again"):
        _ = first.addresses


@compact_only
def test_a_row_that_is_asked_for_twice_is_decoded_once(opened: Store) -> None:
    reader = BatchReader(opened, ["B02"])
    with bex.testing.count_reads() as reads, reader.locate([3, 4, 3]) as located:
        assert located.addresses[0, 0] == located.addresses[0, 2]
    assert reads["s2_10m"] == 2


@each_profile
def test_a_callers_memory_is_filled(opened: Store) -> None:
    reader = BatchReader(opened)
    large = reader.buffers(8)
    out = {name: pixels[2:7] for name, pixels in large.items()}
    for pixels in large.values():
        pixels[...] = 9
    found = reader.read(ROWS, out)
    assert all(found[name] is out[name] for name in out)
    assert same(found, opened, ROWS)
    assert all((pixels[[0, 1, 7]] == 9).all() for pixels in large.values())


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array


@fast_only
@pytest.mark.parametrize(
    ("out", "message"),
    [
        ({}, "out has arrays none, expected s1; make it by reader.buffers"),
        ({"s1": None, "s2": None}, "out has arrays s1, s2, expected s1"),
        ({"s1": [1.0]}, r"out\['s1'\] is a list, expected a NumPy array; a tensor on the host lends its own"),
        ({"s1": np.empty((1, 2, 120, 120))}, r"out\['s1'\] is float64, expected float32; make it by"),
        ({"s1": np.empty((1, 2, 120, 120), ">f4")}, r"out\['s1'\] is >f4, expected float32"),
        ({"s1": np.empty((2, 2, 120, 120), "f4")}, r"has shape \(2, 2, 120, 120\), expected \(1, 2, 120, 120\); make"),
        ({"s1": np.empty((1, 120, 120, 2), "f4").transpose(0, 3, 1, 2)}, r"does not lie in one piece \(C order\)"),
        ({"s1": np.empty((1, 2, 120, 240), "f4")[..., ::2]}, "does not lie in one piece"),
        ({"s1": read_only(np.empty((1, 2, 120, 120), "f4"))}, r"out\['s1'\] is read-only; make it by"),
    ],
)
def test_memory_that_does_not_fit_is_refused(opened: Store, out: Any, message: str) -> None:
    with pytest.raises(BatchError, match=message):
        BatchReader(opened, ["VV"]).read([3], out)


@fast_only
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([24], "row 24 is not in the store, which has rows 0 to 23; take them from ds.row.values"),
        ([3, -1], "row -1 is not in the store"),
        ([2**40], "row 1099511627776 is not in"),
        ([0.5], r"rows are float64 of shape \(1,\), expected integers of shape \(patch,\)"),
        ([[1]], r"of shape \(1, 1\), expected integers"),
        (3, r"of shape \(\), expected integers"),
        (np.ones(24, bool), r"given as a mask, expected their numbers; use np\.flatnonzero"),
    ],
)
def test_what_is_no_row_is_refused(opened: Store, rows: Any, message: str) -> None:
    reader = BatchReader(opened, ["VV"])
    for ask in (reader.read, reader.locate, reader.prefetch):
        with pytest.raises(BatchError, match=message):
            ask(rows)


@fast_only
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"bands": ["B10"]}, BandError, "no band 'B10'"),
        ({"bands": "B02"}, BandError, r"one string 'B02'; write \['B02'\]"),
        ({"bands": []}, BandError, "no band asked for; give at least one"),
        ({"checks": "sometimes"}, BatchError, "checks='sometimes', expected one of 'always', 'first', 'never'"),
        ({"threads": 0}, BatchError, "threads=0, expected at least 1"),
    ],
)
def test_options_that_cannot_be_are_refused(opened: Store, options: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        BatchReader(opened, **options)


def test_what_a_store_lacks_is_refused(tmp_path: Path) -> None:
    archive = bex.testing.write_archive(tmp_path / "v1", pairs=2, version="v1")
    bex.ingest(archive, tmp_path / "ben.zarr", bands=["B02", "VV"])
    store = open_store(tmp_path / "ben.zarr")
    with pytest.raises(BandError, match=r"B8A, VH not in .*ben\.zarr, which holds B02, VV; ask for these, or ingest"):
        BatchReader(store, ["B8A", "VV", "VH"])
    with pytest.raises(BatchError, match=r"has no reference maps, which come with v2 alone; leave reference_map out"):
        BatchReader(store, reference_map=True)


# What is wrong in a store.


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
        assert text.startswith(f"row 2 ({patches[2]}): {damaged.place}/s2_20m/c/0/0/0/0: checksum is")
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
    index = read_index(damaged.place, "s1/c/0/0/0/0")
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
    with ShardWriter(damaged.place, array, 0, damaged.profile, patches=PAIRS) as writer:
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
        with ShardWriter(damaged.place, array, 0, damaged.profile, patches=PAIRS) as writer:
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


# Processes, threads, and many shards.


def widened(store: Store, folder: Path, shards: int) -> Store:
    """The same store with its one shard many times over; its columns know nothing of that."""
    for array in store.arrays:
        for shard in range(shards):
            file = shard_path(folder, array, shard)
            file.parent.mkdir(parents=True)
            shutil.copy(shard_of(store, array.name), file)
    return replace(store, place=place_of(folder), rows=1024 * shards)


def maps() -> int:
    return Path("/proc/self/maps").read_text().count("ben.zarr")


@each_profile
def test_many_shards_cost_no_descriptors_and_a_bounded_number_of_maps(
    opened: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapped, "MAPPED_SHARDS", 4)
    store = widened(opened, tmp_path / "ben.zarr", 20)
    gc.collect()
    descriptors, before = len(os.listdir("/proc/self/fd")), maps()
    reader = BatchReader(store, ["B01", "B05"])
    rows = np.random.default_rng(0).permutation(20) * 1024 + np.arange(20)
    expected = [read_patches(opened, opened.array("s2_60m"), rows % 1024).tobytes()]
    for _ in range(3):
        assert reader.read(rows)["s2_60m"].tobytes() == expected[0]
        assert [reader.read([row])["s2_60m"].tobytes() for row in rows[:6]]
        assert len(os.listdir("/proc/self/fd")) == descriptors
        assert maps() - before == 8
    reader.close()
    gc.collect()
    assert maps() == before


@each_profile
def test_threads_may_share_a_reader(opened: Store) -> None:
    reader = BatchReader(opened, threads=2)
    rows = [np.random.default_rng(seed).integers(0, PAIRS, 16) for seed in range(12)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(reader.read, rows))
    assert all(same(pixels, opened, wanted) for pixels, wanted in zip(found, rows, strict=True))


@each_profile
def test_a_reader_travels_without_what_it_has_open(opened: Store) -> None:
    reader = BatchReader(opened, ["B8A"], checks="always", threads=2)
    reader.read([2])
    sent = pickle.dumps(reader)
    assert len(sent) < 3000
    arrived = pickle.loads(sent)
    assert arrived.sources == reader.sources
    assert same(arrived.read(ROWS), opened, ROWS)


@each_profile
def test_a_forked_reader_opens_the_store_anew(opened: Store) -> None:
    reader = BatchReader(opened, threads=2)
    kept = reader.locate([2])
    expected = reader.read(ROWS)["s1"].tobytes()
    child = os.fork()
    if child == 0:
        same_memory = memory(int(kept.addresses[0, 0]), 8) == reader.read([2])["s2_10m"].tobytes()[:8]
        os._exit(17 if same_memory and reader.read(ROWS)["s1"].tobytes() == expected else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 17


@each_profile
def test_a_closed_reader_opens_again(opened: Store) -> None:
    with BatchReader(opened, threads=2) as reader:
        reader.prefetch(ROWS)
        reader.read(ROWS)
    reader.close()
    assert same(reader.read(ROWS), opened, ROWS)
