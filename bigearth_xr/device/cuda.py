"""Transform batches on a GPU: `ops.transform` as one kernel, which reads stored pixels once and writes a batch once.

`fused.cu` is compiled for the GPU at hand, once for each variant, and the machine code is kept on disk. CuPy's own
compilation is not used: it flushes small numbers to zero, which no option undoes, and fails where the home folder
cannot be written to.
"""

import hashlib
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.device.compiling import cache_folder
from bigearth_xr.device.records import (
    MAX_PATCHES,
    THREADS,
    Variant,
    band_records,
    launch_of,
    pack,
    patch_records,
    scalars,
    variant_of,
)
from bigearth_xr.device.transfer import _cupy, on_gpu
from bigearth_xr.errors import DeviceError, TransformError
from bigearth_xr.ops.augmentation import AugmentParameters
from bigearth_xr.ops.namespace import Array
from bigearth_xr.ops.transform import Transform, check_parameters
from bigearth_xr.progress import Progress

__all__ = ["transform_batch"]

_TYPES = ("uint16", "float32")

SOURCE = Path(__file__).with_name("fused.cu")
"""The kernel, CUDA C++; needs no header."""

_NAME = "transform"


def transform_batch(
    transform: Transform,
    addresses: Any,
    parameters: AugmentParameters | None = None,
    *,
    out: Any = None,
    stream: Any = None,
) -> Any:
    """Transform the stored pixels at some addresses on a GPU into a batch; returns before that is done.

    The first call of all for a resampling and data type compiles for about a second, and says so.

    Parameters
    ----------
    transform
        What becomes of the pixels.
    addresses
        Where the first stored pixel of each patch is in each of the transform's sources, shape ``(source, patch)``,
        uint64, NumPy or CuPy; `addresses_of` gives them. That memory must live until the stream is done. Reads are
        fastest where patches begin at multiples of 16 bytes.
    parameters
        How each patch varies; None for not at all.
    out
        CuPy array or CUDA tensor to write the batch to, C-contiguous; for bfloat16 a tensor of that type, or an array
        of uint16 for its bits.
    stream
        CuPy's or torch's, or the number of a CUDA stream. By default the current one: torch's if ``out`` is a tensor,
        else CuPy's.

    Returns
    -------
    cupy.ndarray or torch.Tensor
        Shape ``(patch, band, y, x)``, in the transform's data type; uint16 for the bits of bfloat16. It is ``out``, if
        given.

    Raises
    ------
    TransformError
        If addresses, parameters or ``out`` do not fit the transform, or each other's GPU.
    DeviceError
        If there is no GPU.

    Examples
    --------
    >>> from types import SimpleNamespace as Stored
    >>> from bigearth_xr.ops.transform import transform_of
    >>> import cupy  # doctest: +SKIP
    >>> stored = Stored(name="s2_60m", bands=("B01", "B09"), size=20, dtype="uint16")
    >>> transform = transform_of([stored], ["B09"], {"B09": (100, 50)})
    >>> pixels = cupy.full((1, 2, 20, 20), 300, np.uint16)  # doctest: +SKIP
    >>> transform_batch(transform, addresses_of({"s2_60m": pixels}))[0, 0, :2, :2]  # doctest: +SKIP
    array([[4., 4.],
           [4., 4.]], dtype=float32)
    """
    check_parameters(transform, addresses, parameters)
    cupy = _cupy()
    target = None if out is None else target_of(out)
    device = _device(cupy, transform, addresses, target)
    with cupy.cuda.Device(device), _stream(cupy, stream, out):
        if out is None:
            out = cupy.empty(transform.out_shape(addresses.shape[1]), transform.out_dtype)
        prepared(transform, addresses, parameters, out)()
    return out


