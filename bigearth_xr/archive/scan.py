"""One pass over a source: which folder holds which half of which patch."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from bigearth_xr.archive.names import (
    JSON_SUFFIX,
    REFERENCE_MAP,
    S1Name,
    S2Name,
    archive_ending,
    may_be_of_patch,
    recognize,
)
from bigearth_xr.archive.patch_files import Problem, sum_up
from bigearth_xr.archive.source import Folder, PixelSource
from bigearth_xr.bands import BANDS, S1_BANDS, S2_BANDS
from bigearth_xr.errors import ArchiveError
from bigearth_xr.releases import Release

__all__ = ["Scan", "release_of_list", "scan"]

_BAND_FILES = {f"{band.name}.tif": band.name for band in BANDS}
_REFERENCE_FILE = f"{REFERENCE_MAP}.tif"
_S1_FILES = {JSON_SUFFIX, *(f"{band.name}.tif" for band in S1_BANDS)}
_S2_FILES = {JSON_SUFFIX, _REFERENCE_FILE, *(f"{band.name}.tif" for band in S2_BANDS)}
# macOS packs one beside every file, with what only macOS knows of it.
_APPLE_DOUBLE = "._"
_METADATA_FILES: dict[str, Release] = {
    "metadata.parquet": "v2",
    "metadata_for_patches_with_snow_cloud_or_shadow.parquet": "v2",
    "train": "v1",
    "val": "v1",
    "validation": "v1",
    "test": "v1",
    "patches_with_seasonal_snow": "v1",
    "patches_with_cloud_and_shadow": "v1",
    "patches_with_no_19_class_targets": "v1",
    "s1_s2_name_country_season": "v1",
    "tile_names_and_links": "v1",
}
"""Release by name; the lists of v1 end in .csv, whether compressed or not."""


@dataclass(slots=True, kw_only=True)
class Scan:
    """What a pass over a source found; grows while the pass runs."""

    s2: dict[str, str] = field(default_factory=dict)
    """Folder of each Sentinel-2 patch, by its name; the first, where its files lie in several."""

    s1: dict[str, str] = field(default_factory=dict)
    """Folder of each Sentinel-1 patch, likewise."""

    reference_maps: dict[str, str] = field(default_factory=dict)
    """Folder of each reference map, by the name of its Sentinel-2 patch."""

    rest: dict[str, dict[str, str]] = field(default_factory=dict)
    """What lies elsewhere of patches that lie in several folders, as `SplitSource` has it."""

    spelled: dict[str, Mapping[str, str]] = field(default_factory=dict)
    """How the files of a folder are called that the archive calls otherwise, such as ``B02.TIFF``, likewise."""

    releases: set[Release] = field(default_factory=set)
    """Releases that the names and files are of."""

    bands: set[str] = field(default_factory=set)
    """Bands that at least one patch has a file of."""

    twice: set[str] = field(default_factory=set)
    """Names of patches of which a file was found in more than one place."""

    problems: list[Problem] = field(default_factory=list)
    """What gives no patch."""

    metadata_files: dict[Release, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Parquets and lists, by the release whose they are."""


def scan(source: PixelSource) -> Scan:
    """Sort every folder of a source by what its name and its files say.

    Raises
    ------
    ArchiveError
        If no folder bears the name of a patch and holds one of its files.
    """
    found = Scan()
    # Keyed by the very texts that the places are: a second million of them would be 100 MB.
    held: dict[str, frozenset[str]] = {}
    for folder in source.folders():
        name = recognize(folder.name)
        files, spelled = _own_files(name, folder)
        if name is None or not files:
            _note_other(found, source, folder)
            continue
        if spelled:
            _note_spelling(found, source, folder, spelled)
        _note_kind(found, name, files)
        again = files & held.get(name.name, frozenset())
        if again:
            _note_copy(found, source, folder, min(again))
            continue
        held[name.name] = _shared(files | held.get(name.name, frozenset()))
        _note_place(found, name, folder.path, files)
    found.problems += [Problem(patch=one.member, kind=one.kind, message=one.message) for one in source.refusals()]
    if not held:
        raise ArchiveError(
            f"no patch folder below {source.locate('')}; looked for names like "
            "S2A_MSIL2A_20170613T101031_87_48 (v1), "
            "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_57 (v2) and "
            f"S1A_IW_GRDH_1SDV_20170613T165043_33UUP_87_48; give a folder above them{sum_up(found.problems)}"
        )
    return found


