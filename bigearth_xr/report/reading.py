"""What a report reads of a Dataset: words on each patch, and pixels one chunk of patches at a time."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

CHUNK_PATCHES = 128
"""Patches in memory at once: the chunk that the engine prefers."""

REFERENCE_MAP = "reference_map"

_VARIABLES = {"band": "s2", "polarization": "s1"}
"""Variable that holds the bands of a dimension."""

_FLAGS = {"seasonal_snow": "seasonal snow", "cloud_or_shadow": "cloud or shadow"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One patch, in words; a text is empty where it is not known."""

    patch: str
    """Patch id."""

    tile: str
    """MGRS tile."""

    place: str
    """Country, tile and coordinates, as far as they are known."""

    split: str
    """Published split."""

    s2_time: str
    """Sensing time of Sentinel-2, UTC, to the minute."""

    s1_time: str
    """Sensing time of Sentinel-1, UTC, to the minute."""

    lon: float
    """Longitude of the centre, degrees east."""

    lat: float
    """Latitude of the centre, degrees north."""

    flags: tuple[str, ...]
    """Reasons for care, e.g. ``"seasonal snow"``."""

    labels: tuple[str, ...] | None
    """Names of its classes; None where they are not known."""


def read_entries(ds: xr.Dataset) -> tuple[Entry, ...]:
    """Read what the coordinates and labels of every patch of a small Dataset say."""
    columns = {str(name): coordinate.values for name, coordinate in ds.coords.items() if coordinate.dims == ("patch",)}
    if not columns.get("listed", np.True_).any():
        # Without any list, to be in none is no reason for care.
        columns = {name: column for name, column in columns.items() if name not in ("listed", "recommended")}
    rows = ({name: column[i] for name, column in columns.items()} for i in range(ds.sizes["patch"]))
    return tuple(_entry(row, labels) for row, labels in zip(rows, _labels(ds, columns), strict=True))


def has_value(text: object) -> bool:
    """Whether a text coordinate of a patch says something: neither empty nor missing."""
    return isinstance(text, str) and bool(text)


def missing_bands(ds: xr.Dataset, names: Iterable[str]) -> tuple[str, ...]:
    """Which bands a Dataset lacks, in the order asked for."""
    present = {name for dim in _VARIABLES for name in _names_along(ds, dim)}
    return tuple(name for name in names if name not in present)


def spread_out(ds: xr.Dataset, count: int) -> xr.Dataset:
    """Choose patches evenly over a Dataset, which follows tile and date, so that they are far apart on the ground."""
    patches = ds.sizes["patch"]
    if patches <= count:
        return ds
    return ds.isel(patch=np.linspace(0, patches - 1, count).round().astype(np.intp))


def read_pixels(ds: xr.Dataset, names: Collection[str]) -> Iterator[dict[str, NDArray[Any]]]:
    """Read bands, and the `REFERENCE_MAP`, of every patch, shape ``(y, x)`` each, as far as the Dataset has them.

    One chunk of patches is held at a time.
    """
    for first in range(0, ds.sizes["patch"], CHUNK_PATCHES):
        chunk = ds.isel(patch=slice(first, first + CHUNK_PATCHES))
        pixels: dict[str, NDArray[Any]] = {}
        for dim, variable in _VARIABLES.items():
            wanted = [name for name in _names_along(chunk, dim) if name in names]
            if wanted:
                values = chunk[variable].sel({dim: wanted}).transpose("patch", dim, "y", "x").values
                pixels |= {name: values[:, number] for number, name in enumerate(wanted)}
        if REFERENCE_MAP in names and REFERENCE_MAP in chunk:
            pixels[REFERENCE_MAP] = chunk[REFERENCE_MAP].values
        yield from ({name: values[i] for name, values in pixels.items()} for i in range(chunk.sizes["patch"]))


def _names_along(ds: xr.Dataset, dim: str) -> tuple[str, ...]:
    """Name the bands along a dimension, none where there are no pixels of them."""
    return tuple(ds[dim].values.tolist()) if _VARIABLES[dim] in ds else ()


def _entry(row: dict[str, Any], labels: tuple[str, ...] | None) -> Entry:
    """Put a row of coordinates into words."""
    patch, tile, country, split = (
        row[name] if has_value(row.get(name)) else "" for name in ("patch", "tile", "country", "split")
    )
    lon, lat = (float(row.get(name, np.nan)) for name in ("lon", "lat"))
    return Entry(
        patch=patch,
        tile=tile,
        place=" · ".join(filter(None, [country, f"tile {tile}" if tile else "", _degrees(lat, lon)])),
        split=split,
        s2_time=_minute(row.get("s2_time")),
        s1_time=_minute(row.get("s1_time")),
        lon=lon,
        lat=lat,
        flags=tuple(_flags(row)),
        labels=labels,
    )


def _flags(row: dict[str, Any]) -> list[str]:
    """List the reasons for care; of a patch that no list names, only that is known."""
    if not row.get("listed", True):
        return ["in no published list"]
    raised = [text for name, text in _FLAGS.items() if row.get(name)]
    return raised if row.get("recommended", True) else [*raised, "not recommended"]


def _labels(ds: xr.Dataset, columns: dict[str, Any]) -> list[tuple[str, ...] | None]:
    """Name the labels of each patch."""
    patches = ds.sizes["patch"]
    if "labels" not in ds:
        return [None] * patches
    hot = ds["labels"].transpose("patch", "label").values
    known = columns.get("has_labels", np.ones(patches, np.bool_))
    names = (tuple(ds["label"].values[row].tolist()) for row in hot)
    return [labels if labels or is_known else None for labels, is_known in zip(names, known, strict=True)]


def _minute(time: Any) -> str:
    """Write a time without its seconds."""
    return "" if time is None or np.isnat(time) else str(np.datetime64(time, "m")).replace("T", " ")


def _degrees(lat: float, lon: float) -> str:
    """Write coordinates to about a kilometre."""
    if not np.isfinite([lat, lon]).all():
        return ""
    return f"{abs(lat):.2f}°\N{NO-BREAK SPACE}{'NS'[lat < 0]}, {abs(lon):.2f}°\N{NO-BREAK SPACE}{'EW'[lon < 0]}"
