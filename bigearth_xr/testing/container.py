"""Writes files into one container: a folder, or a tar as GNU tar lays it out, plain or compressed.

The same files give the same bytes: every member is of 1970 and of user 0. ``tarfile`` writes the same, member for
member, but takes ten times as long over a header.
"""

import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.archive import parse_s1, parse_s2
from bigearth_xr.archive.names import JSON_SUFFIX, REFERENCE_MAP, scene_folder
from bigearth_xr.bands import PATCH_SIDE_M, S1_BANDS, S2_BANDS, Band
from bigearth_xr.releases import Release
from bigearth_xr.testing.geotiff import encode_tiff
from bigearth_xr.testing.pair import Pair, formula_reference_map

Container = Literal["folder", "tar", "tar.gz", "tar.zst"]
"""What an archive can lie in."""

File: TypeAlias = tuple[str, bytes]
"""Path below the root, with ``/`` between its parts, and contents."""

_BLOCK = 512

_RECORD = 20 * _BLOCK

_NAME_BYTES = 100

_BUFFER = 1 << 20

# igzip compresses 5 times as fast as zlib does; this is nearly its fastest level.
_GZIP_LEVEL = 1

_OWNER = b"0000000\0" * 2

_TIME = b"00000000000\0"

_MAGIC = b"ustar  \0"

_FILE, _FOLDER, _LONG_NAME = b"0", b"5", b"L"

_MODE = {_FILE: b"0000644\0", _FOLDER: b"0000755\0", _LONG_NAME: b"0000000\0"}

_FIXED_SUM = {kind: sum(mode + _OWNER + _TIME + b" " * 8 + kind + _MAGIC) for kind, mode in _MODE.items()}
"""Checksum of all that neither name nor size decides."""

Pixels: TypeAlias = Callable[[str, str], NDArray[np.generic]]
"""Gives the pixels of a band, shape ``(y, x)``, by patch id and name of the band."""


