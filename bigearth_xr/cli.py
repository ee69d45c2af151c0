"""The command line: ``bigearth demo | download | ingest | info | verify | upgrade``.

Exit codes: 0 all is well; 1 a patch, file, archive or store is not as it should be; 2 the command could not be carried
out. A quarantined patch is not a failure of ``ingest`` unless ``--strict`` says so; an archive cut short is one.
"""

import sys
from os.path import expanduser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.console import Console
from rich.markup import escape

from bigearth_xr.errors import BigEarthError, DependencyError, SelectionError

if TYPE_CHECKING:
    from bigearth_xr.ingestion import IngestReport
    from bigearth_xr.ingestion.api import Client

__all__ = ["main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="BigEarthNet as an array database: from the archive's GeoTIFFs to one store, opened lazily by xarray.",
)

terminal = Console(highlight=False, soft_wrap=True)

Archives = Annotated[
    list[str],
    typer.Argument(
        help="The archive, v1 or v2: a folder, tars (.tar, .tar.gz, .tar.zst) or their parts (.tar.gzaa, …), an LMDB, "
        "addresses of tars, or - for standard input."
    ),
]
StoreFolder = Annotated[str, typer.Argument(help="The store: a folder, e.g. ben.zarr, or s3://bucket/ben.zarr.")]


def main() -> None:
    """Run a command; what goes wrong is said in words, not shown as a traceback."""
    try:
        app()
    except (BigEarthError, OSError) as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"[red]error:[/red] {escape(str(error))}")
        sys.exit(2)


Lists = Annotated[
    list[Path] | None,
    typer.Option(help="Metadata parquet of v2 (twice for both), or folder of lists. Default: inside the archive."),
]
Workers = Annotated[int, typer.Option(help="Processes at most.")]
Report = Annotated[Path | None, typer.Option(help="Write the account of every patch here, as JSON.")]


@app.command()
def ingest(
    archive: Archives,
    store: StoreFolder,
    metadata: Lists = None,
    sensors: Annotated[str, typer.Option(help="Sensors to store, by comma.")] = "s1,s2",
    bands: Annotated[str | None, typer.Option(help="Bands to store, by comma. Default: all of the sensors.")] = None,
    rows: Annotated[str, typer.Option(help="'found', or 'listed' for a row for every listed pair too.")] = "found",
    profile: Annotated[str | None, typer.Option(help="'fast' (raw) or 'compact' (compressed).")] = None,
    workers: Workers = 8,
    scheduler: Annotated[str | None, typer.Option(help="A Dask scheduler, whose workers write instead.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 if any patch could not be stored.")] = False,
    report: Report = None,
) -> None:
    """Convert an archive into a store, exactly, without unpacking it; continues where an earlier run ended."""
    from bigearth_xr.ingestion import ingest as run

    report = _prepare(report)
    done = run(
        archive,
        store,
        metadata=metadata,
        sensors=_names(sensors),  # type: ignore[arg-type]  # checked by ingest, which names the choices
        bands=None if bands is None else _names(bands),
        rows=rows,  # type: ignore[arg-type]  # likewise
        profile=profile,  # type: ignore[arg-type]  # likewise
        workers=workers,
        client=None if scheduler is None else _connect(scheduler),
    )
    _tell(done, report)
    if done.is_cut_short or (strict and done.left_out):
        raise typer.Exit(1)


@app.command()
def download(
    release: Annotated[str, typer.Argument(help="'v1' (BigEarthNet-MM) or 'v2' (reBEN).")],
    to: Annotated[Path, typer.Option(help="Folder for the files.")],
    parts: Annotated[
        str | None, typer.Option(help="s1, s2, maps, metadata, by comma. Default: all that the release has.")
    ] = None,
    source: Annotated[
        str | None, typer.Option("--from", help="Address of a folder with copies. Default: as published.")
    ] = None,
    parallel: Annotated[int, typer.Option(help="Connections at a time.")] = 4,
    retries: Annotated[int, typer.Option(help="Failures in a row before giving up.")] = 8,
) -> None:
    """Fetch the published files and check their md5; continues where an earlier run ended."""
    from bigearth_xr.download import RetryPolicy
    from bigearth_xr.download import download as run
    from bigearth_xr.download.fetch import outcome_table

    report = run(
        release,  # type: ignore[arg-type]  # checked by download, which names the choices
        to,
        parts=None if parts is None else _names(parts),  # type: ignore[arg-type]  # likewise
        source=source,
        parallel=parallel,
        retry=RetryPolicy(retries=retries),
    )
    terminal.print(outcome_table(report))
    _print_failures(report.failures)
    terminal.print(escape(report.summary()))
    if not report.complete:
        raise typer.Exit(1)


