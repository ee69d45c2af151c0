"""The published lists of a release: who is paired with whom, which split, which country, what to leave out.

v1 comes as CSV files, one name a row; v2 as two parquet files that also hold the labels.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from bigearth_xr.errors import MetadataError
from bigearth_xr.labels import Release, label_names

__all__ = ["find_lists", "read_lists"]

V1_PAIRS = "s1_s2_name_country_season"
V1_SPLITS = {"train": "train", "val": "validation", "test": "test"}
V1_FLAGS = {"seasonal_snow": "patches_with_seasonal_snow", "cloud_or_shadow": "patches_with_cloud_and_shadow"}
V1_UNLABELLED = "patches_with_no_19_class_targets"
V2_RECOMMENDED = "metadata.parquet"
V2_EXCLUDED = "metadata_for_patches_with_snow_cloud_or_shadow.parquet"
V2_COLUMNS = {
    "patch_id": "patch",
    "labels": "labels_19",
    **{name: name for name in ("split", "country", "s1_name", "s2v1_name")},
}
V2_FLAGS = ("contains_seasonal_snow", "contains_cloud_or_shadow")

S1_PLACE = r"^S1[AB]_IW_GRDH_1SDV_\d{8}T\d{6}_(?P<tile>\w{5})_(?P<column>\d{1,2})_(?P<tile_row>\d{1,2})$"
V2_PLACE = r"^S2[AB]_MSIL2A_\d{8}T\d{6}_N\d{4}_R\d{3}_T(?P<tile>\w{5})_(?P<column>\d{2})_(?P<tile_row>\d{2})$"

Columns = dict[str, pa.Array]


def find_lists(folder: Path) -> Release | None:
    """Tell which release's lists a folder holds, if any; v2 where it holds both.

    Examples
    --------
    >>> find_lists(getfixture("tmp_path")) is None
    True
    """
    if (folder / V2_RECOMMENDED).is_file() or (folder / V2_EXCLUDED).is_file():
        return "v2"
    return "v1" if _csv_at(folder, V1_PAIRS) else None


def read_lists(places: Sequence[Path], version: Release | None = None) -> tuple[Release, Columns]:
    """Read what a release's lists say of each pair.

    Parameters
    ----------
    places
        One folder of lists, or v2 parquet files.
    version
        The release, where the folder holds the lists of both.

    Returns
    -------
    tuple
        The release, and arrays of one length by column name, as `bigearth_xr.table.assemble` takes them.

    Raises
    ------
    MetadataError
        If there are no lists, a column is missing, or a name follows no release's pattern.

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
    if all(place.is_file() for place in places):
        return "v2", _read_v2(places)
    if len(places) > 1:
        raise MetadataError(f"{len(places)} folders of lists given; give one folder, or parquet files")
    return _read_folder(places[0], version)


def _read_folder(folder: Path, version: Release | None) -> tuple[Release, Columns]:
    release = version or find_lists(folder)
    if release == "v2":
        parquets = [folder / name for name in (V2_RECOMMENDED, V2_EXCLUDED) if (folder / name).is_file()]
        if parquets:
            return "v2", _read_v2(parquets)
    elif release == "v1" and _csv_at(folder, V1_PAIRS):
        return "v1", _read_v1(folder)
    raise MetadataError(
        f"{folder}: no lists{f' of {version}' if version else ''} found; expected {V2_RECOMMENDED} (v2) or "
        f"{V1_PAIRS}.csv (v1); the extra 'sample' brings those of v1, the v2 archive its own"
    )


def _read_v1(folder: Path) -> Columns:
    import pyarrow.csv

    source = _required(folder, V1_PAIRS)
    try:
        pairs = pyarrow.csv.read_csv(source)
    except pa.ArrowInvalid as error:
        raise MetadataError(f"{source}: no CSV, or a damaged one ({error}); take the list as published") from None
    _require_columns(pairs, ("s1_name", "s2_name", "country"), source)
    patch = pairs["s2_name"].combine_chunks()
    flags = {column: pc.is_in(patch, _read_names(folder, name)) for column, name in V1_FLAGS.items()}
    unlabelled = pc.is_in(patch, _read_names(folder, V1_UNLABELLED))
    excluded = pc.or_(pc.or_(*flags.values()), unlabelled)
    return {
        "patch": patch,
        "s1_name": pairs["s1_name"].combine_chunks(),
        **_places(pairs["s1_name"].combine_chunks(), S1_PLACE, source),
        "country": pairs["country"].combine_chunks(),
        "split": _read_v1_splits(folder, patch),
        **flags,
        "recommended": pc.invert(excluded),
        "labels_19": _empty_where(unlabelled),
    }


