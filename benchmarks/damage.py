"""What damage to any file of a store comes to: what readers answer, what `verify` finds, what a repair leaves.

Of each kind of file in a small store (both releases and profiles), bits are flipped (seeded), ends cut off and files
deleted, one at a time. Then every reader of this package reads all that there is: the right values, an error that names
the file, or a wrong answer; ``verify`` has to find it, through the command line as well, and a repair has to leave
every byte as it was. Vectors of embeddings cannot be read from an archive: after a repair ``bex.embed`` makes them
again, to the same bytes.
"""

import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table

import bigearth_xr as bex
from benchmarks._answers import answers, judge
from benchmarks._specimen import Specimen
from benchmarks._wounds import Wound, wounds
from bigearth_xr.errors import BigEarthError
from bigearth_xr.releases import Release
from bigearth_xr.store.codec import ProfileName

__all__ = ["STORES", "Line", "damage", "main", "total"]

STORES: tuple[tuple[Release, ProfileName], ...] = (("v2", "fast"), ("v2", "compact"), ("v1", "compact"), ("v1", "fast"))
_WIDTH = 150
_MOST_NOTES = 5


@dataclass(slots=True, kw_only=True)
class Line:
    """One line of the table: what came of all damages to files of one kind."""

    kind: str
    """Kind of file."""

    flips: int = 0
    """Single bits flipped."""

    cuts: int = 0
    """Ends cut off."""

    deletions: int = 0
    """Files deleted."""

    wrong: int = 0
    """Damages after which a reader gave other values without a word."""

    unnamed: int = 0
    """Of the others, those after which an error was not one of ours, or named no file."""

    refused: int = 0
    """Of the others, those that a reader refused by name."""

    missed: int = 0
    """Damages that `verify` did not find."""

    tracebacks: int = 0
    """Verifications and repairs that ended in an error that is not one of ours."""

    unrepaired: int = 0
    """Damages after whose repair a byte was another, or something was called wrong."""

    notes: list[str] = field(default_factory=list)
    """Some of what should not be."""

    @property
    def times(self) -> int:
        """How many damages there were."""
        return self.flips + self.cuts + self.deletions

    @property
    def failures(self) -> int:
        """How many should not be."""
        return self.wrong + self.unnamed + self.missed + self.tracebacks + self.unrepaired


def main(flips: int = 20, cuts: int = 20) -> dict[str, Any]:
    """Damage stores of both releases and profiles, each kind of file so many times; print the table and give it."""
    with ProcessPoolExecutor(2) as pool:
        found = list(pool.map(damage_store, *zip(*STORES, strict=True), [flips] * len(STORES), [cuts] * len(STORES)))
    lines = total([line for of_store in found for line in of_store])
    Console(width=_WIDTH).print(_table(lines))
    everything = Line(kind="all")
    for line in lines:
        _add(everything, line)
    return {**asdict(everything), "times": everything.times, "lines": [asdict(line) for line in lines]}


def damage_store(release: Release, profile: ProfileName, flips: int, cuts: int) -> list[Line]:
    """Damage one store in every way."""
    with TemporaryDirectory() as folder:
        specimen = Specimen(Path(folder), release, profile)
        return damage(specimen, list(wounds(specimen, flips=flips, cuts=cuts)))


def damage(specimen: Specimen, chosen: Sequence[Wound], *, command_line: bool = True) -> list[Line]:
    """Damage a store in these ways, one after the other, and tell what came of it by kind of file.

    Parameters
    ----------
    specimen
        The store; in the end it is as it was.
    chosen
        What to do to it.
    command_line
        Whether the first damage of each kind and sort is shown to the command line too.
    """
    right = answers(specimen.store)
    lines: dict[str, Line] = {}
    shown: set[tuple[str, str]] = set()
    for wound in chosen:
        line = lines.setdefault(wound.kind, Line(kind=wound.kind))
        setattr(line, f"{wound.how}s", getattr(line, f"{wound.how}s") + 1)
        wound.inflict(specimen.store.parent)

        def note(what: str, wound: Wound = wound, line: Line = line) -> None:
            line.notes.append(f"{wound.how} at {wound.at} of {wound.file}: {what}"[:400])

        _read(specimen, wound, right, line, note)
        _verify(specimen, line, note)
        if command_line and (wound.kind, wound.how) not in shown:
            _call(specimen, line, note)
        shown.add((wound.kind, wound.how))
        _repair(specimen, line, note)
        specimen.restore()
    return list(lines.values())


