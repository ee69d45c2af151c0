"""How well patches are found: the published protocols, and what chance would reach."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from bigearth_xr.errors import RetrievalError
from bigearth_xr.ops.namespace import Array
from bigearth_xr.retrieval.index import Index, Metric

__all__ = ["Protocol", "RandomFloor", "RetrievalScores", "evaluate", "random_floor"]

Protocol = Literal["overlap", "any"]
"""``"overlap"``, of CSMAE (arXiv 2401.07782, retrieval.py): how many labels are shared; k = 10, cosine.
``"any"``, of IBM's remote-sensing-image-retrieval (arXiv 2403.02059): whether one is; k = 20, l1. Both take the
official validation split as queries, the test split as archive."""

_DEFAULTS: Mapping[Protocol, tuple[int, Metric]] = {"overlap": (10, "cosine"), "any": (20, "l1")}

_BLOCK = 2**24
"""Pairs of query and archive whose shared labels are counted at once."""

Counts = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalScores:
    """Scores from 0 to 1, averaged over queries."""

    precision: float
    """``"overlap"``: share of a found patch's labels that the query has, averaged over the k found. ``"any"``: share
    of the k found that have a label of the query's."""

    recall: float
    """``"overlap"``: share of the query's labels that a found patch has, averaged over the k found. ``"any"``: share
    of the archive's patches with a label of the query's that are among the k found."""

    f1: float
    """Harmonic mean of `precision` and `recall`, as the protocol has it: of the two averages."""

    map: float
    """Average precision at k, where a patch counts if it shares a label: mean, over the ranks of those that do, of
    the precision up to there; 0 if none does. As torchmetrics' ``RetrievalMAP(top_k=k)`` of similarities, which have
    to be above 0 there."""

    ndcg: float
    """Normalised discounted cumulative gain at k (Järvelin and Kekäläinen, 2002): the gain of a patch is the number
    of shared labels, its discount log2(rank + 1), the ideal the archive's best k; 0 if no patch shares a label. As
    scikit-learn's ``ndcg_score``."""

    k: int
    """How many patches were found for each query."""

    protocol: Protocol
    """What `precision` and `recall` mean."""

    metric: Metric
    """Distance."""

    queries: int
    """How many queries."""

    archive: int
    """How many patches were searched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomFloor:
    """What patches found at random score on average: exact, over all pairs of query and archive."""

    precision: float
    """Of protocol ``"overlap"``."""

    recall: float
    """Of protocol ``"overlap"``."""

    f1: float
    """Harmonic mean of the two."""

    any: float
    """Share of pairs with a label in common: the precision of protocol ``"any"``."""


def evaluate(
    query: Array | xr.DataArray,
    query_labels: ArrayLike,
    archive: Array | xr.DataArray | Index,
    archive_labels: ArrayLike,
    k: int | None = None,
    *,
    protocol: Protocol = "overlap",
    metric: Metric | None = None,
) -> RetrievalScores:
    """Search for each query in an archive, and score what is found by labels in common.

    A query that is in the archive itself finds itself: keep the two apart, as the official splits are.

    Parameters
    ----------
    query
        Vectors, shape ``(query, feature)``, NumPy, CuPy or DataArray.
    query_labels
        Labels of each query, multi-hot, shape ``(query, label)``.
    archive
        Vectors to search, shape ``(patch, feature)``; or an `Index` of them.
    archive_labels
        Labels of each, multi-hot, shape ``(patch, label)``, in the same order of labels.
    k
        How many to find for each query; by default the protocol's: 10 or 20.
    protocol
        What precision and recall mean: `Protocol`. Where a patch has no label, its shares are 0.
    metric
        Distance; by default the index's, else the protocol's: ``"cosine"`` or ``"l1"``.

    Returns
    -------
    RetrievalScores
        Averages over queries.

    Raises
    ------
    RetrievalError
        If labels do not fit vectors or each other, or vectors cannot be searched.

    Examples
    --------
    >>> vectors, labels = np.eye(4, dtype=np.float32), [[1, 0], [1, 1], [0, 1], [0, 1]]
    >>> evaluate(vectors[:1], labels[:1], vectors[:2], labels[:2], k=2).precision
    0.75
    """
    if protocol not in _DEFAULTS:
        raise RetrievalError(f"unknown protocol {protocol!r}; expected one of {', '.join(_DEFAULTS)}")
    usual_k, usual_metric = _DEFAULTS[protocol]
    index = archive if isinstance(archive, Index) else Index(archive, metric=metric or usual_metric)
    if metric not in (None, index.metric):
        raise RetrievalError(f"metric is {metric!r}, but the index has {index.metric!r}; leave one of the two out")
    _check_same_patches(query, query_labels, "query")
    _check_same_patches(index.patches if isinstance(archive, Index) else archive, archive_labels, "archive")
    wanted, known = _both_labels(query_labels, archive_labels, query.shape[0], len(index))
    k = usual_k if k is None else k
    found = index.query(query, k).positions
    shared = np.einsum("ql,qkl->qk", wanted, known[found])
    ideal, relevant = _ideal(wanted, known, k)
    if protocol == "overlap":
        precision = _share(shared, known[found].sum(axis=2)).mean()
        recall = _share(shared, wanted.sum(axis=1, keepdims=True)).mean()
    else:
        precision, recall = (shared > 0).mean(), _share((shared > 0).sum(axis=1), relevant).mean()
    return RetrievalScores(
        precision=float(precision),
        recall=float(recall),
        f1=_harmonic_mean(float(precision), float(recall)),
        map=float(_average_precision(shared > 0).mean()),
        ndcg=float(_share(_discounted(shared), _discounted(ideal)).mean()),
        k=k,
        protocol=protocol,
        metric=index.metric,
        queries=len(wanted),
        archive=len(known),
    )


def random_floor(query_labels: ArrayLike, archive_labels: ArrayLike) -> RandomFloor:
    """Average the scores over all pairs of query and archive: what a search that knows nothing reaches.

    Parameters
    ----------
    query_labels, archive_labels
        Multi-hot, shapes ``(query, label)`` and ``(patch, label)``.

    Returns
    -------
    RandomFloor
        Expected values, for any k.

    Examples
    --------
    >>> random_floor([[1, 0]], [[1, 1], [0, 1]])
    RandomFloor(precision=0.25, recall=0.5, f1=0.3333333333333333, any=0.5)
    """
    wanted, known = _both_labels(query_labels, archive_labels, None, None)
    # Means of products are products of means, label by label: no pair is looked at.
    wanted, known = wanted.astype(np.float64), known.astype(np.float64)
    wanted_share = _share(wanted, wanted.sum(axis=1, keepdims=True)).mean(axis=0)
    known_share = _share(known, known.sum(axis=1, keepdims=True)).mean(axis=0)
    precision = float(wanted.mean(axis=0) @ known_share)
    recall = float(wanted_share @ known.mean(axis=0))
    # Patches have few distinct sets of labels: the pairs of these are counted instead.
    wanted_sets, wanted_counts = np.unique(wanted, axis=0, return_counts=True)
    known_sets, known_counts = np.unique(known, axis=0, return_counts=True)
    pairs = wanted_counts @ (wanted_sets @ known_sets.T > 0) @ known_counts
    return RandomFloor(
        precision=precision,
        recall=recall,
        f1=_harmonic_mean(precision, recall),
        any=float(pairs) / (len(wanted) * len(known)),
    )


def _labels(labels: ArrayLike, count: int | None, whose: str) -> Counts:
    """Labels as numbers that may be multiplied, or an error where they are no multi-hot array of that length."""
    hot = np.asarray(labels)
    if hot.ndim != 2 or 0 in hot.shape or not np.isin(hot, (0, 1)).all():
        raise RetrievalError(
            f"{whose} labels: an array of shape {hot.shape}, {hot.dtype}; expected ({whose}, label), each 0 or 1, as "
            "ds.labels and encode_labels give them"
        )
    if count not in (None, len(hot)):
        raise RetrievalError(
            f"{whose} labels: {len(hot)} for {count} vectors; give those of the same patches, in order"
        )
    return hot.astype(np.float32)


def _check_same_patches(vectors: Any, labels: ArrayLike, whose: str) -> None:
    """Refuse labels of other patches than the vectors, where both say whose they are; and labels that nobody told."""
    if not isinstance(labels, xr.DataArray):
        return
    owners = vectors["patch"].values if isinstance(vectors, xr.DataArray) and "patch" in vectors.coords else vectors
    named = isinstance(owners, np.ndarray) and owners.dtype == object and owners.shape == labels.shape[:1]
    if named and "patch" in labels.coords and not np.array_equal(owners, labels["patch"].values):
        raise RetrievalError(
            f"{whose} labels are of other patches than its vectors, or in another order; select both alike, e.g. "
            "labels.sel(patch=vectors.patch)"
        )
    if "has_labels" in labels.coords and not labels["has_labels"].values.all():
        unknown = int((~labels["has_labels"].values).sum())
        raise RetrievalError(
            f"{whose} labels: {unknown} of {labels.shape[0]} patches have labels that nobody told; leave them out: "
            "ds.isel(patch=ds.has_labels)"
        )


def _both_labels(
    query_labels: ArrayLike, archive_labels: ArrayLike, queries: int | None, patches: int | None
) -> tuple[Counts, Counts]:
    """Labels of both sides as numbers, of the same classes in the same order as far as anybody can tell."""
    wanted, known = _labels(query_labels, queries, "query"), _labels(archive_labels, patches, "archive")
    if wanted.shape[1] != known.shape[1]:
        raise RetrievalError(
            f"queries have {wanted.shape[1]} classes, the archive has {known.shape[1]}; use one nomenclature"
        )
    sides = (query_labels, archive_labels)
    named = [one["label"].values for one in sides if isinstance(one, xr.DataArray) and "label" in one.coords]
    if len(named) == 2 and not np.array_equal(named[0], named[1]):
        raise RetrievalError(
            "query and archive labels name other classes, or in another order; use one nomenclature and order, e.g. "
            "archive_labels.sel(label=query_labels.label)"
        )
    return wanted, known


def _ideal(wanted: Counts, known: Counts, k: int) -> tuple[Counts, Counts]:
    """The most labels shared, shape ``(query, k)``, falling; and how many patches share any, shape ``(query,)``."""
    ideal, relevant = [], []
    step = max(1, _BLOCK // len(known))
    for start in range(0, len(wanted), step):
        shared = wanted[start : start + step] @ known.T
        relevant.append((shared > 0).sum(axis=1))
        ideal.append(-np.sort(np.partition(-shared, k - 1, axis=1)[:, :k], axis=1))
    return np.concatenate(ideal), np.concatenate(relevant)


def _share(part: NDArray[np.floating], whole: NDArray[np.floating]) -> NDArray[np.float64]:
    """Divide; of nothing, the share is 0."""
    share = np.zeros(np.broadcast_shapes(part.shape, whole.shape))
    np.divide(part, whole, out=share, where=whole > 0)
    return share


def _discounted(gains: NDArray[np.floating]) -> NDArray[np.float64]:
    """Sum gains, shape ``(query, k)``, those at later ranks counting less."""
    discounts: NDArray[np.float64] = 1 / np.log2(np.arange(gains.shape[1]) + 2)
    discounted: NDArray[np.float64] = gains @ discounts
    return discounted


def _average_precision(relevant: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Average precision of what was found, shape ``(query, k)`` in ranked order."""
    precision = relevant.cumsum(axis=1) / np.arange(1, relevant.shape[1] + 1)
    total: NDArray[np.float64] = (precision * relevant).sum(axis=1)
    return _share(total, relevant.sum(axis=1))


def _harmonic_mean(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
