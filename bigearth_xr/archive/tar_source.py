"""An archive in a plain tar, read where it lies."""

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from bigearth_xr.archive.parts import Parts
from bigearth_xr.archive.source import Folder, Refusal
from bigearth_xr.archive.tar import walk
from bigearth_xr.archive.tar_file import TarFile
from bigearth_xr.archive.tar_index import Places, TarIndex, build_index
from bigearth_xr.archive.tar_tape import FileTape
from bigearth_xr.archive.template import Data
from bigearth_xr.archive.tiff import read_pixels
from bigearth_xr.errors import ArchiveError, ArchiveNotFoundError

__all__ = ["TarSource", "open_tar"]

_WASTE_BYTES = 2**13
"""So much more than a file may be read for each, if all are then read at once: it costs as much as a call."""


def open_tar(path: str | os.PathLike[str] | Parts) -> "TarSource":
    """Index a plain tar, in parts or not: reads its headers, 5 µs a member, none of its data.

    Raises
    ------
    ArchiveNotFoundError
        If there is no such file.
    ArchiveError
        If it is a folder.

    Examples
    --------
    >>> import tarfile
    >>> path = getfixture("tmp_path") / "S2.tar"
    >>> (getfixture("tmp_path") / "patch_B02.tif").write_bytes(b"II*")
    3
    >>> with tarfile.open(path, "w") as tar:
    ...     tar.add(getfixture("tmp_path") / "patch_B02.tif", "patch/patch_B02.tif")
    >>> source = open_tar(path)
    >>> [folder.files for folder in source.folders()], source.read("patch/patch_B02.tif")
    ([(), ('patch_B02.tif',)], b'II*')
    """
    name = str(path)
    paths = [Path(place) for place in path.places] if isinstance(path, Parts) else [Path(path)]
    for one in paths:
        if not one.exists():
            raise ArchiveNotFoundError(f"there is no archive at {one}; check the path")
        if not one.is_file():
            raise ArchiveError(f"{one} is no file, expected a tar")
    file = TarFile(paths)
    index, refusals = build_index(walk(FileTape(file), where=name), name)
    if isinstance(path, Parts):
        refusals = tuple(map(path.explain, refusals))
    return TarSource(name=name, stamp=file.stamp(), index=index, refused=refusals, file=file)


@dataclass(frozen=True, slots=True, kw_only=True)
class TarSource:
    """A tar whose headers were read; safe in threads, and small enough to travel after `only`."""

    has_json: ClassVar[bool] = True

    name: str
    """What it is called in messages: its path, or the paths of its parts."""

    stamp: tuple[int, ...]
    """Its bytes, and when it was changed, in nanoseconds; it is not read any more if these differ."""

    index: TarIndex = field(repr=False, compare=False)
    """Where its files lie."""

    refused: tuple[Refusal, ...]
    """What is not read."""

    file: TarFile = field(repr=False, compare=False)
    """The tar, opened."""

    decode = staticmethod(read_pixels)

    def folders(self) -> Iterator[Folder]:
        """Give every folder, in the order of a walk through the unpacked tree."""
        return self.index.folders()

    def refusals(self) -> Sequence[Refusal]:
        """Give what is not read."""
        return self.refused

    def read(self, path: str) -> bytes:
        """Read a whole file."""
        folder, _, file = path.rpartition("/")
        (data,) = self.read_files(folder, [file])
        if isinstance(data, OSError):
            raise data
        return bytes(data)

    def read_files(self, folder: str, files: Sequence[str]) -> list[Data | OSError]:
        """Read several files of one folder; those of a patch lie side by side, and are read at once."""
        places = self.index.places(folder)
        missing = FileNotFoundError(2, "no such file in the tar", self.locate(folder))
        wanted = {file: places[file] for file in files if file in places}
        try:
            data = self._read(wanted) if wanted else {}
        except OSError as error:
            return [error if file in wanted else missing for file in files]
        return [data.get(file, missing) for file in files]

    def locate(self, path: str) -> str:
        """Give the tar, and the path in it."""
        return f"{self.name}: {path}" if path else self.name

    def only(self, folders: Collection[str]) -> "TarSource":
        """Give a source that knows these folders alone."""
        return replace(self, index=self.index.only(folders), refused=())

    def _read(self, places: Places) -> dict[str, Data]:
        """Read these files, and make sure that the tar is the one that was indexed."""
        start = min(offset for offset, _ in places.values())
        stop = max(offset + size for offset, size in places.values())
        data: dict[str, Data]
        if stop - start <= sum(size + _WASTE_BYTES for _, size in places.values()):
            region = memoryview(self.file.read(stop - start, start))
            data = {file: region[offset - start :][:size] for file, (offset, size) in places.items()}
        else:
            data = {file: self.file.read(size, offset) for file, (offset, size) in places.items()}
        # Asked afterwards: what changes before is seen.
        if self.file.stamp() != self.stamp or any(len(data[file]) < size for file, (_, size) in places.items()):
            raise OSError(f"{self.name} has changed since it was opened; let it be, and start again")
        return data
