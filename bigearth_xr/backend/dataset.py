"""Build the Dataset of a store: which variables, on which rows, with which coordinates."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import DTypeLike
from xarray.core import indexing
from xarray.indexes import PandasIndex

from bigearth_xr import bands as band_facts
from bigearth_xr import releases
from bigearth_xr.backend.columns import StoredColumn, embedding_variables
from bigearth_xr.backend.pixels import CHUNK_PATCHES, SIZE_10M, Rows, StoredPixels, row_numbers
from bigearth_xr.errors import LabelError, SelectionError
from bigearth_xr.labels import Nomenclature, label_names
from bigearth_xr.ops.resample import Resampling, check_resampling
from bigearth_xr.spelling import check_choice
from bigearth_xr.store import schema
from bigearth_xr.store.embeddings import embedding_names, open_embedding
from bigearth_xr.store.open import Store
from bigearth_xr.store.read import read_column, read_state
from bigearth_xr.store.schema import Column

__all__ = ["band_coordinates", "pixel_attributes"]

State = Literal["absent", "stored", "quarantined"]
States = Iterable[State] | Literal["all"]

PREFERRED_CHUNKS = {"patch": CHUNK_PATCHES}
"""What ``chunks={}`` means."""

_SOURCES = {
    "s2": "Sentinel-2 L2A surface reflectance, stored as integers of which 10 000 are 1",
    "s1": "Sentinel-1 GRD backscatter, stored in dB",
    schema.REFERENCE_MAP: "CORINE land cover 2018, Level 3 codes; 999 is unlabelled, 65535 a missing map",
}
"""What pixels were made of: attributes outlive arithmetic, of whose result only that stays true."""


def build_dataset(
    store: Store,
    *,
    resampling: Resampling,
    nomenclature: Nomenclature,
    states: States,
    dtype: DTypeLike | None = None,
) -> xr.Dataset:
    """Build the Dataset at 10 m; see `bigearth_xr.open`."""
    check_resampling(resampling)
    widened = _widened(dtype)
    rows = _rows(store, states)
    attributes = _attributes(store, resampling=resampling, nomenclature=nomenclature)
    variables: dict[str, xr.Variable] = {}
    coordinates: dict[str, Any] = {**_patch_coordinates(store, rows, states), **_axes("y", "x", SIZE_10M)}
    for name, dim, known in (("s2", "band", band_facts.S2_BANDS), ("s1", "polarization", band_facts.S1_BANDS)):
        bands = tuple(band.name for band in known if band.name in store.bands)
        if bands:
            pixels = StoredPixels(store, rows, bands, resampling, whole_dtype=widened)
            # Images need to know their release and resampling once they are loaded and on their own.
            described = pixel_attributes(bands) | {"bigearth": attributes["bigearth"]}
            variables[name] = _lazy(("patch", dim, "y", "x"), pixels, described)
            facts = band_coordinates(bands, dim)
            coordinates |= facts if name == "s2" else {dim: facts[dim]}
    if any(array.name == schema.REFERENCE_MAP for array in store.arrays):
        pixels = StoredPixels(store, rows, (), None, native=schema.REFERENCE_MAP)
        variables[schema.REFERENCE_MAP] = _lazy(("patch", "y", "x"), pixels, pixel_attributes(()))
    variables["labels"] = _labels(store, rows, nomenclature, dim="label")
    coordinates["label"] = np.array(label_names(nomenclature), dtype=object)
    return _indexed(store, rows, xr.Dataset(variables, coords=coordinates, attrs=attributes))


def build_groups(store: Store, *, states: States) -> dict[str, xr.Dataset]:
    """Build the native arrays at ``/`` and embeddings below, named as in the store; `states` as in `build_dataset`."""
    rows = _rows(store, states)
    variables: dict[str, xr.Variable] = {}
    coordinates: dict[str, Any] = dict(_patch_coordinates(store, rows, states))
    for array in store.arrays:
        pixels = StoredPixels(store, rows, array.bands, None, native=array.name)
        variables[array.name] = _lazy(array.dims, pixels, pixel_attributes(array.bands))
        coordinates |= _axes(array.dims[-2], array.dims[-1], array.size)
        if array.bands:
            coordinates |= {array.dims[1]: np.array(array.bands, dtype=object)}
    for nomenclature in _nomenclatures(store):
        dim = f"label_{nomenclature}"
        variables[f"labels_{nomenclature}"] = _labels(store, rows, nomenclature, dim=dim)
        coordinates[dim] = np.array(label_names(nomenclature), dtype=object)
    root = _indexed(store, rows, xr.Dataset(variables, coords=coordinates, attrs=_attributes(store)))
    embeddings = {f"/embeddings/{name}": _embedding(store, name, rows, root) for name in embedding_names(store)}
    return {"/": root, **embeddings}


def band_coordinates(bands: Iterable[str], dim: str) -> dict[str, Any]:
    """Name each band along a dimension, with its wavelength (nm) and native pixel size (m)."""
    facts = band_facts.bands(bands)
    wavelengths = xr.Variable(dim, [float(band.wavelength_nm) for band in facts], {"units": "nm"})
    return {
        dim: np.array([band.name for band in facts], dtype=object),
        "wavelength_nm": wavelengths,
        "native_res_m": xr.Variable(dim, [band.res_m for band in facts], {"units": "m"}),
    }


def pixel_attributes(bands: Iterable[str]) -> dict[str, str]:
    """Say where pixels are from; without bands, those of a reference map.

    They have no name, and a unit only where it is that of ratios too: xarray keeps both for whatever is computed.
    """
    sensors: list[str] = [band.sensor for band in band_facts.bands(bands)]
    kinds = dict.fromkeys(sensors or [schema.REFERENCE_MAP])
    units = {"units": "1"} if "s1" not in kinds else {}
    return {"source": "; ".join(_SOURCES[kind] for kind in kinds), **units}


def _embedding(store: Store, name: str, rows: Rows, root: xr.Dataset) -> xr.Dataset:
    """The vectors of a model, for the same rows; the index of patches is the root's own."""
    variables = embedding_variables(open_embedding(store, name), rows)
    attributes = {"bigearth": variables["embedding"].attrs["bigearth"]}
    return xr.Dataset(variables, coords=root[["patch", "row"]].coords, attrs=attributes)


