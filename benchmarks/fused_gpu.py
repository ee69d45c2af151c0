"""The fused kernel on a GPU, beside the bandwidth of a copy, an eager chain of torch's operations, and kornia's.

1,024 pairs drawn from 4,096 that lie on the GPU as a store holds them, to 14 bands of 120 × 120 pixels, standardised,
turned and flipped, with gain and bias. Times are of the GPU, medians; bytes are those that have to be moved, each
stored pixel read once and each new one written once. Needs a CUDA GPU: `make gpu` runs it, `make bench` does not.
"""

import json
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from itertools import cycle, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._eager import MEAN, STD, eager_chain, kornia_chain
from bigearth_xr.bands import BANDS, GROUPS
from bigearth_xr.device import cuda, gpu_available
from bigearth_xr.ops.augmentation import Augmentation, draw_parameters
from bigearth_xr.ops.transform import transform_of

PAIRS, BATCH, ROUNDS = 4096, 1024, 60
COPY_BYTES = 2**30
NAMES = tuple(band.name for band in BANDS)
SCALE = dict.fromkeys(NAMES, (MEAN, STD))
TURNED = Augmentation(gain=(0.9, 1.1), bias=(-0.1, 0.1))
WAYS = {
    "turned": TURNED,
    "cropped": Augmentation(crop=(0.3, 1.0)),
    "noise": Augmentation(noise_std=0.05),
    "mixup": Augmentation(mixup=0.4),
}


class Stored:
    """A pixel array, as far as a transform has to know it."""

    def __init__(self, group: Any) -> None:
        self.name: str = group.array
        self.bands = tuple(band.name for band in group.bands)
        self.size: int = group.size
        self.dtype: Any = str(group.dtype)


def main() -> dict[str, object]:
    """Measure the copy, then every kernel, then the chains."""
    if not gpu_available():
        raise SystemExit("benchmarks.fused_gpu needs a CUDA GPU and CuPy; without one there is nothing to measure")
    import cupy

    copy_gb_s = _copy_gb_s()
    pixels = {group.array: _on_gpu(group) for group in GROUPS}
    batches = [np.random.default_rng(seed).integers(0, PAIRS, BATCH) for seed in range(4)]
    plain = {
        f"{resampling}_{dtype}": _kernel(pixels, batches, resampling, dtype, TURNED, copy_gb_s)
        for resampling, dtype in product(("nearest", "bilinear", "bicubic"), ("float32", "float16", "bfloat16"))
    }
    ways = {name: _kernel(pixels, batches, "bilinear", "float16", way, copy_gb_s) for name, way in WAYS.items()}
    name = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)["name"].decode()
    return {
        "gpu": name,
        "pairs": BATCH,
        "copy_gb_s": copy_gb_s,
        "kernel": plain,
        "kernel_bilinear_float16": ways,
        "chains": _chains(pixels, batches),
    }


def _copy_gb_s() -> float:
    """Bytes read and written a second by a copy on the GPU, as large as would not fit into its cache."""
    import cupy

    here, there = (cupy.arange(COPY_BYTES // 4, dtype=cupy.uint32) for _ in range(2))
    return 2 * COPY_BYTES / _seconds([lambda: cupy.copyto(there, here)]) / 1e9


def _on_gpu(group: Any) -> Any:
    """Random stored pixels: zeros would be faster than any real ones."""
    import cupy

    shape = PAIRS, len(group.bands), group.size, group.size
    if str(group.dtype) == "float32":
        return cupy.random.standard_normal(shape, dtype=cupy.float32) * 5 - 15
    return cupy.random.randint(0, 12_000, shape).astype(cupy.uint16)


def _kernel(
    pixels: dict[str, Any],
    batches: list[NDArray[np.int64]],
    resampling: Any,
    dtype: Any,
    augmentation: Augmentation,
    copy_gb_s: float,
) -> dict[str, float]:
    """One kernel's time and bandwidth, and the time of a call with all that the host does for it."""
    import cupy

    transform = transform_of(map(Stored, GROUPS), NAMES, SCALE, resampling=resampling, dtype=dtype)
    outs = [cupy.empty(transform.out_shape(BATCH), transform.out_dtype) for _ in batches]
    # Several batches in turn, so that none is in the cache.
    starts, calls = [], []
    for rows, out in zip(batches, outs, strict=True):
        drawn = draw_parameters(rows, augmentation, bands=NAMES, seed=0)
        addresses = cuda.addresses_of({name: pixels[name] for name in transform.sources}, rows)
        starts.append(cuda.prepared(transform, addresses, drawn, out))
        calls.append(partial(cuda.transform_batch, transform, addresses, drawn, out=out))
    seconds = _seconds(starts)
    read = sum(array.nbytes // PAIRS for array in pixels.values())
    moved = BATCH * read + outs[0].nbytes
    return {
        "kernel_us": seconds * 1e6,
        "gb_s": moved / seconds / 1e9,
        "of_copy": moved / seconds / 1e9 / copy_gb_s,
        "call_us": _seconds(calls) * 1e6,
    }


def _chains(pixels: dict[str, Any], batches: list[NDArray[np.int64]]) -> dict[str, object]:
    """The same work by libraries that do one operation at a time."""
    import torch

    tensors = {
        name: torch.utils.dlpack.from_dlpack(array.view(np.int16) if array.dtype == np.uint16 else array)
        for name, array in pixels.items()
    }
    rows = [torch.from_numpy(batch).cuda() for batch in batches]
    drawn = [draw_parameters(batch, TURNED, bands=NAMES, seed=0) for batch in batches]
    figures: dict[str, object] = {}
    chains: dict[str, Callable[..., Any]] = {"eager": eager_chain}
    if find_spec("kornia") is not None:
        chains["kornia"] = kornia_chain
    else:
        figures["kornia"] = "not installed"
    for name, chain in chains.items():
        for resampling, dtype in product(("nearest", "bilinear"), ("float32", "float16")):
            kind = getattr(torch, dtype)
            calls = [partial(chain, tensors, r, d, resampling, kind) for r, d in zip(rows, drawn, strict=True)]
            figures[f"{name}_{resampling}_{dtype}_us"] = _seconds(calls, rounds=12) * 1e6
    return figures


def _seconds(actions: Sequence[Callable[[], Any]], rounds: int = ROUNDS) -> float:
    """Median time that the GPU takes for one of these actions, taken in turn."""
    import torch

    for action in actions:
        action()
    torch.cuda.synchronize()
    event: Any = partial(torch.cuda.Event, enable_timing=True)
    marks = [(event(), event()) for _ in range(rounds)]
    for (before, after), action in zip(marks, cycle(actions), strict=False):
        before.record()
        action()
        after.record()
    torch.cuda.synchronize()
    return float(statistics.median(before.elapsed_time(after) for before, after in marks)) / 1e3


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))
