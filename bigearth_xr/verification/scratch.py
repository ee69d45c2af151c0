"""A temporary folder that lives as long as what needs it."""

import shutil
import weakref
from pathlib import Path
from tempfile import mkdtemp

__all__ = ["Scratch"]


class Scratch:
    """A temporary folder that goes with its owner, at the latest with the process.

    Examples
    --------
    >>> scratch = Scratch()
    >>> path = scratch.path
    >>> del scratch
    >>> path.exists()
    False
    """

    def __init__(self) -> None:
        self.path = Path(mkdtemp(prefix="bigearth-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)
