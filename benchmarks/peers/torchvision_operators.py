"""Lets torchvision be imported where its compiled part was built for another torch than the one at hand.

Nothing that is measured calls that part: its operators only have to have names. Import this before torchgeo, MosaicML
streaming or ConfigILM's transforms.
"""

from typing import Any, cast

import torch

__all__ = ["LIBRARY"]

LIBRARY: Any = None
"""Keeps the names; None where torchvision needs no help."""

try:
    import torchvision  # noqa: F401
except RuntimeError:
    LIBRARY = cast("Any", torch.library.Library)("torchvision", "FRAGMENT")
    LIBRARY.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    LIBRARY.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
