"""Where what is given comes from: which stored pixels an array still is, and what xarray saved and opened again.

Attributes and encoding survive arithmetic, `where` and `concat`, so they prove nothing of pixels: the array itself is
asked whether it is one of ours, indexed and nothing else.

Files hold texts as objects, fixed-width characters, bytes, NumPy's or pandas' strings; truth as int8; times as numbers,
or of a calendar; attributes as arrays of one. What looks at coordinates and attributes looks at what comes out here.
"""

import json
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from bigearth_xr.backend.columns import StoredColumn, decoded_dtype
from bigearth_xr.backend.pixels import StoredPixels, read_by_axis, row_numbers
from bigearth_xr.bands import GROUPS
from bigearth_xr.store.schema import COLUMNS

__all__ = ["as_opened", "own_pixels", "stored_source"]

_WRAPPERS = (
    indexing.MemoryCachedArray,
    indexing.CopyOnWriteArray,
    indexing.ImplicitToExplicitIndexingAdapter,
)
"""What xarray puts around a lazily indexed array without touching values; others compute, as `decode_cf` does."""

_Kind = Literal["text", "truth", "time", "integer", "decimal"]
"""What a variable holds."""

Given = TypeVar("Given", xr.Dataset, xr.DataArray)
_BY_LETTER: Mapping[str, _Kind] = {"O": "text", "b": "truth", "M": "time", "i": "integer", "f": "decimal"}
_LAZY = ("text", "truth")
_SETTLED: Mapping[_Kind, str] = {"truth": "b", "time": "M", "integer": "iu", "decimal": "f"}
"""Kinds of data type that are as they should be; of texts the values have to be looked at."""
_NO_TEXT = "biufcmM"
"""Kinds of data type that hold no texts: what else is called so, as patches that are only numbered, stays as it is."""

_LABELS = ("labels", "labels_19", "labels_43")
_KINDS: Mapping[str, _Kind] = {
    **{column.name: _BY_LETTER[decoded_dtype(column).kind] for column in COLUMNS},
    **dict.fromkeys(["band", "polarization", "label", "label_19", "label_43", "state"], "text"),
    **dict.fromkeys([group.dim for group in GROUPS], "text"),
    **dict.fromkeys(["listed", "has_labels", "has_reference_map", *_LABELS], "truth"),
    **dict.fromkeys(["row", "native_res_m"], "integer"),
    "wavelength_nm": "decimal",
}
"""What each variable holds that says something of patches or bands."""

_ENCODED = ("_FillValue", "missing_value", "scale_factor", "add_offset", "_Unsigned", "dtype", "calendar")
"""Attributes that xarray takes away when it decodes: what has one was not decoded."""


def own_rows(variable: xr.Variable | xr.DataArray) -> tuple[Any, Any, tuple[str, ...]] | None:
    """Tell the store, rows and bands that a variable holds unchanged.

    Parameters
    ----------
    variable
        Any variable, lazily indexed, Dask-backed or in memory.

    Returns
    -------
    tuple or None
        ``(store, rows, bands)``: rows of the store, shape ``(patch,)``, and band names, in the variable's order; None
        where the values are computed, cropped in y or x, loaded, or not from a store at all.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> ds = bex.open(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> own_rows(ds.s1.isel(patch=[2, 0]))[1:]
    (array([2, 0]), ('VV', 'VH'))
    >>> own_rows(ds.s1 + 1) is None
    True
    """
    pixels = own_pixels(variable)
    return None if pixels is None else (pixels.store, row_numbers(pixels.rows), pixels.bands)


def own_pixels(variable: xr.Variable | xr.DataArray) -> StoredPixels | None:
    """Find the stored pixels that a variable is, whole in y and x, or None."""
    data = variable.variable._data if isinstance(variable, xr.DataArray) else variable._data
    found = _of_dask(data) if hasattr(data, "dask") else _of_lazy(data)
    whole = found is not None and found.window is None and found.shape == variable.shape
    return found if whole else None


def stored_source(variable: xr.Variable | xr.DataArray) -> StoredPixels | None:
    """Find the stored pixels that all values of a variable are among, however it was indexed, or None."""
    data: Any = variable.variable._data if isinstance(variable, xr.DataArray) else variable._data
    if hasattr(data, "dask"):
        source = getattr(data, "source", None)
        return source if isinstance(source, StoredPixels) else _of_opened(data)
    while isinstance(data, _WRAPPERS):
        data = data.array
    if not isinstance(data, indexing.LazilyIndexedArray | indexing.LazilyVectorizedIndexedArray):
        return None
    found: Any = data.array
    return found if isinstance(found, StoredPixels) else None


