"""The report: one HTML file that needs nothing else, not even JavaScript."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bigearth_xr.bands import PATCH_SIDE_M
from bigearth_xr.errors import DependencyError, SelectionError
from bigearth_xr.labels import CLASSES_19, CLASSES_43
from bigearth_xr.report.learned import Catalogue, Learned, draw_learned
from bigearth_xr.report.map import MOST_POINTS, count_by_country, draw_map
from bigearth_xr.report.measures import FEW_PATCHES, MEASURES, axes_of, by_label, by_patch, quartiles
from bigearth_xr.report.reading import REFERENCE_MAP, has_value, missing_bands, read_entries, read_pixels, spread_out
from bigearth_xr.thumbnails import RGB_BANDS, RGB_STRETCH, SAR_BANDS, SAR_STRETCH, color_map, pictures_of, png_uri

if TYPE_CHECKING:
    import jinja2
    import pyarrow as pa

    from bigearth_xr.ingestion import IngestReport

__all__ = ["templates", "write_report"]

_MOST_MEASURED = 1024
"""Patches that the chart rests on at most: 8 chunks, a second of reading."""

_MOST_CARDS = 48
"""Patches that a page shows with their pictures."""

_SENSORS = {"s2": "multispectral (Sentinel-2)", "s1": "radar (Sentinel-1)"}
_COLORS = {one.name: one.color for one in (*CLASSES_43, *CLASSES_19)}
_NAME_OF_CODE = {int(one.clc_codes[0]): one.name for one in CLASSES_43}


def write_report(
    ds: xr.Dataset,
    path: str | PathLike[str],
    *,
    listed: "pa.Table | None" = None,
    ingest: "IngestReport | None" = None,
    learned: Learned | None = None,
    catalogue: Catalogue | None = None,
) -> Path:
    """Show a Dataset as one HTML page: a map, pictures of patches, a chart by label.

    Parameters
    ----------
    ds
        As `bigearth_xr.open` gives it; in memory, Dask-backed or lazily indexed. Bands may be missing: the page says
        what it cannot draw. Of large Datasets it shows patches spread out evenly, and says so. Pixels are read chunk
        by chunk.
    path
        The file to write.
    listed
        Table of the whole release (`bigearth_xr.table`), drawn on the map as context.
    ingest
        What an ingest reported, to list what it left out.
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
    DependencyError
        If jinja2 is not installed, which fills in the templates.

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
    shown = spread_out(ds, _MOST_CARDS)
    cards = {patch: f"patch-{number}" for number, patch in enumerate(shown.patch.values.tolist(), start=1)}
    left_out = [] if ingest is None else _left_out(ingest)
    page = render(
        "page.html",
        title=_title(ds),
        patches=ds.sizes["patch"],
        sensors=[name for variable, name in _SENSORS.items() if variable in ds],
        numbers=_numbers(ds, listed),
        countries=_countries(ds, listed),
        listed=None if listed is None else listed.num_rows,
        map=draw_map(ds, listed, cards),
        most_points=MOST_POINTS,
        gallery=_draw_gallery(shown),
        chart=draw_chart(ds),
        most_measured=_MOST_MEASURED,
        card_ids=cards,
        models=None if learned is None else draw_learned(learned),
        catalogue=catalogue,
        ingest=ingest,
        left_out=left_out,
        kinds=Counter(kind for _, kind, _ in left_out),
    )
    report = Path(path)
    report.write_text(page + "\n", encoding="utf-8")
    return report


def draw_chart(ds: xr.Dataset) -> dict[str, Any]:
    """Prepare what the template of the chart draws: rows by patch of few patches, by label of many."""
    is_by_patch = ds.sizes["patch"] < FEW_PATCHES
    patches = by_patch(ds) if is_by_patch else []
    labels = [] if is_by_patch else by_label(spread_out(ds, _MOST_MEASURED))
    axes = axes_of([*(medians for _, medians in patches), *(one.medians for one in labels)])
    notes = {measure.name: _lack(ds, measure.index.bands) or measure.meaning for measure in MEASURES}
    return {"is_by_patch": is_by_patch, "patches": patches, "labels": labels, "axes": axes, "notes": notes}


def render(template: str, **context: Any) -> str:
    """Fill in a template of this package; values are escaped, so no text becomes markup."""
    return templates().get_template(template).render(context)


@cache
def templates() -> "jinja2.Environment":
    """Prepare the templates, or refuse to go on without what fills them in: now, not after minutes of work."""
    try:
        import jinja2
    except ImportError:
        raise DependencyError("a report needs jinja2; run: pip install 'bigearth-xr[sample]'") from None

    def unindented(name: str) -> str:
        """Read a template: indented for its reader, on the page each line break would be a blank."""
        return re.sub(r"\n\s*", "", (Path(__file__).with_name("templates") / name).read_text(encoding="utf-8"))

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(unindented), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"short": _short, "number": _number, "percent": "{:.2f}%".format, "thousands": "{:,}".format}
    environment.filters |= {"quartiles": quartiles, "color": _color, "png": png_uri}
    environment.globals["side_km"] = PATCH_SIDE_M / 1000
    return environment


