"""Importing the package is cheap, and registers `.ben`."""

import json
import subprocess
import sys

import pytest

import bigearth_xr as bex

HEAVY = {
    "cupy",
    "dask.array",
    "distributed",
    "numba",
    "pyarrow.parquet",
    "rasterio",
    "tensorstore",
    "torch",
    "zarr",
}
MAX_IMPORT_MS = 150


def printed_by(code: str) -> str:
    """Run `code` in a fresh interpreter where warnings are errors."""
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_import_loads_nothing_heavy() -> None:
    code = "import bigearth_xr, json, sys; print(json.dumps(list(sys.modules)))"
    assert not HEAVY & set(json.loads(printed_by(code)))


def test_import_adds_little_to_xarray() -> None:
    code = (
        "import time, xarray; start = time.process_time(); import bigearth_xr; "
        "print(1000 * (time.process_time() - start))"
    )
    # CPU time, and the best of three: another process is not our cost.
    assert min(float(printed_by(code)) for _ in range(3)) <= MAX_IMPORT_MS


def test_import_registers_the_accessor() -> None:
    code = "import bigearth_xr, xarray; print(hasattr(xarray.Dataset, 'ben'))"
    assert printed_by(code).strip() == "True"


def test_engine_alone_registers_the_accessor() -> None:
    code = "import xarray; 'bigearth' in xarray.backends.list_engines(); print(hasattr(xarray.Dataset, 'ben'))"
    assert printed_by(code).strip() == "True"


def test_every_public_name_resolves() -> None:
    assert list(bex.__all__) == sorted(bex.__all__) == dir(bex)
    assert all(hasattr(bex, name) for name in bex.__all__)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'opne'; it has .*'open'"):
        bex.opne  # type: ignore[attr-defined]  # noqa: B018
