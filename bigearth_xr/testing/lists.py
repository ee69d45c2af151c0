"""The tables beside the pixels: published lists of v1, parquets of v2."""

import io
from collections.abc import Iterable, Sequence

from bigearth_xr.releases import SPLITS, Release, season_of
from bigearth_xr.testing.container import File
from bigearth_xr.testing.pair import Pair

__all__ = ["encode_lists"]

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

    Examples
    --------
    >>> from bigearth_xr.testing import synthetic_pair
    >>> for path, data in encode_lists([synthetic_pair(0)], "v2"):
    ...     print(path, data[:4])
    metadata.parquet b'PAR1'
    metadata_for_patches_with_snow_cloud_or_shadow.parquet b'PAR1'
    """
    return sorted(_v1_lists(pairs) if release == "v1" else _v2_tables(pairs))


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

    rows = [
        {
            "patch_id": pair.patch,
            "labels": pair.labels_19,
            "split": pair.split,
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
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema), file, compression="zstd")
    return file.getvalue()


def _csv(name: str, rows: Iterable[tuple[str, ...]]) -> File:
    """Encode lines; no field has a comma."""
    return f"lists/{name}.csv", "".join(f"{','.join(row)}\n" for row in rows).encode()


def _season(pair: Pair) -> str:
    """Give the season as v1 spells it."""
    month = pair.product.date.astype("datetime64[M]").astype(int) % 12 + 1
    return _SEASONS[season_of(int(month))]