@app.command()
def info(store: StoreFolder) -> None:
    """Say what a store holds: release, counts, size, arrays."""
    from bigearth_xr.store.create import describe

    for name, text in describe(store).items():
        terminal.print(f"[bold]{name:<8}[/bold] {escape(text)}")


@app.command()
def verify(
    store: StoreFolder,
    against: Annotated[
        list[str] | None, typer.Option(help="Its archive, to compare with: whatever ingest takes; repeatable.")
    ] = None,
    metadata: Annotated[list[Path] | None, typer.Option(help="As for ingest: tells by name what is lacking.")] = None,
    sample: Annotated[int, typer.Option(help="Patches to compare with the archive.")] = 1000,
    full: Annotated[bool, typer.Option("--full", help="Compare every patch.")] = False,
    seed: Annotated[int, typer.Option(help="Another seed draws another sample.")] = 0,
    repair: Annotated[
        bool, typer.Option("--repair", help="Write anew what is damaged, from the archive or the table.")
    ] = False,
    complete: Annotated[bool, typer.Option("--complete", help="Exit 1 also if pairs are lacking.")] = False,
    workers: Workers = 8,
    report: Report = None,
) -> None:
    """Check every checksum, index and column of a store, and tell what it lacks; exit 1 if anything is wrong."""
    from bigearth_xr.verification import verify as run
    from bigearth_xr.verification.findings import tally_table

    report = _prepare(report)
    found = run(
        store,
        against,
        metadata=metadata,
        sample="all" if full else sample,
        seed=seed,
        repair=repair,
        workers=workers,
    )
    if report is not None:
        found.write_json(report)
    terminal.print(tally_table(found.completeness))
    _print_failures(found.failures)
    terminal.print(escape(found.summary()))
    if not found.sound or (complete and not found.complete):
        raise typer.Exit(1)


@app.command()
def upgrade(store: StoreFolder) -> None:
    """Bring a store of an older format up to the one written now, without its archive; pixels stay where they are."""
    from bigearth_xr.verification import upgrade as run

    done = run(store)
    terminal.print(escape(f"{store}: {'brought up to' if done else 'is of'} the format that is written now"))


@app.command()
def demo(
    archive: Annotated[Path | None, typer.Option(help="An archive. Default: six real pairs (extra 'sample').")] = None,
    metadata: Annotated[list[Path] | None, typer.Option(help="As for ingest.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the store and the report.")] = Path("build/demo"),
) -> None:
    """Show the whole way on real patches: ingest, verify, open, select, compute, and a report to look at."""
    from bigearth_xr.demo import run_demo

    run_demo(archive, out, metadata=metadata)


def _prepare(report: Path | None) -> Path | None:
    """Make sure that a report can be written: now, not after hours of work."""
    if report is not None:
        report = Path(expanduser(report))  # which a shell does not do after ``--report=``
        report.parent.mkdir(parents=True, exist_ok=True)
        is_new = not report.exists()
        report.touch()
        if is_new:
            # Where there will be nothing to report, no empty file is left.
            report.unlink()
    return report


def _tell(done: "IngestReport", report: Path | None) -> None:
    """Show what an ingest did and left out; write all of it where it is wanted."""
    from bigearth_xr.ingestion.report import left_out_lines

    if report is not None:
        done.write_json(report)
    for line in left_out_lines(done) if done.left_out else ():
        terminal.print(line)
    terminal.print(escape(done.summary()))


def _connect(scheduler: str) -> "Client":
    """Connect to a Dask cluster."""
    try:
        from distributed import Client as Cluster
    except ImportError:
        raise DependencyError("--scheduler needs Dask's scheduler; run: pip install 'bigearth-xr[cluster]'") from None
    try:
        return cast("Client", Cluster(scheduler))  # type: ignore[no-untyped-call]  # of a library that is typed in part
    except (OSError, ValueError) as error:
        raise SelectionError(
            f"--scheduler {scheduler!r}: no Dask scheduler there ({error}); give its address, as tcp://host:8786"
        ) from None


def _names(text: str) -> tuple[str, ...]:
    """Names by comma, with or without blanks around them."""
    return tuple(name.strip() for name in text.split(","))


def _print_failures(failures: tuple[str, ...], most: int = 20) -> None:
    """List what was wrong, up to a screenful; the report holds all."""
    for failure in failures[:most]:
        terminal.print(f"[yellow]-[/yellow] {escape(failure)}")
    if len(failures) > most:
        terminal.print(f"… and {len(failures) - most:,} more; --report FILE writes all")
