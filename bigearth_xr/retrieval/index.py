"""The exact nearest vectors, on the host or on a GPU."""

from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bigearth_xr.device import to_cpu
from bigearth_xr.errors import RetrievalError
from bigearth_xr.ops.namespace import Array, array_namespace
from bigearth_xr.ops.nearest import LARGEST, Metric, nearest, search_space

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
        Shape ``(patch, feature)``, NumPy, CuPy, or a DataArray, as `bigearth_xr.embed` returns it; searched on the
        device that it is on. At least one vector, all finite.
    patches
        Id of each vector; by default the DataArray's coordinate ``patch``, if it has one.
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

    def __init__(self, vectors: Array | xr.DataArray, patches: Any = None, metric: Metric = "cosine") -> None:
        if metric not in get_args(Metric):
            raise RetrievalError(f"unknown metric {metric!r}; expected one of {', '.join(get_args(Metric))}")
        if patches is None and isinstance(vectors, xr.DataArray) and "patch" in vectors.coords:
            patches = vectors["patch"].values
        self._space = search_space(_finite(vectors, "the index"), metric)
        self.patches = None if patches is None else np.asarray(patches, dtype=object)
        if self.patches is not None and self.patches.shape != (len(self),):
            raise RetrievalError(
                f"{self.patches.size} patches for {len(self)} vectors; give one id for each vector, in order"
            )

    def __len__(self) -> int:
        return self._space.vectors.shape[0]

    @property
    def metric(self) -> Metric:
        """The distance."""
        return self._space.metric

    def query(self, vectors: Array | xr.DataArray, k: int) -> Neighbours:
        """Find the k nearest vectors of the index to each of some others.

        The result is exact: candidates are found in float32, and ordered by distances in float64. Of equal distances
        the first in the index comes first. A vector of the index finds itself, or an equal one before it.

        Parameters
        ----------
        vectors
            Shape ``(query, feature)``, on the same device as the index.
        k
            How many; at most as many as there are vectors in the index.

        Returns
        -------
        Neighbours
            On the host.

        Raises
        ------
        RetrievalError
            If vectors are of another length or not finite, or the index holds fewer than k.

        Examples
        --------
        >>> index = Index(np.float32([[0, 0], [3, 4]]), metric="l2")
        >>> index.query(np.float32([[0, 0]]), k=2).distances
        array([[0., 5.]])
        """
        queries = _finite(vectors, "the query")
        features = self._space.vectors.shape[1]
        if queries.shape[1] != features:
            raise RetrievalError(
                f"the query's vectors have {queries.shape[1]} features, the index's {features}; embed both with one "
                "model"
            )
        if not 1 <= k <= len(self):
            raise RetrievalError(f"k is {k}, expected 1 to {len(self)}, the vectors in the index")
        if array_namespace(queries) is not array_namespace(self._space.vectors):
            raise RetrievalError("query and index are on two devices; bring both to one (to_gpu, to_cpu)")
        positions, distances = (np.asarray(to_cpu(found)) for found in nearest(queries, self._space, k))
        patches = None if self.patches is None else self.patches[positions]
        return Neighbours(positions=positions, distances=distances, patches=patches)


def _finite(vectors: Array | xr.DataArray, whose: str) -> Array:
    """The vectors as an array on its device, or an error that names what is wrong with which."""
    ids = vectors["patch"].values if isinstance(vectors, xr.DataArray) and "patch" in vectors.coords else None
    array: Any = vectors.compute().data if isinstance(vectors, xr.DataArray) else vectors
    if array.ndim != 2 or 0 in array.shape or array.dtype.kind not in "iuf":
        raise RetrievalError(
            f"{whose}: an array of shape {array.shape}, {array.dtype}; expected (patch, feature), real numbers, "
            "neither empty"
        )
    # Written so that NaN, which no comparison is true of, is found too.
    bad = np.flatnonzero(np.asarray(to_cpu(~(abs(array) <= LARGEST).all(axis=1))))
    if bad.size:
        named = ", ".join(str(i if ids is None else ids[i]) for i in bad[:3]) + ", …" * (bad.size > 3)
        raise RetrievalError(
            f"{whose}: {bad.size:,} of {array.shape[0]:,} vectors are not finite, or above {LARGEST:g}: {named}; those "
            "never computed are NaN: embed these patches, or leave them out"
        )
    found: Array = array
    return found
