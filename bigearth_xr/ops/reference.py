"""The specification of `ops.transform` written out in NumPy, step by step: what both engines are tested against."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.ops.augment import draw_noise, orient
from bigearth_xr.ops.mixing import pixel_boxes
from bigearth_xr.ops.parameters import AugmentParameters
from bigearth_xr.ops.resample import spread
from bigearth_xr.ops.taps import SIDE, Resampling, Taps, crop_taps
from bigearth_xr.ops.transform import Plane, Precision, Transform

__all__ = ["round_to", "transform_batch"]

Batch = NDArray[np.float32]
"""Shape ``(patch, band, y, x)``."""


@np.errstate(invalid="ignore")  # −inf dB with a gain of 0 is NaN
def transform_batch(
    transform: Transform, sources: Sequence[NDArray[Any]], parameters: AugmentParameters | None = None
) -> NDArray[Any]:
    """Transform stored pixels, clearly rather than fast.

    Parameters
    ----------
    transform
        What becomes of them.
    sources
        For each of its sources the stored pixels of all patches, shape ``(patch, band, y, x)``, with all bands that the
        array has.
    parameters
        How each patch varies; None for not at all.

    Returns
    -------
    NDArray
        Shape ``(patch, band, y, x)``, in the transform's data type; bits as uint16 for bfloat16.

    Examples
    --------
    >>> from types import SimpleNamespace as Stored
    >>> from bigearth_xr.ops.transform import transform_of
    >>> stored = Stored(name="s2_60m", bands=("B01", "B09"), size=20, dtype="uint16")
    >>> transform = transform_of([stored], ["B09"], {"B09": (100, 50)}, size=40)
    >>> transform_batch(transform, [np.full((1, 2, 20, 20), 300, np.uint16)])[0, 0, :2, :2]
    array([[4., 4.],
           [4., 4.]], dtype=float32)
    """
    crops = parameters.crop if parameters is not None and parameters.augmentation.crops else None
    planes = [
        _resampled(_pixels(plane, sources), crops, transform.size, transform.taps_of(plane, cropped=crops is not None))
        for plane in transform.planes
    ]
    batch: Batch = np.stack(planes, axis=1)
    if parameters is not None:
        batch = orient(batch, parameters.d4)
    batch = (batch - _per_band(transform.subtract)) * _per_band(transform.factor)
    if parameters is not None:
        batch = _mixed(_varied(batch, parameters), parameters)
    return round_to(batch, transform.dtype)


def round_to(values: NDArray[np.float32], dtype: Precision) -> NDArray[Any]:
    """Cast to the data type of a batch: to nearest, ties to even.

    Examples
    --------
    >>> [f"{bits:04x}" for bits in round_to(np.float32([1, -2, np.inf]), "bfloat16")]
    ['3f80', 'c000', '7f80']
    """
    if dtype != "bfloat16":
        with np.errstate(over="ignore"):  # beyond 65,504 is infinite in float16
            return values.astype(dtype)
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    even = bits >> 16 & np.uint32(1)
    # A NaN whose low bits are cut off, or carried, might become infinite or zero.
    return np.where(np.isnan(values), 0x7FC0, bits + (0x7FFF + even) >> 16).astype(np.uint16)


def _pixels(plane: Plane, sources: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """The stored pixels of one band, shape ``(patch, y, x)``."""
    return sources[plane.source][:, plane.offset // (plane.size**2 * np.dtype(plane.dtype).itemsize)]


def _resampled(pixels: NDArray[Any], crops: NDArray[np.float32] | None, size: int, method: Resampling) -> Batch:
    """Crop and resample the pixels of one band, shape ``(patch, y, x)``."""
    boxes = np.array([[0, 0, SIDE, SIDE]]) if crops is None else crops
    top, left, height, width = boxes.astype(np.float64).T
    side = pixels.shape[-1]
    vertical = crop_taps(top, height, size=size, side=side, method=method)
    horizontal = crop_taps(left, width, size=size, side=side, method=method)
    resampled = np.empty((len(pixels), size, size), np.float32)
    for patch, stored in enumerate(pixels):
        of = patch if crops is not None else 0
        if method == "nearest":
            rows, columns = vertical.index[of, 0], horizontal.index[of, 0]
            resampled[patch] = stored[np.ix_(rows, columns)]
        else:
            resampled[patch] = spread(spread(stored.astype(np.float32), _of(vertical, of), -2), _of(horizontal, of), -1)
    return resampled


def _of(taps: Taps, patch: int) -> Taps:
    return Taps(index=taps.index[patch], weight=taps.weight[patch])


def _varied(batch: Batch, parameters: AugmentParameters) -> Batch:
    """Scale patches, add noise, and drop bands."""
    if parameters.augmentation.changes_values:
        batch = batch * parameters.gain[:, None, None, None] + parameters.bias[:, None, None, None]
    if parameters.augmentation.noise_std:
        noise = [draw_noise(np, parameters, row, batch.shape) for row in parameters.rows]
        batch = batch + np.float32(parameters.augmentation.noise_std) * np.array(noise, np.float32).reshape(batch.shape)
    batch[parameters.dropped] = 0
    return batch


def _mixed(batch: Batch, parameters: AugmentParameters) -> Batch:
    """Blend patches with their partners, or paste boxes of these into them."""
    mixed = batch.copy()
    for patch, (partner, weight) in enumerate(zip(parameters.partner, parameters.weight, strict=True)):
        if partner == patch:
            continue
        if weight == 0:
            mixed[patch] = batch[partner]
        elif weight != 1:
            mixed[patch] = batch[patch] * weight + batch[partner] * (1 - weight)
        top, left, bottom, right = pixel_boxes(parameters.box[[patch]], batch.shape[-1])[0]
        mixed[patch, :, top:bottom, left:right] = batch[partner, :, top:bottom, left:right]
    return mixed


def _per_band(values: Sequence[float]) -> NDArray[np.float32]:
    return np.array(values, np.float32)[:, None, None]
