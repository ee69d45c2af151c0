"""``engine="bigearth"`` and `open`: a store as a lazy Dataset at 10 m, or as a tree at native resolution."""

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
from bigearth_xr.spelling import takes_known
from bigearth_xr.store.location import Address, LocalLocation, ObjectLocation, StorageOptions, location_of
from bigearth_xr.store.open import Store, open_store, reading

__all__ = ["BigEarthBackend", "open"]


@takes_known
def open(
    store: Address,
    *,
    dtype: DTypeLike | None = None,
    resampling: Resampling = "nearest",
    nomenclature: Nomenclature = 19,
    states: States = ("stored",),
    storage_options: StorageOptions | None = None,
) -> xr.Dataset:
    """Open a store as a lazy, Dask-backed Dataset indexed by patch and band.

    The same as ``xr.open_dataset(store, engine="bigearth", chunks={})``, but its Dask arrays know their store: 3
    scattered patches of one band read 3 patches, where stock Dask reads the 3 chunks of 128 that hold them.

    Parameters
    ----------
    store
        The store's folder, as `bigearth_xr.ingest` made it, or its address on S3: ``s3://bucket/ben.zarr``.
    dtype
        ``"float32"`` gives Sentinel-2 as float32, every digital number exactly, in twice the memory: a difference of
        two bands, or a sum, is then what it should be. By default uint16, whose arithmetic wraps around.
    resampling
        How bands of 20 m and 60 m are brought to 10 m: ``"nearest"`` keeps uint16; ``"bilinear"`` and ``"bicubic"``
        give float32, not clipped. Only bands that are read are resampled.
    nomenclature
        19 or 43 classes, in the order of the paper; release v2 has 19 only.
    states
        Rows to show: ``("stored",)`` those with pixels, ``"all"`` every row, with its ``state`` as a coordinate.
    storage_options
        What S3 needs to know, where the environment (``AWS_ENDPOINT_URL``, ``AWS_ACCESS_KEY_ID`` and so on) does not
        tell: ``endpoint``, ``region``, ``access_key_id``, ``secret_access_key``, ``session_token``, ``skip_signature``,
        ``virtual_hosted_style_request``.

    Returns
    -------
    xarray.Dataset
        ``s2 (patch, band, y, x)`` digital numbers, ``s1 (patch, polarization, y, x)`` float32 dB,
        ``labels (patch, label)`` bool, and ``reference_map (patch, y, x)`` uint16 where the release has it. ``patch``
        is indexed; every other coordinate is read when used. No pixel is read.

    Raises
    ------
    StoreNotFoundError
        If there is no store.
    StoreAccessError
        If object storage refuses or does not answer.
    FormatError
        If the store is of another format, or another version of it.
    LabelError
        If the release has no labels of this nomenclature.
    SelectionError
        If there is no such dtype, resampling or state.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> ds = bex.open(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> ds.s2.sel(band=["B04", "B03", "B02"]).shape
    (3, 3, 120, 120)
    >>> numbers = bex.open(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3), dtype="float32").s2
    >>> (numbers.sel(band="B04") - numbers.sel(band="B03")).dtype
    dtype('float32')
    """
    from bigearth_xr.backend.patch_array import with_patch_arrays

    lazy = BigEarthBackend().open_dataset(
        store,
        dtype=dtype,
        resampling=resampling,
        nomenclature=nomenclature,
        states=states,
        storage_options=storage_options,
    )
    return with_patch_arrays(lazy)


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
        """Claim local folders whose metadata names our format; none over the network."""
        try:
            place = location_of(_checked(filename_or_obj))
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
    if not isinstance(address, str | PathLike | LocalLocation | ObjectLocation):
        raise TypeError(f"expected a path or an address, got {type(address).__name__}")
    return address


def _opened(address: Any, storage_options: StorageOptions | None) -> Store:
    return open_store(_checked(address), storage_options)


def _names(names: str | Iterable[str] | None) -> list[str]:
    return [names] if isinstance(names, str) else list(names or ())