def release_of_list(file: str) -> Release | None:
    """Tell by the name of a file which release it is a list of, parquet or CSV; None of any other file.

    Examples
    --------
    >>> release_of_list("metadata.parquet"), release_of_list("train.csv.bz2"), release_of_list("README")
    ('v2', 'v1', None)
    """
    if file.endswith(".parquet"):
        return _METADATA_FILES.get(file)
    name, is_list, _ = file.partition(".csv")
    return _METADATA_FILES.get(name) if is_list else None


def _own_files(name: S1Name | S2Name | None, folder: Folder) -> tuple[frozenset[str], list[tuple[str, str]]]:
    """Files in a folder that the patch of its name may have, without that name; those that it spells otherwise."""
    if name is None:
        return frozenset(), []
    own, prefix = _S1_FILES if isinstance(name, S1Name) else _S2_FILES, f"{name.name}_"
    endings = {file[len(prefix) :] for file in folder.files if file.startswith(prefix)}
    files = own & endings
    if len(files) == len(endings):
        return _shared(frozenset(files)), []
    spelled = [(archive_ending(ending) or "", ending) for ending in sorted(endings - files)]
    spelled = [(file, ending) for file, ending in spelled if file in own]
    return _shared(frozenset(files.union(file for file, _ in spelled))), spelled


@lru_cache(maxsize=1024)
def _shared(files: frozenset[str]) -> frozenset[str]:
    """Give one set for all that are equal: a million patches have the same few."""
    return files


@lru_cache(maxsize=1024)
def _shared_spelling(spelled: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    """Give one mapping for all that are equal, likewise."""
    return dict(spelled)


def _note_spelling(found: Scan, source: PixelSource, folder: Folder, spelled: list[tuple[str, str]]) -> None:
    """Note files that are called otherwise than in the archive, and two of them that are one file there."""
    name = folder.name
    first: dict[str, str] = {}
    found.spelled[folder.path] = _shared_spelling(tuple(spelled))
    for file, ending in spelled:
        other = first.setdefault(file, file if f"{name}_{file}" in folder.files else ending)
        if other != ending:
            found.twice.add(name)
            places = (source.locate(f"{folder.path}/{name}_{one}") for one in (other, ending))
            message = f"{name} has its {file} twice: {' and '.join(places)}; neither is read, remove one of them"
            found.problems.append(Problem(patch=name, kind="duplicate", message=message))


def _note_place(found: Scan, name: S1Name | S2Name, path: str, files: frozenset[str]) -> None:
    """Note where a half lies, or the rest of it."""
    if _REFERENCE_FILE in files:
        found.reference_maps[name.name] = path
    pixels = files - {_REFERENCE_FILE}
    if pixels:
        places = found.s1 if isinstance(name, S1Name) else found.s2
        first = places.setdefault(name.name, path)
        if first != path:
            found.rest.setdefault(first, {}).update(dict.fromkeys(pixels, path))


def _note_copy(found: Scan, source: PixelSource, folder: Folder, file: str) -> None:
    """Note a folder that holds a file of its patch once more."""
    name = folder.name
    if file == _REFERENCE_FILE:
        first = found.reference_maps[name]
    else:
        first = found.s1.get(name) or found.s2[name]
        first = found.rest.get(first, {}).get(file, first)
    found.twice.add(name)
    message = (
        f"{name} is there twice: {source.locate(first)} and {source.locate(folder.path)} both hold its {file}; "
        "neither is read, remove one of them"
    )
    found.problems.append(Problem(patch=name, kind="duplicate", message=message))


def _note_kind(found: Scan, name: S1Name | S2Name, files: frozenset[str]) -> None:
    """Note the bands that a folder of a patch has, and the release that it is of, as far as it tells."""
    found.bands.update(_BAND_FILES[file] for file in files & _BAND_FILES.keys())
    if isinstance(name, S2Name):
        found.releases.add(name.release)
    elif JSON_SUFFIX in files:
        # Both releases name these alike, but only v1 has the JSON.
        found.releases.add("v1")


def _note_other(found: Scan, source: PixelSource, folder: Folder) -> None:
    """Note the metadata in a folder that holds no patch, and files that should lie in another one."""
    stray = []
    for file in folder.files:
        release = release_of_list(file)
        if release is not None:
            found.metadata_files[release].append(f"{folder.path}/{file}".lstrip("/"))
        elif may_be_of_patch(file) and not file.startswith(_APPLE_DOUBLE):
            stray.append(file)
    if stray:
        is_patch = recognize(folder.name) is not None
        fault = "bears the name of another patch than" if is_patch else "does not bear the name of a patch, but holds"
        message = (
            f"{source.locate(folder.path)} {fault} {len(stray)} of its files, first {stray[0]}; "
            "rename the folder or move the files"
        )
        found.problems.append(Problem(patch=folder.name, kind="stray", message=message))
