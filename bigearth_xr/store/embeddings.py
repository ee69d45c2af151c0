"""Vectors of a model, a row each, in the store's group ``embeddings/<name>``.

``embedding (patch, feature)`` has all rows of the store, NaN where not computed; ``computed (patch)`` says which are.
The group's attributes say how the vectors were made, and neither when nor where. Metadata are those of the root.
Vectors lie as little-endian float32 with a checksum, 1,024 rows a chunk.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import ChecksumError, EmbeddingError
from bigearth_xr.store import schema
from bigearth_xr.store.codec import checked, chunk_key, crc32c, encode_chunk, remedy_of, small_codecs
from bigearth_xr.store.layout import consolidate
from bigearth_xr.store.location import Location, put
from bigearth_xr.store.open import Store, cached_root, check_current, reading
from bigearth_xr.store.read import read_small, with_rows

if TYPE_CHECKING:
    import zarr

__all__ = [
    "CHUNK_ROWS",
    "Embedding",
    "Provenance",
    "check_name",
    "create_embedding",
    "embedding_names",
    "open_embedding",
    "read_chunk",
    "read_computed",
    "read_vectors",
    "remove_embedding",
    "write_vectors",
]

GROUP, _PARTS = schema.EMBEDDINGS, ("embedding", "computed")
Provenance = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """What the metadata of an embedding says."""

    store: Store
    """The store that it is in."""

    name: str
    """Name in the store."""

    features: int
    """Length of a vector."""

    provenance: Provenance
    """How the vectors were made: JSON values by name."""

    @property
    def key(self) -> str:
        """The group's key in the store."""
        return f"{GROUP}/{self.name}"


def create_embedding(store: Store, name: str, *, features: int, provenance: Provenance) -> Embedding:
    """Make room for an embedding, no row of it computed.

    Parameters
    ----------
    store
        The opened store.
    name
        Letters, digits, ``-`` and ``_``, beginning with a letter or digit; new in the store.
    features
        Length of a vector.
    provenance
        How the vectors will be made: JSON values by name.

    Raises
    ------
    EmbeddingError
        If the name cannot be one.
    """
    import zarr

    check_name(name)
    check_current(store)
    with store.location.explaining(GROUP):
        root = zarr.open_group(store.location.zarr(), mode="r+", use_consolidated=False)
        _create(root, name, store, features, provenance)
    embedding = Embedding(store=store, name=name, features=features, provenance=provenance)
    write_computed(embedding, np.zeros(store.rows, bool))
    consolidate(store.location, changed=embedding.key)
    return embedding


def _create(root: "zarr.Group", name: str, store: Store, features: int, provenance: Provenance) -> None:
    from zarr.codecs import BytesCodec, Crc32cCodec

    group = root.require_group(GROUP).create_group(name, attributes={"bigearth": dict(provenance)})
    group.create_array(
        "embedding",
        shape=(store.rows, features),
        chunks=(CHUNK_ROWS, features),
        dtype=np.float32,
        serializer=BytesCodec(),
        compressors=[Crc32cCodec()],
        fill_value=np.nan,
        dimension_names=("patch", "feature"),
        attributes={"long_name": f"embedding {name}", "units": "1"},
    )
    group.create_array(
        "computed",
        shape=(store.rows,),
        chunks=(store.rows,),
        dtype="bool",
        compressors=small_codecs(has_checksum=schema.has_checksums(store.format_version)),
        fill_value=False,
        dimension_names=("patch",),
        attributes={"long_name": "whether the vector of a patch was computed"},
    )


def open_embedding(store: Store, name: str) -> Embedding:
    """Read the metadata of an embedding.

    Raises
    ------
    EmbeddingError
        If there is none of this name.
    """
    names = embedding_names(store)
    if name not in names:
        has = ", ".join(names) or "none"
        raise EmbeddingError(f"{store.location}: no embedding {name!r}, it has {has}; make it with bex.embed")
    members = cached_root(store.location).members
    attributes, shape = members[f"{GROUP}/{name}"]["attributes"], members[f"{GROUP}/{name}/embedding"]["shape"]
    return Embedding(store=store, name=name, features=shape[1], provenance=attributes["bigearth"])


def embedding_names(store: Store) -> tuple[str, ...]:
    """List the embeddings of a store, by name; one whose making was cut short is not among them."""
    members = cached_root(store.location).members
    names = (key.removeprefix(f"{GROUP}/") for key in members if key.startswith(f"{GROUP}/"))
    # One whose making was cut short is not in the root; what others put into the group is none.
    return tuple(sorted(name for name in names if {f"{GROUP}/{name}/{part}" for part in _PARTS} <= members.keys()))


def remove_embedding(store: Store, name: str) -> None:
    """Remove an embedding, or what a making that was cut short left of it."""
    check_name(name)
    if name in store.location.children(GROUP) or name in embedding_names(store):
        store.location.delete(f"{GROUP}/{name}")
        consolidate(store.location, changed=f"{GROUP}/{name}")


def write_vectors(embedding: Embedding, rows: NDArray[np.intp], vectors: NDArray[np.float32]) -> None:
    """Store vectors, and then that they are computed.

    Parameters
    ----------
    embedding
        Where to.
    rows
        Row in the store of each vector, shape ``(patch,)``, no row twice; those of one chunk of 1,024 at a time cost
        one write.
    vectors
        Shape ``(patch, feature)``.
    """
    flags = read_computed(embedding)  # which refuses another store, under whose rows nothing is to be written
    _write_rows(embedding.store.location, embedding.key, rows, vectors, due=flags)
    # Last: a run that is killed in between computes these rows again.
    flags[rows] = True
    write_computed(embedding, flags)


