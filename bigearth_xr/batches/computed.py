"""Pixels that no store holds as they are: computed with, joined or loaded. They are read through xarray."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bigearth_xr.errors import LoaderError
from bigearth_xr.ops.taps import SIDE
from bigearth_xr.store.batch import Located

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

    Raises
    ------
    LoaderError
        If patches are cropped, or of a size of their own.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> ds = bex.open(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> reader = ComputedReader(ds.ben.image(["B04", "VV"]) * 2)
    >>> with reader.locate(np.array([2, 0])) as located:
    ...     located.addresses.shape
    (1, 2)
    """

    def __init__(self, image: xr.DataArray) -> None:
        if image.dims != ("patch", "band", "y", "x") or image.shape[2:] != (SIDE, SIDE):
            sizes = ", ".join(f"{name}: {size}" for name, size in image.sizes.items())
            raise LoaderError(
                f"pixels are ({sizes}), expected (patch, band, y: {SIDE}, x: {SIDE}); load whole patches, and crop "
                "them with Augmentation(crop=…)"
            )
        self._image = image
        self._type = "uint16" if image.dtype == np.uint16 else "float32"
        bands = tuple(map(str, image["band"].values))
        self.sources: tuple[ComputedArray, ...] = (
            ComputedArray(bands=bands, dtype="uint16" if self._type == "uint16" else "float32"),
        )

    def locate(self, rows: Sequence[int] | NDArray[np.integer]) -> Located:
        """Compute patches by their place in the array, into memory of their own."""
        values = self._image.isel(patch=np.asarray(rows)).values
        pixels = np.ascontiguousarray(values, self._type)
        (array,) = self.sources
        starts = pixels.ctypes.data + np.arange(len(pixels), dtype=np.uint64) * np.uint64(array.patch_bytes)
        return Located(starts[None], pixels)

    def read(
        self, rows: Sequence[int] | NDArray[np.integer], out: Mapping[str, NDArray[Any]] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Compute patches by their place in the array."""
        (array,) = self.sources
        values = self._image.isel(patch=np.asarray(rows)).values
        if out is None:
            return {array.name: np.ascontiguousarray(values, self._type)}
        out[array.name][...] = values
        return dict(out)

    def prefetch(self, rows: Sequence[int] | NDArray[np.integer]) -> None:
        """Do nothing: what is computed has no place on a disk."""

    def close(self) -> None:
        """Do nothing."""
