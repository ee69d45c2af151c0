"""A file that one process at a time holds."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

__all__ = ["lock_file"]


@contextmanager
def lock_file(path: Path) -> Iterator[bool]:
    """Lock a file, made if it is not there, until the end of the block or of the process.

    Yields
    ------
    bool
        False if another process holds it. True where nothing can be locked: on Windows, or a file system without locks.

    Examples
    --------
    >>> with lock_file(getfixture("tmp_path") / "ben.lock") as is_ours:
    ...     is_ours
    True
    """
    try:
        import fcntl  # noqa: F401  # asked for before anything is opened
    except ImportError:  # Windows, which does not rename what is open
        path.touch()
        yield True
        return
    while True:
        with path.open("ab") as file:
            is_ours = _lock(file)
            # Its last holder may have removed it since it was opened: then it keeps nobody away.
            if not is_ours or _is_at(file, path):
                yield is_ours
                return


def _lock(file: BinaryIO) -> bool:
    """Lock an open file until it is closed; False if another process holds it."""
    import fcntl

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
