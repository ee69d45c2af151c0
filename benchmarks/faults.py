"""What happens to an ingest and to its archive, and what comes of it: the fault table.

Every kind of fault is tried on several containers, profiles and releases: signal 9 at random moments (seeded), also
while the second pass runs and while rows move; a full disk; tars that end early, or have a flipped byte; bad GeoTIFFs;
members that no archive has; Dask workers that are lost. After each fault the store, where there is one, has to open and
to say that it is incomplete; in the end every file has to be as an undisturbed run writes it, byte for byte, and there
may be no other. 1,100 synthetic pairs, two workers, through the command line but for the cluster.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks._cluster import lose_workers
from benchmarks._damage import corrupt, cut_short, fill_disk, send_hostile
from benchmarks._kills import kill_runs
from benchmarks._trials import PAIRS, Archives, Fault

__all__ = ["main"]

_WIDTH = 200
_TRIALS: tuple[Callable[[Archives, Path], Iterator[Fault]], ...] = (
    kill_runs,
    fill_disk,
    cut_short,
    corrupt,
    send_hostile,
    lose_workers,
)


def main() -> dict[str, Any]:
    """Try all faults, print the table, and give its lines."""
    faults: list[Fault] = []
    with TemporaryDirectory() as folder:
        archives = Archives(Path(folder) / "archives")
        for trial in _TRIALS:
            faults += trial(archives, Path(folder) / "store")
    Console(width=_WIDTH).print(_table(faults))
    return {
        "pairs": PAIRS,
        "kills": sum(one.times for one in faults if one.fault.startswith("kill")),
        "faults": sum(one.times for one in faults),
        "lines_with_other_bytes": sum(not one.is_same for one in faults),
        "patches_lost": sum(one.lost for one in faults),
        "lines": [asdict(one) | {"exit_codes": sorted(one.exit_codes)} for one in faults],
    }


def _table(faults: list[Fault]) -> Table:
    """Lay out the lines."""
    table = Table(
        "fault", "where", "times", "end bytes same", "patches lost", "exit codes", "what was found", "message"
    )
    for one in faults:
        notes = "; ".join(f"{text} × {count}" for text, count in one.notes.items())
        codes = ", ".join(map(str, sorted(one.exit_codes)))
        cells = (str(one.times), "yes" if one.is_same else "NO", str(one.lost), codes, notes, one.message)
        table.add_row(one.fault, one.where, *cells)
    return table
