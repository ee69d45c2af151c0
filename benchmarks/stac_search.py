"""From a search of the catalogue of all 590,326 pairs of v1 to an open Dataset, beside the same by pystac items.

The table is real (the published lists, extra ``sample``); the store says that all are stored, and holds no pixel, which
neither searching nor opening reads. Every round is a fresh process, so that nothing is warm but the page cache; medians
of five. Items as objects, as a search gave them before, are made of a small country only: their cost goes by items.
"""

import json
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
from bigearth_stac import build_catalog

from bigearth_xr import table
from bigearth_xr.bands import BANDS
from bigearth_xr.sample import sample_lists
from bigearth_xr.store import schema
from bigearth_xr.store.create import create_store, write_states
from bigearth_xr.store.open import open_store

ROUNDS = 5

SIDES = {
    "serbia": ("columns", "Serbia"),
    "luxembourg": ("columns", "Luxembourg"),
    "luxembourg_as_pystac_items": ("objects", "Luxembourg"),
}
"""By side, how its items are held, and their country."""

MEASURE = """
import json, sys, time
import numpy as np, pandas as pd, pyarrow.dataset, pyarrow.parquet, pystac, xarray as xr, zarr, dask.array
import bigearth_xr as bex, bigearth_xr.backend.patch_array
from bigearth_stac import find_items, open_search

def peak_mb():
    # Not ru_maxrss, which a process inherits from the one that started it.
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(status["VmHWM"].split()[0]) / 1024

catalog, kind, country, imports_mb = *sys.argv[1:], peak_mb()
start, cpu = time.perf_counter(), time.process_time()
found = find_items(catalog, country=country)
items = found if kind == "columns" else found.to_items()
searched = time.perf_counter()
ds = open_search(items)
opened = time.perf_counter()
cpu_ms = (time.process_time() - cpu) * 1e3
assert ds.sizes["patch"] == len(found)
print(json.dumps({"items": len(found), "search_ms": (searched - start) * 1e3, "open_ms": (opened - searched) * 1e3,
                  "search_to_dataset_ms": (opened - start) * 1e3, "processor_ms": cpu_ms,
                  "peak_over_imports_mb": peak_mb() - imports_mb}))
"""


def main() -> dict[str, object]:
    """Measure each side, round about, and give the median of every figure."""
    with TemporaryDirectory() as folder:
        rows = table.from_lists(sample_lists())
        catalog = build_catalog(_store_of(rows, Path(folder) / "ben.zarr"), Path(folder) / "catalog").folder
        runs = [{side: _measure(catalog, *how) for side, how in SIDES.items()} for _ in range(ROUNDS)]
    medians = {
        side: {name: statistics.median(run[side][name] for run in runs) for name in runs[0][side]} for side in SIDES
    }
    return {"rows": rows.num_rows, "rounds": ROUNDS, **medians}


def _store_of(rows: pa.Table, path: Path) -> Path:
    """A store of these rows that says to have all pixels."""
    arrays = schema.pixel_arrays([band.name for band in BANDS], reference_map=False)
    create_store(path, rows, profile="fast", arrays=arrays, sensors=("s1", "s2"))
    stored = np.full(rows.num_rows, schema.STORED, np.uint8)
    write_states(open_store(path), stored, np.zeros(rows.num_rows, bool))
    return path


def _measure(catalog: Path, kind: str, country: str) -> dict[str, float]:
    output = subprocess.check_output([sys.executable, "-c", MEASURE, str(catalog), kind, country], text=True)
    figures: dict[str, float] = json.loads(output)
    return figures
