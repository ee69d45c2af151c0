"""Patches as torch tensors, and back, without a copy.

The names load torch when they are first used, so that ``bex.torch`` itself needs none.
"""

from typing import TYPE_CHECKING

from bigearth_xr.errors import DependencyError

if TYPE_CHECKING:
    from bigearth_xr.torch.tensor import TensorOrigin, from_tensor, to_tensor

__all__ = ["TensorOrigin", "from_tensor", "to_tensor"]

if not TYPE_CHECKING:  # else a type checker would take any name for one of ours

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module 'bigearth_xr.torch' has no attribute {name!r}; it has {__all__}")
        try:
            from bigearth_xr.torch import tensor
        except ModuleNotFoundError as error:
            if error.name != "torch":
                raise
            raise DependencyError(
                f"bigearth_xr.torch.{name} needs torch, which is not installed: pip install 'bigearth-xr[torch]'"
            ) from None
        return getattr(tensor, name)


def __dir__() -> list[str]:
    return __all__
