"""What an ingest could not store, as a table."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from bigearth_xr.report.markup import Markup, element, join

__all__ = ["IngestAccount", "PatchProblem", "draw_problems"]

_MOST_ROWS = 100
"""Problems that are listed."""

_MOST_OPEN = 12
"""Problems that are shown without a click."""


class PatchProblem(Protocol):
    """What was wrong with one patch of an archive."""

    @property
    def patch(self) -> str:
        """Patch id, or the name that is none."""
        ...

    @property
    def kind(self) -> str:
        """In one word."""
        ...

    @property
    def message(self) -> str:
        """In a sentence."""
        ...


class IngestAccount(Protocol):
    """What a report tells of an ingest."""

    @property
    def release(self) -> str:
        """Release of the archive."""
        ...

    @property
    def profile(self) -> str:
        """How the store encodes pixels."""
        ...

    @property
    def found(self) -> int:
        """Patches of the archive."""
        ...

    @property
    def stored(self) -> int:
        """Rows whose pixels are in the store."""
        ...

    @property
    def quarantined(self) -> Mapping[str, str]:
        """Why a patch could not be stored, by its id."""
        ...

    @property
    def problems(self) -> Sequence[PatchProblem]:
        """What became no row of the store."""
        ...


def draw_problems(ingest: IngestAccount) -> Markup:
    """List what an ingest left out, and why.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> counts = {"release": "v1", "profile": "fast", "found": 6, "stored": 6}
    >>> draw_problems(SimpleNamespace(**counts, quarantined={}, problems=()))
    '<p>6 patches found, 6 stored; nothing was left out.</p>'
    """
    rows = list(_rows(ingest))
    told = f"{ingest.found:,} patches found, {ingest.stored:,} stored"
    if not rows:
        return element("p", f"{told}; nothing was left out.")
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in Counter(kind for _, kind, _ in rows).items())
    cut = f"The first {_MOST_ROWS} of {len(rows):,}" if len(rows) > _MOST_ROWS else "Each of them"
    return join(
        [
            element("p", f"{told}; left out: {kinds}."),
            # A long list waits until it is asked for.
            element(
                "details",
                element("summary", f"{cut}, and why"),
                _draw_table(rows[:_MOST_ROWS]),
                open="" if len(rows) <= _MOST_OPEN else None,
            ),
        ]
    )


def _draw_table(rows: Iterable[tuple[str, str, str]]) -> Markup:
    """Write patch, kind and message of each problem."""
    head = element("tr", *(element("th", name) for name in ("Patch", "What", "Why")))
    body = (
        element(
            "tr",
            element("td", patch, class_="id"),
            element("td", element("span", kind, class_="flag")),
            element("td", message),
        )
        for patch, kind, message in rows
    )
    return element("table", element("thead", head), element("tbody", *body), class_="problems")


def _rows(ingest: IngestAccount) -> Iterator[tuple[str, str, str]]:
    """List quarantined patches, then what was never a pair."""
    for patch, message in ingest.quarantined.items():
        yield patch, "quarantined", message
    for problem in ingest.problems:
        yield problem.patch, problem.kind, problem.message