def _v1_s1_files(pair: Pair, pixels: Pixels) -> Iterator[File]:
    """Give bands and JSON of the radar half."""
    yield from _band_files(pair, S1_BANDS, pixels)
    yield _json(
        pair,
        # Misspelt in the real files.
        "lly",
        corresponding_s2_patch=pair.patch,
        scene_source=f"{pair.s1_name.rsplit('_', 3)[0]}_000000_000000_0000",
        acquisition_time=str(parse_s1(pair.s1_name).time),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What a release is published in one tar of: one sensor, or the reference maps."""

    name: str
    """Name of the tar as published, without ``.tar.…``."""

    folder: Callable[[Pair], str]
    """Gives the path of the folder that holds a patch."""

    files: Callable[[Pair, Pixels], Iterator[File]]
    """Gives the files of a patch, by the end of their names: ``"B02.tif"``."""


def _map_files(pair: Pair, _pixels: Pixels) -> Iterator[File]:
    """Give the reference map, which is a formula of the labels whatever the pixels are."""
    ulx, uly = pair.corner
    reference_map = formula_reference_map(pair.labels_19)
    yield f"{REFERENCE_MAP}.tif", encode_tiff(reference_map, epsg=pair.epsg, ulx=ulx, uly=uly, is_deflated=True)


def _v1_s2_files(pair: Pair, pixels: Pixels) -> Iterator[File]:
    """Give bands and JSON of the optical half."""
    yield from _band_files(pair, S2_BANDS, pixels)
    yield _json(
        pair,
        "lry",
        tile_source=pair.product.name,
        acquisition_date=str(pair.product.sensing_time).replace("T", " "),
    )


PARTS: Mapping[Release, tuple[Part, ...]] = {
    "v1": (
        Part(
            name="BigEarthNet-S2-v1.0",
            folder=lambda pair: f"BigEarthNet-v1.0/{pair.patch}",
            files=_v1_s2_files,
        ),
        Part(
            name="BigEarthNet-S1-v1.0",
            folder=lambda pair: f"BigEarthNet-S1-v1.0/{pair.s1_name}",
            files=_v1_s1_files,
        ),
    ),
    "v2": (
        Part(
            name="BigEarthNet-S2",
            folder=lambda pair: f"BigEarthNet-S2/{_below_product(pair)}",
            files=lambda pair, pixels: _band_files(pair, S2_BANDS, pixels),
        ),
        Part(
            name="BigEarthNet-S1",
            folder=lambda pair: f"BigEarthNet-S1/{scene_folder(parse_s1(pair.s1_name))}/{pair.s1_name}",
            files=lambda pair, pixels: _band_files(pair, S1_BANDS, pixels),
        ),
        Part(
            name="Reference_Maps",
            folder=lambda pair: f"Reference_Maps/{_below_product(pair)}",
            files=_map_files,
        ),
    ),
}
"""The parts of each release, in the order in which they follow each other in one tar."""


def write_folder(root: Path, files: Iterable[File]) -> None:
    """Write files below a folder."""
    made: str | None = None
    for path, data in files:
        folder, _, name = path.rpartition("/")
        if folder != made:
            (root / folder).mkdir(parents=True, exist_ok=True)
            made = folder
        with open(root / folder / name, "wb") as file:
            file.write(data)


def write_tar(path: Path, files: Iterable[File], container: Container = "tar") -> None:
    """Write files into a tar, compressed as ``container`` says."""
    with open_container(path, container) as out:
        for piece in tar_stream(files):
            out.write(piece)


@contextmanager
def open_container(path: str | os.PathLike[str], container: Container) -> Iterator[BinaryIO]:
    """Open a file to write a tar into, compressing what is written."""
    with open(path, "wb", buffering=_BUFFER) as raw:
        if container == "tar":
            yield raw
            return
        with _compressor(raw, container) as packed:
            yield packed


def tar_stream(files: Iterable[File]) -> Iterator[bytes]:
    """Encode files as a tar, piece by piece; a folder comes before its files.

    Yields
    ------
    bytes
        Whole members; at last what closes the tar.
    """
    length = 0
    around = ""
    for path, data in files:
        folder = path.rpartition("/")[0]
        folders = b"" if folder in ("", around) else b"".join(_new_folders(folder, around))
        piece = b"".join((folders, _header(path, len(data), _FILE), data, bytes(-len(data) % _BLOCK)))
        around = folder
        length += len(piece)
        yield piece
    yield bytes(2 * _BLOCK + -(length + 2 * _BLOCK) % _RECORD)


def patch_files(part: Part, pairs: Sequence[Pair], pixels: Pixels) -> Iterator[list[File]]:
    """Give the files of a part, one patch at a time, sorted by folder and name."""
    for folder, pair in sorted(((part.folder(pair), pair) for pair in pairs), key=lambda entry: entry[0]):
        stem = f"{folder}/{folder.rpartition('/')[2]}"
        yield sorted((f"{stem}_{ending}", data) for ending, data in part.files(pair, pixels))


def _compressor(raw: BinaryIO, container: Container) -> BinaryIO:
    """Compress into a file; neither the time nor the file's name is written."""
    if container == "tar.gz":
        from isal import igzip

        gzip = igzip.IGzipFile("", "wb", _GZIP_LEVEL, raw, mtime=0)  # type: ignore[no-untyped-call]  # isal's lack
        return cast("BinaryIO", io.BufferedWriter(gzip, _BUFFER))
    if sys.version_info >= (3, 14):
        from compression.zstd import CompressionParameter, ZstdFile
    else:
        from backports.zstd import CompressionParameter, ZstdFile

    # The checksum is zstd's own default on the command line, though not the library's.
    options: dict[int, int] = {CompressionParameter.compression_level: 1, CompressionParameter.checksum_flag: 1}
    return cast("BinaryIO", io.BufferedWriter(ZstdFile(raw, "wb", options=options), _BUFFER))


def _new_folders(folder: str, around: str) -> Iterator[bytes]:
    """Encode those folders from the root down to one that are not around another one too."""
    for inner in accumulate(folder.split("/"), "{}/{}".format):
        if not f"{around}/".startswith(f"{inner}/"):
            yield _header(f"{inner}/", 0, _FOLDER)


def _header(path: str, size: int, kind: bytes) -> bytes:
    """Encode what precedes the contents of a member; a long name goes before it as a member of its own."""
    name = path.encode()
    if len(name) <= _NAME_BYTES:
        return _block(name, size, kind)
    padding = bytes(_BLOCK - len(name) % _BLOCK)
    long_name = _block(b"././@LongLink", len(name) + 1, _LONG_NAME)
    return b"".join((long_name, name, padding, _block(name[:_NAME_BYTES], size, kind)))


def _block(name: bytes, size: int, kind: bytes) -> bytes:
    """Encode one block of a header."""
    octal = b"%011o\0" % size
    # The checksum counts its own eight bytes as blanks.
    checksum = sum(name) + sum(octal) + _FIXED_SUM[kind]
    return b"%b%b%b%b%b%06o\0 %b%b%b" % (
        name.ljust(_NAME_BYTES, b"\0"),
        _MODE[kind],
        _OWNER,
        octal,
        _TIME,
        checksum,
        kind,
        bytes(_NAME_BYTES) + _MAGIC,
        bytes(_BLOCK - 265),
    )


def _band_files(pair: Pair, bands: Sequence[Band], pixels: Pixels) -> Iterator[File]:
    """Give the GeoTIFFs of one half."""
    patch, epsg, (ulx, uly) = pair.patch, pair.epsg, pair.corner
    for band in bands:
        yield f"{band.name}.tif", encode_tiff(pixels(patch, band.name), epsg=epsg, ulx=ulx, uly=uly)


def _json(pair: Pair, bottom: str, **source: str) -> File:
    """Give the JSON of one half."""
    ulx, uly = pair.corner
    metadata = {
        "labels": pair.labels_43,
        "coordinates": {
            "ulx": ulx,
            "uly": uly,
            "lrx": ulx + PATCH_SIDE_M,
            bottom: uly - PATCH_SIDE_M,
        },
        "projection": _wkt(pair.epsg),
        **source,
    }
    return JSON_SUFFIX, json.dumps(metadata).encode()


def _below_product(pair: Pair) -> str:
    """Name the folder of an optical patch below that of its product."""
    patch = pair.patch
    return f"{scene_folder(parse_s2(patch))}/{patch}"


@cache
def _wkt(epsg: int) -> str:
    """Write a UTM zone of the northern hemisphere as the JSONs do."""
    zone = epsg % 100
    return (
        f'PROJCS["WGS 84 / UTM zone {zone}N",GEOGCS["WGS 84",DATUM["WGS_1984",'
        'SPHEROID["WGS 84",6378137,298.257223563,AUTHORITY["EPSG","7030"]],'
        'AUTHORITY["EPSG","6326"]],PRIMEM["Greenwich",0,AUTHORITY["EPSG","8901"]],'
        'UNIT["degree",0.0174532925199433,AUTHORITY["EPSG","9122"]],'
        'AXIS["Latitude",NORTH],AXIS["Longitude",EAST],AUTHORITY["EPSG","4326"]],'
        'PROJECTION["Transverse_Mercator"],PARAMETER["latitude_of_origin",0],'
        f'PARAMETER["central_meridian",{6 * zone - 183}],PARAMETER["scale_factor",0.9996],'
        'PARAMETER["false_easting",500000],PARAMETER["false_northing",0],'
        'UNIT["metre",1,AUTHORITY["EPSG","9001"]],'
        f'AXIS["Easting",EAST],AXIS["Northing",NORTH],AUTHORITY["EPSG","{epsg}"]]'
    )
