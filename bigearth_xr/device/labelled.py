"""Move what xarray labels: pixels travel, coordinates stay on the host, where indexes are."""

from collections.abc import Callable
from typing import TypeVar

import xarray as xr

from bigearth_xr.ops.namespace import Array

__all__ = ["move"]

Labelled = TypeVar("Labelled", xr.DataArray, xr.Dataset)

_NUMBERS = "biufc"


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
