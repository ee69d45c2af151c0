"""The bridge to torch: one memory on both sides, or an error; never a crash, never a write that nobody asked for."""

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import bigearth_xr as bex
from bigearth_xr.errors import BigEarthError, TensorError
from bigearth_xr.torch.tensor import from_tensor, to_tensor

DTYPES = [
    *("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
]


@pytest.fixture(params=["numpy", pytest.param("cupy", marks=pytest.mark.gpu)])
def xp(request: pytest.FixtureRequest) -> Any:
    """Each array library in turn."""
    return pytest.importorskip("cupy") if request.param == "cupy" else np


def address(array: Any) -> int:
    return int(array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr)


# ---- one memory ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_tensor_is_the_same_memory_and_values(dtype: str, xp: Any) -> None:
    array = xp.arange(6).reshape(2, 3).astype(dtype)
    tensor = to_tensor(array)
    assert tensor.data_ptr() == address(array)
    assert str(tensor.dtype) == f"torch.{dtype}"
    assert tensor.tolist() == array.tolist()


@pytest.mark.parametrize("dtype", DTYPES)
def test_array_is_the_same_memory_and_values(dtype: str, xp: Any) -> None:
    tensor = torch.arange(6, device="cuda" if xp is not np else "cpu").reshape(2, 3).to(getattr(torch, dtype))
    array: Any = from_tensor(tensor)
    assert isinstance(array, xp.ndarray)
    assert address(array) == tensor.data_ptr()
    assert array.dtype == np.dtype(dtype)
    assert array.tolist() == tensor.tolist()


def test_writes_are_seen_on_both_sides(xp: Any) -> None:
    array = xp.zeros(4, xp.float32)
    tensor = to_tensor(array)
    tensor[1] = 5
    array[2] = 7
    back: Any = from_tensor(tensor)
    back[3] = 9
    assert array.tolist() == tensor.tolist() == [0, 5, 7, 9]


@pytest.mark.parametrize(
    "view",
    [lambda a: a[:, 1:], lambda a: a.T, lambda a: a[::2, ::3], lambda a: a[1], lambda a: a[:0], lambda a: a[1, 1, ...]],
    ids=["cropped", "transposed", "strided", "row", "empty", "one element"],
)
def test_views_stay_views(view: Callable[[Any], Any], xp: Any) -> None:
    array = xp.arange(24, dtype=xp.float32).reshape(4, 6)
    tensor = to_tensor(view(array))
    assert tensor.tolist() == view(array).tolist()
    tensor += 1
    assert tensor.tolist() == view(array).tolist()


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (2, 0, 3)])
def test_arrays_without_elements_are_shared_whatever_their_strides(shape: tuple[int, ...]) -> None:
    repeated = np.ndarray(shape, np.float32, buffer=bytearray(4), strides=(0,) * len(shape))
    for array in (np.zeros(shape, np.float32), repeated):
        assert to_tensor(array).shape == shape
    for tensor in (torch.zeros(shape), torch.zeros(0).as_strided(shape, (0,) * len(shape))):
        assert np.asarray(from_tensor(tensor)).shape == shape


def test_memory_outlives_either_side() -> None:
    tensor = to_tensor(np.full(1000, 3.0))
    array = from_tensor(torch.full((1000,), 4.0))
    assert (float(tensor.sum()), float(np.asarray(array).sum())) == (3000, 4000)


@given(array=npst.arrays(npst.scalar_dtypes(), npst.array_shapes(min_dims=0, max_dims=4, min_side=0)), data=st.data())
def test_any_array_is_shared_or_refused(array: Any, data: st.DataObject) -> None:
    if array.ndim:
        array = array[data.draw(npst.basic_indices(array.shape, allow_newaxis=True))]
    try:
        tensor = to_tensor(array)
    except TensorError:
        return
    np.testing.assert_array_equal(np.asarray(from_tensor(tensor)), array)
    assert array.size == 0 or tensor.data_ptr() == address(array)


# ---- what is refused, and the remedy -------------------------------------------------------------------------------


def read_only() -> Any:
    array = np.zeros(3)
    array.flags.writeable = False
    return array


def packed() -> Any:
    """The second field of records of 1 + 4 bytes: neither aligned nor a whole number of elements apart."""
    return np.zeros(3, np.dtype([("a", "u1"), ("b", "f4")]))["b"]


