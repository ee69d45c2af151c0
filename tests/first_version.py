"""Stores of format version 1, as they were written before there was another."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from bigearth_xr import table
from bigearth_xr.store.create import table_path, write_states
from bigearth_xr.store.layout import lay_out
from bigearth_xr.store.location import LocalLocation
from bigearth_xr.store.open import open_store, read_root
from bigearth_xr.store.read import read_column, read_state


def as_first_version(store: Path, to: Path) -> Path:
    """Write a store anew in version 1: columns without checksums, no chunk of fill values alone."""
    opened, rows = open_store(store), table.read(table_path(store))
    to.parent.mkdir(parents=True, exist_ok=True)
    sensors = read_root(LocalLocation(store)).ours["sensors"]
    lay_out(to, rows, opened.profile, opened.arrays, sensors, version=1)
    for array in opened.arrays:
        shutil.copytree(store / array.name / "c", to / array.name / "c")
    has_maps = "has_reference_map" in opened.columns
    mapped = read_column(opened, "has_reference_map") if has_maps else np.zeros(opened.rows, bool)
    write_states(open_store(to), read_state(opened), mapped)
    pq.write_table(rows, table_path(to), compression="zstd", row_group_size=131_072)
    return to
