"""From the bytes of a single-band GeoTIFF to pixels and their place on the ground."""

import io
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.archive.source import Data
from bigearth_xr.archive.tiff_headers import CORNER, Directory, Template, learn_directory, learn_template
from bigearth_xr.archive.tiff_segments import STORED, Segments, find_segments
from bigearth_xr.bands import Band
from bigearth_xr.errors import PatchError

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

__all__ = ["decode_band", "decode_tiff"]

_STRIP_OFFSETS, _STRIP_SIZES, _TILE_OFFSETS, _TILE_SIZES = 273, 279, 324, 325
_PIXEL_SCALE, _TIEPOINT, _GEO_KEYS = 33550, 33922, 34735
_RASTER_TYPE_KEY, _PROJECTED_CRS_KEY = 1025, 3072
_PIXEL_IS_POINT = 2
_REDUCED_OR_MASK = 0b101
"""Bits that tell overviews and masks from the image itself."""
_UNPACK_AGAIN = "unpack the archive again, or remove the patch"
_MOST_HEADERS = 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Raster:
    """Pixels of one band and where they lie."""

    pixels: NDArray[np.generic]
    """Shape ``(y, x)``, native byte order, read-only; row 0 is the northernmost."""

    epsg: int
    """Coordinate reference system."""

    res_m: float
    """Side of a pixel, metres."""

    ulx: float
    """Easting of the upper left corner of the upper left pixel, metres."""

    uly: float
    """Northing of the same corner, metres."""


# Headers met by this process: those in the order they were met, and those found to be right for a band of a zone.
_met: list[Template | Directory] = []
_right: dict[tuple[str, int], Template | Directory] = {}


def decode_band(
    data: Data, *, band: Band, epsg: int, ulx: int, uly: int, where: Callable[[], str]
) -> NDArray[np.generic]:
    """Decode a GeoTIFF that has to be this band of the patch whose upper left corner this is.

    Parameters
    ----------
    data
        The whole file.
    band
        Gives the shape, dtype and pixel size that are expected.
    epsg, ulx, uly
        Coordinate reference system and upper left corner of the patch, metres.
    where
        Gives patch, band and file, for messages; called only where something is wrong, or a header is new.

    Returns
    -------
    numpy.ndarray
        Shape ``(y, x)``, read-only; a view of `data` where that is not compressed.

    Raises
    ------
    PatchError
        As `decode_tiff` and `check_raster`.
    """
    right = _right.get((band.name, epsg))
    pixels = None if right is None else right.pixels(data, CORNER.pack(ulx, uly))
    if pixels is not None:
        return pixels
    place = where()
    raster = _decode(data, place, (band.size, band.size))
    check_raster(raster, band=band, epsg=epsg, ulx=ulx, uly=uly, where=place)
    for template in _met:
        if template.corner(data) is not None:
            _right[band.name, epsg] = template
    return raster.pixels


def decode_tiff(data: Data, *, where: str) -> Raster:
    """Decode a GeoTIFF, never giving pixels that the file does not hold.

    Parameters
    ----------
    data
        The whole file: one image in strips or tiles, stored raw or compressed, with a north-up grid of square pixels.
        Overviews and masks beside it are passed over.
    where
        Place of the file, for messages.

    Raises
    ------
    PatchError
        If the file is cut short, damaged or not georeferenced.

    Examples
    --------
    >>> from bigearth_xr.testing import encode_tiff
    >>> data = encode_tiff(np.full((120, 120), 7, "uint16"), epsg=32633, ulx=331200, uly=5331600)
    >>> raster = decode_tiff(data, where="patch_B02.tif")
    >>> raster.pixels.shape, raster.epsg, raster.res_m, raster.ulx, raster.uly
    ((120, 120), 32633, 10.0, 331200.0, 5331600.0)
    """
    return _decode(data, where, None)


