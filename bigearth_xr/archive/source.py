"""Where the bytes of an archive come from: a seam, so that a tar can stand in for a folder.

A source knows folders, file names and bytes. What they mean is for the other modules to say.
"""

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Protocol

from numpy import generic
from numpy.typing import NDArray

from bigearth_xr.archive.template import Data
from bigearth_xr.archive.tiff import read_pixels
from bigearth_xr.bands import Band
from bigearth_xr.errors import ArchiveError, ArchiveNotFoundError

__all__ = ["Folder", "FolderSource", "PixelSource", "Refusal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """One folder of a source, with the files that lie directly in it."""

    path: str
    """Path below the root of the source, with ``/`` between its parts; ``""`` is the root."""

    files: tuple[str, ...]
    """Names of its files, sorted."""

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Something in a container that is not read, and why."""

    member: str
    """Its name, or that of the container."""

    kind: Literal["refused", "truncated", "damaged"]
    """A member that no archive has, such as a link or a path that leads outside; a container that ends early; one whose
    compressed data are damaged, so that what came before is not certain either."""

    message: str
    """What is wrong, where, and what to do."""


class PixelSource(Protocol):
    """The files of one archive. Implementations can be pickled: they travel to worker processes."""

    has_json: ClassVar[bool]
    """Whether patches of v1 come with the JSONs that hold their labels."""

    def folders(self) -> Iterator[Folder]:
        """Give every folder once, in an order that depends only on the names."""
        ...

    def refusals(self) -> Sequence[Refusal]:
        """Tell what `folders` passed over; complete once it was gone through."""
        ...

    def read(self, path: str) -> bytes:
        """Read a whole file, ``path`` below the root; FileNotFoundError if there is none."""
        ...

    def read_files(self, folder: str, files: Sequence[str]) -> list[Data | OSError]:
        """Read several files of one folder at once; for one that cannot be read, the reason."""
        ...

    def decode(
        self, data: Data, *, band: Band, epsg: int, ulx: int, uly: int, where: Callable[[], str]
    ) -> NDArray[generic]:
        """Decode a file that has to be this band of the patch at this corner, shape ``(y, x)``; else PatchError."""
        ...

    def locate(self, path: str) -> str:
        """Say where a file is, as a person would look for it."""
        ...

    def only(self, folders: Collection[str]) -> "PixelSource":
        """Give a source that knows these folders at least, and is small enough to be sent to a worker."""
        ...


@dataclass(frozen=True, slots=True)
class FolderSource:
    """An unpacked archive on a file system.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> (root / "patch").mkdir()
    >>> _ = (root / "patch" / "patch_B02.tif").write_bytes(b"II*")
    >>> [folder.files for folder in FolderSource(root).folders()]
    [(), ('patch_B02.tif',)]
    >>> FolderSource(root).read("patch/patch_B02.tif")
    b'II*'
    """

    has_json: ClassVar[bool] = True

    root: Path
    """Folder at the top."""

    def folders(self) -> Iterator[Folder]:
        """Walk the tree once, sorted by name; lists each folder and asks nothing of its files."""
        if not self.root.exists():
            raise ArchiveNotFoundError(
                f"there is no archive at {self.root}; give the folder into which it was unpacked"
            )
        if not self.root.is_dir():
            raise ArchiveError(f"{self.root} is a file, expected the folder of an unpacked archive; unpack it first")
        return self._walk("")

    def refusals(self) -> Sequence[Refusal]:
        """Nothing: what lies in a folder was unpacked by somebody who agreed to it."""
        return ()

    def read(self, path: str) -> bytes:
        """Read a whole file, ``path`` below the root."""
        # A plain open is 3 times faster than Path.read_bytes on files this small.
        with open(f"{self.root}/{path}", "rb", buffering=0) as file:
            return file.read()

    def read_files(self, folder: str, files: Sequence[str]) -> list[Data | OSError]:
        """Read several files of one folder."""
        return [self._read_or_tell(f"{folder}/{file}") for file in files]

    def decode(
        self, data: Data, *, band: Band, epsg: int, ulx: int, uly: int, where: Callable[[], str]
    ) -> NDArray[generic]:
        """Decode a GeoTIFF."""
        return read_pixels(data, band=band, epsg=epsg, ulx=ulx, uly=uly, where=where)

    def locate(self, path: str) -> str:
        """Give the full path of a file."""
        return str(self.root / path)

    def only(self, folders: Collection[str]) -> "FolderSource":
        """Itself: it knows no folder before it is asked."""
        return self

    def _read_or_tell(self, path: str) -> Data | OSError:
        try:
            return self.read(path)
        except OSError as error:
            return error

    def _walk(self, path: str) -> Iterator[Folder]:
        """Give the folder at ``path``, then those below it."""
        files: list[str] = []
        below: list[str] = []
        with os.scandir(f"{self.root}/{path}") as entries:
            for entry in entries:
                # The directory listing itself tells folders from files: no stat for each of them.
                (below if entry.is_dir() else files).append(entry.name)
        yield Folder(path=path, files=tuple(sorted(files)))
        for name in sorted(below):
            yield from self._walk(f"{path}/{name}" if path else name)
