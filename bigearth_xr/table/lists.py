"""The published lists of a release: who is paired with whom, which split, which country, what to leave out.

v1 comes as CSV files, one name a row; v2 as two parquet files that also hold the labels.
"""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from bigearth_xr.errors import MetadataError
from bigearth_xr.labels import Release
from bigearth_xr.table.lists_v1 import V1_PAIRS, csv_at, read_v1, v1_files
from bigearth_xr.table.lists_v2 import V2_EXCLUDED, V2_RECOMMENDED, is_parts, read_v2
from bigearth_xr.table.remembered import remembered

__all__ = ["V1_PAIRS", "V2_EXCLUDED", "V2_RECOMMENDED", "find_lists", "read_lists"]

Columns = dict[str, pa.Array]


def find_lists(folder: Path) -> Release | None:
    """Tell which release's lists a folder holds, if any; v2 where it holds both.

    Examples
    --------
    >>> find_lists(getfixture("tmp_path")) is None
    True
    """
    if (folder / V2_RECOMMENDED).exists() or (folder / V2_EXCLUDED).exists():
        return "v2"
    return "v1" if csv_at(folder, V1_PAIRS) else None


def read_lists(places: Sequence[Path], version: Release | None = None) -> tuple[Release, Columns]:
    """Read what a release's lists say of each pair.

    Parameters
    ----------
    places
        One folder of lists, or v2 parquets: files, or folders of parts.
    version
        The release, where the folder holds the lists of both.

    Returns
    -------
    tuple
        The release, and arrays of one length by column name, as `bigearth_xr.table.assemble` takes them.

    Raises
    ------
    MetadataError
        If there are no lists, a column is missing, or a line or value cannot be understood; with its place.

    Examples
    --------
    >>> read_lists([getfixture("tmp_path")])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    bigearth_xr.errors.MetadataError: ...: no lists found; expected metadata.parquet (v2) or ...
    """
    missing = [place for place in places if not place.exists()]
    if missing:
        raise MetadataError(f"{missing[0]}: no such folder or parquet of lists; check the path")
    if all(place.is_file() or is_parts(place) for place in places):
        return remembered(_parquet_files(places), "v2", lambda: ("v2", read_v2(places)))
    if len(places) > 1:
        raise MetadataError(f"{len(places)} folders of lists given; give one folder, or parquet files")
    return _read_folder(places[0], version)


def _read_folder(folder: Path, version: Release | None) -> tuple[Release, Columns]:
    release = version or find_lists(folder)
    if release == "v2":
        parquets = [folder / name for name in (V2_RECOMMENDED, V2_EXCLUDED) if (folder / name).exists()]
        empty = [parquet for parquet in parquets if not (parquet.is_file() or is_parts(parquet))]
        if empty:
            raise MetadataError(f"{empty[0]}: a folder without a part of parquet; expected part.0.parquet or the like")
        if parquets:
            return remembered(_parquet_files(parquets), "v2", lambda: ("v2", read_v2(parquets)))
    elif release == "v1" and csv_at(folder, V1_PAIRS):
        return remembered({file.name: file for file in v1_files(folder)}, "v1", lambda: ("v1", read_v1(folder)))
    raise MetadataError(
        f"{folder}: no lists{f' of {version}' if version else ''} found; expected {V2_RECOMMENDED} (v2) or "
        f"{V1_PAIRS}.csv (v1){_what_else(folder)}; the extra 'sample' brings those of v1, the v2 archive its own"
    )


def _parquet_files(parquets: Sequence[Path]) -> dict[str, Path]:
    """Every file of parquets, by its path in them: folders of parts name columns."""
    return {
        f"{place} {file.relative_to(parquet.parent)}": file
        for place, parquet in enumerate(parquets)
        for file in ([parquet] if parquet.is_file() else sorted(one for one in parquet.rglob("*") if one.is_file()))
    }


def _what_else(folder: Path) -> str:
    """Name a list that is there in another form."""
    saved = csv_at(folder, "metadata")
    return f", and not {saved.name}, in which labels are no lists any more" if saved else ""
