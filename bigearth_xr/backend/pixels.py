"""Pixels of a store as lazily indexed arrays: nothing is read before values are asked for."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from bigearth_xr.bands import PATCH_SIDE_M, group_of
from bigearth_xr.ops.resample import TAPS, Resampling, upsample
from bigearth_xr.store.open import Store, reading
from bigearth_xr.store.read import each_patch
from bigearth_xr.store.schema import PixelArray

__all__ = ["StoredPixels", "c_ordered", "row_numbers"]

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

    whole_dtype: np.dtype[Any] | None = None
    """Type of the array that this is a part of, whose bands may need a wider one; None where it is the whole."""

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
        """uint16 for Sentinel-2 as stored or repeated; float32 with Sentinel-1 or interpolation, or as part of it."""
        if self.whole_dtype is not None:
            return self.whole_dtype
        stored = {array.dtype for array, _ in self._sources()}
        interpolated = self.resampling is not None and TAPS[self.resampling] > 1
        return np.dtype("float32" if "float32" in stored or interpolated else "uint16")

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        """Read what xarray asks for, in C order."""
        return read_by_axis(key, self.shape, self.read)

    def read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        """Read by an orthogonal key of one integer, slice or integer array an axis: each patch once, in C order."""
        with reading(self.store):
            return self._read(key)

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        rows = row_numbers(self.rows)[key[0]]
        wanted = np.arange(max(1, len(self.bands)))[key[1] if self.bands else slice(None)]
        y, x = (row_numbers(kept)[k] for kept, k in zip(self._window, key[-2:], strict=True))
        pixels = self._gather(*map(np.atleast_1d, (rows, wanted, y, x)))
        bands = (wanted,) if self.bands else ()
        return pixels.reshape([size for axis in (rows, *bands, y, x) for size in axis.shape])

    def narrow(self, key: Sequence[Any]) -> "StoredPixels":
        """Keep some of every axis, by one slice, or integer or boolean array each; reads nothing."""
        bands = tuple(np.asarray(self.bands, dtype=object)[key[1]]) if self.bands else ()
        y, x = (_kept(axis, k) for axis, k in zip(self._window, key[-2:], strict=True))
        whole = all(
            isinstance(kept, range) and kept == range(n) for kept, n in zip((y, x), self._patch_size, strict=True)
        )
        window = None if whole else (y, x)
        return replace(self, rows=_kept(self.rows, key[0]), bands=bands, window=window, whole_dtype=self.dtype)

    def _sources(self) -> list[tuple[PixelArray, list[str]]]:
        """The stored arrays that hold the bands, with the bands that each holds."""
        if self.native:
            return [(self.store.array(self.native), list(self.bands))]
        names = [group_of(band).array for band in self.bands]
        return [
            (self.store.array(name), [band for band, at in zip(self.bands, names, strict=True) if at == name])
            for name in dict.fromkeys(names)
        ]

    def _gather(
        self, rows: NDArray[np.intp], wanted: NDArray[np.intp], y: NDArray[np.intp], x: NDArray[np.intp]
    ) -> NDArray[Any]:
        """Read rows × bands × pixels from as few stored arrays as hold them, each patch straight to its places."""
        pixels = np.empty((rows.size, wanted.size, y.size, x.size), dtype=self.dtype)
        lines, columns = _as_slice(y), _as_slice(x)
        for array, at, take in self._places(wanted) if pixels.size else ():

            def put(place: int, patch: NDArray[Any], at: list[int] = at, take: Any = take) -> None:
                fine = self._resampled(patch[take])[:, lines][..., columns]
                for band, plane in zip(at, fine, strict=True):
                    pixels[place, band] = plane

            each_patch(self.store, array, rows, put)
        return pixels

    def _places(self, wanted: NDArray[np.intp]) -> Iterator[tuple[PixelArray, list[int], Any]]:
        """For each stored array, the places among the bands wanted that it fills, and its own bands that go there."""
        if not self.bands:
            yield self.store.array(self.native), [0], np.newaxis
            return
        chosen = [self.bands[place] for place in wanted]
        for array, bands in replace(self, bands=tuple(dict.fromkeys(chosen)))._sources():
            at = [place for place, band in enumerate(chosen) if band in bands]
            yield array, at, _as_slice(np.array([array.bands.index(chosen[place]) for place in at]))

    def _resampled(self, native: NDArray[Any]) -> NDArray[Any]:
        factor = 1 if self.native else SIZE_10M // native.shape[-1]
        if factor == 1 or self.resampling is None:
            return native
        return upsample(native, factor, self.resampling)


def row_numbers(rows: Rows) -> NDArray[np.intp]:
    """Rows as an array; a range is not gone through in Python, which would take 30 ms for 590,326."""
    return np.arange(rows.start, rows.stop, rows.step) if isinstance(rows, range) else rows


def _kept(axis: Rows, key: Any) -> Rows:
    return axis[key] if isinstance(key, slice) else row_numbers(axis)[key]


def _as_slice(places: NDArray[np.intp]) -> slice | NDArray[np.intp]:
    """Places as a slice where each follows the one before, so that they are taken without a copy."""
    in_step = places.size > 0 and np.array_equal(places, np.arange(places[0], places[0] + places.size))
    return slice(int(places[0]), int(places[0]) + places.size) if in_step else places


def read_by_axis(key: indexing.ExplicitIndexer, shape: tuple[int, ...], read: Callable[[tuple[Any, ...]], Any]) -> Any:
    """Read what xarray asks for, in C order; any other key than an orthogonal one is taken apart by xarray.

    An orthogonal key is read as it is: xarray would sort it, put what it got into the order asked for by a copy that is
    not in C order, and raise ``IndexError: range object index out of range`` for an empty slice of negative step.

    Parameters
    ----------
    key
        What xarray asks for.
    shape
        Of the array that is indexed.
    read
        Reads by an orthogonal key of one integer, slice or integer array an axis.

    Returns
    -------
    numpy.ndarray or scalar
        The values.
    """
    if isinstance(key, indexing.BasicIndexer | indexing.OuterIndexer):
        return c_ordered(read(key.tuple))
    return c_ordered(indexing.explicit_indexing_adapter(key, shape, indexing.IndexingSupport.OUTER, read))


def c_ordered(found: Any) -> Any:
    """Give an array the order of its axes in memory too: a copy, where it has another; a single value as it is."""
    return np.ascontiguousarray(found) if np.ndim(found) else found
