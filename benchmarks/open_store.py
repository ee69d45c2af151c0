"""Opening a store of all 590,326 pairs of v1, and picking patches from it, beside plain ``xr.open_zarr``.

The table is real (the published lists, extra ``sample``); pixels are absent, which neither opening nor picking reads.
Every round is a fresh process, so that nothing is warm but the page cache; medians of five.
"""

import json
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from bigearth_xr import table
from bigearth_xr.bands import BANDS
from bigearth_xr.sample import sample_lists
from bigearth_xr.store.create import create_store
from bigearth_xr.store.schema import pixel_arrays

ROUNDS = 5

MEASURE = """
import json, sys, time
import numpy as np, pandas as pd, pyarrow, xarray as xr, zarr, dask.array
import bigearth_xr as bex, bigearth_xr.backend.patch_array

def timed(action):
    start = time.perf_counter()
    result = action()
    return result, (time.perf_counter() - start) * 1e3

def peak_mb():
    # Not ru_maxrss, which a process inherits from the one that started it.
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(status["VmHWM"].split()[0]) / 1024

store, kind, imports_mb = sys.argv[1], sys.argv[2], peak_mb()
openers = {
    "ours": lambda: bex.open(store, states="all"),
    "open_zarr_unchunked": lambda: xr.open_zarr(store, chunks=None),
    "open_zarr_dask": lambda: xr.open_zarr(store),
}
ds, open_ms = timed(openers[kind])
patches = ds.patch.values[[5, 400_000]]
_, isel_ms = timed(lambda: ds.isel(patch=[5, 400_000]))
_, cold_ms = timed(lambda: ds.sel(patch=patches[0]))
_, warm_ms = timed(lambda: ds.sel(patch=patches[1]))
print(json.dumps({"open_ms": open_ms, "isel_2_ms": isel_ms, "sel_first_ms": cold_ms, "sel_warm_ms": warm_ms,
                  "peak_over_imports_mb": peak_mb() - imports_mb}))
"""


def main() -> dict[str, object]:
    """Measure each way of opening, round about, and give the median of every figure."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ben.zarr"
        rows = table.from_lists(sample_lists())
        arrays = pixel_arrays([band.name for band in BANDS], reference_map=False)
        create_store(path, rows, profile="fast", arrays=arrays, sensors=("s1", "s2"))
        kinds = ("ours", "open_zarr_unchunked", "open_zarr_dask")
        runs = [{kind: _measure(path, kind) for kind in kinds} for _ in range(ROUNDS)]
    medians = {
        kind: {name: statistics.median(run[kind][name] for run in runs) for name in runs[0][kind]} for kind in kinds
    }
    return {"rows": rows.num_rows, "rounds": ROUNDS, **medians}


def _measure(store: Path, kind: str) -> dict[str, float]:
    output = subprocess.check_output([sys.executable, "-c", MEASURE, str(store), kind], text=True)
    figures: dict[str, float] = json.loads(output)
    return figures