def as_opened(given: Given) -> Given:
    """Give what others have saved and opened the types that `bigearth_xr.open` gives; pixels are not touched.

    Parameters
    ----------
    given
        A Dataset, or a DataArray of one.

    Returns
    -------
    xarray.Dataset or xarray.DataArray
        The very same object where nothing is to be done, as with Datasets of a store. Else texts are ``str`` objects,
        ``""`` where they are missing; truth is bool, False where it is missing; times are ``datetime64``. Patches of
        which labels are missing have none that are known: ``has_labels`` is False. What is in a file stays there until
        it is used.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> ds = bex.open(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> stored = ds.assign_coords(split=ds.split.astype("S"), listed=ds.listed.astype("int8"))
    >>> again = as_opened(stored)
    >>> again.split.dtype, again.listed.dtype, as_opened(again) is again
    (dtype('O'), dtype('bool'), True)
    """
    there = given.variables if isinstance(given, xr.Dataset) else {name: c.variable for name, c in given.coords.items()}
    new = {name: _settled(name, variable) for name, variable in there.items()}
    new = {name: variable for name, variable in new.items() if variable is not there[name]}
    if isinstance(given, xr.Dataset):
        given = _with_variables(given, new)
    elif new:
        given = given.assign_coords(new)
    attributes = _attributes(given.attrs)
    if attributes is not given.attrs:
        given = given.copy(deep=False)
        given.attrs = attributes
    return given


def _of_dask(data: Any) -> StoredPixels | None:
    source = getattr(data, "source", None)
    if isinstance(source, StoredPixels):  # one of our PatchArrays
        return None if data.fixed else source
    return _of_opened(data)


def _of_opened(data: Any) -> StoredPixels | None:
    """Unwrap what ``chunks={}`` makes: xarray's graph of one source and the reads of its chunks, nothing more."""
    layers = data.dask.layers
    source = layers.get(f"original-{data.name}")
    if source is None or set(layers) != {data.name, f"original-{data.name}"}:
        return None
    return _of_lazy(next(iter(source.values())))


def _of_lazy(data: Any) -> StoredPixels | None:
    """Peel xarray's wrappers off a lazily indexed array, and apply its key to the rows and bands."""
    while isinstance(data, _WRAPPERS):
        data = data.array
    if not isinstance(data, indexing.LazilyIndexedArray) or not isinstance(data.array, StoredPixels):
        return None
    key = data.key.tuple
    if any(np.ndim(k) != 1 and not isinstance(k, slice) for k in key):
        return None
    return data.array.narrow(key)


def _converted(kind: _Kind, values: Any) -> NDArray[Any]:
    """Convert values of any spelling; what is of another kind, as patches that are only numbered, stays as it is."""
    given = np.asarray(values)
    if kind == "text":
        return given if given.dtype.kind in _NO_TEXT else _each(_text, given)
    if kind == "truth":
        return np.asarray(given == 1, bool) if given.dtype.kind != "O" else np.asarray(_each(_is_true, given), bool)
    if kind == "time":
        return given if given.dtype.kind in "biufcM" else _times(given)
    if kind == "integer":
        whole = given.astype(np.float64)
        return whole.astype(np.int64) if np.isfinite(whole).all() and (whole % 1 == 0).all() else given
    return given.astype(np.float64)


@dataclass(frozen=True, eq=False)
class _Converted(BackendArray):
    """A variable in a file, or in a graph of Dask, converted when it is indexed."""

    source: xr.Variable
    kind: _Kind

    @property
    def shape(self) -> tuple[int, ...]:
        return self.source.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(object if self.kind == "text" else bool)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return read_by_axis(key, self.shape, lambda axes: _converted(self.kind, self.source[axes].values))


def _settled(name: Hashable, variable: xr.Variable) -> xr.Variable:
    """The variable, the very same where its type and attributes are as they should be."""
    kind = _KINDS.get(str(name))
    settled = variable
    if kind is not None and not _is_settled(kind, variable):
        settled = _as_kind(kind, _decoded(name, variable))
    attributes = _attributes(settled.attrs)
    if attributes is not settled.attrs:
        settled = settled.copy(deep=False)
        settled.attrs = attributes
    return settled