Note = Callable[[str], None]


def _read(specimen: Specimen, wound: Wound, right: Any, line: Line, note: Note) -> None:
    """Let everybody read; what counts is the worst."""
    told = judge(specimen.store, right, wound.file)
    outcomes = {outcome for outcome, _ in told.values()}
    worst = next(outcome for outcome in ("wrong", "unnamed", "refused", "right") if outcome in outcomes)
    if worst != "right":
        setattr(line, worst, getattr(line, worst) + 1)
    for reader, (outcome, text) in told.items():
        if outcome in ("wrong", "unnamed"):
            note(f"{reader} {outcome}: {text}")


def _verify(specimen: Specimen, line: Line, note: Note) -> None:
    """See that it is found, without the archive."""
    try:
        is_found = not bex.verify(specimen.store, workers=1).sound
    except BigEarthError:
        is_found = True  # the call ends with a message, and exit code 2
    except Exception as error:  # whatever it is, it is a finding
        line.tracebacks += 1
        note(f"verify: {type(error).__name__}: {error}")
        return
    if not is_found:
        line.missed += 1
        note("verify: sound")


def _call(specimen: Specimen, line: Line, note: Note) -> None:
    """See that the command line says so too."""
    code = "from bigearth_xr.cli import main; main()"
    command = [sys.executable, "-c", code, "verify", str(specimen.store), "--workers", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "Traceback" in done.stderr:
        line.tracebacks += 1
        note(f"bigearth verify: {done.stderr[-200:]}")
    elif done.returncode not in (1, 2):
        line.missed += 1
        note(f"bigearth verify: exit code {done.returncode}")


def _repair(specimen: Specimen, line: Line, note: Note) -> None:
    """See that a repair leaves the same bytes; vectors are computed again."""
    lists = specimen.lists
    try:
        report = bex.verify(specimen.store, specimen.archive, metadata=lists, sample="all", repair=True, workers=1)
        specimen.embed()
    except BigEarthError as error:
        line.unrepaired += 1
        note(f"repair: {type(error).__name__}: {error}")
        return
    except Exception as error:  # whatever it is, it is a finding
        line.tracebacks += 1
        note(f"repair: {type(error).__name__}: {error}")
        return
    differing = specimen.differing()
    if differing or not report.sound:
        line.unrepaired += 1
        note(f"repair: differs in {differing}, {report.failures[:2]}")


def total(lines: Sequence[Line]) -> list[Line]:
    """Add up lines of several stores by kind of file."""
    sums: dict[str, Line] = {}
    for line in lines:
        _add(sums.setdefault(line.kind, Line(kind=line.kind)), line)
    return list(sums.values())


def _add(one: Line, other: Line) -> None:
    for name, value in asdict(other).items():
        if isinstance(value, int):
            setattr(one, name, getattr(one, name) + value)
    one.notes = (one.notes + other.notes)[:_MOST_NOTES]


def _table(lines: Sequence[Line]) -> Table:
    """Lay out the lines."""
    table = Table("kind of file", box=None)
    for heading in ("flips", "cuts", "deletions", "silently wrong", "unnamed errors", "refused by name",
                    "not found", "tracebacks", "not repaired"):  # fmt: skip
        table.add_column(heading, justify="right")
    for line in lines:
        counts = [line.flips, line.cuts, line.deletions, line.wrong, line.unnamed, line.refused, line.missed]
        table.add_row(line.kind, *(f"{count:,}" for count in (*counts, line.tracebacks, line.unrepaired)))
    return table
