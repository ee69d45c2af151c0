"""Choose patches by what is known of them, without touching a pixel."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bigearth_xr import grid, releases
from bigearth_xr.bbox import Bbox, checked_bbox, footprints_intersect
from bigearth_xr.errors import LabelError, SelectionError
from bigearth_xr.spelling import did_you_mean

__all__ = ["Bbox", "select"]

Mask = NDArray[np.bool_]
Texts = str | Iterable[str]
Datetime = str | slice | tuple[str | None, str | None]


def select(
    ds: xr.Dataset,
    *,
    split: str | None = None,
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
    """Keep the patches that meet every criterion given; `Dataset.ben.select` documents them.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> ds = bex.open(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=20))
    >>> set(select(ds, split="train").split.values)
    {'train'}
    """
    if recommended is None and split is not None:
        recommended = True
    flags = {"seasonal_snow": seasonal_snow, "cloud_or_shadow": cloud_or_shadow, "recommended": recommended}
    texts = {"country": country, "season": season, "tile": tile}
    masks: dict[str, Mask] = {}
    if split is not None:
        masks[f"split={split!r}"] = _is_one_of(ds, "split", releases.normalize_split(split))
    for name, wanted in texts.items():
        if wanted is not None:
            masks[f"{name}={wanted!r}"] = _is_one_of(ds, name, wanted)
    if any_label is not None:
        masks[f"any_label={any_label!r}"] = np.any(_labels(ds, any_label), axis=1)
    if all_labels is not None:
        masks[f"all_labels={all_labels!r}"] = np.all(_labels(ds, all_labels), axis=1)
    if bbox is not None:
        masks[f"bbox={bbox}"] = _meets(ds, bbox)
    if datetime is not None:
        masks[f"datetime={datetime!r}"] = _sensed_in(ds, datetime)
    for name, flag in flags.items():
        if flag is not None and flag != "any":
            # A flag that nobody has told reads as False: it is no more "not snowy" than snowy.
            masks[f"{name}={flag}"] = (_known(ds, name) == flag) & _known(ds, "listed")
    return _kept(ds, masks)


def _kept(ds: xr.Dataset, masks: Mapping[str, Mask]) -> xr.Dataset:
    kept = np.ones(ds.sizes["patch"], dtype=bool)
    for mask in masks.values():
        kept &= mask
    if not kept.any():
        alone = ", ".join(f"{criterion} keeps {mask.sum():,}" for criterion, mask in masks.items())
        raise SelectionError(
            f"no patch of {kept.size:,} meets every criterion; each alone: {alone}; loosen one of them"
        )
    return ds if kept.all() else _narrowable(ds).isel(patch=np.flatnonzero(kept))


def _narrowable(ds: xr.Dataset) -> xr.Dataset:
    """Where pixels are stock Dask arrays, make them ours: a scattered selection then reads no whole chunks."""
    if not any(variable.chunks for variable in ds.variables.values()):
        return ds
    from bigearth_xr.backend.patches import with_patch_arrays

    return with_patch_arrays(ds)


def _known(ds: xr.Dataset, coordinate: str) -> NDArray[Any]:
    if coordinate not in ds.coords:
        raise SelectionError(
            f"the Dataset has no coordinate {coordinate!r}, it has {', '.join(map(str, ds.coords))}; select before "
            "dropping it"
        )
    return np.asarray(ds[coordinate].values)


_PUBLISHED = {"country": releases.COUNTRIES, "season": releases.SEASONS}


def _is_one_of(ds: xr.Dataset, coordinate: str, wanted: Texts) -> Mask:
    """Where a text coordinate is one of those wanted; a text that can never be there is an error."""
    values = _known(ds, coordinate)
    names = _listed(wanted)
    existing = _PUBLISHED.get(coordinate) or tuple(sorted(set(values) - {""}))
    for name in names:
        if coordinate != "split" and name not in existing:
            raise SelectionError(
                f"there is no {coordinate} {name!r}; known are {', '.join(existing)}{did_you_mean(name, existing)}"
            )
    return np.isin(values.astype(str), names)


def _labels(ds: xr.Dataset, wanted: Texts) -> Mask:
    """Truth of each wanted label, shape ``(patch, wanted)``."""
    if "labels" not in ds:
        raise SelectionError("the Dataset has no variable 'labels'; select before dropping it")
    known, names = [str(name) for name in ds["label"].values], _listed(wanted)
    for name in names:
        if name not in known:
            raise LabelError(
                f"{name!r} is no label of this Dataset's {len(known)} classes{did_you_mean(name, known)}; "
                "names of the other nomenclature need another open(nomenclature=…)"
            )
    return np.asarray(ds["labels"].values)[:, [known.index(name) for name in names]]


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
    if isinstance(datetime, slice):
        start, stop = datetime.start, datetime.stop
    elif isinstance(datetime, tuple):
        start, stop = datetime
    else:
        start, _, stop = datetime.partition("/") if "/" in datetime else (datetime, "/", datetime)
    times = _known(ds, "s2_time")
    mask = np.ones(times.shape, dtype=bool)
    if start not in (None, "", ".."):
        mask &= times >= _period(start, datetime).start_time.to_datetime64()
    if stop not in (None, "", ".."):
        mask &= times <= _period(stop, datetime).end_time.to_datetime64()
    return mask


def _period(text: object, datetime: Datetime) -> pd.Period:
    """The time that a text means: ``"2017-06"`` is all of June."""
    try:
        moment = pd.Timestamp(str(text))
        # A period has no time zone: it would take 12:00+02:00 for noon.
        return pd.Period(str(text)) if moment.tz is None else pd.Period(moment.tz_convert(None), freq="s")
    except ValueError:
        raise SelectionError(
            f"datetime {datetime!r} is no time or interval; expected e.g. '2017-06', '2017-06-13/2017-08-31' or "
            "'../2018-01-01', UTC"
        ) from None


def _listed(texts: Texts) -> list[str]:
    return [texts] if isinstance(texts, str) else list(texts)