def check_raster(raster: Raster, *, band: Band, epsg: int, ulx: int, uly: int, where: str) -> None:
    """Refuse a raster that is not this band of the patch whose upper left corner this is.

    Raises
    ------
    PatchError
        If shape, dtype, coordinate reference system, pixel size or corner differ.
    """
    properties = (
        ("shape", raster.pixels.shape, (band.size, band.size)),
        ("dtype", str(raster.pixels.dtype), band.dtype),
        ("coordinate reference system", f"EPSG:{raster.epsg}", f"EPSG:{epsg}"),
        ("pixel size in metres", raster.res_m, band.res_m),
        ("upper left corner", (raster.ulx, raster.uly), (ulx, uly)),
    )
    for name, found, expected in properties:
        if found != expected:
            raise PatchError(f"{where}: {name} is {found}, expected {expected}; {_UNPACK_AGAIN}")


def _decode(data: Data, where: str, shape: tuple[int, int] | None) -> Raster:
    """Decode a file by the headers that were met, or else from scratch; nothing of another shape than is expected."""
    for header in _met:
        corner = header.corner(data)
        pixels = None if corner is None else header.pixels(data, corner)
        if corner is not None and pixels is not None:
            ulx, uly = CORNER.unpack(corner)
            return Raster(pixels=pixels, epsg=header.epsg, res_m=header.res_m, ulx=ulx, uly=uly)
    return _parse(data, where, shape)


def _parse(data: Data, where: str, shape: tuple[int, int] | None) -> Raster:
    """Decode a file whose header was not met before, and remember the header."""
    import tifffile

    if not data:
        raise PatchError(f"{where} is empty; {_UNPACK_AGAIN}")
    try:
        with _unlogged(), tifffile.TiffFile(io.BytesIO(data)) as file:
            page = _find_image(file, where)
            if shape is not None and page.shape != shape:
                # Asked before decoding: a few bytes may claim to be gigabytes.
                raise PatchError(f"{where}: shape is {page.shape}, expected {shape}; {_UNPACK_AGAIN}")
            places = _find_places(page, data, where)
            segments = find_segments(page, where=where)
            raster = _decode_page(page, data, segments, places, where)
            if page is file.pages.first:
                _remember(page, data, segments, raster)
            return raster
    except PatchError:
        raise
    # A damaged file can make the parser stumble in any way there is.
    except Exception as error:
        raise PatchError(f"{where} is not a readable GeoTIFF ({error}); {_UNPACK_AGAIN}") from error


