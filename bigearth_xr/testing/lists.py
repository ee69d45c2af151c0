"""The tables beside the pixels: published lists of v1, parquets of v2."""

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from bigearth_xr.archive import parse_s2
from bigearth_xr.errors import MetadataError
from bigearth_xr.grid import tile_origin
from bigearth_xr.labels import group_labels
from bigearth_xr.products import Product, product_of
from bigearth_xr.releases import SPLITS, Release, season_of
from bigearth_xr.testing.container import File
from bigearth_xr.testing.pair import Pair, corner_of, draw_labels

_SEASONS = {
    "winter": "Winter",
    "spring": "Spring",
    "summer": "Summer",
    "autumn": "Fall",
}

_LIST_BY_SPLIT = {"train": "train", "validation": "val", "test": "test"}


def encode_lists(pairs: Sequence[Pair], release: Release) -> list[File]:
    """Encode what is published beside the pixels: CSVs in ``lists`` (v1), or two parquets (v2).

    Returns
    -------
    list of File
        Paths below the root of the archive, and contents; sorted.
    """
    return sorted(_v1_lists(pairs) if release == "v1" else _v2_tables(pairs))


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
    from bigearth_xr.table import read_lists

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


def _v1_lists(pairs: Sequence[Pair]) -> list[File]:
    """Encode splits, exclusions, countries and products, as the group and its tools publish them."""
    excluded = {
        "patches_with_seasonal_snow": [pair.patch for pair in pairs if pair.has_snow],
        "patches_with_cloud_and_shadow": [pair.patch for pair in pairs if pair.has_cloud],
        "patches_with_no_19_class_targets": [pair.patch for pair in pairs if not pair.labels_19],
    }
    left_out = {patch for patches in excluded.values() for patch in patches}
    recommended = [(pair.patch, pair.split) for pair in pairs if pair.patch not in left_out]
    by_split = {
        _LIST_BY_SPLIT[split]: [patch for patch, its_split in recommended if its_split == split] for split in SPLITS
    }
    header = ("s1_name", "s2_name", "country", "season")
    places = ((pair.s1_name, pair.patch, pair.country, _season(pair)) for pair in pairs)
    return [
        *(_csv(name, ((patch,) for patch in patches)) for name, patches in (excluded | by_split).items()),
        _csv("s1_s2_name_country_season", (header, *places)),
        _csv("tile_names_and_links", ((pair.patch, pair.product.name, "") for pair in pairs)),
    ]


def _v2_tables(pairs: Sequence[Pair]) -> list[File]:
    """Encode metadata.parquet and the parquet of patches with snow, cloud or shadow."""
    excluded = [pair for pair in pairs if pair.has_snow or pair.has_cloud]
    recommended = [pair for pair in pairs if not (pair.has_snow or pair.has_cloud)]
    return [
        ("metadata.parquet", _parquet(recommended)),
        ("metadata_for_patches_with_snow_cloud_or_shadow.parquet", _parquet(excluded)),
    ]


def _parquet(pairs: Iterable[Pair]) -> bytes:
    """Encode one of the two tables, in the order of the real one."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [_parquet_row(pair) for pair in sorted(pairs, key=lambda pair: pair.patch)]
    text, flag = pa.string(), pa.bool_()
    schema = pa.schema(
        {
            "patch_id": text,
            "labels": pa.list_(text),
            "split": text,
            "country": text,
            "s1_name": text,
            "s2v1_name": text,
            "contains_seasonal_snow": flag,
            "contains_cloud_or_shadow": flag,
        }
    )
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema), file, compression="zstd")
    return file.getvalue()


def _parquet_row(pair: Pair) -> dict[str, object]:
    """What either table says of a pair."""
    return {
        "patch_id": pair.patch,
        "labels": pair.labels_19,
        "split": pair.split,
        "country": pair.country,
        "s1_name": pair.s1_name,
        "s2v1_name": pair.v1_name,
        "contains_seasonal_snow": pair.has_snow,
        "contains_cloud_or_shadow": pair.has_cloud,
    }


def _csv(name: str, rows: Iterable[tuple[str, ...]]) -> File:
    """Encode lines; no field has a comma."""
    return f"lists/{name}.csv", "".join(f"{','.join(row)}\n" for row in rows).encode()


def _season(pair: Pair) -> str:
    """Give the season as v1 spells it."""
    month = pair.product.date.astype("datetime64[M]").astype(int) % 12 + 1
    return _SEASONS[season_of(int(month))]


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
