"""What a verification found: what is wrong, patch by patch, and what of a release is here."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bigearth_xr.labels import Release
from bigearth_xr.releases import ReleaseFacts, release
from bigearth_xr.store.codec import ProfileName
from bigearth_xr.store.schema import STORED, has_checksums
from bigearth_xr.table import release_of

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["tally_table"]

FindingKind = Literal[
    "table", "column", "metadata", "state", "index", "layout", "missing", "unrecorded", "checksum", "different",
    "unreadable", "embedding",
]  # fmt: skip
"""Table beside the store; small array; zarr.json; record of what is stored; index of a shard; places of patches in it;
patches that should be there; patches that should not; damaged bytes; other values than the archive's; a patch of the
archive, or its end, that cannot be read, and so not be compared; vectors, or what tells of them."""


Columns = Mapping[str, pa.Array]


Choose = Callable[[Columns], NDArray[np.bool_]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong."""

    kind: FindingKind
    """What sort of thing."""

    file: str
    """The file, or the array, that it is wrong with: a key below the store, or the name of the table."""

    message: str
    """What is wrong, where, and what to do."""

    array: str | None = None
    """Pixel array, where it is one."""

    patches: tuple[str, ...] = ()
    """Patches that it concerns, where it is not all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How a store was compared with an archive."""

    archive: str
    """The archive."""

    compared: int
    """Patches whose pixels were compared, every array and bit of them."""

    sampled: bool
    """Whether these are a sample of those that both hold."""

    seed: int
    """What the sample was drawn with."""

    only_in_archive: tuple[str, ...]
    """Patches of the archive of which the store has no pixels."""

    only_in_store: tuple[str, ...]
    """Patches stored that the archive lacks."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """What is wrong with a store, and what it lacks."""

    store: str
    """Where the store lies."""

    release: Release
    """Release that it is of."""

    profile: ProfileName
    """How pixels are encoded."""

    format_version: int
    """Version of the format that it is in."""

    rows: int
    """Rows of the store."""

    stored: int
    """Rows whose pixels should be there."""

    absent: tuple[str, ...]
    """Patches without pixels yet."""

    quarantined: tuple[str, ...]
    """Patches that were refused at ingest."""

    checked: int
    """Patches decoded and compared with their checksums, counted once an array."""

    findings: tuple[Finding, ...]
    """Everything that is wrong; after a repair, what still is."""

    completeness: Completeness
    """What of the release is here."""

    comparison: Comparison | None = None
    """How the store was compared with an archive, if it was."""

    strays: tuple[str, ...] = ()
    """Files and folders in the store that are none of it; it is sound all the same."""

    repaired: tuple[str, ...] = ()
    """Files that a repair wrote anew."""

    given_up: Mapping[str, int] = field(default_factory=dict)
    """How many vectors a repair has recorded as not computed, by embedding: `bigearth_xr.embed` computes them anew."""

    unrepaired: Mapping[str, str] = field(default_factory=dict)
    """Why a patch could not be repaired, by patch id."""

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong; a sound store may still lack patches."""
        return not self.findings and not self.unrepaired

    @property
    def complete(self) -> bool:
        """Whether it lacks no pair that a list names, or that the archive has; without lists, none of the release."""
        missing = self.comparison is not None and self.comparison.only_in_archive
        return self.completeness.complete and not missing

    @property
    def failures(self) -> tuple[str, ...]:
        """One line for each thing that is wrong."""
        return (*(finding.message for finding in self.findings), *self.unrepaired.values())

    def __str__(self) -> str:
        return self.summary()

    def summary(self) -> str:
        """Say the outcome in a few lines."""
        outcome = "sound" if self.sound else f"{len(self.failures):,} failures"
        rows = f"{self.stored:,} stored, {len(self.absent):,} absent, {len(self.quarantined):,} quarantined"
        lines = [f"{self.store}: {outcome}, {'complete' if self.complete else 'not complete'}"]
        lines.append(f"{self.rows:,} rows: {rows}; {self.checked:,} checksums verified")
        if not has_checksums(self.format_version):
            lines.append(
                f"format {self.format_version}: its columns have no checksums; bring it up with: bigearth upgrade "
                f"{self.store}"
            )
        if self.comparison:
            lines.append(_compared(self.comparison))
        if self.repaired:
            lines.append(f"repaired: {len(self.repaired):,} files, first {self.repaired[0]}")
        for name, count in self.given_up.items():
            lines.append(f"{count:,} vectors given up, to be computed anew with bex.embed(..., name={name!r})")
        for what, names in self._asides().items():
            if names:
                shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
                lines.append(f"{len(names):,} {what}: {shown}")
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """Give the whole account as values that JSON has."""
        return {"sound": self.sound, "complete": self.complete, **asdict(self)}

    def write_json(self, path: Path) -> None:
        """Write the whole account as JSON."""
        path.write_text(json.dumps(self.as_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def _asides(self) -> dict[str, tuple[str, ...]]:
        """What is not here, or only here, or does not belong here, by what to call it."""
        asides = {
            "absent": self.absent,
            "quarantined": self.quarantined,
            "listed but not in the store": self.completeness.lacking,
            "in the store but not listed": self.completeness.unlisted,
            "in the store but no part of it, to be deleted": self.strays,
        }
        if self.comparison:
            asides["only in the archive"] = self.comparison.only_in_archive
            asides["only in the store"] = self.comparison.only_in_store
        return asides


def _compared(comparison: Comparison) -> str:
    what = f"a sample of {comparison.compared:,} patches" if comparison.sampled else f"{comparison.compared:,} patches"
    drawn = f" (seed {comparison.seed})" if comparison.sampled else ""
    return f"compared with {comparison.archive}: every bit of {what}{drawn}"


def count_pairs(rows: pa.Table, state: NDArray[np.uint8], listed: Columns | None) -> Completeness:
    """Count what a store holds of its release."""
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


def tally_table(found: Completeness) -> "Table":
    """Lay out the counts of a store beside the published ones, and those of the lists that were given."""
    from rich.table import Table

    has_lists = any(tally.listed is not None for tally in found.tallies)
    table = Table("pairs", box=None, pad_edge=False)
    for heading in ("published", *(["listed"] if has_lists else []), "rows", "stored"):
        table.add_column(heading, justify="right")
    for tally in found.tallies:
        listed = [f"{tally.listed:,}"] if tally.listed is not None else []
        # Splits and countries are parts of the recommended pairs.
        name = tally.name if tally.group == "release" else f"  {tally.name}"
        table.add_row(name, f"{tally.published:,}", *listed, f"{tally.rows:,}", f"{tally.stored:,}")
    return table
