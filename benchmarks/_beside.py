"""What a change costs: measures of this checkout beside those of another one, in one run.

``python -m benchmarks._beside OTHER`` alternates between the two, each measure in a process of its own that imports
from one of them, and gives CPU times of the other divided by ours: more than 1 is faster. Each makes its own
stores, so that formats may differ. It is no part of ``make bench``, as it needs another checkout.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

__all__ = ["main"]

ROOT = Path(__file__).parents[1]
PAIRS = 1024

SETUP = """
import json, sys, time
import numpy as np, xarray as xr
import bigearth_xr as bex
store, pairs, kind, many = sys.argv[1], int(sys.argv[2]), sys.argv[3], 1
def clock(work, times):
    work()
    best = []
    for _ in range(times):
        start = time.process_time()
        work()
        best.append(time.process_time() - start)
    print(json.dumps(sorted(best)[len(best) // 2] / many))
"""

MEASURES = {
    "make": "bex.testing.write_store(store, pairs=pairs, profile=kind); print(0)",
    "open": "clock(lambda: bex.open(store), 15)",
    "mean of 200 patches of s1, unchunked": """
ds = xr.open_dataset(store, engine="bigearth", cache=False).isel(patch=slice(200))
clock(lambda: ds.s1.mean(["y", "x"]).values, 5)""",
    "mean of 200 scattered patches of s1, unchunked": """
ds = xr.open_dataset(store, engine="bigearth", cache=False)
ds = ds.isel(patch=np.random.default_rng(0).permutation(pairs)[:200])
clock(lambda: ds.s1.mean(["y", "x"]).values, 5)""",
    "one patch of one band": """
many, ds = 100, bex.open(store)
def work():
    for row in range(100): ds.s2.sel(band="B04")[row * 7].values
clock(work, 9)""",
    "an epoch, nearest": """
from bigearth_xr.torch import PatchLoader
loader = PatchLoader(bex.open(store), batch_size=128, seed=0, device="cpu", threads=1)
clock(lambda: [None for _ in loader], 15)""",
    "an epoch, bilinear, crops": """
from bigearth_xr.torch import Augmentation, PatchLoader
ds = bex.open(store, resampling="bilinear")
options = {"batch_size": 128, "seed": 0, "device": "cpu", "threads": 1, "method": None}
loader = PatchLoader(ds, **options, augment=Augmentation(crop=(0.5, 1)))
clock(lambda: [None for _ in loader], 15)""",
}


def main(other: Path, rounds: int = 5) -> dict[str, dict[str, float]]:
    """Measure, print the ratios, and give them: by measure, the median, least and greatest of the rounds."""
    checkouts = {"ours": ROOT, "other": other.resolve()}
    ratios: dict[str, list[float]] = {}
    with TemporaryDirectory() as folder:
        for name, checkout in checkouts.items():
            for profile in ("fast", "compact"):
                _measure(checkout, MEASURES["make"], Path(folder, name, profile, "ben.zarr"), profile)
        for _ in range(rounds):
            for measure, code in MEASURES.items():
                for profile in ("fast", "compact") if measure != "make" else ():
                    cost = {
                        name: _measure(checkout, code, Path(folder, name, profile, "ben.zarr"), profile)
                        for name, checkout in checkouts.items()
                    }
                    ratios.setdefault(f"{measure}, {profile}", []).append(cost["other"] / cost["ours"])
    found = {name: {"median": median(of), "least": min(of), "greatest": max(of)} for name, of in ratios.items()}
    table = Table("measure", "times as fast", "least", "greatest", box=None)
    for name, of in found.items():
        table.add_row(name, *(f"{number:.2f}" for number in of.values()))
    Console(width=120).print(table)
    return found


def _measure(checkout: Path, code: str, store: Path, profile: str) -> float:
    """CPU seconds of a piece of work, in a process that imports from one checkout."""
    path = os.pathsep.join([str(checkout), str(checkout / "stac")])
    done = subprocess.run(
        [sys.executable, "-c", SETUP + code, str(store), str(PAIRS), profile],
        env={**os.environ, "PYTHONPATH": path},
        cwd=store.anchor,
        capture_output=True,
        text=True,
        check=True,
    )
    seconds: float = json.loads(done.stdout.splitlines()[-1])
    return seconds


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
