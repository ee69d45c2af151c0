"""From stored pixels to a batch: one specification, which `ops.reference` writes out and two engines follow.

A patch is known by the address of its first stored pixel in each pixel array, so that gathering a batch is computing
addresses. All arithmetic is in float32, each operation rounded by itself: no fused multiply-add, no fast math. Then
results are the same to the last bit, but for the noise, whose logarithms and sines differ in theirs. In this order:

1. **Crop and resample.** Output pixel i of S along a side is at ``((i + 0.5) * extent / S + start) / (120 / side)``
   stored pixels from the border, float64, where ``start`` and ``extent`` are of the crop (0 and 120 without one), along
   the axes of the patch *as it is stored*: it is cropped first and turned afterwards. `ops.resample` makes of it which
   stored pixels count, and weights rounded to float32. Sums run over the taps in their order, first along y, then
   along x: ``(w0 * p0 + w1 * p1) + w2 * p2 …``, where 0 × NaN and 0 × ∞ are 0, not NaN: what weighs nothing is no
   part of a pixel. A band that has S pixels a side already and is not cropped is copied, whatever the resampling
   (`Transform.taps_of`), which costs nothing.
2. **Turn.** As `ops.reference.orient` does: ``d4 % 4`` quarter turns counter-clockwise, then for 4 and more a flip
   along x. As turning only moves pixels, an engine reads them where they come from: with
   ``sy, sx, tr = SYMMETRIES[d4]``,
   output pixel (y, x) is resampled pixel ``(a, b)``, where ``a, b = (x, y) if tr else (y, x)``, and then
   ``a = S - 1 - a if sy``, ``b = S - 1 - b if sx``.
3. **Scale.** ``v = (pixel - subtract) * factor``, by band.
4. **Vary.** Where the augmentation changes values: ``v = v * gain + bias``, by patch. Where it has noise:
   ``v = v + noise_std * normal``, drawn for the output pixel. Where a band is dropped, ``v = 0`` whatever it was.
5. **Mix.** With a partner in the batch other than the patch itself, which went through 1 to 4 by its own parameters:
   in the box (`ops.mixing.pixel_boxes`) its value, elsewhere ``v * weight + partner * (1 - weight)``; but ``v`` where
   weight is 1, and ``partner`` where it is 0.
6. **Cast** to the data type asked for, to nearest, ties to even.

The noise of four output pixels along x, 4 q to 4 q + 3, is that of the counter ``(y << 16 | q, parameters.noise_words
[band], row, epoch)`` with the seed as key, in the order of `ops.random.normal`.

NaN and −inf pass through. So a resampled pixel is not finite where a stored one that weighs something is not. IEEE
arithmetic says whether it is NaN or ±∞: −inf times a negative weight of bicubic is +inf, and both together are NaN.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bigearth_xr.bands import bands as band_facts
from bigearth_xr.errors import BandError, TransformError
from bigearth_xr.ops.augmentation import PATCH_VALUES, AugmentParameters
from bigearth_xr.ops.resample import SIDE, Resampling, check_resampling
from bigearth_xr.spelling import check_choice

__all__ = ["SYMMETRIES", "Plane", "Precision", "StoredArray", "Transform", "check_parameters", "transform_of"]

Precision = Literal["float32", "float16", "bfloat16"]
"""Data type of a batch."""

SYMMETRIES = np.array(
    [(0, 0, 0), (0, 1, 1), (1, 1, 0), (1, 0, 1), (0, 1, 0), (1, 1, 1), (1, 0, 0), (0, 0, 1)], dtype=np.uint8
)
"""By symmetry: whether y, x of the stored patch run backwards, and whether they change places, shape ``(8, 3)``."""

_OUT_TYPES: dict[Precision, DTypeLike] = {"float32": np.float32, "float16": np.float16, "bfloat16": np.uint16}
_MAX_SIZE = 2**13


class StoredArray(Protocol):
    """A pixel array of a store, as far as a transform has to know it."""

    @property
    def name(self) -> str:
        """Name in the store, e.g. ``"s2_10m"``."""
        ...

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands in the order in which a patch holds them, one plane after the other."""
        ...

    @property
    def size(self) -> int:
        """Pixels along one side of a patch."""
        ...

    @property
    def dtype(self) -> Literal["uint16", "float32"]:
        """Data type of a pixel."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """Where a band lies in the stored pixels of a patch."""

    source: int
    """Which pixel array: index into `Transform.sources`."""

    offset: int
    """Bytes from the patch's first pixel in that array to the band's."""

    size: int
    """Stored pixels along a side: 120, 60 or 20."""

    dtype: Literal["uint16", "float32"]
    """Data type of a stored pixel, little-endian."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transform:
    """What becomes of the stored pixels of every patch; `transform_of` makes it."""

    bands: tuple[str, ...]
    """Bands of the batch, in its order."""

    sources: tuple[str, ...]
    """Names of the pixel arrays, in the order of the addresses."""

    planes: tuple[Plane, ...]
    """Where each band lies."""

    subtract: tuple[float, ...]
    """What is subtracted from the pixels of each band; a float32."""

    factor: tuple[float, ...]
    """What they are multiplied by then; a float32."""

    resampling: Resampling = "nearest"
    """How stored pixels become those of the batch."""

    size: int = SIDE
    """Pixels along a side of the batch."""

    dtype: Precision = "float32"
    """Data type of the batch."""

    def out_shape(self, patches: int) -> tuple[int, int, int, int]:
        """Shape of a batch: ``(patch, band, y, x)``."""
        return patches, len(self.bands), self.size, self.size

    @property
    def out_dtype(self) -> np.dtype[np.generic]:
        """Data type of a batch in NumPy, which has no bfloat16: uint16 holds its bits."""
        return np.dtype(_OUT_TYPES[self.dtype])

    def taps_of(self, plane: Plane, *, cropped: bool) -> Resampling:
        """How the pixels of a band are taken, given whether patches are cropped."""
        return "nearest" if plane.size == self.size and not cropped else self.resampling


