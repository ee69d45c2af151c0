"""Bring a store of an older format version up to the one that is written now, without its archive."""

import numpy as np

from bigearth_xr.errors import StoreError
from bigearth_xr.ingestion.locking import alone
from bigearth_xr.store.create import update_store
from bigearth_xr.store.location import Address, StorageOptions, location_of
from bigearth_xr.store.open import Store, open_store, read_root
from bigearth_xr.store.read import read_expected, read_present
from bigearth_xr.store.schema import FORMAT_VERSION
from bigearth_xr.verification.tables import find_table

__all__ = ["upgrade"]


def upgrade(store: Address, *, storage_options: StorageOptions | None = None) -> bool:
    """Bring a store up to the format version that is written now; its pixels stay where they are.

    What results has the bytes of a fresh ingest; embeddings are kept. Should it be killed, the store is still one of
    its old version, and the next call goes on.

    Parameters
    ----------
    store
        The store, its table beside it. A table that is lost is made again from the store's columns.
    storage_options
        For object storage, as in `bigearth_xr.open`.

    Returns
    -------
    bool
        Whether there was anything to do.

    Raises
    ------
    StoreError
        If nothing tells the store's table, or its record of what is stored is not what its shards hold: checksums
        would vouch for damage.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> upgrade(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=2))
    False
    """
    place = location_of(store, storage_options)
    with alone(place):
        opened = open_store(place)
        if opened.format_version == FORMAT_VERSION:
            return False
        rows, wrong = find_table(opened)
        if rows is None:
            told = "" if wrong is None else f" ({wrong.message})"
            raise StoreError(
                f"{place}: nothing tells what its columns were{told}; repair it first with: bigearth verify {place} "
                "--against ARCHIVE --repair"
            )
        _check_record(opened)
        update_store(opened, rows, sensors=read_root(place).ours["sensors"])
        return True


def _check_record(store: Store) -> None:
    """Refuse a record that the shards contradict."""
    for array in store.arrays:
        wrong = np.flatnonzero(read_expected(store, array) != read_present(store, array))
        if wrong.size:
            raise StoreError(
                f"{store.location / array.name}: {wrong.size:,} patches are recorded as stored and missing, or there "
                f"and not recorded, first row {wrong[0]}; repair the store first with: bigearth verify "
                f"{store.location} --against ARCHIVE --repair"
            )
