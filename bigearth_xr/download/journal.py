"""Which bytes of a partial file are there, noted beside it as they come.

A line for what the server said of the file, then one for each range that is on disk. Lines are only added, so that a
process killed at any moment leaves at most a torn last one.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from bigearth_xr.download.connection import Version

__all__ = ["Journal", "Range", "cut", "gaps", "read_journal", "start_journal"]

Range = tuple[int, int]
"""First byte, and the one behind the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """What was fetched of one file."""

    address: str
    """Where it was fetched from."""

    version: Version
    """Which version it is of."""

    held: tuple[Range, ...] = ()
    """Bytes on disk when the journal was opened: ascending, apart from each other."""

    path: Path
    """Where the journal is kept."""

    lock: Lock
    """Held by the thread that writes a line."""

    def add(self, start: int, stop: int) -> None:
        """Note that these bytes are on disk."""
        with self.lock, self.path.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps([start, stop])}\n")


def start_journal(path: Path, address: str, version: Version, held: tuple[Range, ...] = ()) -> Journal:
    """Begin a journal, in place of an earlier one whose ranges are passed on.

    Examples
    --------
    >>> path = getfixture("tmp_path") / "x.part.ranges"
    >>> journal = start_journal(path, "https://example.org/x", Version(size=100))
    >>> journal.add(0, 10)
    >>> journal.add(10, 40)
    >>> read_journal(path).held
    ((0, 40),)
    """
    head = {"address": address, "size": version.size, "etag": version.etag, "modified": version.modified}
    lines = [json.dumps(head), *(json.dumps(one) for one in held)]
    new = path.with_name(f"{path.name}.new")
    new.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    os.replace(new, path)
    return Journal(address=address, version=version, held=held, path=path, lock=Lock())


def read_journal(path: Path) -> Journal | None:
    """Read what an earlier run has left.

    Returns
    -------
    Journal or None
        None if there is none, or none of ours.

    Examples
    --------
    >>> read_journal(getfixture("tmp_path") / "nothing") is None
    True
    """
    try:
        head, *lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        said = json.loads(head)
        version = Version(size=int(said["size"]), etag=said["etag"], modified=said["modified"])
        held = _merged(filter(None, map(_range, lines)))
        address = str(said["address"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    if held and not 0 <= held[0][0] < held[-1][1] <= int(said["size"]):
        return None
    return Journal(address=address, version=version, held=held, path=path, lock=Lock())


def gaps(held: Iterable[Range], size: int) -> list[Range]:
    """What is missing between ascending ranges.

    Examples
    --------
    >>> gaps([(0, 10), (30, 40)], 50)
    [(10, 30), (40, 50)]
    """
    missing, position = [], 0
    for start, stop in held:
        if start > position:
            missing.append((position, start))
        position = stop
    return [*missing, (position, size)] if position < size else missing


def cut(ranges: Iterable[Range], most: int) -> list[Range]:
    """Divide ranges into pieces of at most so many bytes.

    Examples
    --------
    >>> cut([(10, 30), (40, 50)], 15)
    [(10, 25), (25, 30), (40, 50)]
    """
    return [(at, min(at + most, stop)) for start, stop in ranges for at in range(start, stop, most)]


def _range(line: str) -> Range | None:
    """Read a line; None if it was torn, or another was written behind a torn one."""
    try:
        start, stop = json.loads(line)
    except ValueError:
        return None
    return (start, stop) if line.endswith("\n") else None


def _merged(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """Join ranges that touch or overlap."""
    merged: list[Range] = []
    for start, stop in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return tuple(merged)
