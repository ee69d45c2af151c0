"""Ingest from an unpacked folder, beside the same files read through rasterio, one process each, page cache warm.

Both sides read every band of every pair and its reference map; rasterio's side only reads, ours also checks each file
against the grid and writes the store. Time is CPU time of the process, system calls included.
"""

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import rasterio

import bigearth_xr as bex

PAIRS = 300
ROUNDS = 3


def main() -> dict[str, object]:
    """Measure each side in turn, three rounds, and give the best of each."""
    with TemporaryDirectory() as folder:
        archive = bex.testing.write_archive(Path(folder) / "archive", pairs=PAIRS)
        _read_with_rasterio(archive)
        sides: dict[str, Callable[[Path], object]] = {
            "rasterio": lambda _: _read_with_rasterio(archive),
            "fast": lambda store: bex.ingest(archive, store, profile="fast", workers=1),
            "compact": lambda store: bex.ingest(archive, store, profile="compact", workers=1),
        }
        rounds = [
            {side: _cpu_s(action, Path(folder) / f"{side}-{i}.zarr") for side, action in sides.items()}
            for i in range(ROUNDS)
        ]
    best = {side: PAIRS / min(figures[side] for figures in rounds) for side in rounds[0]}
    return {
        "pairs": PAIRS,
        "pairs_per_cpu_s": best,
        "speedup_over_rasterio": {side: rate / best["rasterio"] for side, rate in best.items() if side != "rasterio"},
    }


def _read_with_rasterio(archive: Path) -> None:
    for path in sorted(archive.rglob("*.tif")):
        with rasterio.open(path) as raster:
            raster.read(1)


def _cpu_s(action: Callable[[Path], object], store: Path) -> float:
    start = time.process_time()
    action(store)
    return time.process_time() - start
