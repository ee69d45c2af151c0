"""Transform blocks of DataArrays on the host: pixels of one size, in memory, by the kernel that makes batches."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bigearth_xr.device.host import addresses_of, apply
from bigearth_xr.ops.parameters import AugmentParameters
from bigearth_xr.ops.taps import SIDE
from bigearth_xr.ops.transform import Plane, Transform

__all__ = ["is_block", "is_large", "transform_block"]

_LARGE = 1 << 24
"""Bytes from which on a machine that has never compiled may be made to wait: less is done before that begins."""

_BLOCK = "block"


def is_block(pixels: Any) -> bool:
    """Whether pixels are some that `transform_block` takes: of squares, of a type that patches are stored in.

    Examples
    --------
    >>> is_block(np.zeros((3, 2, 20, 20), np.uint16)), is_block(np.zeros((3, 2, 20, 40), np.uint16))
    (True, False)
    """
    return (
        isinstance(pixels, np.ndarray)
        and pixels.ndim == 4
        and pixels.size > 0
        and pixels.shape[-1] == pixels.shape[-2]
        and pixels.dtype in (np.uint16, np.float32)
    )


def is_large(pixels: NDArray[Any]) -> bool:
    """Whether compiling is worth it for these pixels alone, as float32.

    Examples
    --------
    >>> is_large(np.zeros((3, 2, 20, 20), np.uint16))
    False
    """
    return pixels.size * np.dtype(np.float32).itemsize >= _LARGE


def transform_block(
    pixels: NDArray[Any],
    parameters: AugmentParameters | None = None,
    *,
    subtract: ArrayLike = 0,
    factor: ArrayLike = 1,
) -> NDArray[np.float32]:
    """Scale pixels by band, and vary them by patch, as `ops.transform` says.

    Parameters
    ----------
    pixels
        Shape ``(patch, band, y, x)``, as `is_block` asks for; copied if a patch of them is not contiguous.
    parameters
        How each patch varies, without crops and partners; None for not at all.
    subtract, factor
        For each band, float32.

    Returns
    -------
    NDArray
        Same shape, float32, new memory.

    Examples
    --------
    >>> transform_block(np.full((1, 1, 2, 2), 7, np.uint16), subtract=1, factor=0.5)[0, 0]
    array([[3., 3.],
           [3., 3.]], dtype=float32)
    """
    patch = pixels if pixels[:1].flags.c_contiguous else np.ascontiguousarray(pixels)
    count, size = patch.shape[1:3]
    dtype = "float32" if patch.dtype == np.float32 else "uint16"
    transform = Transform(
        bands=parameters.bands if parameters is not None else tuple(map(str, range(count))),
        sources=(_BLOCK,),
        planes=tuple(
            Plane(source=0, offset=band * patch[0, 0].nbytes, size=size, dtype=dtype)  # type: ignore[arg-type]  # of two
            for band in range(count)
        ),
        subtract=tuple(np.broadcast_to(np.asarray(subtract, np.float32), count).tolist()),
        factor=tuple(np.broadcast_to(np.asarray(factor, np.float32), count).tolist()),
        size=size,
    )
    return apply(transform, addresses_of({_BLOCK: patch}), parameters and _unmixed(parameters))


def _unmixed(parameters: AugmentParameters) -> AugmentParameters:
    """Parameters of patches that are neither cropped nor mixed: what is drawn for that may be of other patches."""
    count = len(parameters.rows)
    return replace(
        parameters,
        crop=np.tile(np.array([0, 0, SIDE, SIDE], np.float32), (count, 1)),
        partner=np.arange(count),
        weight=np.ones(count, np.float32),
        box=np.zeros((count, 4), np.int32),
    )
