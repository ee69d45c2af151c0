"""A loop over the LMDB without a library: get, safetensors, nearest, standardise, into a batch that is used again."""

import sys
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from benchmarks.peers.rounds import serve
from benchmarks.peers.task import SIDE, Task

__all__ = ["BareLoop", "open_values"]


def open_values(task: Task) -> lmdb.Transaction:
    """Open the LMDB, which a process can do once."""
    return lmdb.open(str(Path(task.folder) / "lmdb"), readonly=True, lock=False, readahead=False).begin()


class BareLoop:
    """Fills batches from an LMDB as rico-hdl writes it."""

    def __init__(self, task: Task, values: lmdb.Transaction) -> None:
        self._task, self._values = task, values
        self._out = np.empty((task.batch, len(task.bands), SIDE, SIDE), np.float32)

    def epoch(self, number: int) -> int:
        """Make all batches."""
        return sum(len(self.batch(rows)) for rows in self._task.batches(number))

    def batch(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """Make one, in the memory of the last."""
        task, out = self._task, self._out[: len(rows)]
        mean, factor = task.scale
        for patch, row in zip(out, rows.tolist(), strict=True):
            pixels = self.read(row)
            for plane, name, subtract, multiply in zip(patch, task.bands, mean, factor, strict=True):
                # Before it is repeated, as there are fewer pixels then; lines are repeated as they are written.
                scaled = np.subtract(pixels[name], subtract, dtype=np.float32)
                scaled *= multiply
                times = SIDE // len(scaled)
                lines = scaled if times == 1 else scaled.repeat(times, 1)
                plane.reshape(len(scaled), times, SIDE)[...] = lines[:, None]
        return out

    def read(self, row: int) -> dict[str, NDArray[Any]]:
        """Read the native bands of a pair."""
        s2, s1 = self._task.pairs[row]
        values: list[Any] = [self._values.get(name.encode()) for name in (s2, s1)]
        return {name: band for value in values for name, band in safetensors.numpy.load(value).items()}


class BareRepeat(BareLoop):
    """The same, repeated first, which most write."""

    def batch(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """Make one, in the memory of the last."""
        return self._fill(rows, self._out[: len(rows)])

    def fresh_epoch(self, number: int) -> int:
        """Make all batches, each in memory of its own."""
        shape = self._out.shape[1:]
        return sum(
            len(self._fill(rows, np.empty((len(rows), *shape), np.float32))) for rows in self._task.batches(number)
        )

    def _fill(self, rows: NDArray[np.intp], out: NDArray[np.float32]) -> NDArray[np.float32]:
        task = self._task
        mean, factor = (numbers[:, None, None] for numbers in task.scale)
        for patch, row in zip(out, rows.tolist(), strict=True):
            pixels = self.read(row)
            for plane, name in zip(patch, task.bands, strict=True):
                times = SIDE // len(pixels[name])
                plane[...] = pixels[name] if times == 1 else pixels[name].repeat(times, 0).repeat(times, 1)
            patch -= mean
            patch *= factor
        return out


def main() -> None:
    """Serve all three."""
    task = Task.read(sys.argv[1])
    values = open_values(task)
    loop, repeat = BareLoop(task, values), BareRepeat(task, values)
    versions = {"lmdb": lmdb.__version__, "numpy": np.__version__}
    serve(
        {"standardize_first": loop.epoch, "repeat_first": repeat.epoch, "repeat_first_fresh": repeat.fresh_epoch},
        lambda: loop.batch(np.array(task.compared)),
        {"versions": versions},
    )


if __name__ == "__main__":
    main()
