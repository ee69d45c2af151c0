"""Columns of a parquet in the types that they stand for, whatever types a library saved them in."""

from typing import NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bigearth_xr.errors import MetadataError

__all__ = ["as_flags", "as_labels", "as_texts", "refuse_value"]

_WORDS = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False, "yes": True, "no": False}


def as_texts(column: pa.Array, where: str, expected: str = "text") -> pa.Array:
    """Give a column as strings: categories, large strings, views and bytes are the same to us.

    Parameters
    ----------
    column
        Of any type.
    where
        File and column, for messages.
    expected
        What the values should be, for messages.

    Raises
    ------
    MetadataError
        If it holds something else than text.

    Examples
    --------
    >>> as_texts(pa.array(["train", "test"]).dictionary_encode(), "metadata.parquet: column split").type
    DataType(string)
    """
    column = _decoded(column)
    if column.type == pa.string() or _is_unknown(column):
        return column if column.type == pa.string() else pa.nulls(len(column), pa.string())
    if not (_is_text(column.type) or pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)):
        refuse_value(column, 0, where, expected)
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid as error:
        raise MetadataError(f"{where} is no UTF-8 ({error}), expected {expected}; save it as strings") from None


def as_flags(column: pa.Array, where: str) -> pa.Array:
    """Give a column as truth values: numbers 0 and 1 and words such as ``"True"`` are taken.

    Parameters
    ----------
    column
        Of any type.
    where
        File and column, for messages.

    Raises
    ------
    MetadataError
        If a value is neither true nor false nor null.

    Examples
    --------
    >>> as_flags(pa.array(["True", "false", None]), "metadata.parquet: column contains_seasonal_snow").to_pylist()
    [True, False, None]
    """
    column = _decoded(column)
    kind = column.type
    if pa.types.is_boolean(kind) or _is_unknown(column):
        return column if pa.types.is_boolean(kind) else pa.nulls(len(column), pa.bool_())
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or _is_text(kind)):
        refuse_value(column, 0, where, "true or false")
    words = pc.utf8_lower(pc.utf8_trim_whitespace(as_texts(column, where))) if _is_text(kind) else None
    known = pa.array(list(_WORDS)) if words is not None else pa.array([1, 0]).cast(kind)
    # What pandas has for a flag that is not known.
    column = column if not pa.types.is_floating(kind) else pc.if_else(pc.is_nan(column), None, column)
    index = pc.index_in(column if words is None else words, known, skip_nulls=True)
    bad = pc.and_(pc.is_null(index), pc.is_valid(column))
    if (at := pc.index(bad, True).as_py()) >= 0:
        refuse_value(column, at, where, "true or false")
    return pa.array(list(_WORDS.values()) if words is not None else [True, False]).take(index)


def as_labels(column: pa.Array, where: str) -> pa.Array:
    """Give a column as lists of strings, whatever kind of lists and of strings they are.

    Parameters
    ----------
    column
        Of any type.
    where
        File and column, for messages.

    Raises
    ------
    MetadataError
        If it holds no lists, or lists of something else than text.

    Examples
    --------
    >>> as_labels(pa.array([["Pastures"], None], pa.large_list(pa.large_string())), "labels").type
    ListType(list<item: string>)
    """
    column = _decoded(column)
    if _is_unknown(column):
        return pa.nulls(len(column), pa.list_(pa.string()))
    if not _is_list(column.type):
        refuse_value(column, 0, where, "a list of labels")
    lengths = np.asarray(pc.list_value_length(column).fill_null(0))
    values = column.flatten()
    if not (_is_text(_decoded(values).type) or pa.types.is_null(values.type)):
        refuse_value(column, int((lengths > 0).argmax()), where, "a list of labels")
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    return pa.ListArray.from_arrays(offsets, as_texts(values, where), mask=pc.is_null(column))


def refuse_value(column: pa.Array, row: int, where: str, expected: str) -> NoReturn:
    """Refuse a column for one of its values, or the first that is not null after it.

    Raises
    ------
    MetadataError
        Always.

    Examples
    --------
    >>> refuse_value(pa.array([None, 3]), 0, "metadata.parquet: column split", "train, validation or test")
    Traceback (most recent call last):
    ...
    bigearth_xr.errors.MetadataError: metadata.parquet: column split, row 1: 3 (int64), expected train, validation or
    test; correct it, or take the parquet as published
    """
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
