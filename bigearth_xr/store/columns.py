"""What a table says of each patch as the numbers of a store, and the CF attributes that explain them."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bigearth_xr import releases
from bigearth_xr.errors import MetadataError
from bigearth_xr.store import schema
from bigearth_xr.store.schema import Column

__all__ = ["encode_column"]

_NO_TIME = -(2**63)
"""What a time that is unknown is stored as: the least of all, which NumPy reads as NaT."""


def encode_column(column: Column, values: pa.Array) -> tuple[NDArray[Any], dict[str, Any]]:
    """Turn a table's column into the store's numbers, and the attributes that explain them.

    Returns
    -------
    tuple
        Values, shape ``(patch,)``, and CF attributes (flag values and meanings, units).

    Examples
    --------
    >>> split = next(column for column in schema.COLUMNS if column.name == "split")
    >>> encode_column(split, pa.array(["test", None]))[0]
    array([  2, 255], dtype=uint8)
    """
    if column.kind == "text":
        return values.fill_null("").to_numpy(zero_copy_only=False), {}
    if column.kind == "time":
        seconds = values.cast(pa.int64()).fill_null(_NO_TIME).to_numpy()
        fill = {"_FillValue": _NO_TIME} if values.null_count else {}
        return seconds, {"units": "seconds since 1970-01-01", "calendar": "proleptic_gregorian", **fill}
    if column.kind == "number":
        return values.to_numpy(), {} if column.units is None else {"units": column.units}
    meanings = ("no", "yes") if column.kind == "flag" else _meanings(column, values)
    if column.kind == "flag":
        codes = values.cast(pa.uint8())
    else:
        codes = pc.index_in(values, pa.array(meanings, pa.string())).cast(pa.uint8())
    if codes.null_count > values.null_count:
        stranger = next(text for text in pc.unique(values).to_pylist() if text and text not in meanings)
        raise MetadataError(f"unknown {column.name} {stranger!r}; expected one of {', '.join(meanings)}")
    flags = {"flag_values": list(range(len(meanings))), "flag_meanings": " ".join(meanings)}
    return codes.fill_null(schema.UNKNOWN).to_numpy(), flags


def _meanings(column: Column, values: pa.Array) -> tuple[str, ...]:
    """The texts that codes stand for: fixed by the releases, but for tiles, which each table has its own."""
    fixed = {"country": releases.COUNTRIES, "season": releases.SEASONS, "split": releases.SPLITS}
    return fixed.get(column.name) or tuple(sorted(text for text in pc.unique(values).to_pylist() if text))
