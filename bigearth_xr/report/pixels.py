"""Pixels of a Dataset, read one chunk of patches at a time, whatever array holds them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

__all__ = ["PixelChunk", "missing_bands", "read_chunks", "spread_out"]

CHUNK_PATCHES = 128
"""Patches in memory at once: the chunk that the engine prefers."""

_HOLDERS = {"band": "s2", "polarization": "s1"}
"""Variable that holds the bands of a dimension."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PixelChunk:
    """Some patches that follow each other in a Dataset, read."""

    patches: slice
    """Their places along ``patch``."""

    bands: Mapping[str, NDArray[np.generic]]
    """Pixels by band name, shape ``(patch, y, x)``; digital numbers or dB."""

    reference_map: NDArray[np.uint16] | None
    """CORINE codes, shape ``(patch, y, x)``; None where the Dataset has no maps."""


def missing_bands(ds: xr.Dataset, names: Iterable[str]) -> tuple[str, ...]:
    """Tell which bands a Dataset lacks, in the order asked for.

    Examples
    --------
    >>> s1 = xr.DataArray(np.zeros((1, 1)), dims=("patch", "polarization"))
    >>> ds = s1.assign_coords(polarization=["VV"]).to_dataset(name="s1")
    >>> missing_bands(ds, ["B04", "VV"])
    ('B04',)
    """
    there = {name for dim in _HOLDERS for name in _names_on(ds, dim)}
    return tuple(name for name in names if name not in there)


def spread_out(ds: xr.Dataset, count: int) -> xr.Dataset:
    """Choose patches evenly over a Dataset, or all of them if there are no more.

    Rows of a store follow tile and date, so these patches are far apart on the ground.

    Examples
    --------
    >>> spread_out(xr.Dataset(coords={"patch": list("abcdefghi")}), 3).patch.values
    array(['a', 'e', 'i'], dtype='<U1')
    """
    patches = ds.sizes["patch"]
    if patches <= count:
        return ds
    return ds.isel(patch=np.linspace(0, patches - 1, count).round().astype(np.intp))


def read_chunks(ds: xr.Dataset, bands: Iterable[str], *, reference_map: bool = False) -> Iterator[PixelChunk]:
    """Read bands of all patches, chunk by chunk; only one chunk is held at a time.

    Parameters
    ----------
    ds
        In memory, Dask-backed or lazily indexed.
    bands
        Names of bands; those that the Dataset lacks are left out.
    reference_map
        Whether to read the reference maps too.

    Yields
    ------
    PixelChunk
        In the order of ``patch``.

    Examples
    --------
    >>> s1 = xr.DataArray(np.zeros((2, 1, 9, 9)), dims=("patch", "polarization", "y", "x"))
    >>> ds = s1.assign_coords(polarization=["VV"]).to_dataset(name="s1")
    >>> [chunk.bands["VV"].shape for chunk in read_chunks(ds, ["VV", "VH"])]
    [(2, 9, 9)]
    """
    wanted = tuple(bands)
    for first in range(0, ds.sizes["patch"], CHUNK_PATCHES):
        patches = slice(first, min(first + CHUNK_PATCHES, ds.sizes["patch"]))
        some = ds.isel(patch=patches)
        maps = some["reference_map"].values if reference_map and "reference_map" in ds else None
        yield PixelChunk(patches=patches, bands=_read_bands(some, wanted), reference_map=maps)


def _read_bands(ds: xr.Dataset, wanted: tuple[str, ...]) -> dict[str, NDArray[np.generic]]:
    """Read the bands that are there, each sensor in one go."""
    read: dict[str, NDArray[np.generic]] = {}
    for dim, variable in _HOLDERS.items():
        names = [name for name in _names_on(ds, dim) if name in wanted]
        if names:
            pixels = ds[variable].sel({dim: names}).transpose("patch", dim, "y", "x").values
            read |= {name: pixels[:, place] for place, name in enumerate(names)}
    return read


def _names_on(ds: xr.Dataset, dim: str) -> tuple[str, ...]:
    """Name the bands along a dimension, none where there are no pixels of them."""
    return tuple(ds[dim].values.tolist()) if _HOLDERS[dim] in ds else ()
