"""What a report says of one patch besides its pixels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

__all__ = ["Entry", "has_value", "read_entries"]

_FLAGS = {"seasonal_snow": "seasonal snow", "cloud_or_shadow": "cloud or shadow"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One patch, in words; a text is empty where nobody has told it."""

    patch: str
    """Patch id."""

    s1_name: str
    """Name of the Sentinel-1 partner."""

    tile: str
    """MGRS tile."""

    country: str
    """Country."""

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

    @property
    def place(self) -> str:
        """Country, tile and coordinates, as far as they are known."""
        known = [self.country, f"tile {self.tile}" if self.tile else ""]
        return " · ".join(filter(None, [*known, _degrees(self.lat, self.lon)]))


def read_entries(ds: xr.Dataset) -> tuple[Entry, ...]:
    """Read what the coordinates and labels of every patch of a small Dataset say.

    Examples
    --------
    >>> on_patch = {"patch": ["a"], "tile": ("patch", ["33UUP"])}
    >>> read_entries(xr.Dataset(coords=on_patch))[0].place
    'tile 33UUP'
    """
    columns = {str(name): coordinate.values for name, coordinate in ds.coords.items() if coordinate.dims == ("patch",)}
    if not columns.get("listed", np.True_).any():
        # Without any list, to be in none is no reason for care.
        columns = {name: column for name, column in columns.items() if name not in ("listed", "recommended")}
    rows = ({name: column[i] for name, column in columns.items()} for i in range(ds.sizes["patch"]))
    return tuple(_entry(row, labels) for row, labels in zip(rows, _labels(ds, columns), strict=True))


def has_value(text: object) -> bool:
    """Tell whether a text coordinate of a patch says something.

    Examples
    --------
    >>> has_value("Ireland"), has_value(""), has_value(None), has_value(float("nan"))
    (True, False, False, False)
    """
    return isinstance(text, str) and bool(text)


def _entry(row: dict[str, Any], labels: tuple[str, ...] | None) -> Entry:
    """Put a row of coordinates into words."""
    texts = {name: value for name, value in row.items() if has_value(value)}
    names = ("patch", "s1_name", "tile", "country", "split")
    return Entry(
        **{name: texts.get(name, "") for name in names},
        s2_time=_minute(row.get("s2_time")),
        s1_time=_minute(row.get("s1_time")),
        lon=float(row.get("lon", np.nan)),
        lat=float(row.get("lat", np.nan)),
        flags=tuple(_flags(row)),
        labels=labels,
    )


def _flags(row: dict[str, Any]) -> list[str]:
    """List the reasons for care; of a patch that no list names, only that is known."""
    if not row.get("listed", True):
        return ["in no published list"]
    raised = [text for name, text in _FLAGS.items() if row.get(name)]
    left_out = not row.get("recommended", True)
    return [*raised, *(["not recommended"] if left_out else [])]


def _labels(ds: xr.Dataset, columns: dict[str, Any]) -> list[tuple[str, ...] | None]:
    """Name the labels of each patch."""
    patches = ds.sizes["patch"]
    if "labels" not in ds:
        return [None] * patches
    names = ds["label"].values
    marks = ds["labels"].transpose("patch", "label").values
    known = columns.get("has_labels", np.ones(patches, np.bool_))
    return [
        tuple(names[mark].tolist()) if mark.any() or there else None for mark, there in zip(marks, known, strict=True)
    ]


def _minute(time: Any) -> str:
    """Write a time without its seconds."""
    if time is None or np.isnat(time):
        return ""
    return str(np.datetime64(time, "m")).replace("T", " ")


def _degrees(lat: float, lon: float) -> str:
    """Write coordinates to about a kilometre."""
    if not np.isfinite([lat, lon]).all():
        return ""
    north, east = "NS"[lat < 0], "EW"[lon < 0]
    return f"{abs(lat):.2f}°\N{NO-BREAK SPACE}{north}, {abs(lon):.2f}°\N{NO-BREAK SPACE}{east}"
