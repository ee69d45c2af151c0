"""The same transforms by kornia, on the processor; PyTorch brings bands to one size, which kornia does not."""

import sys
from collections.abc import Mapping

import kornia
import torch
from kornia import augmentation as ka
from torch import Tensor, nn
from torch.nn.functional import interpolate

from benchmarks.peers.native import ARRAYS, Native, native_pixels
from benchmarks.peers.rounds import Action, serve
from benchmarks.peers.task import SIDE, Task


def _chains(task: Task) -> Mapping[str, tuple[str, nn.Sequential]]:
    """How 20 m and 60 m bands are brought to 10 m, and what follows."""
    standardize = ka.Normalize(torch.tensor(task.mean), torch.tensor(task.std))
    symmetry = [
        ka.RandomHorizontalFlip(),
        ka.RandomVerticalFlip(),
        ka.RandomRotation90((0, 3), p=1.0, resample="nearest"),
    ]
    noise = ka.RandomGaussianNoise(std=0.1, p=1.0)

    def crop(resample: str) -> nn.Module:
        cut: nn.Module = ka.RandomResizedCrop(
            (SIDE, SIDE), scale=(0.5, 1.0), resample=resample, cropping_mode="resample"
        )
        return cut

    return {
        "plain": ("nearest", nn.Sequential(standardize)),
        "d4": ("nearest", nn.Sequential(standardize, *symmetry)),
        "noise": ("nearest", nn.Sequential(standardize, noise)),
        "bilinear": ("bilinear", nn.Sequential(standardize)),
        "bicubic": ("bicubic", nn.Sequential(standardize)),
        "crop": ("nearest", nn.Sequential(standardize, crop("nearest"))),
        "crop_bilinear": ("bilinear", nn.Sequential(standardize, crop("bilinear"))),
    }


def transform(pixels: Native, mode: str, chain: nn.Sequential) -> Tensor:
    """Bring all bands to 10 m, and do what follows."""
    corners = None if mode == "nearest" else False
    bands = [torch.from_numpy(pixels[name]).float() for name in ARRAYS]
    images = torch.cat([interpolate(band, (SIDE, SIDE), mode=mode, align_corners=corners) for band in bands], 1)
    done: Tensor = chain(images)
    return done


def main() -> None:
    """Serve what it has of the variants."""
    task = Task.read(sys.argv[1])
    torch.set_num_threads(1)
    pixels, chains = native_pixels(task), _chains(task)
    some = native_pixels(task, len(task.compared))

    def action(mode: str, chain: nn.Sequential) -> Action:
        return lambda _: len(transform(pixels, mode, chain))

    serve(
        {name: action(*chain) for name, chain in chains.items()},
        lambda: transform(some, *chains["plain"])[None].numpy(),
        {"versions": {"kornia": kornia.__version__, "torch": torch.__version__}},
    )


if __name__ == "__main__":
    main()
