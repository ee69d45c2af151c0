"""Vectors of a model, a row each, in the store's group ``embeddings/<name>``.

``embedding (patch, feature)`` has all rows of the store, NaN where not computed; ``computed (patch)`` says which are.
The group's attributes say how the vectors were made, and neither when nor where.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import EmbeddingError
from bigearth_xr.store.current import check_current, reading
from bigearth_xr.store.layout import consolidate
from bigearth_xr.store.read import Store

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
    "read_computed",
    "read_vectors",
    "remove_embedding",
    "write_vectors",
]

GROUP = "embeddings"
CHUNK_ROWS = 1024
"""Rows in a chunk: what is written at once, and lost at most when a run is killed."""

Provenance = Mapping[str, Any]

_LAST = "computed/zarr.json"
"""What is written last when an embedding is made."""


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
        """The group's place in the store."""
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

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.read import open_store
    >>> store = open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> create_embedding(store, "mine", features=2, provenance={"model": "mine"}).key
    'embeddings/mine'
    """
    import zarr

    check_name(name)
    check_current(store)
    with store.place.explaining(GROUP):
        root = zarr.open_group(store.place.zarr(), mode="r+", use_consolidated=False)
        _create(root, name, store.rows, features, provenance)
    consolidate(store.place)
    return Embedding(store=store, name=name, features=features, provenance=provenance)


def _create(root: "zarr.Group", name: str, rows: int, features: int, provenance: Provenance) -> None:
    from zarr.codecs import BytesCodec, Crc32cCodec

    group = root.require_group(GROUP).create_group(name, attributes={"bigearth": dict(provenance)})
    group.create_array(
        "embedding",
        shape=(rows, features),
        chunks=(CHUNK_ROWS, features),
        dtype="float32",
        serializer=BytesCodec(),
        compressors=[Crc32cCodec()],
        fill_value=np.nan,
        dimension_names=("patch", "feature"),
        attributes={"long_name": f"embedding {name}", "units": "1"},
    )
    group.create_array(
        "computed",
        shape=(rows,),
        chunks=(rows,),
        dtype="bool",
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

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.read import open_store
    >>> store = open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> _ = create_embedding(store, "mine", features=2, provenance={"model": "mine"})
    >>> open_embedding(store, "mine").provenance
    {'model': 'mine'}
    """
    if store.place.find(f"{GROUP}/{name}/{_LAST}") is None:
        names = embedding_names(store)
        raise EmbeddingError(
            f"{store.place}: no embedding {name!r}, it has {', '.join(names) or 'none'}; make it with bex.embed"
        )
    attributes = json.loads(store.place.read(f"{GROUP}/{name}/zarr.json"))["attributes"]
    shape = json.loads(store.place.read(f"{GROUP}/{name}/embedding/zarr.json"))["shape"]
    return Embedding(store=store, name=name, features=shape[1], provenance=attributes["bigearth"])


def embedding_names(store: Store) -> tuple[str, ...]:
    """List the embeddings of a store, by name; one whose making was cut short is not among them.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.read import open_store
    >>> embedding_names(open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3)))
    ()
    """
    return tuple(name for name in store.place.children(GROUP) if store.place.find(f"{GROUP}/{name}/{_LAST}"))


def remove_embedding(store: Store, name: str) -> None:
    """Remove an embedding, or what a making that was cut short left of it.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.read import open_store
    >>> store = open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> _ = create_embedding(store, "mine", features=2, provenance={})
    >>> remove_embedding(store, "mine")
    >>> embedding_names(store)
    ()
    """
    check_name(name)
    if name in store.place.children(GROUP):
        store.place.delete(f"{GROUP}/{name}")
        consolidate(store.place)


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

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.read import open_store
    >>> store = open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> mine = create_embedding(store, "mine", features=2, provenance={})
    >>> write_vectors(mine, np.array([1]), np.float32([[5, 6]]))
    >>> read_computed(mine)
    array([False,  True, False])
    """
    with _opened(embedding, "embedding", "r+") as array:
        array.oindex[rows, :] = vectors
    # Last: a run that is killed in between computes these rows again.
    with _opened(embedding, "computed", "r+") as computed:
        flags = np.asarray(computed[...])
        flags[rows] = True
        computed[...] = flags


def read_vectors(embedding: Embedding, rows: NDArray[np.intp]) -> NDArray[np.float32]:
    """Read vectors in the order asked for, shape ``(patch, feature)``; NaN where not computed.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.read import open_store
    >>> store = open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> mine = create_embedding(store, "mine", features=2, provenance={})
    >>> write_vectors(mine, np.array([1]), np.float32([[5, 6]]))
    >>> read_vectors(mine, np.array([1, 0])).tolist()
    [[5.0, 6.0], [nan, nan]]
    """
    with _opened(embedding, "embedding", "r") as array:
        return np.asarray(array.oindex[rows, :])


def read_computed(embedding: Embedding) -> NDArray[np.bool_]:
    """Read which rows are computed, shape ``(patch,)``, for all rows of the store.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.read import open_store
    >>> store = open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> mine = create_embedding(store, "mine", features=2, provenance={})
    >>> read_computed(mine)
    array([False, False, False])
    """
    with _opened(embedding, "computed", "r") as computed:
        return np.asarray(computed[...])


@contextmanager
def _opened(embedding: Embedding, name: str, mode: Literal["r", "r+"]) -> Iterator["zarr.Array[Any]"]:
    """One of the arrays of an embedding, for as long as its place explains what goes wrong."""
    import zarr

    place, key = embedding.store.place, f"{embedding.key}/{name}"
    # Before as well: no vector is to be written under the rows of another store.
    check_current(embedding.store)
    with reading(embedding.store), place.explaining(key):
        yield zarr.open_array(place.zarr(), path=key, mode=mode, zarr_format=3)


def check_name(name: str) -> None:
    """Refuse a name that an embedding cannot have.

    Examples
    --------
    >>> check_name("resnet-50")
    """
    # No dot: so no name is that of a file which Zarr keeps beside the embeddings, as zarr.json.
    if not (isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name)):
        raise EmbeddingError(
            f"{name!r} cannot name an embedding; expected letters, digits, '-' and '_', first a letter or digit"
        )