def _rows(store: Store, states: States) -> Rows:
    """The rows to show, by the state of each."""
    given = [states] if isinstance(states, str) or not isinstance(states, Iterable) else list(states)
    for state in given:
        check_choice("state", state, (*schema.STATES, *({"all"} if len(given) == 1 else ())), SelectionError)
    wanted = set(schema.STATES) if given == ["all"] else set(given)
    if wanted == set(schema.STATES):
        return range(store.rows)
    shown = np.isin(read_state(store), [schema.STATES.index(state) for state in wanted])
    return range(store.rows) if shown.all() else np.flatnonzero(shown)


def _widened(dtype: DTypeLike | None) -> np.dtype[Any] | None:
    """The type that Sentinel-2 is wanted in; None as stored."""
    if dtype is not None and np.dtype(dtype) != np.float32:
        raise SelectionError(
            f"dtype={np.dtype(dtype)}, expected float32, which holds every digital number exactly, or None for pixels "
            "as stored; convert afterwards: ds.s2.astype(…)"
        )
    return None if dtype is None else np.dtype(np.float32)


def _lazy(dims: Iterable[str], array: Any, attributes: Mapping[str, Any]) -> xr.Variable:
    chunks = {dim: PREFERRED_CHUNKS.get(dim, size) for dim, size in zip(dims, array.shape, strict=True)}
    return xr.Variable(tuple(dims), indexing.LazilyIndexedArray(array), attributes, {"preferred_chunks": chunks})


def _labels(store: Store, rows: Rows, nomenclature: Nomenclature, *, dim: str) -> xr.Variable:
    names = label_names(nomenclature)
    if f"labels_{nomenclature}" not in store.columns:
        raise LabelError(
            f"{store.location}: release {store.release} has no {nomenclature}-class labels: reBEN publishes the 19 "
            "classes only; open it with nomenclature=19"
        )
    column = Column(name=f"labels_{nomenclature}", kind="number", dtype="bool", long_name="")
    attributes = {"long_name": f"CORINE land cover, {nomenclature} classes"}
    return _lazy(("patch", dim), StoredColumn(store, column, rows, width=len(names)), attributes)


def _nomenclatures(store: Store) -> list[Nomenclature]:
    both: tuple[Nomenclature, ...] = (19, 43)
    return [nomenclature for nomenclature in both if f"labels_{nomenclature}" in store.columns]


def _indexed(store: Store, rows: Rows, dataset: xr.Dataset) -> xr.Dataset:
    """Give a Dataset the index of its patches; the index is made here, as xarray would convert 590,326 ids twice."""
    patch = read_column(store, "patch")
    kept = patch if isinstance(rows, range) else patch[rows]
    index = PandasIndex(pd.Index(kept, dtype=object), "patch", coord_dtype=np.dtype(object))
    return dataset.assign_coords(xr.Coordinates.from_xindex(index))


def _patch_coordinates(store: Store, rows: Rows, states: States) -> dict[str, xr.Variable]:
    """Everything known of a patch but its id, each read when it is used."""
    columns = [column for column in schema.COLUMNS if column.name != "patch"]
    columns += [
        Column(name=name, kind="number", dtype="bool", long_name=f"whether the patch {name.replace('_', ' ')}")
        for name in ("has_labels", "has_reference_map")
        if name in store.columns
    ]
    if states == "all":
        columns.append(
            Column(name="state", kind="code", dtype="uint8", long_name="whether the pixels are in the store")
        )
    named = {column.name: column for column in columns} | {"listed": schema.LISTED}
    coordinates = {
        name: _lazy(("patch",), StoredColumn(store, column, rows), _column_attributes(column))
        for name, column in named.items()
    }
    coordinates["row"] = xr.Variable("patch", row_numbers(rows), {"long_name": "row in the store and its table"})
    return coordinates


def _column_attributes(column: Column) -> dict[str, str]:
    units = {} if column.units is None else {"units": column.units}
    return {"long_name": column.long_name, **units}


def _axes(y: str, x: str, size: int) -> dict[str, xr.Variable]:
    """Pixel centres, metres north and east of the patch's upper left corner: add ``uly`` and ``ulx``."""
    centres_m = (np.arange(size) + 0.5) * (band_facts.PATCH_SIDE_M / size)
    return {
        y: xr.Variable(y, -centres_m, {"units": "m", "long_name": "northing less uly"}),
        x: xr.Variable(x, centres_m, {"units": "m", "long_name": "easting less ulx"}),
    }


def _attributes(store: Store, **opened: Any) -> dict[str, str]:
    """Identity and origin. The identity is one JSON text: netCDF takes no nested attributes."""
    identity = {
        "store": store.location.address,
        "uuid": store.uuid,
        "format": store.format_version,
        "release": store.release,
        **opened,
    }
    facts = releases.release(store.release)
    return {
        "title": facts.title,
        "license": releases.LICENSE,
        "references": f"https://doi.org/{facts.citation.doi}",
        "Conventions": "CF-1.11",
        "bigearth": json.dumps(identity),
    }