def _is_settled(kind: _Kind, variable: xr.Variable) -> bool:
    if _is_encoded(variable) or isinstance(variable.dtype, pd.api.extensions.ExtensionDtype):
        return False
    letter = getattr(variable.dtype, "kind", "")
    if kind != "text":
        return letter in _SETTLED[kind]
    data: Any = variable._data
    while not isinstance(data, np.ndarray | pd.Index) and hasattr(data, "array"):
        data = data.array
    if isinstance(data, StoredColumn | _Converted | pd.MultiIndex) or letter in _NO_TEXT:
        return True
    if letter == "O" and isinstance(data, pd.Index):
        # All of half a million ids take 40 ms.
        return all(isinstance(one, str) for one in (*data[:1], *data[-1:]))
    return (
        letter == "O"
        and isinstance(data, np.ndarray)
        and pd.api.types.infer_dtype(data.ravel(), False) in ("string", "empty")
    )


def _decoded(name: Hashable, variable: xr.Variable) -> xr.Variable:
    """What xarray makes of a variable that it did not decode: characters in a row, numbers of seconds."""
    is_characters = variable.ndim > 1 and variable.dtype == np.dtype("S1")
    if not (is_characters or " since " in str(variable.attrs.get("units")) or _is_encoded(variable)):
        return variable
    return xr.conventions.decode_cf_variable(name, variable, decode_timedelta=False)


def _is_encoded(variable: xr.Variable) -> bool:
    return any(name in variable.attrs for name in _ENCODED)


def _as_kind(kind: _Kind, variable: xr.Variable) -> xr.Variable:
    """The variable converted: now where its values are in memory or have to be seen, else when they are used."""
    if kind == "text" and getattr(variable.dtype, "kind", "") in _NO_TEXT:
        return variable
    is_lazy = kind in _LAZY and isinstance(variable.dtype, np.dtype) and not variable._in_memory
    if is_lazy and variable.ndim:
        data: Any = indexing.LazilyIndexedArray(_Converted(variable, kind))
    else:
        data = _converted(kind, variable.values)
    return xr.Variable(variable.dims, data, variable.attrs)


def _with_variables(ds: xr.Dataset, new: Mapping[Hashable, xr.Variable]) -> xr.Dataset:
    """The Dataset with some of its variables in another form, and all that describes its patches as coordinates."""
    labels = ds.variables.get("labels")
    if "labels" in new and labels is not None and getattr(labels.dtype, "kind", "O") in "fO":
        known = ~labels.isnull().any([dim for dim in labels.dims if dim != "patch"])
        new = {
            **new,
            "has_labels": known & new.get("has_labels", ds.variables.get("has_labels", xr.Variable((), True))),
        }
    # Files without CF's attribute `coordinates` are opened with all of them as data.
    data = [name for name in ds.data_vars if str(name) in _KINDS and name not in _LABELS]
    kept = {name: variable for name, variable in new.items() if name in ds.data_vars and name not in data}
    coordinates = {name: variable for name, variable in new.items() if name not in kept}
    return ds.assign(kept).assign_coords(coordinates).set_coords(data) if new or data else ds


def _attributes(attributes: dict[Any, Any]) -> dict[Any, Any]:
    """Attributes as texts, where they are one text in some other form; the very same where none is."""
    texts = {name: _attribute(name, value) for name, value in attributes.items()}
    return attributes if all(texts[name] is value for name, value in attributes.items()) else texts


def _attribute(name: Any, value: Any) -> Any:
    if name == "bigearth" and isinstance(value, Mapping):  # as a store's own root has it
        return json.dumps(value)
    if (
        isinstance(value, list | tuple | np.ndarray)
        and len(one := np.asarray(value, dtype=object).ravel().tolist()) == 1
    ):
        value = one[0] if isinstance(one[0], str | bytes) else value
    return _text(value) if isinstance(value, bytes | np.bytes_ | np.str_) else value


def _each(convert: Any, values: NDArray[Any]) -> NDArray[np.object_]:
    listed = values.astype(object).ravel().tolist() if values.dtype.kind != "T" else values.ravel().tolist()
    result = np.empty(len(listed), object)
    result[:] = [convert(value) for value in listed]
    return result.reshape(values.shape)


def _text(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace").rstrip("\0")
    if isinstance(value, str):
        return str(value)
    return "" if pd.isna(value) is True else value


def _is_true(value: Any) -> bool:
    return pd.isna(value) is not True and bool(value == 1)


def _times(values: NDArray[Any]) -> NDArray[Any]:
    """Times of Python, pandas or cftime, with or without a zone, or their texts."""
    listed = _each(_text, values).ravel().tolist()
    texts = [value.isoformat() if hasattr(value, "isoformat") else value for value in listed]
    read = pd.to_datetime([one or None for one in texts], format="ISO8601", utc=True)
    times: NDArray[Any] = read.tz_localize(None).to_numpy().reshape(values.shape)
    return times
