"""Peak memory of an ingest by two workers, of 2,000 and of 20,000 pairs: the whole tree of processes, sampled.

Memory is the proportional set size of parent and workers together, every 50 ms. Pixels are formulas: how much memory
they take does not depend on what they are. What grows is names and table, a few kB a pair; the pixels have 300 kB. CPU
time is that of all processes, the start of interpreters included. What planning takes at full scale is another
benchmark, ``ingest_plan``.
"""

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import bigearth_xr as bex
from benchmarks._processes import children_cpu_s, peak_of_tree

FEW, MANY = 2_000, 20_000
WORKERS = 2
CONTAINERS: tuple[Literal["tar", "tar.zst"], ...] = ("tar", "tar.zst")

_INGEST = (
    "import sys, bigearth_xr as bex; assert bex.ingest(sys.argv[1], sys.argv[2], workers=int(sys.argv[3])).complete"
)


def main() -> dict[str, Any]:
    """Measure each container at both sizes, and how the peak grows between them."""
    figures: dict[str, Any] = {"workers": WORKERS}
    for container in CONTAINERS:
        peaks = {pairs: _peak(pairs, container) for pairs in (FEW, MANY)}
        figures[container.replace(".", "_")] = {
            **{f"pairs_{pairs}": peak for pairs, peak in peaks.items()},
            "growth_kb_per_pair": (peaks[MANY]["tree_mb"] - peaks[FEW]["tree_mb"]) * 1024 / (MANY - FEW),
        }
    return figures


def _peak(pairs: int, container: Literal["tar", "tar.zst"]) -> dict[str, float]:
    with TemporaryDirectory() as folder:
        archive = bex.testing.write_archive(
            Path(folder) / "archive", pairs=pairs, container=container, as_published=True
        )
        store, start = Path(folder) / "ben.zarr", children_cpu_s()
        peaks = peak_of_tree([sys.executable, "-c", _INGEST, str(archive), str(store), str(WORKERS)])
        cpu = children_cpu_s() - start
        shutil.rmtree(store)
    return peaks | {"pairs_per_cpu_s": pairs / cpu}
