"""Vary the patches of a DataArray at random, each by what it is and not by where it stands."""

import json
from dataclasses import replace
from functools import partial
from typing import Any, get_args

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bigearth_xr.bands import GROUPS
from bigearth_xr.bandwise import BAND_DIMS, apply, band_dim, band_names
from bigearth_xr.device.host import is_block, is_large, transform_block
from bigearth_xr.errors import AugmentationError
from bigearth_xr.ops import reference as ops
from bigearth_xr.ops.augmentation import Augmentation, AugmentParameters, draw_parameters
from bigearth_xr.ops.resample import Resampling

__all__ = ["augment", "choose_parameters"]

_SIDES = (("y", "x"), *((group.y, group.x) for group in GROUPS))
# What is drawn for each patch.
_DRAWN = ("rows", "d4", "gain", "bias", "dropped")


def choose_parameters(
    array: xr.DataArray,
    augmentation: Augmentation,
    *,
    seed: int | None,
    epoch: int,
    parameters: AugmentParameters | None,
) -> AugmentParameters:
    """Draw how each patch of an array varies, or pick it from what was drawn before.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> ds = bex.open(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> drawn = choose_parameters(ds.s2, Augmentation(), seed=0, epoch=0, parameters=None)
    >>> choose_parameters(ds.s2[[1]], Augmentation(), seed=None, epoch=0, parameters=drawn).d4 == drawn.d4[1]
    array([ True])
    """
    if seed is not None and parameters is None:
        return draw_parameters(_rows(array), augmentation, bands=_bands(array), seed=seed, epoch=epoch)
    if seed is not None or parameters is None:
        raise AugmentationError("give either a seed, as in augment(seed=0), or the parameters of an earlier call")
    if augmentation != Augmentation() or epoch:
        raise AugmentationError("parameters say how each patch varies; leave out epoch, flips, gain, bias and the like")
    return parameters.take(_rows(array), _bands(array))


def augment(array: xr.DataArray, parameters: AugmentParameters) -> xr.DataArray:
    """Vary an array as drawn for its patches and bands; `DataArray.ben.augment` documents it.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> ds = bex.open(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> drawn = choose_parameters(ds.s2, Augmentation(drop=1), seed=0, epoch=0, parameters=None)
    >>> bool((augment(ds.s2, drawn) == 0).all())
    True
    """
    sides, allowed = _sides(array), parameters.augmentation
    boxes = [xr.Variable("patch", corner) for corner in parameters.crop.T] if allowed.crops else []
    if not parameters.bands:
        if allowed.mixup:
            raise AugmentationError("the codes of a map cannot be blended; draw without mixup, or leave the map out")
        d4 = xr.Variable("patch", parameters.d4)
        turned = apply(_turn_block, array, d4, *boxes, core=sides, outer=("patch",))
        return _mixed(turned, parameters, core=sides)
    dim, method = band_dim(array), _method_of(array)
    drawn = (getattr(parameters, name) for name in _DRAWN)
    of_patches = (xr.Variable(("patch", dim)[: values.ndim], values) for values in drawn)
    # A block gets what was drawn for its patches, and of the others nothing.
    shared = replace(parameters, augmentation=replace(allowed, mixup=0, cutmix=0))
    of_block = partial(_augment_block, shared.take(np.empty(0, np.int64), shared.bands), method)
    interpolates = allowed.crops and method != "nearest"
    becomes_float = (allowed.changes_values or interpolates) and array.dtype.kind not in "fc"
    dtype = np.float32 if becomes_float else array.dtype
    core = (dim, *sides)
    varied = apply(of_block, array, *of_patches, *boxes, core=core, outer=("patch",), dtype=dtype)
    return _mixed(varied, parameters, core=core)


def _augment_block(shared: AugmentParameters, method: Resampling, pixels: Any, *drawn: Any) -> Any:
    own: dict[str, Any] = dict(zip(_DRAWN, drawn, strict=False))
    if shared.augmentation.crops:
        own["crop"] = np.stack(drawn[len(_DRAWN) :], axis=-1)
    parameters = replace(shared, **own)
    if _is_compiled(pixels, parameters):
        return transform_block(pixels, parameters)
    return ops.augment(pixels, parameters, method)


def _turn_block(codes: Any, d4: NDArray[np.uint8], *box: NDArray[np.float32]) -> Any:
    """Crop, flip and turn the codes of a map, none of which is made of two."""
    return ops.orient(ops.crop(codes, np.stack(box, axis=-1)) if box else codes, d4)


def _mixed(array: xr.DataArray, parameters: AugmentParameters, *, core: tuple[str, ...]) -> xr.DataArray:
    """Blend patches with their partners, which may be anywhere in the array."""
    own = parameters.partner == np.arange(len(parameters.partner))
    if own.all():  # one patch alone among them, or nothing is mixed
        return array
    weight = xr.Variable("patch", np.where(own, np.float32(1), parameters.weight))
    box = [xr.Variable("patch", np.where(own, 0, corner)) for corner in parameters.box.T]
    partner = array.isel(patch=parameters.partner).variable
    becomes_float = parameters.augmentation.mixup > 0 and array.dtype.kind not in "fc"
    dtype = np.float32 if becomes_float else array.dtype
    return apply(_mix_block, array, partner, weight, *box, core=core, outer=("patch",), dtype=dtype)


def _mix_block(own: Any, partner: Any, weight: NDArray[np.float32], *box: NDArray[np.integer]) -> Any:
    return ops.mix(own, partner, weight, np.stack(box, axis=-1))


def _method_of(array: xr.DataArray) -> Resampling:
    """How the pixels of an array were brought to 10 m, which is how those of crops are made."""
    said = json.loads(array.attrs.get("bigearth", "{}")).get("resampling")
    return next((known for known in get_args(Resampling) if known == said), "nearest")


def _is_compiled(pixels: Any, parameters: AugmentParameters) -> bool:
    """Whether a block is made by compiled code: of the same type and to the last bit the same, but for its noise.

    With noise this depends on nothing that differs from one block to the next.
    """
    allowed = parameters.augmentation
    whole = not allowed.crops
    becomes_float = pixels.dtype == np.float32 or allowed.changes_values
    return whole and becomes_float and is_block(pixels) and (allowed.noise_std > 0 or is_large(pixels))


def _rows(array: xr.DataArray) -> NDArray[np.int64]:
    """Row of each patch, which is what its random numbers depend on."""
    if "row" not in array.coords:
        raise AugmentationError(
            "this array has no coordinate 'row', by which patches are known; take it from a Dataset of a store, or "
            "number its patches: array.assign_coords(row=('patch', numbers))"
        )
    return np.atleast_1d(array["row"].values)


def _bands(array: xr.DataArray) -> tuple[str, ...]:
    """Name the bands; none for a map, whose codes are flipped and nothing else."""
    has_bands = {*BAND_DIMS} & {*array.dims, *array.coords}
    return band_names(array) if has_bands else ()


def _sides(array: xr.DataArray) -> tuple[str, str]:
    """The dimensions of a patch from north to south and from west to east, if these are all that there is."""
    found = next((sides for sides in _SIDES if {*sides} <= {*array.dims}), None)
    known = {"patch", *BAND_DIMS, *(found or ())}
    if found is None or not {*array.dims} <= known:
        raise AugmentationError(
            f"the dimensions are {', '.join(map(str, array.dims)) or 'none'}, expected patch, band, y, x; augment "
            "whole patches, before other operations"
        )
    return found
