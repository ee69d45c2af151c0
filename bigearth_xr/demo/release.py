"""The archives that a demo is given, and each on its way: ingested, verified, opened, selected from, measured."""

import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xarray as xr

from bigearth_xr.archive.names import archive_ending
from bigearth_xr.archive.scan import scan
from bigearth_xr.archive.source import FolderSource
from bigearth_xr.backend import open as open_store
from bigearth_xr.bands import BANDS
from bigearth_xr.errors import ArchiveError, BigEarthError, StoreError
from bigearth_xr.ingestion import IngestReport, ingest
from bigearth_xr.report.measures import FEW_PATCHES, MEASURES, by_label, by_patch
from bigearth_xr.store import open as stores
from bigearth_xr.verification import verify

_SHOWN_ROWS = 6
"""Patches, or labels of many patches, that the terminal shows; the page shows all."""

_WIDTH = 66
"""Letters of the names at the end of such a row."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Opened:
    """A release that went all the way to a Dataset."""

    report: IngestReport
    """What the ingest found and did."""

    listed: pa.Table | None
    """Place, country and split of every pair of the release, where its lists are at hand."""

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
        yield from zip(("compute", *[""] * _SHOWN_ROWS), _measures(ds), strict=False)


def archives_in(folder: Path) -> list[Path]:
    """Find the archives below a folder: itself, or, where it holds both releases, those of its folders that are one.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> both = getfixture("tmp_path")
    >>> _ = [bex.testing.write_archive(both / version, pairs=1, version=version) for version in ("v1", "v2")]
    >>> [archive.name for archive in archives_in(both)]
    ['v1', 'v2']
    """
    if len(scan(FolderSource(folder)).releases) < 2:
        return [folder]
    inside = [path for path in sorted(folder.glob("*/")) if _is_archive(path)]
    if not inside:
        raise ArchiveError(f"{folder} mixes patches of both releases in one folder; give the folder of one of them")
    return inside


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
    report = ingest(archive, _emptied(store), metadata=metadata, bands=_common_bands(archive))
    return Opened(report=report, listed=listed, ds=open_store(store))


def _common_bands(folder: Path) -> list[str]:
    """Name the bands that every patch of an archive has a file of, in the order of `bigearth_xr.bands.BANDS`."""
    source = FolderSource(folder)
    found = scan(source)
    places = {"s2": set(found.s2.values()), "s1": set(found.s1.values())}
    held: dict[str, list[set[str]]] = {"s2": [], "s1": []}
    for entry in source.folders():
        for sensor, paths in places.items():
            if entry.path in paths:
                held[sensor].append(
                    {(archive_ending(file.rpartition("_")[2]) or "").removesuffix(".tif") for file in entry.files}
                )
    common = {sensor: set.intersection(*sets) if sets else set() for sensor, sets in held.items()}
    return [band.name for band in BANDS if band.name in common[band.sensor]]


def _is_archive(folder: Path) -> bool:
    try:
        return len(scan(FolderSource(folder)).releases) == 1
    except ArchiveError:
        return False


def _emptied(store: Path) -> Path:
    """Remove the store of an earlier demo; anything else of that name is not ours to remove."""
    if store.exists():
        try:
            stores.open_store(store)
        except BigEarthError as error:
            raise StoreError(f"{store}: is in the way and no store ({error}); choose another --out") from None
        shutil.rmtree(store)
    return store


def _splits(listed: pa.Table) -> str:
    counted = pc.value_counts(listed["split"].combine_chunks()).to_pylist()
    counts = {entry["values"]: entry["counts"] for entry in counted}
    names = {"train": "train", "validation": "validation", "test": "test", None: "in no split"}
    return ", ".join(f"{name} {counts[split]:,}" for split, name in names.items() if split in counts)


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


def _measures(ds: xr.Dataset) -> Iterator[str]:
    """Head and rows of a table: of each of few patches, by label where there are many."""
    if ds.sizes["patch"] < FEW_PATCHES:
        rows: list[tuple[Mapping[str, float], str]] = [
            (medians, ", ".join(entry.labels or ("labels not known",))) for entry, medians in by_patch(ds)[:_SHOWN_ROWS]
        ]
        head = "median of each patch's pixels; all its labels"
    else:
        most_first = sorted(by_label(ds), key=attrgetter("patches"), reverse=True)
        rows = [
            (
                {name: float(np.median(values)) for name, values in one.medians.items()},
                f"{one.label} ({one.patches:,} patches)",
            )
            for one in most_first[:_SHOWN_ROWS]
        ]
        head = "median of the patches that bear a label, among others"
    known = [measure for measure in MEASURES if any(measure.name in medians for medians, _ in rows)]
    heads = [f"{measure.name}{'' if measure.index.units == '1' else f', {measure.index.units}'}" for measure in known]
    yield "  ".join([*heads, head])
    for medians, name in rows:
        numbers = (medians.get(measure.name, np.nan) for measure in known)
        cells = (f"{value:>{len(head)}.2f}" for value, head in zip(numbers, heads, strict=True))
        yield "  ".join([*cells, textwrap.shorten(name, _WIDTH, placeholder=" …")])
