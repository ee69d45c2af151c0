"""Two folders change places, in one step where the system knows how to."""

import ctypes
import os
from pathlib import Path

__all__ = ["exchange_folders"]

_HERE = -100
"""``AT_FDCWD``: paths are taken as they are."""

_EXCHANGE = 2
"""``RENAME_EXCHANGE``."""


def exchange_folders(one: Path, other: Path, *, by_way_of: Path) -> None:
    """Give each of two folders the name of the other.

    Parameters
    ----------
    one, other
        Folders on one file system.
    by_way_of
        A name that is free. Where the system cannot exchange (Linux can, on local file systems), `one` bears it for a
        moment in which nothing is called `one`.

    Examples
    --------
    >>> root = getfixture("tmp_path")
    >>> for name in ("old", "new"):
    ...     (root / name / f"it was {name}").mkdir(parents=True)
    >>> exchange_folders(root / "old", root / "new", by_way_of=root / "between")
    >>> [path.name for path in (root / "old").iterdir()]
    ['it was new']
    """
    if not _exchange_at_once(one, other):
        one.replace(by_way_of)
        other.replace(one)
        by_way_of.replace(other)


def _exchange_at_once(one: Path, other: Path) -> bool:
    """Ask the system to; False where it cannot."""
    try:
        rename = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):  # another C library, another system
        return False
    return bool(rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0)