def prepared(
    transform: Transform, addresses: Any, parameters: AugmentParameters | None, out: Any
) -> Callable[[], None]:
    """Make all ready for a batch on the current GPU and CuPy's current stream, and give what starts the kernel there.

    Parameters
    ----------
    transform, addresses, parameters, out
        As for `transform_batch`.

    Returns
    -------
    Callable
        Starts the kernel, as often as it is called.

    Raises
    ------
    TransformError
        If they do not fit each other.
    DeviceError
        If there is no GPU.
    """
    check_parameters(transform, addresses, parameters)
    target = target_of(out)
    check_target(target, transform, addresses.shape[1])
    return _prepare(_cupy(), transform, addresses, parameters, target)


def addresses_of(arrays: Mapping[str, Array], rows: Any = None) -> Any:
    """Tell where on a GPU each patch of some arrays begins.

    Parameters
    ----------
    arrays
        By name, in the order of a transform's sources: stored pixels, shape ``(patch, ..., y, x)``, CuPy, uint16 or
        float32, all on one GPU. Each patch is contiguous; patches may be apart. Keep them as long as the addresses are
        used.
    rows
        Which patches, in any order and as often as wanted: integers, NumPy or CuPy; None for all.

    Returns
    -------
    NDArray or cupy.ndarray
        Shape ``(source, patch)``, uint64; CuPy if rows are.

    Raises
    ------
    TransformError
        If an array is of another type, its patches are not contiguous, there are more of them in one than in another,
        or a row is none of theirs. Rows on a GPU are not looked at.

    Examples
    --------
    >>> import cupy  # doctest: +SKIP
    >>> pixels = cupy.zeros((3, 2, 20, 20), np.uint16)  # doctest: +SKIP
    >>> np.diff(addresses_of({"s2_60m": pixels}, np.array([0, 2])))  # doctest: +SKIP
    array([[3200]], dtype=uint64)
    """
    counts = {name: array.shape[0] for name, array in arrays.items()}
    if len({*counts.values()}) > 1:
        raise TransformError(f"the arrays hold {counts} patches; give the same patches of each")
    for name, array in arrays.items():
        _check_stored(name, array)
    count = next(iter(counts.values()), 0)
    at = np.arange(count) if rows is None else rows
    if not on_gpu(at):
        at = np.asarray(at)
        if at.size and not 0 <= at.min() <= at.max() < count:
            raise TransformError(f"rows are {at.min()} to {at.max()}, and the arrays hold {count} patches")
    unsigned: Any = at.astype(np.uint64)
    xp = _cupy() if on_gpu(at) else np
    starts: list[Any] = [
        unsigned * np.uint64(array.strides[0]) + np.uint64(array.data.ptr)  # type: ignore[attr-defined]  # CuPy's
        for array in arrays.values()
    ]
    return xp.stack(starts) if starts else xp.empty((0, at.size), np.uint64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An array or tensor on a GPU, as far as a kernel has to know it."""

    pointer: int
    """Address of its first element."""

    device: int
    """Number of its GPU."""

    shape: tuple[int, ...]
    """Length of every dimension."""

    dtype: str
    """Name of its data type."""

    contiguous: bool
    """Whether it is whole, last dimension first."""


def target_of(out: Any) -> Target:
    """Look at where a batch is to be written.

    Parameters
    ----------
    out
        CuPy array or CUDA tensor.

    Raises
    ------
    TransformError
        If it is anything else.
    """
    if on_gpu(out):
        return Target(
            pointer=out.data.ptr,
            device=out.device.id,
            shape=tuple(out.shape),
            dtype=out.dtype.name,
            contiguous=out.flags.c_contiguous,
        )
    if hasattr(out, "data_ptr") and out.device.type == "cuda":
        return Target(
            pointer=out.data_ptr(),
            device=out.device.index,
            shape=tuple(out.shape),
            dtype=str(out.dtype).rpartition(".")[2],
            contiguous=out.is_contiguous(),
        )
    where = f" on {out.device}" if hasattr(out, "device") else ""
    raise TransformError(
        f"out is a {type(out).__module__}.{type(out).__qualname__}{where}, expected a CuPy array or a CUDA tensor; "
        "memory of the host is written by bigearth_xr.device.host.transform_batch"
    )


def check_target(target: Target, transform: Transform, patches: int) -> None:
    """Refuse memory that a batch does not fit into.

    Raises
    ------
    TransformError
        If its shape or data type is another, or it is not contiguous.
    """
    shape = transform.out_shape(patches)
    types = {transform.dtype, transform.out_dtype.name}
    if target.shape != shape or target.dtype not in types:
        raise TransformError(
            f"out is {target.dtype} of shape {target.shape}, expected {' or '.join(sorted(types))} of shape {shape}"
        )
    if not target.contiguous:
        raise TransformError("out is not contiguous; give memory that is whole, not a view with steps")


@lru_cache(maxsize=256)
def kernel_of(variant: Variant, device: int) -> Any:
    """Load a variant of the kernel on a GPU, compiling it first where it is not on disk.

    Parameters
    ----------
    variant
        What it is compiled for.
    device
        Number of the GPU, which is the current one.

    Returns
    -------
    cupy.RawKernel
        Loaded: its `num_regs` and `local_size_bytes` tell what the compiler made of it.

    Raises
    ------
    DeviceError
        If there is no GPU, or it does not compile for this one.
    """
    cupy = _cupy()
    target = f"sm_{cupy.cuda.Device(device).compute_capability}"
    options = (f"--gpu-architecture={target}", *variant.options)
    path = _cached(options)
    if path is not None and path.is_file():
        return _load(cupy, path)
    code = _compile(cupy, options)
    with suppress(OSError):  # a full disk: compiled again next time
        if path is not None:
            _write(path, code)
            return _load(cupy, path)
    with tempfile.TemporaryDirectory() as folder:
        once = Path(folder, f"{_NAME}.cubin")
        once.write_bytes(code)
        return _load(cupy, once)


@dataclass(frozen=True, slots=True)
class _Foreign:
    """A stream of somebody else's, by the protocol that libraries share."""

    number: int

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.number


def _check_stored(name: str, array: Any) -> None:
    if not on_gpu(array):
        raise TransformError(f"{name} is a {type(array).__module__}.{type(array).__qualname__}, expected a CuPy array")
    if array.dtype.name not in _TYPES:
        raise TransformError(f"{name} is {array.dtype}, expected {' or '.join(_TYPES)} as stored")
    if not array[:1].flags.c_contiguous:
        raise TransformError(f"the patches of {name} are not contiguous; take cupy.ascontiguousarray of it")


def _device(cupy: Any, transform: Transform, addresses: Any, target: Target | None) -> int:
    """The GPU that all is on."""
    found = {"out": target.device} if target is not None else {}
    if on_gpu(addresses):
        found["the addresses"] = addresses.device.id
    elif addresses.size:
        found["the pixels"] = _device_of_pixels(cupy, transform, addresses)
    if len({*found.values()}) > 1:
        where = ", ".join(f"{name} on GPU {device}" for name, device in found.items())
        raise TransformError(f"{where}: expected all on one; give an out on the GPU of the pixels")
    current: int = cupy.cuda.Device().id
    return next(iter(found.values()), current)


def _device_of_pixels(cupy: Any, transform: Transform, addresses: NDArray[np.uint64]) -> int:
    """The GPU on which the pixels are; an address of the host's would end the process's use of the GPU for good."""
    for plane in transform.planes:
        size = np.dtype(plane.dtype).itemsize
        if (addresses[plane.source] % np.uint64(size)).any():
            name = transform.sources[plane.source]
            raise TransformError(f"an address in {name} is no multiple of {size} bytes; take them from addresses_of")
    devices = {}
    for name, address in zip(transform.sources, addresses[:, 0], strict=True):
        found = cupy.cuda.runtime.pointerGetAttributes(int(address))
        if not found.devicePointer:
            raise TransformError(
                f"the addresses in {name} are on the host; bigearth_xr.device.host.transform_batch takes those"
            )
        devices[name] = int(found.device)
    if len({*devices.values()}) > 1:
        raise TransformError(f"pixels are on several GPUs, {devices}; expected all on one")
    return next(iter(devices.values()))


def _stream(cupy: Any, stream: Any, out: Any) -> Any:
    """CuPy's view of a stream, as a context."""
    if stream is None and hasattr(out, "data_ptr"):
        import torch

        stream = torch.cuda.current_stream(out.device)
    if stream is None:
        return cupy.cuda.get_current_stream()
    if hasattr(stream, "ptr"):  # CuPy's own
        return stream
    number = int(getattr(stream, "cuda_stream", stream))
    if hasattr(cupy.cuda.Stream, "from_external"):
        return cupy.cuda.Stream.from_external(_Foreign(number))
    return cupy.cuda.ExternalStream(number)  # before CuPy 14


def _prepare(
    cupy: Any, transform: Transform, addresses: Any, parameters: AugmentParameters | None, target: Target
) -> Callable[[], None]:
    """Tell the GPU all that the kernel has to know."""
    variant = variant_of(transform, parameters)
    launch = launch_of(transform, variant)
    kernel = kernel_of(variant, target.device)
    if launch.shared_bytes > kernel.max_dynamic_shared_size_bytes:
        kernel.max_dynamic_shared_size_bytes = launch.shared_bytes
    patches = addresses.shape[1]
    records = [band_records(transform, parameters), patch_records(transform, parameters, patches)]
    on_host = not on_gpu(addresses)
    packed, starts = pack([*records, addresses] if on_host else records)
    records_on_gpu = cupy.asarray(packed)  # one copy for all of them
    pointers = [records_on_gpu.data.ptr + start for start in starts]
    kept = records_on_gpu if on_host else cupy.ascontiguousarray(addresses)
    if not on_host:
        pointers.append(kept.data.ptr)
    arguments = (*map(np.uint64, pointers), *scalars(transform, parameters, launch, patches, target.pointer))

    def start(keep: Any = (records_on_gpu, kept)) -> None:
        for first in range(0, patches, MAX_PATCHES):
            grid = launch.tiles, len(transform.bands), min(MAX_PATCHES, patches - first)
            kernel(grid, (THREADS,), (*arguments, np.int32(first)), shared_mem=launch.shared_bytes)

    return start


def _load(cupy: Any, path: Path) -> Any:
    kernel = cupy.RawModule(path=str(path)).get_function(_NAME)
    _ = kernel.num_regs  # asks the GPU, so that the file is read now
    return kernel


def _cached(options: tuple[str, ...]) -> Path | None:
    """Where machine code is kept: it depends on the source, the options and the compiler."""
    from cupy.cuda import nvrtc

    folder = cache_folder()
    if folder is None:
        return None
    key = "\0".join([SOURCE.read_text(encoding="utf-8"), *options, *map(str, nvrtc.getVersion())])
    return folder / f"{_NAME}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.cubin"


def _compile(cupy: Any, options: tuple[str, ...]) -> bytes:
    from cupy.cuda import nvrtc

    began = time.perf_counter()
    program = nvrtc.createProgram(SOURCE.read_text(encoding="utf-8"), SOURCE.name, (), ())
    try:
        nvrtc.compileProgram(program, options)
        code: bytes = nvrtc.getCUBIN(program)
    except nvrtc.NVRTCError as error:
        raise DeviceError(
            f"the transform does not compile for this GPU ({' '.join(options)}): {error}; "
            f"{nvrtc.getProgramLog(program).strip()}; update CuPy and its CUDA, or transform on the host"
        ) from error
    finally:
        nvrtc.destroyProgram(program)
    took = time.perf_counter() - began
    Progress().say(f"bigearth-xr: compiled the transform for this GPU ({options[0].partition('=')[2]}) in {took:.1f} s")
    return code


def _write(path: Path, code: bytes) -> None:
    """Write a file that others read either whole or not at all."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as beside:
        beside.write(code)
    Path(beside.name).replace(path)
