"""How well patches are found: the published protocols, and what chance would reach."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.device import to_cpu
from bigearth_xr.errors import RetrievalError
from bigearth_xr.retrieval.index import Index, Metric, own_positions
from bigearth_xr.retrieval.inputs import Given, Ids, NamedRows, named_rows, same_rows
from bigearth_xr.spelling import check_choice

__all__ = ["RandomFloor", "RetrievalProtocol", "RetrievalScores", "evaluate", "random_floor"]

RetrievalProtocol = Literal["overlap", "any"]
"""``"overlap"``, of CSMAE (arXiv 2401.07782, retrieval.py): how many labels are shared; k = 10, cosine.
``"any"``, of IBM's remote-sensing-image-retrieval (arXiv 2403.02059): whether one is; k = 20, l1. Both take the
official validation split as queries, the test split as archive."""


_DEFAULTS: Mapping[RetrievalProtocol, tuple[int, Metric]] = {"overlap": (10, "cosine"), "any": (20, "l1")}


_BLOCK = 2**24
"""Pairs of query and archive whose shared labels are counted at once."""


_Counts = NDArray[np.float32]
"""Labels that may be multiplied, shape ``(patch, label)``."""


_Own = Sequence[tuple[int, ...]]
"""Of each query, where its own patch is in the archive."""


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

    protocol: RetrievalProtocol
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
    query: Given,
    query_labels: Given,
    archive: Given | Index,
    archive_labels: Given,
    k: int | None = None,
    *,
    protocol: RetrievalProtocol = "overlap",
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
        What precision and recall mean: `RetrievalProtocol`. Where a patch has no label, its shares are 0.
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
        If every query finds a vector equal to its own, and no ids say whether it is its own.

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
    asked = named_rows(query, "the query")
    labels = named_rows(query_labels, "query labels"), named_rows(archive_labels, "archive labels")
    wanted, known = _both_labels(*labels, asked, index.rows)
    own = _own_positions(asked.patches, index.patches, exclude_self)
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


def random_floor(query_labels: Given, archive_labels: Given, *, exclude_self: bool | None = None) -> RandomFloor:
    """Average the scores over all pairs of query and archive: what a search that knows nothing reaches.

    Parameters
    ----------
    query_labels, archive_labels
        Multi-hot, shapes ``(query, label)`` and ``(patch, label)``.
    exclude_self
        Whether pairs of a patch with itself are left out, as in `evaluate`.

    Returns
    -------
    RandomFloor
        Expected values, for any k.

    Examples
    --------
    >>> random_floor([[1, 0]], [[1, 1], [0, 1]])
    RandomFloor(precision=0.25, recall=0.5, f1=0.3333333333333333, any=0.5)
    """
    sides = named_rows(query_labels, "query labels"), named_rows(archive_labels, "archive labels")
    wanted, known = (one.astype(np.float64) for one in _both_labels(*sides, None, None))
    own = _own_positions(sides[0].patches, sides[1].patches, exclude_self) or [()] * len(wanted)
    known_share = _share(known, known.sum(axis=1, keepdims=True))
    wanted_share = _share(wanted, wanted.sum(axis=1, keepdims=True))
    # Sums of products are products of sums, label by label: no pair is looked at, but those left out.
    sums = np.stack([wanted @ known_share.sum(axis=0), wanted_share @ known.sum(axis=0), _sharing(wanted, known)])
    counts = np.full(len(wanted), float(len(known)))
    for query, places in enumerate(own):
        for place in places:
            shared = wanted[query] @ known[place]
            sums[:, query] -= wanted[query] @ known_share[place], wanted_share[query] @ known[place], shared > 0
            counts[query] -= 1
    if not counts.all():
        raise RetrievalError(
            "a query has no other patch in the archive; give an archive of more, or exclude_self=False"
        )
    precision, recall, sharing = (float(mean) for mean in (sums / counts).mean(axis=1))
    return RandomFloor(precision=precision, recall=recall, f1=_harmonic_mean(precision, recall), any=sharing)


def _share(part: NDArray[np.floating], whole: NDArray[np.floating]) -> NDArray[np.float64]:
    """Divide; of nothing, the share is 0."""
    shares = np.zeros(np.broadcast_shapes(part.shape, whole.shape))
    np.divide(part, whole, out=shares, where=whole > 0)
    return shares


def _harmonic_mean(precision: float, recall: float) -> float:
    """Mean of two shares as F1 takes it."""
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _scored(
    wanted: _Counts, known: _Counts, found: NDArray[np.int64], own: _Own | None, protocol: RetrievalProtocol
) -> dict[str, float]:
    """Scores of what was found, positions of shape ``(query, k)``."""
    shared = np.einsum("ql,qkl->qk", wanted, known[found])
    ideal, relevant = _ideal(wanted, known, found.shape[1], own)
    if protocol == "overlap":
        precision = _share(shared, known[found].sum(axis=2)).mean()
        recall = _share(shared, wanted.sum(axis=1, keepdims=True)).mean()
    else:
        precision, recall = (shared > 0).mean(), _share((shared > 0).sum(axis=1), relevant).mean()
    return {
        "precision": float(precision),
        "recall": float(recall),
        "f1": _harmonic_mean(float(precision), float(recall)),
        "map": float(_average_precision(shared > 0).mean()),
        "ndcg": float(_share(_discounted(shared), _discounted(ideal)).mean()),
    }


def _warn_of_twins(queries: int) -> None:
    warnings.warn(
        f"each of the {queries:,} queries finds a vector at distance 0, as where it is in the archive itself; query "
        "and archive do not both say of which patches they are, so nothing was left out: give DataArrays with a "
        "coordinate 'patch', or exclude_self=False if that is meant",
        stacklevel=3,
    )


def _ideal(wanted: _Counts, known: _Counts, k: int, own: _Own | None) -> tuple[_Counts, _Counts]:
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
    return _share(total, relevant.sum(axis=1))


def _sharing(wanted: NDArray[np.floating], known: NDArray[np.floating]) -> NDArray[np.float64]:
    """How many patches share a label with each query: patches have few distinct sets of labels, whose pairs count."""
    wanted_sets, which = np.unique(wanted, axis=0, return_inverse=True)
    known_sets, known_counts = np.unique(known, axis=0, return_counts=True)
    counts: NDArray[np.float64] = ((wanted_sets @ known_sets.T > 0) @ known_counts.astype(np.float64))[which.ravel()]
    return counts


def _both_labels(
    asked: NamedRows, stored: NamedRows, queries: NamedRows | None, patches: NamedRows | None
) -> tuple[_Counts, _Counts]:
    """Labels of both sides as numbers, of the same classes in the same order as far as anybody can tell.

    Parameters
    ----------
    asked, stored
        Labels of the queries and of the archive, multi-hot.
    queries, patches
        Their vectors, where there are any.
    """
    wanted, known = _labels(asked, queries, "query"), _labels(stored, patches, "archive")
    if wanted.shape[1] != known.shape[1]:
        raise RetrievalError(
            f"queries have {wanted.shape[1]} classes, the archive has {known.shape[1]}; use one nomenclature"
        )
    if asked.columns is not None and stored.columns is not None and not np.array_equal(asked.columns, stored.columns):
        raise RetrievalError(
            "query and archive labels name other classes, or in another order; use one nomenclature and order, e.g. "
            "archive_labels.sel(label=query_labels.label)"
        )
    return wanted, known


def _own_positions(queries: Ids | None, patches: Ids | None, exclude_self: bool | None) -> _Own | None:
    """Where each query's own patch is in the archive; None where it shall or can not be left out."""
    if exclude_self not in (None, True, False):
        raise RetrievalError(f"exclude_self is {exclude_self!r}, expected True, False or None")
    if exclude_self is False or (exclude_self is None and (queries is None or patches is None)):
        return None
    if queries is None or patches is None:
        raise RetrievalError(
            f"exclude_self needs to know the patches of {'the query' if queries is None else 'the archive'}: give a "
            "DataArray with a coordinate 'patch', of the archive also Index(vectors, patches=…)"
        )
    return own_positions(queries, patches)


