"""The tables beside the pixels: published lists of v1, parquets of v2."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from bigearth_xr.grid import split_by_position
from bigearth_xr.releases import SPLITS, season_of
from bigearth_xr.testing.pair import SyntheticPair

__all__ = ["write_v1_lists", "write_v2_tables"]

_SEASONS = {
    "winter": "Winter",
    "spring": "Spring",
    "summer": "Summer",
    "autumn": "Fall",
}
_LIST_BY_SPLIT = {"train": "train", "validation": "val", "test": "test"}


def write_v1_lists(root: Path, pairs: Sequence[SyntheticPair]) -> None:
    """Write splits, exclusions, countries and products, as the group and its tools publish them.

    Examples
    --------
    >>> from bigearth_xr.testing import synthetic_pair
    >>> root = getfixture("tmp_path")
    >>> write_v1_lists(root, [synthetic_pair(0, release="v1")])
    >>> (root / "lists" / "s1_s2_name_country_season.csv").read_text().splitlines()[0]
    's1_name,s2_name,country,season'
    """
    folder = root / "lists"
    folder.mkdir(exist_ok=True)
    excluded = {
        "patches_with_seasonal_snow": [pair for pair in pairs if pair.has_snow],
        "patches_with_cloud_and_shadow": [pair for pair in pairs if pair.has_cloud],
        "patches_with_no_19_class_targets": [pair for pair in pairs if not pair.labels_19],
    }
    for name, some in excluded.items():
        _write_csv(folder / f"{name}.csv", ((pair.patch,) for pair in some))
    left_out = {pair.patch for some in excluded.values() for pair in some}
    for split in SPLITS:
        some = [pair for pair in pairs if _split(pair) == split and pair.patch not in left_out]
        _write_csv(folder / f"{_LIST_BY_SPLIT[split]}.csv", ((pair.patch,) for pair in some))
    header = ("s1_name", "s2_name", "country", "season")
    places = ((pair.s1_name, pair.patch, pair.country, _season(pair)) for pair in pairs)
    _write_csv(folder / "s1_s2_name_country_season.csv", (header, *places))
    products = ((pair.patch, pair.product.name, "") for pair in pairs)
    _write_csv(folder / "tile_names_and_links.csv", products)


def write_v2_tables(root: Path, pairs: Sequence[SyntheticPair]) -> None:
    """Write metadata.parquet and the parquet of patches with snow, cloud or shadow.

    Examples
    --------
    >>> import pyarrow.parquet as pq
    >>> from bigearth_xr.testing import synthetic_pair
    >>> root = getfixture("tmp_path")
    >>> write_v2_tables(root, [synthetic_pair(0)])
    >>> pq.read_table(root / "metadata.parquet").column_names[:3]
    ['patch_id', 'labels', 'split']
    """
    excluded = [pair for pair in pairs if pair.has_snow or pair.has_cloud]
    recommended = [pair for pair in pairs if not (pair.has_snow or pair.has_cloud)]
    _write_parquet(root / "metadata.parquet", recommended)
    _write_parquet(root / "metadata_for_patches_with_snow_cloud_or_shadow.parquet", excluded)


def _write_parquet(path: Path, pairs: Iterable[SyntheticPair]) -> None:
    """Write one of the two tables, in the order of the real one."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {
            "patch_id": pair.patch,
            "labels": pair.labels_19,
            "split": _split(pair),
            "country": pair.country,
            "s1_name": pair.s1_name,
            "s2v1_name": pair.v1_name,
            "contains_seasonal_snow": pair.has_snow,
            "contains_cloud_or_shadow": pair.has_cloud,
        }
        for pair in sorted(pairs, key=lambda pair: pair.patch)
    ]
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
    pq.write_table(pa.Table.from_pylist(rows, schema), path, compression="zstd")


def _write_csv(path: Path, rows: Iterable[tuple[str, ...]]) -> None:
    """Write lines; no field has a comma."""
    path.write_text("".join(f"{','.join(row)}\n" for row in rows))


def _split(pair: SyntheticPair) -> str:
    """Give the split by the rule of v2."""
    return str(split_by_position(pair.column, pair.row))


def _season(pair: SyntheticPair) -> str:
    """Give the season as v1 spells it."""
    month = pair.product.date.astype("datetime64[M]").astype(int) % 12 + 1
    return _SEASONS[season_of(int(month))]
