"""Runs killed by signal 9, at moments drawn at random between their beginning and their end."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks._trials import Archives, Fault, Trial
from bigearth_xr.releases import Release
from bigearth_xr.store.codec import ProfileName
from bigearth_xr.testing.faults import truncated

__all__ = ["kill_runs"]

KILLS = 4
"""Of each kind of run: half of them of the process group, half of the parent alone."""

IN_A_ROW = 2
"""Kills of one store before it may be finished."""

SEED = 4

RUNS: tuple[tuple[str, ProfileName, Release], ...] = (
    ("folder", "fast", "v2"),
    ("folder", "compact", "v1"),
    ("tar", "fast", "v1"),
    ("tar", "compact", "v2"),
    ("tar.gz", "fast", "v1"),
    ("tar.gz", "compact", "v2"),
    ("tar.zst", "fast", "v2"),
    ("tar.zst", "compact", "v1"),
    ("lmdb", "fast", "v2"),
    ("lmdb", "compact", "v1"),
    ("published tar.gz", "fast", "v1"),
    ("published tar.zst", "compact", "v2"),
)

MOVES: tuple[tuple[str, ProfileName, Release], ...] = (("tar", "fast", "v2"), ("tar.zst", "compact", "v1"))
"""Runs that go on where an archive was cut short, so that rows move."""


def kill_runs(archives: Archives, folder: Path) -> Iterator[Fault]:
    """Kill runs of every kind, and let the last of each store end."""
    luck = random.Random(SEED)
    for kind, profile, version in RUNS:
        fault = Fault(fault="kill -9", where=f"{kind}, {profile}, {version}")
        lists = archives.get("folder", "v1")[0] / "lists" if (kind, version) == ("lmdb", "v1") else None
        trial = Trial(folder=folder, archive=archives.get(kind, version), profile=profile, lists=lists)
        yield _kill_all(trial, fault, luck)
    for kind, profile, version in MOVES:
        fault = Fault(fault="kill -9 while rows move", where=f"{kind}, {profile}, {version}")
        archive = archives.get(kind, version)
        part = archives.root / f"part-{archive[0].name}.{kind}"
        truncated(archive[0], part, at=0.6)
        yield _kill_all(Trial(folder=folder, archive=archive, profile=profile), fault, luck, begun_with=(part,))
        part.unlink()


def _kill_all(trial: Trial, fault: Fault, luck: random.Random, begun_with: Sequence[Path] | None = None) -> Fault:
    """Kill a few runs of each of a few stores, and compare the ends."""
    assert trial.expected
    duration_s = _undisturbed_s(trial, begun_with)
    while fault.times < KILLS:
        # What is random is when: of a run that ended before, another one takes the place.
        trial.begin()
        if begun_with:
            trial.run(begun_with)
        for _ in range(IN_A_ROW):
            is_group = fault.times % 2 == 0
            code = _run_and_kill(trial, luck.uniform(0, duration_s), is_group=is_group)
            if code == 0:
                fault.note("ended before it was killed")
                break
            fault.times += 1
            fault.exit_codes.add(code)
            fault.note("group killed" if is_group else "parent killed")
            trial.check_opens(fault)
        trial.check_end(fault)
    return fault


def _undisturbed_s(trial: Trial, begun_with: Sequence[Path] | None) -> float:
    """How long a run takes from when it has begun."""
    trial.begin()
    if begun_with:
        trial.run(begun_with)
    process = subprocess.Popen(trial.ingest(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _wait_for_begin(trial, process)
    start = time.monotonic()
    process.wait()
    return time.monotonic() - start


def _run_and_kill(trial: Trial, delay_s: float, *, is_group: bool) -> int:
    """Kill a run some time after it has begun; its exit code."""
    process = subprocess.Popen(
        trial.ingest(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        _wait_for_begin(trial, process)
        process.wait(timeout=delay_s)
    except subprocess.TimeoutExpired:
        if is_group:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    return process.wait()


def _wait_for_begin(trial: Trial, process: "subprocess.Popen[bytes]") -> None:
    """Wait until a run has locked its store; what came before is the start of an interpreter."""
    lock = trial.store.with_suffix(".lock")
    lock.unlink(missing_ok=True)
    while not lock.exists() and process.poll() is None:
        time.sleep(0.002)
