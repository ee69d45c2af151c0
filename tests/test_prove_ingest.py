"""What is said of ingest at archive scale, measured anew: speed, memory, size, and that no fault costs a patch."""

import pytest

from benchmarks import faults, ingest, ingest_memory, ingest_plan, store_size

pytestmark = pytest.mark.prove

GIB_MB = 1024


def test_a_tar_is_ingested_fast() -> None:
    figures = ingest.main()
    for version in ("v2", "v1"):
        measured = figures[version]
        assert measured["containers"]["tar"]["fast"]["pairs_per_cpu_s"] >= 1000
        assert measured["speedup_over_rasterio"]["tar"] >= 10
        assert measured["extra_bytes_per_pair"]["tar"] == 0


def test_memory_does_not_grow_with_the_archive() -> None:
    figures = ingest_memory.main()
    for container in ("tar", "tar_zst"):
        few, many = (figures[container][f"pairs_{pairs}"]["tree_mb"] for pairs in (2_000, 20_000))
        assert many < 2 * GIB_MB
        # Names and table, about five kB a pair; pixels would be 300.
        assert (many - few) * 1024 < 8 * 18_000


def test_a_whole_release_is_planned_in_two_gibibytes() -> None:
    figures = ingest_plan.main()
    for kind in ("tar", "stream"):
        assert figures[kind]["rows"] == 590_326
        assert figures[kind]["own_mb"] < 2 * GIB_MB


def test_a_store_is_no_larger_than_an_lmdb() -> None:
    sizes = store_size.main()["kb_per_pair"]
    assert sizes["compact"] < sizes["fast"] < sizes["lmdb"]
    assert sizes["compact"] < sizes["files"] < sizes["files_on_disk"]


def test_no_fault_costs_a_patch_or_changes_a_byte() -> None:
    table = faults.main()
    assert table["kills"] >= 50
    assert table["patches_lost"] == 0
    assert table["lines_with_other_bytes"] == 0
    for line in table["lines"]:
        assert not [note for note in line["notes"] if note.split()[0].isupper()], line
