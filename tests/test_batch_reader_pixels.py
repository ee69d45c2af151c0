"""Batches are the pixels of their rows, in any order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reading import BAD, PAIRS, ROWS, each_profile, pixels_at, same

import bigearth_xr as bex
from bigearth_xr.store.batch import BatchReader
from bigearth_xr.store.create import write_states
from bigearth_xr.store.open import Store, open_store
from bigearth_xr.store.read import read_column, read_encoded, read_patches, read_state
from bigearth_xr.store.shard import ShardWriter
from bigearth_xr.testing import formula_pixels

pytest_plugins = ["opened_stores"]


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
    with ShardWriter(damaged.location, array, 0, damaged.profile, patches=PAIRS) as writer:
        for place, chunk in enumerate(chunks):
            if place not in (BAD, 8):
                writer.put_encoded(place, chunk or b"")
    write_states(damaged, read_state(damaged), ~np.isin(np.arange(PAIRS), (BAD, 8)))
    reader = BatchReader(damaged, [], reference_map=True)
    for rows in ([BAD, 3, 8], [BAD], [3, BAD]):
        assert same(reader.read(rows), damaged, rows)
        assert same(pixels_at(reader.locate(rows), reader), damaged, rows)
    assert (reader.read([8])["reference_map"] == 65535).all()
