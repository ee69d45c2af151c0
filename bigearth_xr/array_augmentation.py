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
from bigearth_xr.ops import reference
from bigearth_xr.ops.augmentation import PATCH_VALUES, Augmentation, AugmentParameters, draw_parameters
from bigearth_xr.ops.resample import Resampling

__all__ = ["augment", "choose_parameters"]

_SIDES = (("y", "x"), *((group.y, group.x) for group in GROUPS))


def choose_parameters(
    array: xr.DataArray,
    augmentation: Augmentation,
    *,
    seed: int | None,
    epoch: int,
    parameters: AugmentParameters | None,
) -> AugmentParameters:
    """Draw how each patch of an array varies, or pick it from what was drawn before."""
    if seed is not None and parameters is None:
        return draw_parameters(_rows(array), augmentation, bands=_bands(array), seed=seed, epoch=epoch)
    if seed is not None or parameters is None:
        raise AugmentationError("give either a seed, as in augment(seed=0), or the parameters of an earlier call")
    if augmentation != Augmentation() or epoch:
        raise AugmentationError("parameters say how each patch varies; leave out epoch, flips, gain, bias and the like")
    return parameters.take(_rows(array), _bands(array))


def augment(array: xr.DataArray, parameters: AugmentParameters) -> xr.DataArray:
    """Vary an array as drawn for its patches and bands; `DataArray.ben.augment` documents it."""
    sides, allowed, dim = _sides(array), parameters.augmentation, band_dim(array) if parameters.bands else None
    if dim is None and allowed.mixup:
        raise AugmentationError("the codes of a map cannot be blended; draw without mixup, or leave the map out")
    dims = {"patch": "patch", "edge": "edge"} | ({} if dim is None else {"band": dim})
    drawn = {
        name: xr.Variable([dims[one] for one in value.dims], getattr(parameters, name))
        for name, value in PATCH_VALUES.items()
        if not value.mixes and {*value.dims} <= {*dims}
    }
    # A block gets what was drawn for its patches, and of the others nothing.
    shared = replace(parameters.for_patches(0), augmentation=replace(allowed, mixup=0, cutmix=0))
    core, method = (sides, None) if dim is None else ((dim, *sides), _method_of(array))
    new_values = method is not None and (allowed.changes_values or (allowed.crops and method != "nearest"))
    dtype = np.float32 if new_values and array.dtype.kind not in "fc" else array.dtype
    of_block = partial(_augment_block, shared, method, tuple(drawn))
    varied = apply(of_block, array, *drawn.values(), core=core, outer=("patch",), dtype=dtype)
    return _mixed(varied, parameters, core=core)


def _augment_block(
    shared: AugmentParameters, method: Resampling | None, names: tuple[str, ...], pixels: Any, *drawn: NDArray[Any]
) -> Any:
    """Vary some patches; those of a map have codes, which have no method: none is made of two."""
    parameters = shared.for_patches(len(pixels), **dict(zip(names, drawn, strict=True)))
    if method is None:
        return reference.crop_and_turn(pixels, parameters)
    if _is_compiled(pixels, parameters):
        return transform_block(pixels, parameters)
    return reference.augment(pixels, parameters, method)


def _mixed(array: xr.DataArray, parameters: AugmentParameters, *, core: tuple[str, ...]) -> xr.DataArray:
    """Blend patches with their partners, which may be anywhere in the array."""
    if (parameters.partner == np.arange(len(parameters.partner))).all():  # one patch alone, or nothing is mixed
        return array
    weight, box = parameters.mixing
    drawn = xr.Variable("patch", weight), xr.Variable(("patch", "edge"), box)
    partner = array.isel(patch=parameters.partner).variable
    becomes_float = parameters.augmentation.mixup > 0 and array.dtype.kind not in "fc"
    dtype = np.float32 if becomes_float else array.dtype
    return apply(reference.mix, array, partner, *drawn, core=core, outer=("patch",), dtype=dtype)


def _method_of(array: xr.DataArray) -> Resampling:
    """How the pixels of an array were brought to 10 m, which is how those of crops are made."""
    named = json.loads(array.attrs.get("bigearth", "{}")).get("resampling")
    return next((known for known in get_args(Resampling) if known == named), "nearest")


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
