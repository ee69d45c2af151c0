"""What xarray asks of a lazily indexed array, read axis by axis into an array in C order."""

from collections.abc import Callable
from typing import Any

import numpy as np
from xarray.core import indexing

__all__ = ["c_ordered", "read_by_axis"]


def read_by_axis(key: indexing.ExplicitIndexer, shape: tuple[int, ...], read: Callable[[tuple[Any, ...]], Any]) -> Any:
    """Read what xarray asks for, in C order; any other key than an orthogonal one is taken apart by xarray.

    An orthogonal key is read as it is: xarray would sort it, put what it got into the order asked for by a copy that is
    not in C order, and raise ``IndexError: range object index out of range`` for an empty slice of negative step.

    Parameters
    ----------
    key
        What xarray asks for.
    shape
        Of the array that is indexed.
    read
        Reads by an orthogonal key of one integer, slice or integer array an axis.

    Returns
    -------
    numpy.ndarray or scalar
        The values.

    Examples
    --------
    >>> values = np.arange(12)
    >>> read_by_axis(indexing.BasicIndexer((slice(11, 11, -1),)), (12,), lambda key: values[key])
    array([], dtype=int64)
    """
    if isinstance(key, indexing.BasicIndexer | indexing.OuterIndexer):
        return c_ordered(read(key.tuple))
    return c_ordered(indexing.explicit_indexing_adapter(key, shape, indexing.IndexingSupport.OUTER, read))


def c_ordered(found: Any) -> Any:
    """Give an array the order of its axes in memory too: a copy, where it has another; a single value as it is.

    Examples
    --------
    >>> c_ordered(np.zeros((2, 3)).T).strides
    (16, 8)
    """
    return np.ascontiguousarray(found) if np.ndim(found) else found
