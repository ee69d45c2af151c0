"""Labels of the patches of a Dataset as numbers to train on."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bigearth_xr.errors import LabelError
from bigearth_xr.labels import Nomenclature, Order, group_multi_hot, label_names, reorder_labels
from bigearth_xr.store.open import Store, reading
from bigearth_xr.store.read import read_column

__all__ = ["marks_of"]


def marks_of(
    ds: xr.Dataset, nomenclature: Nomenclature | None, order: Order, store: Store | None, rows: NDArray[np.integer]
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Take the labels of a Dataset's patches, in the nomenclature and order asked for.

    Parameters
    ----------
    ds
        Its variable ``labels`` has 19 or 43 classes, in any order.
    nomenclature, order
        Those asked for; None for those of the Dataset.
    store, rows
        Where the patches are stored, to look up the 43 classes of a Dataset of 19; None where unknown.

    Returns
    -------
    marks, names
        Shape ``(patch, label)``: 1 or 0, and NaN for every label of a patch of which none is known; and their names.

    Raises
    ------
    LabelError
        If the Dataset has no labels, or 43 classes are asked for and only 19 are known.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> ds = bex.open(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3, version="v1"))
    >>> marks_of(ds, 43, "paper", None, ds.row.values)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    bigearth_xr.errors.LabelError: the Dataset has 19 classes, and 43 are asked for; open the store with ...
    """
    if "labels" not in ds:
        raise LabelError("the Dataset has no variable 'labels'; keep it: ds[['s2', 's1', 'labels']]")
    marks, known = _in_paper_order(ds)
    wanted: Nomenclature = known if nomenclature is None else nomenclature
    if known == 43 and wanted == 19:
        marks = group_multi_hot(marks)
    elif known == 19 and wanted == 43:
        marks = _all_classes(store, rows)
    marks = reorder_labels(marks, wanted, from_order="paper", to_order=order)
    numbers = marks.astype(np.float32)
    if "has_labels" in ds.coords:
        numbers[~ds["has_labels"].values.astype(bool)] = np.nan
    return numbers, label_names(wanted, order)


def _in_paper_order(ds: xr.Dataset) -> tuple[NDArray[np.bool_], Nomenclature]:
    there = [str(name) for name in ds["label"].values]
    sizes: tuple[Nomenclature, ...] = (19, 43)
    known = next((size for size in sizes if sorted(there) == sorted(label_names(size))), None)
    if known is None:
        raise LabelError(
            f"the Dataset has {len(there)} labels, and they are neither the 19 classes nor the 43; leave out classes "
            "of what the model gives, not of the Dataset"
        )
    places = [there.index(name) for name in label_names(known)]
    return np.asarray(ds["labels"].transpose("patch", "label").values, np.bool_)[:, places], known


def _all_classes(store: Store | None, rows: NDArray[np.integer]) -> NDArray[np.bool_]:
    if store is None or "labels_43" not in store.columns:
        raise LabelError(
            "the Dataset has 19 classes, and 43 are asked for; open the store with nomenclature=43, which v1 has and "
            "v2 has not"
        )
    with reading(store):
        marks: NDArray[np.bool_] = read_column(store, "labels_43")[rows].astype(np.bool_)
    return marks
