"""The lists of v2: parquets, each a file or a folder of parts, in whatever types a library saved them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bigearth_xr import releases
from bigearth_xr.errors import MetadataError, SelectionError
from bigearth_xr.labels import label_names
from bigearth_xr.spelling import check_choice
from bigearth_xr.table.schema import S1_NAMES, V2_NAMES, are_unique, read_places

V2_RECOMMENDED = "metadata.parquet"
V2_EXCLUDED = "metadata_for_patches_with_snow_cloud_or_shadow.parquet"

V2_COLUMNS = {
    "patch_id": "patch",
    "labels": "labels_19",
    **{name: name for name in ("split", "country", "s1_name", "s2v1_name")},
}

V2_FLAGS = {"contains_seasonal_snow": "seasonal_snow", "contains_cloud_or_shadow": "cloud_or_shadow"}
_UNKNOWN_PARTITION = "__HIVE_DEFAULT_PARTITION__"
Columns = dict[str, pa.Array]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One file of a parquet."""

    path: Path
    """Where it is."""

    partition: Mapping[str, str]
    """Columns that its folders name, as in ``split=train/``."""


def is_parts(folder: Path) -> bool:
    """Tell whether a folder is a parquet in parts, not one that holds parquets of their own."""
    if not folder.is_dir() or any((folder / name).exists() for name in (V2_RECOMMENDED, V2_EXCLUDED)):
        return False
    return next(_parts(folder), None) is not None


def read_v2(parquets: Sequence[Path]) -> Columns:
    """Read what parquets of v2, files or folders of parts, say of each pair.

    Returns
    -------
    dict
        Arrays of one length by column name, as `bigearth_xr.table.assemble` takes them.

    Raises
    ------
    MetadataError
        If one is not a parquet, lacks a column, or holds a value that cannot be understood; with file, column and row.
    """
    parts = [part for parquet in parquets for part in _parts(parquet)]
    tables = [_read_part(part) for part in parts]
    listed = pa.concat_tables(tables)
    patch = listed["patch"].combine_chunks()
    if not are_unique(patch, V2_NAMES.head_length):
        listed = listed.take(pa.array(_first_of_each(listed, parts, [table.num_rows for table in tables])))
    return {name: listed[name].combine_chunks() for name in listed.column_names}


def _parts(parquet: Path) -> Iterator[Part]:
    """Find the files of a parquet; of folders only those that name a partition are looked into."""
    if parquet.is_file():
        yield Part(path=parquet, partition={})
        return
    for path in sorted(parquet.iterdir()):
        key, equals, value = path.name.partition("=")
        if path.is_dir() and equals:
            for part in _parts(path):
                yield Part(path=part.path, partition={key: unquote(value), **part.partition})
        # Spark's `_SUCCESS` and checksums, Dask's `_metadata`.
        elif path.is_file() and path.suffix == ".parquet" and not path.name.startswith(("_", ".")):
            yield Part(path=path, partition={})


def _read_part(part: Part) -> pa.Table:
    """Read a file, in our names and types; what is wrong is reported with its column and row."""
    texts = _read_columns(part)
    patch = _as_texts(texts["patch_id"], f"{part.path}: column patch_id", "the name of a patch of v2")
    columns = {"patch": patch, **_places(patch, part.path)}
    columns["labels_19"] = _in_paper_order(
        _as_labels(texts["labels"], f"{part.path}: column labels"), f"{part.path}: column labels", patch
    )
    for name in ("split", "country", "s1_name", "s2v1_name"):
        columns[name] = _as_texts(texts[name], f"{part.path}: column {name}")
    columns["split"] = _renamed(columns["split"], f"{part.path}: column split", _known_split)
    columns["country"] = _renamed(columns["country"], f"{part.path}: column country", _known_country)
    _check_partners(columns, part.path)
    for theirs, ours in V2_FLAGS.items():
        columns[ours] = _as_flags(texts[theirs], f"{part.path}: column {theirs}")
    # A row of metadata.parquet is recommended; the other file holds the rest, by its flags.
    columns["recommended"] = pc.invert(pc.or_kleene(columns["seasonal_snow"], columns["cloud_or_shadow"]))
    return pa.table(columns)


def _read_columns(part: Part) -> Columns:
    """Read the columns of a file that are wanted, as they are."""
    import pyarrow.parquet as pq

    wanted = (*V2_COLUMNS, *V2_FLAGS)
    try:
        with pq.ParquetFile(part.path) as file:
            names = file.schema_arrow.names
            _require_columns(part, names, wanted)
            table = file.read(columns=[name for name in wanted if name in names])
    except (OSError, pa.ArrowException) as error:
        raise MetadataError(_no_parquet(part.path, error)) from None
    found = {name: table[name].combine_chunks() for name in table.column_names}
    for name in set(wanted) - set(found):
        value = part.partition[name]
        found[name] = pa.repeat(pa.scalar(None if value == _UNKNOWN_PARTITION else value, pa.string()), table.num_rows)
    return found


