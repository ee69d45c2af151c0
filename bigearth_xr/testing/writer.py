"""Writes a synthetic archive in the layout of either release."""

import json
from os import PathLike
from pathlib import Path
from typing import Literal

from bigearth_xr.archive.layout import (
    JSON_SUFFIX,
    REFERENCE_MAP,
    parse_s1,
    parse_s2,
    scene_folder,
)
from bigearth_xr.bands import PATCH_SIDE_M, S1_BANDS, S2_BANDS, Band
from bigearth_xr.releases import Release
from bigearth_xr.testing.formula import formula_pixels, formula_reference_map
from bigearth_xr.testing.geotiff import encode_tiff
from bigearth_xr.testing.lists import write_v1_lists, write_v2_tables
from bigearth_xr.testing.pair import SyntheticPair, synthetic_pair

__all__ = ["write_archive"]


def write_archive(
    path: str | PathLike[str],
    *,
    pairs: int,
    version: Release = "v2",
    container: Literal["folder"] = "folder",
    pixels: Literal["formula"] = "formula",
    seed: int = 0,
    first: int = 0,
) -> Path:
    """Write an archive of which every pixel is known, laid out as the real one.

    Names, tiles, days and footprints are real; pixels are those of `formula_pixels`, labels
    are drawn. With v2 go reference maps and both parquets, with v1 the JSONs and, in
    ``lists``, the published lists.

    Parameters
    ----------
    path
        Folder to write into; made if it is not there.
    pairs
        How many patch pairs.
    version
        Release whose layout to write.
    container
        A folder is all there is so far.
    pixels
        A formula is all there is so far.
    seed
        Another seed gives other places and labels.
    first
        Place of the first pair in the sequence of `synthetic_pair`.

    Returns
    -------
    Path
        The folder, ready for `open_archive`.

    Examples
    --------
    >>> path = write_archive(getfixture("tmp_path") / "archive", pairs=2)
    >>> sorted(entry.name for entry in path.iterdir())[:3]
    ['BigEarthNet-S1', 'BigEarthNet-S2', 'Reference_Maps']
    """
    root = Path(path)
    written = [synthetic_pair(index, release=version, seed=seed) for index in range(first, first + pairs)]
    root.mkdir(parents=True, exist_ok=True)
    for pair in written:
        (_write_v1 if version == "v1" else _write_v2)(root, pair)
    (write_v1_lists if version == "v1" else write_v2_tables)(root, written)
    return root


def _write_v1(root: Path, pair: SyntheticPair) -> None:
    """Write both halves of a pair, each with its JSON."""
    s2, s1 = (
        root / "BigEarthNet-v1.0" / pair.patch,
        root / "BigEarthNet-S1-v1.0" / pair.s1_name,
    )
    _write_bands(s2, pair, S2_BANDS)
    _write_bands(s1, pair, S1_BANDS)
    time = str(parse_s1(pair.s1_name).time)
    _write_json(
        s2,
        pair,
        "lry",
        tile_source=pair.product.name,
        acquisition_date=str(pair.product.sensing_time).replace("T", " "),
    )
    _write_json(
        s1,
        pair,
        # Misspelt in the real files.
        "lly",
        corresponding_s2_patch=pair.patch,
        scene_source=f"{pair.s1_name.rsplit('_', 3)[0]}_000000_000000_0000",
        acquisition_time=time,
    )


def _write_v2(root: Path, pair: SyntheticPair) -> None:
    """Write both halves of a pair and its reference map."""
    product = scene_folder(parse_s2(pair.patch))
    scene = scene_folder(parse_s1(pair.s1_name))
    _write_bands(root / "BigEarthNet-S2" / product / pair.patch, pair, S2_BANDS)
    _write_bands(root / "BigEarthNet-S1" / scene / pair.s1_name, pair, S1_BANDS)
    folder = root / "Reference_Maps" / product / pair.patch
    folder.mkdir(parents=True, exist_ok=True)
    ulx, uly = pair.corner
    reference_map = formula_reference_map(pair.labels_19)
    data = encode_tiff(reference_map, epsg=pair.epsg, ulx=ulx, uly=uly, is_deflated=True)
    (folder / f"{pair.patch}_{REFERENCE_MAP}.tif").write_bytes(data)


def _write_bands(folder: Path, pair: SyntheticPair, bands: tuple[Band, ...]) -> None:
    """Write the GeoTIFFs of one half."""
    folder.mkdir(parents=True, exist_ok=True)
    ulx, uly = pair.corner
    for band in bands:
        pixels = formula_pixels(pair.patch, band.name)
        data = encode_tiff(pixels, epsg=pair.epsg, ulx=ulx, uly=uly)
        (folder / f"{folder.name}_{band.name}.tif").write_bytes(data)


def _write_json(folder: Path, pair: SyntheticPair, bottom: str, **source: str) -> None:
    """Write the JSON of one half."""
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
    (folder / f"{folder.name}_{JSON_SUFFIX}").write_text(json.dumps(metadata))


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
