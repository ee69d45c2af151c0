"""Which archives a folder holds, and which bands all their patches have: a demo takes what it is given."""

from pathlib import Path

from bigearth_xr.archive.names import archive_ending
from bigearth_xr.archive.scan import scan
from bigearth_xr.archive.source import FolderSource
from bigearth_xr.bands import BANDS
from bigearth_xr.errors import ArchiveError

__all__ = ["archives_in"]


def archives_in(folder: Path) -> list[Path]:
    """Find the archives below a folder: itself, or, where it holds both releases, those of its folders that are one.

    Raises
    ------
    ArchiveError
        If there is none.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> both = getfixture("tmp_path")
    >>> for version in ("v1", "v2"):
    ...     path = bex.testing.write_archive(both / version, pairs=1, version=version)
    >>> [archive.name for archive in archives_in(both)]
    ['v1', 'v2']
    """
    if len(scan(FolderSource(folder)).releases) < 2:
        return [folder]
    inside = [path for path in sorted(folder.glob("*/")) if _is_archive(path)]
    if not inside:
        raise ArchiveError(f"{folder} mixes patches of both releases in one folder; give the folder of one of them")
    return inside


def common_bands(folder: Path) -> list[str]:
    """Name the bands that every patch of an archive has a file of, in the order of `bigearth_xr.bands.BANDS`.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> path = bex.testing.write_archive(getfixture("tmp_path") / "archive", pairs=2)
    >>> next(path.rglob("*_B05.tif")).unlink()
    >>> "B05" in common_bands(path), len(common_bands(path))
    (False, 13)
    """
    source = FolderSource(folder)
    found = scan(source)
    places = {"s2": set(found.s2.values()), "s1": set(found.s1.values())}
    held: dict[str, list[set[str]]] = {"s2": [], "s1": []}
    for entry in source.folders():
        for sensor, paths in places.items():
            if entry.path in paths:
                held[sensor].append(
                    {(archive_ending(file.rpartition("_")[2]) or "").removesuffix(".tif") for file in entry.files}
                )
    common = {sensor: set.intersection(*sets) if sets else set() for sensor, sets in held.items()}
    return [band.name for band in BANDS if band.name in common[band.sensor]]


def _is_archive(folder: Path) -> bool:
    try:
        return len(scan(FolderSource(folder)).releases) == 1
    except ArchiveError:
        return False
