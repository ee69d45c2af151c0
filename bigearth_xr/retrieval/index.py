"""The exact nearest vectors, on the host or on a GPU."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.device import to_cpu
from bigearth_xr.errors import RetrievalError
from bigearth_xr.ops.namespace import Array, array_namespace
from bigearth_xr.ops.nearest import LARGEST, Metric, nearest, search_space
from bigearth_xr.retrieval.inputs import Given, Ids, NamedRows, as_ids, named_rows
from bigearth_xr.spelling import check_choice

__all__ = ["Index", "Metric", "Neighbours"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Neighbours:
    """The vectors nearest to each query, nearest first."""

    positions: NDArray[np.int64]
    """Place of each in the index, shape ``(query, k)``; on the host."""

    distances: NDArray[np.float64]
    """Distance of each from its query, shape ``(query, k)``; on the host."""

    patches: NDArray[np.object_] | None
    """Patch id of each, shape ``(query, k)``; None where the index knows none."""


class Index:
    """Vectors to search among.

    Parameters
    ----------
    vectors
        Shape ``(patch, feature)``: NumPy, CuPy, or a DataArray, as `bigearth_xr.embed` returns it, searched on the
        device that it is on; or a list, a DataFrame or a torch tensor, which are searched on the host. At least one
        vector, all finite.
    patches
        Id of each vector; by default the coordinate ``patch`` of a DataArray, or a DataFrame's index.
    metric
        Distance: ``"cosine"`` is 1 − cosine, from 0 to 2, and 1 from a vector that is zero; ``"l2"`` Euclidean;
        ``"l1"`` the sum of absolute differences.

    Raises
    ------
    RetrievalError
        If a vector is not finite, as where it was never computed; the message names patches.

    Examples
    --------
    >>> index = Index(np.float32([[1, 0], [0, 1], [2, 1]]), patches=["a", "b", "c"])
    >>> index.query(np.float32([[3, 0]]), k=2).patches
    array([['a', 'c']], dtype=object)
    """

    def __init__(self, vectors: Given, patches: Any = None, metric: Metric = "cosine") -> None:
        check_choice("metric", metric, get_args(Metric), RetrievalError)
        given = named_rows(vectors, "the index")
        self._space = search_space(_finite(given, "the index"), metric)
        self._given = given if patches is None else _renamed(given, patches)
        self.patches = self._given.patches

    def __len__(self) -> int:
        return self._space.vectors.shape[0]

    @property
    def metric(self) -> Metric:
        """The distance."""
        return self._space.metric

    @property
    def rows(self) -> NamedRows:
        """The vectors, and what is known of whose they are."""
        return self._given

    def query(self, vectors: Given, k: int, *, exclude_self: bool = False, patches: Any = None) -> Neighbours:
        """Find the k nearest vectors of the index to each of some others.

        The result is exact: candidates are found in float32, and ordered by distances in float64. Of equal distances
        the first in the index comes first. A vector of the index finds itself, or an equal one before it, unless it is
        left out.

        Parameters
        ----------
        vectors
            Shape ``(query, feature)``, on the same device as the index, in whatever `Index` takes.
        k
            How many; at most as many as there are vectors in the index.
        exclude_self
            Leave out the vectors of the query's own patch, by id: all of them, where the index has several.
        patches
            Id of each query; by default as of `Index`.

        Returns
        -------
        Neighbours
            On the host.

        Raises
        ------
        RetrievalError
            If vectors are of another length or not finite, the index holds fewer than k, or ids are not known of both
            sides and a query's own patch should be left out.

        Examples
        --------
        >>> index = Index(np.float32([[0, 0], [3, 4]]), metric="l2", patches=["a", "b"])
        >>> index.query(np.float32([[0, 0]]), k=2).distances
        array([[0., 5.]])
        >>> index.query(np.float32([[0, 0]]), k=1, patches=["a"], exclude_self=True).patches
        array([['b']], dtype=object)
        """
        given = named_rows(vectors, "the query")
        given = given if patches is None else _renamed(given, patches)
        queries = _finite(given, "the query")
        self._check_fits(queries)
        own: Sequence[tuple[int, ...]] = self._own(given) if exclude_self else [()] * queries.shape[0]
        most = len(self) - max(map(len, own))
        k = _checked_k(k, most, len(self))
        found = nearest(queries, self._space, k + len(self) - most)
        positions, distances = (np.asarray(to_cpu(one)) for one in found)
        if most < len(self):
            positions, distances = _others(positions, distances, own, k)
        ids = None if self.patches is None else self.patches[positions]
        return Neighbours(positions=positions, distances=distances, patches=ids)

    def _check_fits(self, queries: Array) -> None:
        features = self._space.vectors.shape[1]
        if queries.shape[1] != features:
            raise RetrievalError(
                f"the query's vectors have {queries.shape[1]} features, the index's {features}; embed both with one "
                "model"
            )
        if array_namespace(queries) is not array_namespace(self._space.vectors):
            raise RetrievalError("query and index are on two devices; bring both to one (to_gpu, to_cpu)")

    def _own(self, queries: NamedRows) -> list[tuple[int, ...]]:
        """Positions in the index of each query's own patch, of which there may be none."""
        if queries.patches is None or self.patches is None:
            whose = "the query" if queries.patches is None else "the index"
            raise RetrievalError(
                f"a query's own patch cannot be left out: {whose} does not say of which patches its vectors are; give "
                "a DataArray with a coordinate 'patch', or patches=…"
            )
        return own_positions(queries.patches, self.patches)


