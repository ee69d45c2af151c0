"""Run the benchmarks named, or all: ``python -m benchmarks [NAME ...]``."""

import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results"


def names() -> list[str]:
    """Modules of this folder that measure something, but for those that `make gpu` runs."""
    stems = (path.stem for path in HERE.glob("*.py"))
    return sorted(stem for stem in stems if not stem.startswith("_") and not stem.endswith("_gpu"))


def commit() -> str:
    """Commit that is measured, with ``-dirty`` where the tree differs from it in more than results."""
    head = subprocess.check_output(["git", "rev-parse", "--short=12", "HEAD"], cwd=HERE, text=True).strip()
    changes = ["git", "status", "--porcelain", "--", ".", ":!benchmarks/results"]
    return f"{head}-dirty" if subprocess.check_output(changes, cwd=HERE.parent, text=True) else head


def run(name: str) -> None:
    """Measure one claim and write its figures to ``results/NAME.json``."""
    result = {
        "benchmark": name,
        "commit": commit(),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
        },
        "figures": import_module(f"benchmarks.{name}").main(),
    }
    text = json.dumps(result, indent=2)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    for chosen in sys.argv[1:] or names():
        run(chosen)
