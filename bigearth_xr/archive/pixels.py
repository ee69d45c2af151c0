"""Reads one patch: every band asked for, exact and checked, or an error that names the file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.archive.lmdb_source import decode_tensor
from bigearth_xr.archive.metadata import PatchMetadata, read_metadata
from bigearth_xr.archive.names import REFERENCE_MAP
from bigearth_xr.archive.patch_files import Archive, PatchFiles
from bigearth_xr.archive.source import Data, Encoding
from bigearth_xr.archive.tiff import decode_band
from bigearth_xr.bands import Band, band
from bigearth_xr.errors import PatchError

__all__ = ["MISSING", "REFERENCE_MAP_BAND", "PatchPixels", "read_patch", "read_pixels"]


class _Decoder(Protocol):
    def __call__(
        self, data: Data, *, band: Band, epsg: int, ulx: int, uly: int, where: Callable[[], str]
    ) -> NDArray[np.generic]: ...


MISSING = "is missing; unpack or download the archive again, or ask for other bands with bands=[…]"
"""What is said of a file that is not where it has to be."""

_DECODERS: Mapping[Encoding, _Decoder] = {"geotiff": decode_band, "safetensors": decode_tensor}

# On the grid of the 10 m bands, and uint16 as they are.
REFERENCE_MAP_BAND = replace(band("B02"), name=REFERENCE_MAP, description="CORINE code of each pixel")


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
    pixels = read_pixels(archive, patch)
    reference_map = pixels.pop(REFERENCE_MAP, None)
    return PatchPixels(
        patch=patch.patch,
        bands=pixels,
        reference_map=cast("NDArray[np.uint16] | None", reference_map),
        metadata=read_metadata(archive, patch),
    )


def read_pixels(archive: Archive, patch: PatchFiles) -> dict[str, NDArray[np.generic]]:
    """Read the bands asked for, and the reference map, of a patch whose metadata are known already.

    Returns
    -------
    dict
        Pixels by band name, shape ``(y, x)``, read-only; under ``"reference_map"`` the map, where there is one.

    Raises
    ------
    PatchError
        If a file is missing, cut short or damaged, or does not hold this band of this patch.

    Examples
    --------
    >>> from bigearth_xr.archive import open_archive
    >>> from bigearth_xr.testing import write_archive
    >>> archive = open_archive(write_archive(getfixture("tmp_path") / "v2", pairs=1))
    >>> list(read_pixels(archive, archive.patches[0]))[-3:]
    ['VV', 'VH', 'reference_map']
    """
    pixels: dict[str, NDArray[np.generic]] = {}
    for folder, files in _folders(patch).items():
        contents = archive.source.read_files(folder, list(files.values()))
        for (name, file), data in zip(files.items(), contents, strict=True):
            pixels[name] = _decode(archive, patch, name, f"{folder}/{file}", data)
    return pixels


def _folders(patch: PatchFiles) -> dict[str, dict[str, str]]:
    """Files to read, by band name, of each folder of a patch."""
    folders: dict[str, dict[str, str]] = {}
    maps = {} if patch.reference_map is None else {REFERENCE_MAP: patch.reference_map}
    for name, path in {**patch.files, **maps}.items():
        folder, _, file = path.rpartition("/")
        folders.setdefault(folder, {})[name] = file
    return folders


def _decode(archive: Archive, patch: PatchFiles, name: str, path: str, data: Data | OSError) -> NDArray[np.generic]:
    """Decode one file, naming patch, band and file in every failure."""

    def where() -> str:
        return f"{patch.patch}: band {name} ({archive.source.locate(path)})"

    if isinstance(data, FileNotFoundError):
        raise PatchError(f"{where()} {MISSING}")
    if isinstance(data, OSError):
        raise PatchError(f"{where()} cannot be read ({data}); check the file system") from data
    expected = REFERENCE_MAP_BAND if name == REFERENCE_MAP else band(name)
    decode = _DECODERS[archive.source.encoding]
    return decode(data, band=expected, epsg=patch.epsg, ulx=patch.ulx, uly=patch.uly, where=where)
