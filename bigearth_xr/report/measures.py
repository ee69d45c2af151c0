"""How green patches are and how they scatter radar, by patch and by label; and the axes to draw that on."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from bigearth_xr.ops.spectral import INDICES, Index
from bigearth_xr.report.reading import Entry, missing_bands, read_entries, read_pixels

__all__ = ["FEW_PATCHES", "MEASURES", "by_label", "by_patch"]

FEW_PATCHES = 30
"""Patches below which a number by label, or a score, would tell of these few landscapes and of nothing else."""


@dataclass(frozen=True, slots=True)
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
    Measure("NDVI", INDICES["ndvi"], "near 1 dense green, near 0 bare, below 0 water"),
    Measure("VV − VH", INDICES["radar_ratio"], "low where plants scatter the wave, high on bare ground and calm water"),
)
"""What a report measures, of each sensor one thing."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelMeasures:
    """What was measured on the patches that bear one label."""

    label: str
    """Name of the class."""

    patches: int
    """Patches that bear it."""

    medians: Mapping[str, NDArray[np.float64]]
    """By name of the measure, where any patch has one: median of each patch's pixels, ascending, shape ``(patch,)``."""


@dataclass(frozen=True, slots=True)
class Axis:
    """A stretch of values."""

    low: float
    """Value at its start, a multiple of the step."""

    high: float
    """Value at its end, a multiple of the step."""

    step: float
    """From one tick to the next."""

    def at(self, value: float) -> float:
        """Where a value is drawn, in per cent of the axis' length."""
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
    return Axis(low, high if high > low else low + step, step)


def axes_of(rows: Iterable[Mapping[str, ArrayLike]]) -> dict[Measure, Axis]:
    """Span what rows of a chart show of each measure, a number or several; one that no row has gets no axis."""
    values: dict[str, list[float]] = {}
    for row in rows:
        for name, numbers in row.items():
            values.setdefault(name, []).extend(np.ravel(numbers).tolist())
    known = (measure for measure in MEASURES if measure.name in values)
    return {measure: axis_over(min(values[measure.name]), max(values[measure.name])) for measure in known}


def by_patch(ds: xr.Dataset) -> list[tuple[Entry, dict[str, float]]]:
    """Measure every patch of a small Dataset: the median of its finite pixels by name of the measure."""
    return list(zip(read_entries(ds), _medians(ds), strict=True))


def by_label(ds: xr.Dataset) -> list[LabelMeasures]:
    """Measure every patch, and gather the medians by label, in the order of ``ds.label``.

    A patch counts once for each of its labels: the numbers describe landscapes in which a class occurs, not the class
    alone.
    """
    if "labels" not in ds:
        return []
    medians = _medians(ds)
    measured = {measure.name: np.array([one.get(measure.name, np.nan) for one in medians]) for measure in MEASURES}
    gathered = []
    for label, bearers in zip(
        ds["label"].values, ds["labels"].transpose("label", "patch").values.astype(bool), strict=True
    ):
        known = {name: np.sort(values[bearers & ~np.isnan(values)]) for name, values in measured.items()}
        if bearers.any():
            medians_of_label = {name: some for name, some in known.items() if some.size}
            gathered.append(LabelMeasures(label=str(label), patches=int(bearers.sum()), medians=medians_of_label))
    return gathered


def quartiles(values: NDArray[np.float64]) -> list[float]:
    """A quarter, half and three quarters of the values lie below these."""
    three: list[float] = np.quantile(values, [0.25, 0.5, 0.75]).tolist()
    return three


def _medians(ds: xr.Dataset) -> list[dict[str, float]]:
    """Median of the finite pixels of each patch by measure; where there is none, nothing. Reads chunk by chunk."""
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
