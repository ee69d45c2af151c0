"""The table: one row per patch pair, in the order of the store, as Arrow.

It feeds both sides of the project: the store takes its coordinates from it, STAC its items.
"""

from bigearth_xr.table.assembly import FoundLabels, assemble, from_archive, from_lists, read_labels
from bigearth_xr.table.file import is_table, read, write
from bigearth_xr.table.lists import read_lists
from bigearth_xr.table.schema import SCHEMA, digest, extends, multi_hot, release_of

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
