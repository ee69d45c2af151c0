"""Folders of the user in which results can be kept that take long to make, and can be made again."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ["cache_folders", "is_writable"]

_OURS = "bigearth-xr"
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


def cache_folders() -> Iterator[Path]:
    """Give the folders to try, in this order: the user's cache, and a temporary one that nobody else may write to."""
    if os.environ.get("XDG_CACHE_HOME"):
        yield Path(os.environ["XDG_CACHE_HOME"])
    with suppress(RuntimeError):  # the home is not known
        yield Path.home() / ".cache"
    with suppress(OSError):
        yield _own_temporary()


def is_writable(folder: Path) -> bool:
    """Whether a folder is there, or can be made, and files can be written to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def _own_temporary() -> Path:
    """A folder that nobody else may write to: what is kept there is believed."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"{_OURS}-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    mine = stat.S_ISDIR(found.st_mode) and (found.st_uid == user or not hasattr(os, "getuid"))
    if not mine or found.st_mode & _OTHERS_MAY_WRITE:
        return Path(tempfile.mkdtemp(prefix=_OURS))
    return folder
