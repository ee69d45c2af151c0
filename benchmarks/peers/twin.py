"""The compiled transform of this package, and the least that any transform does to memory."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.native import ARRAYS, Native, native_pixels
from benchmarks.peers.rounds import Action, serve
from benchmarks.peers.task import SIDE, Task
from bigearth_xr.device.host import addresses_of, transform_batch
from bigearth_xr.device.kernels.memory import kernel
from bigearth_xr.ops.augmentation import Augmentation, AugmentParameters, draw_parameters
from bigearth_xr.ops.transform import Precision, Transform, transform_of
from bigearth_xr.store.schema import pixel_arrays

__all__ = ["COMPARED", "VARIANTS", "Variant", "parameters_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What is done beside upsampling and standardising."""

    augment: Augmentation | None = None
    """How patches vary."""

    resampling: Any = "nearest"
    """How 20 m and 60 m bands are brought to 10 m."""

    dtype: Precision = "float32"
    """Data type of the batch."""


def _vary(**options: Any) -> Variant:
    return Variant(augment=Augmentation(**{"flips": False, **options}))


VARIANTS: Mapping[str, Variant] = {
    "plain": Variant(),
    "d4": _vary(flips=True),
    "gain": _vary(gain=(0.9, 1.1), bias=(-0.1, 0.1)),
    "noise": _vary(noise_std=0.1),
    "bilinear": Variant(resampling="bilinear"),
    "bicubic": Variant(resampling="bicubic"),
    "crop": _vary(crop=(0.5, 1.0)),
    "crop_bilinear": Variant(augment=Augmentation(flips=False, crop=(0.5, 1.0)), resampling="bilinear"),
    "float16": Variant(dtype="float16"),
    "bfloat16": Variant(dtype="bfloat16"),
    "d4_gain_noise": _vary(flips=True, gain=(0.9, 1.1), bias=(-0.1, 0.1), noise_std=0.1),
}
COMPARED = ("plain", "d4", "gain", "bilinear", "bicubic")
"""Those that others do to the same numbers."""


def parameters_of(variant: Variant, task: Task, patches: int, epoch: int) -> AugmentParameters | None:
    """Draw how patches vary."""
    if variant.augment is None:
        return None
    return draw_parameters(np.arange(patches), variant.augment, bands=tuple(task.bands), seed=0, epoch=epoch)


def _transform(task: Task, variant: Variant) -> Transform:
    arrays = {array.name: array for array in pixel_arrays(task.bands, reference_map=False)}
    scale = dict(zip(task.bands, zip(task.mean, task.std, strict=True), strict=True))
    return transform_of(
        [arrays[name] for name in ARRAYS], task.bands, scale, resampling=variant.resampling, dtype=variant.dtype
    )


def _action(task: Task, pixels: Native, variant: Variant, out: NDArray[Any]) -> Action:
    """Transform one batch into memory that is used again, parameters drawn anew."""
    transform, addresses = _transform(task, variant), addresses_of(pixels)
    patches = addresses.shape[1]
    target = out.view(transform.out_dtype).reshape(-1)[: out.size].reshape(transform.out_shape(patches))

    def epoch(number: int) -> int:
        return len(transform_batch(transform, addresses, parameters_of(variant, task, patches, number), out=target))

    return epoch


def _ceiling(pixels: Native, task: Task, out: NDArray[np.float32]) -> Action:
    """Repeat and standardise contiguous bands, and nothing else: what memory and the processor allow."""
    fine, middle, coarse, radar = (pixels[name] for name in ARRAYS)
    mean, factor = task.scale

    def epoch(_: int) -> int:
        _fill_batch(fine, middle, coarse, radar, mean, factor, out)
        return len(out)

    return epoch


@kernel
def _fill_batch(fine: Any, middle: Any, coarse: Any, radar: Any, mean: Any, factor: Any, out: Any) -> None:
    for patch in range(len(out)):
        _fill(fine[patch], mean, factor, 0, out[patch])
        _fill(middle[patch], mean, factor, 4, out[patch])
        _fill(coarse[patch], mean, factor, 10, out[patch])
        _fill(radar[patch], mean, factor, 12, out[patch])


@kernel
def _fill(pixels: Any, mean: Any, factor: Any, first: Any, out: Any) -> None:
    """Fill the planes of one array from the first on, line by line; further lines are copies."""
    side = pixels.shape[2]
    times = SIDE // side
    for band in range(pixels.shape[0]):
        subtract, multiply = mean[first + band], factor[first + band]
        for y in range(side):
            line, target = pixels[band, y], out[first + band, y * times]
            # Its own loop for each number that is a constant: only those become vectors.
            if times == 1:
                for x in range(side):
                    target[x] = (np.float32(line[x]) - subtract) * multiply
            elif times == 2:
                for x in range(side):
                    target[2 * x] = target[2 * x + 1] = (np.float32(line[x]) - subtract) * multiply
            else:
                for x in range(side):
                    value = (np.float32(line[x]) - subtract) * multiply
                    for again in range(times):
                        target[x * times + again] = value
            for again in range(1, times):
                out[first + band, y * times + again] = target


def _compared(task: Task, pixels: Native, patches: int) -> NDArray[np.float32]:
    """Transform some patches in the ways that others do too."""
    addresses = addresses_of(pixels)[:, :patches].copy()
    return np.stack(
        [
            transform_batch(_transform(task, variant), addresses, parameters_of(variant, task, patches, 0))
            for variant in map(VARIANTS.__getitem__, COMPARED)
        ]
    )


def main() -> None:
    """Serve all variants, and what bounds them."""
    task = Task.read(sys.argv[1])
    pixels = native_pixels(task)
    out = np.empty((task.batch, len(task.bands), SIDE, SIDE), np.float32)
    actions = {name: _action(task, pixels, variant, out) for name, variant in VARIANTS.items()}

    def fill(_: int) -> int:
        out.fill(1)
        return len(out)

    serve(
        {"ceiling": _ceiling(pixels, task, out), "fill": fill, **actions},
        lambda: _compared(task, pixels, len(task.compared)),
        {},
    )


if __name__ == "__main__":
    main()
