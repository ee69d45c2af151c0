"""Tell which stored pixels an array still is, by asking the array itself.

Attributes and encoding survive arithmetic, `where` and `concat`, so they prove nothing. What proves it is that the
array is one of ours, indexed and nothing else.
"""

from typing import Any

import numpy as np
import xarray as xr
from xarray.core import indexing

from bigearth_xr.backend.pixels import StoredPixels, row_numbers

__all__ = ["own_pixels", "stored_source"]

_WRAPPERS = (
    indexing.MemoryCachedArray,
    indexing.CopyOnWriteArray,
    indexing.ImplicitToExplicitIndexingAdapter,
)
"""What xarray puts around a lazily indexed array without touching values; others compute, as `decode_cf` does."""


def own_rows(variable: xr.Variable | xr.DataArray) -> tuple[Any, Any, tuple[str, ...]] | None:
    """Tell the store, rows and bands that a variable holds unchanged.

    Parameters
    ----------
    variable
        Any variable, lazily indexed, Dask-backed or in memory.

    Returns
    -------
    tuple or None
        ``(store, rows, bands)``: rows of the store, shape ``(patch,)``, and band names, in the variable's order; None
        where the values are computed, cropped in y or x, loaded, or not from a store at all.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> ds = bex.open(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> own_rows(ds.s1.isel(patch=[2, 0]))[1:]
    (array([2, 0]), ('VV', 'VH'))
    >>> own_rows(ds.s1 + 1) is None
    True
    """
    pixels = own_pixels(variable)
    return None if pixels is None else (pixels.store, row_numbers(pixels.rows), pixels.bands)


def own_pixels(variable: xr.Variable | xr.DataArray) -> StoredPixels | None:
    """Find the stored pixels that a variable is, whole in y and x, or None."""
    data = variable.variable._data if isinstance(variable, xr.DataArray) else variable._data
    found = _of_dask(data) if hasattr(data, "dask") else _of_lazy(data)
    whole = found is not None and found.window is None and found.shape == variable.shape
    return found if whole else None


def stored_source(variable: xr.Variable | xr.DataArray) -> StoredPixels | None:
    """Find the stored pixels that all values of a variable are among, however it was indexed, or None."""
    data: Any = variable.variable._data if isinstance(variable, xr.DataArray) else variable._data
    if hasattr(data, "dask"):
        source = getattr(data, "source", None)
        return source if isinstance(source, StoredPixels) else _of_opened(data)
    while isinstance(data, _WRAPPERS):
        data = data.array
    if not isinstance(data, indexing.LazilyIndexedArray | indexing.LazilyVectorizedIndexedArray):
        return None
    found: Any = data.array
    return found if isinstance(found, StoredPixels) else None


def _of_dask(data: Any) -> StoredPixels | None:
    source = getattr(data, "source", None)
    if isinstance(source, StoredPixels):  # one of our PatchArrays
        return None if data.fixed else source
    return _of_opened(data)


def _of_opened(data: Any) -> StoredPixels | None:
    """Unwrap what ``chunks={}`` makes: xarray's graph of one source and the reads of its chunks, nothing more."""
    layers = data.dask.layers
    source = layers.get(f"original-{data.name}")
    if source is None or set(layers) != {data.name, f"original-{data.name}"}:
        return None
    return _of_lazy(next(iter(source.values())))


def _of_lazy(data: Any) -> StoredPixels | None:
    """Peel xarray's wrappers off a lazily indexed array, and apply its key to the rows and bands."""
    while isinstance(data, _WRAPPERS):
        data = data.array
    if not isinstance(data, indexing.LazilyIndexedArray) or not isinstance(data.array, StoredPixels):
        return None
    key = data.key.tuple
    if any(np.ndim(k) != 1 and not isinstance(k, slice) for k in key):
        return None
    return data.array.narrow(key)
