"""One ingest at a time fills a store."""

from collections.abc import Iterator
from contextlib import contextmanager

from bigearth_xr.errors import StoreError
from bigearth_xr.store.place import Place

__all__ = ["alone"]


@contextmanager
def alone(store: Place) -> Iterator[None]:
    """Keep other ingests of this machine away from a store in a folder, until the end of the block or of the process.

    Raises
    ------
    StoreError
        If another one fills it now.

    Examples
    --------
    >>> from bigearth_xr.store.address import place_of
    >>> with alone(place_of(getfixture("tmp_path") / "ben.zarr")):
    ...     pass
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    if store.local is None:
        yield
        return
    store.local.parent.mkdir(parents=True, exist_ok=True)
    path = store.local.with_suffix(".lock")
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(f"{store}: another ingest is filling it; wait for that one") from None
        except OSError:
            pass  # a file system without locks
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
