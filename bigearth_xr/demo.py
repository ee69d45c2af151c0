"""The whole way on real patches, in a dozen lines on the terminal and one page to look at."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xarray as xr
from rich.console import Console
from rich.markup import escape

from bigearth_xr import table
from bigearth_xr.backend import open as open_store
from bigearth_xr.errors import BigEarthError, StoreError
from bigearth_xr.ingestion import IngestReport, ingest
from bigearth_xr.report import write_report
from bigearth_xr.report.statistics import LabelStatistics, by_label
from bigearth_xr.sample import sample_lists, unpack_sample
from bigearth_xr.store import read
from bigearth_xr.store.checks import verify

__all__ = ["run_demo"]

SHOWN_LABELS = 6
"""Labels that the terminal shows; the page shows all."""


def run_demo(archive: Path | None, out: Path, *, metadata: Sequence[Path] | None = None) -> Path:
    """Ingest, verify, open, select and compute, saying each step; write the page.

    Parameters
    ----------
    archive
        Folder of an archive; None for the six real pairs of the extra ``sample``.
    out
        Folder for the store, its table and ``report.html``; what an earlier demo left there is replaced.
    metadata
        As `bigearth_xr.ingest` takes it; the sample brings its own lists.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    ArchiveNotFoundError
        If there is no archive, or the sample is not installed.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> archive = bex.testing.write_archive(getfixture("tmp_path") / "archive", pairs=3)
    >>> page = run_demo(archive, getfixture("tmp_path") / "out")  # doctest: +ELLIPSIS
    archive ...
    >>> page.name
    'report.html'
    """
    say = Console(highlight=False, soft_wrap=True).print
    out.mkdir(parents=True, exist_ok=True)
    listed: pa.Table | None = None
    if archive is None:
        archive, metadata = unpack_sample(out / "archive"), [sample_lists()]
        listed = table.from_lists(sample_lists())
    store = _emptied(out / "demo.zarr")
    report = ingest(archive, store, metadata=metadata)
    ds = open_store(store)
    for step, text in _steps(report, listed, ds):
        say(f"[bold]{step:<8}[/bold] {escape(text)}")
    page = write_report(ds, out / "report.html", listed=listed, ingest=report)
    say(f"[bold]look at [/bold] {escape(str(page))}")
    say(f"[bold]go on   [/bold] import bigearth_xr as bex; ds = bex.open({str(store)!r})")
    if len(ds.patch) < 1000:
        say(f"[bold]mind    [/bold] {len(ds.patch)} patches show how it works; of land cover they prove nothing")
    return page


def _emptied(store: Path) -> Path:
    """Remove the store of an earlier demo; anything else of that name is not ours to remove."""
    if store.exists():
        try:
            read.open_store(store)
        except BigEarthError as error:
            raise StoreError(f"{store}: is in the way and no store ({error}); choose another --out") from None
        shutil.rmtree(store)
    return store


def _steps(report: IngestReport, listed: pa.Table | None, ds: xr.Dataset) -> Iterator[tuple[str, str]]:
    """Take each step when its turn comes, and say what it found."""
    problems = f", {len(report.failures)} of them incomplete" if report.failures else ""
    yield "archive", f"{report.archive}: {report.found} patches of {report.release}{problems}"
    if listed is not None:
        yield "table", f"{listed.num_rows:,} pairs in the published lists: {_splits(listed)}"
    yield "ingest", f"{report.written} patches into {report.store} ({report.profile}), values exact"
    checked = verify(report.store)
    yield "verify", f"{'sound' if checked.sound else 'NOT SOUND'}: {checked.checked} checksums, table and columns agree"
    yield "open", f"{_dims(ds)}: {ds.nbytes / 1e6:.0f} MB, lazy; nothing read yet"
    yield "select", _selection(ds)
    statistics = sorted(by_label(ds), key=lambda one: -one.patches)[:SHOWN_LABELS]
    for statistic, step in zip(statistics, ("compute", *[""] * SHOWN_LABELS), strict=False):
        yield step, _measures(statistic)


def _splits(listed: pa.Table) -> str:
    counts = pc.value_counts(listed["split"].combine_chunks()).to_pylist()
    return ", ".join(f"{entry['values'] or 'none'} {entry['counts']:,}" for entry in counts)


def _dims(ds: xr.Dataset) -> str:
    pixels = [f"{name} {' × '.join(map(str, ds[name].shape))}" for name in ("s2", "s1", "reference_map") if name in ds]
    return ", ".join(pixels)


def _selection(ds: xr.Dataset) -> str:
    """Select by the most common label and country: something that is there, whatever the archive."""
    counts = ds.labels.values.sum(axis=0)
    if not counts.any():
        return "no patch has labels; give the archive's metadata to have them"
    label = str(ds.label.values[counts.argmax()])
    countries, patches = np.unique(ds.country.values.astype(str), return_counts=True)
    criteria: dict[str, str] = {"any_label": label}
    if country := str(countries[patches.argmax()]):
        criteria["country"] = country
    try:
        kept = len(ds.ben.select(**criteria).patch)
    except BigEarthError:
        kept = 0
    call = ", ".join(f"{name}={value!r}" for name, value in criteria.items())
    return f"ds.ben.select({call}) keeps {kept} of {len(ds.patch)}"


def _measures(statistic: LabelStatistics) -> str:
    spreads = ", ".join(f"{name} {spread.quartiles[1]:5.2f}" for name, spread in statistic.spreads.items())
    label = statistic.label if len(statistic.label) <= 40 else f"{statistic.label[:39]}…"
    return f"{label:<40} {statistic.patches:>3} patches  {spreads} (medians)"