def _find_image(file: "TiffFile", where: str) -> "TiffPage":
    """Find the first page that is the image itself: mostly the first, but nothing says that an overview may not be."""
    for page in (one.aspage() for one in file.pages):
        if not page.subfiletype & _REDUCED_OR_MASK:
            return page
    raise PatchError(f"{where} holds overviews or masks alone, expected the image; {_UNPACK_AGAIN}")


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep tifffile from logging what an error is going to say; other threads log on."""
    logger, here = logging.getLogger("tifffile"), threading.get_ident()

    def is_elsewhere(record: logging.LogRecord) -> bool:
        return record.thread != here

    logger.addFilter(is_elsewhere)
    try:
        yield
    finally:
        logger.removeFilter(is_elsewhere)


def _find_places(page: "TiffPage", data: Data, where: str) -> tuple[Sequence[int], Sequence[int]]:
    """Read offsets and sizes of the strips or tiles, and refuse a file that ends before they do."""
    # The parser guesses where these tags are damaged: read what the file itself says.
    tags = (_TILE_OFFSETS, _TILE_SIZES) if page.is_tiled else (_STRIP_OFFSETS, _STRIP_SIZES)
    offsets, sizes = ([int(number) for number in _numbers(page, tag, where)] for tag in tags)
    name, expected = "strips", -(-page.imagelength // page.rowsperstrip) if page.rowsperstrip else 0
    if page.is_tiled:
        name, expected = "tiles", -(-page.imagelength // page.tilelength) * -(-page.imagewidth // page.tilewidth)
    if not len(offsets) == len(sizes) == expected:
        raise PatchError(
            f"{where}: its header tells of {len(offsets)} {name} of pixels, expected {expected}; {_UNPACK_AGAIN}"
        )
    end = max(offset + size for offset, size in zip(offsets, sizes, strict=True))
    if end > len(data):
        raise PatchError(f"{where} is cut short: it has {len(data):,} bytes of {end:,}; {_UNPACK_AGAIN}")
    if page.compression == STORED and not page.is_tiled and sum(sizes) != page.nbytes:
        raise PatchError(f"{where}: its strips hold {sum(sizes):,} bytes, expected {page.nbytes:,}; {_UNPACK_AGAIN}")
    return offsets, sizes


def _decode_page(
    page: "TiffPage", data: Data, segments: Segments | None, places: tuple[Sequence[int], Sequence[int]], where: str
) -> Raster:
    """Decode the pixels of a page and read its place."""
    scale_x, scale_y, *_ = _numbers(page, _PIXEL_SCALE, where)
    column, row, _, x, y, *_ = _numbers(page, _TIEPOINT, where)
    if scale_x != scale_y:
        raise PatchError(f"{where}: pixels are {scale_x} m × {scale_y} m, expected squares; {_UNPACK_AGAIN}")
    keys = _geo_keys(page, where)
    if keys.get(_RASTER_TYPE_KEY) == _PIXEL_IS_POINT:
        # The place is that of the middle of a pixel.
        column, row = column + 0.5, row + 0.5
    if _PROJECTED_CRS_KEY not in keys:
        raise PatchError(
            f"{where} names no projected coordinate reference system, expected a UTM zone; {_UNPACK_AGAIN}"
        )
    if segments is None:
        pixels = page.asarray()
        pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
        pixels.flags.writeable = False
    else:
        pixels = segments.decode(data, *places)
    return Raster(
        pixels=pixels,
        epsg=keys[_PROJECTED_CRS_KEY],
        res_m=scale_x,
        ulx=x - column * scale_x,
        uly=y + row * scale_y,
    )


def _geo_keys(page: "TiffPage", where: str) -> dict[int, int]:
    """Read the geographic keys whose values are whole numbers."""
    keys = [int(number) for number in _numbers(page, _GEO_KEYS, where)]
    entries = zip(*(keys[i::4] for i in range(4)), strict=False)
    # The first of a kind counts.
    return {key: value for key, location, _, value in reversed(list(entries)) if location == 0}


def _numbers(page: "TiffPage", tag: int, where: str) -> tuple[float, ...]:
    """Read a tag that must be there, as numbers."""
    found = page.tags.get(tag)
    if found is None:
        raise PatchError(f"{where}: its header has no {_TAG_NAMES[tag]}; {_UNPACK_AGAIN}")
    return tuple(np.atleast_1d(found.value).tolist())


_TAG_NAMES = {
    _STRIP_OFFSETS: "place of the pixels (tag StripOffsets)",
    _STRIP_SIZES: "size of the pixels (tag StripByteCounts)",
    _TILE_OFFSETS: "place of the pixels (tag TileOffsets)",
    _TILE_SIZES: "size of the pixels (tag TileByteCounts)",
    _PIXEL_SCALE: "pixel size (tag ModelPixelScale)",
    _TIEPOINT: "corner on the ground (tag ModelTiepoint)",
    _GEO_KEYS: "coordinate reference system (tag GeoKeyDirectory)",
}


def _remember(page: "TiffPage", data: Data, segments: Segments | None, raster: Raster) -> None:
    """Keep a header for the next file that has it."""
    corner, epsg, res_m = (raster.ulx, raster.uly), raster.epsg, raster.res_m
    learnt: Template | Directory | None = learn_template(page, data, corner=corner, epsg=epsg, res_m=res_m)
    if learnt is None and segments is not None:
        learnt = learn_directory(page, data, segments=segments, corner=corner, epsg=epsg, res_m=res_m)
    if learnt is not None:
        # Room for those that come, as of a second half of the archive that was saved otherwise.
        del _met[: max(0, len(_met) + 1 - _MOST_HEADERS)]
        _met.append(learnt)
