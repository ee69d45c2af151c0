"""A Dask array that knows its store: narrowing it by patch or band reads that much less.

Stock Dask keeps a chunk whole: of 128 patches, one asked for is read with the other 127. This subclass answers an index
by starting again from the store with fewer rows, bands and pixels. Every other operation gives a plain Dask array.
"""

from typing import Any, cast

import dask.array as da
import numpy as np
import xarray as xr
from dask.array.core import normalize_chunks
from dask.base import tokenize

from bigearth_xr.backend.origin import own_pixels
from bigearth_xr.backend.pixels import CHUNK_PATCHES, StoredPixels

__all__ = ["patch_array", "with_patch_arrays"]


class _EqualToArray(type):
    """Makes a class equal to Dask's own: xarray refuses to compute arrays whose types are a set of two."""

    def __eq__(cls, other: object) -> bool:
        return other is cls or other is da.Array

    def __hash__(cls) -> int:
        return hash(da.Array)


class PatchArray(da.Array, metaclass=_EqualToArray):
    """A Dask array of stored pixels; made by `patch_array`."""

    fixed: tuple[int, ...]
    _stored: tuple[StoredPixels, str]

    @property
    def source(self) -> StoredPixels | None:
        """The stored pixels that it is; None once it was written to, which Dask does in place under a new name."""
        source, name = self._stored
        return source if self.name == name else None

    def __getitem__(self, index: Any) -> da.Array:
        """Index, starting again from the store; by what only Dask understands, as Dask does."""
        source, keys = self.source, _keys_by_axis(index, self)
        if source is None or keys is None:
            return cast(da.Array, da.Array.__getitem__(self, index))
        axes = range(source.ndim)
        by_axis = dict(zip((axis for axis in axes if axis not in self.fixed), keys, strict=True))
        narrowed = source.narrow([_as_many(by_axis.get(axis, slice(None))) for axis in axes])
        if source.bands and not narrowed.bands:  # no band at all is what stands for a reference map
            return cast(da.Array, da.Array.__getitem__(self, index))
        return patch_array(narrowed, tuple(a for a in axes if isinstance(by_axis.get(a, 0), int | np.integer)))

    def rechunk(self, *args: Any, **kwargs: Any) -> da.Array:
        """Chunk anew, starting again from the store."""
        chunked = da.Array.rechunk(self, *args, **kwargs)
        return chunked if self.source is None else patch_array(self.source, self.fixed, chunked.chunks)

    def copy(self) -> da.Array:
        """Copy; as cheap as the array is lazy."""
        return da.Array.copy(self) if self.source is None else patch_array(self.source, self.fixed, self.chunks)

    def __reduce__(self) -> tuple[Any, ...]:
        if self.source is None:
            return cast(tuple[Any, ...], da.Array.__reduce__(self))
        return patch_array, (self.source, self.fixed, self.chunks)


def patch_array(
    source: StoredPixels, fixed: tuple[int, ...] = (), chunks: tuple[tuple[int, ...], ...] | None = None
) -> PatchArray:
    """Make a Dask array of stored pixels.

    Parameters
    ----------
    source
        The pixels.
    fixed
        Axes that an integer index removed; the source has length 1 there.
    chunks
        Dask chunks of the axes that remain; by default `CHUNK_PATCHES` patches, all else whole.

    Returns
    -------
    PatchArray
        Of the source's shape less the fixed axes.
    """
    whole = chunks is None
    blocks = list(chunks or ())
    full = (
        (CHUNK_PATCHES, *source.shape[1:])
        if whole
        else tuple((1,) if axis in fixed else blocks.pop(0) for axis in range(source.ndim))
    )
    chunked = normalize_chunks(full, source.shape, dtype=source.dtype)
    name = "patches-" + tokenize(source.store.uuid, source.store.location.address, source.rows, source.bands,
                                 source.resampling, source.native, source.window, source.dtype, chunked)  # fmt: skip
    array = da.from_array(
        _Orthogonal(source), chunks=chunked, name=name, asarray=False, meta=np.empty((0,) * source.ndim, source.dtype)
    )
    if fixed:
        array = array[tuple(0 if axis in fixed else slice(None) for axis in range(source.ndim))]
    known = PatchArray(array.dask, array.name, array.chunks, meta=array._meta)
    known.fixed, known._stored = fixed, (source, known.name)
    return known


class _Orthogonal:
    """What Dask indexes: plain tuples of slices instead of xarray's indexers."""

    def __init__(self, source: StoredPixels) -> None:
        self._source = source
        self.shape, self.dtype, self.ndim = source.shape, source.dtype, source.ndim

    def __getitem__(self, key: tuple[Any, ...]) -> Any:
        return self._source.read(key)


def _keys_by_axis(index: Any, array: PatchArray) -> list[Any] | None:
    """One key an axis, or None where only Dask itself can answer: new axes, masks of pixels, lazy keys."""
    keys = list(index) if isinstance(index, tuple) else [index]
    if any(key is Ellipsis for key in keys):
        at = next(i for i, key in enumerate(keys) if key is Ellipsis)
        keys[at : at + 1] = [slice(None)] * (array.ndim - len(keys) + 1)
    keys += [slice(None)] * (array.ndim - len(keys))
    keys = [np.asarray(key) if isinstance(key, list | tuple) else key for key in keys]
    simple = all(isinstance(key, int | np.integer | slice) or _is_vector(key) for key in keys)
    # Two vectors at once mean points to NumPy and nothing to Dask: leave these to Dask.
    return keys if simple and len(keys) == array.ndim and sum(map(_is_vector, keys)) <= 1 else None


def _is_vector(key: Any) -> bool:
    return isinstance(key, np.ndarray) and key.ndim == 1 and key.dtype.kind in "iub"


def _as_many(key: Any) -> Any:
    """An integer as an array of one, so that the axis stays until Dask removes it."""
    return np.array([key]) if isinstance(key, int | np.integer) else key


def with_patch_arrays(dataset: xr.Dataset) -> xr.Dataset:
    """Make Dask arrays of stored pixels, and lazily indexed ones, arrays that know their store."""
    own = {name: own_pixels(variable) for name, variable in dataset.variables.items()}
    known = {
        name: dataset[name].variable._replace(data=patch_array(pixels))
        for name, pixels in own.items()
        if pixels is not None
    }
    return dataset.assign(known)
