"""The properties of an item: those of STAC and its extensions; ours as a table, with how a collection sums them up."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bigearth_xr.bands import PATCH_SIDE_M

Columns = dict[str, pa.Array]
"""Columns of some rows, by name."""

Same = Callable[[object], pa.Array]
"""Gives a column of one value."""

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


def common_properties(columns: Columns, same: Same) -> Columns:
    """Properties that STAC and its extensions define."""
    ulx, uly = columns["ulx"].to_numpy(), columns["uly"].to_numpy()
    bbox = np.stack([ulx, uly - PATCH_SIDE_M, ulx + PATCH_SIDE_M, uly], axis=1).astype(np.float64)
    offsets = pa.array(np.arange(len(bbox) + 1, dtype=np.int32) * 4)
    return {
        "datetime": columns["s2_time"].cast(pa.timestamp("ms")).cast(pa.timestamp("ms", tz="UTC")),
        "platform": columns["s2_platform"],
        "constellation": same("sentinel-2"),
        "instruments": same(["msi"]),
        "gsd": same(10),
        "proj:code": joined("EPSG:", columns["epsg"].cast(pa.string())),
        "proj:bbox": pa.ListArray.from_arrays(offsets, pa.array(bbox.ravel())),
        "grid:code": joined("MGRS-", columns["tile"]),
    }


def relative_orbits(table: pa.Table) -> pa.Array | None:
    """Tell the relative orbit of Sentinel-2 from the names of patches: those of v2 have it, those of v1 do not."""
    orbits = pc.struct_field(pc.extract_regex(table["patch"], r"_R(?P<orbit>\d{3})_T"), "orbit")
    return None if orbits.null_count else orbits.cast(pa.int16()).combine_chunks()


def joined(first: pa.Array | str, second: pa.Array | str) -> pa.Array:
    """Texts of two columns, or of a column and one text, put together."""
    return pc.binary_join_element_wise(first, second, "")
