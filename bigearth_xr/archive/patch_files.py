"""An opened archive: its patches and problems, where their files are, and what these hold: pixels and JSONs."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.archive.lmdb_source import decode_tensor
from bigearth_xr.archive.names import JSON_SUFFIX, REFERENCE_MAP, parse_s1, parse_s2
from bigearth_xr.archive.source import Data, Encoding, PixelSource
from bigearth_xr.archive.tiff import decode_band
from bigearth_xr.bands import PATCH_SIDE_M, Band, Sensor, band
from bigearth_xr.errors import LabelError, PatchError
from bigearth_xr.labels import encode_labels
from bigearth_xr.releases import Release

__all__ = ["MISSING", "REFERENCE_MAP_BAND", "sum_up"]

ProblemKind = Literal["unpaired", "duplicate", "stray", "unplaced", "refused", "truncated", "damaged"]
"""Partner missing; found twice; a name that is none of the archive's; no way to know its tile; a member of a tar that
no archive has, such as a link; a tar that ends early; one whose compressed data are damaged, so that what came before
is not certain either."""

Json: TypeAlias = Mapping[str, object]

_Footprint: TypeAlias = tuple[int, float, float, float, float]

MISSING = "is missing; unpack or download the archive again, or ask for other bands with bands=[…]"
"""What is said of a file that is not where it has to be."""

_UNPACK_AGAIN = "unpack the archive again, or remove the patch"

# On the grid of the 10 m bands, and uint16 as they are.
REFERENCE_MAP_BAND = replace(band("B02"), name=REFERENCE_MAP, description="CORINE code of each pixel")


class _Decoder(Protocol):
    def __call__(
        self, data: Data, *, band: Band, epsg: int, ulx: int, uly: int, where: Callable[[], str]
    ) -> NDArray[np.generic]: ...


_DECODERS: Mapping[Encoding, _Decoder] = {"geotiff": decode_band, "safetensors": decode_tensor}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something found in an archive that gives no patch."""

    patch: str
    """Name of the patch, or of the folder if it bears no patch name."""

    kind: ProblemKind
    """What sort of problem it is."""

    message: str
    """What is wrong, where, and what to do."""


def sum_up(problems: Iterable[Problem]) -> str:
    """Count problems by kind, each on a line with the first reason, for the end of a message; ``""`` without any."""
    problems = list(problems)
    firsts = {problem.kind: problem.message for problem in reversed(problems)}
    counts = Counter(problem.kind for problem in problems)
    return "".join(
        f"\n{count:,} {kind}{', first' if count > 1 else ''}: {firsts[kind]}" for kind, count in counts.items()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchFiles:
    """One patch pair, or the half of it that was asked for, and where its files must be."""

    patch: str
    """Patch id: the Sentinel-2 name."""

    s1_name: str | None
    """Name of the Sentinel-1 partner; None if only Sentinel-2 was asked for and it is not known."""

    release: Release
    """Release of the archive."""

    tile: str
    """MGRS tile, e.g. ``"33UUP"``."""

    column: int
    """Patches from the western border of the tile."""

    row: int
    """Patches from the northern border of the tile."""

    epsg: int
    """Coordinate reference system: a UTM zone."""

    ulx: int
    """Easting of the upper left corner, metres."""

    uly: int
    """Northing of the upper left corner, metres."""

    bands: tuple[str, ...]
    """Names of the bands asked for."""

    s2_folder: str | None
    """Folder of the Sentinel-2 files in the source; None if they were not asked for."""

    s1_folder: str | None
    """Folder of the Sentinel-1 files in the source; None if they were not asked for."""

    reference_map: str | None
    """File of the reference map in the source; None if there is none."""

    has_json: bool
    """Whether it must come with the JSONs of v1; never with an LMDB, which drops them."""

    @property
    def files(self) -> Mapping[str, str]:
        """Where the file of each band must be, by band name."""
        return {name: self._path(band(name).sensor, f"{name}.tif") for name in self.bands}

    @property
    def folders(self) -> tuple[str, ...]:
        """Folders in the source that hold any of its files."""
        maps = None if self.reference_map is None else self.reference_map.rpartition("/")[0]
        return tuple(folder for folder in (self.s2_folder, self.s1_folder, maps) if folder is not None)

    @property
    def s2_json(self) -> str | None:
        """Where the Sentinel-2 JSON of v1 must be; None if there is none to read."""
        return self._path("s2", JSON_SUFFIX) if self.has_json and self.s2_folder is not None else None

    @property
    def s1_json(self) -> str | None:
        """Where the Sentinel-1 JSON of v1 must be; None if there is none to read."""
        return self._path("s1", JSON_SUFFIX) if self.has_json and self.s1_folder is not None else None

    def _path(self, sensor: Sensor, suffix: str) -> str:
        """Build the path of a file of one half."""
        if sensor == "s1":
            return f"{self.s1_folder}/{self.s1_name}_{suffix}"
        return f"{self.s2_folder}/{self.patch}_{suffix}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """A raw archive, opened: its file names are known, its pixels are still on disk."""

    name: str
    """What was opened: a folder, tars, or what else it is called in messages."""

    release: Release
    """``"v1"`` or ``"v2"``."""

    source: PixelSource
    """What reads its files."""

    sensors: tuple[Sensor, ...]
    """Sensors asked for; both give pairs."""

    bands: tuple[str, ...]
    """Names of the bands asked for, Sentinel-2 in spectral order, then VV and VH."""

    patches: tuple[PatchFiles, ...]
    """Patches that can be read, sorted by id."""

    problems: tuple[Problem, ...]
    """All that was found and gives no patch, sorted."""

    metadata_files: tuple[str, ...]
    """Metadata parquets (v2) or published lists (v1) found inside, as paths below the root."""

    has_reference_maps: bool
    """Whether any patch has a reference map."""

    @property
    def root(self) -> Path:
        """Folder that was opened, if it is one."""
        return Path(self.name)


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
    """Read which Sentinel-2 patch a Sentinel-1 JSON names; None if it names none or cannot be read."""
    try:
        return _text(_read_json(source, s1_json).get("corresponding_s2_patch"))
    # The reader of the patch meets the same error, and reports it.
    except PatchError:
        return None


def tile_corner(source: PixelSource, s2_json: str, *, column: int, row: int) -> tuple[int, float, float] | None:
    """Compute zone and upper left corner of the tile of a patch, whose own name does not hold it.

    Returns
    -------
    tuple[int, float, float] or None
        EPSG code, easting and northing in metres; None if the JSON does not say or cannot be read.
    """
    try:
        epsg, ulx, uly, *_ = _footprint(_read_json(source, s2_json), s2_json)
    except PatchError:
        return None
    return epsg, ulx - PATCH_SIDE_M * column, uly + PATCH_SIDE_M * row


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
        raise PatchError(f"{where} is not valid JSON ({error}); {_UNPACK_AGAIN}") from error
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
