"""Numbers by patch and by label: how green they are, and how they scatter radar."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bigearth_xr.ops.namespace import Array
from bigearth_xr.ops.spectral import normalized_difference, radar_ratio_db
from bigearth_xr.report.entry import Entry, read_entries
from bigearth_xr.report.pixels import missing_bands, read_chunks

__all__ = [
    "FEW_PATCHES",
    "MEASURES",
    "LabelStatistics",
    "Measure",
    "PatchMeasures",
    "Spread",
    "by_label",
    "by_patch",
]

FEW_PATCHES = 30
"""Patches below which a number by label, or a score, would tell of these few landscapes and of nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A number that two bands give for every pixel."""

    name: str
    """Short name, e.g. ``"NDVI"``."""

    meaning: str
    """What it tells, for a reader."""

    units: str
    """``"1"`` or ``"dB"``."""

    bands: tuple[str, str]
    """The two bands, in the order of the function."""

    function: Callable[[Array, Array], Array]
    """Gives the measure of every pixel."""


MEASURES: tuple[Measure, ...] = (
    Measure(
        name="NDVI",
        meaning="(B08 − B04) / (B08 + B04): near 1 dense green, near 0 bare, below 0 water",
        units="1",
        bands=("B08", "B04"),
        function=normalized_difference,
    ),
    Measure(
        name="VV − VH",
        meaning="radar ratio: low where plants scatter the wave, high on bare ground and calm water",
        units="dB",
        bands=("VV", "VH"),
        function=radar_ratio_db,
    ),
)
"""What a report measures, of each sensor one thing."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PatchMeasures:
    """What was measured on one patch."""

    entry: Entry
    """What else is known of it."""

    medians: Mapping[str, float]
    """Median of its finite pixels by name of the measure; those that have none, or whose bands are missing, are not
    there."""


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
    """By name of the measure; those whose bands are missing are not there."""


def by_patch(ds: xr.Dataset) -> tuple[PatchMeasures, ...]:
    """Measure every patch of a small Dataset.

    Parameters
    ----------
    ds
        With any of ``s2``, ``s1`` and ``labels``; read chunk by chunk.

    Returns
    -------
    tuple of PatchMeasures
        One for each patch, in the order of the Dataset.

    Examples
    --------
    >>> s2 = (("patch", "band", "y", "x"), np.full((1, 2, 9, 9), 100))
    >>> ds = xr.Dataset({"s2": s2}, coords={"patch": ["a"], "band": ["B08", "B04"]})
    >>> by_patch(ds)[0].medians
    {'NDVI': 0.0}
    """
    measured = _measure_patches(ds)
    return tuple(
        PatchMeasures(
            entry=entry,
            medians={name: float(values[place]) for name, values in measured.items() if np.isfinite(values[place])},
        )
        for place, entry in enumerate(read_entries(ds))
    )


def by_label(ds: xr.Dataset) -> tuple[LabelStatistics, ...]:
    """Measure every patch, and gather the numbers by label.

    A patch counts once for each of its labels: the numbers describe landscapes in which
    a class occurs, not the class alone.

    Parameters
    ----------
    ds
        With ``labels`` and at least one of ``s2`` and ``s1``; read chunk by chunk.

    Returns
    -------
    tuple of LabelStatistics
        One for each label that a patch bears, in the order of ``ds.label``.

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
    marks = ds["labels"].transpose("patch", "label").values
    return tuple(
        LabelStatistics(
            label=str(label),
            patches=int(bearers.sum()),
            spreads=dict(_spreads(measured, bearers)),
        )
        for label, bearers in zip(ds["label"].values, marks.T, strict=True)
        if bearers.any()
    )


def _measure_patches(ds: xr.Dataset) -> dict[str, NDArray[np.float64]]:
    """Give each patch its number, by measure; NaN where no pixel has one."""
    possible = [measure for measure in MEASURES if not missing_bands(ds, measure.bands)]
    measured = {measure.name: np.full(ds.sizes["patch"], np.nan) for measure in possible}
    for chunk in read_chunks(ds, {band for measure in possible for band in measure.bands}):
        for measure in possible:
            a, b = (chunk.bands[band] for band in measure.bands)
            values = np.asarray(measure.function(a, b))
            measured[measure.name][chunk.patches] = [_median(patch) for patch in values]
    return measured


def _median(pixels: NDArray[np.generic]) -> float:
    """Take the median of the finite pixels."""
    finite = pixels[np.isfinite(pixels)]
    return float(np.median(finite)) if finite.size else np.nan


def _spreads(measured: Mapping[str, NDArray[np.float64]], bearers: NDArray[np.bool_]) -> Iterator[tuple[str, Spread]]:
    """Gather the numbers of some patches, where there are any."""
    for name, values in measured.items():
        finite = values[bearers & np.isfinite(values)]
        if finite.size:
            yield name, Spread(values=np.sort(finite))
