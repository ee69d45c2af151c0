"""One pass over a source: which folder holds which half of which patch."""

from collections import defaultdict
from dataclasses import dataclass, field

from bigearth_xr.archive.layout import JSON_SUFFIX, REFERENCE_MAP, S1Name, recognize
from bigearth_xr.archive.patches import Problem
from bigearth_xr.archive.source import Folder, PixelSource
from bigearth_xr.bands import BANDS
from bigearth_xr.errors import ArchiveError
from bigearth_xr.releases import Release

__all__ = ["Scan", "release_of_list", "scan"]

_BAND_FILES = {f"{band.name}.tif": band.name for band in BANDS}
_S2_FILES = {*_BAND_FILES, JSON_SUFFIX}
_REFERENCE_FILE = f"{REFERENCE_MAP}.tif"
_METADATA_FILES: dict[str, Release] = {
    "metadata.parquet": "v2",
    "metadata_for_patches_with_snow_cloud_or_shadow.parquet": "v2",
    "train": "v1",
    "val": "v1",
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
    """Folder of each Sentinel-2 patch, by its name."""

    s1: dict[str, str] = field(default_factory=dict)
    """Folder of each Sentinel-1 patch, by its name."""

    reference_maps: dict[str, str] = field(default_factory=dict)
    """Folder of each reference map, by the name of its Sentinel-2 patch."""

    releases: set[Release] = field(default_factory=set)
    """Releases that the names and files are of."""

    bands: set[str] = field(default_factory=set)
    """Bands that at least one patch has a file of."""

    twice: set[str] = field(default_factory=set)
    """Names of patches found in more than one place."""

    problems: list[Problem] = field(default_factory=list)
    """What gives no patch."""

    metadata_files: dict[Release, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Parquets and lists, by the release whose they are."""


def scan(source: PixelSource) -> Scan:
    """Sort every folder of a source by what its name and its files say.

    Raises
    ------
    ArchiveError
        If no folder bears the name of a patch.

    Examples
    --------
    >>> from bigearth_xr.archive.source import FolderSource
    >>> from bigearth_xr.testing import write_archive
    >>> found = scan(FolderSource(write_archive(getfixture("tmp_path") / "v2", pairs=3)))
    >>> len(found.s2), len(found.s1), len(found.reference_maps), found.releases
    (3, 3, 3, {'v2'})
    """
    found = Scan()
    for folder in source.folders():
        name = recognize(folder.name)
        if name is None:
            _note_other(found, source, folder)
            continue
        contents = {file.removeprefix(f"{name.name}_") for file in folder.files}
        found.bands.update(_BAND_FILES[file] for file in contents & _BAND_FILES.keys())
        if isinstance(name, S1Name):
            # Both releases name these alike, but only v1 has the JSON.
            found.releases.update(("v1",) if JSON_SUFFIX in contents else ())
            _note_place(found, source, found.s1, folder)
            continue
        found.releases.add(name.release)
        if _REFERENCE_FILE in contents:
            _note_place(found, source, found.reference_maps, folder)
        if contents & _S2_FILES or _REFERENCE_FILE not in contents:
            _note_place(found, source, found.s2, folder)
    for refusal in source.refusals():
        found.problems.append(Problem(patch=refusal.member, kind=refusal.kind, message=refusal.message))
    if not (found.s2 or found.s1 or found.reference_maps):
        raise ArchiveError(
            f"no patch folder below {source.locate('')}; looked for names like "
            "S2A_MSIL2A_20170613T101031_87_48 (v1), "
            "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_57 (v2) and "
            "S1A_IW_GRDH_1SDV_20170613T165043_33UUP_87_48; give a folder above them"
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


def _note_place(found: Scan, source: PixelSource, places: dict[str, str], folder: Folder) -> None:
    """Note where a half lies, once."""
    name = folder.name
    if name not in places:
        places[name] = folder.path
        return
    found.twice.add(name)
    message = (
        f"{name} is there twice: {source.locate(places[name])} and {source.locate(folder.path)}; "
        "neither is read, remove one of them"
    )
    found.problems.append(Problem(patch=name, kind="duplicate", message=message))


def _note_other(found: Scan, source: PixelSource, folder: Folder) -> None:
    """Note the metadata in a folder that is no patch, and files that should lie in one."""
    stray = []
    for file in folder.files:
        release = release_of_list(file)
        if release is not None:
            found.metadata_files[release].append(f"{folder.path}/{file}".lstrip("/"))
        elif file.endswith((".tif", JSON_SUFFIX)):
            stray.append(file)
    if stray:
        message = (
            f"{source.locate(folder.path)} does not bear the name of a patch, but holds "
            f"{len(stray)} of its files, first {stray[0]}; rename the folder or move the files"
        )
        found.problems.append(Problem(patch=folder.name, kind="stray", message=message))
