"""Batches for training, beside what others make them with: 256 shuffled pairs, 14 bands, float32, standardised.

Everybody has the same 2,048 pairs of v2, real ones varied (six pairs of the extra ``sample``: mirrored, turned, rolled,
brightened), in the page cache. Bands of 20 m and 60 m are repeated (nearest). Each runs in a process of its own, in an
environment of its own where it needs other versions (`benchmarks/peers`), and all take turns: medians of five rounds
after a first one that does not count, ratios taken within a round. Processor time is that of the process with all its
threads and workers. Memory of batches is used again by ours, by the bare loop unless it is "fresh", and where it is
called "recycled"; PyTorch's loader makes new ones.

torchgeo reads few pairs, the training split of 64, as files; what it gives is neither standardised nor a batch. Samples
of MosaicML streaming are as large as in a batch, float32 and standardised: there is nothing left to do but to read.
"""

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks._many import COLD, measure_among, measure_cold, room_for, write_many
from benchmarks._pairs import bytes_of, write_pairs
from benchmarks._processes import call_apart
from benchmarks._side_by_side import Process, Round, measure, ratio, started, summary
from benchmarks.peers.task import Task
from bigearth_xr.bands import band

PAIRS, FILES = 2048, 64
ROUNDS = 5
AMONG = (2048, 8192, 24_576, 49_152)
COLD_PAIRS = 8192
OTHERS = ("bare", "configilm", "torchgeo", "streaming")

PLACES = {"fast": "fast.zarr", "compact": "compact.zarr", "lmdb": "lmdb", "streaming": "mds"}
"""Where the pairs lie that are weighed."""

Figures = dict[str, Any]


def main() -> Figures:
    """Measure all of them, then what a pair of ours costs among many."""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        task = write_pairs(root, pairs=PAIRS, files=FILES)
        file = task.write(root / "task.json")
        figures = _others(root, task, file)
        many = room_for(AMONG[-1])
        store = write_many(root / "fast.zarr", root / "many.zarr", pairs=many)
        numbers = [pairs for pairs in AMONG if pairs < many] + [many]
        figures["cpu_us_per_pair_among"] = call_apart(measure_among, str(file), str(store), numbers)
        figures["cold"] = {
            what: call_apart(measure_cold, str(file), str(store), min(COLD_PAIRS, many), what) for what in COLD
        }
    return figures


def _others(root: Path, task: Task, file: Path) -> Figures:
    """Measure everybody's batches."""
    with ExitStack() as stack:
        processes, missing = started(stack, dict.fromkeys(("ours", *OTHERS)), file)
        rounds = measure(processes.values(), rounds=ROUNDS)
        differences = _differences(processes, root, task)
    kb = {name: bytes_of(root / place) / PAIRS / 1e3 for name, place in PLACES.items() if (root / place).exists()}
    return {
        "pairs": PAIRS,
        "rounds": ROUNDS,
        "kb_per_pair": kb,
        **summary(rounds, processes),
        **missing,
        "times_as_fast_per_cpu_s": _ratios(rounds),
        "largest_difference": differences,
    }


def _ratios(rounds: list[Round]) -> Figures:
    """How many times as many pairs a CPU-second as each of the others' ways."""
    others = [(name, action) for name in OTHERS for action in rounds[0].get(name, ())]
    ours = ("fast", "fast_loader", "compact", "compact_loader")
    return {one: {"_".join(other): ratio(rounds, ("ours", one), other) for other in others} for one in ours}


def _differences(processes: dict[str, Process], root: Path, task: Task) -> Figures:
    """Compare pixels with ours, in standard deviations; torchgeo's of 10 m in Sentinel-2, which it leaves as they are.

    Refused where others differ from ours by more than the rounding of a division.
    """
    for process in processes.values():
        process.save(root / f"{process.name}.npy")
    ours = np.load(root / "ours.npy")
    fine = [number for number, name in enumerate(task.bands) if band(name).res_m == 10 and band(name).sensor == "s2"]
    differences = {}
    for name in processes.keys() - {"ours"}:
        difference = np.abs(np.load(root / f"{name}.npy") - ours)
        if name == "torchgeo":
            there = ~np.isnan(difference).all((1, 2, 3))
            difference = difference[there][:, fine]
        differences[name] = float(difference.max())
    if not all(difference < 1e-4 for difference in differences.values()):
        raise AssertionError(f"others give other pixels: {differences}")
    return dict(sorted(differences.items()))
