"""The top of the page: which release, how much of it, what a patch is."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from bigearth_xr.bands import PATCH_SIDE_M
from bigearth_xr.report.density import count_by_country
from bigearth_xr.report.entry import has_value
from bigearth_xr.report.markup import Markup, element

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["draw_countries", "draw_heading", "tiles_by_country", "title_of"]


def title_of(ds: xr.Dataset) -> str:
    """Name the release that a Dataset is of.

    Examples
    --------
    >>> title_of(xr.Dataset(attrs={"title": "reBEN", "bigearth": '{"release": "v2"}'}))
    'reBEN (v2)'
    """
    release = _identity(ds).get("release")
    title = str(ds.attrs.get("title", "BigEarthNet-MM"))
    return f"{title} ({release})" if release else title


def draw_heading(ds: xr.Dataset, listed: "pa.Table | None" = None) -> Markup:
    """Say what the page shows, in words and in a few numbers.

    Examples
    --------
    >>> "<h1>BigEarthNet-MM</h1>" in draw_heading(xr.Dataset(coords={"patch": ["a"]}))
    True
    """
    numbers = (element("div", element("dd", number), element("dt", name)) for number, name in _numbers(ds, listed))
    return element(
        "header",
        element("p", "bigearth_xr", class_="brand"),
        element("h1", title_of(ds)),
        element("p", _lead(ds), class_="lead"),
        element("dl", *numbers, class_="numbers"),
    )


def tiles_by_country(ds: xr.Dataset, listed: "pa.Table | None" = None) -> dict[str, list[str]]:
    """List the tiles of each country, of the whole release if it is given.

    Examples
    --------
    >>> on_patch = {"tile": ("patch", ["33UUP"]), "country": ("patch", ["Austria"])}
    >>> tiles_by_country(xr.Dataset(coords={"patch": ["a"], **on_patch}))
    {'Austria': ['33UUP']}
    """
    if listed is not None:
        return {country: list(tiles) for country, tiles in count_by_country(listed).items()}
    if not {"tile", "country"} <= set(ds.coords):
        return {}
    pairs = set(zip(ds["country"].values.tolist(), ds["tile"].values.tolist(), strict=True))
    tiles: dict[str, list[str]] = {}
    for country, tile in sorted(pair for pair in pairs if all(map(has_value, pair))):
        tiles.setdefault(country, []).append(tile)
    return tiles


def draw_countries(ds: xr.Dataset, listed: "pa.Table | None" = None) -> Markup:
    """Count the patches of each country, opened and listed.

    Examples
    --------
    >>> ds = xr.Dataset(coords={"patch": ["a"], "country": ("patch", ["Austria"])})
    >>> "<td>1</td>" in draw_countries(ds)
    True
    """
    if "country" not in ds.coords:
        return Markup("")
    opened = Counter(country for country in ds["country"].values.tolist() if has_value(country))
    context = {} if listed is None else count_by_country(listed)
    totals = {country: sum(tiles.values()) for country, tiles in context.items()}
    most = max(totals.values(), default=1)
    rows = (
        element(
            "tr",
            element("th", country, scope="row"),
            element("td", f"{opened[country]:,}"),
            *([_draw_share(totals.get(country, 0), most)] if totals else []),
        )
        for country in sorted({*opened, *totals})
    )
    titles = ["Country", "Opened", *(["Listed"] if totals else [])]
    head = element("thead", element("tr", *(element("th", title) for title in titles)))
    return element("table", head, element("tbody", *rows), class_="countries")


def _draw_share(patches: int, most: int) -> Markup:
    """Write a number over a bar as long as its share of the largest."""
    return element("td", f"{patches:,}", class_="share", style=f"--share:{patches / most:.3f}")


def _identity(ds: xr.Dataset) -> dict[str, str]:
    """Read which store and release a Dataset says it comes from, if it does."""
    identity: dict[str, str] = json.loads(ds.attrs.get("bigearth", "{}"))
    return identity


def _lead(ds: xr.Dataset) -> str:
    """Say in two sentences what this is."""
    sensors = [
        *(["multispectral (Sentinel-2)"] if "s2" in ds else []),
        *(["radar (Sentinel-1)"] if "s1" in ds else []),
    ]
    seen = f"as {' and '.join(sensors)} saw them" if sensors else "without pixels"
    return (
        f"Patches of European land, {PATCH_SIDE_M / 1000:g} km a side, {seen}, with the land cover that CORINE names "
        "there. One Dataset, drawn as it opens: every picture and number below was read through it."
    )


def _numbers(ds: xr.Dataset, listed: "pa.Table | None") -> Iterator[tuple[str, str]]:
    """List the numbers worth knowing first."""
    yield f"{ds.sizes['patch']:,}", "patches opened"
    if listed is not None:
        yield f"{listed.num_rows:,}", "patches in the release"
    for dim, variable, name in (
        ("band", "s2", "optical bands"),
        ("polarization", "s1", "radar polarizations"),
    ):
        if variable in ds:
            yield f"{ds.sizes[dim]}", f"{name}: {', '.join(ds[dim].values.tolist())}"
    pixels = next((ds[name] for name in ("s2", "s1") if name in ds), None)
    if pixels is not None:
        size = pixels.sizes["y"]
        yield f"{size} × {pixels.sizes['x']}", f"pixels a patch, {PATCH_SIDE_M / size:g}\N{NO-BREAK SPACE}m each"
    yield from _years(ds)


def _years(ds: xr.Dataset) -> Iterator[tuple[str, str]]:
    """Tell when Sentinel-2 passed, if that is known."""
    times = ds["s2_time"].values if "s2_time" in ds.coords else np.array([], "datetime64[s]")
    known = times[~np.isnat(times)]
    if known.size:
        first, last = known.min(), known.max()
        years = dict.fromkeys(str(np.datetime64(time, "Y")) for time in (first, last))
        months = dict.fromkeys(str(np.datetime64(time, "M")) for time in (first, last))
        # A month must not break into two lines at its hyphen.
        told = " to ".join(months).replace("-", "\N{NON-BREAKING HYPHEN}")
        yield "–".join(years), f"sensed {told}"
