"""What can happen to a store: each does it, and says what a verification should find."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import zarr

from bigearth_xr.store.create import write_states
from bigearth_xr.store.open import open_store
from bigearth_xr.store.read import read_column, read_encoded, read_state
from bigearth_xr.store.shard import INDEX_BYTES, ShardWriter, shard_path
from bigearth_xr.verification import VerifyReport

ROW = 5
"""The patch that is damaged."""

both = pytest.mark.parametrize(("release", "store"), [("v1", "compact"), ("v2", "fast")], indirect=True)
"""Each release and each profile once, for what does not depend on the two together."""


def shard(store: Path, array: str, number: int = 0) -> Path:
    return shard_path(store, open_store(store).array(array), number)


def patch_of(store: Path, row: int = ROW) -> str:
    return str(read_column(open_store(store), "patch")[row])


def flip(file: Path, at: int) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 0x10
    file.write_bytes(data)


def kinds(report: VerifyReport) -> set[tuple[str, str]]:
    """What sort of thing is wrong with which file."""
    return {(finding.kind, finding.file) for finding in report.findings}


Damage = Callable[[Path], set[tuple[str, str]]]
"""Damages a store; what comes back is what a verification should find."""


def flip_pixels(*arrays: str) -> Damage:
    def damage(store: Path) -> set[tuple[str, str]]:
        opened = open_store(store)
        for array in arrays:
            chunk = read_encoded(opened, opened.array(array), ROW)
            assert chunk is not None
            flip(shard(store, array), shard(store, array).read_bytes().index(chunk) + len(chunk) // 2)
        return {("checksum", str(shard(store, array).relative_to(store))) for array in arrays}

    damage.__name__ = "flip_" + "_".join(arrays)
    return damage


def flip_index(store: Path) -> set[tuple[str, str]]:
    flip(shard(store, "s2_20m"), -100)
    return {("index", "s2_20m/c/0/0/0/0")}


def cut_index(store: Path) -> set[tuple[str, str]]:
    os.truncate(shard(store, "s2_10m"), shard(store, "s2_10m").stat().st_size - 1000)
    return {("index", "s2_10m/c/0/0/0/0")}


def cut_in_half(store: Path) -> set[tuple[str, str]]:
    os.truncate(shard(store, "s1"), shard(store, "s1").stat().st_size // 2)
    return {("index", "s1/c/0/0/0/0")}


def empty_file(store: Path) -> set[tuple[str, str]]:
    os.truncate(shard(store, "s2_60m"), 0)
    return {("index", "s2_60m/c/0/0/0/0")}


def delete_shard(store: Path) -> set[tuple[str, str]]:
    shard(store, "s2_60m").unlink()
    return {("missing", "s2_60m/c/0/0/0/0")}


def delete_all_shards(store: Path) -> set[tuple[str, str]]:
    arrays = open_store(store).arrays
    for array in arrays:
        shutil.rmtree(store / array.name / "c")
    return {("missing", str(shard(store, array.name).relative_to(store))) for array in arrays}


def lengthen(store: Path) -> set[tuple[str, str]]:
    """Bytes before the index, which is read from the end: only the fixed size tells."""
    file = shard(store, "s2_60m")
    data = file.read_bytes()
    file.write_bytes(data[:-INDEX_BYTES] + b"\0" * 10 + data[-INDEX_BYTES:])
    return {("layout", "s2_60m/c/0/0/0/0")} if open_store(store).profile == "fast" else set()


def delete_column(store: Path) -> set[tuple[str, str]]:
    (store / "lon/c/0").unlink()
    return {("column", "lon")}


def delete_column_whole(store: Path) -> set[tuple[str, str]]:
    shutil.rmtree(store / "epsg")
    return {("column", "epsg")}


def garble_column(store: Path) -> set[tuple[str, str]]:
    (store / "patch/c/0").write_bytes(b"no chunk at all")
    return {("column", "patch")}


def change_column(store: Path) -> set[tuple[str, str]]:
    zarr.open_array(store / "ulx", mode="r+")[3] = 7
    return {("column", "ulx")}


def change_axis(store: Path) -> set[tuple[str, str]]:
    zarr.open_array(store / "band_10m", mode="r+")[0] = "B03"
    return {("column", "band_10m")}


def garble_array_metadata(store: Path) -> set[tuple[str, str]]:
    (store / "s1/zarr.json").write_text("{")
    return {("metadata", "s1")}


def change_root(store: Path) -> set[tuple[str, str]]:
    document = json.loads((store / "zarr.json").read_text())
    document["consolidated_metadata"]["metadata"]["split"]["attributes"]["flag_meanings"] = "test train validation"
    (store / "zarr.json").write_text(json.dumps(document))
    return {("metadata", "zarr.json")}


def change_profile(store: Path) -> set[tuple[str, str]]:
    """What says how every pixel is encoded."""
    document = json.loads((store / "zarr.json").read_text())
    ours = document["attributes"]["bigearth"]
    ours["profile"] = "compact" if ours["profile"] == "fast" else "fast"
    (store / "zarr.json").write_text(json.dumps(document))
    return {("metadata", "zarr.json")}


def delete_table(store: Path) -> set[tuple[str, str]]:
    store.with_suffix(".parquet").unlink()
    return {("table", "ben.parquet")}


def garble_table(store: Path) -> set[tuple[str, str]]:
    os.truncate(store.with_suffix(".parquet"), 3000)
    return {("table", "ben.parquet")}


def move_footprints(store: Path) -> set[tuple[str, str]]:
    """What is not part of a table's identity."""
    rows = pq.read_table(store.with_suffix(".parquet"))
    place = rows.column_names.index("lat")
    pq.write_table(rows.set_column(place, "lat", pc.add(rows["lat"], 0.001)), store.with_suffix(".parquet"))
    return {("table", "ben.parquet")}


