"""Stores as xarray Datasets: the engine, and `open`."""

import xarray as xr
from numpy.typing import DTypeLike

from bigearth_xr.backend.dataset import States
from bigearth_xr.backend.entrypoint import BigEarthBackend
from bigearth_xr.labels import Nomenclature
from bigearth_xr.ops.resample import Resampling
from bigearth_xr.spelling import takes_known
from bigearth_xr.store.address import Address, StorageOptions

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
    from bigearth_xr.backend.patches import with_patch_arrays

    lazy = BigEarthBackend().open_dataset(
        store,
        dtype=dtype,
        resampling=resampling,
        nomenclature=nomenclature,
        states=states,
        storage_options=storage_options,
    )
    return with_patch_arrays(lazy)
