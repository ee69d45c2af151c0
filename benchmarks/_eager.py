"""Batches by one operation of torch after the other, and by kornia: what the fused kernel is measured against."""

from collections.abc import Callable
from typing import Any

from bigearth_xr.bands import GROUPS
from bigearth_xr.ops.augmentation import AugmentParameters

MEAN, STD = 1000.0, 500.0


def eager_chain(pixels: dict[str, Any], rows: Any, drawn: AugmentParameters, resampling: str, dtype: Any) -> Any:
    """Gather, upsample, standardise, turn, gain and bias, cast, as one would write it."""
    import torch

    batch = (_upsampled(pixels, rows, resampling) - MEAN) / STD
    d4 = torch.from_numpy(drawn.d4).cuda()
    turned = torch.empty_like(batch)
    for symmetry in range(8):
        chosen = (d4 == symmetry).nonzero()[:, 0]
        part = torch.rot90(batch[chosen], symmetry % 4, (-2, -1))
        turned[chosen] = part.flip(-1) if symmetry >= 4 else part
    gain, bias = (torch.from_numpy(values).cuda()[:, None, None, None] for values in (drawn.gain, drawn.bias))
    return (turned * gain + bias).to(dtype)


def kornia_chain(pixels: dict[str, Any], rows: Any, drawn: AugmentParameters, resampling: str, dtype: Any) -> Any:
    """The same with kornia's augmentations, which draw what they do themselves."""
    import torch
    from kornia.augmentation import AugmentationSequential, Normalize, RandomHorizontalFlip, RandomVerticalFlip

    channels = sum(len(group.bands) for group in GROUPS)
    chain: Callable[[Any], Any] = AugmentationSequential(
        Normalize(torch.full((channels,), MEAN), torch.full((channels,), STD)),
        RandomHorizontalFlip(p=0.5),
        RandomVerticalFlip(p=0.5),
    )
    batch = chain(_upsampled(pixels, rows, resampling))
    gain, bias = (torch.from_numpy(values).cuda()[:, None, None, None] for values in (drawn.gain, drawn.bias))
    return (batch * gain + bias).to(dtype)


def _upsampled(pixels: dict[str, Any], rows: Any, resampling: str) -> Any:
    """All bands of some patches as float32, 120 × 120; uint16 lies in int16, which torch can index."""
    import torch
    from torch.nn.functional import interpolate

    parts = []
    for array in pixels.values():
        part = array[rows]
        wide = part.float() if part.dtype == torch.float32 else (part.int() & 0xFFFF).float()
        smooth = {"align_corners": False} if resampling != "nearest" else {}
        parts.append(wide if wide.shape[-1] == 120 else interpolate(wide, size=(120, 120), mode=resampling, **smooth))
    return torch.cat(parts, dim=1)
