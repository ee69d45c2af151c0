"""Whether a place still holds the store that was opened there: in any other one the same rows are other patches."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from bigearth_xr.errors import StoreChangedError, StoreNotFoundError
from bigearth_xr.store.metadata import known_root
from bigearth_xr.store.read import Store

__all__ = ["check_current", "reading"]


@contextmanager
def reading(store: Store) -> Iterator[None]:
    """Refuse what was read meanwhile if the place holds another store by now, or none.

    Checked after the reading, so that nothing can be exchanged between the two; and first of all when that failed, as
    a store that is gone looks like one that is damaged.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.read import open_store, read_column
    >>> store = open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> with reading(store):
    ...     rows = read_column(store, "tile_row").size
    >>> rows
    3
    """
    try:
        yield
    except Exception:
        check_current(store)
        raise
    check_current(store)


def check_current(store: Store) -> None:
    """Refuse a place that holds another store than the one that was opened there, or none.

    One look at the root document, 2 µs in a folder and a request on object storage; it is read only in a version that
    this process has not read yet.

    Raises
    ------
    StoreChangedError
        Names both identities.
    StoreNotFoundError
        Names the host: other machines may have a store of the same path.
    ChecksumError, FormatError
        If the root document is not what was written.

    Examples
    --------
    >>> import shutil
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.read import open_store
    >>> path = bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3)
    >>> store = open_store(path)
    >>> check_current(store)
    >>> shutil.rmtree(path)
    >>> check_current(store)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    bigearth_xr.errors.StoreNotFoundError: no store at ...ben.zarr on ... any more; ...
    """
    try:
        uuid = known_root(store.place).ours.get("uuid")
    except StoreNotFoundError:
        raise StoreNotFoundError(
            f"no store at {store.place} on {socket.gethostname()} any more; it was opened there as {store.uuid}: put "
            "it back, or open it where it is now"
        ) from None
    if uuid != store.uuid:
        raise StoreChangedError(
            f"{store.place} on {socket.gethostname()} holds another store by now: uuid {uuid}, and the one that was "
            f"opened is {store.uuid}; its rows are other patches, or say other things of them: open the store again"
        )
