"""The whole way on real patches: from TIFFs to neighbours and a catalogue, and a page to look at."""

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
from rich.console import Console
from rich.markup import escape

from bigearth_xr import table
from bigearth_xr.demo.archives import archives_in
from bigearth_xr.demo.catalogue import build_and_search
from bigearth_xr.demo.learning import learn
from bigearth_xr.demo.release import Opened, open_release
from bigearth_xr.report import write_report
from bigearth_xr.sample import sample_lists, unpack_sample

__all__ = ["run_demo"]


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
    found = None if archive is None else archives_in(archive)
    out.mkdir(parents=True, exist_ok=True)
    releases = []
    for release in _open(found, out, metadata):
        releases.append(release)
        for step, text in release.steps():
            _say(step, text)
    lesson = learn(releases)
    for step, text in lesson.steps:
        _say(step, text)
    source = sample_lists() if archive is None else Path(releases[0].report.store.address)
    catalogue = None
    if find_spec("pystac") is None:
        _say("search", "no catalogue: it needs the extra 'stac'")
    else:
        catalogue, said = build_and_search(source, out / "catalogue", releases[0].ds.isel(patch=0))
        _say("search", said)
    pages = []
    for release in releases:
        name = "report.html" if len(releases) == 1 else f"report-{release.report.release}.html"
        page = write_report(release.ds, out / name, listed=release.listed, ingest=release.report,
                            learned=lesson.learned, catalogue=catalogue)  # fmt: skip
        pages.append(page)
        _say("look at", str(page))
        _say("go on", f"import bigearth_xr as bex; ds = bex.open({str(release.report.store)!r})")
    patches = sum(len(release.ds.patch) for release in releases)
    if patches < 1000:
        _say("mind", f"{patches} patches show how it works; of land cover, or of a model, they prove nothing")
    return pages


def _open(found: Sequence[Path] | None, out: Path, metadata: Sequence[Path] | None) -> Iterator[Opened]:
    """Open each release when its turn comes."""
    if found is None:
        listed: pa.Table = table.from_lists(sample_lists())
        sample = unpack_sample(out / "archive")
        yield open_release(sample, out / "demo.zarr", metadata=[sample_lists()], listed=listed)
        return
    for path in found:
        store = out / ("demo.zarr" if len(found) == 1 else f"demo-{path.name}.zarr")
        yield open_release(path, store, metadata=metadata)


def _say(step: str, text: str) -> None:
    # A console each time: standard output may have been replaced since, as in tests and notebooks.
    Console(highlight=False, soft_wrap=True).print(f"[bold]{step:<8}[/bold] {escape(text)}")
