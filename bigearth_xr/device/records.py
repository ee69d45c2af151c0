"""What the kernel of `fused.cu` is given: its records, laid out as they are there, and the shape of a launch.

Nothing here needs a GPU.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.ops.augmentation import AugmentParameters, unvaried
from bigearth_xr.ops.mixing import pixel_boxes
from bigearth_xr.ops.resample import SIDE, TAPS
from bigearth_xr.ops.transform import SYMMETRIES, Plane, Precision, Transform

BAND = np.dtype(
    [
        ("source", np.uint32),
        ("offset", np.uint32),
        ("side", np.int32),
        ("floats", np.uint32),
        ("taps", np.int32),
        ("noise_word", np.uint32),
        ("subtract", np.float32),
        ("factor", np.float32),
        ("coarseness", np.float64),
    ]
)
"""``Band`` of the source."""

PATCH = np.dtype(
    [
        ("start", np.float64, 2),
        ("extent", np.float64, 2),
        ("box", np.int32, 4),
        ("gain", np.float32),
        ("bias", np.float32),
        ("weight", np.float32),
        ("partner", np.int32),
        ("row", np.uint32),
        ("symmetry", np.uint32),
        ("dropped", np.uint32),
        ("unused", np.uint32),
    ]
)
"""``Patch`` of the source."""

THREADS = 128
"""Threads of a block."""

MAX_PATCHES = 2**16 - 1
"""Patches that one launch can make: CUDA's limit to the third dimension of a grid."""

# As in the source.
_TILE_X, _TILE_Y = 128, 32
_WIDE_BYTES = 16
_KINDS: dict[Precision, str] = {"float32": "Float32", "float16": "Float16", "bfloat16": "BFloat16"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What the kernel is compiled for."""

    taps: int
    """Stored pixels that a new one may be made of, along a side: 1, 2 or 4."""

    dtype: Precision
    """Data type of the batch."""

    noise: bool
    """Whether noise is added."""

    mix: bool
    """Whether patches may have partners."""

    @property
    def options(self) -> tuple[str, ...]:
        """Options of NVRTC besides the architecture: nothing may round otherwise than the specification says."""
        return (
            "--std=c++17",
            "--fmad=false",
            f"-DTAPS_OF_KERNEL={self.taps}",
            f"-DOUT_OF_KERNEL={_KINDS[self.dtype]}",
            f"-DNOISE_OF_KERNEL={str(self.noise).lower()}",
            f"-DMIX_OF_KERNEL={str(self.mix).lower()}",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How the kernel is started."""

    tiles: int
    """Tiles that a plane of the batch is made in, each by a block: the grid is ``(tiles, bands, patches)``."""

    tile_words: int
    """Room for the stored pixels of a tile, in words of 4 bytes."""

    shared_bytes: int
    """Shared memory of a block."""


def variant_of(transform: Transform, parameters: AugmentParameters | None) -> Variant:
    """Tell which kernel a batch needs."""
    return Variant(
        taps=max((_taps(transform, plane, parameters) for plane in transform.planes), default=1),
        dtype=transform.dtype,
        noise=parameters is not None and parameters.augmentation.noise_std > 0,
        mix=parameters is not None and parameters.augmentation.mixes,
    )


def launch_of(transform: Transform, variant: Variant) -> Launch:
    """Say in how many blocks a batch is made, and how much memory each needs."""
    words = max((_tile_words(plane.size, transform.size, variant.taps) for plane in transform.planes), default=0)
    # Of each tap a weight, 4 bytes, and two indices of 2; a partner has room of its own.
    table_bytes = 8 * variant.taps * (_TILE_X + _TILE_Y)
    return Launch(
        tiles=-(-transform.size // _TILE_X) * -(-transform.size // _TILE_Y),
        tile_words=words,
        shared_bytes=(4 * words + table_bytes) * (2 if variant.mix else 1),
    )


def band_records(transform: Transform, parameters: AugmentParameters | None) -> NDArray[np.void]:
    """Describe the bands, shape ``(band,)``."""
    records: Any = np.zeros(len(transform.bands), BAND)
    for record, plane in zip(records, transform.planes, strict=True):
        record["source"], record["offset"], record["side"] = plane.source, plane.offset, plane.size
        record["floats"], record["coarseness"] = plane.dtype == "float32", SIDE / plane.size
        record["taps"] = _taps(transform, plane, parameters)
    records["subtract"], records["factor"] = transform.subtract, transform.factor
    if parameters is not None:
        records["noise_word"] = parameters.noise_words
    described: NDArray[np.void] = records
    return described


def patch_records(transform: Transform, parameters: AugmentParameters | None, patches: int) -> NDArray[np.void]:
    """Describe how patches vary, shape ``(patch,)``; without parameters they do not."""
    drawn = unvaried(patches, transform.bands) if parameters is None else parameters
    records: Any = np.zeros(patches, PATCH)
    records["start"], records["extent"] = drawn.cropping[:, :2], drawn.cropping[:, 2:]
    for name in ("gain", "bias", "weight", "partner"):
        records[name] = getattr(drawn, name)
    records["box"] = pixel_boxes(drawn.box, transform.size)
    records["row"] = drawn.rows
    records["symmetry"] = SYMMETRIES[drawn.d4] @ np.array([1, 2, 4])
    records["dropped"] = drawn.dropped @ (1 << np.arange(len(transform.bands)))
    described: NDArray[np.void] = records
    return described


def pack(records: Sequence[NDArray[Any]]) -> tuple[NDArray[np.uint8], list[int]]:
    """Lay records one after the other, each a multiple of 8 bytes long; say where each begins.

    Examples
    --------
    >>> packed, starts = pack([np.zeros(2, BAND), np.zeros(1, PATCH)])
    >>> packed.size, starts
    (160, [0, 80])
    """
    sizes = [record.nbytes for record in records]
    packed = np.frombuffer(b"".join(record.tobytes() for record in records), np.uint8)
    return packed, [sum(sizes[:at]) for at in range(len(sizes))]


def scalars(
    transform: Transform, parameters: AugmentParameters | None, launch: Launch, patches: int, target: int
) -> tuple[np.generic, ...]:
    """What the kernel is given after the records, but for the first patch of a launch; `target` is an address."""
    ways = parameters.augmentation if parameters is not None else None
    wide = transform.size * transform.out_dtype.itemsize % _WIDE_BYTES == 0 and target % _WIDE_BYTES == 0
    return (
        np.int32(patches),
        np.int32(transform.size),
        np.uint64(parameters.seed if parameters is not None else 0),
        np.uint32(parameters.epoch if parameters is not None else 0),
        np.float32(ways.noise_std if ways is not None else 0),
        np.int32(ways is not None and ways.changes_values),
        np.int32(launch.tile_words),
        np.uint64(target),
        np.int32(wide),
    )


def _taps(transform: Transform, plane: Plane, parameters: AugmentParameters | None) -> int:
    return TAPS[transform.taps_of(plane, cropped=parameters is not None and parameters.augmentation.crops)]


def _tile_words(side: int, size: int, taps: int) -> int:
    """Room that the stored pixels of any tile fit in, however the patch is turned: rows of an odd number of words."""
    # New pixels next to each other reach over one stored pixel more than they are long; cropping makes it fewer.
    high, wide = (min(side, (min(tile, size) - 1) * side // size + 1 + taps) for tile in (_TILE_Y, _TILE_X))
    return max(high * _pitch(wide, side), wide * _pitch(high, side))


def _pitch(pixels: int, side: int) -> int:
    """Words from one row to the next, of which four are read at once: up to three more at either end."""
    return min(side, pixels + 6) // 4 * 4 + 1
