"""View what another library has on a GPU as a CuPy array, without a copy."""

from typing import Any

from bigearth_xr.device.transfer import _cupy
from bigearth_xr.ops.namespace import Array

__all__ = ["view_in_cupy"]


def view_in_cupy(tensor: Any) -> Array:
    """View a CUDA tensor as a CuPy array of the same memory, on the tensor's own device.

    What torch's current stream has been given is done before CuPy's current stream goes on.

    Raises
    ------
    DeviceError
        If CuPy is not installed or finds no GPU.

    Examples
    --------
    >>> import torch  # doctest: +SKIP
    >>> view_in_cupy(torch.ones(2, device="cuda"))  # doctest: +SKIP
    array([1., 1.], dtype=float32)
    """
    cupy = _cupy()
    with cupy.cuda.Device(tensor.device.index):
        array: Array = cupy.from_dlpack(tensor)
    return array
