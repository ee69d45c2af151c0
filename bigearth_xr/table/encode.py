"""Labels of a table as arrays of truth values."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bigearth_xr.errors import LabelError
from bigearth_xr.labels import Nomenclature, label_names

__all__ = ["multi_hot"]


def multi_hot(labels: pa.ListArray, nomenclature: Nomenclature = 19) -> NDArray[np.bool_]:
    """Encode a column of label lists.

    Parameters
    ----------
    labels
        Lists of label names, one list a patch; null where unknown.
    nomenclature
        Number of classes that the names are of.

    Returns
    -------
    numpy.ndarray
        Shape ``(patch, label)``, bool, paper order; all False where a list is empty or null.

    Raises
    ------
    LabelError
        If a name is not in the nomenclature.

    Examples
    --------
    >>> multi_hot(pa.array([["Pastures"], None])).sum(axis=1)
    array([1, 0])
    """
    names = label_names(nomenclature)
    index = pc.index_in(labels.flatten(), pa.array(names))
    if index.null_count:
        stranger = labels.flatten().filter(pc.is_null(index))[0].as_py()
        raise LabelError(f"{stranger!r} is no label of the {nomenclature}-class nomenclature: {', '.join(names)}")
    encoded = np.zeros((len(labels), len(names)), dtype=bool)
    encoded[np.asarray(pc.list_parent_indices(labels)), np.asarray(index)] = True
    return encoded
