"""GeoTIFFs saved anew in layouts that are not the archive's own, by rasterio and by tifffile."""

import io
import shutil
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import rasterio
import tifffile
from rasterio.enums import Resampling
from rasterio.shutil import copy

from bigearth_xr.archive import open_archive

Layout = Callable[[bytes], bytes]
"""Gives a GeoTIFF of one band in another layout."""


def by_gdal(driver: str = "GTiff", **options: Any) -> Layout:
    """Let GDAL copy a file; predictor 3 for floats where 2 is asked for of integers."""

    def save(data: bytes) -> bytes:
        with rasterio.MemoryFile(data) as file, file.open() as source, rasterio.MemoryFile(ext="tif") as target:
            chosen = dict(options)
            if chosen.get("predictor") == 3 and source.dtypes[0] != "float32":
                chosen["predictor"] = 2
            copy(source, target.name, driver=driver, **chosen)
            return bytes(target.getbuffer())

    return save


def tiled(side: int, **options: Any) -> Layout:
    """Let GDAL copy a file into tiles."""
    return by_gdal(tiled=True, blockxsize=side, blockysize=side, **options)


def changed(data: bytes, change: Callable[[Any], object], **options: Any) -> bytes:
    """Let GDAL change a file that is there, e.g. add overviews: its directory is then written once more, at the end."""
    with rasterio.MemoryFile(ext="tif") as file:
        file.write(data)
        with rasterio.open(file.name, "r+", **options) as image:
            change(image)
        return bytes(file.getbuffer())


def with_overviews(data: bytes) -> bytes:
    """Tiles, and overviews behind them."""
    return changed(tiled(32, compress="LZW")(data), lambda image: image.build_overviews([2, 4], Resampling.average))


def as_cog(data: bytes) -> bytes:
    """A COG with overviews in front of the pixels, as it has them."""
    return by_gdal("COG", blocksize=128, compress="DEFLATE", overviews="AUTO")(with_overviews(data))


def with_mask(data: bytes) -> bytes:
    """A file with an internal mask that says that nothing is valid."""
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        return changed(tiled(64, compress="DEFLATE")(data), lambda image: image.write_mask(False))


def with_tags(data: bytes) -> bytes:
    """Texts and a nodata value, set afterwards, so that the directory lies at the end."""

    def change(image: Any) -> None:
        image.nodata = 0
        image.update_tags(SOURCE=f"saved anew, {len(data):,} bytes", PLACE=str(image.bounds))
        image.set_band_description(1, "reflectance")

    return changed(by_gdal(compress="DEFLATE", predictor=2)(data), change)


def as_points(data: bytes) -> bytes:
    """A file whose place is that of the middle of its pixels."""
    return changed(tiled(64, compress="DEFLATE")(data), lambda image: image.update_tags(AREA_OR_POINT="Point"))


def by_tifffile(**options: Any) -> Layout:
    """Let tifffile write the pixels, with the geographic tags of the file."""

    def save(data: bytes) -> bytes:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page = file.pages.first
            pixels, tags = page.asarray(), page.tags
            places = [(tags[code].code, tags[code].dtype, tags[code].count, tags[code].value, True) for code in _PLACE]
        chosen = dict(options)
        order = chosen.pop("byteorder", "<")
        is_big = chosen.pop("bigtiff", False)
        before = chosen.pop("before", None)
        out = io.BytesIO()
        with tifffile.TiffWriter(out, byteorder=order, bigtiff=is_big) as writer:
            if before is not None:
                writer.write(pixels[::2, ::2], metadata=None, subfiletype=_REDUCED)
            writer.write(pixels, metadata=None, extratags=places, **chosen)
        kind = struct.pack("<HHI", 254, 4, 1)
        return out.getvalue().replace(kind + bytes([_REDUCED]), kind + bytes([before or 0]), 1)

    return save


_PLACE = (33550, 33922, 34735)
_REDUCED, _MASK = 1, 4