def _left_out(ingest: "IngestReport") -> list[tuple[str, str, str]]:
    """Patch, kind and message of all that an ingest left out."""
    quarantined = [(patch, "quarantined", message) for patch, message in ingest.quarantined.items()]
    return quarantined + [(problem.patch, problem.kind, problem.message) for problem in ingest.problems]


def _short(value: float) -> str:
    """Write a length on a drawing: a hundredth of a pixel is beyond any eye."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _number(value: float, digits: int | None = None) -> str:
    """Write a number with a true minus; without digits, as short as it is."""
    written = f"{round(value, 6):g}" if digits is None else f"{value:.{digits}f}"
    return written.replace("-", "−")


def _color(label: str) -> str:
    """Colour of a class, for CSS."""
    return "#" + bytes(_COLORS.get(label, (128, 128, 128))).hex()


def _lack(ds: xr.Dataset, bands: tuple[str, ...]) -> str:
    """Say which of the bands a Dataset lacks, if any."""
    missing = missing_bands(ds, bands)
    return f"not drawn: this Dataset has no {', '.join(missing)}" if missing else ""


def _draw_gallery(shown: xr.Dataset) -> dict[str, Any]:
    """Prepare what the template of the gallery shows; what cannot be drawn for want of bands, the notes name."""
    cards, codes = [], set[int]()
    bands = (*RGB_BANDS, *SAR_BANDS, REFERENCE_MAP)
    for entry, pixels in zip(read_entries(shown), read_pixels(shown, bands), strict=True):
        found = set(np.unique(pixels.get(REFERENCE_MAP, ())).tolist()) & _NAME_OF_CODE.keys()
        pictures = pictures_of(pixels) | ({"Land cover": color_map(pixels[REFERENCE_MAP])} if found else {})
        cards.append((entry, pictures))
        codes |= found
    notes = {"Optical": _lack(shown, RGB_BANDS) or RGB_STRETCH, "Radar": _lack(shown, SAR_BANDS) or SAR_STRETCH}
    if codes:
        notes["Land cover"] = "the reference map in the colours of CORINE Land Cover 2018; empty where unlabelled"
    classes = [_NAME_OF_CODE[code] for code in sorted(codes)]
    is_small = len({title for _, pictures in cards for title in pictures}) <= 1
    return {"cards": cards, "most": _MOST_CARDS, "notes": notes, "classes": classes, "is_small": is_small}


def _title(ds: xr.Dataset) -> str:
    """Name the release that a Dataset is of."""
    release = json.loads(ds.attrs.get("bigearth", "{}")).get("release")
    title = str(ds.attrs.get("title", "BigEarthNet-MM"))
    return f"{title} ({release})" if release else title


def _numbers(ds: xr.Dataset, listed: "pa.Table | None") -> Iterator[tuple[str, str]]:
    """List the numbers worth knowing first."""
    yield f"{ds.sizes['patch']:,}", "patches opened"
    if listed is not None:
        yield f"{listed.num_rows:,}", "patches in the release"
    for dim, variable, name in (("band", "s2", "optical bands"), ("polarization", "s1", "radar polarizations")):
        if variable in ds:
            yield f"{ds.sizes[dim]}", f"{name}: {', '.join(ds[dim].values.tolist())}"
    pixels = next((ds[name] for name in ("s2", "s1") if name in ds), None)
    if pixels is not None:
        size = pixels.sizes["y"]
        yield f"{size} × {pixels.sizes['x']}", f"pixels a patch, {PATCH_SIDE_M / size:g}\N{NO-BREAK SPACE}m each"
    times = ds["s2_time"].values if "s2_time" in ds.coords else np.array([], "datetime64[s]")
    known = times[~np.isnat(times)]
    if known.size:
        ends = [str(np.datetime64(time, "M")) for time in (known.min(), known.max())]
        years, months = dict.fromkeys(end[:4] for end in ends), dict.fromkeys(ends)
        # A month must not break into two lines at its hyphen.
        yield "–".join(years), f"sensed {' to '.join(months)}".replace("-", "\N{NON-BREAKING HYPHEN}")


def _countries(ds: xr.Dataset, listed: "pa.Table | None") -> list[tuple[str, int, int | None, float]]:
    """Count the patches of each country, opened and listed; the latter also as a share of the largest."""
    if "country" not in ds.coords:
        return []
    opened = Counter(country for country in ds["country"].values.tolist() if has_value(country))
    context = {} if listed is None else count_by_country(listed)
    totals = {country: sum(tiles.values()) for country, tiles in context.items()}
    most = max(totals.values(), default=1)
    return [
        (country, opened[country], totals.get(country, 0) if totals else None, totals.get(country, 0) / most)
        for country in sorted({*opened, *totals})
    ]
