"""Every way of opening a store, and the pixels that each has to show."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

import bigearth_xr as bex
from bigearth_xr.backend.origin import own_rows
from bigearth_xr.store.open import Store
from bigearth_xr.store.read import read_column
from bigearth_xr.testing import formula_pixels

Opener = Callable[..., xr.Dataset]


def open_in_sevens(store: str | Path, **options: Any) -> xr.Dataset:
    """Open with stock Dask, 7 patches a chunk; xarray takes the 128 preferred for stored ones, and warns."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The specified chunks separate the stored chunks", UserWarning)
        return xr.open_dataset(store, engine="bigearth", chunks={"patch": 7}, **options)


OPENERS: dict[str, Opener] = {
    "no chunks": lambda store, **options: xr.open_dataset(store, engine="bigearth", **options),
    "chunks={}": lambda store, **options: xr.open_dataset(store, engine="bigearth", chunks={}, **options),
    "bex.open": bex.open,
}
CHUNKED_OPENERS: dict[str, Opener] = OPENERS | {"7 patches": open_in_sevens}
"""These, and one with other chunks than those preferred."""

KNOWING = ["no chunks", "bex.open"]
"""Openings whose arrays know their store, so that no other patch is read than asked for."""

ORDER = [7, 2, 11, 2, 0]
"""Rows of a store of 12 pairs, in no order, and one of them twice."""


def at_10m(patch: str, band_name: str) -> NDArray[np.generic]:
    """What a band of a patch has to be, each of its pixels repeated over those of 10 m."""
    native = formula_pixels(patch, band_name)
    factor = 120 // len(native)
    return np.kron(native, np.ones((factor, factor), native.dtype))


def of_patches(patches: xr.DataArray, band_names: list[str]) -> NDArray[np.generic]:
    """What these bands of these patches have to be, shape (patch, band, y, x)."""
    return np.stack([[at_10m(patch, name) for name in band_names] for patch in patches.values])


def is_known(array: xr.DataArray) -> bool:
    """Whether the array knows its rows; if so, they hold exactly its pixels."""
    own = own_rows(array)
    if own is None:
        return False
    np.testing.assert_array_equal(array, _in_store(*own))
    return True


def _in_store(store: Store, rows: Sequence[int], bands: Sequence[str]) -> NDArray[np.generic]:
    """Pixels of a store's rows at 10 m, from the formula: shape (patch, band, y, x)."""
    patches = read_column(store, "patch")[np.asarray(rows, dtype=int)]
    pixels = [[at_10m(patch, band) for band in bands] for patch in patches]
    return np.asarray(pixels).reshape(len(patches), len(bands), 120, 120)