LAYOUTS: Mapping[str, Layout] = {
    "strips, one row": by_gdal(blockysize=1),
    "strips, LZW": by_gdal(compress="LZW"),
    "strips, DEFLATE, predictor 2 or 3": by_gdal(compress="DEFLATE", predictor=3),
    "strips, ZSTD, predictor 2": by_gdal(compress="ZSTD", predictor=2),
    "strips, LZMA": by_gdal(compress="LZMA"),
    "strips, PackBits": by_gdal(compress="PACKBITS"),
    "strips, LERC": by_gdal(compress="LERC"),
    "strips, directory at the end": with_tags,
    "tiles of 16, stored": tiled(16),
    "tiles of 16, DEFLATE": tiled(16, compress="DEFLATE"),
    "tiles of 16 × 32, LZW, predictor 2 or 3": by_gdal(
        tiled=True, blockxsize=16, blockysize=32, compress="LZW", predictor=3
    ),
    "tiles of 64, DEFLATE, predictor 2": tiled(64, compress="DEFLATE", predictor=2),
    "tiles of 64, ZSTD, predictor 2 or 3": tiled(64, compress="ZSTD", predictor=3),
    "tiles of 64, LZMA, predictor 2 or 3": tiled(64, compress="LZMA", predictor=3),
    "tiles of 64, places in the middle": as_points,
    "tiles of 112, big-endian, stored": tiled(112, endianness="BIG"),
    "tiles of 256, big-endian, LZW, predictor 2 or 3": tiled(256, endianness="BIG", compress="LZW", predictor=3),
    "tiles of 256, big-endian, BigTIFF, DEFLATE, predictor 2": tiled(
        256, endianness="BIG", bigtiff="YES", compress="DEFLATE", predictor=2
    ),
    "tiles of 64, BigTIFF, PackBits": tiled(64, bigtiff="YES", compress="PACKBITS"),
    "tiles of 128, separate planes": tiled(128, interleave="BAND", compress="DEFLATE"),
    "tiles never written": tiled(16, sparse_ok=True, compress="LZW"),
    "COG": by_gdal("COG"),
    "COG, stored": by_gdal("COG", compress="NONE", blocksize=64),
    "COG, overviews": as_cog,
    "COG, predictor 2 or 3": by_gdal("COG", compress="ZSTD", blocksize=64, predictor="YES"),
    "tiles and overviews": with_overviews,
    "tiles and a mask": with_mask,
    "tifffile, tiles of 48": by_tifffile(tile=(48, 48), compression="zlib", predictor=True),
    "tifffile, tiles of 16 × 160, big-endian": by_tifffile(tile=(16, 160), byteorder=">", compression="lzma"),
    "tifffile, BigTIFF, PackBits": by_tifffile(bigtiff=True, compression="packbits", rowsperstrip=7),
    "tifffile, the overview first": by_tifffile(before=_REDUCED, tile=(32, 32), compression="zstd"),
    "tifffile, a mask first": by_tifffile(before=_MASK, compression="lzw"),
}
"""By what is unusual of each."""


def rewrite(archive: Path, layout: Layout, *, suffix: str = ".tif", band: str = "*") -> Path:
    """Save all files of an archive anew, in place."""
    for file in sorted(archive.rglob(f"*_{band}.tif")):
        data = layout(file.read_bytes())
        file.unlink()
        file.with_suffix(suffix).write_bytes(data)
    return archive


def few_real_pairs(archive: Path, to: Path, *, pairs: int) -> Path:
    """Copy the first pairs of an archive of v1."""
    for patch in open_archive(archive).patches[:pairs]:
        for folder in patch.folders:
            shutil.copytree(archive / folder, to / folder)
    return to


def files_of_store(store: Path) -> dict[str, bytes]:
    """Give all that a store consists of, byte for byte."""
    return {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*") if path.is_file()}
