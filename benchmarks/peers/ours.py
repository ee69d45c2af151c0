"""Batches of this package: from either profile, one thread and no loader; by the loader; and as stored."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import bigearth_xr as bex
from benchmarks.peers.rounds import Action, serve
from benchmarks.peers.task import Task
from bigearth_xr.device.host import transform_batch, transform_packed
from bigearth_xr.ops.transform import transform_of
from bigearth_xr.store.batch import BatchReader
from bigearth_xr.store.codec import PROFILES
from bigearth_xr.store.open import open_store
from bigearth_xr.torch import PatchLoader

__all__ = ["Batches", "native"]


class Batches:
    """Fills batches from a store into memory that is used again, in one thread."""

    def __init__(self, task: Task, store: Path) -> None:
        self._task = task
        self._reader = BatchReader(open_store(store), task.bands)
        scale = dict(zip(task.bands, zip(task.mean, task.std, strict=True), strict=True))
        self._transform = transform_of(self._reader.sources, task.bands, scale)
        self._out = np.empty(self._transform.out_shape(task.batch), np.float32)

    def epoch(self, number: int, pairs: int | None = None) -> int:
        """Make all batches."""
        return sum(len(self.batch(rows)) for rows in self._task.batches(number, pairs))

    def batch(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """Make one, in the memory of the last."""
        with self._reader.locate(rows) as located:
            out = self._out[: len(rows)]
            if located.packed is None or not transform_packed(self._transform, located.packed, out=out):
                transform_batch(self._transform, located.addresses, out=out)
            return out


def native(task: Task, store: Path) -> Callable[..., int]:
    """Read batches as stored, into memory that is used again."""
    reader = BatchReader(open_store(store), task.bands)
    buffers = reader.buffers(task.batch)

    def epoch(number: int, pairs: int | None = None) -> int:
        count = 0
        for rows in task.batches(number, pairs):
            reader.read(rows, {name: buffer[: len(rows)] for name, buffer in buffers.items()})
            count += len(rows)
        return count

    return epoch


def _loader(task: Task, store: Path) -> Action:
    """Take epochs of the loader as it is by default, on the host."""
    loader = PatchLoader(bex.open(store), batch_size=task.batch, bands=task.bands, device="cpu")
    return lambda _: sum(len(batch.row) for batch in loader)


def main() -> None:
    """Serve all of it, for both profiles."""
    task = Task.read(sys.argv[1])
    stores = {profile: Path(task.folder) / f"{profile}.zarr" for profile in PROFILES}
    actions: dict[str, Action] = {}
    batches: dict[str, Any] = {profile: Batches(task, store) for profile, store in stores.items()}
    for profile, store in stores.items():
        actions[profile] = batches[profile].epoch
        actions[f"{profile}_loader"] = _loader(task, store)
        actions[f"{profile}_native"] = native(task, store)
    serve(actions, partial(batches["compact"].batch, np.array(task.compared)), {})


if __name__ == "__main__":
    main()
