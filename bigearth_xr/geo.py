"""One patch on the ground: its bands with the CRS and the coordinates of their pixels."""

import json
import os
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.core import indexing

from bigearth_xr import bands as band_facts
from bigearth_xr.backend.dataset import band_coordinates, pixel_attributes
from bigearth_xr.backend.origin import stored_source
from bigearth_xr.backend.pixels import StoredPixels
from bigearth_xr.bands import PATCH_SIDE_M
from bigearth_xr.errors import BandError, SelectionError
from bigearth_xr.image import image
from bigearth_xr.ops.resample import Resampling
from bigearth_xr.selection import narrowable
from bigearth_xr.spelling import check_choice
from bigearth_xr.store.read import read_column

__all__ = ["PixelSize", "patch"]

PixelSize = Literal[10, 20, 60]
"""Side of a pixel, metres."""

_MAP = "reference_map"
_GRID = "spatial_ref"
"""Coordinate that holds the CRS, by the convention of rioxarray and GDAL."""

_NEAR = 2000
"""Ids that are compared letter by letter with one that is unknown, at most."""


def patch(
    ds: xr.Dataset,
    id: str | None = None,
    bands: Iterable[str] | None = None,
    *,
    res_m: PixelSize = 10,
    resampling: Resampling | None = None,
) -> xr.DataArray:
    """Take one patch with its place; `Dataset.ben.patch` documents it."""
    check_choice("res_m", res_m, get_args(PixelSize), SelectionError)
    one = _chosen(ds, id)
    if isinstance(bands, str) and bands == _MAP:
        pixels = _map_of(one)
    elif res_m == 10:
        names = _all_bands(one) if bands is None else bands
        pixels = image(one, names, resampling)
    else:
        pixels = _as_stored(one, bands, res_m, resampling)
    alone = pixels.isel(patch=0) if "patch" in pixels.dims else pixels
    return _placed(alone.transpose("band", "y", "x"), one)


def _chosen(ds: xr.Dataset, id: Any) -> xr.Dataset:
    """The one patch that is asked for, along ``patch`` where the Dataset has that: so its pixels stay a store's own."""
    name = str(id.item()) if isinstance(id, xr.DataArray | np.ndarray) and id.size == 1 else id
    if "patch" not in ds.dims:
        if name is None or name in [*_names(ds, "patch"), *_names(ds, "s1_name")]:
            return ds
        alone = " ".join(_names(ds, "patch")) or "one patch"
        raise SelectionError(f"there is no patch {name!r}: the Dataset is of {alone} alone")
    if name is None:
        if ds.sizes["patch"] == 1:
            return ds
        raise SelectionError(f"the Dataset has {ds.sizes['patch']:,} patches; say which: ds.ben.patch(ds.patch[0])")
    if not isinstance(name, str):
        raise SelectionError(
            f"{id!r} is not the id of a patch, as {_example(ds)!r} is; by its place, ds.isel(patch=[3]).ben.patch()"
        )
    at = _places(ds, name)
    if at.size > 1:
        raise SelectionError(
            f"patch {name!r} is there {at.size} times, at {', '.join(map(str, at))}; take one by its place: "
            f"ds.isel(patch=[{at[0]}]).ben.patch()"
        )
    if not at.size:
        raise SelectionError(f"there is no patch {name!r} in this Dataset{_hint(ds, name)}")
    return narrowable(ds).isel(patch=[int(at[0])])


def _places(ds: xr.Dataset, name: str) -> NDArray[np.intp]:
    """Where a patch is, by the name of either half."""
    index = ds.indexes.get("patch")
    if index is not None and index.is_unique and name in index:
        return np.array([index.get_loc(name)], np.intp)
    for coordinate in ("patch", "s1_name"):
        at = np.flatnonzero([one == name for one in _names(ds, coordinate)])
        if at.size:
            return at
    return np.empty(0, np.intp)


def _names(ds: xr.Dataset, coordinate: str) -> list[str]:
    if coordinate not in ds.coords:
        return []
    return [str(name) for name in np.atleast_1d(ds[coordinate].values).tolist()]


def _example(ds: xr.Dataset) -> str:
    return next(iter(_names(ds, "patch")), "S2A_MSIL2A_20170613T101031_87_48")


def _hint(ds: xr.Dataset, name: str) -> str:
    """Where a patch is that is not here, or which ones are called nearly so."""
    for pixels in filter(None, (stored_source(ds[held]) for held in ("s2", "s1") if held in ds)):
        for column in ("patch", "s1_name"):
            rows = np.flatnonzero(read_column(pixels.store, column) == name)
            if rows.size:
                return (
                    f", though row {rows[0]} of {pixels.store.location} is; it was left out by a selection, or has no "
                    "pixels in the store: see bex.open(…, states='all').state"
                )
        break
    near = _nearest(name, [*_names(ds, "patch"), *_names(ds, "s1_name")])
    return f"; near it are {', '.join(near)}" if near else f"; an id looks like {_example(ds)}"


def _nearest(name: str, known: Sequence[str]) -> list[str]:
    """Ids of nearly the same letters, among those that begin or end alike: to compare with all takes minutes."""
    stem = os.path.basename(name)
    start, end = stem[:20], "_".join(stem.split("_")[-2:])
    alike = [one for one in known if one.endswith(end)] + [one for one in known if one.startswith(start)]
    candidates = alike if alike or len(known) > _NEAR else known
    return get_close_matches(stem, dict.fromkeys(candidates[:_NEAR]), n=3)


