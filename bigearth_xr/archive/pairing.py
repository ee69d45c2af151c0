"""Which Sentinel-1 patch belongs to which Sentinel-2 patch.

In this order: what the caller says, what the Sentinel-1 JSON says (v1 only), and what place and day
say. The last is exact where tile, column and row are known: over all 549,488 pairs of v2 just one
radar patch lies within six days of an optical one.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from bigearth_xr.archive.layout import JSON_SUFFIX, S1Name, S2Name, parse_s1, parse_s2
from bigearth_xr.archive.metadata import partner_of, tile_corner
from bigearth_xr.archive.scan import Scan
from bigearth_xr.archive.source import PixelSource
from bigearth_xr.tiles import tile_origin

__all__ = ["pair_up"]

_MOST_DAYS_APART = np.timedelta64(6, "D")


def pair_up(source: PixelSource, found: Scan, given: Mapping[str, str]) -> dict[str, str]:
    """Find the partner of every patch, as far as it can be known.

    Parameters
    ----------
    source
        Read for the JSONs of Sentinel-1 patches that ``given`` does not know.
    found
        What lies in it.
    given
        Sentinel-1 name by patch id; wins over all else and may name more than was found.

    Returns
    -------
    dict[str, str]
        Sentinel-1 name by patch id; each name comes once, but need not have been found.

    Examples
    --------
    >>> from bigearth_xr.archive.scan import scan
    >>> from bigearth_xr.archive.source import FolderSource
    >>> from bigearth_xr.testing import write_archive
    >>> source = FolderSource(write_archive(getfixture("tmp_path") / "v2", pairs=1))
    >>> len(pair_up(source, scan(source), {}))
    1
    """
    pairs = {s2: s1 for s2, s1 in given.items() if s2 in found.s2 or s1 in found.s1}
    if "v1" in found.releases:
        _add(pairs, _named_by_json(source, found, set(pairs.values())))
    _add(pairs, _alone_at_place(source, found, pairs))
    return pairs


def _add(pairs: dict[str, str], more: Iterable[tuple[str, str]]) -> None:
    """Add pairs whose halves are both still free."""
    taken = set(pairs.values())
    for s2, s1 in more:
        if s2 not in pairs and s1 not in taken:
            pairs[s2] = s1
            taken.add(s1)


def _named_by_json(source: PixelSource, found: Scan, taken: set[str]) -> Iterator[tuple[str, str]]:
    """Ask the JSON of each radar patch for its partner."""
    for s1, folder in found.s1.items():
        if s1 not in taken:
            s2 = partner_of(source, f"{folder}/{s1}_{JSON_SUFFIX}")
            if s2 is not None:
                yield s2, s1


def _alone_at_place(source: PixelSource, found: Scan, pairs: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Match halves that have one candidate each: same place, at most six days apart."""
    radar: dict[tuple[str, int, int], list[S1Name]] = defaultdict(list)
    for s1 in map(parse_s1, found.s1.keys() - set(pairs.values())):
        radar[s1.tile, s1.column, s1.row].append(s1)
    tiles = {tile for tile, _, _ in radar}
    candidates = {
        s2.name: [
            s1.name
            for tile in ([s2.tile] if s2.tile else tiles)
            for s1 in radar.get((tile, s2.column, s2.row), ())
            if _may_pair(source, found, s2, s1)
        ]
        for s2 in map(parse_s2, found.s2.keys() - pairs.keys())
    }
    wanted = Counter(s1 for names in candidates.values() for s1 in names)
    for s2_name, names in candidates.items():
        if len(names) == 1 and wanted[names[0]] == 1:
            yield s2_name, names[0]


def _may_pair(source: PixelSource, found: Scan, s2: S2Name, s1: S1Name) -> bool:
    """Tell whether two halves of one column and row may be a pair."""
    if abs(s2.date - s1.date) > _MOST_DAYS_APART:
        return False
    if s2.tile is not None:
        return s2.tile == s1.tile
    json_file = f"{found.s2[s2.name]}/{s2.name}_{JSON_SUFFIX}"
    origin = tile_origin(s1.tile)
    corner = tile_corner(source, json_file, column=s2.column, row=s2.row)
    return corner is None or corner == (origin.epsg, origin.ulx, origin.uly)
