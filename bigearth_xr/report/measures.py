"""Numbers by patch and by label, how green they are and how they scatter radar; and the axes that they are drawn on."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bigearth_xr.ops.spectral import INDICES, Index
from bigearth_xr.report.reading import Entry, missing_bands, read_entries, read_pixels

__all__ = ["FEW_PATCHES", "MEASURES", "by_label", "by_patch"]

FEW_PATCHES = 30
"""Patches below which a number by label, or a score, would tell of these few landscapes and of nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """An index, as a report shows it."""

    name: str
    """Short name, e.g. ``"NDVI"``."""

    index: Index
    """What it is."""

    reading: str
    """How to read it."""

    @property
    def meaning(self) -> str:
        """What it says, for a reader."""
        return f"{self.index.formula}: {self.reading}".replace(" - ", " − ")

    @property
    def digits(self) -> int:
        """Digits behind the point that are worth showing."""
        return 2 if self.index.units == "1" else 1


MEASURES = (
    Measure(
        name="NDVI",
        index=INDICES["ndvi"],
        reading="near 1 dense green, near 0 bare, below 0 water",
    ),
    Measure(
        name="VV − VH",
        index=INDICES["radar_ratio"],
        reading="low where plants scatter the wave, high on bare ground and calm water",
    ),
)
"""What a report measures, of each sensor one thing."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PatchMeasures:
    """What was measured on one patch."""

    entry: Entry
    """What else is known of it."""

    medians: Mapping[str, float]
    """Median of its finite pixels by name of the measure, where it has one."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spread:
    """How a measure varies over patches, each patch one number: the median of its pixels."""

    values: NDArray[np.float64]
    """One number per patch, ascending, finite; shape ``(patch,)``, not empty."""

    @property
    def quartiles(self) -> tuple[float, float, float]:
        """A quarter, half and three quarters of the patches lie below these."""
        low, median, high = np.quantile(self.values, [0.25, 0.5, 0.75])
        return float(low), float(median), float(high)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelStatistics:
    """What was measured on the patches that bear one label."""

    label: str
    """Name of the class."""

    patches: int
    """Patches that bear it."""

    spreads: Mapping[str, Spread]
    """By name of the measure, where any patch has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A stretch of values; positions along it are per cent of its length."""

    low: float
    """Value at its start, a multiple of the step."""

    high: float
    """Value at its end, a multiple of the step."""

    step: float
    """From one tick to the next."""

    def at(self, value: float) -> float:
        """Where a value is drawn, in per cent."""
        return 100 * (value - self.low) / (self.high - self.low)

    def ticks(self) -> Iterator[float]:
        """List the round values of the axis."""
        for count in range(round((self.high - self.low) / self.step) + 1):
            yield round(self.low + count * self.step, 9) + 0.0  # no −0


def axis_over(low: float, high: float) -> Axis:
    """Span values with round numbers, in five steps or fewer.

    Examples
    --------
    >>> list(axis_over(0.31, 0.72).ticks())
    [0.2, 0.4, 0.6, 0.8]
    """
    rough = max(high - low, 1e-6) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * times for times in (1, 2, 5, 10) if power * times >= rough)
    low, high = math.floor(low / step) * step, math.ceil(high / step) * step
    return Axis(low=low, high=high if high > low else low + step, step=step)


def axes_of(rows: Iterable[Mapping[str, float | Spread]]) -> dict[Measure, Axis]:
    """Span what rows of a chart show of each measure; a measure that no row has gets no axis."""
    values: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row.items():
            values.setdefault(name, []).extend(value.values[[0, -1]] if isinstance(value, Spread) else [value])
    known = (measure for measure in MEASURES if measure.name in values)
    return {measure: axis_over(min(values[measure.name]), max(values[measure.name])) for measure in known}


def by_patch(ds: xr.Dataset) -> tuple[PatchMeasures, ...]:
    """Measure every patch of a small Dataset, in its order; pixels are read chunk by chunk.

    Examples
    --------
    >>> s2 = (("patch", "band", "y", "x"), np.full((1, 2, 9, 9), 100))
    >>> ds = xr.Dataset({"s2": s2}, coords={"patch": ["a"], "band": ["B08", "B04"]})
    >>> by_patch(ds)[0].medians
    {'NDVI': 0.0}
    """
    return tuple(
        PatchMeasures(entry=entry, medians=medians)
        for entry, medians in zip(read_entries(ds), _measure_patches(ds), strict=True)
    )


def by_label(ds: xr.Dataset) -> tuple[LabelStatistics, ...]:
    """Measure every patch, and gather the numbers by label, in the order of ``ds.label``.

    A patch counts once for each of its labels: the numbers describe landscapes in which a class occurs, not the class
    alone.

    Examples
    --------
    >>> coords = {"patch": ["a"], "band": ["B08", "B04"], "label": ["Pastures"]}
    >>> s2 = (("patch", "band", "y", "x"), np.full((1, 2, 9, 9), 100))
    >>> ds = xr.Dataset({"s2": s2, "labels": (("patch", "label"), [[True]])}, coords=coords)
    >>> by_label(ds)[0].spreads["NDVI"].quartiles
    (0.0, 0.0, 0.0)
    """
    if "labels" not in ds:
        return ()
    measured = _measure_patches(ds)
    hot = ds["labels"].transpose("patch", "label").values
    return tuple(
        LabelStatistics(label=str(label), patches=int(bearers.sum()), spreads=_spreads(measured, bearers))
        for label, bearers in zip(ds["label"].values, hot.T, strict=True)
        if bearers.any()
    )


def _measure_patches(ds: xr.Dataset) -> list[dict[str, float]]:
    """Median of the finite pixels of each patch by measure; where there is none, nothing."""
    possible = [measure for measure in MEASURES if not missing_bands(ds, measure.index.bands)]
    measured = []
    for pixels in read_pixels(ds, {band for measure in possible for band in measure.index.bands}):
        medians = {}
        for measure in possible:
            values = np.asarray(measure.index.compute(*(pixels[band] for band in measure.index.bands)))
            finite = values[np.isfinite(values)]
            if finite.size:
                medians[measure.name] = float(np.median(finite))
        measured.append(medians)
    return measured


def _spreads(measured: Sequence[Mapping[str, float]], bearers: NDArray[np.bool_]) -> dict[str, Spread]:
    """Gather the numbers of some patches, where there are any."""
    some = [one for one, bears in zip(measured, bearers, strict=True) if bears]
    values = {measure.name: [one[measure.name] for one in some if measure.name in one] for measure in MEASURES}
    return {name: Spread(values=np.sort(numbers)) for name, numbers in values.items() if numbers}
