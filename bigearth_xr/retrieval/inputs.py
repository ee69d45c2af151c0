"""Vectors and labels as they are given: an array, what its rows are of, and what its columns are called."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from bigearth_xr.backend.origin import as_opened
from bigearth_xr.errors import RetrievalError
from bigearth_xr.ops.namespace import Array


class Tensor(Protocol):
    """A tensor of torch, as far as it is distinguished from other arrays."""

    def detach(self) -> Any:
        """The same values without gradients."""
        ...


Given: TypeAlias = Array | xr.DataArray | pd.DataFrame | Tensor | ArrayLike
"""What vectors and labels are taken from."""

Ids = NDArray[np.object_]
"""A name of each row, of any origin as ``str``; None where it has none."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NamedRows:
    """An array whose rows may have names."""

    values: Any
    """NumPy or CuPy; the first axis is the patches."""

    rows: Mapping[str, Ids]
    """By coordinate, ``"patch"`` or ``"row"``, what it says of each row; a coordinate that is not there is left out."""

    columns: Ids | None
    """Names of the labels, where they have any."""

    unknown: int
    """How many rows have labels that are not known."""

    @property
    def patches(self) -> Ids | None:
        """Ids of the patches; None where they are not known, as where ``patch`` only counts."""
        ids = self.rows.get("patch")
        return None if ids is None or any(isinstance(one, int) for one in ids) else ids


def named_rows(given: Given, whose: str) -> NamedRows:
    """Take vectors or labels in whatever holds them.

    Parameters
    ----------
    given
        NumPy, CuPy, Dask, a list, a torch tensor of a CPU, of any data type and with or without gradients, a
        DataArray whose coordinates ``patch``, ``row`` and ``label`` name things, or a DataFrame whose index and
        columns do.
    whose
        What to call it in an error.

    Returns
    -------
    Named
        Floats of half precision widened to float32.

    Raises
    ------
    RetrievalError
        If it is not an array.
    """
    if isinstance(given, pd.DataFrame):
        given = xr.DataArray(given.to_numpy(), {"patch": given.index, "label": given.columns}, ["patch", "label"])
    if isinstance(given, xr.DataArray) and "patch" in given.dims:
        given = as_opened(given).transpose("patch", ...)
    coordinates = given.coords if isinstance(given, xr.DataArray) else {}
    try:
        values = _array(given.compute().data if isinstance(given, xr.DataArray) else given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise RetrievalError(
            f"{whose}: {type(given).__module__}.{type(given).__qualname__} is not an array of numbers ({error}); "
            "expected NumPy, CuPy, a DataArray, a torch tensor or a list, each row of one length"
        ) from None
    first = given.dims[:1] if isinstance(given, xr.DataArray) else ()
    has_labels = coordinates.get("has_labels")
    return NamedRows(
        values=values,
        rows={name: as_ids(coordinates[name]) for name in ("patch", "row") if _is_along(coordinates, name, first)},
        columns=as_ids(coordinates["label"]) if "label" in coordinates else None,
        unknown=0 if has_labels is None else int(np.count_nonzero(~np.asarray(has_labels.values, dtype=bool))),
    )


def as_ids(names: Any) -> Ids:
    """Spell names alike, whatever holds them.

    Parameters
    ----------
    names
        Shape ``(patch,)``: objects, ``<U``, bytes, NumPy's or pandas' strings, or integers, which stay such.

    Returns
    -------
    NDArray[np.object_]
        ``str``, or ``int`` where it only counts; None where a name is missing.

    Examples
    --------
    >>> as_ids(np.array([b"a", b""])), as_ids(["a", float("nan")])
    (array(['a', None], dtype=object), array(['a', None], dtype=object))
    """
    listed = np.asarray(names.values if isinstance(names, xr.DataArray) else names, dtype=object).ravel()
    spelled = np.empty(listed.size, dtype=object)
    spelled[:] = [_text(name) for name in listed.tolist()]
    return spelled


def same_rows(one: NamedRows, other: NamedRows) -> bool | None:
    """Tell whether rows of two arrays are of the same patches in the same order; None where nothing says so."""
    for name in ("patch", "row"):
        if name in one.rows and name in other.rows:
            return np.array_equal(one.rows[name], other.rows[name])
    return None


def _text(name: Any) -> str | int | None:
    if isinstance(name, bytes):
        name = name.decode(errors="replace")
    if isinstance(name, str):
        return str(name) or None
    if isinstance(name, int | np.integer) and not isinstance(name, bool):
        return int(name)
    return None if pd.isna(name) else str(name)


def _is_along(coordinates: Mapping[Any, Any], name: str, first: tuple[Any, ...]) -> bool:
    return name in coordinates and coordinates[name].dims == first


def _array(given: Any) -> Any:
    """NumPy or CuPy of what is given; what is masked is NaN."""
    library = type(given).__module__.partition(".")[0]
    if library == "cupy":
        return given
    if library == "dask":
        return _array(given.compute())
    if hasattr(given, "detach"):  # torch, which is not imported for it
        tensor = given.detach().cpu()
        return (tensor.float() if tensor.is_floating_point() and tensor.element_size() < 4 else tensor).numpy()
    if isinstance(given, list | tuple) and any(hasattr(row, "detach") for row in given):
        return np.stack([_array(row) for row in given])
    if isinstance(given, np.ma.MaskedArray):
        given = np.ma.filled(given.astype(np.float64), np.nan) if np.ma.is_masked(given) else given.data
    array = np.asarray(given)
    return array.astype(np.float32) if array.dtype.kind == "f" and array.dtype.itemsize < 4 else array
