"""Vectors of a model, a row each, in the store's group ``embeddings/<name>``.

``embedding (patch, feature)`` has all rows of the store, NaN where not computed; ``computed (patch)`` says which are.
The group's attributes say how the vectors were made, and neither when nor where.
"""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import EmbeddingError
from bigearth_xr.store.create import consolidate
from bigearth_xr.store.read import Store

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
    def path(self) -> Path:
        """The group's folder."""
        return self.store.path / GROUP / self.name


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
    >>> create_embedding(store, "mine", features=2, provenance={"model": "mine"}).path.name
    'mine'
    """
    import zarr
    from zarr.codecs import BytesCodec, Crc32cCodec

    check_name(name)
    root = zarr.open_group(store.path, mode="r+", use_consolidated=False)
    group = root.require_group(GROUP).create_group(name, attributes={"bigearth": dict(provenance)})
    group.create_array(
        "embedding",
        shape=(store.rows, features),
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
        shape=(store.rows,),
        chunks=(store.rows,),
        dtype="bool",
        fill_value=False,
        dimension_names=("patch",),
        attributes={"long_name": "whether the vector of a patch was computed"},
    )
    consolidate(store.path)
    return Embedding(store=store, name=name, features=features, provenance=provenance)


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
    names = embedding_names(store)
    if name not in names:
        raise EmbeddingError(
            f"{store.path}: no embedding {name!r}, it has {', '.join(names) or 'none'}; make it with bex.embed"
        )
    folder = store.path / GROUP / name
    attributes = json.loads((folder / "zarr.json").read_bytes())["attributes"]
    shape = json.loads((folder / "embedding" / "zarr.json").read_bytes())["shape"]
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
    return tuple(sorted(path.parent.parent.name for path in (store.path / GROUP).glob("*/computed/zarr.json")))


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
    if (store.path / GROUP / name).exists():
        shutil.rmtree(store.path / GROUP / name)
        consolidate(store.path)


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
    import zarr

    zarr.open_array(embedding.path / "embedding", mode="r+").oindex[rows, :] = vectors
    # Last: a run that is killed in between computes these rows again.
    computed = zarr.open_array(embedding.path / "computed", mode="r+")
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
    import zarr

    array = zarr.open_array(embedding.path / "embedding", mode="r")
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
    import zarr

    return np.asarray(zarr.open_array(embedding.path / "computed", mode="r")[...])


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