COPYABLE: dict[str, Callable[[], Any]] = {
    "runs backwards": lambda: np.arange(3)[::-1],
    "is read-only": read_only,
    "in foreign order": lambda: np.arange(3, dtype=">i4"),
    "not aligned": packed,
    "several elements are one": lambda: np.lib.stride_tricks.as_strided(np.zeros(1), (3,), (0,)),
}
REFUSED: dict[str, Callable[[], Any]] = {
    "M8.*view": lambda: np.array(["2017-06-13"], "M8[s]"),
    "m8.*view": lambda: np.zeros(2, "m8[s]"),
    "keep texts and objects beside": lambda: np.array(["a"], object),
    "<U1: torch has no such type": lambda: np.array(["a"]),
    "torch has no such type; expected one of bool": lambda: np.zeros(2, np.longdouble),
    "cannot mask": lambda: np.ma.masked_array([1, 2], [True, False]),
    "float64 is no array": lambda: np.float64(3),
    "list is no array": lambda: [1, 2],
    "Tensor is no array": lambda: torch.zeros(2),
    r"call \.compute\(\)": lambda: xr.DataArray(np.zeros(3), dims="x").chunk().data,
}
WHAT_M8_PRINTS_AS = {"M8.*view": "datetime64.*view", "m8.*view": "timedelta64.*view"}


@pytest.mark.parametrize("problem", COPYABLE)
def test_memory_that_torch_must_not_have_is_refused_but_may_be_copied(problem: str) -> None:
    array = COPYABLE[problem]()
    with pytest.raises(TensorError, match=rf"{problem}.*copy"):
        to_tensor(array)
    tensor = to_tensor(array, copy=True)
    tensor += 1
    np.testing.assert_array_equal(tensor.numpy(), array + 1)


@pytest.mark.parametrize("problem", REFUSED)
def test_what_is_no_numbers_in_memory_is_refused(problem: str) -> None:
    with pytest.raises(TensorError, match=WHAT_M8_PRINTS_AS.get(problem, problem)):
        to_tensor(REFUSED[problem]())


TENSORS: dict[str, Callable[[], Any]] = {
    r"use \.detach\(\)": lambda: torch.zeros(2, requires_grad=True),
    r"use \.to_dense\(\)": lambda: torch.eye(2).to_sparse(),
    r"use \.dequantize\(\)": lambda: torch.quantize_per_tensor(torch.zeros(2), 0.1, 0, torch.qint8),
    r"on meta: .*use \.cpu\(\)": lambda: torch.zeros(2, device="meta"),
    r"use \.resolve_conj\(\)": lambda: torch.zeros(2, dtype=torch.complex64).conj(),
    r"use \.resolve_neg\(\)": lambda: torch.zeros(2, dtype=torch.complex64).conj().imag,
    r"bfloat16.*use \.float\(\)": lambda: torch.zeros(2, dtype=torch.bfloat16),
    r"use \.contiguous\(\)": lambda: torch.zeros(1).expand(3),
    "ndarray is no torch.Tensor": lambda: np.zeros(2),
}


@pytest.mark.filterwarnings("ignore:.*quant.*")  # torch means to drop these one day
@pytest.mark.parametrize("problem", TENSORS)
def test_tensors_that_are_no_plain_memory_are_refused(problem: str) -> None:
    with pytest.raises(TensorError, match=problem):
        from_tensor(TENSORS[problem]())


def test_tensor_error_is_a_value_error_too() -> None:
    assert issubclass(TensorError, BigEarthError)
    assert issubclass(TensorError, ValueError)


