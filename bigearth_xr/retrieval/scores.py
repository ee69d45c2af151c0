"""How well patches are found: the published protocols."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import RetrievalError
from bigearth_xr.retrieval.index import Index, Metric
from bigearth_xr.retrieval.labelled import Counts, Own, both_labels, own_places
from bigearth_xr.retrieval.named import Given, named
from bigearth_xr.spelling import check_choice

__all__ = ["Protocol", "RetrievalScores", "evaluate", "harmonic_mean", "share"]

Protocol = Literal["overlap", "any"]
"""``"overlap"``, of CSMAE (arXiv 2401.07782, retrieval.py): how many labels are shared; k = 10, cosine.
``"any"``, of IBM's remote-sensing-image-retrieval (arXiv 2403.02059): whether one is; k = 20, l1. Both take the
official validation split as queries, the test split as archive."""

_DEFAULTS: Mapping[Protocol, tuple[int, Metric]] = {"overlap": (10, "cosine"), "any": (20, "l1")}

_BLOCK = 2**24
"""Pairs of query and archive whose shared labels are counted at once."""


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

    left_out: int | None = None
    """Pairs of a query and a vector of its own patch that were left out, by id; None where nothing was: ids are not
    known of both sides, or ``exclude_self=False``."""


def evaluate(
    query: Given,
    query_labels: Given,
    archive: Given | Index,
    archive_labels: Given,
    k: int | None = None,
    *,
    protocol: Protocol = "overlap",
    metric: Metric | None = None,
    exclude_self: bool | None = None,
) -> RetrievalScores:
    """Search for each query in an archive, and score what is found by labels in common.

    A query whose patch is in the archive would find itself: it is left out, where both sides name their patches, and
    `RetrievalScores.left_out` says how often. Between the official splits there is nothing to leave out.

    Parameters
    ----------
    query
        Vectors, shape ``(query, feature)``: NumPy, CuPy, DataArray, DataFrame, list or torch tensor.
    query_labels
        Labels of each query, multi-hot, shape ``(query, label)``: bool, or numbers that are 0 or 1. Where vectors and
        labels both name patches or rows, they have to be the same in the same order.
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
    exclude_self
        ``True`` leaves out a query's own patch by id, and is refused where ids are not known; ``False`` leaves out
        nothing; by default it is left out where both sides name patches.

    Returns
    -------
    RetrievalScores
        Averages over queries.

    Warns
    -----
    UserWarning
        If every query finds a vector equal to its own, and nobody can tell whether it is its own.

    Raises
    ------
    RetrievalError
        If labels do not fit vectors or each other, are of other patches, or vectors cannot be searched.

    Examples
    --------
    >>> vectors, labels = np.eye(4, dtype=np.float32), [[1, 0], [1, 1], [0, 1], [0, 1]]
    >>> evaluate(vectors[2:3], labels[2:3], vectors[:2], labels[:2], k=2).precision
    0.25
    """
    check_choice("protocol", protocol, _DEFAULTS, RetrievalError)
    usual_k, usual_metric = _DEFAULTS[protocol]
    index = archive if isinstance(archive, Index) else Index(archive, metric=metric or usual_metric)
    if metric not in (None, index.metric):
        raise RetrievalError(f"metric is {metric!r}, but the index has {index.metric!r}; leave one of the two out")
    asked = named(query, "the query")
    labels = named(query_labels, "query labels"), named(archive_labels, "archive labels")
    wanted, known = both_labels(*labels, asked, index.rows)
    own = own_places(asked.patches, index.patches, exclude_self)
    k = usual_k if k is None else k
    found = index.query(asked.values, k, exclude_self=own is not None, patches=asked.patches)
    if own is None and exclude_self is None and not found.distances[:, 0].any():
        _warn_of_twins(len(wanted))
    others = None if own is None or not any(own) else own
    return RetrievalScores(
        **_scored(wanted, known, found.positions, others, protocol),
        k=k,
        protocol=protocol,
        metric=index.metric,
        queries=len(wanted),
        archive=len(known),
        left_out=None if own is None else sum(map(len, own)),
    )


def share(part: NDArray[np.floating], whole: NDArray[np.floating]) -> NDArray[np.float64]:
    """Divide; of nothing, the share is 0.

    Examples
    --------
    >>> share(np.array([1, 0]), np.array([2, 0]))
    array([0.5, 0. ])
    """
    shares = np.zeros(np.broadcast_shapes(part.shape, whole.shape))
    np.divide(part, whole, out=shares, where=whole > 0)
    return shares


def harmonic_mean(precision: float, recall: float) -> float:
    """Mean of two shares as F1 takes it.

    Examples
    --------
    >>> harmonic_mean(1, 0.5)
    0.6666666666666666
    """
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _scored(
    wanted: Counts, known: Counts, found: NDArray[np.int64], own: Own | None, protocol: Protocol
) -> dict[str, float]:
    """Scores of what was found, positions of shape ``(query, k)``."""
    shared = np.einsum("ql,qkl->qk", wanted, known[found])
    ideal, relevant = _ideal(wanted, known, found.shape[1], own)
    if protocol == "overlap":
        precision = share(shared, known[found].sum(axis=2)).mean()
        recall = share(shared, wanted.sum(axis=1, keepdims=True)).mean()
    else:
        precision, recall = (shared > 0).mean(), share((shared > 0).sum(axis=1), relevant).mean()
    return {
        "precision": float(precision),
        "recall": float(recall),
        "f1": harmonic_mean(float(precision), float(recall)),
        "map": float(_average_precision(shared > 0).mean()),
        "ndcg": float(share(_discounted(shared), _discounted(ideal)).mean()),
    }


def _warn_of_twins(queries: int) -> None:
    warnings.warn(
        f"each of the {queries:,} queries finds a vector at distance 0, as where it is in the archive itself; query "
        "and archive do not both say of which patches they are, so nothing was left out: give DataArrays with a "
        "coordinate 'patch', or exclude_self=False if that is meant",
        stacklevel=3,
    )


def _ideal(wanted: Counts, known: Counts, k: int, own: Own | None) -> tuple[Counts, Counts]:
    """The most labels shared, shape ``(query, k)``, falling; and how many patches share any, shape ``(query,)``."""
    ideal, relevant = [], []
    step = max(1, _BLOCK // len(known))
    for start in range(0, len(wanted), step):
        shared = wanted[start : start + step] @ known.T
        for query, places in enumerate(() if own is None else own[start : start + step]):
            shared[query, list(places)] = -1  # less than any: it is never among k others
        relevant.append((shared > 0).sum(axis=1))
        ideal.append(-np.sort(np.partition(-shared, k - 1, axis=1)[:, :k], axis=1))
    return np.concatenate(ideal), np.concatenate(relevant)


def _discounted(gains: NDArray[np.floating]) -> NDArray[np.float64]:
    """Sum gains, shape ``(query, k)``, those at later ranks counting less."""
    discounts: NDArray[np.float64] = 1 / np.log2(np.arange(gains.shape[1]) + 2)
    discounted: NDArray[np.float64] = gains @ discounts
    return discounted


def _average_precision(relevant: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Average precision of what was found, shape ``(query, k)`` in ranked order."""
    precision = relevant.cumsum(axis=1) / np.arange(1, relevant.shape[1] + 1)
    total: NDArray[np.float64] = (precision * relevant).sum(axis=1)
    return share(total, relevant.sum(axis=1))