def own_positions(queries: Ids, patches: Ids) -> list[tuple[int, ...]]:
    """Find each query's own patch, wherever it is; a missing id is no patch's.

    Examples
    --------
    >>> own_positions(as_ids(["b", "c", ""]), as_ids(["a", "b", "b", ""]))
    [(1, 2), (), ()]
    """
    wanted = set(queries.tolist()) - {None}
    places: dict[str, tuple[int, ...]] = {}
    for place, patch in enumerate(patches.tolist()):
        if patch in wanted:
            places[patch] = (*places.get(patch, ()), place)
    return [places.get(patch, ()) for patch in queries.tolist()]


def _others(
    positions: NDArray[np.int64], distances: NDArray[np.float64], own: Sequence[tuple[int, ...]], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The first k of each query that are not its own."""
    is_other = np.array([~np.isin(found, places) for found, places in zip(positions, own, strict=True)])
    order = np.argsort(~is_other, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(positions, order, axis=1), np.take_along_axis(distances, order, axis=1)


def _checked_k(k: int, most: int, size: int) -> int:
    try:
        count = operator.index(k)
    except TypeError:
        count = 0
    if not 1 <= count <= most or isinstance(k, bool):
        less = f", of which {size - most} are a query's own" if most < size else ""
        raise RetrievalError(f"k is {k!r}, expected 1 to {most}: there are {size} vectors in the index{less}")
    return count


def _renamed(given: NamedRows, patches: Any) -> NamedRows:
    """The same, with the ids that are given beside it."""
    ids = as_ids(patches)
    if ids.size != given.values.shape[0]:
        raise RetrievalError(
            f"{ids.size} patches for {given.values.shape[0]} vectors; give one id for each vector, in order"
        )
    return replace(given, rows={"patch": ids})


def _finite(given: NamedRows, whose: str) -> Array:
    """The vectors as an array on its device, or an error that names what is wrong with which."""
    ids, array = given.rows.get("patch"), given.values
    if array.ndim != 2 or 0 in array.shape or array.dtype.kind not in "iuf":
        raise RetrievalError(
            f"{whose}: an array of shape {array.shape}, {array.dtype}; expected (patch, feature), real numbers, "
            "neither empty"
        )
    # Written so that NaN, which no comparison is true of, is found too.
    bad = np.flatnonzero(np.asarray(to_cpu(~(abs(array) <= LARGEST).all(axis=1))))
    if bad.size:
        first = ", ".join(str(i if ids is None else ids[i]) for i in bad[:3]) + ", …" * (bad.size > 3)
        raise RetrievalError(
            f"{whose}: {bad.size:,} of {array.shape[0]:,} vectors are not finite, or above {LARGEST:g}: {first}; those "
            "never computed are NaN: embed these patches, or leave them out"
        )
    found: Array = array
    return found
