"""What is said of batches, measured anew, beside the peers that can be installed here."""

import pytest

from benchmarks import batches, transform

pytestmark = pytest.mark.prove


def test_batches_are_made_many_times_as_fast_as_by_others() -> None:
    figures = batches.main()
    times = figures["times_as_fast_per_cpu_s"]
    for peer in ("configilm", "torchgeo", "streaming"):
        assert "missing" not in figures[peer], figures[peer]
    assert times["fast"]["configilm_items"] >= 5
    assert times["compact"]["configilm_items"] >= 2.5
    assert times["fast"]["torchgeo_items"] >= 100
    assert times["fast"]["bare_repeat_first_fresh"] >= 3.5
    assert times["compact"]["bare_repeat_first"] >= 2
    assert figures["ours"]["fast_native"]["pairs_per_cpu_s"] >= 12_000


def test_the_compiled_transform_is_near_what_memory_allows() -> None:
    figures = transform.main()
    share = figures["share_of_ceiling"]
    assert all(share[name] >= 0.6 for name in ("plain", "d4", "gain", "bilinear", "bicubic", "crop"))
    assert figures["times_as_fast_per_cpu_s"]["eager"]["plain"] >= 5
