"""Checksums of parts give that of the whole."""

import google_crc32c
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bigearth_xr.store.codec import combine_crc32c


@given(st.data(), st.integers(0, 200), st.integers(1, 6))
def test_the_sums_of_parts_give_that_of_all_laid_end_to_end(data: st.DataObject, length: int, count: int) -> None:
    parts = data.draw(st.lists(st.binary(min_size=length, max_size=length), min_size=count, max_size=count))
    sums = np.array([google_crc32c.value(part) for part in parts], np.uint32)
    assert int(combine_crc32c(sums, length)) == google_crc32c.value(b"".join(parts))


def test_many_patches_are_summed_at_once() -> None:
    patches = np.random.default_rng(0).integers(0, 256, (5, 4, 28_800), dtype=np.uint8)
    sums = np.array([[google_crc32c.value(band) for band in patch] for patch in patches], np.uint32)
    assert combine_crc32c(sums, 28_800).tolist() == [google_crc32c.value(patch) for patch in patches]
