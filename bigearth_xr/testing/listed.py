"""Pairs under the names of a real release, as its published lists give them."""

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from bigearth_xr.archive.layout import parse_s2
from bigearth_xr.errors import MetadataError
from bigearth_xr.labels import group_labels
from bigearth_xr.products import Product, product_of
from bigearth_xr.releases import Release
from bigearth_xr.testing.pair import corner_of, draw_labels
from bigearth_xr.tiles import tile_origin

__all__ = ["ListedPair", "listed_pairs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedPair:
    """One patch pair of a real release."""

    patch: str
    """Patch id in the release of the lists."""

    v1_name: str
    """Patch id in v1."""

    s1_name: str
    """Name of the Sentinel-1 partner."""

    tile: str
    """MGRS tile."""

    column: int
    """Patches from the western border of the tile."""

    row: int
    """Patches from the northern border of the tile."""

    labels_43: tuple[str, ...]
    """Classes of the 43, in paper order: drawn, as no list holds them; none in v2."""

    labels_19: tuple[str, ...]
    """Classes of the 19, sorted by name: those that were drawn in v1, real in v2."""

    split: str
    """Split, ``""`` where v1 leaves the pair out."""

    country: str
    """Country."""

    has_snow: bool
    """Whether the lists call it snowy."""

    has_cloud: bool
    """Whether the lists call it cloudy."""

    @property
    def product(self) -> Product:
        """Sentinel-2 product that it was cut from."""
        return product_of(self.tile, str(parse_s2(self.patch).date))

    @property
    def epsg(self) -> int:
        """UTM zone of the tile."""
        return tile_origin(self.tile).epsg

    @property
    def corner(self) -> tuple[int, int]:
        """Easting and northing of the upper left corner, metres."""
        return corner_of(self.tile, self.column, self.row)


def listed_pairs(
    lists: str | PathLike[str], *, pairs: int, version: Release = "v2", first: int = 0, seed: int = 0
) -> list[ListedPair]:
    """Read pairs from the published lists of a release, in their order.

    Parameters
    ----------
    lists
        Folder of the lists of v1 or of the parquets of v2, or one parquet.
    pairs
        How many.
    version
        Release whose lists to read.
    first
        How many to leave out before.
    seed
        Another seed draws other labels of the 43 classes, which the lists of v1 do not hold.

    Raises
    ------
    MetadataError
        If there are no such lists, or too few pairs in them.

    Examples
    --------
    >>> from bigearth_xr.testing import write_archive
    >>> lists = write_archive(getfixture("tmp_path") / "v2", pairs=5)
    >>> [pair.s1_name for pair in listed_pairs(lists, pairs=1, first=3)]
    ['S1A_IW_GRDH_1SDV_20170613T044300_33UUP_69_77']
    """
    from bigearth_xr.table.lists import read_lists

    _, columns = read_lists([Path(lists)], version)
    listed = len(columns["patch"])
    if first + pairs > listed:
        raise MetadataError(
            f"{lists} names {listed:,} pairs, expected {first + pairs:,} for pairs={pairs} from first={first}; "
            "ask for fewer"
        )
    rows = zip(*(column.slice(first, pairs).to_pylist() for column in columns.values()), strict=True)
    return [
        _pair(dict(zip(columns, row, strict=True)), version, place, seed) for place, row in enumerate(rows, start=first)
    ]


def _pair(row: Mapping[str, Any], version: Release, place: int, seed: int) -> ListedPair:
    """Complete a row of the lists by what they do not say."""
    labels_43: tuple[str, ...] = ()
    if version == "v1":
        # An empty list of labels stands for a patch of which the 19 classes keep nothing.
        labels_43 = draw_labels(place, seed, drops_all=row["labels_19"] is not None)
    return ListedPair(
        patch=row["patch"],
        v1_name=row.get("s2v1_name", row["patch"]),
        s1_name=row["s1_name"],
        tile=row["tile"],
        column=row["column"],
        row=row["tile_row"],
        labels_43=labels_43,
        labels_19=tuple(sorted(group_labels(labels_43) if version == "v1" else row["labels_19"])),
        split=row["split"] or "",
        country=row["country"],
        has_snow=row["seasonal_snow"],
        has_cloud=row["cloud_or_shadow"],
    )
