"""NumPy and CuPy arrays as torch tensors of the same memory, and back.

torch itself lets through what must not pass: a tensor over read-only memory writes into it, or dies of it, and
negative strides through DLPack abort the process. So everything is checked at the door.

On a GPU the hand-over is ordered: what CuPy's current stream has been given before `to_tensor` is done before torch's
current stream goes on, and the other way round in `from_tensor`. Nothing orders what either is given later, nor does
CuPy's pool know when torch's stream is done with memory that was freed: work in one stream
(``with cupy.cuda.Stream.from_external(torch.cuda.current_stream())``), or synchronise before writing or freeing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import torch
import xarray as xr

from bigearth_xr.errors import TensorError
from bigearth_xr.ops.namespace import Array, array_namespace

__all__ = ["TensorOrigin", "from_tensor", "to_tensor"]

_DTYPES: Mapping[np.dtype[Any], torch.dtype] = {
    np.dtype(name): getattr(torch, name)
    for name in (
        *("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
        *("float16", "float32", "float64", "complex64", "complex128"),
    )
}
"""The types that NumPy, CuPy and torch share. With uint16 torch can index, cast, join and permute on a CPU, but neither
add, compare nor flip: cast it first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorOrigin:
    """What a DataArray knew of its axes; travels beside a tensor as ``tensor.ben``."""

    dims: tuple[str, ...]
    """Name of each axis."""

    bands: tuple[str, ...]
    """Bands or polarizations in order; empty where there is no such axis."""

    rows: tuple[int, ...]
    """Row in the store of each patch; empty where unknown."""

    patches: tuple[str, ...]
    """Id of each patch; empty where unknown."""


def to_tensor(array: Array | xr.DataArray, *, copy: bool = False) -> torch.Tensor:
    """View an array as a tensor: the same memory, so that a write to one is seen in the other.

    Parameters
    ----------
    array
        NumPy array or a DataArray of one → CPU tensor; CuPy → CUDA tensor of the same device. A lazily indexed
        DataArray is read; a Dask array is refused, as it has no memory yet.
    copy
        Copy first, into memory that any array is welcome with: read-only, reversed or of foreign byte order.

    Returns
    -------
    torch.Tensor
        Same shape and data type. That of a DataArray has a `TensorOrigin` as ``tensor.ben``, which operations on the
        tensor, its slices and copies among them, do not pass on.

    Raises
    ------
    TensorError
        If the memory cannot be shared safely; the message says why, and the remedy.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> ds = bex.open(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=2))
    >>> tensor = to_tensor(ds.ben.image(["B04", "VV"]).compute())
    >>> tensor.shape, tensor.ben.bands
    (torch.Size([2, 2, 120, 120]), ('B04', 'VV'))
    """
    if isinstance(array, xr.DataArray):
        tensor = to_tensor(array.data, copy=copy)
        # An attribute that torch knows nothing of: every operation makes a tensor without it.
        tensor.ben = _origin(array)  # type: ignore[attr-defined]
        return tensor
    _check_kind(array)
    values: Any = array
    if copy:
        native = values.dtype.newbyteorder("=") if values.dtype.kind in "iufc" else values.dtype
        values = values.astype(native, order="C", copy=True)
    _check_memory(values)
    return torch.from_numpy(values) if isinstance(values, np.ndarray) else torch.utils.dlpack.from_dlpack(values)


@overload
def from_tensor(tensor: torch.Tensor, like: None = None) -> Array: ...


@overload
def from_tensor(tensor: torch.Tensor, like: xr.DataArray) -> xr.DataArray: ...


def from_tensor(tensor: torch.Tensor, like: xr.DataArray | None = None) -> Array | xr.DataArray:
    """View a tensor as an array: the same memory, so that a write to one is seen in the other.

    Parameters
    ----------
    tensor
        Strided tensor on a CPU or CUDA device.
    like
        DataArray of the same shape that lends its dims, coordinates, name and attributes.

    Returns
    -------
    Array or xarray.DataArray
        NumPy array of a CPU tensor, CuPy array of a CUDA tensor; in a DataArray if `like` is one.

    Raises
    ------
    TensorError
        If the memory cannot be shared safely; the message says why, and the remedy.

    Examples
    --------
    >>> tensor = torch.zeros(3)
    >>> array = from_tensor(tensor)
    >>> array[1] = 7
    >>> tensor
    tensor([0., 7., 0.])
    """
    if not isinstance(tensor, torch.Tensor):
        raise TensorError(f"{type(tensor).__name__} is no torch.Tensor")
    for meets, problem in _UNSHAREABLE:
        if meets(tensor):
            raise TensorError(f"tensor of shape {tuple(tensor.shape)}, {tensor.dtype}, on {tensor.device}: {problem}")
    array: Array = tensor.numpy() if tensor.device.type == "cpu" else _on_gpu(tensor)
    if like is None:
        return array
    if array.shape != like.shape:
        raise TensorError(
            f"tensor of shape {array.shape}, expected {like.shape} as `like` has; give a DataArray of the same shape"
        )
    return like.copy(data=array)


