"""How well windows of blocks mix labels, against a true shuffle: the recommended training patches of v2.

Needs the metadata of v2 that the tests look for (``BIGEARTH_SHARED``, by default ``../shared``); no pixel is read.
*Label spread* is how far the share of a label in a batch of 256 is from its share in the split, root mean square over
batches and labels, divided by the same of true shuffles: 1 is as good as them. *Tiles* are those that a batch has
patches of, and *reads* how many runs of neighbouring rows a window takes from a disk for each 1,000 patches.
``shuffle_quality.svg`` beside the figures draws them.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bigearth_xr import table
from bigearth_xr.labels import label_names
from bigearth_xr.sampling import Sampling, plan_epoch

SHARED = Path(os.environ.get("BIGEARTH_SHARED", Path(__file__).resolve().parents[2] / "shared"))
FIGURE = Path(__file__).parent / "results" / "shuffle_quality.svg"
BATCH = 256
EPOCHS = 3
WINDOWS = (512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)
BLOCKS = (8, 16, 32, 128)


def main() -> dict[str, object]:
    """Measure windows and blocks over all training patches, and draw what was found."""
    rows, labels, tiles = training()
    true = [measured(rows, labels, tiles, Sampling(batch_size=BATCH, window=None, seed=seed)) for seed in (1, 2)]
    floor = float(np.mean([one["spread"] for one in true]))
    unshuffled = measured(rows, labels, tiles, Sampling(batch_size=BATCH, shuffle=False), epochs=1)
    found = {
        str(block): {str(window): relative(rows, labels, tiles, window, block, floor) for window in WINDOWS}
        for block in BLOCKS
    }
    figures: dict[str, object] = {
        "patches": rows.size,
        "batch": BATCH,
        "epochs": EPOCHS,
        "true_shuffle": {"label_spread": 1.0, "tiles": true[0]["tiles"], "reads_per_1000": true[0]["reads"]},
        "unshuffled": {"label_spread": round(unshuffled["spread"] / floor, 2), "tiles": unshuffled["tiles"]},
        "by_block_and_window": found,
    }
    draw(found, unshuffled["spread"] / floor)
    return figures


def training() -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """Rows, labels and tiles of the recommended training patches, in stored order."""
    whole = table.from_lists(SHARED / "data" / "v2")
    chosen = pc.and_(pc.equal(whole["split"], "train"), whole["recommended"])
    rows = np.flatnonzero(chosen.to_numpy(zero_copy_only=False))
    taken = whole.take(pa.array(rows))
    names = taken["labels_19"].combine_chunks()
    labels = np.zeros((rows.size, 19), np.float32)
    patch = np.repeat(np.arange(rows.size), pc.list_value_length(names).to_numpy())
    label = pc.index_in(names.flatten(), pa.array(label_names(19))).to_numpy()
    labels[patch, label] = 1
    return rows, labels, np.unique(taken["tile"].to_numpy(), return_inverse=True)[1]


def measured(
    rows: NDArray[np.int64],
    labels: NDArray[np.float32],
    tiles: NDArray[np.int64],
    rules: Sampling,
    epochs: int = EPOCHS,
) -> dict[str, float]:
    """Label spread, tiles a batch and reads, over some epochs."""
    share = labels.mean(axis=0)
    spreads, seen, reads = [], [], []
    for epoch in range(epochs):
        plan = plan_epoch(np.zeros_like(rows), rows, rules, epoch=epoch)
        whole = plan.places[: plan.places.size // BATCH * BATCH].reshape(-1, BATCH)
        spreads.append(np.mean((labels[whole].mean(axis=1) - share) ** 2))
        seen.append(np.mean([np.unique(tiles[batch]).size for batch in whole[::10]]))
        ends = plan.windows if rules.window else np.arange(4 * BATCH, rows.size, 4 * BATCH)
        reads.append(runs(rows[plan.places], ends))
    return {
        "spread": float(np.sqrt(np.mean(spreads))),
        "tiles": round(float(np.mean(seen)), 1),
        "reads": round(float(np.mean(reads)), 1),
    }


def runs(rows: NDArray[np.int64], ends: NDArray[np.intp]) -> float:
    """Runs of rows, apart by less than a block, that are read window by window for 1,000 patches."""
    windows = [window for window in np.split(rows, ends) if window.size]
    return 1000 * sum(np.count_nonzero(np.diff(np.sort(window)) > 8) + 1 for window in windows) / rows.size


def relative(
    rows: NDArray[np.int64],
    labels: NDArray[np.float32],
    tiles: NDArray[np.int64],
    window: int,
    block: int,
    floor: float,
) -> dict[str, float]:
    """Figures of one window and block, the spread relative to that of a true shuffle."""
    one = measured(rows, labels, tiles, Sampling(batch_size=BATCH, window=window, block=block))
    return {"label_spread": round(one["spread"] / floor, 3), "tiles": one["tiles"], "reads_per_1000": one["reads"]}


def draw(found: dict[str, dict[str, dict[str, float]]], unshuffled: float) -> None:
    """Draw label spread over windows, one line a block."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    colours = ("#6baed6", "#3182bd", "#08519c", "#08306b")
    figure, axes = pyplot.subplots(figsize=(7, 4.2), layout="constrained")
    axis: Any = axes
    beside: Any = {"textcoords": "offset points", "ha": "right"}
    for colour, (block, windows) in zip(colours, found.items(), strict=True):
        axis.plot(list(map(int, windows)), [one["label_spread"] for one in windows.values()], "o-", color=colour)
        last = next(iter(windows.values()))["label_spread"]
        axis.annotate(f"blocks of {block}", (WINDOWS[0], last), (-9, -4), color=colour, **beside)
    axis.plot(WINDOWS[:: len(WINDOWS) - 1], [1, 1], color="#636363", linewidth=1)
    axis.annotate("true shuffle", (WINDOWS[0], 1), (-9, -4), color="#636363", **beside)
    axis.set(
        xscale="log",
        xlabel="window, patches",
        ylabel="label spread, true shuffle = 1",
        ylim=(0.7, None),
        xlim=(190, None),
    )
    axis.set_title(
        f"Labels in batches of {BATCH}, v2 training split; unshuffled: {unshuffled:.1f}", loc="left", size=10
    )
    axis.set_xticks(WINDOWS, [f"{window:,}" for window in WINDOWS])
    axis.minorticks_off()
    axis.spines[["top", "right"]].set_visible(False)
    FIGURE.parent.mkdir(exist_ok=True)
    figure.savefig(FIGURE, metadata={"Date": None})
    pyplot.close(figure)
