"""The pipeline as session fixtures, and what decides which tests run.

Tests that need torch have ``torch`` in their file's name. ``TORCH=0`` leaves them
out by that name where torch is not installed; without it a missing torch is an
error, so that nothing is skipped in silence.
"""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
HAS_TORCH = find_spec("torch") is not None

# A shared or throttled machine misses hypothesis's 200 ms now and then; what a
# property costs is a matter for benchmarks/.
settings.register_profile("bigearth", deadline=None)
settings.load_profile("bigearth")

collect_ignore_glob = [] if HAS_TORCH else ["test_*torch*.py"]


def pytest_configure() -> None:
    """Refuse to run without torch, unless that was asked for."""
    if not HAS_TORCH and os.environ.get("TORCH") != "0":
        raise pytest.UsageError(
            "torch is not installed, so its tests cannot run; install it "
            "(pip install -e '.[torch]') or leave them out with TORCH=0"
        )


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder that holds real patches and lists under ``data/``."""
    folder = Path(os.environ.get("BIGEARTH_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"real data not found at {folder}; set BIGEARTH_SHARED")
    return folder
