"""Reads one patch: every band asked for, exact and checked, or an error that names the file."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.archive.layout import REFERENCE_MAP
from bigearth_xr.archive.metadata import PatchMetadata, read_metadata
from bigearth_xr.archive.patches import Archive, PatchFiles
from bigearth_xr.archive.tiff import check_raster, decode_tiff
from bigearth_xr.bands import Band, band
from bigearth_xr.errors import PatchError

__all__ = ["PatchPixels", "read_patch"]

# On the grid of the 10 m bands, and uint16 as they are.
_REFERENCE_MAP = replace(band("B02"), name=REFERENCE_MAP, description="CORINE code of each pixel")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PatchPixels:
    """One patch, read."""

    patch: str
    """Patch id."""

    bands: Mapping[str, NDArray[np.generic]]
    """Pixels by band name, shape ``(y, x)``, read-only; uint16 digital numbers or float32 dB."""

    reference_map: NDArray[np.uint16] | None
    """CORINE code of each pixel, shape ``(120, 120)``, read-only; None without a map."""

    metadata: PatchMetadata
    """What the archive says of the patch."""


def read_patch(archive: Archive, patch: PatchFiles) -> PatchPixels:
    """Read the bands asked for, the reference map and the metadata of a patch.

    Parameters
    ----------
    archive
        As opened.
    patch
        One of its patches.

    Returns
    -------
    PatchPixels
        Values bit for bit as in the files, infinite and missing ones among them.

    Raises
    ------
    PatchError
        If a file is missing, cut short or damaged, or does not hold this band of this patch.

    Examples
    --------
    >>> from bigearth_xr.archive import open_archive
    >>> from bigearth_xr.testing import write_archive
    >>> archive = open_archive(write_archive(getfixture("tmp_path") / "v2", pairs=1))
    >>> pixels = read_patch(archive, archive.patches[0])
    >>> pixels.bands["B8A"].shape, pixels.bands["VH"].dtype
    ((60, 60), dtype('float32'))
    """
    pixels = {name: _read_band(archive, patch, band(name), path) for name, path in patch.files.items()}
    reference_map = None
    if patch.reference_map is not None:
        reference_map = _read_band(archive, patch, _REFERENCE_MAP, patch.reference_map)
    return PatchPixels(
        patch=patch.patch,
        bands=pixels,
        reference_map=cast("NDArray[np.uint16] | None", reference_map),
        metadata=read_metadata(archive, patch),
    )


def _read_band(archive: Archive, patch: PatchFiles, band: Band, path: str) -> NDArray[np.generic]:
    """Read one file, naming patch, band and file in every failure."""
    where = f"{patch.patch}: band {band.name} ({archive.source.locate(path)})"
    try:
        data = archive.source.read(path)
    except FileNotFoundError:
        raise PatchError(
            f"{where} is missing; unpack the archive again, or ask for other bands with bands=[…]"
        ) from None
    except OSError as error:
        raise PatchError(f"{where} cannot be read ({error}); check the file system") from error
    raster = decode_tiff(data, where=where)
    check_raster(raster, band=band, epsg=patch.epsg, ulx=patch.ulx, uly=patch.uly, where=where)
    return raster.pixels
