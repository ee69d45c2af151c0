"""The pipeline as session fixtures, and what decides which tests run.

Tests that need torch have ``torch`` in their file's name. ``TORCH=0`` leaves them
out by that name where torch is not installed; without it a missing torch is an
error, so that nothing is skipped in silence.
"""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest
import xarray as xr
from holdings import copy_store
from hypothesis import settings

import bigearth_xr as bex
from bigearth_xr.releases import Release

ROOT = Path(__file__).resolve().parent.parent
PAIRS = 24
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


# The pipeline, once a session and a release: archive → store → ds. The table is `bex.table.read(store's parquet)`.
# Tests that change a store take a copy of it, `own`.


@pytest.fixture(scope="session", params=["v1", "v2"])
def release(request: pytest.FixtureRequest) -> Release:
    """Each release in turn."""
    found: Release = request.param
    return found


@pytest.fixture(scope="session")
def archive(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic archive of 24 pairs; pixels are those of `formula_pixels`."""
    return bex.testing.write_archive(tmp_path_factory.mktemp("archive") / release, pairs=PAIRS, version=release)


@pytest.fixture(scope="session", params=["fast", "compact"])
def store(request: pytest.FixtureRequest, archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of that archive, in each profile."""
    path = tmp_path_factory.mktemp("store") / "ben.zarr"
    bex.ingest(archive, path, profile=request.param)
    return path


@pytest.fixture
def own(store: Path, tmp_path: Path) -> Path:
    """A copy of that store, which a test may damage."""
    return copy_store(store, tmp_path)


@pytest.fixture
def ds(store: Path) -> xr.Dataset:
    """That store, opened: Dask-backed, nothing read."""
    return bex.open(store)
