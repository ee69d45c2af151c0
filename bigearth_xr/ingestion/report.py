"""What an ingest found and did, patch by patch where something was wrong."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from bigearth_xr.archive import Problem
from bigearth_xr.labels import Release
from bigearth_xr.store.schema import Profile

__all__ = ["IngestReport"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestReport:
    """The account of one ingest: every patch found is stored, quarantined or a problem."""

    archive: Path
    """Folder of the archive."""

    store: Path
    """Folder of the store."""

    release: Release
    """Release of the archive."""

    profile: Profile
    """How pixels are encoded."""

    rows: int
    """Rows of the store, patches that are not in this archive included."""

    found: int
    """Patches of this archive that can have a row."""

    stored: int
    """Rows of the store whose pixels are there now, from this ingest or an earlier one."""

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

    @property
    def complete(self) -> bool:
        """Whether every row of the store has its pixels."""
        return self.stored == self.rows

    @property
    def failures(self) -> tuple[str, ...]:
        """One line for each thing that was wrong."""
        maps = (f"{patch}: has no reference map, others of this archive have" for patch in self.without_map)
        return (*self.quarantined.values(), *(problem.message for problem in self.problems), *maps)

    def __str__(self) -> str:
        return self.summary()

    def summary(self) -> str:
        """Say in a few lines what was found, stored and left out."""
        kinds = Counter(problem.kind for problem in self.problems)
        lines = [
            f"{self.archive} ({self.release}): {self.found:,} patches found",
            f"{self.store} ({self.profile}): {self.stored:,} of {self.rows:,} rows stored, {self.written:,} now",
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
        content = asdict(self) | {"archive": str(self.archive), "store": str(self.store), "complete": self.complete}
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
