"""Check the embeddings of a store; give up what of them is damaged, so that it is computed anew."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import StoreAccessError, StoreError
from bigearth_xr.store import schema
from bigearth_xr.store.codec import chunk_key, encode_chunk
from bigearth_xr.store.embeddings import (
    CHUNK_ROWS,
    Embedding,
    embedding_names,
    open_embedding,
    read_chunk,
    read_computed,
)
from bigearth_xr.store.location import put
from bigearth_xr.store.open import Store
from bigearth_xr.verification.findings import Finding

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _State:
    """What can be read of one embedding."""

    embedding: Embedding
    """Which one."""

    computed: Flags | None
    """Which rows are recorded as computed, shape ``(patch,)``; None if that cannot be read."""

    finite: Flags
    """Which rows have a vector, likewise; none in a chunk that is damaged."""

    damage: dict[str, str]
    """What is wrong with files, by key."""

    @property
    def lost(self) -> Flags:
        """Rows recorded as computed that have no vector."""
        return np.zeros_like(self.finite) if self.computed is None else self.computed & ~self.finite


def check_embeddings(store: Store, names: Sequence[str]) -> tuple[Finding, ...]:
    """Verify flags and every checksum of all embeddings, and that what is called computed is there."""
    return tuple(finding for state in _states(store) for finding in _findings(state, names))


def repair_embeddings(store: Store) -> tuple[tuple[str, ...], dict[str, int]]:
    """Record vectors that are damaged or lost as not computed, and delete what cannot be read of them.

    Returns
    -------
    tuple
        Keys written or deleted, and how many vectors were given up, by the name of the embedding.
    """
    written: list[str] = []
    given_up: dict[str, int] = {}
    for state in _states(store):
        embedding, flags_key = state.embedding, _flags_key(state.embedding)
        if not state.damage and not state.lost.any():
            continue
        # First: what is not called computed is computed anew, should this be killed before the rest.
        kept = state.finite if state.computed is None else state.finite & state.computed
        chunk = encode_chunk(kept, has_checksum=schema.has_checksums(store.format_version))
        put(store.location, flags_key, chunk)
        unreadable = [key for key in state.damage if key != flags_key]
        for key in unreadable:
            store.location.delete(key)
        written += [flags_key, *unreadable]
        if state.lost.any():
            given_up[embedding.name] = int(state.lost.sum())
    return tuple(written), given_up


def _states(store: Store) -> Iterator[_State]:
    for name in embedding_names(store):
        yield _state(open_embedding(store, name))


def _state(embedding: Embedding) -> _State:
    store = embedding.store
    damage: dict[str, str] = {}
    computed: Flags | None = None
    try:
        computed = read_computed(embedding)
    except StoreAccessError:
        raise
    except StoreError as error:
        damage[_flags_key(embedding)] = str(error)
    finite = np.zeros(store.rows, bool)
    for number in range(-(-store.rows // CHUNK_ROWS)):
        here = finite[number * CHUNK_ROWS : (number + 1) * CHUNK_ROWS]
        try:
            vectors = read_chunk(store.location, embedding.key, number, embedding.features)
        except StoreAccessError:
            raise
        except StoreError as error:
            damage[_chunk_key(embedding, number)] = str(error)
        else:
            here[:] = False if vectors is None else np.isfinite(vectors[: here.size]).all(axis=1)
    return _State(embedding=embedding, computed=computed, finite=finite, damage=damage)


def _findings(state: _State, names: Sequence[str]) -> Iterator[Finding]:
    embedding = state.embedding
    remedy = (
        f"give the vectors up with --against ARCHIVE --repair, then bex.embed(..., name={embedding.name!r}) computes "
        "them anew"
    )
    lost = np.flatnonzero(state.lost)
    for key, reason in state.damage.items():
        here = [names[row] for row in lost.tolist() if _chunk_key(embedding, row // CHUNK_ROWS) == key]
        yield Finding(kind="embedding", file=key, patches=tuple(here), message=f"{reason}; or {remedy}")
    for number in np.unique(lost // CHUNK_ROWS).tolist():
        key = _chunk_key(embedding, number)
        if key not in state.damage:
            rows = lost[lost // CHUNK_ROWS == number]
            what = f"{rows.size:,} vectors are recorded as computed but missing, first of {names[rows[0]]}"
            message = f"{embedding.store.location / key}: {what}; {remedy}"
            yield Finding(kind="embedding", file=key, patches=tuple(names[row] for row in rows), message=message)


def _flags_key(embedding: Embedding) -> str:
    return chunk_key(f"{embedding.key}/computed", 1)


def _chunk_key(embedding: Embedding, number: int) -> str:
    return f"{embedding.key}/embedding/c/{number}/0"
