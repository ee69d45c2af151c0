"""Memory of batches: mapped, used again, or a caller's own."""

import ctypes
import gc
from pathlib import Path

import pytest
from reading import (
    ROWS,
    compact_only,
    each_profile,
    fast_only,
    memory,
    same,
    shard_of,
)

import bigearth_xr as bex
from bigearth_xr.errors import BatchError
from bigearth_xr.store.batch import BatchReader
from bigearth_xr.store.open import Store

pytest_plugins = ["opened_stores"]


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
