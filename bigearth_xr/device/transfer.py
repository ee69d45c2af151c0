"""Move arrays between host and GPU, at once or, for Dask arrays, block by block when they are computed."""

from types import ModuleType
from typing import Any

import numpy as np

from bigearth_xr.errors import DeviceError
from bigearth_xr.ops.namespace import Array

__all__ = ["gpu_available", "on_gpu", "to_cpu", "to_gpu"]

_INSTALL = "pip install 'bigearth-xr[cuda12]', or [cuda13] where nvidia-smi says CUDA 13"
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


def _convert(array: Any, convert: Any, xp: ModuleType) -> Array:
    """Convert an array, or each block of a Dask array, whose blocks Dask must be told the new kind of."""
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
