"""Move arrays between host and GPU, at once or, for Dask arrays, block by block when they are computed."""

from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

import numpy as np
import xarray as xr

from bigearth_xr.errors import DeviceError
from bigearth_xr.ops.namespace import Array

__all__ = ["gpu_available", "move", "on_gpu", "to_cpu", "to_gpu", "view_in_cupy"]

_INSTALL = "pip install 'bigearth-xr[cuda12]', or [cuda13] where nvidia-smi says CUDA 13"

Labelled = TypeVar("Labelled", xr.DataArray, xr.Dataset)

_NUMBERS = "biufc"


def gpu_available() -> bool:
    """Tell whether arrays can be moved to a GPU: CuPy is installed, and finds one.

    Examples
    --------
    >>> gpu_available() in (True, False)
    True
    """
    try:
        _cupy()
    except DeviceError:
        return False
    return True


def on_gpu(array: object) -> bool:
    """Tell whether an array is on a GPU, or, for a Dask array, its blocks will be.

    Parameters
    ----------
    array
        CuPy or Dask; anything else is on the host, and is not read to know it.

    Examples
    --------
    >>> on_gpu(np.zeros(3))
    False
    """
    return type(getattr(array, "_meta", array)).__module__.partition(".")[0] == "cupy"


def to_gpu(array: Array) -> Array:
    """Copy an array to the current GPU; one that is on a GPU is given back as it is.

    Parameters
    ----------
    array
        NumPy, CuPy or Dask array of numbers or truth values.

    Returns
    -------
    Array
        CuPy, or Dask with blocks of CuPy: same shape, data type and chunks.

    Raises
    ------
    DeviceError
        If CuPy is not installed or finds no GPU, or the array holds texts, times or objects.

    Examples
    --------
    >>> from bigearth_xr.device import gpu_available, to_gpu
    >>> on_gpu(to_gpu(np.zeros(3))) if gpu_available() else True
    True
    """
    if on_gpu(array):
        return array
    if array.dtype.kind not in _NUMBERS:
        raise DeviceError(f"an array of {array.dtype} cannot be on a GPU; move arrays of numbers only")
    cupy = _cupy()
    return _convert(array, cupy.asarray, cupy)


def to_cpu(array: Array) -> Array:
    """Copy an array from its GPU to the host; one that is on the host is given back as it is.

    Parameters
    ----------
    array
        NumPy, CuPy or Dask.

    Returns
    -------
    Array
        NumPy, or Dask with blocks of NumPy: same shape, data type and chunks.

    Examples
    --------
    >>> to_cpu(np.arange(3))
    array([0, 1, 2])
    """
    if not on_gpu(array):
        return array
    return _convert(array, _cupy().asnumpy, np)


def move(labelled: Labelled, transfer: Callable[[Array], Array]) -> Labelled:
    """Move the values of an array, or of every variable of a Dataset that holds numbers or truth values.

    Parameters
    ----------
    labelled
        Values of NumPy, CuPy or Dask; lazily indexed ones that are not Dask are read first.
    transfer
        `to_gpu` or `to_cpu`.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        The same names, dims, coordinates, attributes and encoding; lazy where it was Dask.

    Examples
    --------
    >>> from bigearth_xr.device import to_cpu
    >>> move(xr.DataArray([1, 2], dims="patch"), to_cpu).values
    array([1, 2])
    """
    if isinstance(labelled, xr.DataArray):
        return labelled.copy(deep=False, data=transfer(labelled.data))
    moved = {name: move(array, transfer) for name, array in labelled.data_vars.items() if array.dtype.kind in _NUMBERS}
    return labelled.assign(moved)


def view_in_cupy(tensor: Any) -> Array:
    """View a CUDA tensor as a CuPy array of the same memory, on the tensor's own device.

    What torch's current stream has been given is done before CuPy's current stream goes on.

    Raises
    ------
    DeviceError
        If CuPy is not installed or finds no GPU.
    """
    cupy = _cupy()
    with cupy.cuda.Device(tensor.device.index):
        array: Array = cupy.from_dlpack(tensor)
    return array


def _convert(array: Any, convert: Any, xp: ModuleType) -> Array:
    """Convert an array, or each block of a Dask array, of whose blocks Dask has to know the new kind."""
    if hasattr(array, "dask"):
        converted: Array = array.map_blocks(convert, dtype=array.dtype, meta=xp.empty((0,) * array.ndim, array.dtype))
    else:
        converted = convert(array)
    return converted


def _cupy() -> ModuleType:
    """Import CuPy, once it is certain that it has a GPU: without one it imports, and fails at its first array."""
    try:
        import cupy
    except ImportError as error:
        raise DeviceError(f"CuPy cannot be imported ({error}), and arrays move to a GPU with it; {_INSTALL}") from error
    try:
        found = cupy.cuda.is_available()
    except Exception as error:  # an old driver, or none
        raise DeviceError(f"CuPy cannot reach a GPU: {error}; check the driver with nvidia-smi") from error
    if not found:
        raise DeviceError("CuPy is installed and finds no GPU; check with nvidia-smi, or stay on the host")
    module: ModuleType = cupy
    return module
