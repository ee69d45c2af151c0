"""One batch of native pixels in memory, which all transforms read."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.task import Task

__all__ = ["ARRAYS", "Native", "native_pixels", "write_native"]

ARRAYS = ("s2_10m", "s2_20m", "s2_60m", "s1")
"""Pixel arrays, whose bands follow each other in a batch."""

Native = dict[str, NDArray[np.generic]]


def write_native(task: Task, pixels: Native) -> None:
    """Write them for other processes."""
    for name in ARRAYS:
        np.save(Path(task.folder) / f"{name}.npy", pixels[name])


def native_pixels(task: Task, patches: int | None = None) -> Native:
    """Read what was written, or some of the patches: by array, shape ``(patch, band, y, x)``."""
    return {name: np.load(Path(task.folder) / f"{name}.npy")[:patches] for name in ARRAYS}
