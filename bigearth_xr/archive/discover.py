"""Opens an archive: finds its patches and pairs them, and says what it could not use."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from os import PathLike

import numpy as np

from bigearth_xr.archive.containers import Paths, open_source
from bigearth_xr.archive.names import JSON_SUFFIX, REFERENCE_MAP, S1Name, S2Name, parse_s1, parse_s2
from bigearth_xr.archive.patch_files import Archive, PatchFiles, Problem, partner_of, tile_corner
from bigearth_xr.archive.scan import Scan, scan
from bigearth_xr.archive.source import PixelSource, SplitSource
from bigearth_xr.bands import BANDS, PATCH_SIDE_M, Band, Sensor
from bigearth_xr.bands import bands as find_bands
from bigearth_xr.errors import ArchiveError, BandError
from bigearth_xr.grid import tile_origin
from bigearth_xr.products import PRODUCTS
from bigearth_xr.releases import Release

_MOST_DAYS_APART = np.timedelta64(6, "D")


def open_archive(
    path: Paths,
    *,
    sensors: Sensor | Iterable[Sensor] = ("s1", "s2"),
    bands: Iterable[str] | None = None,
    pairs: Mapping[str, str] | None = None,
) -> Archive:
    """Open an archive of either release, unpacked or in plain tars, however deep below ``path`` its folders lie.

    Parameters
    ----------
    path
        Any folder above the patch folders; a tar; a folder of tars; or several of these, S1, S2 and maps each in one.
    sensors
        With both, a patch without its partner is a problem; with one, the files of the
        other are ignored.
    bands
        Bands to read, by name; without, all of the sensors. A sensor of which no band is
        asked for is not needed.
    pairs
        Sentinel-1 name by patch id, as the metadata lists it; wins over what JSONs and
        names say; these are asked about the patches that it leaves out.

    Returns
    -------
    Archive
        Knows every file by name; none was read but the v1 JSONs without which ``pairs``
        leaves a partner or a tile unknown.

    Raises
    ------
    ArchiveNotFoundError
        If there is nothing at the path.
    ArchiveError
        If it holds no patch, patches of both releases, or not one file of a band that
        is asked for.
    BandError
        If a band is unknown, or is none of the sensors'.

    Examples
    --------
    >>> from bigearth_xr.testing import write_archive
    >>> path = write_archive(getfixture("tmp_path") / "archive", pairs=2, version="v1")
    >>> archive = open_archive(path, bands=["B02", "B03", "B04", "VV"])
    >>> archive.release, len(archive.patches), archive.problems, archive.bands
    ('v1', 2, (), ('B02', 'B03', 'B04', 'VV'))
    """
    name = str(path) if isinstance(path, str | PathLike) else ", ".join(map(str, path))
    return survey_archive(open_source(path), name=name, sensors=sensors, bands=bands, pairs=pairs)


def survey_archive(
    source: PixelSource,
    *,
    name: str,
    sensors: Sensor | Iterable[Sensor] = ("s1", "s2"),
    bands: Iterable[str] | None = None,
    pairs: Mapping[str, str] | None = None,
    found: Scan | None = None,
) -> Archive:
    """Find the patches of a source, whatever it is; `open_archive` has the rest of the contract.

    Parameters
    ----------
    source
        The files of the archive.
    name
        What the archive is called in messages.
    sensors, bands, pairs
        As for `open_archive`.
    found
        What lies in the source, where that is known already.

    Examples
    --------
    >>> from bigearth_xr.archive.source import FolderSource
    >>> from bigearth_xr.testing import write_archive
    >>> path = write_archive(getfixture("tmp_path") / "archive", pairs=2)
    >>> len(survey_archive(FolderSource(path), name="mine").patches)
    2
    """
    chosen = choose_bands(sensors, bands)
    found = found or scan(source)
    release = tell_release(found, name)
    source = SplitSource(source, found.rest, found.spelled) if found.rest or found.spelled else source
    assembly = _Assembly(
        source=source,
        found=found,
        pairs=pair_up(source, found, pairs or {}),
        release=release,
        sensors=tuple(sorted({one.sensor for one in chosen})),
        bands=tuple(one.name for one in chosen),
    )
    outcomes = list(assembly.outcomes())
    patches = tuple(one for one in outcomes if isinstance(one, PatchFiles))
    problems = [*found.problems, *(one for one in outcomes if isinstance(one, Problem))]
    if patches:
        _check_presence(found, chosen, name)
    return Archive(
        name=name,
        release=release,
        source=source,
        sensors=assembly.sensors,
        bands=assembly.bands,
        patches=patches,
        problems=tuple(sorted(problems, key=lambda problem: (problem.patch, problem.message))),
        metadata_files=tuple(found.metadata_files[release]),
        has_reference_maps=any(patch.reference_map for patch in patches),
    )


def tell_release(found: Scan, name: str) -> Release:
    """Tell the release of an archive by the names of its patches.

    Raises
    ------
    ArchiveError
        If there are patches of both.

    Examples
    --------
    >>> tell_release(Scan(releases={"v1"}), "mine")
    'v1'
    """
    if len(found.releases) > 1:
        raise ArchiveError(
            f"{name} holds patches of both releases, expected one; give the folder of the release you mean"
        )
    # Radar patches without a JSON beside them are those of v2.
    return next(iter(found.releases), "v2")


def choose_bands(sensors: Sensor | Iterable[Sensor], names: Iterable[str] | None = None) -> tuple[Band, ...]:
    """Find the bands to read, in the order of the archive; `open_archive` says what the choice may be.

    Examples
    --------
    >>> [band.name for band in choose_bands("s1")]
    ['VV', 'VH']
    """
    known = {one.sensor for one in BANDS}
    wanted = {sensors} if isinstance(sensors, str) else set(sensors)
    if not wanted or wanted - known:
        raise BandError(f"sensors is {sorted(wanted)}, expected 's1', 's2' or both")
    asked = set(BANDS if names is None else find_bands(names))
    foreign = sorted(one.name for one in asked if one.sensor not in wanted)
    if names is not None and foreign:
        raise BandError(
            f"{', '.join(foreign)} cannot be read with sensors={sorted(wanted)}; add its sensor or leave it out"
        )
    chosen = tuple(one for one in BANDS if one in asked and one.sensor in wanted)
    if not chosen:
        raise BandError("bands is empty, expected at least one name; leave it out to read all bands")
    return chosen


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
    """
    pairs = {s2: s1 for s2, s1 in given.items() if s2 in found.s2 or s1 in found.s1}
    if "v1" in found.releases:
        _add(pairs, _named_by_json(source, found, set(pairs.values())))
    _add(pairs, _alone_at_place(source, found, pairs))
    return pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class _Assembly:
    """What was found, how it pairs, and what is wanted of it."""

    source: PixelSource
    """Where the files are."""

    found: Scan
    """The folders."""

    pairs: Mapping[str, str]
    """Sentinel-1 name by patch id."""

    release: Release
    """Release of the archive."""

    sensors: tuple[Sensor, ...]
    """Halves that a patch must have."""

    bands: tuple[str, ...]
    """Bands to read."""

    def outcomes(self) -> Iterator[PatchFiles | Problem]:
        """Give a patch or a problem for everything that was found, but what is reported already."""
        ids = set(self.found.s2) if "s2" in self.sensors else set()
        if "s1" in self.sensors:
            ids |= {s2 for s2, s1 in self.pairs.items() if s1 in self.found.s1}
            for s1 in self.found.s1.keys() - self.pairs.values() - self.found.twice:
                yield self._lonely(s1, "a Sentinel-2 patch that fits is not in the archive")
        for patch in sorted(ids):
            if self.found.twice.isdisjoint((patch, self.pairs.get(patch))):
                yield self._outcome(patch)
        for patch in self.found.reference_maps.keys() - self.found.s2.keys() - ids:
            yield self._lonely(patch, "it is a reference map without a patch")

    def _outcome(self, patch: str) -> PatchFiles | Problem:
        """Give one patch, or say what it lacks."""
        s1_name = self.pairs.get(patch)
        if "s2" in self.sensors and patch not in self.found.s2:
            return self._lonely(str(s1_name), f"its partner {patch} is not in the archive")
        if "s1" in self.sensors and s1_name not in self.found.s1:
            known = f"its partner {s1_name}" if s1_name else "a Sentinel-1 patch that fits"
            return self._lonely(patch, f"{known} is not in the archive")
        return self._place(parse_s2(patch), parse_s1(s1_name) if s1_name else None)

    def _place(self, s2: S2Name, s1: S1Name | None) -> PatchFiles | Problem:
        """Find the tile of a patch and put its files together."""
        tile = s2.tile or (s1.tile if s1 else self._tile_by_json(s2))
        if tile is None:
            return Problem(
                patch=s2.name,
                kind="unplaced",
                message=f"{s2.name} has an unknown tile: neither its JSON nor a partner tells it; "
                "unpack its JSON, or give the metadata that names its partner",
            )
        if s1 and (s1.tile, s1.column, s1.row) != (tile, s2.column, s2.row):
            return self._lonely(s2.name, f"it is said to pair with {s1.name}, which lies elsewhere")
        return self._files(s2, tile, s1.name if s1 else None)

    def _files(self, s2: S2Name, tile: str, s1_name: str | None) -> PatchFiles:
        """Say where each file of a patch must be."""
        origin = tile_origin(tile)
        maps = self.found.reference_maps.get(s2.name)
        return PatchFiles(
            patch=s2.name,
            s1_name=s1_name,
            release=self.release,
            tile=tile,
            column=s2.column,
            row=s2.row,
            epsg=origin.epsg,
            ulx=origin.ulx + PATCH_SIDE_M * s2.column,
            uly=origin.uly - PATCH_SIDE_M * s2.row,
            bands=self.bands,
            s2_folder=self.found.s2[s2.name] if "s2" in self.sensors else None,
            s1_folder=self.found.s1[str(s1_name)] if "s1" in self.sensors else None,
            reference_map=f"{maps}/{s2.name}_{REFERENCE_MAP}.tif" if maps is not None else None,
            # A conversion to safetensors drops them.
            has_json=self.release == "v1" and self.source.encoding == "geotiff",
        )

    def _tile_by_json(self, s2: S2Name) -> str | None:
        """Find the tile on whose grid the JSON of a v1 patch puts it."""
        if s2.name not in self.found.s2:
            return None
        path = f"{self.found.s2[s2.name]}/{s2.name}_{JSON_SUFFIX}"
        corner = tile_corner(self.source, path, column=s2.column, row=s2.row)
        return None if corner is None else _tiles_by_corner().get(corner)

    def _lonely(self, name: str, reason: str) -> Problem:
        """Report a half that cannot be used."""
        places = (self.found.s2, self.found.s1, self.found.reference_maps)
        where = next(folders[name] for folders in places if name in folders)
        message = (
            f"{self.source.locate(where)} is not used: {reason}; unpack the rest, ask for "
            "one sensor with sensors=…, or give the metadata that names its partner"
        )
        return Problem(patch=name, kind="unpaired", message=message)


def _check_presence(found: Scan, chosen: tuple[Band, ...], name: str) -> None:
    """Refuse an archive that was published or unpacked without some of the bands."""
    absent = [one.name for one in chosen if one.name not in found.bands]
    if absent:
        there = [one.name for one in BANDS if one.name in found.bands]
        raise ArchiveError(
            f"no patch below {name} has a file of {', '.join(absent)}; unpack them, or ask for "
            f"those that are there with bands={there}"
        )


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


@cache
def _tiles_by_corner() -> dict[tuple[int, float, float], str]:
    """Index the tiles of both releases by zone and upper left corner."""
    origins = {tile_origin(product.tile) for product in PRODUCTS}
    return {(origin.epsg, origin.ulx, origin.uly): origin.tile for origin in origins}
