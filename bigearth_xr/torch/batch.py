"""What a loader gives: a batch of patches, or one of them."""

from typing import Any, NamedTuple

import torch

__all__ = ["Made", "PatchBatch", "PatchItem"]


class PatchBatch(NamedTuple):
    """Patches with their labels, as `PatchLoader` gives them."""

    image: torch.Tensor
    """Pixels, shape ``(patch, band, y, x)``, on the loader's device."""

    labels: torch.Tensor
    """Shape ``(patch, label)``, float32, same device: 1 where a patch has a label, a share where patches were mixed,
    NaN where nothing is known of a patch's labels."""

    row: torch.Tensor
    """Row of each patch in its store, shape ``(patch,)``, int64, on the host."""

    place: torch.Tensor
    """Place of each patch in the Dataset, or in the Datasets one after the other; shape ``(patch,)``, int64, on the
    host."""

    image2: torch.Tensor | None = None
    """Second view of the same patches, if two were asked for."""


class PatchItem(NamedTuple):
    """One patch with its labels, as `PatchDataset` gives it; ``default_collate`` makes batches of them."""

    image: torch.Tensor
    """Pixels, shape ``(band, y, x)``."""

    labels: torch.Tensor
    """Shape ``(label,)``, float32, as in `PatchBatch`."""

    row: torch.Tensor
    """Row in its store, int64."""


class Made(NamedTuple):
    """A batch on its way from the thread that made it to the consumer."""

    batch: PatchBatch
    """What the consumer gets."""

    nonfinite: int = 0
    """How many stored pixels of its patches are not finite, where these are counted."""

    ready: Any = None
    """Event of a GPU after which it is whole; None on the host."""