def _labels(labels: NamedRows, vectors: NamedRows | None, whose: str) -> _Counts:
    """Labels as numbers that may be multiplied, or an error where they are not those of the vectors."""
    hot = np.asarray(to_cpu(labels.values))
    if hot.ndim != 2 or 0 in hot.shape or hot.dtype.kind not in "biufO" or not np.isin(hot, (0, 1)).all():
        raise RetrievalError(
            f"{whose} labels: an array of shape {hot.shape}, {hot.dtype}; expected ({whose}, label), each 0 or 1, as "
            "ds.labels and encode_labels give them"
        )
    count = len(hot) if vectors is None else sum(vectors.values.shape[:1])
    if count != len(hot):
        raise RetrievalError(
            f"{whose} labels: {len(hot)} for {count} vectors; give those of the same patches, in order"
        )
    if vectors is not None and same_rows(vectors, labels) is False:
        raise RetrievalError(
            f"{whose} labels are of other patches than its vectors, or in another order; select both alike, e.g. "
            "labels.sel(patch=vectors.patch)"
        )
    if labels.unknown:
        raise RetrievalError(
            f"{whose} labels: {labels.unknown} of {len(hot)} patches have labels that nobody told; leave them out: "
            "ds.isel(patch=ds.has_labels)"
        )
    return hot.astype(np.float32)
