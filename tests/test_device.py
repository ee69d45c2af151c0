"""Between host and GPU: what is copied, what stays, and what is said where there is no GPU."""

import subprocess
import sys
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from cupy_stand_in import cupy_stand_in

from bigearth_xr.device import gpu_available, on_gpu, to_cpu, to_gpu
from bigearth_xr.errors import DeviceError

PIXELS = np.arange(24, dtype=np.uint16).reshape(2, 3, 2, 2)


@pytest.fixture(params=["stand-in", pytest.param("gpu", marks=pytest.mark.gpu)])
def cupy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """CuPy, or where there is no GPU what behaves like it."""
    if request.param == "stand-in":
        monkeypatch.setitem(sys.modules, "cupy", cupy_stand_in())
    return import_module("cupy")


def without_gpu(monkeypatch: pytest.MonkeyPatch, is_available: Any) -> None:
    """Let CuPy import, as it does without any driver."""
    module = ModuleType("cupy")
    module.cuda = SimpleNamespace(is_available=is_available)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cupy", module)


def test_arrays_travel_there_and_back(cupy: ModuleType) -> None:
    there = to_gpu(PIXELS)
    assert isinstance(there, cupy.ndarray)
    assert on_gpu(there)
    assert to_gpu(there) is there
    np.testing.assert_array_equal(to_cpu(there), PIXELS)


def test_dask_arrays_travel_block_by_block(cupy: ModuleType) -> None:
    there = to_gpu(da.from_array(PIXELS, chunks=(1, 3, 2, 2)))
    assert isinstance(there, da.Array)
    assert on_gpu(there)
    assert (there.chunks, there.dtype) == (((1, 1), (3,), (2,), (2,)), np.uint16)
    assert isinstance(there.blocks[0].compute(), cupy.ndarray)
    back = to_cpu(there)
    assert not on_gpu(back)
    np.testing.assert_array_equal(back, PIXELS)


def test_a_dataset_travels_and_its_coordinates_stay(cupy: ModuleType) -> None:
    ds = xr.Dataset(
        {"s2": (("patch", "band", "y", "x"), PIXELS, {"units": "1"}), "name": ("patch", ["a", "b"])},
        coords={"patch": ["P", "Q"], "row": ("patch", [4, 5])},
    )
    ds.s2.encoding = {"chunks": (1, 3, 2, 2)}
    there = ds.ben.to_gpu()
    assert there.s2.ben.on_gpu
    assert not there.name.ben.on_gpu
    assert isinstance(there.row.data, np.ndarray)
    assert (there.s2.attrs, there.s2.encoding) == (ds.s2.attrs, ds.s2.encoding)
    assert there.ben.to_cpu().identical(ds)
    assert there.s2.ben.to_cpu().identical(ds.s2)


def test_what_is_on_the_host_stays() -> None:
    assert to_cpu(PIXELS) is PIXELS
    lazy = da.from_array(PIXELS)
    assert to_cpu(lazy) is lazy


def test_numbers_alone_travel() -> None:
    with pytest.raises(DeviceError, match="an array of <U1 cannot be on a GPU; move arrays of numbers only"):
        to_gpu(np.array(["a"]))


def test_without_cupy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)  # as if it were not installed
    assert not gpu_available()
    with pytest.raises(DeviceError, match=r"CuPy cannot be imported .*bigearth-xr\[cuda12\]', or \[cuda13\] where"):
        xr.DataArray(PIXELS).ben.to_gpu()


def test_a_missing_gpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    without_gpu(monkeypatch, lambda: False)
    assert not gpu_available()
    with pytest.raises(DeviceError, match="CuPy is installed and finds no GPU; check with nvidia-smi"):
        xr.Dataset({"s2": ("x", [1])}).ben.to_gpu()


def test_an_old_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> bool:
        raise OSError("cudaErrorInsufficientDriver")

    without_gpu(monkeypatch, fail)
    assert not gpu_available()
    with pytest.raises(DeviceError, match="CuPy cannot reach a GPU: cudaErrorInsufficientDriver; check the driver"):
        to_gpu(PIXELS)


def test_a_device_error_is_what_a_caller_would_catch() -> None:
    assert issubclass(DeviceError, RuntimeError)


def test_nothing_imports_cupy_before_it_is_asked_for() -> None:
    code = (
        "import sys, numpy, bigearth_xr.device as device; device.to_cpu(numpy.zeros(1)); print('cupy' in sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert printed.strip() == "False"


@pytest.mark.gpu
def test_a_gpu_is_found() -> None:
    assert gpu_available()


@pytest.mark.gpu
def test_the_accessor_of_cupy_xarray_works_beside_ours() -> None:
    pytest.importorskip("cupy_xarray", reason="pip install cupy-xarray")
    array = xr.DataArray(PIXELS)
    assert array.cupy.as_cupy().ben.on_gpu
    assert array.ben.to_gpu().cupy.is_cupy
    assert array.ben.to_gpu().cupy.as_numpy().identical(array)
