"""What a store says of each patch besides pixels, as lazily indexed arrays of texts, truth values and times."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from bigearth_xr.backend.keys import read_by_axis
from bigearth_xr.backend.pixels import Rows
from bigearth_xr.store.current import reading
from bigearth_xr.store.read import Store, read_column, read_meanings
from bigearth_xr.store.schema import UNKNOWN, Column

__all__ = ["StoredColumn", "decode_column", "decoded_dtype"]


@dataclass(frozen=True, eq=False)
class StoredColumn(BackendArray):
    """One small array of a store, decoded when it is indexed; read whole, as it is one chunk."""

    store: Store
    """Where the array lies."""

    column: Column
    """What it holds and how."""

    rows: Rows
    """Row in the store of each value."""

    width: int = 0
    """Length of the second axis, if there is one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape: ``(patch,)``, or ``(patch, label)``."""
        return (len(self.rows), self.width) if self.width else (len(self.rows),)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type after decoding."""
        return decoded_dtype(self.column)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        """Read the column and take what xarray asks for, in C order."""
        return read_by_axis(key, self.shape, self._read)

    def _read(self, key: tuple[Any, ...]) -> Any:
        with reading(self.store):
            return self._read_column(key)

    def _read_column(self, key: tuple[Any, ...]) -> Any:
        stored = read_column(self.store, self.column.name)
        kept = stored if isinstance(self.rows, range) else stored[self.rows]
        for axis in reversed(range(len(key))):
            kept = kept[(slice(None),) * axis + (key[axis],)]
        return decode_column(self.column, kept, self.store)


def decoded_dtype(column: Column) -> np.dtype[Any]:
    """The type that a column has after decoding.

    Examples
    --------
    >>> from bigearth_xr.store.schema import COLUMNS
    >>> {column.name: str(decoded_dtype(column)) for column in COLUMNS if column.name in ("split", "epsg", "s2_time")}
    {'epsg': 'int32', 's2_time': 'datetime64[s]', 'split': 'object'}
    """
    decoded = {"text": "object", "code": "object", "flag": "bool", "time": "datetime64[s]"}
    return np.dtype(decoded.get(column.kind, column.dtype))


def decode_column(column: Column, stored: NDArray[Any], store: Store) -> Any:
    """Decode values: codes to texts (unknown = ""), flags to truth (unknown = False), seconds to times.

    Examples
    --------
    >>> from bigearth_xr.store.schema import COLUMNS
    >>> snow = next(column for column in COLUMNS if column.name == "seasonal_snow")
    >>> decode_column(snow, np.uint8([0, 1, 255]), None)
    array([False,  True, False])
    """
    if column.kind == "code":
        texts = np.full(UNKNOWN + 1, "", dtype=object)
        meanings = read_meanings(store, column.name)
        texts[: len(meanings)] = meanings
        return texts[stored]
    if column.kind == "flag":
        return stored == 1
    if column.kind == "known":
        return stored != UNKNOWN
    if column.kind == "time":
        return np.asarray(stored).astype("datetime64[s]")
    return stored