def _require_columns(part: Part, names: Sequence[str], wanted: Sequence[str]) -> None:
    missing = [name for name in wanted if name not in names and name not in part.partition]
    if missing:
        raise MetadataError(
            f"{part.path}: no column {', '.join(missing)}; it has {', '.join(names)}; take the list as published"
        )
    twice = [name for name in wanted if names.count(name) > 1]
    if twice:
        raise MetadataError(
            f"{part.path}: several columns {', '.join(twice)}, expected one; take the list as published"
        )


def _no_parquet(path: Path, error: Exception) -> str:
    """Say what a file is that is not a parquet."""
    with path.open("rb") as file:
        start = file.read(4096)
    if b"patch_id" in start.partition(b"\n")[0] and not start.startswith(b"PAR1"):
        return (
            f"{path}: the metadata of v2 saved as CSV, in which labels are not lists any more; expected parquet: give "
            f"{V2_RECOMMENDED} as published"
        )
    if b"_MSIL2A_" in start and not start.startswith(b"PAR1"):
        return f"{path}: a list of names, expected parquet (v2); of v1 give the folder that holds all of its lists"
    return (
        f"{path}: no parquet, or a damaged one ({error}); give {V2_RECOMMENDED} as published, or the folder of the "
        "lists"
    )


def _places(patch: pa.Array, source: Path) -> Columns:
    """Tile, column and row, read off the names."""
    places = read_places(patch, V2_NAMES)
    if places["tile"].null_count:
        at = pc.index(pc.is_null(places["tile"]), True).as_py()
        raise MetadataError(
            f"{source}: column patch_id, row {at}: {patch[at].as_py()!r} is not a patch name of v2; expected one like "
            "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_57; correct it, or take the parquet as published"
        )
    return places


def _check_partners(columns: Columns, source: Path) -> None:
    """Refuse a Sentinel-1 name that is none, or of another place than its row."""
    found = read_places(columns["s1_name"], S1_NAMES)
    wrong = np.zeros(len(columns["s1_name"]), bool)
    for name, part in found.items():
        wrong |= ~np.asarray(pc.fill_null(pc.equal(part, columns[name]), False))
    wrong &= np.asarray(pc.is_valid(columns["s1_name"]))
    if wrong.any():
        at = int(wrong.argmax())
        place = "_".join(str(columns[name][at].as_py()) for name in found)
        expected = f"S1A_IW_GRDH_1SDV_<date>T<time>_{place}, the place of its patch"
        _refuse_value(columns["s1_name"], at, f"{source}: column s1_name", expected)


def _known_split(name: str) -> str:
    """Our name of a split."""
    return releases.normalize_split(name.strip())


def _known_country(name: str) -> str:
    """A country of the release."""
    check_choice("country", name, releases.COUNTRIES, SelectionError)
    return name


def _renamed(column: pa.Array, where: str, rename: Callable[[str], str]) -> pa.Array:
    """Give each of the few values of a column the name that it has with us."""
    values, ours = pc.unique(column).drop_null(), []
    for value in values.to_pylist():
        try:
            ours.append(rename(value))
        except SelectionError as error:
            at = pc.index(column, value).as_py()
            raise MetadataError(f"{where}, row {at}: {error}; correct it, or take the parquet as published") from None
    if ours == values.to_pylist():
        return column
    return pa.array(ours, pa.string()).take(pc.index_in(column, values, skip_nulls=True))


def _in_paper_order(labels: pa.Array, where: str, patch: pa.Array) -> pa.Array:
    """v2 lists labels by name; put them in the order that every other table here has."""
    names = label_names(19)
    values, owner = labels.flatten(), np.asarray(pc.list_parent_indices(labels)).astype(np.int64)
    index = pc.index_in(values, pa.array(names))
    if index.null_count:
        at = pc.index(pc.is_null(index), True).as_py()
        raise MetadataError(
            f"{where}, row {owner[at]}, {patch[int(owner[at])].as_py()}: {values[at].as_py()!r} is not a label of the "
            "19-class nomenclature; check the metadata parquet"
        )
    # One number for patch and label: sorted, the patches stay where they are.
    keys = np.sort(owner * len(names) + np.asarray(index))
    if (twice := np.flatnonzero(keys[1:] == keys[:-1])).size:
        row, label = divmod(int(keys[twice[0]]), len(names))
        raise MetadataError(
            f"{where}, row {row}, {patch[row].as_py()}: {names[label]!r} is there twice, expected each label once; "
            "check the metadata parquet"
        )
    ordered = pa.array(names).take(pa.array(keys % len(names)))
    lengths = np.asarray(pc.list_value_length(labels).fill_null(0))
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    return pa.ListArray.from_arrays(offsets, ordered, mask=pc.is_null(labels))


