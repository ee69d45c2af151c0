"""What the two JSON files of a v1 patch say; v2 keeps its labels in a parquet instead."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np

from bigearth_xr.archive.names import parse_s1, parse_s2
from bigearth_xr.archive.patch_files import Archive, PatchFiles
from bigearth_xr.archive.source import PixelSource
from bigearth_xr.bands import PATCH_SIDE_M
from bigearth_xr.errors import LabelError, PatchError
from bigearth_xr.labels import encode_labels

__all__ = ["PatchMetadata", "read_metadata"]

Json: TypeAlias = Mapping[str, object]
_Footprint: TypeAlias = tuple[int, float, float, float, float]

_UNPACK_AGAIN = "unpack the archive again, or remove the patch"


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchMetadata:
    """What the archive itself says of a patch, beside its pixels."""

    patch: str
    """Patch id."""

    s1_name: str | None
    """Name of the Sentinel-1 partner, where known."""

    labels: tuple[str, ...] | None
    """Classes of the 43, as the JSON orders them; None in v2."""

    s2_time: np.datetime64 | None
    """Time of the optical image, UTC, unit s: seconds off in v1, None if not in the JSON."""

    s1_time: np.datetime64 | None
    """Start of the radar scene, UTC, unit s."""

    s2_product: str | None
    """Name of the L1C product, as the JSON has it; None in v2 or where the JSON leaves it out."""

    s1_scene: str | None
    """Name of the radar scene; None in v2 or where the JSON leaves it out."""


def read_metadata(archive: Archive, patch: PatchFiles) -> PatchMetadata:
    """Read what the archive says of a patch, without touching its pixels.

    Parameters
    ----------
    archive
        As opened.
    patch
        One of its patches. In v1 the JSON of each sensor asked for is read and checked against the
        grid, and the two against each other; in v2 the names say all there is.

    Raises
    ------
    PatchError
        If a JSON is missing, malformed or at odds with the grid or with its partner.

    Examples
    --------
    >>> from bigearth_xr.archive import open_archive
    >>> from bigearth_xr.testing import write_archive
    >>> archive = open_archive(write_archive(getfixture("tmp_path") / "v1", pairs=1, version="v1"))
    >>> metadata = read_metadata(archive, archive.patches[0])
    >>> metadata.s2_product
    'S2A_MSIL1C_20170613T101031_N0205_R022_T33UUP_20170613T101608.SAFE'
    """
    optical = _read_half(archive.source, patch, patch.s2_json)
    radar = _read_half(archive.source, patch, patch.s1_json)
    if optical and radar:
        _check_agreement(archive.source, patch, optical, radar)
    half = optical or radar
    return PatchMetadata(
        patch=patch.patch,
        s1_name=patch.s1_name,
        labels=_labels(half, patch.patch) if half else None,
        s2_time=_time(optical.get("acquisition_date")) or parse_s2(patch.patch).time,
        s1_time=parse_s1(patch.s1_name).time if patch.s1_name else None,
        s2_product=_text(optical.get("tile_source")),
        s1_scene=_text(radar.get("scene_source")),
    )


def partner_of(source: PixelSource, s1_json: str) -> str | None:
    """Read which Sentinel-2 patch a Sentinel-1 JSON names; None if it names none or cannot be read.

    Examples
    --------
    >>> from bigearth_xr.archive import open_archive
    >>> from bigearth_xr.testing import write_archive
    >>> archive = open_archive(write_archive(getfixture("tmp_path") / "v1", pairs=1, version="v1"))
    >>> pair = archive.patches[0]
    >>> partner_of(archive.source, pair.s1_json) == pair.patch
    True
    """
    try:
        return _text(_read_json(source, s1_json).get("corresponding_s2_patch"))
    # Whoever reads the patch meets the same error, and reports it.
    except PatchError:
        return None


def tile_corner(source: PixelSource, s2_json: str, *, column: int, row: int) -> tuple[int, float, float] | None:
    """Compute zone and upper left corner of the tile of a patch, whose own name does not hold it.

    Returns
    -------
    tuple[int, float, float] or None
        EPSG code, easting and northing in metres; None if the JSON does not say or cannot be read.

    Examples
    --------
    >>> from bigearth_xr.archive import open_archive
    >>> from bigearth_xr.testing import write_archive
    >>> archive = open_archive(write_archive(getfixture("tmp_path") / "v1", pairs=1, version="v1"))
    >>> pair = archive.patches[0]
    >>> tile_corner(archive.source, pair.s2_json, column=pair.column, row=pair.row)
    (32633, 300000, 5400000)
    """
    try:
        epsg, ulx, uly, *_ = _footprint(_read_json(source, s2_json), s2_json)
    except PatchError:
        return None
    return epsg, ulx - PATCH_SIDE_M * column, uly + PATCH_SIDE_M * row


def _read_half(source: PixelSource, patch: PatchFiles, path: str | None) -> Json:
    """Read the JSON of one sensor and check its place; empty if there is none to read."""
    if path is None:
        return {}
    half = _read_json(source, path)
    right, bottom = patch.ulx + PATCH_SIDE_M, patch.uly - PATCH_SIDE_M
    expected: _Footprint = (patch.epsg, patch.ulx, patch.uly, right, bottom)
    found = _footprint(half, source.locate(path))
    if found != expected:
        raise PatchError(
            f"{source.locate(path)}: footprint (EPSG, ulx, uly, lrx, lry) is {found}, "
            f"expected {expected} for column {patch.column} "
            f"and row {patch.row} of tile {patch.tile}; {_UNPACK_AGAIN}"
        )
    _labels(half, source.locate(path))
    return half


def _read_json(source: PixelSource, path: str) -> Json:
    """Read a JSON object, naming the file in every failure."""
    where = source.locate(path)
    try:
        found = json.loads(source.read(path))
    except FileNotFoundError:
        raise PatchError(f"{where} is missing; {_UNPACK_AGAIN}") from None
    except ValueError as error:
        raise PatchError(f"{where} is no valid JSON ({error}); {_UNPACK_AGAIN}") from error
    if not isinstance(found, dict):
        raise PatchError(f"{where} holds a {type(found).__name__}, expected an object; {_UNPACK_AGAIN}")
    return found


def _footprint(half: Json, where: str) -> _Footprint:
    """Read EPSG code, left, upper, right and lower border."""
    corners = half.get("coordinates")
    if not isinstance(corners, dict):
        raise PatchError(f"{where} has no 'coordinates', expected ulx, uly, lrx and lry; {_UNPACK_AGAIN}")
    # The radar files spell lry as lly.
    borders = [corners.get(name) for name in ("ulx", "uly", "lrx")]
    borders.append(corners.get("lry", corners.get("lly")))
    epsg = _epsg(str(half.get("projection")))
    if epsg is None:
        raise PatchError(f"{where} has no 'projection' with an EPSG code, expected WKT; {_UNPACK_AGAIN}")
    numbers = [border for border in borders if isinstance(border, int | float)]
    if len(numbers) != len(borders):
        raise PatchError(f"{where}: 'coordinates' are {corners}, expected four numbers; {_UNPACK_AGAIN}")
    ulx, uly, lrx, lry = numbers
    return epsg, ulx, uly, lrx, lry


@lru_cache(maxsize=64)
def _epsg(wkt: str) -> int | None:
    """Read the code of a coordinate reference system, of which the archive has seven; None if there is none."""
    # WKT closes with the code of the whole system; earlier codes are those of its parts.
    zone = re.search(r'AUTHORITY\["EPSG","(\d+)"\]\]$', wkt.strip())
    return None if zone is None else int(zone[1])


def _labels(half: Json, where: str) -> tuple[str, ...]:
    """Read the classes of a patch, all of them known and each once."""
    labels = half.get("labels")
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise PatchError(f"{where}: 'labels' is {labels!r}, expected a list of class names; {_UNPACK_AGAIN}")
    if len(set(labels)) != len(labels):
        raise PatchError(f"{where}: 'labels' names a class twice: {labels}; {_UNPACK_AGAIN}")
    try:
        return _known_labels(tuple(labels))
    except LabelError as error:
        raise PatchError(f"{where}: {error}; {_UNPACK_AGAIN}") from error


# Half a million patches bear some five thousand sets of labels.
@lru_cache(maxsize=1 << 16)
def _known_labels(labels: tuple[str, ...]) -> tuple[str, ...]:
    """Give labels back, all of them known to the nomenclature; LabelError if one is not."""
    encode_labels(labels, 43)
    return labels


def _check_agreement(source: PixelSource, patch: PatchFiles, optical: Json, radar: Json) -> None:
    """Refuse two halves that are not of one pair."""
    where = source.locate(str(patch.s1_json))
    partner = radar.get("corresponding_s2_patch")
    if partner not in (None, patch.patch):
        raise PatchError(f"{where}: it belongs to {partner}, expected {patch.patch}; correct the pairs that were given")
    if set(_labels(optical, patch.patch)) != set(_labels(radar, patch.patch)):
        raise PatchError(
            f"{where}: labels {radar['labels']} differ from {optical['labels']} "
            f"of the Sentinel-2 JSON, expected the same; {_UNPACK_AGAIN}"
        )


def _time(value: object) -> np.datetime64 | None:
    """Read a time such as ``"2017-06-17 11:33:21"``; None if there is none."""
    try:
        return None if value is None else np.datetime64(str(value), "s")
    except ValueError:
        return None


def _text(value: object) -> str | None:
    """Read a text that may be null."""
    return value if isinstance(value, str) else None
