"""The table: one row per patch pair, in the order of the store, as Arrow.

It feeds both sides of the project: the store takes its coordinates from it, STAC its items.
"""

from os import PathLike
from os.path import expanduser
from pathlib import Path

import pyarrow as pa

from bigearth_xr.labels import Release
from bigearth_xr.table.assembly import assemble
from bigearth_xr.table.encode import multi_hot
from bigearth_xr.table.file import is_table, read, write
from bigearth_xr.table.found import FoundLabels, from_archive, read_labels
from bigearth_xr.table.lists import read_lists
from bigearth_xr.table.schema import SCHEMA, digest, extends, release_of

__all__ = [
    "SCHEMA",
    "FoundLabels",
    "assemble",
    "digest",
    "extends",
    "from_archive",
    "from_lists",
    "is_table",
    "multi_hot",
    "read",
    "read_labels",
    "read_lists",
    "release_of",
    "write",
]


def from_lists(folder: str | PathLike[str], version: Release | None = None) -> pa.Table:
    """Build the table of a whole release from its published lists, without any pixel.

    Parameters
    ----------
    folder
        Where the lists lie: for v1 the CSVs of names, splits, snow, cloud and missing 19-class labels
        (plain, ``.bz2`` or ``.gz``), for v2 ``metadata.parquet`` and the parquet of patches with snow,
        cloud or shadow, each a file or a folder of parts. One parquet may be named instead of its folder. Patches
        are found by the form of their names, in whatever columns, separators and types (docs/table.md).
    version
        ``"v1"`` or ``"v2"``; by default whichever lists the folder holds.

    Returns
    -------
    pyarrow.Table
        Columns of `SCHEMA`, in the row order of the store. v1 lists hold no labels: these are null, but
        empty for the patches listed as without a 19-class label.

    Raises
    ------
    MetadataError
        If a list is missing, lacks a column, or holds what cannot be understood; with file and line, or column and row.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> archive = bex.testing.write_archive(getfixture("tmp_path") / "archive", pairs=3, version="v2")
    >>> from_lists(archive).column_names[:4]
    ['patch', 's1_name', 's2v1_name', 'tile']
    """
    return assemble(*read_lists([Path(expanduser(folder))], version))
