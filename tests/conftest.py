"""The pipeline as session fixtures, and what decides which tests run.

Tests that need torch have ``torch`` in their file's name. ``TORCH=0`` leaves them
out by that name where torch is not installed; without it a missing torch is an
error, so that nothing is skipped in silence.
"""

import bz2
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Generator, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import xarray as xr
from downloads import CONTENT
from faulty_server import Site, serving
from fused_on_host import compile_for_host
from holdings import copy_store
from hypothesis import settings
from openings import CHUNKED_OPENERS, OPENERS, Opener

import bigearth_xr as bex
from bigearth_xr.archive import tiff
from bigearth_xr.releases import Release
from bigearth_xr.store.open import open_store
from bigearth_xr.testing import encode_tiff, formula_pixels, synthetic_pair

ROOT = Path(__file__).resolve().parent.parent
PAIRS = 24
HAS_TORCH = find_spec("torch") is not None
NO_REAL_DATA = "real data not found at"

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


@pytest.hookimpl(tryfirst=True)  # before those of other tiers are left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to ``make prove`` all but one in n combinations of a ``sampled`` test, and of no value its only ones."""
    tests: defaultdict[str, list[pytest.Function]] = defaultdict(list)
    for item in items:
        if item.get_closest_marker("sampled") and not item.get_closest_marker("prove"):
            assert isinstance(item, pytest.Function)
            tests[item.nodeid.partition("[")[0]].append(item)
    for combinations in tests.values():
        marker = combinations[0].get_closest_marker("sampled")
        assert marker is not None
        values = [{name: id(value) for name, value in item.callspec.params.items()} for item in combinations]
        kept = sample(values, len(combinations) // marker.args[0])
        for place, item in enumerate(combinations):
            if place not in kept:
                item.add_marker(pytest.mark.prove)


def sample(combinations: Sequence[Mapping[str, int]], at_least: int) -> set[int]:
    """Choose that many combinations, and more until each value of each parameter is in one: the rarest values first."""
    chosen: list[int] = []
    times: Counter[tuple[str, int]] = Counter()
    missing = {value for combination in combinations for value in combination.items()}
    while missing or len(chosen) < at_least:
        left = [place for place in range(len(combinations)) if place not in chosen]
        best = min(left, key=lambda place: sorted(times[value] for value in combinations[place].items()))
        chosen.append(best)
        times.update(combinations[best].items())
        missing -= set(combinations[best].items())
    return set(chosen)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let all tests that lack real data be skipped at one place, which the summary tells in one line."""
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple) and NO_REAL_DATA in report.longrepr[2]:
        report.longrepr = (__file__, 1, report.longrepr[2])
    return report


@pytest.fixture
def no_header_met() -> Iterator[None]:
    """A test begins as a new process does, which has parsed no header of a TIFF."""
    tiff._met.clear()
    tiff._right.clear()
    yield
    tiff._met.clear()
    tiff._right.clear()


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is remembered for other runs goes to a folder of this one."""
    with pytest.MonkeyPatch.context() as patch:
        # One for all workers: what one has read of the long lists, the other need not.
        base = tmp_path_factory.getbasetemp()
        run = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
        patch.setenv("XDG_CACHE_HOME", str(run / "cache"))
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder that holds real patches and lists under ``data/``."""
    folder = Path(os.environ.get("BIGEARTH_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"{NO_REAL_DATA} {folder}; set BIGEARTH_SHARED to it, CONTRIBUTING.md says what it is and whence")
    return folder


@pytest.fixture(scope="session")
def published_lists(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published lists of v1, unpacked once: bzip2 takes seconds for them."""
    folder = tmp_path_factory.mktemp("published")
    for path in (shared / "data" / "v1" / "lists").glob("*.csv.bz2"):
        (folder / path.stem).write_bytes(bz2.decompress(path.read_bytes()))
    return folder


@pytest.fixture(scope="session")
def on_host(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The source of the CUDA kernel, compiled for the host."""
    return compile_for_host(tmp_path_factory.mktemp("fused"))


# The pipeline, once a session and a release: archive → store and table → ds. Tests that change an archive or a store
# take a copy of it, `own_archive` or `own`.


@pytest.fixture(scope="session", params=["v1", "v2"])
def release(request: pytest.FixtureRequest) -> Release:
    """Each release in turn."""
    found: Release = request.param
    return found


@pytest.fixture(scope="session")
def archive(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic archive of 24 pairs; pixels are those of `formula_pixels`."""
    return bex.testing.write_archive(tmp_path_factory.mktemp("archive") / release, pairs=PAIRS, version=release)


@pytest.fixture
def own_archive(archive: Path, tmp_path: Path) -> Path:
    """A copy of that archive, which a test may damage."""
    return shutil.copytree(archive, tmp_path / "own")


@pytest.fixture(scope="session", params=["fast", "compact"])
def store(request: pytest.FixtureRequest, archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of that archive, in each profile."""
    path = tmp_path_factory.mktemp("store") / "ben.zarr"
    bex.ingest(archive, path, profile=request.param)
    return path


@pytest.fixture(scope="session")
def fast_store(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in one profile, for what how pixels are encoded makes no difference to."""
    path = tmp_path_factory.mktemp("fast") / "ben.zarr"
    bex.ingest(archive, path, profile="fast")
    return path


@pytest.fixture(scope="session")
def fresh(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That store once more, to which no test adds embeddings."""
    kind = open_store(store)
    path = tmp_path_factory.mktemp("fresh") / "ben.zarr"
    return bex.testing.write_store(path, pairs=PAIRS, version=kind.release, profile=kind.profile)


@pytest.fixture
def own(store: Path, tmp_path: Path) -> Path:
    """A copy of that store, which a test may damage."""
    return copy_store(store, tmp_path)


@pytest.fixture
def table(store: Path) -> pa.Table:
    """The table beside that store."""
    return bex.table.read(store.with_suffix(".parquet"))


@pytest.fixture
def ds(store: Path) -> xr.Dataset:
    """That store, opened: Dask-backed, nothing read."""
    return bex.open(store)


# Other archives and stores than those of the pipeline.


@pytest.fixture
def v1(tmp_path: Path) -> Path:
    """An archive of 3 pairs of v1, of one test."""
    return bex.testing.write_archive(tmp_path / "v1", pairs=3, version="v1")


@pytest.fixture
def v2(tmp_path: Path) -> Path:
    """An archive of 3 pairs of v2, of one test."""
    return bex.testing.write_archive(tmp_path / "v2", pairs=3)


@pytest.fixture(scope="session")
def long_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of 1,100 patches of v2, which fill two shards, of band B01 alone: many patches, few bytes."""
    root = tmp_path_factory.mktemp("long") / "archive"
    for pair in map(synthetic_pair, range(1100)):
        folder = root / pair.patch
        folder.mkdir(parents=True)
        ulx, uly = pair.corner
        data = encode_tiff(formula_pixels(pair.patch, "B01"), epsg=pair.epsg, ulx=ulx, uly=uly)
        (folder / f"{pair.patch}_B01.tif").write_bytes(data)
    return root


@pytest.fixture(scope="session")
def twelve(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 12 pairs."""
    return bex.testing.write_store(tmp_path_factory.mktemp("twelve") / "ben.zarr", pairs=12)


@pytest.fixture(scope="session")
def other_twelve(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 12 other pairs."""
    return bex.testing.write_store(tmp_path_factory.mktemp("other") / "ben.zarr", pairs=12, seed=1)


@pytest.fixture(scope="session")
def loaded(twelve: Path) -> xr.Dataset:
    """All pixels of the store of 12 pairs, as NumPy arrays."""
    return bex.open(twelve).load()


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 300 pairs, three chunks of 128, with a band of each resolution and one polarization."""
    folder = tmp_path_factory.mktemp("many")
    archive = bex.testing.write_archive(folder / "archive", pairs=300)
    bex.ingest(archive, folder / "ben.zarr", bands=["B01", "B04", "B8A", "VV"])
    shutil.rmtree(archive)
    return folder / "ben.zarr"


@pytest.fixture(scope="session")
def partial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 6 listed pairs, of which the first found is absent, and the second quarantined."""
    folder = tmp_path_factory.mktemp("partial")
    archive = bex.testing.write_archive(folder / "archive", pairs=6)
    absent, damaged = sorted(path for path in archive.glob("BigEarthNet-S2/*/*") if path.is_dir())[:2]
    shutil.rmtree(absent)
    next(damaged.glob("*_B04.tif")).write_bytes(b"no TIFF")
    bex.ingest(archive, folder / "ben.zarr", rows="listed")
    return folder / "ben.zarr"


# How they are opened.


@pytest.fixture(params=OPENERS)
def opener(request: pytest.FixtureRequest) -> Opener:
    """Each way of opening a store in turn."""
    return OPENERS[request.param]


@pytest.fixture(params=CHUNKED_OPENERS)
def any_opener(request: pytest.FixtureRequest) -> Opener:
    """Each of these, and one with other chunks than those preferred."""
    return CHUNKED_OPENERS[request.param]


# What bytes come from.


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that examples of one property may write one after the other."""
    return tmp_path_factory.mktemp("scratch") / "S2.tar"


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A server on loopback with one file to download, and no proxy between it and us."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving({"a.tar": CONTENT}) as site:
        yield site
