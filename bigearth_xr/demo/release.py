"""One archive on its way: ingested, verified, opened, selected from, measured."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xarray as xr

from bigearth_xr.backend import open as open_store
from bigearth_xr.demo.archives import common_bands
from bigearth_xr.errors import BigEarthError, StoreError
from bigearth_xr.ingestion import IngestReport, ingest
from bigearth_xr.report.statistics import LabelStatistics, by_label
from bigearth_xr.store import read
from bigearth_xr.verification import verify

__all__ = ["Opened", "open_release"]

SHOWN_LABELS = 4
"""Labels that the terminal shows; the page shows all."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Opened:
    """A release that went all the way to a Dataset."""

    report: IngestReport
    """What the ingest found and did."""

    listed: pa.Table | None
    """The table of the whole release, where its lists are at hand."""

    ds: xr.Dataset
    """The store, opened."""

    def steps(self) -> Iterator[tuple[str, str]]:
        """Take each step when its turn comes, and say what it found: name and text."""
        report, ds = self.report, self.ds
        problems = f", {len(report.failures)} more or incomplete" if report.failures else ""
        yield "archive", f"{report.archive}: {report.found} pairs of {report.release}{problems}"
        if self.listed is not None:
            yield "table", f"{self.listed.num_rows:,} pairs in the published lists: {_splits(self.listed)}"
        yield "ingest", f"{report.written} pairs into {report.store} ({report.profile}), values exact"
        checked = verify(report.store)
        outcome = "sound" if checked.sound else "NOT SOUND"
        yield "verify", f"{outcome}: {checked.checked} checksums; table and columns agree"
        yield "open", f"{_shapes(ds)}: {ds.nbytes / 1e6:.0f} MB, lazy"
        yield "select", _selection(ds)
        statistics = sorted(by_label(ds), key=lambda one: -one.patches)[:SHOWN_LABELS]
        for statistic, step in zip(statistics, ("compute", *[""] * SHOWN_LABELS), strict=False):
            yield step, _measures(statistic)


def open_release(
    archive: Path, store: Path, *, metadata: Sequence[Path] | None, listed: pa.Table | None = None
) -> Opened:
    """Ingest an archive, as far as its patches have their bands in common, and open the store.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> archive = bex.testing.write_archive(getfixture("tmp_path") / "archive", pairs=3)
    >>> [step for step, _ in open_release(archive, getfixture("tmp_path") / "demo.zarr", metadata=None).steps()][:4]
    ['archive', 'ingest', 'verify', 'open']
    """
    report = ingest(archive, _emptied(store), metadata=metadata, bands=common_bands(archive))
    return Opened(report=report, listed=listed, ds=open_store(store))


def _emptied(store: Path) -> Path:
    """Remove the store of an earlier demo; anything else of that name is not ours to remove."""
    if store.exists():
        try:
            read.open_store(store)
        except BigEarthError as error:
            raise StoreError(f"{store}: is in the way and no store ({error}); choose another --out") from None
        shutil.rmtree(store)
    return store


def _splits(listed: pa.Table) -> str:
    counts = pc.value_counts(listed["split"].combine_chunks()).to_pylist()
    return ", ".join(f"{entry['values'] or 'none'} {entry['counts']:,}" for entry in counts)


def _shapes(ds: xr.Dataset) -> str:
    pixels = [f"{name} {' × '.join(map(str, ds[name].shape))}" for name in ("s2", "s1", "reference_map") if name in ds]
    return ", ".join(pixels)


def _selection(ds: xr.Dataset) -> str:
    """Select by the most common label and country: something that is there, whatever the archive."""
    counts = ds.labels.values.sum(axis=0)
    if not counts.any():
        return "no patch has labels; give the archive's metadata to have them"
    criteria: dict[str, str] = {"any_label": str(ds.label.values[counts.argmax()])}
    bearers = ds.ben.select(**criteria)
    countries, patches = np.unique(bearers.country.values.astype(str), return_counts=True)
    if country := str(countries[patches.argmax()]):
        criteria["country"] = country
    kept = len(ds.ben.select(**criteria).patch)
    call = ", ".join(f"{name}={value!r}" for name, value in criteria.items())
    return f"ds.ben.select({call}) keeps {kept} of {len(ds.patch)}"


def _measures(statistic: LabelStatistics) -> str:
    spreads = ", ".join(f"{name} {spread.quartiles[1]:5.2f}" for name, spread in statistic.spreads.items())
    label = statistic.label if len(statistic.label) <= 40 else f"{statistic.label[:39]}…"
    return f"{label:<40} {statistic.patches:>3} patches  {spreads} (medians)"
