"""Planning the ingest of a whole release, 590,326 pairs of v1, before its first pixel: peak memory and CPU time.

Names are real (the published lists, extra ``sample``). The nine million files are named one after the other, as the
reader of a tar names them, and have no pixels; JSONs are written as they are asked for, so that labels are read and
checked as ever. ``tar``: where each file lies is known; ``stream``: the names have passed by. Each is planned in a
fresh process, up to and including the empty store and the job of its first shard. ``peak_mb`` is of the whole process;
``own_mb`` is that without the names that the benchmark itself holds, which nobody holds who reads an archive. The CPU
time is that of all of it, with the making of names and JSONs, which stands apart as ``names_cpu_s``.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch as replaced

from benchmarks._names import PARTS, Names, Part
from benchmarks._processes import call_apart, cpu_s, peak_mb
from bigearth_xr.archive.names import JSON_SUFFIX
from bigearth_xr.archive.source import Data, JoinedSource, Refusal
from bigearth_xr.archive.streams import MemberStream, StreamIndex
from bigearth_xr.archive.tar import Member
from bigearth_xr.archive.tar_source import Places, TarFile, TarSource, build_index
from bigearth_xr.bands import BANDS
from bigearth_xr.ingestion import stream
from bigearth_xr.ingestion.contents import Request
from bigearth_xr.ingestion.plan import Plan, plan_files
from bigearth_xr.ingestion.stream import Receiver, receive
from bigearth_xr.ingestion.stream_plan import plan_streams
from bigearth_xr.progress import Progress
from bigearth_xr.sample import sample_lists
from bigearth_xr.store.location import location_of

ROUNDS = 3


def main() -> dict[str, Any]:
    """Plan from each kind of container; of three rounds the shortest time and the highest peak."""
    figures: dict[str, object] = {"rounds": ROUNDS}
    for kind in ("tar", "stream"):
        rounds = [call_apart(plan_release, kind) for _ in range(ROUNDS)]
        figures[kind] = {
            name: (max if name.endswith("_mb") else min)(one[name] for one in rounds) for name in rounds[0]
        }
    return figures


def plan_release(kind: str) -> dict[str, float]:
    """Plan the ingest of all pairs, from plain tars or from streams, in this process."""
    planners: Mapping[str, Callable[[Names, Request], Plan]] = {"tar": _plan_tars, "stream": _plan_streams}
    imports_mb = peak_mb()
    names = Names()
    with TemporaryDirectory() as folder:
        request = Request(
            archive=tuple(PARTS),
            store=location_of(Path(folder) / "ben.zarr"),
            metadata=(sample_lists(),),
            sensors=("s1", "s2"),
            bands=tuple(band.name for band in BANDS),
            rows="found",
            profile="fast",
        )
        before_mb, start = peak_mb(), cpu_s()
        plan = planners[kind](names, request)
        plan.job(0)
        plan_cpu_s, highest_mb = cpu_s() - start, peak_mb()
        row_plan = plan.row_plan
    return {
        "pairs": len(plan.contents.archive.patches),
        "rows": row_plan.store.rows,
        "shards": len(row_plan.shards),
        "plan_cpu_s": plan_cpu_s,
        "names_cpu_s": _names_cpu_s(names),
        "peak_mb": highest_mb,
        "own_mb": highest_mb - (before_mb - imports_mb),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _NamedTar(TarSource):
    """A tar of names."""

    names: Names
    """What it is of."""

    part: Part
    """Which of its archives."""

    def _read(self, places: Places) -> dict[str, Data]:
        """Make the JSONs that are asked for."""
        return {file: self.names.json_at(self.part, offset) for file, (offset, _) in places.items()}


def _plan_tars(names: Names, request: Request) -> Plan:
    """Plan from an index of where each file lies."""
    parts = []
    for part in PARTS:
        index, refused = build_index(names.entries(part), part)
        tar = _NamedTar(name=part, file=TarFile([]), stamp=(0, 0), index=index, refused=refused, names=names, part=part)
        parts.append((part, tar))
    with Progress() as progress:
        return plan_files(JoinedSource(tuple(parts)), request, progress)


def _plan_streams(names: Names, request: Request) -> Plan:
    """Plan from names that pass by; where pixels would be decoded, nothing is done."""

    @contextmanager
    def open_members(container: str, _: object) -> Iterator[MemberStream]:
        yield MemberStream(members=_members(names, "s1" if container == "s1" else "s2"), position=lambda: 0, size=None)

    def note(
        members: Iterator[Member | Refusal], index: StreamIndex, receiver: Receiver, advance: Callable[[], None]
    ) -> None:
        # What tells where pixels go.
        assert receiver.slots.numbers
        assert len(receiver.slots.places)
        receive(members, index, None, advance)

    with replaced.multiple(stream, open_members=open_members, receive=note), Progress() as progress:
        return plan_streams(list(PARTS), request, progress)


def _members(names: Names, part: Part) -> Iterator[Member]:
    for path, offset, _ in names.entries(part):
        yield Member(path, names.json_at(part, offset) if path.endswith(JSON_SUFFIX) else b"")


def _names_cpu_s(names: Names) -> float:
    """What the benchmark itself takes for names and JSONs."""
    start = cpu_s()
    for part in PARTS:
        for _ in _members(names, part):
            pass
    return cpu_s() - start
