"""The source of the CUDA kernel, compiled for the host and run there."""

import ctypes
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from bigearth_xr.device.cuda import SOURCE
from bigearth_xr.device.records import band_records, launch_of, patch_records, scalars, variant_of
from bigearth_xr.ops.augmentation import AugmentParameters
from bigearth_xr.ops.transform import Precision, Transform

PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def compile_for_host(folder: Path) -> Any:
    """Compile it, into a library in a folder."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip(
            "no g++ to run the kernel on the host with; install it (apt install g++), as nothing else here needs it"
        )
    library = folder / "fused.so"
    options = ("-std=c++17", "-O2", "-ffp-contract=off", "-fno-strict-aliasing", "-Wall", "-Wextra", "-Werror")
    shared = ("-Wno-unknown-pragmas", "-shared", "-fPIC", f"-I{SOURCE.parent}")
    source = Path(__file__).with_name("fused_on_host.cpp")
    subprocess.run([compiler, *options, *shared, source, "-o", library], check=True)
    return ctypes.CDLL(str(library))


def laid_out(pixels: NDArray[Any], *, past: int) -> NDArray[Any]:
    """Copy pixels to memory that begins so many of them past a multiple of 64 bytes."""
    memory = np.empty(pixels.nbytes + 64 + past * pixels.itemsize, np.uint8)
    start = -memory.ctypes.data % 64 + past * pixels.itemsize
    copy = memory[start : start + pixels.nbytes].view(pixels.dtype).reshape(pixels.shape)
    copy[...] = pixels
    return copy


def run_on_host(
    library: Any,
    transform: Transform,
    pixels: Sequence[NDArray[Any]],
    parameters: AugmentParameters | None,
    *,
    past: int = 0,
    wide: bool = True,
) -> NDArray[Any]:
    """Transform the patches with the kernel, one block after the other."""
    variant, bands, patches = variant_of(transform, parameters), len(transform.bands), len(pixels[0])
    launch = launch_of(transform, variant)
    unset = 0x7FC1 if transform.dtype == "bfloat16" else np.nan
    out = laid_out(np.full(transform.out_shape(patches), unset, transform.out_dtype), past=0 if wide else 1)
    sources = [laid_out(source, past=past) for source in pixels]
    steps = [source.ctypes.data + source.strides[0] * np.arange(patches) for source in sources]
    told = (
        band_records(transform, parameters),
        patch_records(transform, parameters, patches),
        np.array(steps, np.uint64),
    )
    numbers = scalars(transform, parameters, launch, patches, out.ctypes.data)
    kept = library.launch(
        *(variant.taps, PRECISIONS.index(variant.dtype), variant.noise, variant.mix),
        *(launch.tiles, bands, patches, launch.shared_bytes),
        *(ctypes.c_void_p(records.ctypes.data) for records in told),
        *(np.ctypeslib.as_ctypes(np.array(number)) for number in numbers),
        0,
    )
    assert kept, "the kernel wrote to more shared memory than it asked for"
    return out
