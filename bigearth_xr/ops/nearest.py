"""The exact nearest of many vectors: candidates by a product of matrices in float32, their order in float64.

The product is fast, and rounds: by how much at most is known, so that every vector which may be among the nearest is a
candidate. Distances of candidates are taken element by element, so that equal vectors are equally far.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from bigearth_xr.ops.namespace import Array, array_namespace

__all__ = ["LARGEST", "Metric", "nearest", "search_space"]

Metric = Literal["cosine", "l2", "l1"]

LARGEST = 1e18
"""Largest magnitude that a vector may have: squares of larger ones overflow in float32."""

BLOCK_BYTES = 2**28
"""Size that a temporary array is kept below; a search holds a few of them, whatever it searches."""

_ROUNDING = 2.0**-23
"""Twice the rounding of float32: a product of vectors of length d is off by d times that, relative to their norms."""

_LEAST = 2.0**-126
"""Least float32 that is not rounded more than others: what is smaller is off by less than that."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SearchSpace:
    """Vectors made ready to be searched; all arrays on one device."""

    metric: Metric
    """Distance."""

    vectors: Array
    """As given, shape ``(patch, feature)``."""

    coarse: Array
    """The same in float32, for cosine of length 1."""

    size: Array
    """Norm of each coarse vector, shape ``(patch, 1)``: sum of magnitudes for l1, else Euclidean."""


def search_space(vectors: Array, metric: Metric) -> SearchSpace:
    """Prepare vectors once for many searches.

    Parameters
    ----------
    vectors
        Shape ``(patch, feature)``, real, finite and below `LARGEST`, NumPy or CuPy.
    metric
        ``"cosine"`` (1 − cosine; 1 from a vector that is zero), ``"l2"`` or ``"l1"``.

    Returns
    -------
    SearchSpace
        Holds vectors that are float32 already once for l1 and l2, twice for cosine.
    """
    xp = array_namespace(vectors)
    if metric == "cosine":
        blocks = _blocks(vectors, 8 * vectors.shape[1])
        coarse = xp.concatenate([_unit(block.astype(xp.float64)).astype(xp.float32) for block in blocks])
        size = xp.ones((len(coarse), 1), xp.float32)  # also of zero, which is then as far as what is at right angles
    else:
        coarse = xp.asarray(vectors, dtype=xp.float32)
        parts = _blocks(coarse, 4 * vectors.shape[1])
        size = xp.concatenate([_norm(part, metric) for part in parts])
    return SearchSpace(metric=metric, vectors=vectors, coarse=coarse, size=size)


def nearest(queries: Array, space: SearchSpace, k: int) -> tuple[Array, Array]:
    """Find the k nearest vectors to each query.

    Parameters
    ----------
    queries
        Shape ``(query, feature)``, as the vectors of `search_space`, on the same device.
    space
        The vectors to search.
    k
        How many, at most as many as there are vectors.

    Returns
    -------
    positions, distances : Array
        Shape ``(query, k)``, int64 and float64, same device: nearest first; of equal distances the lower position.

    Examples
    --------
    >>> import numpy as np
    >>> nearest(np.float32([[0, 1]]), search_space(np.float32([[0, 3], [0, 0], [1, 1]]), "l2"), 2)
    (array([[1, 2]]), array([[1., 1.]]))
    """
    xp = array_namespace(queries, space.vectors)
    blocks = _blocks(queries, 4 * max(space.vectors.shape))
    found = [_nearest_of_block(block, space, k) for block in blocks]
    positions, distances = (xp.concatenate(parts) for parts in zip(*found, strict=True))
    return positions, distances


def _nearest_of_block(queries: Any, space: SearchSpace, k: int) -> tuple[Any, Any]:
    xp = array_namespace(queries)
    rough, slack = _rough(search_space(queries, space.metric), space)
    # The k-th nearest is at most `slack` farther than it looks, and what is nearer looks at most `slack` farther.
    limit = xp.partition(rough, k - 1, axis=1)[:, k - 1 : k] + 2 * slack
    count = int((rough <= limit).sum(axis=1).max())
    # In the order of positions, which a stable sort keeps where distances are equal.
    candidates = xp.sort(xp.argpartition(rough, count - 1, axis=1)[:, :count], axis=1)
    distances = _distances(queries, space.vectors, candidates, space.metric)
    order = xp.argsort(distances, axis=1, kind="stable")[:, :k]
    return xp.take_along_axis(candidates, order, axis=1), xp.take_along_axis(distances, order, axis=1)


def _rough(queries: Any, space: Any) -> tuple[Any, Any]:
    """Distances in float32, shape ``(query, patch)`` (squared but for l1), and by how much each query's may be off."""
    xp = array_namespace(queries.coarse)
    features = queries.coarse.shape[1]
    extent = queries.size + space.size.max()
    if space.metric == "l1":
        blocks = _blocks(space.coarse, queries.coarse.nbytes)
        rough = xp.concatenate([abs(queries.coarse[:, None] - block).sum(axis=-1) for block in blocks], axis=1)
    else:
        rough = queries.size**2 + space.size.T**2 - 2 * (queries.coarse @ space.coarse.T)
        extent = extent**2
    return rough, (features + 8) * (_ROUNDING * extent + _LEAST)


def _norm(coarse: Any, metric: Metric) -> Any:
    if metric == "l1":
        return abs(coarse).sum(axis=1, keepdims=True)
    return (coarse * coarse).sum(axis=1, keepdims=True) ** 0.5


def _unit(wide: Any) -> Any:
    """Vectors of length 1, float64; zero stays zero."""
    xp = array_namespace(wide)
    # First by the largest element, so that no square under- or overflows.
    largest = abs(wide).max(axis=-1, keepdims=True)
    scaled = wide / xp.where(largest == 0, 1, largest)
    norm = (scaled * scaled).sum(axis=-1, keepdims=True) ** 0.5
    return scaled / xp.where(norm == 0, 1, norm)


def _distances(queries: Any, vectors: Any, candidates: Any, metric: Metric) -> Any:
    """Distance of each query from its candidates, float64, a block of pairs at a time."""
    xp = array_namespace(queries)
    query = xp.repeat(xp.arange(candidates.shape[0]), candidates.shape[1])
    pairs = xp.stack([query, candidates.reshape(-1)], axis=1)
    blocks = _blocks(pairs, 16 * queries.shape[1])
    parts = [_exact(queries[block[:, 0]], vectors[block[:, 1]], metric) for block in blocks]
    return xp.concatenate(parts).reshape(candidates.shape)


def _exact(a: Any, b: Any, metric: Metric) -> Any:
    xp = array_namespace(a)
    wide_a, wide_b = a.astype(xp.float64), b.astype(xp.float64)
    if metric == "l1":
        return abs(wide_a - wide_b).sum(axis=-1)
    if metric == "l2":
        return ((wide_a - wide_b) ** 2).sum(axis=-1) ** 0.5
    # Half the squared chord is 1 − cosine, and exactly 0 between equal vectors.
    unit_a, unit_b = _unit(wide_a), _unit(wide_b)
    both = wide_a.any(axis=-1) & wide_b.any(axis=-1)
    return xp.where(both, ((unit_a - unit_b) ** 2).sum(axis=-1) / 2, 1.0)


def _blocks(array: Any, row_bytes: int) -> Iterator[Any]:
    """Split along the first axis, so that what takes `row_bytes` a row stays below `BLOCK_BYTES`."""
    step = max(1, BLOCK_BYTES // row_bytes)
    return (array[start : start + step] for start in range(0, array.shape[0], step))
