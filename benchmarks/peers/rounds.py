"""What a process that is measured does: carry out what it is told, and say what that took."""

import json
import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Action", "serve"]

Action = Callable[[int], int]
"""Goes through an epoch, of which it is told the number, and gives how many pairs that were."""

LEAST_S = 0.5
"""An action is repeated for as long: what takes less is measured too coarsely."""


def serve(actions: Mapping[str, Action], pixels: Callable[[], NDArray[Any]], facts: Mapping[str, Any]) -> None:
    """Carry out what standard input asks for, line by line, and answer each with a line of JSON.

    Parameters
    ----------
    actions
        What can be measured, by name.
    pixels
        Gives what is compared with the others', to be saved as a file.
    facts
        What is to be known of this process, e.g. versions; the first line.
    """
    print(json.dumps({"actions": [*actions], **facts}), flush=True)
    for epoch, line in enumerate(sys.stdin):
        order = json.loads(line)
        if "save" in order:
            np.save(Path(order["save"]), pixels())
            answer: dict[str, float] = {}
        else:
            answer = _measured(actions[order["measure"]], epoch)
        print(json.dumps(answer), flush=True)


def _measured(action: Action, epoch: int) -> dict[str, float]:
    """Pairs, and the time they took by the clock and of all processors, that of ended children included, seconds."""
    pairs, cpu, wall = 0, _cpu_s(), time.perf_counter()
    while time.perf_counter() < wall + LEAST_S:
        pairs += action(epoch)
    return {"pairs": pairs, "wall_s": time.perf_counter() - wall, "cpu_s": _cpu_s() - cpu}


def _cpu_s() -> float:
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
