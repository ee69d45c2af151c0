"""``engine="bigearth"``: a store as a lazy Dataset at 10 m, or as a tree at native resolution."""

from collections.abc import Iterable
from os import PathLike
from typing import Any, ClassVar

import xarray as xr
from numpy.typing import DTypeLike
from xarray.backends import BackendEntrypoint

from bigearth_xr.backend.dataset import States, build_dataset, build_groups
from bigearth_xr.errors import StoreError
from bigearth_xr.labels import Nomenclature
from bigearth_xr.ops.resample import Resampling
from bigearth_xr.store.address import Address, StorageOptions, place_of
from bigearth_xr.store.current import reading
from bigearth_xr.store.objects import ObjectPlace
from bigearth_xr.store.place import LocalPlace
from bigearth_xr.store.read import Store, open_store

__all__ = ["BigEarthBackend"]


class BigEarthBackend(BackendEntrypoint):
    """Opens stores of bigearth_xr; reads their metadata and patch ids, and no pixel."""

    description: ClassVar[str] = "Open BigEarthNet stores (Zarr v3) of bigearth_xr, indexed by patch and band"
    url: ClassVar[str] = "https://pypi.org/project/bigearth-xr"
    open_dataset_parameters = (
        "filename_or_obj",
        "drop_variables",
        "dtype",
        "resampling",
        "nomenclature",
        "states",
        "storage_options",
    )
    supports_groups = True

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Claim local folders whose metadata names our format; nobody is asked over the network."""
        try:
            place = place_of(_checked(filename_or_obj))
            return place.local is not None and bool(open_store(place))
        except (StoreError, OSError, KeyError, TypeError):
            return False

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        dtype: DTypeLike | None = None,
        resampling: Resampling = "nearest",
        nomenclature: Nomenclature = 19,
        states: States = ("stored",),
        storage_options: StorageOptions | None = None,
    ) -> xr.Dataset:
        """Open a store; see `bigearth_xr.open` for the arguments and what comes back."""
        store = _opened(filename_or_obj, storage_options)
        with reading(store):
            dataset = build_dataset(store, dtype=dtype, resampling=resampling, nomenclature=nomenclature, states=states)
        return dataset.drop_vars(_names(drop_variables), errors="ignore")

    def open_groups_as_dict(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        states: States = ("stored",),
        storage_options: StorageOptions | None = None,
    ) -> dict[str, xr.Dataset]:
        """Open a store's native arrays at the root, and each embedding as a group below."""
        store = _opened(filename_or_obj, storage_options)
        with reading(store):
            groups = build_groups(store, states=states)
        dropped = _names(drop_variables)
        return {path: group.drop_vars(dropped, errors="ignore") for path, group in groups.items()}

    def open_datatree(self, filename_or_obj: Any, **options: Any) -> xr.DataTree:
        """Open a store's native arrays, and its embeddings, as a tree."""
        return xr.DataTree.from_dict(self.open_groups_as_dict(filename_or_obj, **options))


def _checked(address: Any) -> Address:
    """What can be an address; xarray offers anything."""
    if not isinstance(address, str | PathLike | LocalPlace | ObjectPlace):
        raise TypeError(f"expected a path or an address, got {type(address).__name__}")
    return address


def _opened(address: Any, storage_options: StorageOptions | None) -> Store:
    return open_store(_checked(address), storage_options)


def _names(names: str | Iterable[str] | None) -> list[str]:
    return [names] if isinstance(names, str) else list(names or ())
