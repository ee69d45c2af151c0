"""What `ops.transform` specifies, step by step, in NumPy or CuPy: what both compiled engines are tested against."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import AugmentationError
from bigearth_xr.ops.augmentation import AugmentParameters, unvaried
from bigearth_xr.ops.mixing import pixel_boxes
from bigearth_xr.ops.namespace import Array, ArrayT, array_namespace
from bigearth_xr.ops.random import normal
from bigearth_xr.ops.resample import Resampling, Taps, crop_taps, spread
from bigearth_xr.ops.transform import Plane, Precision, Transform

__all__ = ["crop_and_turn"]


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
    """
    drawn = unvaried(len(sources[0]), transform.bands) if parameters is None else parameters
    cropped, boxes = drawn.augmentation.crops, np.broadcast_to(drawn.cropping, (len(sources[0]), 4))
    planes = [
        crop(_pixels(plane, sources), boxes, transform.taps_of(plane, cropped=cropped), size=transform.size)
        for plane in transform.planes
    ]
    batch = orient(np.stack(planes, axis=1, dtype=np.float32), drawn.d4)
    batch = (batch - _per_band(transform.subtract)) * _per_band(transform.factor)
    return round_to(_mixed(_varied(batch, drawn), drawn), transform.dtype)


def round_to(values: NDArray[np.float32], dtype: Precision) -> NDArray[Any]:
    """Cast to the data type of a batch: to nearest, ties to even."""
    if dtype != "bfloat16":
        with np.errstate(over="ignore"):  # beyond 65,504 is infinite in float16
            return values.astype(dtype)
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    even = bits >> 16 & np.uint32(1)
    # A NaN whose low bits are cut off, or carried, might become infinite or zero.
    return np.where(np.isnan(values), 0x7FC0, bits + (0x7FFF + even) >> 16).astype(np.uint16)


def augment(pixels: ArrayT, parameters: AugmentParameters, method: Resampling = "nearest") -> ArrayT:
    """Crop patches, flip and turn them, then scale them, add noise, drop bands, and mix them.

    Parameters
    ----------
    pixels
        Shape ``(patch, band, y, x)``, NumPy or CuPy; patches and bands are those of the parameters, in their order.
    parameters
        How each patch varies.
    method
        How the pixels of crops are made of those that there are.

    Returns
    -------
    ArrayT
        Same shape and device, new memory. Integers become float32 where values change, and else keep their type.

    Raises
    ------
    AugmentationError
        If patches are to be flipped and are not square.

    Examples
    --------
    >>> from bigearth_xr.ops.augmentation import Augmentation, draw_parameters
    >>> drawn = draw_parameters(np.array([7]), Augmentation(gain=(2, 2)), bands=["B04"], seed=0)
    >>> augment(np.uint16([[[[1, 2], [3, 4]]]]), drawn)[0, 0]
    array([[6., 8.],
           [2., 4.]], dtype=float32)
    """
    return _mixed(_varied(crop_and_turn(pixels, parameters, method), parameters), parameters)


def crop_and_turn(pixels: ArrayT, parameters: AugmentParameters, method: Resampling = "nearest") -> ArrayT:
    """Crop, flip and turn patches, of images or of codes: what changes where pixels are.

    Parameters
    ----------
    pixels
        Shape ``(patch, ..., y, x)``, NumPy or CuPy.
    parameters, method
        As for `augment`.

    Returns
    -------
    ArrayT
        Same shape and device, new memory.
    """
    whole = crop(pixels, parameters.crop, method) if parameters.augmentation.crops else pixels
    return orient(whole, parameters.d4)


def crop(
    pixels: ArrayT, boxes: NDArray[np.float32], method: Resampling = "nearest", *, size: int | None = None
) -> ArrayT:
    """Cut a box out of each patch, and resample it.

    Parameters
    ----------
    pixels
        Shape ``(patch, ..., y, x)``, NumPy or CuPy.
    boxes
        Top, left, height and width in 120ths of a side, shape ``(patch, 4)``, on the host.
    method
        ``"nearest"`` takes pixels as they are, ``"bilinear"`` and ``"bicubic"`` weigh neighbours.
    size
        Pixels along both sides of the result; by default as many as there are along each.

    Returns
    -------
    ArrayT
        Shape ``(patch, ..., size, size)``, same device, new memory; nearest keeps the data type, the others give
        float32.

    Examples
    --------
    >>> crop(np.uint16([[[1, 2], [3, 4]]]), np.float32([[0, 60, 60, 60]]))[0]
    array([[2, 2],
           [2, 2]], dtype=uint16)
    """
    xp = array_namespace(pixels)
    *outer, height, width = pixels.shape
    sides = (height, width) if size is None else (size, size)
    top, left, high, wide = boxes.astype(np.float64).T
    down = crop_taps(top, high, size=sides[0], side=height, method=method)
    across = crop_taps(left, wide, size=sides[1], side=width, method=method)
    cut: Any = xp.empty((*outer, *sides), pixels.dtype if method == "nearest" else xp.float32)
    for patch in range(len(boxes)):
        if method == "nearest":
            rows, columns = (xp.asarray(taps.index[patch, 0].astype(np.intp)) for taps in (down, across))
            cut[patch] = pixels[patch][..., rows, :][..., columns]
        else:
            y, x = (Taps(index=taps.index[patch], weight=taps.weight[patch]) for taps in (down, across))
            cut[patch] = spread(spread(pixels[patch].astype(xp.float32), y, -2), x, -1)
    done: ArrayT = cut
    return done