def transform_of(
    arrays: Iterable[StoredArray],
    bands: Iterable[str],
    scale: Mapping[str, tuple[float, float]] | None = None,
    *,
    resampling: Resampling = "nearest",
    size: int = SIDE,
    dtype: Precision = "float32",
) -> Transform:
    """Say what becomes of stored pixels.

    Parameters
    ----------
    arrays
        The pixel arrays that hold the bands; those without any of them become no source.
    bands
        Bands of the batch, in its order.
    scale
        By band, what is subtracted from its pixels, and what they are divided by then: mean and standard deviation, or
        least value and range. None leaves pixels as they are.
    resampling, size, dtype
        As in `Transform`.

    Returns
    -------
    Transform
        Its numbers are rounded to float32 as `ops.scale.standardize` rounds them.

    Raises
    ------
    BandError
        If a band is unknown, or in none of the arrays.
    TransformError
        If a band has no scale or one that no pixel can be divided by, or the size or data type is none.
    SelectionError
        If there is no such resampling.

    Examples
    --------
    >>> from types import SimpleNamespace as Stored
    >>> radar = Stored(name="s1", bands=("VV", "VH"), size=120, dtype="float32")
    >>> transform_of([radar], ["VH"], {"VH": (-19.3, 5.0)}).planes
    (Plane(source=0, offset=57600, size=120, dtype='float32'),)
    """
    names = tuple(band.name for band in band_facts(bands))
    check_resampling(resampling)
    _check(names, size, dtype)
    sources = [array for array in arrays if {*array.bands} & {*names}]
    factors = [_factor(name, scale) for name in names]
    return Transform(
        bands=names,
        sources=tuple(array.name for array in sources),
        planes=tuple(_plane(name, sources) for name in names),
        subtract=tuple(float(np.float32(scale[name][0])) if scale else 0.0 for name in names),
        factor=tuple(factors),
        resampling=resampling,
        size=int(size),
        dtype=dtype,
    )


