"""Which files an archive has: the parts that a release is published in, and the files of a patch in each."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.archive.layout import JSON_SUFFIX, REFERENCE_MAP, parse_s1, parse_s2, scene_folder
from bigearth_xr.bands import PATCH_SIDE_M, S1_BANDS, S2_BANDS, Band
from bigearth_xr.releases import Release
from bigearth_xr.testing.container import File
from bigearth_xr.testing.formula import formula_reference_map
from bigearth_xr.testing.geotiff import encode_tiff
from bigearth_xr.testing.pair import Pair

__all__ = ["PARTS", "Part", "Pixels", "patch_files"]

Pixels: TypeAlias = Callable[[str, str], NDArray[np.generic]]
"""Gives the pixels of a band, shape ``(y, x)``, by patch id and name of the band."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What a release is published in one tar of: one sensor, or the reference maps."""

    name: str
    """Name of the tar as published, without ``.tar.…``."""

    folder: Callable[[Pair], str]
    """Gives the path of the folder that holds a patch."""

    files: Callable[[Pair, Pixels], Iterator[File]]
    """Gives the files of a patch, by the end of their names: ``"B02.tif"``."""


def patch_files(part: Part, pairs: Sequence[Pair], pixels: Pixels) -> Iterator[list[File]]:
    """Give the files of a part, one patch at a time, sorted by folder and name.

    Examples
    --------
    >>> from bigearth_xr.testing import formula_pixels, synthetic_pair
    >>> radar = next(part for part in PARTS["v2"] if part.name == "BigEarthNet-S1")
    >>> files = next(patch_files(radar, [synthetic_pair(0)], formula_pixels))
    >>> files[0][0].rpartition("/")[2]
    'S1A_IW_GRDH_1SDV_20170613T044300_33UUP_68_76_VH.tif'
    """
    for folder, pair in sorted(((part.folder(pair), pair) for pair in pairs), key=lambda entry: entry[0]):
        stem = f"{folder}/{folder.rpartition('/')[2]}"
        yield sorted((f"{stem}_{ending}", data) for ending, data in part.files(pair, pixels))


def _v1_s2_files(pair: Pair, pixels: Pixels) -> Iterator[File]:
    """Give bands and JSON of the optical half."""
    yield from _band_files(pair, S2_BANDS, pixels)
    yield _json(
        pair,
        "lry",
        tile_source=pair.product.name,
        acquisition_date=str(pair.product.sensing_time).replace("T", " "),
    )


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


def _map_files(pair: Pair, _pixels: Pixels) -> Iterator[File]:
    """Give the reference map, which is a formula of the labels whatever the pixels are."""
    ulx, uly = pair.corner
    reference_map = formula_reference_map(pair.labels_19)
    yield f"{REFERENCE_MAP}.tif", encode_tiff(reference_map, epsg=pair.epsg, ulx=ulx, uly=uly, is_deflated=True)


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
