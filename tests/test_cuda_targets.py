"""What is refused before a kernel runs: memory and addresses that do not fit. No GPU is needed to refuse them."""

import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cupy_stand_in import StandInArray, cupy_stand_in
from stored_pixels import transform_to_test

from bigearth_xr.device import cuda
from bigearth_xr.device.cuda import Target, check_target, target_of
from bigearth_xr.errors import DeviceError, TransformError

TRANSFORM = transform_to_test(("B01", "VV"))
FITTING = Target(pointer=4096, device=0, shape=(3, 2, 120, 120), dtype="float32", contiguous=True)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", cupy_stand_in())


def tensor(dtype: str, device: str = "cuda") -> Any:
    return SimpleNamespace(
        data_ptr=lambda: 4096,
        device=SimpleNamespace(type=device, index=1),
        shape=(3, 2, 120, 120),
        dtype=f"torch.{dtype}",
        is_contiguous=lambda: True,
    )


def test_a_cuda_tensor_is_a_target() -> None:
    assert target_of(tensor("bfloat16")) == replace(FITTING, device=1, dtype="bfloat16")


@pytest.mark.parametrize("out", [np.zeros(3), tensor("float32", "cpu")], ids=["numpy", "cpu tensor"])
def test_memory_of_the_host_is_no_target(out: Any) -> None:
    with pytest.raises(TransformError, match=r"expected a CuPy array or a CUDA tensor; memory of the host"):
        target_of(out)


@pytest.mark.parametrize("dtype", ["bfloat16", "uint16"])
def test_bits_of_bfloat16_are_taken_as_uint16_too(dtype: str) -> None:
    transform = transform_to_test(("B01", "VV"), dtype="bfloat16")
    check_target(replace(FITTING, dtype=dtype), transform, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": (3, 2, 60, 60)}, r"out is float32 of shape \(3, 2, 60, 60\), expected float32 of shape \(3, 2, 120"),
        ({"dtype": "float64"}, r"out is float64 of shape .*, expected float32 of shape"),
        ({"contiguous": False}, r"out is not contiguous"),
    ],
)
def test_memory_that_does_not_fit_is_refused(change: Any, message: str) -> None:
    with pytest.raises(TransformError, match=message):
        check_target(replace(FITTING, **change), TRANSFORM, 3)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"s1": np.zeros((1, 2), np.float32)}, r"s1 is a numpy.ndarray, expected a CuPy array"),
        ({"s1": StandInArray(np.zeros((1, 2)))}, r"s1 is float64, expected uint16 or float32"),
        ({"s1": StandInArray(np.zeros((1, 4, 4), np.float32)[:, ::2])}, r"the patches of s1 are not contiguous"),
        ({"a": np.zeros(1), "b": np.zeros(2)}, r"the arrays hold {'a': 1, 'b': 2} patches"),
    ],
)
def test_arrays_without_addresses_are_refused(stand_in: None, arrays: Any, message: str) -> None:
    with pytest.raises(TransformError, match=message):
        cuda.addresses_of(arrays)


@pytest.mark.parametrize("row", [-1, 3])
def test_rows_that_are_not_there_are_refused(stand_in: None, row: int) -> None:
    arrays: Any = {"s1": StandInArray(np.zeros((3, 2), np.float32))}
    with pytest.raises(TransformError, match=r"rows are .*, and the arrays hold 3 patches"):
        cuda.addresses_of(arrays, np.array([1, row]))


def test_addresses_are_those_of_the_rows(stand_in: None) -> None:
    pixels = SimpleNamespace(shape=(3, 2), strides=(8, 4), dtype=np.dtype("float32"), data=SimpleNamespace(ptr=800))
    pixels.flags = SimpleNamespace(c_contiguous=True)

    class Placed(StandInArray):
        def __getattr__(self, name: str) -> Any:
            return pixels.data if name == "data" else super().__getattr__(name)

    Placed.__module__ = "cupy"
    arrays: Any = {"s1": Placed(np.zeros((3, 2), np.float32))}
    assert cuda.addresses_of(arrays, np.array([2, 0, 2])).tolist() == [[816, 800, 816]]


def test_a_missing_gpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    module = cupy_stand_in()
    module.__dict__["cuda"].is_available = lambda: False
    monkeypatch.setitem(sys.modules, "cupy", module)
    with pytest.raises(DeviceError, match="finds no GPU"):
        cuda.transform_batch(TRANSFORM, np.zeros((2, 3), np.uint64))