def garble_table_and_column(store: Path) -> set[tuple[str, str]]:
    return garble_table(store) | garble_column(store)


def change_table(store: Path) -> set[tuple[str, str]]:
    rows = pq.read_table(store.with_suffix(".parquet"))
    pq.write_table(rows.slice(1), store.with_suffix(".parquet"))
    return {("table", "ben.parquet")}


def forget_one(store: Path) -> set[tuple[str, str]]:
    """A state that says too little."""
    opened = open_store(store)
    state, mapped = read_state(opened).copy(), read_column(opened, "patch") != ""
    state[ROW] = 0
    write_states(opened, state, mapped)
    return {("unrecorded", str(shard(store, array.name).relative_to(store))) for array in opened.arrays}


def garble_states(store: Path) -> set[tuple[str, str]]:
    (store / "state/c/0").write_bytes(b"nonsense")
    return {("state", "state")}


def delete_states(store: Path) -> set[tuple[str, str]]:
    shutil.rmtree(store / "state")
    return {("column", "state")}


def impossible_state(store: Path) -> set[tuple[str, str]]:
    zarr.open_array(store / "state", mode="r+")[2] = 9
    return {("state", "state")}


def garble_states_and_delete_shard(store: Path) -> set[tuple[str, str]]:
    return garble_states(store) | delete_shard(store)


def swap_patches(store: Path) -> set[tuple[str, str]]:
    """Two patches in each other's places, with true checksums: only the archive knows."""
    opened = open_store(store)
    array = opened.array("s2_20m")
    chunks = [read_encoded(opened, array, row) for row in range(opened.rows)]
    chunks[ROW], chunks[ROW + 1] = chunks[ROW + 1], chunks[ROW]
    with ShardWriter(opened.location, array, 0, opened.profile, patches=opened.rows) as writer:
        for place, chunk in enumerate(chunks):
            writer.put_encoded(place, chunk or b"")
    return {("different", "s2_20m/c/0/0/0/0")}


def everything_at_once(store: Path) -> set[tuple[str, str]]:
    expected: set[tuple[str, str]] = set()
    for damage in (flip_pixels("s1"), cut_index, delete_shard, delete_column, delete_table):
        expected |= damage(store)
    return expected


def delete_maps(store: Path) -> set[tuple[str, str]]:
    shutil.rmtree(store / "reference_map/c")
    return {("missing", "reference_map/c/0/0/0")}


def garble_mapped(store: Path) -> set[tuple[str, str]]:
    (store / "has_reference_map/c/0").write_bytes(b"nonsense")
    return {("state", "has_reference_map")}


def forget_a_map(store: Path) -> set[tuple[str, str]]:
    zarr.open_array(store / "has_reference_map", mode="r+")[ROW] = False
    return {("unrecorded", "reference_map/c/0/0/0"), ("different", "reference_map/c/0/0/0")}


DAMAGES: list[Damage] = [
    flip_pixels("s2_10m", "s2_20m", "s2_60m", "s1"),
    flip_index,
    cut_index,
    cut_in_half,
    empty_file,
    delete_shard,
    delete_all_shards,
    lengthen,
    delete_column,
    delete_column_whole,
    garble_column,
    change_column,
    change_axis,
    garble_array_metadata,
    change_root,
    change_profile,
    delete_table,
    garble_table,
    garble_table_and_column,
    move_footprints,
    change_table,
    forget_one,
    garble_states,
    delete_states,
    impossible_state,
    garble_states_and_delete_shard,
    swap_patches,
]

MAP_DAMAGES: list[Damage] = [flip_pixels("reference_map"), delete_maps, garble_mapped, forget_a_map]
