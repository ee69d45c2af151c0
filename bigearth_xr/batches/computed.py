"""Pixels that no store holds as they are: computed with, joined or loaded. They are read through xarray."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bigearth_xr.errors import LoaderError
from bigearth_xr.ops.taps import SIDE
from bigearth_xr.store.buffers import Located
from bigearth_xr.units import UnitCheck

__all__ = ["ComputedArray", "ComputedReader"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputedArray:
    """All bands of an image, as if a store held them in one pixel array."""

    bands: tuple[str, ...]
    """Their order."""

    dtype: Literal["uint16", "float32"]
    """Data type of a pixel."""

    name: str = "computed"
    """What to call it."""

    size: int = SIDE
    """Pixels along a side."""

    @property
    def patch_bytes(self) -> int:
        """Bytes of one patch."""
        return len(self.bands) * self.size**2 * np.dtype(self.dtype).itemsize


class ComputedReader:
    """Reads patches of a DataArray as `bigearth_xr.store.batch.BatchReader` reads those of a store.

    Parameters
    ----------
    image
        Dimensions ``patch, band, y, x``, of whole patches at 10 m.
    check
        What has to be seen in values before they are scaled: of those in memory once, of others whenever they are
        computed.

    Raises
    ------
    LoaderError
        If patches are cropped, or of a size of their own.
    NormalizationError
        By the check.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> ds = bex.open(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> reader = ComputedReader(ds.ben.image(["B04", "VV"]) * 2)
    >>> with reader.locate(np.array([2, 0])) as located:
    ...     located.addresses.shape
    (1, 2)
    """

    def __init__(self, image: xr.DataArray, check: UnitCheck | None = None) -> None:
        if image.dims != ("patch", "band", "y", "x") or image.shape[2:] != (SIDE, SIDE):
            sizes = ", ".join(f"{name}: {size}" for name, size in image.sizes.items())
            raise LoaderError(
                f"pixels are ({sizes}), expected (patch, band, y: {SIDE}, x: {SIDE}); load whole patches, and crop "
                "them with Augmentation(crop=…)"
            )
        is_here = isinstance(image.variable._data, np.ndarray)
        if check is not None and is_here:
            check(np.moveaxis(image.values, 1, -1))
        self._image, self._check = image, None if is_here else check
        self._type = "uint16" if image.dtype == np.uint16 else "float32"
        bands = tuple(map(str, image["band"].values))
        self.sources: tuple[ComputedArray, ...] = (
            ComputedArray(bands=bands, dtype="uint16" if self._type == "uint16" else "float32"),
        )

    def locate(self, rows: Sequence[int] | NDArray[np.integer]) -> Located:
        """Compute patches by their place in the array, into memory of their own."""
        values = self._values(rows)
        pixels = np.ascontiguousarray(values, self._type)
        (array,) = self.sources
        starts = pixels.ctypes.data + np.arange(len(pixels), dtype=np.uint64) * np.uint64(array.patch_bytes)
        return Located(starts[None], pixels)

    def read(
        self, rows: Sequence[int] | NDArray[np.integer], out: Mapping[str, NDArray[Any]] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Compute patches by their place in the array."""
        (array,) = self.sources
        values = self._values(rows)
        if out is None:
            return {array.name: np.ascontiguousarray(values, self._type)}
        out[array.name][...] = values
        return dict(out)

    def _values(self, rows: Sequence[int] | NDArray[np.integer]) -> NDArray[Any]:
        values: NDArray[Any] = self._image.isel(patch=np.asarray(rows)).values
        if self._check is not None:
            self._check(np.moveaxis(values, 1, -1))
        return values

    def prefetch(self, rows: Sequence[int] | NDArray[np.integer]) -> None:
        """Do nothing: what is computed has no place on a disk."""

    def close(self) -> None:
        """Do nothing."""
