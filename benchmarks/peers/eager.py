"""The same transforms by PyTorch, operation by operation, on the processor."""

import sys
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from benchmarks.peers.native import ARRAYS, Native, native_pixels
from benchmarks.peers.rounds import Action, serve
from benchmarks.peers.task import SIDE, Task
from benchmarks.peers.twin import COMPARED, VARIANTS, Variant, parameters_of
from bigearth_xr.ops.augmentation import AugmentParameters

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def upsampled(pixels: Native, mode: str) -> Tensor:
    """Bring all bands to 10 m."""
    corners = None if mode == "nearest" else False
    bands = [torch.from_numpy(pixels[name]).float() for name in ARRAYS]
    same = [
        band if band.shape[-1] == SIDE else interpolate(band, (SIDE, SIDE), mode=mode, align_corners=corners)
        for band in bands
    ]
    return torch.cat(same, 1)


def transform(pixels: Native, task: Task, variant: Variant, epoch: int) -> Tensor:
    """Upsample, standardise and vary a batch, in place where that is possible."""
    mean, factor = (torch.from_numpy(numbers)[:, None, None] for numbers in task.scale)
    images = upsampled(pixels, variant.resampling).sub_(mean).mul_(factor)
    parameters = parameters_of(variant, task, len(images), epoch)
    if parameters is not None:
        images = vary(images, parameters, variant.resampling)
    return images.to(_DTYPES[variant.dtype])


def vary(images: Tensor, parameters: AugmentParameters, mode: str) -> Tensor:
    """Crop, turn, scale and blur by noise, as the augmentation has it."""
    augmentation = parameters.augmentation
    if augmentation.crops:
        images = torch.cat(
            [_cropped(image[None], box, mode) for image, box in zip(images, parameters.crop, strict=True)]
        )
    if augmentation.flips:
        images = _turned(images, torch.from_numpy(np.array(parameters.d4)))
    if augmentation.gain != (1.0, 1.0):
        gain, bias = (
            torch.from_numpy(np.array(each))[:, None, None, None] for each in (parameters.gain, parameters.bias)
        )
        images.mul_(gain).add_(bias)
    if augmentation.noise_std:
        images.add_(torch.randn_like(images), alpha=augmentation.noise_std)
    return images


def _cropped(image: Tensor, box: NDArray[np.floating], mode: str) -> Tensor:
    """Cut whole pixels out, and bring them to the size that they were cut from."""
    top, left, height, width = (round(float(edge)) for edge in box)
    corners = None if mode == "nearest" else False
    cut = image[..., top : top + height, left : left + width]
    return interpolate(cut, (SIDE, SIDE), mode=mode, align_corners=corners)


def _turned(images: Tensor, symmetries: Tensor) -> Tensor:
    """Turn those of each symmetry together."""
    turned = torch.empty_like(images)
    for symmetry in range(8):
        chosen = symmetries == symmetry
        some = torch.rot90(images[chosen], symmetry % 4, (-2, -1))
        turned[chosen] = some.flip(-1) if symmetry >= 4 else some
    return turned


def main() -> None:
    """Serve all variants."""
    task = Task.read(sys.argv[1])
    torch.set_num_threads(1)
    pixels = native_pixels(task)
    some = native_pixels(task, len(task.compared))

    def action(variant: Variant) -> Action:
        return lambda epoch: len(transform(pixels, task, variant, epoch))

    compared: Callable[[], NDArray[np.float32]] = lambda: np.stack(  # noqa: E731
        [transform(some, task, VARIANTS[name], 0).numpy() for name in COMPARED]
    )
    serve(
        {name: action(variant) for name, variant in VARIANTS.items()},
        compared,
        {"versions": {"torch": torch.__version__}},
    )


if __name__ == "__main__":
    main()
