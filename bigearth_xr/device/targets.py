"""Memory on a GPU that a batch is written to, be it CuPy's or torch's; neither is imported for it."""

from dataclasses import dataclass
from typing import Any

from bigearth_xr.device.transfer import on_gpu
from bigearth_xr.errors import TransformError
from bigearth_xr.ops.transform import Transform

__all__ = ["Target", "check_target", "target_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An array or tensor on a GPU, as far as a kernel has to know it."""

    pointer: int
    """Address of its first element."""

    device: int
    """Number of its GPU."""

    shape: tuple[int, ...]
    """Length of every dimension."""

    dtype: str
    """Name of its data type."""

    contiguous: bool
    """Whether it is whole, last dimension first."""


def target_of(out: Any) -> Target:
    """Look at where a batch is to be written.

    Parameters
    ----------
    out
        CuPy array or CUDA tensor.

    Raises
    ------
    TransformError
        If it is anything else.

    Examples
    --------
    >>> target_of([1])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    bigearth_xr.errors.TransformError: out is a builtins.list, expected a CuPy array or a CUDA tensor; ...
    """
    if on_gpu(out):
        return Target(
            pointer=out.data.ptr,
            device=out.device.id,
            shape=tuple(out.shape),
            dtype=out.dtype.name,
            contiguous=out.flags.c_contiguous,
        )
    if hasattr(out, "data_ptr") and out.device.type == "cuda":
        return Target(
            pointer=out.data_ptr(),
            device=out.device.index,
            shape=tuple(out.shape),
            dtype=str(out.dtype).rpartition(".")[2],
            contiguous=out.is_contiguous(),
        )
    where = f" on {out.device}" if hasattr(out, "device") else ""
    raise TransformError(
        f"out is a {type(out).__module__}.{type(out).__qualname__}{where}, expected a CuPy array or a CUDA tensor; "
        "memory of the host is written by bigearth_xr.device.host.apply"
    )


def check_target(target: Target, transform: Transform, patches: int) -> None:
    """Refuse memory that a batch does not fit into.

    Raises
    ------
    TransformError
        If its shape or data type is another, or it is not contiguous.

    Examples
    --------
    >>> transform = Transform(bands=(), sources=(), planes=(), subtract=(), factor=())
    >>> held = Target(pointer=0, device=0, shape=(1, 0, 120, 120), dtype="float32", contiguous=True)
    >>> check_target(held, transform, 1)
    """
    shape = transform.out_shape(patches)
    types = {transform.dtype, transform.out_dtype.name}
    if target.shape != shape or target.dtype not in types:
        raise TransformError(
            f"out is {target.dtype} of shape {target.shape}, expected {' or '.join(sorted(types))} of shape {shape}"
        )
    if not target.contiguous:
        raise TransformError("out is not contiguous; give memory that is whole, not a view with steps")