def _all_bands(one: xr.Dataset) -> list[str]:
    """Every band and polarization of a Dataset."""
    return [str(name) for dim in ("band", "polarization") if dim in one.coords for name in np.atleast_1d(one[dim])]


def _map_of(one: xr.Dataset) -> xr.DataArray:
    if _MAP not in one:
        raise BandError("the Dataset has no reference maps, which release v2 has; ask for bands")
    if not one.coords.get("has_reference_map", xr.DataArray(np.True_)).all():
        raise BandError(
            f"{' '.join(_names(one, 'patch'))} has no reference map, as its archive had none; ask for bands"
        )
    return one[_MAP].expand_dims(band=np.array([_MAP], object)).drop_vars(["label", "polarization"], errors="ignore")


def _as_stored(
    one: xr.Dataset, bands: Iterable[str] | None, res_m: PixelSize, resampling: Resampling | None
) -> xr.DataArray:
    """Bands of one pixel size, coarser than 10 m, as the store holds them."""
    if resampling is not None:
        raise BandError(f"resampling={resampling!r} brings bands to 10 m, and those of {res_m} m are given as stored")
    names = [name for name in _all_bands(one) if band_facts.band(name).res_m == res_m]
    asked = [band.name for band in band_facts.bands(names if bands is None else bands)]
    others = [name for name in asked if name not in names]
    if others or not asked:
        of_size = ", ".join(names) or "none"
        raise BandError(
            f"{', '.join(others) or 'no band'} of {res_m} m is not in this Dataset, whose bands of {res_m} m are "
            f"{of_size}; ask for these, or bring all to 10 m: res_m=10"
        )
    image(one, asked)  # refuses pixels of other rows than the patch's
    stored = stored_source(one["s2"])
    if stored is None or "row" not in one.coords:
        raise BandError(
            f"bands of {res_m} m need pixels as stored, but these were computed, loaded or joined; take them from the "
            "Dataset that bex.open gives"
        )
    return _native(stored, asked, one)


def _native(stored: StoredPixels, names: list[str], one: xr.Dataset) -> xr.DataArray:
    """Bands of one stored array, whole, whatever of the patch was kept."""
    array = band_facts.group_of(names[0]).array
    rows = np.atleast_1d(one["row"].values).astype(np.intp)
    pixels = StoredPixels(stored.store, rows, tuple(names), None, native=array)
    if one["s2"].chunks is None:
        data: Any = indexing.LazilyIndexedArray(pixels)
    else:
        from bigearth_xr.backend.patch_array import patch_array

        data = patch_array(pixels)
    identity = json.loads(one.attrs.get("bigearth", "{}")) | {"resampling": None}
    attributes = pixel_attributes(names) | {"bigearth": json.dumps(identity)}
    of_patch = {name: known.squeeze() for name, known in one.coords.items() if not {*known.dims} - {"patch"}}
    variable = xr.Variable(("patch", "band", "y", "x"), data, attributes)
    found = xr.DataArray(variable, coords=band_coordinates(names, "band"), name="image").isel(patch=0)
    return found.assign_coords({name: known.variable for name, known in of_patch.items()})


def _placed(pixels: xr.DataArray, one: xr.Dataset) -> xr.DataArray:
    """Give pixels their place: coordinates in metres of the CRS, at the centres of pixels, as rioxarray reads them."""
    epsg, ulx, uly = (_told(one, name) for name in ("epsg", "ulx", "uly"))
    names = [str(name) for name in pixels["band"].values]
    axes = {}
    for axis, corner, sign in (("x", ulx, 1), ("y", uly, -1)):
        size = pixels.sizes[axis]
        centres = (np.arange(size) + 0.5) * (PATCH_SIDE_M / size) * sign
        # A part of a patch has the coordinates of its pixels, from the patch's corner on.
        own = np.asarray(pixels[axis].values, np.float64) if axis in pixels.coords else centres
        axes[axis] = xr.Variable(axis, corner + own, _AXES[axis])
    # No GeoTransform: it would stay as it is where pixels are picked or averaged, and then be believed.
    known: dict[Any, Any] = {"patch": None, **pixels.coords, **axes, _GRID: xr.Variable((), 0, _grid_of(epsg))}
    coords = {name: value for name, value in known.items() if value is not None}  # the id first: plots show it
    placed = xr.DataArray(pixels.variable, coords, name=_MAP if names == [_MAP] else "image")
    placed.attrs = {**pixels.attrs, "long_name": tuple(names)}  # which rioxarray writes as descriptions of bands
    placed.encoding = {"grid_mapping": _GRID}
    return placed


_AXES = {
    axis: {
        "axis": axis.upper(),
        "long_name": f"{axis} coordinate of projection",
        "standard_name": f"projection_{axis}_coordinate",
        "units": "metre",
    }
    for axis in ("x", "y")
}


def _told(one: xr.Dataset, name: str) -> int:
    """A number that is known of the patch."""
    if name not in one.coords:
        raise SelectionError(
            f"the Dataset has no coordinate {name!r}, which says where the patch is; take the patch before dropping it"
        )
    return int(one[name].values.item())


@lru_cache(maxsize=64)
def _crs(epsg: int) -> tuple[tuple[str, Any], ...]:
    """A CRS as attributes: by CF, and as GDAL names it."""
    from pyproj import CRS

    known = CRS.from_epsg(epsg)
    return (*known.to_cf().items(), ("spatial_ref", known.to_wkt("WKT1_GDAL")))


def _grid_of(epsg: int) -> dict[str, Any]:
    return dict(_crs(epsg))
