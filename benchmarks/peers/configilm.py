"""ConfigILM's own Dataset over the LMDB: sample by sample, and in batches by PyTorch's loader."""

import sys
from pathlib import Path

import numpy as np
import torch
from configilm.extra.DataSets.BENv2_DataSet import BENv2DataSet
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from benchmarks.peers.rounds import Action, serve
from benchmarks.peers.task import SIDE, Task

WORKERS = 2


class Standardize:
    """What ``torchvision.transforms.Normalize`` does, less its copy."""

    def __init__(self, task: Task) -> None:
        self._mean, self._std = (torch.tensor(numbers)[:, None, None] for numbers in (task.mean, task.std))

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Standardise in place."""
        return image.float().sub_(self._mean).div_(self._std)


def open_dataset(task: Task) -> BENv2DataSet:
    """Open all pairs, clouds and snow included, in its own order of bands."""
    lmdb = Path(task.folder) / "lmdb"
    metadata = {
        "metadata_parquet": lmdb / "metadata.parquet",
        "metadata_snow_cloud_parquet": lmdb / "metadata_for_patches_with_snow_cloud_or_shadow.parquet",
    }
    dataset = BENv2DataSet(
        {"images_lmdb": lmdb, **metadata},
        img_size=(len(task.bands), SIDE, SIDE),
        include_cloudy=True,
        include_snowy=True,
    )
    if dataset.channel_order != task.bands or sorted(dataset.patches) != sorted(s2 for s2, _ in task.pairs):
        raise ValueError("other bands or other pairs than the rest")
    return dataset


def items(task: Task, dataset: BENv2DataSet, transform: Standardize | None) -> Action:
    """Take samples one by one, and make no batch of them."""

    def epoch(number: int) -> int:
        dataset.transform = transform
        for rows in task.batches(number):
            for row in rows.tolist():
                dataset[row]
        return len(dataset)

    return epoch


def batches(task: Task, dataset: BENv2DataSet, *, workers: int) -> Action:
    """Take standardised batches from PyTorch's loader; workers end with the epoch."""
    loader = DataLoader(dataset, batch_size=task.batch, shuffle=True, num_workers=workers)

    def epoch(_: int) -> int:
        dataset.transform = Standardize(task)
        if workers:
            close(dataset)
        return sum(len(labels) for _, labels in loader)

    return epoch


def close(dataset: BENv2DataSet) -> None:
    """Close the LMDB, which a worker cannot open where its parent has; the next sample opens it again."""
    if dataset.BENv2Loader.env is not None:
        dataset.BENv2Loader.env.close()
        dataset.BENv2Loader.env = None


def compared(task: Task, dataset: BENv2DataSet) -> NDArray[np.float32]:
    """Take the standardised samples that are compared."""
    dataset.transform = Standardize(task)
    places = {patch: place for place, patch in enumerate(dataset.patches)}
    return np.stack([dataset[places[task.pairs[row][0]]][0].numpy() for row in task.compared])


def main() -> None:
    """Serve batches and samples."""
    task = Task.read(sys.argv[1])
    torch.set_num_threads(1)
    dataset = open_dataset(task)
    actions = {
        "batches": batches(task, dataset, workers=0),
        "batches_of_workers": batches(task, dataset, workers=WORKERS),
        "items": items(task, dataset, Standardize(task)),
        "items_not_standardized": items(task, dataset, None),
    }
    versions = {"torch": torch.__version__, "numpy": np.__version__}
    serve(actions, lambda: compared(task, dataset), {"versions": versions})


if __name__ == "__main__":
    main()
