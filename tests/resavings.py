"""Ways of saving a Dataset with xarray and opening it again, and of spelling what it says."""

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
import zarr

TEXTS = ("s1_name", "tile", "country", "season", "split")
TRUTHS = ("seasonal_snow", "cloud_or_shadow", "recommended", "listed", "has_labels", "has_reference_map")

Saving = Callable[[xr.Dataset, Path], xr.Dataset]
Spelling = Callable[[xr.Dataset], xr.Dataset]


def save(ds: xr.Dataset, place: Any, **how: Any) -> None:
    """Write Zarr; of version 3 zarr-python warns that others may not know consolidated metadata."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Consolidated metadata", UserWarning)
        ds.to_zarr(place, **how)


def zarr_folder(version: int, consolidated: bool, chunks: Any) -> Saving:
    """Save as a folder of Zarr."""

    def saving(ds: xr.Dataset, folder: Path) -> xr.Dataset:
        save(ds, folder / "saved.zarr", zarr_format=version, consolidated=consolidated)
        opened: xr.Dataset = xr.open_zarr(folder / "saved.zarr", consolidated=consolidated, chunks=chunks)
        return opened

    return saving


def zarr_zip(ds: xr.Dataset, folder: Path) -> xr.Dataset:
    """Save as Zarr in a ZIP file."""
    save(ds, folder / "saved.zarr", zarr_format=2, consolidated=False)
    shutil.make_archive(str(folder / "saved"), "zip", folder / "saved.zarr")
    opened: xr.Dataset = xr.open_zarr(zarr.storage.ZipStore(folder / "saved.zip", mode="r"), consolidated=False)
    return opened


def netcdf(chunks: Any, **options: Any) -> Saving:
    """Save as netCDF 3, by SciPy, which holds whole numbers with a sign alone, and texts as characters."""

    def saving(ds: xr.Dataset, folder: Path) -> xr.Dataset:
        ds.to_netcdf(folder / "saved.nc", engine="scipy")
        return xr.open_dataset(folder / "saved.nc", engine="scipy", chunks=chunks, **options)

    return saving


SAVINGS: dict[str, Saving] = {
    "zarr 2": zarr_folder(2, True, {}),
    "zarr 2 unconsolidated, no chunks": zarr_folder(2, False, None),
    "zarr 3": zarr_folder(3, True, {}),
    "zarr 3 unconsolidated, no chunks": zarr_folder(3, False, None),
    "zip": zarr_zip,
    "netcdf": netcdf(None),
    "netcdf, chunks": netcdf({"patch": 2}),
    "netcdf, not decoded": netcdf(None, decode_cf=False),
    "netcdf, coordinates as data": netcdf(None, decode_coords=False),
}


def respell(ds: xr.Dataset, texts: Callable[[Any], Any], truths: Callable[[Any], Any]) -> xr.Dataset:
    """Hold texts and truth in other arrays."""
    coordinates: dict[Any, Any] = {name: ("patch", texts(ds[name].values)) for name in TEXTS}
    coordinates |= {name: ("patch", truths(ds[name].values)) for name in TRUTHS}
    coordinates |= {dim: texts(ds[dim].values) for dim in ("patch", "band", "polarization", "label")}
    return ds.assign_coords(coordinates)


def _objects(convert: Callable[[str], Any]) -> Callable[[Any], Any]:
    return lambda texts: np.array([*map(convert, texts), None], object)[:-1]


def other_attributes(convert: Callable[[str], Any]) -> Spelling:
    """Hold attributes in another form."""

    def spelling(ds: xr.Dataset) -> xr.Dataset:
        ds = ds.copy()
        everything: list[Any] = [ds, *ds.variables.values()]
        for each in everything:
            each.attrs = {name: convert(value) for name, value in each.attrs.items()}
        return ds

    return spelling


def other_times(ds: xr.Dataset) -> xr.Dataset:
    """Times as objects of Python, one of them elsewhere."""
    times = pd.DatetimeIndex(ds.s2_time.values).tz_localize("UTC").tz_convert("Europe/Berlin")
    return ds.assign_coords(s2_time=("patch", np.array([*times.to_pydatetime(), None], object)[:-1]))


SPELLINGS: dict[str, Spelling] = {
    "characters": lambda ds: respell(ds, lambda a: a.astype(str), lambda a: a.astype("int8")),
    "bytes": lambda ds: respell(ds, lambda a: a.astype("S"), lambda a: a.astype("float32")),
    "objects of bytes": lambda ds: respell(ds, _objects(str.encode), lambda a: a.astype(object)),
    "objects of NumPy": lambda ds: respell(ds, _objects(np.str_), lambda a: np.where(a, 1.0, np.nan)),
    "numpy strings": lambda ds: respell(ds, lambda a: a.astype(np.dtypes.StringDType()), lambda a: a.astype("uint8")),
    "pandas strings": lambda ds: respell(ds, lambda a: pd.array(a, dtype="string"), lambda a: pd.array(a, "boolean")),
    "pyarrow strings": lambda ds: respell(ds, lambda a: pd.array(a, "string[pyarrow]"), lambda a: a.astype("int64")),
    "categories": lambda ds: respell(ds, pd.Categorical, lambda a: a),
    "none for nothing": lambda ds: respell(
        ds, _objects(lambda a: a or None), lambda a: np.where(a, np.array(True, object), np.array(None, object))
    ),
    "nan for nothing": lambda ds: respell(ds, _objects(lambda a: a or np.nan), lambda a: a),
    "times": other_times,
    "lists": other_attributes(lambda text: [text]),
    "arrays": other_attributes(lambda text: np.array([text], object)),
    "attributes of bytes": other_attributes(str.encode),
    "numbers": lambda ds: ds.assign_coords(
        {n: ds[n].astype("float64") for n in ("row", "epsg", "ulx", "uly", "column")}
    ),
    "labels as numbers": lambda ds: ds.assign(labels=ds.labels.astype("int8")),
    "other order": lambda ds: ds.isel(label=slice(None, None, -1)),
}
