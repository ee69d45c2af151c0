"""Bands of both sensors as one image, in the order asked for."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from xarray.core import indexing

from bigearth_xr import bands as band_facts
from bigearth_xr.backend.dataset import band_coordinates, pixel_attributes
from bigearth_xr.backend.origin import own_pixels
from bigearth_xr.backend.pixels import StoredPixels, c_ordered, row_numbers
from bigearth_xr.errors import BandError, StoreError
from bigearth_xr.ops.resample import Resampling, check_resampling

__all__ = ["image"]

_DIM = {"s2": "band", "s1": "polarization"}


def image(ds: xr.Dataset, bands: Iterable[str], resampling: Resampling | None = None) -> xr.DataArray:
    """Stack bands and polarizations along ``band``; `Dataset.ben.image` documents it."""
    if resampling is not None:
        check_resampling(resampling)
    # The elements of a DataArray are DataArrays, not names.
    wanted = bands.values.tolist() if isinstance(bands, xr.DataArray) else bands
    names = [band.name for band in band_facts.bands(wanted)]
    sources = {sensor: ds[sensor] for sensor in _sensors(ds, names)}
    own = {sensor: own_pixels(array) for sensor, array in sources.items()}
    stored = [pixels for pixels in own.values() if pixels is not None]
    if len(stored) == len(sources):
        variable = _from_store(ds, names, stored, resampling, lazy=not _is_dask(sources))
    else:
        variable = _from_values(sources, names, resampling)
    coordinates: dict[Any, Any] = {
        name: coordinate for name, coordinate in ds.coords.items() if not {*coordinate.dims} - {"patch", "y", "x"}
    }
    return xr.DataArray(variable, coords=coordinates | band_coordinates(names, "band"), name="image")


def _sensors(ds: xr.Dataset, names: list[str]) -> list[str]:
    """The variables that hold these bands, or an error that says which are missing."""
    if not names:
        raise BandError("no band asked for; give at least one, e.g. bands=['B04', 'B03', 'B02']")
    there = [str(name) for sensor, dim in _DIM.items() if sensor in ds for name in np.atleast_1d(ds[dim].values)]
    missing = [name for name in names if name not in there]
    if missing:
        raise BandError(
            f"{', '.join(missing)} not in this Dataset, which holds {', '.join(there)}; ask for these, or ingest the "
            "archive with the missing bands"
        )
    wanted = {band_facts.band(name).sensor for name in names}
    return [sensor for sensor in _DIM if sensor in wanted]  # s2 first: the image is resampled as it is


def _is_dask(sources: dict[str, xr.DataArray]) -> bool:
    return any(hasattr(array.variable._data, "dask") for array in sources.values())


def _from_store(
    ds: xr.Dataset, names: list[str], stored: list[StoredPixels], resampling: Resampling | None, *, lazy: bool
) -> xr.Variable:
    """Start again from the store with the bands in their new order: each patch is read once an array."""
    first = stored[0]
    _check_rows(ds, stored)
    # Opened with dtype="float32".
    wider = any(pixels.dtype != replace(pixels, whole_dtype=None).dtype for pixels in stored)
    widened = np.dtype("float32") if wider else None
    pixels = StoredPixels(first.store, first.rows, tuple(names), resampling or first.resampling, whole_dtype=widened)
    if lazy:
        data: Any = indexing.LazilyIndexedArray(pixels)
    else:
        from bigearth_xr.backend.patch_array import patch_array

        data = patch_array(pixels)
    return xr.Variable(("patch", "band", "y", "x"), data, _attributes(ds, names, pixels.resampling))


def _check_rows(ds: xr.Dataset, stored: list[StoredPixels]) -> None:
    """Refuse pixels that are not those of the patches they are labelled with."""
    if len({pixels.store.uuid for pixels in stored}) > 1:
        raise StoreError(
            f"s2 and s1 come from two stores, {' and '.join(str(pixels.store.location) for pixels in stored)}; make an "
            "image of each and concatenate these"
        )
    rows = ds["row"].values if "row" in ds.coords else row_numbers(stored[0].rows)
    if not all(np.array_equal(row_numbers(pixels.rows), rows) for pixels in stored):
        raise StoreError(
            "s2, s1 and the coordinate 'row' are not of the same rows of the store; select patches on the whole "
            "Dataset, not on one variable"
        )


def _from_values(sources: dict[str, xr.DataArray], names: list[str], resampling: Resampling | None) -> xr.Variable:
    """Stack values that were computed: they are at 10 m already, and resampled as they are."""
    if resampling is not None:
        raise BandError(
            f"resampling={resampling!r} needs pixels as stored, but these were computed, or chosen from stock Dask "
            f"arrays; open the store with resampling={resampling!r} instead"
        )
    alike = [_bands_of(array, _DIM[sensor], names) for sensor, array in sources.items()]
    stacked = xr.concat(alike, dim="band", coords="minimal", compat="override", join="exact", combine_attrs=_joint)
    # One patch alone, as `sel(patch=id)` gives it, has no such dimension.
    chosen = stacked.sel(band=names).transpose("patch", "band", "y", "x", missing_dims="ignore").variable
    # NumPy puts the axis that a list of names indexes first in memory.
    if isinstance(chosen._data, np.ndarray):
        return chosen.copy(data=c_ordered(chosen._data))
    # One chunk of bands, as an image from the store has: xarray saves no chunks of two sizes.
    return chosen.chunk({"band": -1}) if chosen.chunks else chosen


def _joint(attributes: Sequence[Mapping[str, Any]], context: object = None) -> dict[str, Any]:
    """Attributes of arrays together: all that do not conflict, a unit only where each has it, every source."""
    first = {name: value for each in reversed(attributes) for name, value in each.items()}
    alike = {name: value for name, value in first.items() if all(each.get(name, value) == value for each in attributes)}
    if not all("units" in each for each in attributes):
        alike.pop("units", None)
    sources = dict.fromkeys(each["source"] for each in attributes if "source" in each)
    return alike | ({"source": "; ".join(sources)} if sources else {})


def _bands_of(array: xr.DataArray, dim: str, names: list[str]) -> xr.DataArray:
    """Those of the named bands that are here, along ``band``; the others are not even read."""
    array = array if dim in array.dims else array.expand_dims(dim)
    here = array.sel({dim: np.isin(array[dim].values.astype(object).astype(str), names)})
    return here.rename({dim: "band"}).drop_vars(["wavelength_nm", "native_res_m"], errors="ignore")


def _attributes(ds: xr.Dataset, names: list[str], resampling: Resampling | None) -> dict[str, str]:
    identity = json.loads(ds.attrs.get("bigearth", "{}")) | {"resampling": resampling}
    return pixel_attributes(names) | {"bigearth": json.dumps(identity)}
