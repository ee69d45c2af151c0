"""What chance would reach: the least that a search has to beat."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import RetrievalError
from bigearth_xr.retrieval.labelled import both_labels, own_places
from bigearth_xr.retrieval.named import Given, named
from bigearth_xr.retrieval.scores import harmonic_mean, share

__all__ = ["RandomFloor", "random_floor"]


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
    sides = named(query_labels, "query labels"), named(archive_labels, "archive labels")
    wanted, known = (one.astype(np.float64) for one in both_labels(*sides, None, None))
    own = own_places(sides[0].patches, sides[1].patches, exclude_self) or [()] * len(wanted)
    known_share = share(known, known.sum(axis=1, keepdims=True))
    wanted_share = share(wanted, wanted.sum(axis=1, keepdims=True))
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
    return RandomFloor(precision=precision, recall=recall, f1=harmonic_mean(precision, recall), any=sharing)


def _sharing(wanted: NDArray[np.floating], known: NDArray[np.floating]) -> NDArray[np.float64]:
    """How many patches share a label with each query: patches have few distinct sets of labels, whose pairs count."""
    wanted_sets, which = np.unique(wanted, axis=0, return_inverse=True)
    known_sets, known_counts = np.unique(known, axis=0, return_counts=True)
    counts: NDArray[np.float64] = ((wanted_sets @ known_sets.T > 0) @ known_counts.astype(np.float64))[which.ravel()]
    return counts
