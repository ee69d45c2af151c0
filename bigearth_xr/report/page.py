"""The report: one HTML file that needs nothing else, not even JavaScript."""

from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import xarray as xr

from bigearth_xr.bands import PATCH_SIDE_M
from bigearth_xr.errors import SelectionError
from bigearth_xr.report.account import IngestAccount, draw_problems
from bigearth_xr.report.catalogue import Catalogue, draw_catalogue
from bigearth_xr.report.chart import draw_chart, draw_patch_chart
from bigearth_xr.report.density import density_of
from bigearth_xr.report.entry import read_entries
from bigearth_xr.report.footprints import MOST_POINTS, draw_map, shade_legend
from bigearth_xr.report.gallery import MOST_CARDS, card_id, draw_gallery
from bigearth_xr.report.heading import draw_countries, draw_heading, tiles_by_country, title_of
from bigearth_xr.report.learned import Learned, draw_learned
from bigearth_xr.report.markup import Markup, element, section
from bigearth_xr.report.pixels import missing_bands, spread_out
from bigearth_xr.report.statistics import FEW_PATCHES, MEASURES, by_label, by_patch

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["write_report"]

MOST_MEASURED = 1024
"""Patches that the chart rests on at most: 8 chunks, a second of reading."""


def write_report(
    ds: xr.Dataset,
    path: str | PathLike[str],
    *,
    listed: "pa.Table | None" = None,
    ingest: IngestAccount | None = None,
    learned: Learned | None = None,
    catalogue: Catalogue | None = None,
) -> Path:
    """Show a Dataset as one HTML page: a map, pictures of patches, a chart by label.

    Parameters
    ----------
    ds
        As `bigearth_xr.open` gives it; in memory, Dask-backed or lazily indexed. Bands
        may be missing: the page says what it cannot draw. Of large Datasets it shows
        patches spread out evenly, and says so. Pixels are read chunk by chunk.
    path
        The file to write.
    listed
        Table of the whole release (`bigearth_xr.table`), drawn on the map as context.
    ingest
        What ingesting found, to list what was left out.
    learned
        What a model is given and makes of some patches, drawn in sections of its own.
    catalogue
        What a search of the STAC catalogue found, to list it.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    SelectionError
        If the Dataset has no patch.

    Examples
    --------
    >>> ds = xr.Dataset(coords={"patch": ["a"], "tile": ("patch", ["33UUP"])})
    >>> write_report(ds, getfixture("tmp_path") / "report.html").name
    'report.html'
    """
    if not ds.sizes.get("patch"):
        raise SelectionError(
            "the Dataset has no patch to report on, expected at least one; check what it was selected by"
        )
    sections = [
        draw_heading(ds, listed),
        _map_section(ds, listed),
        _gallery_section(ds),
        _chart_section(ds),
        draw_learned(learned, _cards(ds)) if learned else "",
        section("Found in the catalogue", draw_catalogue(catalogue)) if catalogue else "",
        _ingest_section(ingest),
        _footnote(ds, listed),
    ]
    page = element(
        "html",
        element("head", *_head(title_of(ds))),
        element("body", element("main", *sections)),
        lang="en",
    )
    report = Path(path)
    report.write_text(f"<!doctype html>\n{page}\n", encoding="utf-8")
    return report


def _head(title: str) -> list[Markup]:
    """Say what a browser needs to know first."""
    # Ours, and no text of anyone else: it must not be escaped.
    style = Markup(files(__package__).joinpath("style.css").read_text(encoding="utf-8"))
    return [
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", style),
    ]


def _map_section(ds: xr.Dataset, listed: "pa.Table | None") -> Markup:
    """Show where the patches lie."""
    shown = spread_out(ds, MOST_POINTS)
    density = density_of(listed) if listed is not None else None
    drawing = draw_map(
        read_entries(shown),
        density=density,
        countries=tiles_by_country(shown, listed),
        cards=_cards(ds),
    )
    opened = element("i", class_="point")
    note = f"a patch of this Dataset{_of_all(ds, MOST_POINTS)}; its name appears under the pointer"
    aside = element(
        "div",
        draw_countries(ds, listed),
        element("p", opened, note, class_="legend"),
        shade_legend(density) if density is not None else "",
        element("p", "Equal-area projection of Europe (ETRS89-LAEA); outlines are Sentinel-2 tiles.", class_="quiet"),
    )
    return section("Where the patches lie", element("div", drawing, aside, class_="atlas"))


def _cards(ds: xr.Dataset) -> dict[str, str]:
    """Name the cards of the patches that have one, by patch id."""
    patches = spread_out(ds, MOST_CARDS).patch.values.tolist()
    return {patch: card_id(place) for place, patch in enumerate(patches)}


def _gallery_section(ds: xr.Dataset) -> Markup:
    """Show how patches look."""
    shown = spread_out(ds, MOST_CARDS)
    side = f"{PATCH_SIDE_M / 1000:g} km"
    told = f"{shown.sizes['patch']:,} patches{_of_all(ds, MOST_CARDS)}, each {side} × {side} of land."
    return section("How they look", element("p", told), draw_gallery(shown))


def _chart_section(ds: xr.Dataset) -> Markup:
    """Show what the labels have in common, or what each of few patches is like."""
    if ds.sizes["patch"] < FEW_PATCHES:
        how = (
            "Each number is the median of a patch's pixels, of all of it: not of one of its labels. By label, so few "
            "patches would say nothing."
        )
        chart = draw_patch_chart(by_patch(ds))
        told = element("p", how if chart else "No patch has the bands to measure.")
        return section("What they measure, patch by patch", told, _explain_measures(ds), chart)
    how = (
        f"Each patch{_of_all(ds, MOST_MEASURED)} is one number, the median of its pixels, and counts "
        "for every label it bears. Line: a patch. Bar: the middle half of them. Dot: their median."
    )
    chart = draw_chart(by_label(spread_out(ds, MOST_MEASURED)))
    return section(
        "What they measure, by label",
        element("p", how if chart else "No patch has both a label and the bands to measure."),
        _explain_measures(ds),
        chart,
    )


def _explain_measures(ds: xr.Dataset) -> Markup:
    """Say what each number tells, or which band it lacks."""
    notes = []
    for measure in MEASURES:
        missing = missing_bands(ds, measure.bands)
        told = f"not drawn: this Dataset has no {', '.join(missing)}" if missing else measure.meaning
        notes.append(element("div", element("dt", measure.name), element("dd", told)))
    return element("dl", *notes, class_="notes")


def _ingest_section(ingest: IngestAccount | None) -> Markup:
    """List what was left out of the store."""
    return section("What was left out", draw_problems(ingest)) if ingest else Markup("")


def _footnote(ds: xr.Dataset, listed: "pa.Table | None") -> Markup:
    """Keep the reader from believing too much."""
    measured = min(ds.sizes["patch"], MOST_MEASURED)
    total = ds.sizes["patch"] if listed is None else listed.num_rows
    count = f"{measured:,} of {total:,}" if total > measured else f"{measured:,}"
    return element(
        "footer",
        element("b", f"{count} patches prove nothing."),
        " This page is a look at the data, no study of it: patches bear several labels at once, and come from "
        "few places and few dates. Do not compare classes, sensors or countries by it.",
    )


def _of_all(ds: xr.Dataset, most: int) -> str:
    """Say that only some patches are shown, where that is so."""
    patches = ds.sizes["patch"]
    return f" (of {patches:,}, spread out evenly over the rows)" if patches > most else ""
