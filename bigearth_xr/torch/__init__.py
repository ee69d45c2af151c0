"""Patches as torch tensors, and batches of them to train on.

The names load torch when they are first used, so that ``bex.torch`` itself needs none.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from bigearth_xr.errors import DependencyError

if TYPE_CHECKING:
    from bigearth_xr.ops.augmentation import Augmentation
    from bigearth_xr.torch.datamodule import PatchDataModule
    from bigearth_xr.torch.dataset import PatchDataset, PatchItem
    from bigearth_xr.torch.engine import PatchBatch
    from bigearth_xr.torch.loader import PatchLoader
    from bigearth_xr.torch.tensor import TensorOrigin, from_tensor, to_tensor

__all__ = [
    "Augmentation",
    "PatchBatch",
    "PatchDataModule",
    "PatchDataset",
    "PatchItem",
    "PatchLoader",
    "TensorOrigin",
    "from_tensor",
    "to_tensor",
]

_HOME = {
    "Augmentation": "bigearth_xr.ops.augmentation",
    "PatchBatch": "bigearth_xr.torch.engine",
    "PatchDataModule": "bigearth_xr.torch.datamodule",
    "PatchDataset": "bigearth_xr.torch.dataset",
    "PatchItem": "bigearth_xr.torch.dataset",
    "PatchLoader": "bigearth_xr.torch.loader",
    "TensorOrigin": "bigearth_xr.torch.tensor",
    "from_tensor": "bigearth_xr.torch.tensor",
    "to_tensor": "bigearth_xr.torch.tensor",
}

_EXTRAS = {"torch": "torch", "lightning": "train"}
"""What may be missing, and the extra that brings it."""

if not TYPE_CHECKING:  # else a type checker would take any name for one of ours

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module 'bigearth_xr.torch' has no attribute {name!r}; it has {__all__}")
        try:
            return getattr(import_module(_HOME[name]), name)
        except ModuleNotFoundError as error:
            if error.name not in _EXTRAS:
                raise
            raise DependencyError(
                f"bigearth_xr.torch.{name} needs {error.name}, which is not installed: "
                f"pip install 'bigearth-xr[{_EXTRAS[error.name]}]'"
            ) from None


def __dir__() -> list[str]:
    return __all__
