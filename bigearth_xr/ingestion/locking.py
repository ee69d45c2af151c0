"""One ingest at a time fills a store."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir
from typing import BinaryIO

from bigearth_xr.errors import StoreError
from bigearth_xr.store.location import Location

__all__ = ["alone"]


@contextmanager
def alone(store: Location) -> Iterator[None]:
    """Keep other ingests of this machine away from a store, until the end of the block or of the process.

    Raises
    ------
    StoreError
        If another one fills it now.

    Examples
    --------
    >>> from bigearth_xr.store.location import location_of
    >>> with alone(location_of(getfixture("tmp_path") / "ben.zarr")):
    ...     pass
    """
    path = _lock_path(store)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path) as is_ours:
        if not is_ours:
            raise StoreError(f"{store}: another ingest is filling it; wait for that one")
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _lock_path(store: Location) -> Path:
    """Where the lock lies: beside the store, or with this machine's temporary files."""
    if store.local is not None:
        return store.local.with_suffix(".lock")
    return Path(gettempdir(), f"bigearth-{hashlib.sha256(store.address.encode()).hexdigest()[:16]}.lock")


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Lock a file, made if it is not there; False if somebody else has."""
    while True:
        with path.open("ab") as file:
            is_ours = _lock(file)
            # Whoever had it before may have removed it since it was opened: then it keeps nobody away.
            if not is_ours or _is_at(file, path):
                yield is_ours
                return


def _lock(file: BinaryIO) -> bool:
    """Lock an open file until it is closed; False if somebody else has."""
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # a file system without locks
    return True


def _is_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
