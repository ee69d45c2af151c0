"""Labels of queries and of an archive, as numbers, and where a query's own patch is in the archive."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.device import to_cpu
from bigearth_xr.errors import RetrievalError
from bigearth_xr.retrieval.index import own_positions
from bigearth_xr.retrieval.named import Ids, Named, same_rows

__all__ = ["Counts", "Own", "both_labels", "own_places"]

Counts = NDArray[np.float32]
"""Labels that may be multiplied, shape ``(patch, label)``."""

Own = Sequence[tuple[int, ...]]
"""Of each query, where its own patch is in the archive."""


def both_labels(asked: Named, told: Named, queries: Named | None, patches: Named | None) -> tuple[Counts, Counts]:
    """Labels of both sides as numbers, of the same classes in the same order as far as anybody can tell.

    Parameters
    ----------
    asked, told
        Labels of the queries and of the archive, multi-hot.
    queries, patches
        Their vectors, where there are any.

    Examples
    --------
    >>> from bigearth_xr.retrieval.named import named
    >>> both_labels(named([[True, False]], "query labels"), named([[0, 1]], "archive labels"), None, None)
    (array([[1., 0.]], dtype=float32), array([[0., 1.]], dtype=float32))
    """
    wanted, known = _labels(asked, queries, "query"), _labels(told, patches, "archive")
    if wanted.shape[1] != known.shape[1]:
        raise RetrievalError(
            f"queries have {wanted.shape[1]} classes, the archive has {known.shape[1]}; use one nomenclature"
        )
    if asked.columns is not None and told.columns is not None and not np.array_equal(asked.columns, told.columns):
        raise RetrievalError(
            "query and archive labels name other classes, or in another order; use one nomenclature and order, e.g. "
            "archive_labels.sel(label=query_labels.label)"
        )
    return wanted, known


def own_places(queries: Ids | None, patches: Ids | None, exclude_self: bool | None) -> Own | None:
    """Where each query's own patch is in the archive; None where it shall or can not be left out.

    Examples
    --------
    >>> from bigearth_xr.retrieval.named import texts
    >>> own_places(texts(["b"]), texts(["a", "b"]), None), own_places(texts(["b"]), None, None)
    ([(1,)], None)
    """
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


def _labels(labels: Named, vectors: Named | None, whose: str) -> Counts:
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
    if labels.untold:
        raise RetrievalError(
            f"{whose} labels: {labels.untold} of {len(hot)} patches have labels that nobody told; leave them out: "
            "ds.isel(patch=ds.has_labels)"
        )
    return hot.astype(np.float32)
