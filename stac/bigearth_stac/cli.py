"""The command line: ``bigearth-stac build | validate | search``.

Exit codes: 0 all is well; 1 the catalogue is not valid; 2 the command could not be carried out.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from bigearth_xr.errors import BigEarthError, SelectionError

__all__ = ["main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="BigEarthNet as a STAC catalogue: one collection, one item a patch pair.",
)

terminal = Console(highlight=False, soft_wrap=True)


def main() -> None:
    """Run a command; what goes wrong is said in words, not shown as a traceback."""
    try:
        app()
    except BigEarthError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"[red]error:[/red] {escape(str(error))}")
        sys.exit(2)


@app.command()
def build(
    source: Annotated[Path, typer.Argument(help="A store, its table (.parquet), or the published lists.")],
    out: Annotated[Path, typer.Option(help="Folder for the catalogue.")],
    zarr_href: Annotated[
        str | None, typer.Option(help="Address of the store for readers. Default: its place on this machine.")
    ] = None,
    items: Annotated[bool, typer.Option("--items", help="Also write a JSON file an item.")] = False,
    thumbnails: Annotated[bool, typer.Option("--thumbnails", help="Also draw a picture a patch.")] = False,
) -> None:
    """Write collection.json and items.parquet (stac-geoparquet); needs no pixel but for thumbnails."""
    from bigearth_stac import build_catalog

    done = build_catalog(source, out, zarr_href=zarr_href, static_items=items, thumbnails=thumbnails)
    terminal.print(escape(done.summary()))


@app.command()
def validate(
    catalog: Annotated[Path, typer.Argument(help="Folder of the catalogue.")],
    schemas: Annotated[
        Path | None, typer.Option(help="Folder of the extensions' JSON schemas. Default: download them.")
    ] = None,
    sample: Annotated[int, typer.Option(help="Items to check, drawn at random.")] = 1000,
    all_items: Annotated[bool, typer.Option("--all", help="Check every item.")] = False,
    seed: Annotated[int, typer.Option(help="Another seed checks other items.")] = 0,
) -> None:
    """Check the collection and items against STAC and all extensions they use; exit 1 if anything is wrong."""
    from bigearth_stac import validate_catalog

    report = validate_catalog(catalog, schemas=schemas, sample=None if all_items else sample, seed=seed)
    for failure in report.failures[:20]:
        terminal.print(f"[yellow]-[/yellow] {escape(failure)}")
    terminal.print(escape(report.summary()))
    if report.failures:
        raise typer.Exit(1)


@app.command()
def search(
    catalog: Annotated[Path, typer.Argument(help="Folder of the catalogue.")],
    bbox: Annotated[str | None, typer.Option(help="west,south,east,north in degrees.")] = None,
    datetime: Annotated[str | None, typer.Option(help="A time as exact as wanted, or an interval START/END.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="A class; several times for any of them.")] = None,
    split: Annotated[list[str] | None, typer.Option(help="train, validation or test; recommended patches.")] = None,
    country: Annotated[list[str] | None, typer.Option(help="A country; several times for any of them.")] = None,
    season: Annotated[list[str] | None, typer.Option(help="winter, spring, summer or autumn.")] = None,
    tile: Annotated[list[str] | None, typer.Option(help="A tile, as 33UUP.")] = None,
    limit: Annotated[int | None, typer.Option(help="Items at most.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the items here, as a STAC item collection.")] = None,
) -> None:
    """Find items by place, time, label and lists, without a server; prints their ids."""
    from bigearth_stac import find_items

    found = find_items(
        catalog,
        bbox=None if bbox is None else _edges(bbox),
        datetime=datetime,
        any_label=label or None,
        split=split or None,
        country=country or None,
        season=season or None,
        tile=tile or None,
        max_items=limit,
    )
    if not len(found):
        Console(stderr=True, highlight=False, soft_wrap=True).print("no item meets every criterion")
    if out is not None:
        found.save_object(str(out))
    for item in found:
        terminal.print(escape(item.id))


def _edges(bbox: str) -> list[float]:
    """The numbers of a box; that they are four, the search checks."""
    try:
        return [float(edge) for edge in bbox.split(",")]
    except ValueError:
        raise SelectionError(
            f"--bbox {bbox} is not numbers; expected west,south,east,north in degrees, as 23.7,61.2,24.4,61.9"
        ) from None
