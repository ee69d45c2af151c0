"""Compile `fused.cu` for the GPU at hand, once for each variant, say so, and keep the machine code on disk.

CuPy's own compilation is not used: it flushes small numbers to zero, which no option undoes, and fails where the home
folder cannot be written to.
"""

import hashlib
import tempfile
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from bigearth_xr.device.compiling import cache_folder
from bigearth_xr.device.records import Variant
from bigearth_xr.device.transfer import _cupy
from bigearth_xr.errors import DeviceError
from bigearth_xr.progress import Progress

__all__ = ["SOURCE", "kernel_of"]

SOURCE = Path(__file__).with_name("fused.cu")
"""The kernel, CUDA C++; needs no header."""

_NAME = "transform"


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

    Examples
    --------
    >>> from bigearth_xr.device import gpu_available
    >>> plain = Variant(taps=1, dtype="float32", noise=False, mix=False)
    >>> kernel_of(plain, 0).local_size_bytes if gpu_available() else 0
    0
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
    said = "\0".join([SOURCE.read_text(encoding="utf-8"), *options, *map(str, nvrtc.getVersion())])
    return folder / f"{_NAME}-{hashlib.sha256(said.encode()).hexdigest()[:16]}.cubin"


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
