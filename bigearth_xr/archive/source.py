"""Where the bytes of an archive come from: a seam, so that a tar can stand in for a folder.

A source knows folders, file names and bytes. What they mean is for the other modules to say.
"""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, Protocol, TypeAlias

from bigearth_xr.errors import ArchiveError, ArchiveNotFoundError

__all__ = ["Data", "FolderSource", "JoinedSource", "Refusal", "SplitSource"]

Data: TypeAlias = bytes | memoryview
"""Content of a file."""

Encoding: TypeAlias = Literal["geotiff", "safetensors"]
"""How the pixels of a band are encoded in its file."""


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

    encoding: ClassVar[Encoding]
    """How bands are encoded; `bigearth_xr.archive.patch_files` decodes them."""

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

    def locate(self, path: str) -> str:
        """Say where a file is, as a person would look for it."""
        ...

    def only(self, folders: Collection[str]) -> "PixelSource":
        """Give a source that knows these folders at least, and is small enough to be sent to a worker."""
        ...


@dataclass(frozen=True, slots=True)
class FolderSource:
    """An unpacked archive on a file system."""

    encoding: ClassVar[Encoding] = "geotiff"

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
        """Nothing: what lies in a folder was unpacked on purpose."""
        return ()

    def read(self, path: str) -> bytes:
        """Read a whole file, ``path`` below the root."""
        # A plain open is 3 times faster than Path.read_bytes on files this small.
        with open(f"{self.root}/{path}", "rb", buffering=0) as file:
            return file.read()

    def read_files(self, folder: str, files: Sequence[str]) -> list[Data | OSError]:
        """Read several files of one folder."""
        return [self._read_or_tell(f"{folder}/{file}") for file in files]

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


@dataclass(frozen=True, slots=True)
class JoinedSource:
    """Sources side by side, each below a folder of its name."""

    encoding: ClassVar[Encoding] = "geotiff"

    parts: tuple[tuple[str, PixelSource], ...]
    """Name and source, sorted by name; one may have no name, and has the paths that the names of others do not begin.
    All hold GeoTIFFs."""

    def folders(self) -> Iterator[Folder]:
        """Give the folders of one source after the other."""
        for name, source in self.parts:
            for folder in source.folders():
                yield Folder(path=f"{name}/{folder.path}".strip("/"), files=folder.files)

    def refusals(self) -> Sequence[Refusal]:
        """Give what none of the sources reads."""
        return [refusal for _, source in self.parts for refusal in source.refusals()]

    def read(self, path: str) -> bytes:
        """Read a whole file."""
        _, source, below = self._find(path)
        return source.read(below)

    def read_files(self, folder: str, files: Sequence[str]) -> list[Data | OSError]:
        """Read several files of one folder."""
        _, source, below = self._find(folder)
        return source.read_files(below, files)

    def locate(self, path: str) -> str:
        """Say where a file is, in the words of its source."""
        if not path:
            return ", ".join(source.locate("") for _, source in self.parts)
        _, source, below = self._find(path)
        return source.locate(below)

    def only(self, folders: Collection[str]) -> "JoinedSource":
        """Give the sources that have these folders, with these alone."""
        wanted: dict[str, list[str]] = {}
        for folder in folders:
            name, _, below = self._find(folder)
            wanted.setdefault(name, []).append(below)
        return JoinedSource(tuple((name, source.only(wanted[name])) for name, source in self.parts if name in wanted))

    def _find(self, path: str) -> tuple[str, PixelSource, str]:
        """Give the source of a path, its name, and the path in it."""
        # The one without a name is first, and so the last to be asked.
        for name, source in reversed(self.parts):
            if not name or path == name or path.startswith(f"{name}/"):
                return name, source, path[len(name) :].lstrip("/")
        raise FileNotFoundError(2, "no such file in the archive", path)


@dataclass(frozen=True, slots=True)
class SplitSource:
    """A source that finds each file of a patch under the first of the patch's folders, by its name in the archive."""

    encoding: ClassVar[Encoding] = "geotiff"

    source: PixelSource
    """Where the files are; no LMDB, which has each patch under one key."""

    rest: Mapping[str, Mapping[str, str]]
    """By the first folder of a patch that has several: folder of each file that lies in another one, by its name
    without that of the patch."""

    spelled: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By folder: what the files are called there that the archive calls otherwise, both without the name of the
    patch."""

    def folders(self) -> Iterator[Folder]:
        """Give the folders as they are."""
        return self.source.folders()

    def refusals(self) -> Sequence[Refusal]:
        """Give what is not read."""
        return self.source.refusals()

    def read(self, path: str) -> bytes:
        """Read a whole file."""
        return self.source.read(self._find(path))

    def read_files(self, folder: str, files: Sequence[str]) -> list[Data | OSError]:
        """Read several files of one patch, those of each of its folders at once."""
        if folder not in self.rest and folder not in self.spelled:
            return self.source.read_files(folder, files)
        found = [self._find(f"{folder}/{file}") for file in files]
        places: dict[str, list[str]] = {}
        for path in found:
            place, _, file = path.rpartition("/")
            places.setdefault(place, []).append(file)
        data = {
            f"{place}/{file}": one
            for place, here in places.items()
            for file, one in zip(here, self.source.read_files(place, here), strict=True)
        }
        return [data[path] for path in found]

    def locate(self, path: str) -> str:
        """Say where a file really is."""
        return self.source.locate(self._find(path))

    def only(self, folders: Collection[str]) -> "SplitSource":
        """Give a source with these patches, and all of their folders."""
        rest = {folder: self.rest[folder] for folder in folders if folder in self.rest}
        places = self.all_of(folders)
        spelled = {folder: self.spelled[folder] for folder in places if folder in self.spelled}
        return SplitSource(self.source.only(places), rest, spelled)

    def all_of(self, folders: Collection[str]) -> set[str]:
        """Give these folders, and those that hold the rest of their patches."""
        return {*folders, *(other for folder in folders for other in self.rest.get(folder, {}).values())}

    def _find(self, path: str) -> str:
        """Give the path of a file where it really is."""
        folder, _, file = path.rpartition("/")
        if folder not in self.rest and folder not in self.spelled:
            return path
        patch = folder.rpartition("/")[2]
        ending = file.removeprefix(f"{patch}_")
        place = self.rest.get(folder, {}).get(ending, folder)
        return f"{place}/{patch}_{self.spelled.get(place, {}).get(ending, ending)}"
