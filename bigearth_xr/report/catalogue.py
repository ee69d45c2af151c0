"""What a search of the catalogue found, as a table."""

from dataclasses import dataclass

from bigearth_xr.report.markup import Markup, element, join

__all__ = ["Catalogue", "draw_catalogue"]

_MOST_ROWS = 12
"""Items that are listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """What a report tells of the catalogue: its size, and one search of it."""

    items: int
    """Items of the catalogue."""

    search: str
    """What was searched for, in words, e.g. ``"patches of Portugal in summer"``."""

    found: tuple[tuple[str, str, str], ...]
    """Patch id, country and date of each item found."""


def draw_catalogue(catalogue: Catalogue) -> Markup:
    """List the first items that a search found.

    Examples
    --------
    >>> catalogue = Catalogue(items=8, search="patches of Finland", found=())
    >>> draw_catalogue(catalogue)
    '<p>8 items; searched for patches of Finland: 0 found.</p>'
    """
    found = catalogue.found
    told = element("p", f"{catalogue.items:,} items; searched for {catalogue.search}: {len(found):,} found.")
    if not found:
        return told
    head = element("tr", *(element("th", name) for name in ("Patch", "Country", "Date")))
    rows = (
        element("tr", element("td", patch, class_="id"), element("td", country), element("td", date))
        for patch, country, date in found[:_MOST_ROWS]
    )
    left = len(found) - _MOST_ROWS
    return join(
        [
            told,
            element("table", element("thead", head), element("tbody", *rows), class_="found"),
            element("p", f"and {left:,} more", class_="quiet") if left > 0 else "",
        ]
    )
