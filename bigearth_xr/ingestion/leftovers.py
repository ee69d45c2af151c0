"""What runs that were killed, and workers that were lost, left in a store and beside it."""

import shutil

from bigearth_xr.ingestion.staging import staging_folder
from bigearth_xr.store.create import table_key
from bigearth_xr.store.location import Location

__all__ = ["remove_partials", "remove_staging"]


def remove_partials(store: Location) -> None:
    """Remove files that were begun and never moved to their places; in object storage there are none.

    Examples
    --------
    >>> from bigearth_xr.store.location import location_of
    >>> store = location_of(getfixture("tmp_path") / "ben.zarr")
    >>> store.scratch_file("s1/c/0/0/0/0").touch()
    >>> remove_partials(store)
    >>> list(store.keys())
    []
    """
    if store.local is None:
        return
    beside = store.local.parent.glob(f"{table_key(store)}.*.partial")
    for file in (*beside, *store.local.rglob("*.partial")):
        file.unlink(missing_ok=True)


def remove_staging(store: Location) -> None:
    """Remove what had arrived of a stream for a store that is complete by other ways.

    Examples
    --------
    >>> from bigearth_xr.store.location import location_of
    >>> store = location_of(getfixture("tmp_path") / "ben.zarr")
    >>> staging_folder(store).mkdir()
    >>> remove_staging(store)
    >>> staging_folder(store).exists()
    False
    """
    shutil.rmtree(staging_folder(store), ignore_errors=True)
