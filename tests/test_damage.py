"""Damage to any file of a store: no reader answers wrong in silence, `verify` finds it, a repair leaves its bytes."""

from typing import cast

import pytest

from benchmarks._specimen import Specimen
from benchmarks._wounds import Wound, wounds
from benchmarks.damage import STORES, damage, main
from bigearth_xr.releases import Release
from bigearth_xr.store.codec import ProfileName


@pytest.fixture(scope="module", params=STORES[:3:2], ids="-".join)
def specimen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Specimen:
    release, profile = cast("tuple[Release, ProfileName]", request.param)
    return Specimen(tmp_path_factory.mktemp("specimen"), release, profile)


def a_few(specimen: Specimen) -> list[Wound]:
    """One damage of each kind of file and each sort."""
    chosen: dict[tuple[str, str], Wound] = {}
    for wound in wounds(specimen, flips=1, cuts=1):
        chosen.setdefault((wound.kind, wound.how), wound)
    return list(chosen.values())


def test_a_specimen_holds_every_kind_of_file(specimen: Specimen) -> None:
    kinds = {
        *("root zarr.json", "zarr.json of pixels", "zarr.json of columns", "ben.parquet", "column", "axis or names"),
        *("labels", "state", "has_labels", "shard of s1", "shard of s2_10m", "shard of s2_20m", "shard of s2_60m"),
        *("embedding, zarr.json of a group", "embedding, zarr.json of an array"),
        *("embedding, embedding", "embedding, computed"),
    }
    maps = {"shard of reference_map", "has_reference_map"} if specimen.release == "v2" else set()
    assert set(specimen.files.values()) == kinds | maps


def test_wounds_change_one_file_and_heal(specimen: Specimen) -> None:
    for wound in a_few(specimen)[::7]:
        wound.inflict(specimen.store.parent)
        assert specimen.differing() == [wound.file]
        specimen.restore()
        assert specimen.differing() == []


def test_no_damage_is_answered_wrong_in_silence_missed_or_not_repaired(specimen: Specimen) -> None:
    # Each takes over a second: every kind of file has one of the three sorts, and another one in the next specimen.
    first = STORES.index((specimen.release, specimen.profile))
    chosen = [wound for place, wound in enumerate(a_few(specimen)) if place % 3 == (place // 3 + first) % 3]
    for line in damage(specimen, chosen, command_line=False):
        assert line.failures == 0, line.notes


@pytest.mark.prove
def test_no_damage_of_thousands_is() -> None:
    found = main()
    assert {line["kind"] for line in found["lines"]} >= {"root zarr.json", "ben.parquet", "embedding, embedding"}
    for line in found["lines"]:
        assert line["flips"] >= 40
        assert line["cuts"] >= 40
        assert line["wrong"] == line["missed"] == line["tracebacks"] == line["unrepaired"] == 0, line["notes"]
        assert line["unnamed"] == 0, line["notes"]
