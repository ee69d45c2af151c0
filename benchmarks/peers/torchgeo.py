"""torchgeo's BigEarthNetV2 over the files of the archive, of which it takes the training split."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import benchmarks.peers.torchvision_operators  # noqa: F401
from benchmarks.peers.rounds import serve
from benchmarks.peers.task import SIDE, Task

# isort: split
# Only now: it imports torchvision.
from torchgeo.datasets import BigEarthNetV2

S1_BANDS = ["VH", "VV"]
S2_BANDS = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12"]
"""Bands of its two images, in their order."""


def compared(task: Task, dataset: BigEarthNetV2) -> NDArray[Any]:
    """Standardise what it gives for the pairs that are compared; NaN for those of other splits."""
    pixels = np.full((len(task.compared), len(task.bands), SIDE, SIDE), np.nan, np.float32)
    mean, factor = (numbers[:, None, None] for numbers in task.scale)
    places = {patch: place for place, patch in enumerate(dataset.metadata_df["patch_id"])}
    for patch, row in zip(pixels, task.compared, strict=True):
        place = places.get(task.pairs[row][0])
        if place is not None:
            sample = dataset[place]
            planes = dict(zip(S1_BANDS + S2_BANDS, [*sample["image_s1"], *sample["image_s2"]], strict=True))
            patch[:] = (np.stack([planes[name] for name in task.bands]) - mean) * factor
    return pixels


def main() -> None:
    """Serve samples one by one, maps included, as it always reads them; neither standardised nor made batches of."""
    task = Task.read(sys.argv[1])
    torch.set_num_threads(1)
    dataset = BigEarthNetV2(Path(task.folder) / "files", split="train")

    def items(_: int) -> int:
        return sum(len(dataset[place]) > 0 for place in range(len(dataset)))

    serve({"items": items}, lambda: compared(task, dataset), {"versions": {"torch": torch.__version__}})


if __name__ == "__main__":
    main()
