"""Apply pure functions of pixels to a DataArray, whatever holds its values: NumPy, Dask or CuPy."""

from collections.abc import Callable, Hashable, Iterable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import DTypeLike

from bigearth_xr import bands as band_facts
from bigearth_xr.bands import GROUPS
from bigearth_xr.errors import BandError

__all__ = ["BAND_DIMS", "apply", "band_dim", "band_names"]

BAND_DIMS = ("band", *(group.dim for group in GROUPS))
"""What the dimension that runs over bands may be called: those of images, of Datasets and of stored arrays."""

_ENCODED_VALUES = ("dtype", "scale_factor", "add_offset", "_FillValue", "missing_value", "_Unsigned")
"""How values are packed in a file; wrong once there are others."""


def band_dim(array: xr.DataArray) -> str:
    """Find the dimension of an array that runs over bands, or ran until one was selected.

    Raises
    ------
    BandError
        If there is none, or more than one.
    """
    named = [dim for dim in BAND_DIMS if dim in array.coords]
    # `ds.sel(band="B04").s1` carries both names, and runs over polarizations.
    found = [dim for dim in named if dim in array.dims] or named
    if len(found) != 1:
        raise BandError(
            f"this array names its bands by {' and '.join(found) or 'no coordinate'}, expected one of "
            f"{', '.join(BAND_DIMS)}; take it from ds.ben.image(…), ds.s2 or ds.s1, or name its bands: "
            "array.assign_coords(band=['B04', 'VV'])"
        )
    return found[0]


def band_names(array: xr.DataArray) -> tuple[str, ...]:
    """Name the bands of an array in their order, also where one was selected.

    Raises
    ------
    BandError
        If the array does not say, or names an unknown band.
    """
    names = np.atleast_1d(array[band_dim(array)].values)
    return tuple(band.name for band in band_facts.bands(str(name) for name in names))


def apply(
    function: Callable[..., Any],
    array: xr.DataArray,
    *others: xr.Variable,
    core: tuple[str, ...],
    outer: Iterable[str] = (),
    dtype: DTypeLike | None = None,
) -> xr.DataArray:
    """Apply a function of arrays; the result keeps name, dims, coordinates, attributes and encoding.

    Parameters
    ----------
    function
        Takes the values of ``array`` and of ``others`` in blocks, gives values of the same shape as the former.
    array
        Of any dims, in any order.
    others
        What the function takes beside pixels, NumPy; dims that they share with ``array`` are cut into its blocks, and
        those of their own are whole and last.
    core, outer
        Dimensions that the function needs, whole and last, or in blocks and before. One that ``array`` lacks has
        length 1 for the function.
    dtype
        Data type of the result; by default that of ``array``.

    Returns
    -------
    xarray.DataArray
        Lazy where ``array`` is a Dask array; where it is not, computed.

    Examples
    --------
    >>> array = xr.DataArray(np.uint16([[1, 2], [3, 4]]), dims=["y", "x"], attrs={"units": "1"})
    >>> apply(lambda pixels: pixels[..., ::-1], array, core=("y",)).values
    array([[3, 4],
           [1, 2]], dtype=uint16)
    """
    dtype = np.dtype(dtype or array.dtype)
    added = tuple(dim for dim in (*outer, *core) if dim not in array.dims)
    whole = array.variable.set_dims((*added, *array.dims))

    def core_of(other: xr.Variable) -> tuple[Hashable, ...]:
        return (*(dim for dim in core if dim in other.dims), *(dim for dim in other.dims if dim not in whole.dims))

    lazy = {"meta": whole.data._meta.astype(dtype), "allow_rechunk": True} if whole.chunks else None
    result = xr.apply_ufunc(
        function,
        whole,
        *others,
        input_core_dims=[core, *map(core_of, others)],
        output_core_dims=[core],
        dask="parallelized",
        dask_gufunc_kwargs=lazy,
    )
    applied = array.copy(deep=False, data=result.transpose(*whole.dims).squeeze(added).data)
    if dtype != array.dtype:
        applied.encoding = {name: how for name, how in array.encoding.items() if name not in _ENCODED_VALUES}
    return applied