def _read_v1_splits(folder: Path, patch: pa.Array) -> pa.Array:
    split = pa.nulls(len(patch), pa.string())
    for name, published in V1_SPLITS.items():
        split = pc.if_else(pc.is_in(patch, _read_names(folder, name)), published, split)
    return split


def _empty_where(mask: pa.Array) -> pa.Array:
    """No labels where the mask holds, unknown labels elsewhere."""
    empty = pa.array([[]], pa.list_(pa.string()))
    return empty.take(pc.if_else(mask, pa.scalar(0), pa.scalar(None, pa.int64())))


def _read_v2(parquets: Sequence[Path]) -> Columns:
    listed = pa.concat_tables(map(_read_parquet, parquets), promote_options="permissive")
    columns: Columns = {name: listed[name].combine_chunks() for name in listed.column_names}
    patch = columns["patch"]
    columns["labels_19"] = _in_paper_order(columns["labels_19"], patch)
    return columns | _places(patch, V2_PLACE, parquets[0])


def _read_parquet(path: Path) -> pa.Table:
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise MetadataError(
            f"{path}: no parquet, or a damaged one ({error}); give {V2_RECOMMENDED} as published, or the folder of the "
            "lists"
        ) from None
    _require_columns(table, (*V2_COLUMNS, *V2_FLAGS), path)
    snow, cloud = (table[flag].combine_chunks() for flag in V2_FLAGS)
    # A row of metadata.parquet is recommended; the other file holds the rest, by its flags.
    flags = {"seasonal_snow": snow, "cloud_or_shadow": cloud, "recommended": pc.invert(pc.or_(snow, cloud))}
    return pa.table({ours: table[theirs] for theirs, ours in V2_COLUMNS.items()} | flags)


def _in_paper_order(labels: pa.Array, patch: pa.Array) -> pa.Array:
    """v2 lists labels by name; put them in the order that every other table here has."""
    names = pa.array(label_names(19))
    index = pc.index_in(labels.flatten(), names)
    owner = pc.list_parent_indices(labels)
    if index.null_count:
        at = pc.index(pc.is_null(index), True).as_py()
        raise MetadataError(
            f"{patch[owner[at].as_py()]}: {labels.flatten()[at].as_py()!r} is no label of the 19-class "
            "nomenclature; check the metadata parquet"
        )
    order = pc.sort_indices(
        pa.table({"owner": owner, "index": index}), sort_keys=[("owner", "ascending"), ("index", "ascending")]
    )
    return pa.ListArray.from_arrays(labels.offsets, names.take(index.take(order)), mask=pc.is_null(labels))


def _places(names: pa.Array, pattern: str, source: Path) -> Columns:
    """Tile, column and row, read off names that hold all three."""
    parts = pc.extract_regex(names, pattern)
    if parts.null_count > names.null_count:
        at = pc.index(pc.is_null(parts), True).as_py()
        raise MetadataError(f"{source}: {names[at].as_py()!r} is no patch name; expected one like {pattern}")
    tile, column, tile_row = parts.flatten()
    return {"tile": tile, "column": column.cast(pa.int16()), "tile_row": tile_row.cast(pa.int16())}


def _read_names(folder: Path, name: str) -> pa.Array:
    """The Sentinel-2 names of a list: one column, or the first of the official two."""
    import pyarrow.csv

    with pa.input_stream(_required(folder, name)) as stream:
        lines = stream.read()
    # Arrow refuses a CSV without a line; a list may name nobody.
    if not lines:
        return pa.array([], pa.string())
    options = pyarrow.csv.ReadOptions(autogenerate_column_names=True)
    return pyarrow.csv.read_csv(pa.BufferReader(lines), options).column(0).combine_chunks()


def _required(folder: Path, name: str) -> Path:
    path = _csv_at(folder, name)
    if path is None:
        raise MetadataError(
            f"{folder}: {name}.csv is missing; the v1 lists are {', '.join(_v1_files())}: copy it there"
        )
    return path


def _v1_files() -> Iterator[str]:
    for name in (V1_PAIRS, *V1_SPLITS, *V1_FLAGS.values(), V1_UNLABELLED):
        yield f"{name}.csv"


def _csv_at(folder: Path, name: str) -> Path | None:
    """The list of this name, however it is compressed."""
    found = (folder / f"{name}.csv{suffix}" for suffix in ("", ".bz2", ".gz"))
    return next((path for path in found if path.is_file()), None)


def _require_columns(table: pa.Table, columns: Iterable[str], source: Path) -> None:
    missing = [column for column in columns if column not in table.column_names]
    if missing:
        raise MetadataError(
            f"{source}: no column {', '.join(missing)}; it has {', '.join(table.column_names)}; "
            "take the list as published"
        )
