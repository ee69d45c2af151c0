"""What an ingest found and did, patch by patch where something was wrong."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.markup import escape

from bigearth_xr.archive import Problem
from bigearth_xr.labels import Release
from bigearth_xr.store.codec import ProfileName
from bigearth_xr.store.location import Location

__all__ = ["left_out_lines"]

_UNPAIRED = ("unpaired", "duplicate", "unplaced")
"""Kinds of problems with a patch."""

_COLORS = {"quarantined": "red", "truncated": "red", "damaged": "red", "refused": "red"}


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestReport:
    """The account of one ingest: every patch found is stored, quarantined or a problem."""

    archive: str
    """What was ingested: a folder, tars or addresses."""

    store: Location
    """Where the store is."""

    release: Release
    """Release of the archive."""

    profile: ProfileName
    """How pixels are encoded."""

    rows: int
    """Rows of the store, patches that are not in this archive included."""

    rows_stored: int
    """Rows whose pixels are there now, from this ingest or an earlier one."""

    stored: int
    """Patches of this archive that are stored now."""

    written: int
    """Patches whose pixels this ingest wrote; 0 where all were there already."""

    quarantined: Mapping[str, str]
    """Why a patch of this archive could not be stored, by patch id."""

    problems: tuple[Problem, ...]
    """What gave no row: unpaired, duplicate and misnamed patches."""

    without_map: tuple[str, ...]
    """Stored patches that have no reference map though others of the archive have."""

    unlisted: int
    """Patches that the metadata does not mention: their labels, split and country are unknown."""

    extra_bytes: int
    """Disk taken beside the archive and the store, at the most; free again now."""

    @property
    def found(self) -> int:
        """Patches and lone halves of patches in this archive: each is stored, quarantined or unpaired."""
        return self.stored + len(self.quarantined) + self.unpaired

    @property
    def unpaired(self) -> int:
        """Names of patches that give no row: their partner or their place is missing, or they are there twice."""
        return len({problem.patch for problem in self.problems if problem.kind in _UNPAIRED})

    @property
    def is_cut_short(self) -> bool:
        """Whether a container of the archive ended early, so that there may be more patches than were found."""
        return any(problem.kind in ("truncated", "damaged") for problem in self.problems)

    @property
    def complete(self) -> bool:
        """Whether the archive was there whole, and every row of the store has its pixels."""
        return self.rows_stored == self.rows and not self.is_cut_short

    @property
    def left_out(self) -> tuple[tuple[str, str, str], ...]:
        """Kind, name and reason of each thing that was wrong: quarantined patches, problems, missing maps."""
        why_missing = "has no reference map, others of this archive have"
        return (
            *(("quarantined", patch, reason.removeprefix(f"{patch}: ")) for patch, reason in self.quarantined.items()),
            *((problem.kind, problem.patch, problem.message) for problem in self.problems),
            *(("no map", patch, why_missing) for patch in self.without_map),
        )

    @property
    def failures(self) -> tuple[str, ...]:
        """One line for each thing that was wrong."""
        maps = (f"{name}: {why}" for what, name, why in self.left_out if what == "no map")
        return (*self.quarantined.values(), *(problem.message for problem in self.problems), *maps)

    def __str__(self) -> str:
        return self.summary()

    def summary(self) -> str:
        """Say in a few lines what was found, stored and left out."""
        kinds = Counter(problem.kind for problem in self.problems)
        lines = [
            f"{self.archive} ({self.release}): {self.found:,} patches found",
            f"{self.store} ({self.profile}): {self.rows_stored:,} of {self.rows:,} rows stored, {self.written:,} now",
        ]
        counts: dict[str, int] = {
            "quarantined": len(self.quarantined),
            **{str(kind): count for kind, count in kinds.items()},
            "without a reference map": len(self.without_map),
            "not in the metadata": self.unlisted,
        }
        left = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
        return "\n".join([*lines, f"left out or incomplete: {left}"] if left else lines)

    def write_json(self, path: Path) -> None:
        """Write the whole account as JSON."""
        derived = ("found", "unpaired", "is_cut_short", "complete")
        content = asdict(self) | {"store": str(self.store)} | {name: getattr(self, name) for name in derived}
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def left_out_lines(report: IngestReport, most: int = 20) -> Iterator[str]:
    """Lay out what gave no row, or lacks something, by kind, name and reason: a table in rich's markup.

    Lists `most` at most; another line says how many there are more. Its lines are as long as they are: names are to be
    copied, and a narrow terminal breaks them itself.
    """
    shown, rest = report.left_out[:most], len(report.left_out) - most
    widths = [max(map(len, column)) for column in zip(("what", "patch"), *(line[:2] for line in shown), strict=True)]
    yield f"[bold]{'what':<{widths[0]}}  {'patch':<{widths[1]}}  why[/]"
    for kind, name, reason in shown:
        color, gap = _COLORS.get(kind, "yellow"), " " * (widths[0] - len(kind))
        yield f"[{color}]{kind}[/]{gap}  {escape(name):<{widths[1]}}  {escape(_in_short(reason))}"
    if rest > 0:
        yield f"… and {rest:,} more; --report FILE writes all"


def _in_short(reason: str) -> str:
    """A reason without the place, which the name tells, and without what to do, which is the same for all."""
    problem = reason.rpartition("; ")[0] or reason
    return problem.partition(" is not used: ")[2] or problem
