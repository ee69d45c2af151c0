"""What every process is to do, the same for all, as a file: which pairs, in which bands, standardised by what."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["SIDE", "Task"]

SIDE = 120
"""Pixels along a side of a patch in a batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Batches of all bands, float32, ``(patch, band, y, x)``, nearest, standardised."""

    folder: str
    """Where the pairs are, in every form."""

    pairs: list[tuple[str, str]]
    """Names of the two halves of each pair, Sentinel-2 first; in the order of a store's rows."""

    bands: list[str]
    """Bands of a batch, in its order."""

    mean: list[float]
    """What is subtracted from each."""

    std: list[float]
    """What each is divided by."""

    batch: int
    """Patches in a batch."""

    compared: list[int]
    """Rows of the pairs that are compared with what the others give."""

    @classmethod
    def read(cls, path: str) -> "Task":
        """Read what another process wrote."""
        return cls(**json.loads(Path(path).read_text()))

    def write(self, path: Path) -> Path:
        """Write it for other processes."""
        path.write_text(json.dumps(asdict(self)))
        return path

    def batches(self, epoch: int, pairs: int | None = None) -> list[NDArray[np.intp]]:
        """Shuffle the pairs, or so many of them, into batches; the same in every process."""
        order = np.random.default_rng(epoch).permutation(pairs or len(self.pairs))
        return np.split(order, range(self.batch, len(order), self.batch))

    @property
    def scale(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What is subtracted from each band, and what it is multiplied by then."""
        return np.array(self.mean, np.float32), (1 / np.array(self.std)).astype(np.float32)