def mix(own: ArrayT, partner: ArrayT, weight: Array, box: NDArray[np.integer]) -> ArrayT:
    """Blend each patch with its partner, or paste a box of the partner into it.

    Parameters
    ----------
    own, partner
        Shape ``(patch, ..., y, x)``, NumPy or CuPy; each patch, and at its place its partner.
    weight
        Of the patch itself, shape ``(patch,)``, float32; integers stay such where every weight is 0 or 1.
    box
        Where the partner's pixels replace its own, shape ``(patch, 4)``, 120ths of a side: top, left, height, width.

    Returns
    -------
    ArrayT
        Same shape and device, new memory.

    Examples
    --------
    >>> own, other = np.zeros((1, 1, 2, 2)), np.ones((1, 1, 2, 2))
    >>> mix(own, other, np.float32([0.75]), np.zeros((1, 4), int))[0, 0, 0]
    array([0.25, 0.25])
    >>> mix(own, other, np.float32([1]), np.array([[0, 0, 120, 60]]))[0, 0, 0]
    array([1., 0.])
    """
    xp = array_namespace(own, partner)
    one_of_each = (-1, *(1 for _ in own.shape[1:]))
    kept: Any = xp.asarray(weight).reshape(one_of_each)
    mixed: Any = xp.where(kept == 0, partner, own)
    if bool(((kept != 0) & (kept != 1)).any()):
        with np.errstate(invalid="ignore"):  # −inf and inf together are NaN
            blend = own * kept + partner * (1 - kept)
        mixed = xp.where((kept == 0) | (kept == 1), mixed, blend)
    height, width = own.shape[-2:]
    top, _, bottom, _ = pixel_boxes(box.astype(np.int32), height).T[..., None]
    _, left, _, right = pixel_boxes(box.astype(np.int32), width).T[..., None]
    y, x = np.arange(height), np.arange(width)
    inside = ((y >= top) & (y < bottom))[:, :, None] & ((x >= left) & (x < right))[:, None, :]
    pasted: ArrayT = xp.where(xp.asarray(inside).reshape(len(box), *one_of_each[3:], height, width), partner, mixed)
    return pasted


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
    """Draw standard normal noise for a patch, shape ``(band, y, x)``: four pixels along x from each counter."""
    height, width = shape[-2:]
    quads = -(-width // 4)
    y = xp.arange(height, dtype=xp.uint64)[:, None] << np.uint64(16)
    place = y | xp.arange(quads, dtype=xp.uint64)
    band = xp.asarray(parameters.noise_words)[:, None, None]
    four = normal([place, band, np.uint64(row), np.uint64(parameters.epoch)], seed=parameters.seed)
    return xp.stack(four, axis=-1).reshape(-1, height, 4 * quads)[..., :width]


def _pixels(plane: Plane, sources: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """The stored pixels of one band, shape ``(patch, y, x)``."""
    return sources[plane.source][:, plane.offset // (plane.size**2 * np.dtype(plane.dtype).itemsize)]


def _varied(batch: ArrayT, parameters: AugmentParameters) -> ArrayT:
    """Scale patches, add noise, and drop bands, in their own memory if that holds the result."""
    xp, allowed = array_namespace(batch), parameters.augmentation
    values: Any = batch
    if allowed.changes_values:
        values = values if values.dtype.kind in "fc" else values.astype(xp.float32)
        values *= _per_patch(xp, parameters.gain)
        values += _per_patch(xp, parameters.bias)
    if allowed.noise_std:
        # Patch by patch, which stays in the processor's cache.
        for patch, row in enumerate(parameters.rows):
            values[patch] += np.float32(allowed.noise_std) * draw_noise(xp, parameters, row, values.shape)
    if parameters.dropped.any():
        values[xp.asarray(parameters.dropped)] = 0  # not × 0: NaN × 0 is NaN
    varied: ArrayT = values
    return varied


def _mixed(batch: ArrayT, parameters: AugmentParameters) -> ArrayT:
    """Blend patches with their partners, or paste boxes of these into them."""
    if not parameters.augmentation.mixes:
        return batch
    partners = batch[array_namespace(batch).asarray(parameters.partner)]
    mixed: ArrayT = mix(batch, partners, *parameters.mixing)
    return mixed


def _per_band(values: Sequence[float]) -> NDArray[np.float32]:
    return np.array(values, np.float32)[:, None, None]


def _per_patch(xp: ModuleType, values: NDArray[np.float32]) -> Any:
    return xp.asarray(values)[:, None, None, None]
