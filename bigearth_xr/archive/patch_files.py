"""What an opened archive is made of: its patches, its problems, and where their files are."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bigearth_xr.archive.names import JSON_SUFFIX
from bigearth_xr.archive.source import PixelSource
from bigearth_xr.bands import Sensor, band
from bigearth_xr.releases import Release

__all__ = ["Archive", "PatchFiles", "Problem", "sum_up"]

ProblemKind = Literal["unpaired", "duplicate", "stray", "unplaced", "refused", "truncated", "damaged"]
"""Partner missing; found twice; a name that is none of the archive's; no way to know its tile; a member of a tar that
no archive has, such as a link; a tar that ends early; one whose compressed data are damaged, so that what came before
is not certain either."""


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
    """Count problems by kind, each on a line with the first reason, for the end of a message; ``""`` without any.

    Examples
    --------
    >>> print("no patch" + sum_up([Problem(patch="/etc", kind="refused", message="S2.tar: /etc leads outside")]))
    no patch
    1 refused: S2.tar: /etc leads outside
    """
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
