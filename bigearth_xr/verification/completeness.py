"""What of a release a store holds: its counts beside the published ones, its patches beside the listed ones."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bigearth_xr.releases import ReleaseFacts, release
from bigearth_xr.store.schema import STORED
from bigearth_xr.table import release_of

__all__ = ["Completeness", "Tally", "count_pairs"]

Columns = Mapping[str, pa.Array]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many pairs of one kind there are."""

    group: Literal["release", "split", "country"]
    """What the kind is one of. Splits and countries count recommended pairs alone, as the papers do."""

    name: str
    """The kind, e.g. ``"validation"``."""

    published: int
    """Pairs of it in the whole release."""

    listed: int | None
    """Pairs of it in the lists that were given; None without lists."""

    rows: int
    """Rows of the store of which it is known."""

    stored: int
    """Of these, rows with pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completeness:
    """What of a release is here."""

    tallies: tuple[Tally, ...]
    """Counts; the first is that of all pairs."""

    lacking: tuple[str, ...]
    """Listed patches of which the store has no row; those without lists are unknown."""

    unlisted: tuple[str, ...]
    """Patches of the store that the lists do not name; none without lists."""

    complete: bool
    """Whether every listed pair is stored; without lists, as many as were published."""


def count_pairs(rows: pa.Table, state: NDArray[np.uint8], listed: Columns | None) -> Completeness:
    """Count what a store holds of its release.

    Parameters
    ----------
    rows
        The store's table.
    state
        Which of its rows are stored, shape ``(patch,)``.
    listed
        What the release's lists say, as `bigearth_xr.table.read_lists` gives it; None without.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> rows = bex.table.from_lists(bex.testing.write_archive(getfixture("tmp_path") / "archive", pairs=3))
    >>> found = count_pairs(rows, np.array([1, 1, 0], np.uint8), None)
    >>> found.tallies[0].published, found.tallies[0].rows, found.tallies[0].stored, found.complete
    (549488, 3, 2, False)
    """
    facts = release(release_of(rows))
    stored = state == STORED
    tallies = tuple(
        Tally(
            group=group,
            name=name,
            published=published,
            listed=None if listed is None else int(choose(listed).sum()),
            rows=int((here := choose(rows)).sum()),
            stored=int((here & stored).sum()),
        )
        for group, name, published, choose in _kinds(facts)
    )
    patches = rows["patch"].combine_chunks()
    if listed is None:
        whole = int(stored.sum()) == facts.pairs == rows.num_rows
        return Completeness(tallies=tallies, lacking=(), unlisted=(), complete=whole)
    lacking = listed["patch"].filter(pc.invert(pc.is_in(listed["patch"], patches)))
    is_listed = pc.is_in(patches, listed["patch"])
    return Completeness(
        tallies=tallies,
        lacking=tuple(sorted(lacking.to_pylist())),
        unlisted=tuple(sorted(patches.filter(pc.invert(is_listed)).to_pylist())),
        complete=not len(lacking) and bool(stored[np.asarray(is_listed)].all()),
    )


Choose = Callable[[Columns], NDArray[np.bool_]]


def _kinds(facts: ReleaseFacts) -> Iterator[tuple[Literal["release", "split", "country"], str, int, Choose]]:
    """Every kind of pair that was counted when the release was published, and how to tell it."""
    yield "release", "all", facts.pairs, lambda rows: np.ones(len(rows["patch"]), bool)
    yield "release", "recommended", facts.recommended_pairs, _recommended
    yield "release", "seasonal snow", facts.snow_pairs, lambda rows: _flag(rows, "seasonal_snow")
    yield "release", "cloud or shadow", facts.cloud_pairs, lambda rows: _flag(rows, "cloud_or_shadow")
    for split, pairs in facts.split_pairs.items():
        yield "split", split, pairs, _one_of("split", split)
    for country, pairs in facts.country_pairs.items():
        yield "country", country, pairs, _one_of("country", country)


def _one_of(column: str, value: str) -> Choose:
    return lambda rows: _recommended(rows) & np.asarray(pc.equal(_flat(rows[column]), value).fill_null(False))


def _recommended(rows: Columns) -> NDArray[np.bool_]:
    return _flag(rows, "recommended")


def _flag(rows: Columns, column: str) -> NDArray[np.bool_]:
    """Where a flag is known to hold."""
    known: NDArray[np.bool_] = np.asarray(_flat(rows[column]).fill_null(False))
    return known


def _flat(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
