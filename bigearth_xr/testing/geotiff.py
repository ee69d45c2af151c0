"""Single-band GeoTIFFs as the archive has them."""

import io
import struct
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.bands import PATCH_SIDE_M

__all__ = ["encode_tiff"]

_STRIP_BYTES = 8192
_FIRST_ZONE_NORTH = 32600
_TIEPOINT = 33922


def encode_tiff(
    pixels: NDArray[np.generic],
    *,
    epsg: int,
    ulx: int,
    uly: int,
    is_deflated: bool = False,
) -> bytes:
    """Encode one band of one patch, without a nodata value, uncompressed by default.

    Parameters
    ----------
    pixels
        Shape ``(y, x)``, both sides alike; uint16 or float32.
    epsg
        A UTM zone of the northern hemisphere, 32601-32660.
    ulx, uly
        Upper left corner of the patch, metres.
    is_deflated
        Whether to compress as the reference maps of v2 are.

    Returns
    -------
    bytes
        The whole file.

    Examples
    --------
    >>> encode_tiff(np.zeros((20, 20), "uint16"), epsg=32633, ulx=331200, uly=5331600)[:2]
    b'II'
    """
    if is_deflated:
        return _encode(pixels, epsg, (ulx, uly), is_deflated=True)
    # Writing a header costs a hundred times what copying one does.
    before, after = _header(pixels.shape, pixels.dtype.str, epsg)
    return before + struct.pack("<2d", ulx, uly) + after + pixels.tobytes()


@lru_cache(maxsize=256)
def _header(shape: tuple[int, ...], dtype: str, epsg: int) -> tuple[bytes, bytes]:
    """Encode what stands before the corner of the patch, and between it and the pixels."""
    import tifffile

    pixels = np.zeros(shape, dtype)
    data = _encode(pixels, epsg, (0, 0), is_deflated=False)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        corner = file.pages.first.tags[_TIEPOINT].valueoffset + 24
    return data[:corner], data[corner + 16 : -pixels.nbytes]


def _encode(
    pixels: NDArray[np.generic],
    epsg: int,
    corner: tuple[int, int],
    *,
    is_deflated: bool,
) -> bytes:
    """Encode a file from scratch."""
    import tifffile

    name = f"WGS 84 / UTM zone {epsg - _FIRST_ZONE_NORTH}N|"
    keys = (
        *(1, 1, 0, 7),
        *(1024, 0, 1, 1),  # projected
        *(1025, 0, 1, 1),  # a pixel is an area
        *(1026, 34737, len(name), 0),
        *(2049, 34737, 7, len(name)),
        *(2054, 0, 1, 9102),  # degrees
        *(3072, 0, 1, epsg),
        *(3076, 0, 1, 9001),  # metres
    )
    res_m = PATCH_SIDE_M / pixels.shape[1]
    file = io.BytesIO()
    tifffile.imwrite(
        file,
        pixels,
        photometric="minisblack",
        compression="zlib" if is_deflated else None,
        predictor=is_deflated,
        rowsperstrip=min(_STRIP_BYTES // pixels[0].nbytes, len(pixels)),
        metadata=None,
        software="",
        byteorder="<",
        extratags=[
            (33550, "d", 3, (res_m, res_m, 0.0), True),
            (_TIEPOINT, "d", 6, (0.0, 0.0, 0.0, *map(float, corner), 0.0), True),
            (34735, "H", len(keys), keys, True),
            (34737, "s", 0, f"{name}WGS 84|", True),
        ],
    )
    return file.getvalue()
