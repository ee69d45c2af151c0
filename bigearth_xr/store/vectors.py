"""Vectors of an embedding as they lie: 1,024 rows a chunk, little-endian float32 and a checksum."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import ChecksumError
from bigearth_xr.store.chunk import remedy_of
from bigearth_xr.store.codec import checked, crc32c
from bigearth_xr.store.place import Place, put

__all__ = ["CHUNK_ROWS", "blank_rows", "read_chunk", "read_rows", "write_rows"]

CHUNK_ROWS = 1024
"""Rows in a chunk: what is written at once, and lost at most when a run is killed."""

Vectors = NDArray[np.float32]


def read_chunk(place: Place, key: str, number: int, features: int) -> Vectors | None:
    """Read a chunk of vectors; None without one.

    Parameters
    ----------
    place
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

    Examples
    --------
    >>> from bigearth_xr.store.address import place_of
    >>> place = place_of(getfixture("tmp_path"))
    >>> read_chunk(place, "embeddings/mine", 0, 2) is None
    True
    >>> write_rows(place, "embeddings/mine", np.array([1]), np.float32([[5, 6]]), due=np.zeros(3, bool))
    >>> read_chunk(place, "embeddings/mine", 0, 2)[1]
    array([5., 6.], dtype=float32)
    """
    name = _chunk_key(key, number)
    try:
        data = place.read(name)
    except (FileNotFoundError, NotADirectoryError):
        return None
    where, remedy = str(place / name), remedy_of(f"{key}/")
    body = checked(data, where=where, remedy=remedy)
    if len(body) != CHUNK_ROWS * features * 4:
        raise ChecksumError(f"{where}: {len(body)} bytes, expected {CHUNK_ROWS * features * 4}; {remedy}")
    return np.frombuffer(body, "<f4").astype(np.float32).reshape(CHUNK_ROWS, features)


def read_rows(place: Place, key: str, rows: NDArray[np.intp], shape: tuple[int, int]) -> Vectors:
    """Read vectors of rows in any order, `shape` is ``(patch, feature)``; NaN where there are none.

    Examples
    --------
    >>> from bigearth_xr.store.address import place_of
    >>> read_rows(place_of(getfixture("tmp_path")), "embeddings/mine", np.array([3]), (1, 2))
    array([[nan, nan]], dtype=float32)
    """
    vectors = np.full(shape, np.nan, np.float32)
    for number, places in _by_chunk(rows):
        chunk = read_chunk(place, key, number, shape[1])
        if chunk is not None:
            vectors[places] = chunk[rows[places] % CHUNK_ROWS]
    return vectors


def write_rows(place: Place, key: str, rows: NDArray[np.intp], vectors: Vectors, *, due: NDArray[np.bool_]) -> None:
    """Write vectors of rows, a whole chunk at a time; the chunk's other rows stay as they are.

    Parameters
    ----------
    place, key
        As for `read_chunk`.
    rows
        Row of each vector, no row twice.
    vectors
        Shape ``(patch, feature)``.
    due
        Which rows of the store have a vector already, shape ``(row,)``.

    Raises
    ------
    ChecksumError
        If a chunk is damaged, or vectors are lost that it should hold beside these.

    Examples
    --------
    See `read_chunk`.

    >>> write_rows.__name__
    'write_rows'
    """
    for number, places in _by_chunk(rows):
        chunk = read_chunk(place, key, number, vectors.shape[1])
        if chunk is None:
            chunk = np.full((CHUNK_ROWS, vectors.shape[1]), np.nan, np.float32)
        chunk[rows[places] % CHUNK_ROWS] = vectors[places]
        here = due[number * CHUNK_ROWS : (number + 1) * CHUNK_ROWS]
        lost = np.flatnonzero(blank_rows(chunk[: here.size]) & here)
        name = _chunk_key(key, number)
        if lost.size:
            row = number * CHUNK_ROWS + int(lost[0])
            raise ChecksumError(
                f"{place / name}: is missing, or lacks vectors that were computed, first of row {row}; "
                f"{remedy_of(f'{key}/')}"
            )
        body = chunk.astype("<f4").tobytes()
        put(place, name, body + crc32c(body))


def blank_rows(vectors: Vectors) -> NDArray[np.bool_]:
    """Tell which vectors are NaN throughout, as where none was computed; shape ``(patch,)``.

    Examples
    --------
    >>> blank_rows(np.float32([[np.nan, np.nan], [np.nan, 1]]))
    array([ True, False])
    """
    blank: NDArray[np.bool_] = np.isnan(vectors[:, 0])
    blank[blank] = np.isnan(vectors[blank]).all(axis=1)
    return blank


def _by_chunk(rows: NDArray[np.intp]) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Each chunk that has rows, and their places."""
    numbers = rows // CHUNK_ROWS
    for number in np.unique(numbers):
        yield int(number), np.flatnonzero(numbers == number)


def _chunk_key(key: str, number: int) -> str:
    return f"{key}/embedding/c/{number}/0"
