"""The properties of an item that are ours, as a table: where each comes from and how the collection sums it up."""

from dataclasses import dataclass
from typing import Literal

PREFIX = "bigearth:"
"""What the names of our own properties begin with."""

STORE_UUID = f"{PREFIX}store_uuid"
"""Which store an item's row is a row of, and the collection's asset ``zarr`` leads to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Property:
    """One property of an item, copied from a column of the table; left out where the column is null."""

    name: str
    """Name without `PREFIX`."""

    column: str
    """Column of the table."""

    summary: Literal["values", "range", "none"]
    """What the collection's summaries say of it: every value that occurs, the lowest and highest, or nothing."""

    description: str
    """What it says, for a reader."""

    @property
    def key(self) -> str:
        """Name in an item, e.g. ``"bigearth:country"``."""
        return PREFIX + self.name


def _property(name: str, summary: Literal["values", "range", "none"], description: str, column: str = "") -> Property:
    """Write a row of the table; most properties bear their column's name."""
    return Property(name=name, column=column or name, summary=summary, description=description)


PROPERTIES: tuple[Property, ...] = (
    _property("row", "range", "row of the table, which is the row of the store"),
    _property("store_uuid", "none", "identity of the store whose row it is; left out where only a table is known"),
    _property("country", "values", "country"),
    _property("season", "values", "meteorological season of the Sentinel-2 acquisition"),
    _property("split", "values", "published split: train, validation or test"),
    _property("recommended", "values", "among the patches recommended for use"),
    _property("seasonal_snow", "values", "listed as covered by seasonal snow"),
    _property("cloud_or_shadow", "values", "listed as under cloud or its shadow"),
    _property("labels_19", "values", "land-cover classes, nomenclature of 19; empty where a patch has none"),
    _property("labels_43", "values", "land-cover classes, nomenclature of 43; empty where a patch has none"),
    _property("tile_column", "range", "column in the tile's grid of patches, 0 in the west", "column"),
    _property("tile_row", "range", "row in the tile's grid of patches, 0 in the north"),
    _property("s1_name", "none", "name of the Sentinel-1 patch of the pair"),
    _property("s1_datetime", "range", "when Sentinel-1 saw the patch", "s1_time"),
    _property("s2v1_name", "none", "name of the Sentinel-2 patch in release v1"),
)
"""Our properties, in the order in which an item shows them."""
