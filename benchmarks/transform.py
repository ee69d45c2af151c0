"""The compiled transform beside what memory allows, and beside PyTorch and kornia: one batch of 256 pairs in memory.

14 bands to 120 × 120 and standardised, and one thing more in each variant; on the processor, one thread each, in turns:
medians of five rounds after a first one that does not count, ratios taken within a round. "Ceiling" is a plain loop,
compiled too, that repeats and standardises contiguous bands, and "fill" writes one number into all of the batch. Ours
and the ceiling write into memory that is used again; PyTorch and kornia make their own, as they do. Crops of the others
are of whole pixels. "Accessor" is `DataArray.ben` on an image of 1,024 patches, flipped, turned and with noise, or
normalised, into new memory, beside the same by NumPy.
"""

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import bigearth_xr as bex
from benchmarks._side_by_side import Process, measure, ratio, started, summary
from benchmarks.peers.native import ARRAYS, write_native
from benchmarks.peers.task import Task
from bigearth_xr.stats import band_statistics
from bigearth_xr.store.batch import BatchReader
from bigearth_xr.store.open import open_store

BATCH = 256
COMPARED = 16
ROUNDS = 5

Figures = dict[str, Any]


def main() -> Figures:
    """Measure all variants of all, and compare their pixels."""
    with TemporaryDirectory() as folder, ExitStack() as stack:
        task = _write(Path(folder))
        environments = {"twin": None, "accessor": None, "eager": None, "kornia": "torchgeo"}
        processes, missing = started(stack, environments, task.write(Path(folder) / "task.json"))
        rounds = measure(processes.values(), rounds=ROUNDS)
        differences = _differences(processes, Path(folder))
    ours = processes["twin"].actions
    return {
        "pairs": BATCH,
        "rounds": ROUNDS,
        **summary(rounds, processes),
        **missing,
        "share_of_ceiling": {name: ratio(rounds, ("twin", name), ("twin", "ceiling")) for name in ours},
        "times_as_fast_per_cpu_s": {
            other: {name: ratio(rounds, ("twin", name), (other, name)) for name in ours if name in rounds[0][other]}
            for other in ("eager", "kornia")
            if other in processes
        },
        "accessor_times_numpy": {
            name: ratio(rounds, ("accessor", name), ("accessor", f"{name}_numpy")) for name in ("augment", "normalize")
        },
        "largest_difference": differences,
    }


def _write(folder: Path) -> Task:
    """Write one batch of real pairs, varied, as native arrays."""
    archive = bex.testing.write_archive(folder / "pairs.tar", pairs=BATCH, container="tar", pixels="real")
    bex.ingest(archive, folder / "ben.zarr")
    store = open_store(folder / "ben.zarr")
    reader = BatchReader(store)
    sources = {array.name: array for array in reader.sources}
    bands = [band for name in ARRAYS for band in sources[name].bands]
    stats = band_statistics("v2", "nearest")
    task = Task(
        folder=str(folder),
        pairs=[],
        bands=bands,
        mean=[stats.mean[name] for name in bands],
        std=[stats.std[name] for name in bands],
        batch=BATCH,
        compared=[*range(COMPARED)],
    )
    write_native(task, reader.read(np.arange(BATCH)))
    return task


def _differences(processes: dict[str, Process], folder: Path) -> dict[str, float]:
    """Compare pixels with ours, in standard deviations; refused where they are others."""
    for process in processes.values():
        process.save(folder / f"{process.name}.npy")
    ours = np.load(folder / "twin.npy")
    differences = {}
    for name in sorted(processes.keys() - {"twin", "accessor"}):
        pixels = np.load(folder / f"{name}.npy")
        differences[name] = float(np.abs(pixels - ours[: len(pixels)]).max())
    if not all(difference < 1e-4 for difference in differences.values()):
        raise AssertionError(f"others give other pixels: {differences}")
    return differences
