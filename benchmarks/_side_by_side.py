"""Processes that do the same, measured in turn; what cannot run is named, with the reason."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks._environments import PEERS, PeerError, last_words, python_of

__all__ = ["Process", "Round", "measure", "ratio", "started", "summary"]

Figures = dict[str, Any]
Round = dict[str, dict[str, dict[str, float]]]
"""Rates by process and action."""


class Process(AbstractContextManager["Process"]):
    """A module of `benchmarks.peers` that waits for orders.

    Parameters
    ----------
    name
        Of the module.
    task
        File that says what all are to do.
    environment
        Whose environment it runs in; by default its own.
    """

    def __init__(self, name: str, task: Path, environment: str | None = None) -> None:
        self.name = name
        python = python_of(environment or name)
        self._log = task.with_name(f"{name}.log").open("w+")
        self._process = subprocess.Popen(
            [str(python), "-m", f"benchmarks.peers.{name}", str(task)],
            cwd=PEERS.parents[1],
            # Some leave files there.
            env={**os.environ, "TMPDIR": str(task.parent)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        try:
            self.facts = self._answer()
        except PeerError:
            self.__exit__()
            raise
        self.actions: list[str] = self.facts.pop("actions")

    def measure(self, action: str) -> dict[str, float]:
        """Pairs and the seconds that they took, as `benchmarks.peers.rounds` counts them."""
        taken: dict[str, float] = self._ask({"measure": action})
        return taken

    def save(self, path: Path) -> None:
        """Have it write the pixels that are compared."""
        self._ask({"save": str(path)})

    def __exit__(self, *_: object) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()
        self._log.close()

    def _ask(self, order: Mapping[str, str]) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        """Its next line of JSON, whatever libraries print between."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        self._process.wait()
        self._log.seek(0)
        raise PeerError(f"{self.name} ended with code {self._process.returncode}: {last_words(self._log.read())}")


def started(
    stack: ExitStack, names: Mapping[str, str | None], task: Path
) -> tuple[dict[str, Process], dict[str, Figures]]:
    """Start modules of `benchmarks.peers`, each in the environment given, or in its own.

    Returns
    -------
    processes, missing
        Those that run; and by name, why others do not.
    """
    processes: dict[str, Process] = {}
    missing: dict[str, Figures] = {}
    for name, environment in names.items():
        try:
            processes[name] = stack.enter_context(Process(name, task, environment))
        except PeerError as error:
            missing[name] = {"missing": str(error)}
            print(f"{name}: {error}", file=sys.stderr)
    return processes, missing


def measure(processes: Iterable[Process], *, rounds: int) -> list[Round]:
    """Measure every action of every process, one at a time, round after round.

    Returns
    -------
    list
        Of each round, by process and action: pairs a second, of one processor's time and by the clock. A round before
        the first, in which everything is done for the first time, is left out.
    """
    processes = [*processes]
    done = [
        {process.name: {action: _rates(process.measure(action)) for action in process.actions} for process in processes}
        for _ in range(rounds + 1)
    ]
    return done[1:]


def summary(rounds: list[Round], processes: Mapping[str, Process]) -> dict[str, Figures]:
    """Give the median of all rounds, and the best, with the facts of each process."""
    return {
        name: {
            **process.facts,
            **{
                action: {
                    "pairs_per_cpu_s": median(one[name][action]["pairs_per_cpu_s"] for one in rounds),
                    "pairs_per_s": median(one[name][action]["pairs_per_s"] for one in rounds),
                    "best_pairs_per_cpu_s": max(one[name][action]["pairs_per_cpu_s"] for one in rounds),
                }
                for action in process.actions
            },
        }
        for name, process in processes.items()
    }


def ratio(rounds: list[Round], one: tuple[str, str], other: tuple[str, str]) -> float:
    """How many times as many pairs a CPU-second one action makes as another, by process and name: median of rounds.

    What disturbs one of a round is likely to disturb the other too.
    """
    return median(
        round_[one[0]][one[1]]["pairs_per_cpu_s"] / round_[other[0]][other[1]]["pairs_per_cpu_s"] for round_ in rounds
    )


def _rates(taken: Mapping[str, float]) -> dict[str, float]:
    pairs = taken["pairs"]
    return {"pairs_per_cpu_s": pairs / taken["cpu_s"], "pairs_per_s": pairs / taken["wall_s"]}
