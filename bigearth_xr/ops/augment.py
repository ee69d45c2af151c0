"""Vary the pixels of patches as was drawn: flip and turn them, scale them, add noise, and drop bands."""

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import AugmentationError
from bigearth_xr.ops.namespace import ArrayT, array_namespace
from bigearth_xr.ops.parameters import AugmentParameters
from bigearth_xr.ops.random import normal

__all__ = ["augment", "draw_noise", "orient"]


def augment(pixels: ArrayT, parameters: AugmentParameters) -> ArrayT:
    """Flip and turn patches, then scale them, add noise, and drop bands.

    Parameters
    ----------
    pixels
        Shape ``(patch, band, y, x)``, NumPy or CuPy; patches and bands are those of the parameters, in their order.
    parameters
        How each patch varies.

    Returns
    -------
    ArrayT
        Same shape and device, new memory. Integers become float32 where values change, and else keep their type.

    Raises
    ------
    AugmentationError
        If patches are to be flipped and are not square, or to be cropped or mixed.

    Examples
    --------
    >>> from bigearth_xr.ops.parameters import Augmentation, draw_parameters
    >>> drawn = draw_parameters(np.array([7]), Augmentation(gain=(2, 2)), bands=["B04"], seed=0)
    >>> augment(np.uint16([[[[1, 2], [3, 4]]]]), drawn)[0, 0]
    array([[6., 8.],
           [2., 4.]], dtype=float32)
    """
    if parameters.augmentation.crops or parameters.augmentation.mixes:
        raise AugmentationError(
            "these parameters crop or mix patches, which is done to pixels as they are stored and to whole batches; "
            "draw them without crop, mixup and cutmix, or let a PatchLoader apply them"
        )
    xp = array_namespace(pixels)
    varied: Any = orient(pixels, parameters.d4)
    if parameters.augmentation.changes_values:
        if varied.dtype.kind not in "fc":
            varied = varied.astype(xp.float32)
        varied *= _per_patch(xp, parameters.gain)
        varied += _per_patch(xp, parameters.bias)
    if parameters.augmentation.noise_std:
        # Patch by patch, which stays in the processor's cache.
        for patch, row in enumerate(parameters.rows):
            varied[patch] += np.float32(parameters.augmentation.noise_std) * draw_noise(
                xp, parameters, row, varied.shape
            )
    if parameters.dropped.any():
        varied[xp.asarray(parameters.dropped)] = 0  # not × 0: NaN × 0 is NaN
    augmented: ArrayT = varied
    return augmented


def orient(pixels: ArrayT, d4: NDArray[np.uint8]) -> ArrayT:
    """Flip and turn each patch by a symmetry of the square.

    Parameters
    ----------
    pixels
        Shape ``(patch, ..., y, x)``, any data type, NumPy or CuPy.
    d4
        Symmetries, 0 to 7, shape ``(patch,)``, on the host: ``d4 % 4`` quarter turns counter-clockwise, then for 4
        and more a flip along x.

    Returns
    -------
    ArrayT
        Same shape, data type and device, new memory.

    Raises
    ------
    AugmentationError
        If patches are to be flipped and are not square.

    Examples
    --------
    >>> orient(np.uint16([[[1, 2], [3, 4]]]), np.uint8([1]))[0]
    array([[2, 4],
           [1, 3]], dtype=uint16)
    """
    height, width = pixels.shape[-2:]
    if height != width and d4.any():
        raise AugmentationError(
            f"patches are {height} × {width} pixels, and only squares can be turned; augment whole patches and crop "
            "afterwards, or pass flips=False"
        )
    xp = array_namespace(pixels)
    oriented: Any = xp.empty(pixels.shape, pixels.dtype)
    for symmetry in np.unique(d4):
        patches = xp.asarray(np.flatnonzero(d4 == symmetry))
        turned = xp.rot90(pixels[patches], int(symmetry) % 4, axes=(-2, -1))
        oriented[patches] = turned if symmetry < 4 else turned[..., ::-1]
    done: ArrayT = oriented
    return done


def draw_noise(xp: ModuleType, parameters: AugmentParameters, row: np.int64, shape: tuple[int, ...]) -> Any:
    """Draw standard normal noise for a patch, shape ``(band, y, x)``: four pixels along x from each counter.

    Examples
    --------
    >>> from bigearth_xr.ops.parameters import Augmentation, draw_parameters
    >>> drawn = draw_parameters(np.array([7]), Augmentation(noise_std=1), bands=["B04"], seed=0)
    >>> draw_noise(np, drawn, drawn.rows[0], (1, 2, 3)).shape
    (1, 2, 3)
    """
    height, width = shape[-2:]
    quads = -(-width // 4)
    y = xp.arange(height, dtype=xp.uint64)[:, None] << np.uint64(16)
    place = y | xp.arange(quads, dtype=xp.uint64)
    band = xp.asarray(parameters.noise_words)[:, None, None]
    four = normal([place, band, np.uint64(row), np.uint64(parameters.epoch)], seed=parameters.seed)
    return xp.stack(four, axis=-1).reshape(-1, height, 4 * quads)[..., :width]


def _per_patch(xp: ModuleType, values: NDArray[np.float32]) -> Any:
    return xp.asarray(values)[:, None, None, None]
