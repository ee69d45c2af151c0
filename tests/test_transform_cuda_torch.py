"""Batches made on a GPU in torch's memory, and on its streams."""

from typing import Any, get_args

import numpy as np
import pytest
import torch
from stored_pixels import stored_pixels, transform_to_test, widened

from bigearth_xr.device import cuda
from bigearth_xr.errors import TransformError
from bigearth_xr.ops.reference import transform_batch
from bigearth_xr.ops.transform import Precision, Transform

pytestmark = pytest.mark.gpu

PATCHES = 5
PIXELS = stored_pixels(PATCHES)
BANDS = ("B09", "VV", "B04", "B11")


def on_gpu(transform: Transform) -> dict[str, Any]:
    """The stored pixels of a transform in tensors, seen by CuPy once they are there."""
    import cupy

    tensors = [torch.from_numpy(PIXELS[name]).cuda() for name in transform.sources]
    torch.cuda.synchronize()
    return dict(zip(transform.sources, map(cupy.from_dlpack, tensors), strict=True))


def expected(transform: Transform) -> Any:
    return widened(transform_batch(transform, [PIXELS[name] for name in transform.sources]))


def new_stream() -> torch.cuda.Stream:
    stream: torch.cuda.Stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch types it in part
    return stream


@pytest.mark.parametrize("dtype", get_args(Precision))
def test_a_batch_is_written_to_a_tensor_on_the_current_stream(dtype: Precision) -> None:
    transform = transform_to_test(BANDS, dtype=dtype)
    pixels, stream = on_gpu(transform), new_stream()
    with torch.cuda.stream(stream):
        out = torch.empty(transform.out_shape(PATCHES), dtype=getattr(torch, dtype), device="cuda")
        assert cuda.transform_batch(transform, cuda.addresses_of(pixels), out=out) is out
        doubled = out.float() * 2
    stream.synchronize()
    np.testing.assert_array_equal(doubled.cpu().numpy(), 2 * expected(transform))


@pytest.mark.parametrize("numbered", [False, True])
def test_a_batch_is_made_on_the_stream_that_is_given(numbered: bool) -> None:
    transform = transform_to_test(BANDS)
    pixels, stream = on_gpu(transform), new_stream()
    out = torch.empty(transform.out_shape(PATCHES), device="cuda")
    torch.cuda.synchronize()
    cuda.transform_batch(
        transform, cuda.addresses_of(pixels), out=out, stream=stream.cuda_stream if numbered else stream
    )
    stream.synchronize()
    np.testing.assert_array_equal(out.cpu().numpy(), expected(transform))


def test_a_cpu_tensor_is_refused() -> None:
    transform = transform_to_test(BANDS)
    with pytest.raises(TransformError, match="expected a CuPy array or a CUDA tensor"):
        cuda.transform_batch(
            transform, cuda.addresses_of(on_gpu(transform)), out=torch.empty(transform.out_shape(PATCHES))
        )


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_an_out_on_another_gpu_than_the_pixels_is_refused() -> None:
    transform = transform_to_test(BANDS)
    out = torch.empty(transform.out_shape(PATCHES), device="cuda:1")
    with pytest.raises(TransformError, match=r"out on GPU 1, the pixels on GPU 0: expected all on one"):
        cuda.transform_batch(transform, cuda.addresses_of(on_gpu(transform)), out=out)