def _first_of_each(listed: pa.Table, parts: Sequence[Part], lengths: Sequence[int]) -> NDArray[np.int64]:
    """Give the first row of each patch; a second that says otherwise is refused."""
    first = pc.index_in(listed["patch"], listed["patch"]).combine_chunks()
    again = np.flatnonzero(np.asarray(first) != np.arange(len(first)))
    rows, firsts = pa.array(again), first.take(pa.array(again))
    for name in listed.column_names:
        one, other = (_comparable(listed[name].take(which).combine_chunks()) for which in (firsts, rows))
        both_unknown = pc.and_(pc.is_null(one), pc.is_null(other))
        at = pc.index(pc.or_(pc.fill_null(pc.equal(one, other), False), both_unknown), False).as_py()
        if at >= 0:
            here, there = (_place_of(int(which[at].as_py()), parts, lengths) for which in (firsts, rows))
            raise MetadataError(
                f"{listed['patch'][rows[at].as_py()].as_py()}: {name} is {one[at].as_py()!r} in {here}, but "
                f"{other[at].as_py()!r} in {there}; expected the same, or each patch once; take one of them out"
            )
    return np.setdiff1d(np.arange(len(first)), again)


def _comparable(column: pa.Array) -> pa.Array:
    """Lists as texts, which Arrow compares."""
    return pc.binary_join(column, "; ") if pa.types.is_list(column.type) else column


def _place_of(row: int, parts: Sequence[Part], lengths: Sequence[int]) -> str:
    """Say where a row of all parts together comes from."""
    ends = np.cumsum(lengths)
    at = int(np.searchsorted(ends, row, side="right"))
    return f"{parts[at].path}, row {row - int(ends[at]) + lengths[at]}"


_WORDS = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False, "yes": True, "no": False}


def _as_texts(column: pa.Array, where: str, expected: str = "text") -> pa.Array:
    """Give a column as strings: categories, large strings, views and bytes are the same to us."""
    column = _decoded(column)
    if column.type == pa.string() or _is_unknown(column):
        return column if column.type == pa.string() else pa.nulls(len(column), pa.string())
    if not (_is_text(column.type) or pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)):
        _refuse_value(column, 0, where, expected)
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid as error:
        raise MetadataError(f"{where} is not UTF-8 ({error}), expected {expected}; save it as strings") from None


def _as_flags(column: pa.Array, where: str) -> pa.Array:
    """Give a column as truth values: numbers 0 and 1 and words such as ``"True"`` are taken."""
    column = _decoded(column)
    kind = column.type
    if pa.types.is_boolean(kind) or _is_unknown(column):
        return column if pa.types.is_boolean(kind) else pa.nulls(len(column), pa.bool_())
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or _is_text(kind)):
        _refuse_value(column, 0, where, "true or false")
    words = pc.utf8_lower(pc.utf8_trim_whitespace(_as_texts(column, where))) if _is_text(kind) else None
    known = pa.array(list(_WORDS)) if words is not None else pa.array([1, 0]).cast(kind)
    # What pandas has for a flag that is not known.
    column = column if not pa.types.is_floating(kind) else pc.if_else(pc.is_nan(column), None, column)
    index = pc.index_in(column if words is None else words, known, skip_nulls=True)
    bad = pc.and_(pc.is_null(index), pc.is_valid(column))
    if (at := pc.index(bad, True).as_py()) >= 0:
        _refuse_value(column, at, where, "true or false")
    return pa.array(list(_WORDS.values()) if words is not None else [True, False]).take(index)


def _as_labels(column: pa.Array, where: str) -> pa.Array:
    """Give a column as lists of strings, whatever kind of lists and of strings they are."""
    column = _decoded(column)
    if _is_unknown(column):
        return pa.nulls(len(column), pa.list_(pa.string()))
    if not _is_list(column.type):
        _refuse_value(column, 0, where, "a list of labels")
    lengths = np.asarray(pc.list_value_length(column).fill_null(0))
    values = column.flatten()
    if not (_is_text(_decoded(values).type) or pa.types.is_null(values.type)):
        _refuse_value(column, int((lengths > 0).argmax()), where, "a list of labels")
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    return pa.ListArray.from_arrays(offsets, _as_texts(values, where), mask=pc.is_null(column))


def _refuse_value(column: pa.Array, row: int, where: str, expected: str) -> NoReturn:
    """Refuse a column for one of its values, or the first that is not null after it."""
    later = np.flatnonzero(np.asarray(pc.is_valid(column))[row:])
    row += int(later[0]) if later.size else 0
    value = column[row].as_py()
    raise MetadataError(
        f"{where}, row {row}: {value!r} ({column.type}), expected {expected}; correct it, or take the parquet as "
        "published"
    )


def _decoded(column: pa.Array) -> pa.Array:
    """The values themselves, where categories or runs of them are stored."""
    if isinstance(column, pa.DictionaryArray):
        return column.dictionary_decode()
    if isinstance(column, pa.RunEndEncodedArray):
        return pc.run_end_decode(column)
    return column


def _is_unknown(column: pa.Array) -> bool:
    """Whether a column has no value at all: its type, which a library chose without seeing any, says nothing."""
    return bool(column.null_count == len(column))


def _is_text(kind: pa.DataType) -> bool:
    """Whether values of this type are texts."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_list(kind: pa.DataType) -> bool:
    """Whether values of this type are lists."""
    tests = ("is_list", "is_large_list", "is_fixed_size_list", "is_list_view", "is_large_list_view")
    return any(getattr(pa.types, test)(kind) for test in tests)
