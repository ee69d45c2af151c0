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
        rounds = [
            {
                "rasterio": _cpu_s(lambda: _read_with_rasterio(archive)),
                **{
                    profile: _cpu_s(
                        lambda: bex.ingest(archive, Path(folder) / f"{profile}-{i}.zarr", profile=profile, workers=1)
                    )
                    for profile in ("fast", "compact")
                },
            }
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


def _cpu_s(action: Callable[[], object]) -> float:
    start = time.process_time()
    action()
    return time.process_time() - start
