"""What processes take: CPU time with that of their children, and memory of a whole tree of them. Linux only."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Event, Thread
from typing import Any

__all__ = ["call_apart", "children_cpu_s", "cpu_s", "peak_mb", "peak_of_tree", "timed"]

_ROOT = Path(__file__).parents[1]
_CALL = "import json, sys; from {module} import {function} as call; print(json.dumps(call(*json.loads(sys.argv[1]))))"


def cpu_s() -> float:
    """CPU time so far, system calls included, of this process and of all children that have ended, seconds."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def children_cpu_s() -> float:
    """CPU time so far of all children that have ended, seconds."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def timed(action: Callable[[], object]) -> tuple[float, float]:
    """Carry out an action; its CPU time and its time by the clock, seconds."""
    cpu, wall = cpu_s(), time.perf_counter()
    action()
    return cpu_s() - cpu, time.perf_counter() - wall


def peak_mb() -> float:
    """Most memory that this process has had, MB: not ru_maxrss, which it inherits from the one that started it."""
    return _status(Path("/proc/self"), "VmHWM:")


def call_apart(function: Callable[..., Any], *arguments: object) -> Any:
    """Call a function of a benchmark in a fresh interpreter; arguments and result travel as JSON."""
    code = _CALL.format(module=function.__module__, function=function.__name__)
    command = [sys.executable, "-c", code, json.dumps(arguments)]
    return json.loads(subprocess.check_output(command, cwd=_ROOT, text=True).splitlines()[-1])


def peak_of_tree(command: Iterable[str], *, every_s: float = 0.05) -> dict[str, float]:
    """Run a command; the most memory that it and its descendants had at once, MB.

    Memory is the proportional set size, in which what processes share counts once; ``one`` is the largest peak
    resident set of a single process.
    """
    process = subprocess.Popen(list(command), stdout=subprocess.DEVNULL, cwd=_ROOT)
    peaks = {"tree_mb": 0.0, "one_mb": 0.0}
    ended = Event()

    def watch() -> None:
        while not ended.wait(every_s):
            members = [Path(f"/proc/{pid}") for pid in _tree(process.pid)]
            peaks["tree_mb"] = max(peaks["tree_mb"], sum(_status(member, "Pss:", "smaps_rollup") for member in members))
            peaks["one_mb"] = max(peaks["one_mb"], *(_status(member, "VmHWM:") for member in members), 0)

    thread = Thread(target=watch)
    thread.start()
    code = process.wait()
    ended.set()
    thread.join()
    if code:
        raise subprocess.CalledProcessError(code, process.args)
    return peaks


def _tree(root: int) -> list[int]:
    """Give a process and its descendants, those that ended a moment ago left out."""
    found = [root]
    for pid in found:
        try:
            children = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
        except OSError:
            continue
        found += map(int, " ".join(children).split())
    return found


def _status(process: Path, field: str, file: str = "status") -> float:
    """Read a field of a process, kB in the file; 0 MB if it has ended."""
    try:
        lines = (process / file).read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(field)), 0.0)
