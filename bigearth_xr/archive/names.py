"""How the archive names its folders and files, in both releases.

A folder's name says what it holds: a Sentinel-2 patch of v1 or v2, or a Sentinel-1 patch
(whose names are the same in both). Its parents say nothing that its own name does not.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from bigearth_xr.bands import BANDS
from bigearth_xr.errors import ArchiveError, SelectionError
from bigearth_xr.grid import PATCHES_PER_SIDE, tile_origin
from bigearth_xr.releases import Release

__all__ = ["JSON_SUFFIX", "REFERENCE_MAP", "archive_ending", "scene_folder"]

JSON_SUFFIX = "labels_metadata.json"
"""End of the name of a v1 metadata file, after the patch name and ``_``."""

REFERENCE_MAP = "reference_map"
"""Stands where a band name would in the file name of a v2 reference map."""

ENDINGS = (*(f"{band.name}.tif" for band in BANDS), f"{REFERENCE_MAP}.tif", JSON_SUFFIX)
"""Ends of the names of all files that a patch may have, after the patch name and ``_``, as the archive spells them."""

_ENDINGS = {ending.lower(): ending for ending in ENDINGS}

_SUFFIXES = (".tif", ".tiff", JSON_SUFFIX)

# The time in a v1 name is not a time of day: the leading 0 of the hour may be missing (T93020), the
# seconds reach 61, and where several tiles of one data take would collide it was shifted.
_S2_V1 = re.compile(r"(S2[AB])_MSIL2A_(\d{8})T(\d{1,2})\d{4}_(\d{1,2})_(\d{1,2})", re.ASCII)

_S2_V2 = re.compile(
    r"(S2[AB])_MSIL2A_(\d{8})T(\d{6})_N\d{4}_R\d{3}_T(\d{2}[A-Z]{3})_(\d{2})_(\d{2})",
    re.ASCII,
)

_S1 = re.compile(
    r"(S1[AB])_IW_GRDH_1SDV_(\d{8})T(\d{6})_(\d{2}[A-Z]{3})_(\d{1,2})_(\d{1,2})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class S2Name:
    """What the name of a Sentinel-2 patch says."""

    name: str
    """The patch id, e.g. ``"S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_57"``."""

    release: Release
    """``"v1"`` or ``"v2"``, known by the form of the name."""

    platform: str
    """``"S2A"`` or ``"S2B"``."""

    date: np.datetime64
    """Day of acquisition, UTC, unit D."""

    time: np.datetime64 | None
    """Time of acquisition, UTC, unit s; None in v1, whose names hold shifted times."""

    tile: str | None
    """MGRS tile, e.g. ``"33UUP"``; None in v1, whose names do not hold it."""

    column: int
    """Patches from the western border of the tile, 0-90."""

    row: int
    """Patches from the northern border of the tile, 0-90."""


@dataclass(frozen=True, slots=True, kw_only=True)
class S1Name:
    """What the name of a Sentinel-1 patch says; tile, column and row are those of its partner."""

    name: str
    """Name of the folder, e.g. ``"S1B_IW_GRDH_1SDV_20170612T165809_33UUP_26_57"``."""

    platform: str
    """``"S1A"`` or ``"S1B"``."""

    time: np.datetime64
    """Start of the scene, UTC, unit s."""

    tile: str
    """MGRS tile of the Sentinel-2 partner."""

    column: int
    """Patches from the western border of the tile, 0-90."""

    row: int
    """Patches from the northern border of the tile, 0-90."""

    @property
    def date(self) -> np.datetime64:
        """Day of acquisition, UTC, unit D."""
        day: np.datetime64 = self.time.astype("datetime64[D]")
        return day


def parse_s2(name: str) -> S2Name:
    """Read the name of a Sentinel-2 patch of either release.

    Parameters
    ----------
    name
        Patch id, without a path.

    Raises
    ------
    ArchiveError
        If the name has neither form, or no such date, column or row can be.

    Examples
    --------
    >>> parse_s2("S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_57").tile
    '33UUP'
    >>> early = parse_s2("S2B_MSIL2A_20170924T93020_69_24")
    >>> early.release, str(early.date), early.time, early.column, early.row
    ('v1', '2017-09-24', None, 69, 24)
    """
    parsed = _match_s2(name)
    if parsed is None:
        raise ArchiveError(
            f"{name!r} is not a Sentinel-2 patch name; expected "
            "S2A_MSIL2A_<date>T<time>_<column>_<row> (v1) or "
            "S2A_MSIL2A_<date>T<time>_N9999_R<orbit>_T<tile>_<column>_<row> (v2), "
            f"column and row 0-{PATCHES_PER_SIDE - 1}; use the folder's name as it was unpacked"
        )
    return parsed


def parse_s1(name: str) -> S1Name:
    """Read the name of a Sentinel-1 patch, the same in both releases.

    Parameters
    ----------
    name
        Name of the patch folder, without a path.

    Raises
    ------
    ArchiveError
        If the name has another form, or no such time, column or row can be.

    Examples
    --------
    >>> s1 = parse_s1("S1A_IW_GRDH_1SDV_20170613T165043_33UUP_61_39")
    >>> s1.tile, s1.column, s1.row, str(s1.time)
    ('33UUP', 61, 39, '2017-06-13T16:50:43')
    """
    parsed = _match_s1(name)
    if parsed is None:
        raise ArchiveError(
            f"{name!r} is not a Sentinel-1 patch name; expected "
            f"S1A_IW_GRDH_1SDV_<date>T<time>_<tile>_<column>_<row>, "
            f"column and row 0-{PATCHES_PER_SIDE - 1}; use the folder's name as it was unpacked"
        )
    return parsed


def recognize(folder: str) -> S2Name | S1Name | None:
    """Read the name of a folder if it is that of a patch, else give None."""
    return _match_s1(folder) if folder.startswith("S1") else _match_s2(folder)


@lru_cache(maxsize=1024)
def archive_ending(ending: str) -> str | None:
    """Spell the end of a file name, after the patch name and ``_``, as the archive does; None if it has no such file.

    Capitals do not matter, and ``.tiff`` is as good as ``.tif``.

    Examples
    --------
    >>> archive_ending("B8A.TIF"), archive_ending("reference_map.tiff"), archive_ending("B8A.png")
    ('B8A.tif', 'reference_map.tif', None)
    """
    lower = ending.lower()
    return _ENDINGS.get(lower.removesuffix("f") if lower.endswith(".tiff") else lower)


def may_be_of_patch(file: str) -> bool:
    """Tell whether a file is of a sort of which patches have files."""
    return file.lower().endswith(_SUFFIXES)


def scene_folder(name: S2Name | S1Name) -> str:
    """Name the folder that v2 puts around the patches of one product or scene.

    Examples
    --------
    >>> scene_folder(parse_s1("S1A_IW_GRDH_1SDV_20170613T165043_33UUP_61_39"))
    'S1A_IW_GRDH_1SDV_20170613T165043'
    >>> scene_folder(parse_s2("S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_57"))
    'S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP'
    """
    # A scene of Sentinel-1 covers several tiles, so its folder leaves out the tile too.
    return name.name.rsplit("_", 3 if isinstance(name, S1Name) else 2)[0]


def _match_s2(name: str) -> S2Name | None:
    """Read a Sentinel-2 name, or give None."""
    if found := _S2_V2.fullmatch(name):
        platform, day, clock, tile, column, row = found.groups()
        release: Release = "v2"
    elif found := _S2_V1.fullmatch(name):
        platform, day, _, column, row = found.groups()
        release, clock, tile = "v1", "000000", None
    else:
        return None
    time = _time(day, clock)
    if time is None or not _on_grid(tile, column, row):
        return None
    return S2Name(
        name=name,
        release=release,
        platform=platform,
        date=time.astype("datetime64[D]"),
        time=time if release == "v2" else None,
        tile=tile,
        column=int(column),
        row=int(row),
    )


def _match_s1(name: str) -> S1Name | None:
    """Read a Sentinel-1 name, or give None."""
    found = _S1.fullmatch(name)
    if found is None:
        return None
    platform, day, clock, tile, column, row = found.groups()
    time = _time(day, clock)
    if time is None or not _on_grid(tile, column, row):
        return None
    return S1Name(
        name=name,
        platform=platform,
        time=time,
        tile=tile,
        column=int(column),
        row=int(row),
    )


def _time(day: str, clock: str) -> np.datetime64 | None:
    """Turn ``20170613`` and ``101031`` into a time, unit s; None if there is no such time."""
    try:
        date = f"{day[:4]}-{day[4:6]}-{day[6:]}"
        return np.datetime64(f"{date}T{clock[:2]}:{clock[2:4]}:{clock[4:]}", "s")
    except ValueError:
        return None


def _on_grid(tile: str | None, column: str, row: str) -> bool:
    """Tell whether the tile, where known, exists and has this column and row."""
    try:
        if tile is not None:
            tile_origin(tile)
    except SelectionError:
        return False
    return int(column) < PATCHES_PER_SIDE and int(row) < PATCHES_PER_SIDE
