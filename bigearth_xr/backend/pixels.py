"""Pixels of a store as lazily indexed arrays: nothing is read before somebody asks for values."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from bigearth_xr.bands import PATCH_SIDE_M, group_of
from bigearth_xr.ops.resample import Resampling, upsample
from bigearth_xr.store.current import reading
from bigearth_xr.store.patches import read_patches
from bigearth_xr.store.read import Store
from bigearth_xr.store.schema import PixelArray

__all__ = ["CHUNK_PATCHES", "Rows", "StoredPixels", "row_numbers"]

SIZE_10M = PATCH_SIDE_M // 10

CHUNK_PATCHES = 128
"""Patches in a Dask chunk: 35 MB of native pairs; one patch a chunk would make 590,326 tasks."""

Rows = range | NDArray[np.intp]
"""Row numbers of the store: a range as long as they are all of them, which costs nothing to keep or send."""


@dataclass(frozen=True, eq=False)
class StoredPixels(BackendArray):
    """Chosen rows and bands of a store, as an array that reads when indexed.

    The axes are ``patch, band, y, x``, or those of the stored array where ``native`` names one without bands.
    """

    store: Store
    """Where the pixels lie."""

    rows: Rows
    """Row in the store of each patch along the first axis."""

    bands: tuple[str, ...]
    """Band along the second axis; none for the reference map."""

    resampling: Resampling | None
    """How coarser bands are brought to 10 m; None leaves them as stored, all of one size."""

    native: str = ""
    """Name of the one stored array that the bands are of; empty where they may be of several."""

    window: tuple[Rows, Rows] | None = None
    """Pixels kept along y and x, cut out of each patch once it is read; None for all."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape: ``(patch, band, y, x)``, or ``(patch, y, x)`` without bands."""
        axes = (len(self.bands),) if self.bands else ()
        return (len(self.rows), *axes, *map(len, self._window))

    @property
    def _patch_size(self) -> tuple[int, int]:
        size = self.store.array(self.native).size if self.native else SIZE_10M
        return size, size

    @property
    def _window(self) -> tuple[Rows, Rows]:
        y, x = self._patch_size
        return self.window or (range(y), range(x))

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """uint16 for Sentinel-2 as stored or repeated; float32 with Sentinel-1 or interpolation."""
        stored = {array.dtype for array, _ in self._sources()}
        interpolated = self.resampling in ("bilinear", "bicubic")
        return np.dtype("float32" if "float32" in stored or interpolated else "uint16")

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        """Read what xarray asks for; any other key than an orthogonal one is taken apart by xarray."""
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self.read)

    def read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        """Read by an orthogonal key of one integer, slice or integer array an axis: each patch once."""
        with reading(self.store):
            return self._read(key)

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        rows = row_numbers(self.rows)[key[0]]
        band_key = key[1] if self.bands else slice(None)
        wanted = np.arange(max(1, len(self.bands)))[band_key]
        pixels = self._gather(np.atleast_1d(rows), np.atleast_1d(wanted))
        if np.ndim(rows) == 0:
            pixels = pixels[0]
        if self.bands and np.ndim(wanted) == 0:
            pixels = np.take(pixels, 0, axis=np.ndim(rows))
        y, x = (row_numbers(kept)[k] for kept, k in zip(self._window, key[-2:], strict=True))
        return pixels[..., y, :][..., x]

    def narrow(self, key: Sequence[Any]) -> "StoredPixels":
        """Keep some of every axis, by one slice, or integer or boolean array each; reads nothing."""
        bands = tuple(np.asarray(self.bands, dtype=object)[key[1]]) if self.bands else ()
        y, x = (_kept(axis, k) for axis, k in zip(self._window, key[-2:], strict=True))
        whole = all(isinstance(axis, range) and len(axis) == size and axis.step == 1
                    for axis, size in zip((y, x), self.shape[-2:], strict=True))  # fmt: skip
        window = self.window if whole else (y, x)
        return replace(self, rows=_kept(self.rows, key[0]), bands=bands, window=window)

    def _sources(self) -> list[tuple[PixelArray, list[str]]]:
        """The stored arrays that hold the bands, with the bands that each holds."""
        if self.native:
            return [(self.store.array(self.native), list(self.bands))]
        names = [group_of(band).array for band in self.bands]
        return [
            (self.store.array(name), [band for band, at in zip(self.bands, names, strict=True) if at == name])
            for name in dict.fromkeys(names)
        ]

    def _gather(self, rows: NDArray[np.intp], wanted: NDArray[np.intp]) -> NDArray[Any]:
        """Read rows × bands from as few stored arrays as hold them, each patch of each once."""
        if not self.bands:
            return read_patches(self.store, self.store.array(self.native), rows)
        if not wanted.size:
            return np.empty((rows.size, 0, *self._patch_size), self.dtype)
        chosen = [self.bands[place] for place in wanted]
        part = replace(self, rows=rows, bands=tuple(dict.fromkeys(chosen)))
        pixels = np.empty((rows.size, len(part.bands), *self._patch_size), dtype=self.dtype)
        for array, bands in part._sources():
            native = read_patches(self.store, array, rows, [array.bands.index(band) for band in bands])
            pixels[:, _places(bands, part.bands)] = self._resampled(native)
        return pixels if len(chosen) == len(part.bands) else pixels[:, _places(chosen, part.bands)]

    def _resampled(self, native: NDArray[Any]) -> NDArray[Any]:
        factor = 1 if self.native else SIZE_10M // native.shape[-1]
        if factor == 1 or self.resampling is None:
            return native
        return upsample(native, factor, self.resampling)


def row_numbers(rows: Rows) -> NDArray[np.intp]:
    """Rows as an array; a range is not gone through in Python, which would take 30 ms for 590,326.

    Examples
    --------
    >>> row_numbers(range(2, 5))
    array([2, 3, 4])
    """
    return np.arange(rows.start, rows.stop, rows.step) if isinstance(rows, range) else rows


def _kept(axis: Rows, key: Any) -> Rows:
    return axis[key] if isinstance(key, slice) else row_numbers(axis)[key]


def _places(bands: Sequence[str], among: Sequence[str]) -> list[int]:
    return [among.index(band) for band in bands]
