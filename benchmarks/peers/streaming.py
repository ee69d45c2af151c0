"""MosaicML streaming of batches made before: upsampled, standardised samples of float32, nothing left to do."""

import shutil
import sys
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

import benchmarks.peers.torchvision_operators  # noqa: F401
from benchmarks.peers.bare import BareLoop, open_values
from benchmarks.peers.rounds import serve
from benchmarks.peers.task import SIDE, Task

# isort: split
# Only now: it imports torchvision.
from streaming import MDSWriter, StreamingDataset
from streaming.base.util import clean_stale_shared_memory


def write(task: Task) -> Path:
    """Write all pairs in its format, each as large as it is in a batch."""
    folder = Path(task.folder) / "mds"
    shutil.rmtree(folder, ignore_errors=True)
    loop, rows = BareLoop(task, open_values(task)), np.arange(len(task.pairs))
    columns = {"image": f"ndarray:float32:{len(task.bands)},{SIDE},{SIDE}"}
    with MDSWriter(out=str(folder), columns=columns) as writer:
        for start in range(0, len(rows), task.batch):
            for image in loop.batch(rows[start : start + task.batch]):
                writer.write({"image": image})
    return folder


def main() -> None:
    """Serve batches of PyTorch's loader, samples one by one, and these copied into memory that is used again."""
    task = Task.read(sys.argv[1])
    torch.set_num_threads(1)
    folder = write(task)
    clean_stale_shared_memory()
    dataset = StreamingDataset(local=str(folder), shuffle=True, batch_size=task.batch)
    loader = DataLoader(dataset, batch_size=task.batch)

    out = np.empty((task.batch, len(task.bands), SIDE, SIDE), np.float32)

    def items(epoch: int) -> int:
        return sum(len(dataset[row]) for rows in task.batches(epoch) for row in rows.tolist())

    def recycled(epoch: int) -> int:
        for rows in task.batches(epoch):
            for place, row in enumerate(rows.tolist()):
                out[place] = dataset[row]["image"]
        return len(task.pairs)

    stored_bytes = sum(path.stat().st_size for path in folder.iterdir())
    serve(
        {"batches": lambda _: sum(len(batch["image"]) for batch in loader), "items": items, "recycled": recycled},
        lambda: np.stack([dataset[row]["image"] for row in task.compared]),
        {"versions": {"torch": torch.__version__}, "kb_per_pair": stored_bytes / len(task.pairs) / 1e3},
    )


if __name__ == "__main__":
    main()
