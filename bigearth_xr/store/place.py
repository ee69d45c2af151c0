"""Where a store lies: what a folder and a prefix of object storage have in common, and the folder.

A key names bytes below a place, ``/`` between its parts, as ``s1/c/7/0/0/0``. A place holds nothing open and is cheap
to pickle, so that stores travel to other processes.
"""

import os
import secrets
import shutil
from collections.abc import Hashable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from zarr.storage import StoreLike

__all__ = ["Found", "LocalPlace", "Place", "put"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is known of bytes before they are read."""

    size: int
    """How many there are."""

    version: Hashable
    """Another one after every change."""


class Place(Protocol):
    """A folder, or a prefix of object storage; text of it is what its owner called it, never with credentials."""

    def __hash__(self) -> int: ...

    @property
    def local(self) -> Path | None:
        """The folder; None where it is none."""

    @property
    def address(self) -> str:
        """How another process would call it: an absolute path, or a URL."""

    @property
    def name(self) -> str:
        """The last part of its path."""

    @property
    def parent(self) -> "Place":
        """The place that it is in."""

    def __truediv__(self, key: str) -> "Place":
        """The place below it, e.g. one array's."""

    def find(self, key: str) -> Found | None:
        """Look whether a key is there, and in which version."""

    def read(self, key: str) -> bytes:
        """Read everything under a key; FileNotFoundError without one."""

    def read_ranges(self, key: str, ranges: NDArray[np.integer]) -> Iterator[bytes]:
        """Read parts of what is under a key: offset and length each, shape ``(n, 2)``, within its size."""

    def scratch_file(self, key: str) -> Path:
        """Name a local file to write, from which `adopt` is cheap."""

    def scratch_folder(self) -> Path:
        """Name a local folder to fill, from which `adopt_all` is cheap; not there yet, or empty."""

    def adopt(self, key: str, file: Path) -> None:
        """Move a local file to a key, in place of what is there: readers see the old bytes or the new ones."""

    def adopt_all(self, folder: Path) -> None:
        """Move a folder of a whole store to this place, which is free; its root ``zarr.json`` arrives last."""

    def delete(self, key: str) -> None:
        """Delete everything under a key and below; nothing happens without any."""

    def keys(self, below: str = "") -> Iterator[str]:
        """List all keys below one, sorted."""

    def children(self, below: str = "") -> list[str]:
        """List the names directly below a key, sorted; those of files and of folders. None are below a file."""

    def used_bytes(self) -> int:
        """Count the bytes that everything here takes."""

    def zarr(self) -> "StoreLike":
        """What zarr-python opens."""

    def explaining(self, key: str = "") -> AbstractContextManager[None]:
        """Say in words what goes wrong with the place while zarr-python works on it."""


@dataclass(frozen=True)
class LocalPlace:
    """A folder.

    Examples
    --------
    >>> place = LocalPlace(getfixture("tmp_path")) / "ben.zarr"
    >>> file = place.scratch_file("s1/c/0")
    >>> file.write_bytes(b"pixels")
    6
    >>> place.adopt("s1/c/0", file)
    >>> list(place.keys()), place.read("s1/c/0"), place.name
    (['s1/c/0'], b'pixels', 'ben.zarr')
    """

    path: Path
    """The folder, as its owner called it."""

    def __str__(self) -> str:
        return str(self.path)

    def __truediv__(self, key: str) -> "LocalPlace":
        return LocalPlace(self.path / key)

    @property
    def local(self) -> Path:
        """The folder."""
        return self.path

    @property
    def address(self) -> str:
        """The absolute path."""
        return str(self.path.resolve())

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.name

    @property
    def parent(self) -> "LocalPlace":
        """The folder that it is in."""
        return LocalPlace(self.path.parent)

    def find(self, key: str) -> Found | None:
        """Tell a version by inode, time of change and size."""
        try:
            # No Path of it: this is asked before every read.
            status = os.stat(os.path.join(self.path, key))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return Found(size=status.st_size, version=(status.st_ino, status.st_mtime_ns))

    def read(self, key: str) -> bytes:
        """Read a file."""
        return (self.path / key).read_bytes()

    def read_ranges(self, key: str, ranges: NDArray[np.integer]) -> Iterator[bytes]:
        """Read each part when it is asked for, in the order given."""
        file = os.open(os.path.join(self.path, key), os.O_RDONLY)
        try:
            for offset, length in ranges.tolist():
                yield os.pread(file, length, offset)
        finally:
            os.close(file)

    def scratch_file(self, key: str) -> Path:
        """A file beside the one to be, with a name of its own: another process may be writing to the same key."""
        path = self.path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.with_name(f"{path.name}.{secrets.token_hex(8)}.partial")

    def scratch_folder(self) -> Path:
        """A folder beside this one; what was left there by a run that was killed is removed."""
        folder = self.path.with_suffix(".new")
        shutil.rmtree(folder, ignore_errors=True)
        return folder

    def adopt(self, key: str, file: Path) -> None:
        """Rename the file."""
        path = self.path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(file, path)

    def adopt_all(self, folder: Path) -> None:
        """Rename the folder."""
        folder.replace(self.path)

    def delete(self, key: str) -> None:
        """Delete a file, or a folder with what is in it."""
        path = self.path / key
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def keys(self, below: str = "") -> Iterator[str]:
        """List files in all folders below."""
        paths = (path for path in (self.path / below).rglob("*") if path.is_file())
        return iter(sorted(path.relative_to(self.path).as_posix() for path in paths))

    def children(self, below: str = "") -> list[str]:
        """List one folder."""
        try:
            return sorted(os.listdir(self.path / below))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def used_bytes(self) -> int:
        """Count blocks, not lengths: holes of absent patches take none."""
        return sum(file.stat().st_blocks * 512 for file in self.path.rglob("*") if file.is_file())

    def zarr(self) -> "StoreLike":
        """The path itself."""
        return self.path

    def explaining(self, key: str = "") -> AbstractContextManager[None]:
        """Python's own errors name the file."""
        return nullcontext()


def put(place: Place, key: str, data: bytes) -> None:
    """Write bytes to a key, all of them or none.

    Examples
    --------
    >>> place = LocalPlace(getfixture("tmp_path"))
    >>> put(place, "split/c/0", b"chunk")
    >>> place.read("split/c/0")
    b'chunk'
    """
    file = place.scratch_file(key)
    file.write_bytes(data)
    place.adopt(key, file)
