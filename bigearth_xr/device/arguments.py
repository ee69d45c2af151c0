"""What the compiled transform takes: transforms, parameters and packed patches as arrays of plain numbers."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.device.unpacking import Packed
from bigearth_xr.ops.mixing import pixel_boxes
from bigearth_xr.ops.parameters import AugmentParameters
from bigearth_xr.ops.taps import SIDE, TAPS
from bigearth_xr.ops.transform import Plane, Precision, Transform

if TYPE_CHECKING:
    from bigearth_xr.device.kernels.batch import Drawn, Layout
    from bigearth_xr.device.kernels.unpacking import PackedArrays

__all__ = ["drawn_of", "layout_of", "packed_of", "plain"]

_BITS: dict[Precision, int] = {"float32": 32, "float16": 16, "bfloat16": 8}


def layout_of(transform: Transform, *, cropped: bool) -> "Layout":
    """Lay a transform out; with crops, every band takes its pixels by tables.

    Examples
    --------
    >>> layout_of(Transform(bands=(), sources=(), planes=(), subtract=(), factor=()), cropped=False).size
    120
    """
    from bigearth_xr.device.kernels.batch import COPIED, Layout

    sides = list(dict.fromkeys(plane.size for plane in transform.planes))

    def table(plane: Plane) -> int:
        repeated = transform.taps_of(plane, cropped=cropped) == "nearest" and transform.size % plane.size == 0
        return COPIED if repeated and not cropped else sides.index(plane.size)

    planes = [(p.source, p.offset, p.size, p.dtype == "float32", table(p)) for p in transform.planes]
    return Layout(
        planes=plain(planes, np.int64).reshape(-1, 5),
        scale=plain([*zip(transform.subtract, transform.factor, strict=True)], np.float32).reshape(-1, 2),
        sides=plain(sides, np.int64),
        taps=TAPS[transform.resampling],
        size=transform.size,
        bits=_BITS[transform.dtype],
    )


def packed_of(packed: Packed | None) -> "PackedArrays":
    """Say where patches lie packed; with no patches, where they lie as they are.

    Examples
    --------
    >>> packed_of(None).unpacked.size
    0
    """
    from bigearth_xr.device.kernels.unpacking import PackedArrays

    starts = np.zeros((0, 0)) if packed is None else packed.starts
    sizes = [] if packed is None else [*zip(packed.patch_bytes, packed.itemsizes, strict=True)]
    return PackedArrays(
        starts=plain(starts, np.uint64),
        lengths=plain(starts if packed is None else packed.lengths, np.int64),
        sizes=plain(sizes, np.int64).reshape(-1, 2),
        unpacked=np.zeros(starts.shape[1], np.bool_),
    )


def drawn_of(parameters: AugmentParameters | None, patches: int, transform: Transform) -> "Drawn":
    """Say how patches vary; without parameters, not at all.

    Examples
    --------
    >>> drawn_of(None, 3, Transform(bands=(), sources=(), planes=(), subtract=(), factor=())).gain
    array([1., 1., 1.], dtype=float32)
    """
    from bigearth_xr.device.kernels.batch import Drawn

    bands, p = len(transform.bands), parameters
    cropped = p is not None and p.augmentation.crops
    boxes = pixel_boxes(p.box, transform.size) if p is not None else np.zeros((patches, 4))
    return Drawn(
        symmetry=plain(p.d4 if p is not None else np.zeros(patches), np.uint8),
        varies=p is not None and p.augmentation.changes_values,
        gain=plain(p.gain if p is not None else np.ones(patches), np.float32),
        bias=plain(p.bias if p is not None else np.zeros(patches), np.float32),
        dropped=plain(p.dropped if p is not None else np.zeros((patches, bands)), np.bool_),
        noise_std=np.float32(p.augmentation.noise_std if p is not None else 0),
        rows=plain(p.rows if p is not None else np.zeros(patches), np.uint64),
        noise_words=plain(p.noise_words if p is not None else np.zeros(bands), np.uint64),
        epoch=np.uint64(p.epoch if p is not None else 0),
        seed=np.uint64(p.seed if p is not None else 0),
        crop=plain(p.crop if p is not None and cropped else [(0, 0, SIDE, SIDE)], np.float64),
        partner=plain(p.partner if p is not None else np.arange(patches), np.int64),
        weight=plain(p.weight if p is not None else np.ones(patches), np.float32),
        box=plain(boxes, np.int64),
    )


def plain(values: Any, dtype: type[np.generic]) -> NDArray[Any]:
    """Make a contiguous array that may be written to: those that may not are of another type for the kernel.

    Examples
    --------
    >>> plain((1, 2), np.int64).flags.writeable
    True
    """
    return np.array(values, dtype, order="C")