def check_parameters(transform: Transform, addresses: NDArray[np.uint64], parameters: AugmentParameters | None) -> None:
    """Refuse addresses and parameters that are not of the same patches and bands as the transform."""
    _check_addresses(transform, addresses)
    if parameters is None:
        return
    if not isinstance(parameters, AugmentParameters):
        raise TransformError(
            f"parameters are a {type(parameters).__name__}, expected what draw_parameters gives, or None"
        )
    if parameters.bands != transform.bands:
        raise TransformError(
            f"parameters were drawn for bands {', '.join(parameters.bands)}, the transform gives "
            f"{', '.join(transform.bands)}; use parameters.take(parameters.rows, transform.bands)"
        )
    if len(parameters.rows) != addresses.shape[1]:
        raise TransformError(
            f"parameters were drawn for {len(parameters.rows)} patches, and addresses are of {addresses.shape[1]}; "
            "draw them for the rows of this batch"
        )
    # Compiled code asks no more.
    partner, patches = parameters.partner, len(parameters.rows)
    if {len(getattr(parameters, name)) for name in PATCH_VALUES} != {patches} or (
        patches and not 0 <= partner.min() <= partner.max() < patches
    ):
        raise TransformError(
            f"parameters of {patches} patches hold other numbers of something, or partners that are none of them; take "
            "them whole from draw_parameters, or some with parameters.take"
        )


def _check_addresses(transform: Transform, addresses: object) -> None:
    """Refuse what is not an address of each patch in each source; an array on any device has a type and a shape."""
    dtype = getattr(addresses, "dtype", None)
    shape: tuple[int, ...] = getattr(addresses, "shape", ())
    if dtype != np.uint64 or len(shape) != 2 or shape[0] != len(transform.sources):
        given = f"a {type(addresses).__name__}" if dtype is None else f"{dtype} of shape {shape}"
        raise TransformError(
            f"addresses are {given}, expected uint64 of shape ({len(transform.sources)}, patch): one row for each of "
            f"{', '.join(transform.sources)}; take them from addresses_of or from a reader"
        )


def _plane(name: str, sources: Sequence[StoredArray]) -> Plane:
    for source, array in enumerate(sources):
        if name in array.bands:
            plane_bytes = array.size**2 * np.dtype(array.dtype).itemsize
            return Plane(
                source=source, offset=array.bands.index(name) * plane_bytes, size=array.size, dtype=array.dtype
            )
    raise BandError(f"band {name} is in none of the pixel arrays; ask for bands that the store holds")


def _factor(name: str, scale: Mapping[str, tuple[float, float]] | None) -> float:
    if scale is None:
        return 1.0
    if name not in scale:
        raise TransformError(f"there is no scale for band {name}, only for {', '.join(scale)}; give two numbers each")
    shift, spread = np.array(scale[name], np.float32)
    with np.errstate(divide="ignore", over="ignore"):
        factor = np.float32(1) / spread
    # An infinite factor makes NaN of what is equal to the mean.
    if not np.isfinite([shift, spread, factor]).all():
        raise TransformError(f"the scale of band {name} is {scale[name]}, expected two finite numbers, the last not 0")
    return float(factor)


def _check(names: tuple[str, ...], size: int, dtype: str) -> None:
    if not names:
        raise BandError("no band asked for; give at least one, e.g. bands=['B04', 'B03', 'B02']")
    if not isinstance(size, int | np.integer) or not 1 <= size <= _MAX_SIZE:
        raise TransformError(f"size is {size!r}, expected pixels along a side, 1 to {_MAX_SIZE}")
    check_choice("dtype", dtype, _OUT_TYPES, TransformError)
