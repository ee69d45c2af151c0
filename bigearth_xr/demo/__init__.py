"""The whole way on real patches: from TIFFs to neighbours and a catalogue, and a page to look at."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import dask
import dask.threaded
import pyarrow as pa
from rich.console import Console
from rich.markup import escape

from bigearth_xr import table
from bigearth_xr.demo.catalogue import CatalogueBuild
from bigearth_xr.demo.learning import Lesson, learn
from bigearth_xr.demo.release import Opened, archives_in, open_release
from bigearth_xr.report import Catalogue, write_report
from bigearth_xr.report.page import templates
from bigearth_xr.sample import sample_lists, unpack_sample

__all__ = ["run_demo"]

LISTED = ("tile", "column", "tile_row", "country", "split")
"""What the page says of pairs that are listed and not opened."""


def run_demo(archive: Path | None, out: Path, *, metadata: Sequence[Path] | None = None) -> list[Path]:
    """Ingest, verify, open, select, compute, train, embed, search, saying each step; write a page a release.

    Parameters
    ----------
    archive
        Folder of an archive, or of one of each release; None for the six real pairs of the extra ``sample``.
    out
        Folder for stores, tables, catalogue and pages; what an earlier demo left there is replaced.
    metadata
        As `bigearth_xr.ingest` takes it; the sample brings its own lists.

    Returns
    -------
    list of Path
        The pages: ``report.html``, or ``report-v1.html`` and ``report-v2.html``.

    Raises
    ------
    ArchiveNotFoundError
        If there is no archive, or the sample is not installed.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> archive = bex.testing.write_archive(getfixture("tmp_path") / "archive", pairs=3)
    >>> pages = run_demo(archive, getfixture("tmp_path") / "out")  # doctest: +ELLIPSIS
    archive ...
    >>> pages[0].name
    'report.html'
    """
    templates()  # without jinja2 there would be no page
    found = None if archive is None else archives_in(archive)
    out.mkdir(parents=True, exist_ok=True)
    releases: list[Opened] = []
    # With its scheduler given, dask does not import distributed.
    with CatalogueBuild(out / "catalogue") as cataloguing, dask.config.set(scheduler=dask.threaded.get):
        for release in _open(found, out, metadata, cataloguing):
            if not releases:
                cataloguing.search(release.ds.isel(patch=0))
            releases.append(release)
            _say(*release.steps())
        lesson = learn(releases)
        _say(*lesson.steps)
        catalogue = cataloguing.result()
        _say(("search", "no catalogue: it needs the extra 'stac'" if catalogue is None else _tell_search(catalogue)))
        pages = [_write_page(release, out, lesson, catalogue, alone=len(releases) == 1) for release in releases]
        patches = sum(len(release.ds.patch) for release in releases)
        if patches < 1000:
            _say(("mind", f"{patches} patches show how it works; of land cover, or of a model, they prove nothing"))
        return pages


def _open(
    found: Sequence[Path] | None, out: Path, metadata: Sequence[Path] | None, cataloguing: CatalogueBuild
) -> Iterator[Opened]:
    """Open each release when its turn comes; what the first is of is catalogued as soon as it can be."""
    if found is None:
        listed = _read_sample_lists()
        cataloguing.start(sample_lists())
        sample = unpack_sample(out / "archive")
        yield open_release(sample, out / "demo.zarr", metadata=[sample_lists()], listed=listed)
        return
    for path in found:
        store = out / ("demo.zarr" if len(found) == 1 else f"demo-{path.name}.zarr")
        release = open_release(path, store, metadata=metadata)
        if path == found[0]:
            cataloguing.start(store)
        yield release


def _read_sample_lists() -> pa.Table:
    """Read the lists before anything else does, which is remembered: unpacking them takes seconds, as does torch."""
    with ThreadPoolExecutor(max_workers=1) as beside:
        reading = beside.submit(table.read_lists, [sample_lists()])
        if find_spec("torch") is not None:
            import torch  # noqa: F401
        _, columns = reading.result()
    return pa.table({name: columns[name] for name in LISTED})


def _tell_search(catalogue: Catalogue) -> str:
    return f"STAC catalogue of {catalogue.items:,} items; {catalogue.search}: {len(catalogue.found):,} found"


def _write_page(release: Opened, out: Path, lesson: Lesson, catalogue: Catalogue | None, *, alone: bool) -> Path:
    name = "report.html" if alone else f"report-{release.report.release}.html"
    page = write_report(release.ds, out / name, listed=release.listed, ingest=release.report,
                        learned=lesson.learned, catalogue=catalogue)  # fmt: skip
    _say(("look at", str(page)), ("go on", f"import bigearth_xr as bex; ds = bex.open({str(release.report.store)!r})"))
    return page


def _say(*steps: tuple[str, str]) -> None:
    # A console each time: standard output may have been replaced since, as in tests and notebooks.
    console = Console(highlight=False, soft_wrap=True)
    for step, text in steps:
        console.print(f"[bold]{step:<8}[/bold] {escape(text)}")