HAZARDS = {
    "memory map, mode r": "np.memmap('{file}', dtype='f4', mode='r')",
    "memory map of an npy file": "np.load('{npy}', mmap_mode='r')",
    "bytes": "np.frombuffer(bytes(16), 'f4')",
    "broadcast": "np.broadcast_to(np.float32(1), (4,))",
    "reversed": "np.arange(4, dtype='f4')[::-1]",
    "reversed twice": "np.ones((4, 4), 'f4')[::-1, ::-1]",
    "reversed DataArray": "xr.DataArray(np.arange(4, dtype='f4'), dims='x')[::-1]",
    "foreign order": "np.arange(4, dtype='>f4')",
    "times": "np.array(['2017-06-13'], 'M8[ns]')",
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What becomes of each hazard, in a process of its own, as it might be the end of it."""
    folder = tmp_path_factory.mktemp("memory")
    np.ones(4, np.float32).tofile(folder / "map")
    np.save(folder / "map.npy", np.ones(4, np.float32))
    lines = ["import numpy as np, xarray as xr", "from bigearth_xr.torch import to_tensor"]
    for name, code in HAZARDS.items():
        source = code.format(file=folder / "map", npy=folder / "map.npy")
        lines += [
            f"array = {source}",
            "before = np.array(array)",
            "try:",
            "    tensor = to_tensor(array); tensor.add_(1); outcome = 'shared'",
            "except ValueError as error:",
            "    outcome = type(error).__name__",
            f"print({name!r}, outcome, np.array_equal(before, np.array(array)), sep='|', flush=True)",
        ]
    command = [sys.executable, "-W", "error", "-c", "\n".join(lines)]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert (folder / "map").read_bytes() == np.ones(4, np.float32).tobytes()
    rows = (line.partition("|") for line in result.stdout.splitlines())
    return {name: outcome for name, _, outcome in rows}


@pytest.mark.parametrize("hazard", HAZARDS)
def test_a_process_survives_every_hazard_and_its_memory_is_untouched(hazard: str, outcomes: dict[str, str]) -> None:
    assert outcomes[hazard] == "TensorError|True"


def test_private_memory_map_is_shared_and_its_file_untouched(tmp_path: Path) -> None:
    np.ones(4, np.float32).tofile(tmp_path / "map")
    mapped = np.memmap(tmp_path / "map", dtype=np.float32, mode="c")
    to_tensor(mapped).add_(1)
    assert mapped.tolist() == [2] * 4
    assert np.fromfile(tmp_path / "map", np.float32).tolist() == [1] * 4


# ---- what travels beside -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> xr.DataArray:
    """Three patches in another order than the store's, in memory."""
    store = bex.testing.write_store(tmp_path_factory.mktemp("store") / "ben.zarr", pairs=3)
    loaded: xr.DataArray = bex.open(store).isel(patch=[2, 0, 1]).ben.image(["VV", "B8A", "B04"]).compute()
    return loaded


def test_bands_rows_and_patches_travel_beside_the_tensor(image: xr.DataArray) -> None:
    origin = to_tensor(image).ben  # type: ignore[attr-defined]
    assert origin.dims == image.dims
    assert origin.bands == ("VV", "B8A", "B04")
    assert origin.rows == (2, 0, 1)
    assert origin.patches == tuple(image.patch.values)
    assert pickle.loads(pickle.dumps(origin)) == origin


def test_single_patch_and_band_have_their_names_too(image: xr.DataArray) -> None:
    origin = to_tensor(image.isel(patch=1).sel(band="VV")).ben  # type: ignore[attr-defined]
    assert (origin.dims, origin.bands, origin.rows) == (("y", "x"), ("VV",), (0,))


def test_array_of_nobody_knows_nothing() -> None:
    origin = to_tensor(xr.DataArray(np.zeros(2), dims="x")).ben  # type: ignore[attr-defined]
    assert (origin.bands, origin.rows, origin.patches) == ((), (), ())


def test_operations_do_not_pass_the_origin_on(image: xr.DataArray) -> None:
    tensor = to_tensor(image)
    assert not any(
        hasattr(other, "ben") for other in (tensor[:1], tensor + 1, tensor.clone(), tensor.permute(0, 2, 3, 1))
    )


def test_dataarray_shares_memory_there_and_back(image: xr.DataArray) -> None:
    image = image.copy(deep=True)
    back = from_tensor(to_tensor(image), like=image)
    xr.testing.assert_identical(back, image)
    back[0, 0, 0, 0] = -99
    assert image.values[0, 0, 0, 0] == -99


def test_like_of_another_shape_is_refused(image: xr.DataArray) -> None:
    with pytest.raises(TensorError, match=r"shape \(2,\), expected \(3, 3, 120, 120\)"):
        from_tensor(torch.zeros(2), like=image)


def test_dask_backed_dataarray_names_compute(image: xr.DataArray) -> None:
    with pytest.raises(TensorError, match=r"\.compute\(\)"):
        to_tensor(image.chunk())


# ---- a GPU ---------------------------------------------------------------------------------------------------------


@pytest.mark.gpu
def test_streams_are_ordered_at_the_hand_over() -> None:
    cupy = pytest.importorskip("cupy")
    with cupy.cuda.Stream(non_blocking=True):
        array = cupy.zeros(2**26, cupy.float32)
        for _ in range(20):
            array += 1
        with torch.cuda.stream(torch.cuda.Stream()):  # type: ignore[no-untyped-call]
            tensor = to_tensor(array) * 2
            back: Any = from_tensor(tensor)
    assert float(tensor.min()) == float(tensor.max()) == 40
    assert float(back.sum() / back.size) == 40


@pytest.mark.gpu
def test_reversed_gpu_array_is_refused() -> None:
    cupy = pytest.importorskip("cupy")
    with pytest.raises(TensorError, match="runs backwards"):
        to_tensor(cupy.arange(3)[::-1])
    assert to_tensor(cupy.arange(3)[::-1], copy=True).tolist() == [2, 1, 0]


# ---- without torch -------------------------------------------------------------------------------------------------


def test_without_torch_the_module_resolves_and_its_names_say_what_to_install() -> None:
    code = (
        "import sys; sys.modules['torch'] = None; import bigearth_xr as bex; bex.torch\n"
        "try: bex.torch.to_tensor\n"
        "except ImportError as error: print(type(error).__name__, error)\n"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    assert result.stdout.startswith("DependencyError bigearth_xr.torch.to_tensor needs torch")
    assert "bigearth-xr[torch]" in result.stdout


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'to_array'"):
        bex.torch.to_array  # type: ignore[attr-defined]  # noqa: B018
