"""The Datasets that batches are made of."""

from collections.abc import Iterable, Sequence

import xarray as xr

from bigearth_xr.backend.resaved import as_opened
from bigearth_xr.errors import LoaderError

__all__ = ["datasets_of"]


def datasets_of(ds: xr.Dataset | Sequence[xr.Dataset]) -> list[xr.Dataset]:
    """List one Dataset or several, those that were saved and opened again as a store's own.

    Raises
    ------
    LoaderError
        If they are none, or have no patch.

    Examples
    --------
    >>> datasets_of(None)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    bigearth_xr.errors.LoaderError: expected Datasets with at least one patch along 'patch' each, ...
    """
    datasets = [ds] if isinstance(ds, xr.Dataset) else list(ds) if isinstance(ds, Iterable) else []
    if not datasets or not all(isinstance(one, xr.Dataset) and one.sizes.get("patch") for one in datasets):
        raise LoaderError(
            "expected Datasets with at least one patch along 'patch' each, as bex.open gives them; a single patch is "
            "ds.isel(patch=[0])"
        )
    return [as_opened(one) for one in datasets]