_UNSHAREABLE: tuple[tuple[Callable[[torch.Tensor], bool], str], ...] = (
    (lambda t: t.requires_grad, "gradients flow through it, and an array would hide writes from them; use .detach()"),
    (lambda t: t.layout != torch.strided, "its layout has no one place for every element; use .to_dense()"),
    (lambda t: t.is_quantized, "its elements are quantized; use .dequantize()"),
    (lambda t: t.device.type not in ("cpu", "cuda"), "no array library shares that device; use .cpu()"),
    (lambda t: t.is_conj(), "its elements are conjugated when read; use .resolve_conj()"),
    (lambda t: t.is_neg(), "its elements are negated when read; use .resolve_neg()"),
    (
        lambda t: t.dtype not in _DTYPES.values(),
        "arrays have no such type; use .float(), or .view() as an integer type of that size, which copies nothing",
    ),
    (
        lambda t: _repeats(t.shape, t.stride()),
        "several elements are one in memory, so that a write would change them all; use .contiguous()",
    ),
)
"""What must not be true of a tensor, in this order, and what to do about it."""


def _on_gpu(tensor: torch.Tensor) -> Array:
    """A CuPy view; on the tensor's own device, which may not be CuPy's current one."""
    from bigearth_xr.device.transfer import view_in_cupy

    array: Array = view_in_cupy(tensor)
    return array


def _origin(array: xr.DataArray) -> TensorOrigin:
    bands = next((array[dim].values for dim in ("band", "polarization") if dim in array.coords), ())
    rows = array["row"].values if "row" in array.coords else ()
    patches = array["patch"].values if "patch" in array.coords else ()
    return TensorOrigin(
        dims=tuple(map(str, array.dims)),
        bands=tuple(map(str, np.atleast_1d(bands))),
        rows=tuple(map(int, np.atleast_1d(rows))),
        patches=tuple(map(str, np.atleast_1d(patches))),
    )


def _check_kind(array: object) -> None:
    """Refuse what has no memory of its own to share, or more than values in it."""
    try:
        library = array_namespace(array).__name__
    except TypeError:
        library = ""
    if library == "dask.array":
        raise TensorError("a Dask array has no memory to share before it is computed; call .compute() first")
    # A NumPy scalar is of NumPy, but no array.
    if library not in ("numpy", "cupy") or isinstance(array, np.generic):
        raise TensorError(f"{type(array).__name__} is no array; expected a NumPy or CuPy array, or a DataArray of one")
    if isinstance(array, np.ma.MaskedArray):
        raise TensorError("a tensor cannot mask elements; call .filled(value) first")


def _check_memory(array: Any) -> None:
    """Refuse memory that torch would misread, or must not write to."""
    here = f"array of shape {array.shape}, {array.dtype}"
    remedy = "use to_tensor(array, copy=True), or copy it first with .copy()"
    if array.dtype.newbyteorder("=") not in _DTYPES:
        raise TensorError(f"{here}: torch has no such type; {_cast(array.dtype)}")
    if not array.dtype.isnative:
        raise TensorError(
            f"{here}: bytes are in foreign order, which torch cannot read; use to_tensor(array, copy=True), or "
            ".astype(array.dtype.newbyteorder('='))"
        )
    if any(step < 0 for step in array.strides):
        raise TensorError(f"{here}: an axis runs backwards, which torch cannot follow; {remedy}")
    if any(step % array.itemsize for step in array.strides) or not _is_aligned(array):
        raise TensorError(f"{here}: elements are not aligned in memory, as torch needs them; {remedy}")
    if _repeats(array.shape, array.strides):
        raise TensorError(f"{here}: several elements are one in memory, a write would change them all; {remedy}")
    if isinstance(array, np.ndarray) and not array.flags.writeable:
        raise TensorError(f"{here}: memory is read-only, and torch would write to it unasked; {remedy}")


def _repeats(shape: Sequence[int], steps: Sequence[int]) -> bool:
    """Tell whether several elements are one in memory; where there is no element, steps mean nothing."""
    return 0 not in shape and any(step == 0 and size > 1 for step, size in zip(steps, shape, strict=True))


def _is_aligned(array: Any) -> bool:
    return not isinstance(array, np.ndarray) or array.flags.aligned


def _cast(dtype: np.dtype[Any]) -> str:
    """Say what to make of a type that torch does not know."""
    if dtype.kind in "mM":
        return "use .view('int64') or .astype('int64'): ticks of its unit"
    if dtype.kind in "OSUT":
        return "keep texts and objects beside the tensor, and give numbers"
    return f"expected one of {', '.join(map(str, _DTYPES))}"
