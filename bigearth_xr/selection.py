"""Choose patches by what is known of them, without touching a pixel."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bigearth_xr import grid
from bigearth_xr.criteria import (
    Bbox,
    Datetime,
    Texts,
    checked_bbox,
    checked_interval,
    checked_names,
    footprints_intersect,
    label_hint,
    listed_names,
)
from bigearth_xr.errors import LabelError, SelectionError

__all__ = ["narrowable", "select"]

Mask = NDArray[np.bool_]

_FROM_LISTS = {"split", "country", "seasonal_snow", "cloud_or_shadow", "recommended"}

_YES = xr.DataArray(np.True_)


def select(
    ds: xr.Dataset,
    *,
    split: Texts | None = None,
    country: Texts | None = None,
    season: Texts | None = None,
    tile: Texts | None = None,
    any_label: Texts | None = None,
    all_labels: Texts | None = None,
    bbox: Bbox | None = None,
    datetime: Datetime | None = None,
    seasonal_snow: bool | None = None,
    cloud_or_shadow: bool | None = None,
    recommended: bool | Literal["any"] | None = None,
) -> xr.Dataset:
    """Keep the patches that meet every criterion given; `Dataset.ben.select` documents them."""
    if "patch" not in ds.dims:
        raise SelectionError("the Dataset has no dimension 'patch' to select along; keep it: ds.isel(patch=[0])")
    if recommended is None and split is not None:
        recommended = True
    flags = {"seasonal_snow": seasonal_snow, "cloud_or_shadow": cloud_or_shadow, "recommended": recommended}
    texts = {"split": split, "country": country, "season": season, "tile": tile}
    labels = {"any_label": any_label, "all_labels": all_labels}
    masks: dict[str, Mask] = {}
    for name, wanted in (texts | labels).items():
        if wanted is not None:
            names = listed_names(name, wanted)
            masks[f"{name}={names[0] if len(names) == 1 else names!r}"] = _is_named(ds, name, names)
    if bbox is not None:
        masks[f"bbox={bbox}"] = _meets(ds, bbox)
    if datetime is not None:
        masks[f"datetime={datetime!r}"] = _sensed_in(ds, datetime)
    for name, flag in flags.items():
        if flag is not None and not (name == "recommended" and flag == "any"):
            masks[f"{name}={flag}"] = _is_flagged(ds, name, flag)
    return _kept(ds, masks)


def _kept(ds: xr.Dataset, masks: Mapping[str, Mask]) -> xr.Dataset:
    kept = np.ones(ds.sizes["patch"], dtype=bool)
    for mask in masks.values():
        kept &= mask
    if not kept.any():
        alone = ", ".join(f"{criterion} keeps {mask.sum():,}" for criterion, mask in masks.items())
        unknown = _unknown(ds, masks)
        remedy = f"{unknown} of any patch, ingest with metadata=…" if unknown else "loosen one of them"
        raise SelectionError(f"no patch of {kept.size:,} meets every criterion; each alone: {alone}; {remedy}")
    return ds if kept.all() else narrowable(ds).isel(patch=np.flatnonzero(kept))


def _unknown(ds: xr.Dataset, criteria: Iterable[str]) -> str:
    """Those of the criteria that are not known of any patch."""
    names = [criterion.partition("=")[0] for criterion in criteria]
    if set(names) & {"any_label", "all_labels"} and not ds.coords.get("has_labels", _YES).values.any():
        return "nobody told the labels"
    if ds.coords.get("listed", _YES).values.any():
        return ""
    listed = " or ".join(name for name in names if name in _FROM_LISTS)
    return f"no list told {listed}" if listed else ""


def narrowable(ds: xr.Dataset) -> xr.Dataset:
    """Where pixels are stock Dask arrays, make them ours: a scattered selection then reads no whole chunks."""
    if not any(variable.chunks for variable in ds.variables.values()):
        return ds
    from bigearth_xr.backend.patch_array import with_patch_arrays

    return with_patch_arrays(ds)


def _known(ds: xr.Dataset, coordinate: str) -> NDArray[Any]:
    if coordinate not in ds.coords:
        raise SelectionError(
            f"the Dataset has no coordinate {coordinate!r}, it has {', '.join(map(str, ds.coords))}; select before "
            "dropping it"
        )
    return np.asarray(ds[coordinate].values)


def _is_named(ds: xr.Dataset, criterion: str, names: list[str]) -> Mask:
    """Where a criterion that is given by names is met."""
    if criterion in ("any_label", "all_labels"):
        meets = np.any if criterion == "any_label" else np.all
        mask: Mask = np.asarray(meets(_labels(ds, names), axis=1))
        return mask
    values = _known(ds, criterion)
    return np.isin(
        values.astype(object).astype(str), checked_names(criterion, names, set(values) if criterion == "tile" else ())
    )


def _labels(ds: xr.Dataset, names: list[str]) -> Mask:
    """Truth of each wanted label, shape ``(patch, wanted)``."""
    if "labels" not in ds:
        raise SelectionError("the Dataset has no variable 'labels'; select before dropping it")
    known = [str(name) for name in ds["label"].values]
    for name in names:
        if name not in known:
            raise LabelError(
                f"{name!r} is not a label of this Dataset's {len(known)} classes{label_hint(name, known)}; "
                "names of the other nomenclature need another open(nomenclature=…)"
            )
    return np.asarray(ds["labels"].values)[:, [known.index(name) for name in names]]


def _is_flagged(ds: xr.Dataset, name: str, flag: object) -> Mask:
    """Where a list says so; a flag that is not known reads as False, which does not mean "not snowy"."""
    if not isinstance(flag, bool | np.bool_):
        choices = "True, False, None or 'any'" if name == "recommended" else "True, False or None"
        raise SelectionError(f"{name} is {flag!r}, expected {choices}")
    mask: Mask = (_known(ds, name) == flag) & _known(ds, "listed")
    return mask


def _meets(ds: xr.Dataset, bbox: Bbox) -> Mask:
    """Where a footprint intersects a box of longitude and latitude; only candidates are projected."""
    west, south, east, north = checked_bbox(bbox)
    lon, lat = _known(ds, "lon"), _known(ds, "lat")
    # A patch reaches 850 m from its centre: less than 0.01° of latitude, 0.03° of longitude up to 75° N.
    near = (lat > south - 0.02) & (lat < north + 0.02)
    if west <= east:
        near &= (lon > west - 0.05) & (lon < east + 0.05)
    places = np.flatnonzero(near)
    corners = grid.corners_lonlat(*(_known(ds, name)[places] for name in ("epsg", "ulx", "uly")))
    meets = np.zeros(near.shape, dtype=bool)
    meets[places] = footprints_intersect(corners, bbox)
    return meets


def _sensed_in(ds: xr.Dataset, datetime: Datetime) -> Mask:
    """Where Sentinel-2 saw the patch within an interval, both ends included."""
    first, stop = checked_interval(datetime)
    times = _known(ds, "s2_time")
    mask = np.ones(times.shape, dtype=bool)
    if first is not None:
        mask &= times >= first
    if stop is not None:
        mask &= times < stop
    return mask
