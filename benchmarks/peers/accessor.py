"""``DataArray.ben`` on an image in memory, and the same as NumPy does it, operation by operation."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

import bigearth_xr  # registers .ben  # noqa: F401
from benchmarks.peers.rounds import Action, serve
from benchmarks.peers.task import SIDE, Task
from bigearth_xr.ops.augmentation import Augmentation, draw_parameters
from bigearth_xr.ops.reference import augment
from bigearth_xr.ops.scale import standardize

__all__ = ["main"]

PATCHES = 1024
NOISE_STD = 0.1


def _image(task: Task) -> xr.DataArray:
    """As large as one of pairs; values change no time."""
    values = np.random.default_rng(0).normal(size=(PATCHES, len(task.bands), SIDE, SIDE)).astype(np.float32)
    coordinates = {"band": task.bands, "row": ("patch", np.arange(PATCHES))}
    return xr.DataArray(values, dims=("patch", "band", "y", "x"), coords=coordinates)


def _counted(work: Callable[[int], Any]) -> Action:
    def epoch(number: int) -> int:
        return len(work(number))

    return epoch


def main() -> None:
    """Serve what the accessor does, and NumPy."""
    task = Task.read(sys.argv[1])
    image, allowed = _image(task), Augmentation(noise_std=NOISE_STD)
    stats = dict(zip(task.bands, zip(task.mean, task.std, strict=True), strict=True))

    def by_numpy(epoch: int) -> NDArray[Any]:
        rows = image["row"].values
        return augment(image.values, draw_parameters(rows, allowed, bands=task.bands, seed=0, epoch=epoch))

    serve(
        {
            "augment": _counted(lambda epoch: image.ben.augment(0, epoch=epoch, noise_std=NOISE_STD)),
            "augment_numpy": _counted(by_numpy),
            "normalize": _counted(lambda _: image.ben.normalize(stats=stats)),
            "normalize_numpy": _counted(lambda _: standardize(image.values, np.array(task.mean), np.array(task.std))),
        },
        lambda: np.stack([image[:1].ben.augment(0, noise_std=NOISE_STD).values]),
        {"patches": PATCHES},
    )


if __name__ == "__main__":
    main()
