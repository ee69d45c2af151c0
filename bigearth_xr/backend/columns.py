"""What a store says of each patch besides pixels, embeddings included, as lazily indexed arrays."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from bigearth_xr.backend.pixels import Rows, read_by_axis, row_numbers
from bigearth_xr.errors import EmbeddingError
from bigearth_xr.store.embeddings import Embedding, open_embedding, read_computed, read_vectors
from bigearth_xr.store.open import Store, check_current, reading
from bigearth_xr.store.read import read_column, read_meanings
from bigearth_xr.store.schema import UNKNOWN, Column

__all__ = ["embedding_variables"]


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
        return _decode_column(self.column, kept, self.store)


def decoded_dtype(column: Column) -> np.dtype[Any]:
    """The type that a column has after decoding."""
    decoded = {"text": "object", "code": "object", "flag": "bool", "time": "datetime64[s]"}
    return np.dtype(decoded.get(column.kind, column.dtype))


def _decode_column(column: Column, stored: NDArray[Any], store: Store) -> Any:
    """Decode values: codes to texts (unknown = ""), flags to truth (unknown = False), seconds to times."""
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


@dataclass(frozen=True, eq=False)
class StoredVectors(BackendArray):
    """Chosen rows of an embedding, read when indexed."""

    embedding: Embedding
    """Where the vectors lie."""

    rows: Rows
    """Row in the store of each vector."""

    dtype = np.dtype("float32")

    @property
    def shape(self) -> tuple[int, int]:
        """Shape: ``(patch, feature)``."""
        return len(self.rows), self.embedding.features

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        """Read the rows that xarray asks for, in C order."""
        return read_by_axis(key, self.shape, self._read)

    def _read(self, key: tuple[Any, ...]) -> Any:
        _check_current(self.embedding)
        rows = row_numbers(self.rows)[key[0]]
        vectors = read_vectors(self.embedding, np.atleast_1d(rows))
        return (vectors if np.ndim(rows) else vectors[0])[..., key[1]]


@dataclass(frozen=True, eq=False)
class StoredFlags(BackendArray):
    """Whether the vectors of chosen rows are computed."""

    embedding: Embedding
    """Which vectors."""

    rows: Rows
    """Row in the store of each."""

    dtype = np.dtype("bool")

    @property
    def shape(self) -> tuple[int]:
        """Shape: ``(patch,)``."""
        return (len(self.rows),)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        """Read all, and take what xarray asks for, in C order."""
        return read_by_axis(key, self.shape, self._read)

    def _read(self, key: tuple[Any, ...]) -> NDArray[np.bool_]:
        _check_current(self.embedding)
        flags: NDArray[np.bool_] = read_computed(self.embedding)[row_numbers(self.rows)[key[0]]]
        return flags


def embedding_variables(embedding: Embedding, rows: Rows) -> dict[str, xr.Variable]:
    """Give an embedding's vectors and flags as variables that are read when used.

    Parameters
    ----------
    embedding
        Which one.
    rows
        Rows of the store to show.

    Returns
    -------
    dict
        ``embedding (patch, feature)`` float32, NaN where not computed, its provenance as JSON in
        ``attrs["bigearth"]``; ``computed (patch)`` bool.
    """
    lazy = indexing.LazilyIndexedArray
    attributes = {"long_name": f"embedding {embedding.name}", "units": "1"}
    provenance = {"bigearth": json.dumps(dict(embedding.provenance))}
    vectors = xr.Variable(("patch", "feature"), lazy(StoredVectors(embedding, rows)), attributes | provenance)
    flags = {"long_name": "whether the vector of a patch was computed"}
    return {"embedding": vectors, "computed": xr.Variable("patch", lazy(StoredFlags(embedding, rows)), flags)}


def _check_current(embedding: Embedding) -> None:
    """Refuse to read vectors that were made otherwise than those that were opened."""
    check_current(embedding.store)
    now = open_embedding(embedding.store, embedding.name)
    if (now.provenance, now.features) != (embedding.provenance, embedding.features):
        raise EmbeddingError(
            f"{embedding.store.location}: embedding {embedding.name!r} was replaced, made otherwise, since it was "
            "opened; open it again for the new vectors"
        )