def read_vectors(embedding: Embedding, rows: NDArray[np.intp]) -> NDArray[np.float32]:
    """Read vectors in the order asked for, shape ``(patch, feature)``; NaN where not computed.

    Raises
    ------
    ChecksumError
        If vectors are damaged, or computed ones are lost; names file, row and patch of the first.
    """
    with reading(embedding.store):
        return _read_vectors(embedding, rows)


def _read_vectors(embedding: Embedding, rows: NDArray[np.intp]) -> NDArray[np.float32]:
    location, shape = embedding.store.location, (rows.size, embedding.features)
    vectors = _read_rows(location, embedding.key, rows, shape)
    if _blank_rows(vectors).any():
        flags = read_computed(embedding)
        # Again: another process may have written them in between, before the flags.
        vectors = _read_rows(location, embedding.key, rows, shape)
        lost = rows[_blank_rows(vectors) & flags[rows]]
        if lost.size:
            where = location / f"{embedding.key}/embedding/c/{lost[0] // CHUNK_ROWS}/0"
            error = ChecksumError(f"{where}: vectors are missing that were computed; {remedy_of(f'{embedding.key}/')}")
            raise with_rows(error, embedding.store, lost)
    return vectors


def read_computed(embedding: Embedding) -> NDArray[np.bool_]:
    """Read which rows are computed, shape ``(patch,)``, for all rows of the store."""
    with reading(embedding.store):
        return read_small(embedding.store, cached_root(embedding.store.location), f"{embedding.key}/computed")


def write_computed(embedding: Embedding, flags: NDArray[np.bool_]) -> None:
    """Record which rows are computed, shape ``(patch,)``."""
    chunk = encode_chunk(flags, has_checksum=schema.has_checksums(embedding.store.format_version))
    put(embedding.store.location, chunk_key(f"{embedding.key}/computed", 1), chunk)


def check_name(name: str) -> None:
    """Refuse a name that an embedding cannot have."""
    # No dot: so no name is that of a file which Zarr keeps beside the embeddings, as zarr.json.
    if not (isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name)):
        raise EmbeddingError(
            f"{name!r} cannot name an embedding; expected letters, digits, '-' and '_', first a letter or digit"
        )


CHUNK_ROWS = 1024
"""Rows in a chunk: what is written at once, and lost at most when a run is killed."""

Vectors = NDArray[np.float32]


def read_chunk(location: Location, key: str, number: int, features: int) -> Vectors | None:
    """Read a chunk of vectors; None without one.

    Parameters
    ----------
    location
        Where the store lies.
    key
        The embedding's group.
    number
        Which chunk: of rows ``1024 × number`` and following.
    features
        Length of a vector.

    Raises
    ------
    ChecksumError
        If it is damaged.
    """
    name = _chunk_key(key, number)
    try:
        data = location.read(name)
    except (FileNotFoundError, NotADirectoryError):
        return None
    where, remedy = str(location / name), remedy_of(f"{key}/")
    body = checked(data, where=where, remedy=remedy)
    if len(body) != CHUNK_ROWS * features * 4:
        raise ChecksumError(f"{where}: {len(body)} bytes, expected {CHUNK_ROWS * features * 4}; {remedy}")
    return np.frombuffer(body, "<f4").astype(np.float32).reshape(CHUNK_ROWS, features)


def _read_rows(location: Location, key: str, rows: NDArray[np.intp], shape: tuple[int, int]) -> Vectors:
    """Read vectors of rows in any order, `shape` is ``(patch, feature)``; NaN where there are none."""
    vectors = np.full(shape, np.nan, np.float32)
    for number, positions in _by_chunk(rows):
        chunk = read_chunk(location, key, number, shape[1])
        if chunk is not None:
            vectors[positions] = chunk[rows[positions] % CHUNK_ROWS]
    return vectors


def _write_rows(
    location: Location, key: str, rows: NDArray[np.intp], vectors: Vectors, *, due: NDArray[np.bool_]
) -> None:
    """Write vectors of rows, a whole chunk at a time; the chunk's other rows stay as they are."""
    for number, positions in _by_chunk(rows):
        chunk = read_chunk(location, key, number, vectors.shape[1])
        if chunk is None:
            chunk = np.full((CHUNK_ROWS, vectors.shape[1]), np.nan, np.float32)
        chunk[rows[positions] % CHUNK_ROWS] = vectors[positions]
        here = due[number * CHUNK_ROWS : (number + 1) * CHUNK_ROWS]
        lost = np.flatnonzero(_blank_rows(chunk[: here.size]) & here)
        name = _chunk_key(key, number)
        if lost.size:
            row = number * CHUNK_ROWS + int(lost[0])
            raise ChecksumError(
                f"{location / name}: is missing, or lacks vectors that were computed, first of row {row}; "
                f"{remedy_of(f'{key}/')}"
            )
        body = chunk.astype("<f4").tobytes()
        put(location, name, body + crc32c(body))


def _blank_rows(vectors: Vectors) -> NDArray[np.bool_]:
    """Tell which vectors are NaN throughout, as where none was computed; shape ``(patch,)``."""
    blank: NDArray[np.bool_] = np.isnan(vectors[:, 0])
    blank[blank] = np.isnan(vectors[blank]).all(axis=1)
    return blank


def _by_chunk(rows: NDArray[np.intp]) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Each chunk that has rows, and their positions."""
    numbers = rows // CHUNK_ROWS
    for number in np.unique(numbers):
        yield int(number), np.flatnonzero(numbers == number)


def _chunk_key(key: str, number: int) -> str:
    return f"{key}/embedding/c/{number}/0"
