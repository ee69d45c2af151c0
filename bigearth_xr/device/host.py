"""Transform and unpack patches on the host: `ops.transform` and Blosc compiled, without Python's lock.

No line of Python runs for a patch. Threads may call it at once, each for a batch of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bigearth_xr.device.compiling import compile_kernel, compiled_once
from bigearth_xr.errors import TransformError
from bigearth_xr.ops.augmentation import PATCH_VALUES, AugmentParameters, unvaried
from bigearth_xr.ops.mixing import pixel_boxes
from bigearth_xr.ops.resample import TAPS
from bigearth_xr.ops.transform import Plane, Precision, Transform, check_parameters

if TYPE_CHECKING:
    from bigearth_xr.device.kernels.blosc import PackedArrays
    from bigearth_xr.device.kernels.transform import ParameterArrays, TransformArrays

__all__ = [
    "Packed",
    "is_block",
    "is_large",
    "transform_batch",
    "transform_block",
    "transform_kernel",
    "transform_packed",
    "unpack",
]

_TYPES = ("uint16", "float32")

_CACHE_LINE = 64
_FEWEST = 3  # dimensions of stored pixels: patch, y, x
_LARGE = 1 << 24
"""Bytes from which on a machine that has never compiled may be made to wait: less is done before that begins."""

_BLOCK = "block"

_BITS: dict[Precision, int] = {"float32": 32, "float16": 16, "bfloat16": 8}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Packed:
    """Where packed patches are in memory, by pixel array: `transform_packed` unpacks them."""

    starts: NDArray[np.uint64]
    """Addresses, shape ``(source, patch)``."""

    lengths: NDArray[np.int64]
    """Bytes of each."""

    patch_bytes: tuple[int, ...]
    """Bytes of a patch of each source, once unpacked."""

    itemsizes: tuple[int, ...]
    """Bytes of a pixel of each source: 2 or 4."""


def transform_batch(
    transform: Transform,
    addresses: NDArray[np.uint64],
    parameters: AugmentParameters | None = None,
    *,
    out: NDArray[Any] | None = None,
    nonfinite: NDArray[np.int64] | None = None,
) -> NDArray[Any]:
    """Transform the stored pixels at some addresses into a batch.

    The first call of all on a machine compiles for some seconds, and says so.

    Parameters
    ----------
    transform
        What becomes of the pixels.
    addresses
        Where in memory the first stored pixel of each patch is in each of the transform's sources, shape
        ``(source, patch)``; the caller keeps that memory until this returns.
    parameters
        How each patch varies; None for not at all.
    out
        Memory to write the batch to, C-contiguous, not the memory that is read. A new batch costs a third more.
    nonfinite
        Memory to count in, shape ``(patch,)``, int64: how many stored pixels of each patch, in the bands of the
        transform, are NaN or infinite, whatever becomes of them.

    Returns
    -------
    NDArray
        Shape ``(patch, band, y, x)``, in the transform's data type; bits as uint16 for bfloat16. It is ``out``, if
        given.

    Raises
    ------
    TransformError
        If addresses, parameters or ``out`` do not fit the transform.

    Examples
    --------
    >>> from types import SimpleNamespace as Stored
    >>> from bigearth_xr.ops.transform import transform_of
    >>> stored = Stored(name="s2_60m", bands=("B01", "B09"), size=20, dtype="uint16")
    >>> transform = transform_of([stored], ["B09"], {"B09": (100, 50)})
    >>> pixels = np.full((1, 2, 20, 20), 300, np.uint16)
    >>> transform_batch(transform, addresses_of({"s2_60m": pixels}))[0, 0, :2, :2]
    array([[4., 4.],
           [4., 4.]], dtype=float32)
    """
    check_parameters(transform, addresses, parameters)
    if not addresses.all():
        raise TransformError("an address is 0, where no pixel is; take addresses from addresses_of or from a reader")
    if out is None:
        out = _new_batch(transform, addresses.shape[1])
    _check_out(out, transform, addresses.shape[1])
    _run(transform, parameters, _packed_arrays(None), _plain(addresses, np.uint64), out, nonfinite)
    return out


def transform_packed(
    transform: Transform,
    packed: Packed,
    parameters: AugmentParameters | None = None,
    *,
    out: NDArray[Any],
    nonfinite: NDArray[np.int64] | None = None,
) -> bool:
    """Unpack patches one at a time, and transform each while its pixels are in the processor's cache.

    Parameters
    ----------
    transform, parameters
        As `transform_batch` takes them; parameters that mix patches are left to it.
    packed
        Where the patches lie, by the sources of the transform; the caller keeps that memory until this returns.
    out, nonfinite
        Memory to write the batch to, and to count in, as `transform_batch` takes it.

    Returns
    -------
    bool
        Whether the batch is what `transform_batch` would make of the unpacked pixels. If not, patches are to be mixed,
        or one of them is damaged or packed in another way, and what was written means nothing: unpack them, and call
        `transform_batch`.

    Raises
    ------
    TransformError
        If packed patches, parameters or ``out`` do not fit the transform.
    """
    check_parameters(transform, packed.starts, parameters)
    _check_out(out, transform, packed.starts.shape[1])
    if parameters is not None and parameters.augmentation.mixes:
        return False
    arrays = _packed_arrays(packed)
    _run(transform, parameters, arrays, np.zeros(packed.starts.shape, np.uint64), out, nonfinite)
    return bool(arrays.unpacked.all())


def unpack(
    sources: NDArray[np.uint64],
    lengths: NDArray[np.integer],
    targets: NDArray[np.uint64],
    *,
    patch_bytes: int,
    itemsize: int,
) -> NDArray[np.bool_]:
    """Decode what Blosc packed of patches of one array: LZ4, bits shuffled, a patch in a block.

    The first call of all on a machine compiles for some seconds, and says so.

    Parameters
    ----------
    sources, lengths
        Where in memory each packed patch is, and its bytes, shape ``(patch,)``.
    targets
        Where in memory the pixels of each are to be written, shape ``(patch,)``.
    patch_bytes, itemsize
        Bytes of a decoded patch and of a pixel; of these, 2 or 4.

    Returns
    -------
    NDArray
        Which were decoded, shape ``(patch,)``. Others are damaged, or packed in another way: a library that knows all
        ways is to be asked. What is in their place now means nothing.

    Examples
    --------
    >>> import imagecodecs
    >>> pixels, decoded = np.arange(800, dtype=np.uint16), np.zeros(800, np.uint16)
    >>> packed = np.frombuffer(imagecodecs.blosc_encode(pixels, compressor="lz4", shuffle="bitshuffle"), np.uint8)
    >>> source, target = np.uint64([packed.ctypes.data]), np.uint64([decoded.ctypes.data])
    >>> unpack(source, np.array([packed.size]), target, patch_bytes=1600, itemsize=2)
    array([ True])
    >>> bool((decoded == pixels).all())
    True
    """
    unpacked = np.zeros(len(sources), np.bool_)
    _unpack_kernel()(sources, lengths.astype(np.int64), targets, patch_bytes, itemsize, unpacked)
    return unpacked


def addresses_of(arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.uint64]:
    """Tell where in memory each patch of some arrays begins.

    Parameters
    ----------
    arrays
        By name, in the order of a transform's sources: stored pixels, shape ``(patch, ..., y, x)``, uint16 or float32.
        Each patch is contiguous; patches may be apart. Keep them as long as the addresses are used: an address does
        not keep its array alive.

    Returns
    -------
    NDArray
        Shape ``(source, patch)``, uint64.

    Raises
    ------
    TransformError
        If there is no array, one is of another type, its patches are not contiguous, or there are more of them in one
        than in another.

    Examples
    --------
    >>> pixels = np.zeros((3, 2, 20, 20), np.uint16)
    >>> np.diff(addresses_of({"s2_60m": pixels}))
    array([[1600, 1600]], dtype=uint64)
    """
    _check_arrays(arrays)
    counts = {name: len(array) for name, array in arrays.items()}
    if len({*counts.values()}) > 1:
        raise TransformError(f"the arrays hold {counts} patches; give the same patches of each")
    for name, array in arrays.items():
        if array.dtype.name not in _TYPES or not array.dtype.isnative:
            raise TransformError(f"{name} is {array.dtype}, expected {' or '.join(_TYPES)} as stored")
        if not array[:1].flags.c_contiguous:
            raise TransformError(f"the patches of {name} are not contiguous; take np.ascontiguousarray of it")
    steps = [array.ctypes.data + array.strides[0] * np.arange(len(array)) for array in arrays.values()]
    return np.array(steps, np.uint64).reshape(len(arrays), -1)


@compiled_once
def transform_kernel() -> Any:
    """Give the compiled kernel, which is compiled now if it is nowhere on disk."""
    from bigearth_xr.device.kernels.transform import transform_patches

    sample = Transform(bands=(), sources=(), planes=(), subtract=(), factor=())
    arrays = _transform_arrays(sample, cropped=False), _parameter_arrays(unvaried(0, ()), sample.size)
    arguments = (*arrays, _packed_arrays(None), np.zeros((0, 0), np.uint64), np.zeros(0, np.int64), np.uint64(0))
    return compile_kernel(transform_patches, arguments)


def is_block(pixels: Any) -> bool:
    """Whether pixels are some that `transform_block` takes: of squares, of a type that patches are stored in."""
    return (
        isinstance(pixels, np.ndarray)
        and pixels.ndim == 4
        and pixels.size > 0
        and pixels.shape[-1] == pixels.shape[-2]
        and pixels.dtype in (np.uint16, np.float32)
    )


def is_large(pixels: NDArray[Any]) -> bool:
    """Whether compiling is worth it for these pixels alone, as float32."""
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
    return transform_batch(transform, addresses_of({_BLOCK: patch}), parameters)


def _run(
    transform: Transform,
    parameters: AugmentParameters | None,
    packed: "PackedArrays",
    addresses: NDArray[np.uint64],
    out: NDArray[Any],
    nonfinite: NDArray[np.int64] | None,
) -> None:
    counts = np.zeros(0 if nonfinite is None else addresses.shape[1], np.int64)
    drawn = unvaried(addresses.shape[1], transform.bands) if parameters is None else parameters
    transform_kernel()(
        _transform_arrays(transform, cropped=drawn.augmentation.crops),
        _parameter_arrays(drawn, transform.size),
        packed,
        addresses,
        counts,
        np.uint64(out.ctypes.data),
    )
    if nonfinite is not None:
        nonfinite[...] = counts


def _transform_arrays(transform: Transform, *, cropped: bool) -> "TransformArrays":
    """A transform for the kernel; with crops, every band takes its pixels by tables."""
    from bigearth_xr.device.kernels.transform import COPIED, TransformArrays

    sides = list(dict.fromkeys(plane.size for plane in transform.planes))

    def table(plane: Plane) -> int:
        repeated = transform.taps_of(plane, cropped=cropped) == "nearest" and transform.size % plane.size == 0
        return COPIED if repeated and not cropped else sides.index(plane.size)

    planes = [(p.source, p.offset, p.size, p.dtype == "float32", table(p)) for p in transform.planes]
    return TransformArrays(
        planes=_plain(planes, np.int64).reshape(-1, 5),
        scale=_plain([*zip(transform.subtract, transform.factor, strict=True)], np.float32).reshape(-1, 2),
        sides=_plain(sides, np.int64),
        taps=TAPS[transform.resampling],
        size=transform.size,
        bits=_BITS[transform.dtype],
    )


def _parameter_arrays(parameters: AugmentParameters, size: int) -> "ParameterArrays":
    """Parameters for the kernel: what each patch has one of by its name, of another type where the kernel computes."""
    from bigearth_xr.device.kernels.transform import ParameterArrays

    allowed = parameters.augmentation
    drawn: dict[str, Any] = {
        name: _plain(getattr(parameters, name), value.dtype) for name, value in PATCH_VALUES.items()
    }
    drawn |= {
        "rows": _plain(parameters.rows, np.uint64),
        "crop": _plain(parameters.cropping, np.float64),
        "partner": _plain(parameters.partner, np.int64),
        "box": _plain(pixel_boxes(parameters.box, size), np.int64),
    }
    return ParameterArrays(
        varies=allowed.changes_values,
        noise_std=np.float32(allowed.noise_std),
        noise_words=parameters.noise_words if allowed.noise_std else np.zeros(len(parameters.bands), np.uint64),
        epoch=np.uint64(parameters.epoch),
        seed=np.uint64(parameters.seed),
        **drawn,
    )


def _plain(values: Any, dtype: type[np.generic]) -> NDArray[Any]:
    """Make a contiguous array that may be written to: those that may not are of another type for the kernel."""
    return np.array(values, dtype, order="C")


def _packed_arrays(packed: Packed | None) -> "PackedArrays":
    """Say where patches lie packed; with no patches, where they lie as they are."""
    from bigearth_xr.device.kernels.blosc import PackedArrays

    starts = np.zeros((0, 0)) if packed is None else packed.starts
    sizes = [] if packed is None else [*zip(packed.patch_bytes, packed.itemsizes, strict=True)]
    return PackedArrays(
        starts=np.array(starts, np.uint64),
        lengths=np.array(starts if packed is None else packed.lengths, np.int64),
        sizes=np.array(sizes, np.int64).reshape(-1, 2),
        unpacked=np.zeros(starts.shape[1], np.bool_),
    )


def _check_arrays(arrays: Any) -> None:
    """Refuse what are not stored pixels by name."""
    if not isinstance(arrays, Mapping) or not arrays:
        given = "empty" if isinstance(arrays, Mapping) else f"a {type(arrays).__name__}"
        raise TransformError(f"the arrays are {given}, expected stored pixels by name, as a reader's read gives them")
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray) or array.ndim < _FEWEST:
            given = f"of shape {array.shape}" if isinstance(array, np.ndarray) else f"a {type(array).__name__}"
            raise TransformError(f"{name} is {given}, expected a NumPy array of shape (patch, ..., y, x)")


@compiled_once
def _unpack_kernel() -> Any:
    from bigearth_xr.device.kernels import blosc

    addresses, lengths = np.zeros(1, np.uint64), np.zeros(1, np.int64)
    return compile_kernel(blosc.unpack_patches, (addresses, lengths, addresses, 1, 1, np.zeros(1, np.bool_)))


def _new_batch(transform: Transform, patches: int) -> NDArray[Any]:
    """Memory for a batch that begins with a line of the cache: only whole ones are written past it at full speed."""
    shape, kind = transform.out_shape(patches), np.dtype(transform.out_dtype)
    nbytes = int(np.prod(shape)) * kind.itemsize
    memory = np.empty(nbytes + _CACHE_LINE, np.uint8)
    first = -memory.ctypes.data % _CACHE_LINE
    return memory[first : first + nbytes].view(kind).reshape(shape)


def _check_out(out: Any, transform: Transform, patches: int) -> None:
    """Refuse memory that a batch does not fit into."""
    if not isinstance(out, np.ndarray):
        raise TransformError(
            f"out is a {type(out).__module__}.{type(out).__qualname__}, expected a NumPy array; of a CPU tensor pass "
            "tensor.numpy(), and what is on a GPU is written by bigearth_xr.device.cuda.transform_batch"
        )
    shape, dtype = transform.out_shape(patches), transform.out_dtype
    if out.shape != shape or out.dtype != dtype:
        held = " (bits of bfloat16)" if transform.dtype == "bfloat16" else ""
        raise TransformError(
            f"out is {out.dtype} of shape {out.shape}, expected {dtype}{held} of shape {shape}; allocate it as "
            "np.empty(transform.out_shape(patches), transform.out_dtype)"
        )
    if not out.flags.c_contiguous:
        raise TransformError("out is not contiguous; give memory that is whole, not a view with steps")
    if not out.flags.aligned:
        raise TransformError(f"out is unaligned; give memory that begins at a multiple of {dtype.itemsize} bytes")
    if not out.flags.writeable:
        raise TransformError("out is read-only; give memory that may be written to")
