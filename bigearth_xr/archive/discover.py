"""Opens an archive: finds its patches and pairs them, and says what it could not use."""

from collections.abc import Iterable, Mapping
from os import PathLike

from bigearth_xr.archive.assembly import Assembly
from bigearth_xr.archive.containers import Paths, open_source
from bigearth_xr.archive.pairing import pair_up
from bigearth_xr.archive.patches import Archive, PatchFiles, Problem
from bigearth_xr.archive.scan import Scan, scan
from bigearth_xr.archive.source import PixelSource
from bigearth_xr.archive.split import SplitSource
from bigearth_xr.bands import BANDS, Band, Sensor
from bigearth_xr.bands import bands as find_bands
from bigearth_xr.errors import ArchiveError, BandError
from bigearth_xr.releases import Release

__all__ = ["choose_bands", "open_archive", "survey_archive", "tell_release"]


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
    assembly = Assembly(
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


def _check_presence(found: Scan, chosen: tuple[Band, ...], name: str) -> None:
    """Refuse an archive that was published or unpacked without some of the bands."""
    absent = [one.name for one in chosen if one.name not in found.bands]
    if absent:
        there = [one.name for one in BANDS if one.name in found.bands]
        raise ArchiveError(
            f"no patch below {name} has a file of {', '.join(absent)}; unpack them, or ask for "
            f"those that are there with bands={there}"
        )
