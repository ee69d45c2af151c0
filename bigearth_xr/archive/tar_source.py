"""An archive in a plain tar, read where it lies."""

import os
import threading
import weakref
from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.archive.parts import Parts
from bigearth_xr.archive.source import Data, Encoding, Folder, Refusal
from bigearth_xr.archive.tar import BLOCK, Entry, walk
from bigearth_xr.errors import ArchiveError, ArchiveNotFoundError

_WASTE_BYTES = 2**13
"""Bytes beside each file that may be read too, if all are then read at once: they cost as much as a call."""

_AHEAD = 3 * BLOCK
"""Read at once, at little more than one block costs: a long name, its header and that of its file."""

_NAME_OF_FOLDER = "\0"
"""Stands in a pattern for the name of the folder, which is part of the names of nearly all files; the reader of tars
lets no name pass that holds it."""

Places = dict[str, tuple[int, int]]
"""First byte and number of bytes by file name."""


def open_tar(path: str | os.PathLike[str] | Parts) -> "TarSource":
    """Index a plain tar, in parts or not: reads its headers, 5 µs a member, none of its data.

    Raises
    ------
    ArchiveNotFoundError
        If there is no such file.
    ArchiveError
        If it is a folder.
    """
    name = str(path)
    paths = [Path(place) for place in path.places] if isinstance(path, Parts) else [Path(path)]
    for one in paths:
        if not one.exists():
            raise ArchiveNotFoundError(f"there is no archive at {one}; check the path")
        if not one.is_file():
            raise ArchiveError(f"{one} is not a file, expected a tar")
    file = TarFile(paths)
    index, refusals = build_index(walk(FileTape(file), where=name), name)
    if isinstance(path, Parts):
        refusals = tuple(map(path.explain, refusals))
    return TarSource(name=name, stamp=file.stamp(), index=index, refused=refusals, file=file)


class TarFile:
    """Files that are one when read one behind the other, opened again in every process that needs them."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = tuple(paths)
        self._lock = threading.Lock()
        self._descriptors: tuple[int, ...] = ()
        self._starts: tuple[int, ...] = ()

    def __reduce__(self) -> tuple[type["TarFile"], tuple[tuple[Path, ...]]]:
        return TarFile, (self.paths,)

    @property
    def size(self) -> int:
        """Bytes in all, when the files were opened."""
        self._open()
        return self._starts[-1]

    def read(self, size: int, at: int) -> bytes:
        """Give `size` bytes from byte `at` on, fewer only at the end."""
        self._open()
        if len(self._descriptors) == 1:
            return os.pread(self._descriptors[0], size, at)
        pieces = []
        for descriptor, start, stop in zip(self._descriptors, self._starts, self._starts[1:], strict=False):
            if start <= at < stop and size > 0:
                pieces.append(os.pread(descriptor, min(size, stop - at), at - start))
                at, size = at + len(pieces[-1]), size - len(pieces[-1])
        return b"".join(pieces)

    def stamp(self) -> tuple[int, ...]:
        """Tell one state of the files from another: bytes of each, and when it was changed, in nanoseconds."""
        self._open()
        states = map(os.fstat, self._descriptors)
        return tuple(number for state in states for number in (state.st_size, state.st_mtime_ns))

    def _open(self) -> None:
        """Open the files if they are not."""
        if self._descriptors:
            return
        with self._lock:
            if not self._descriptors:
                descriptors = []
                for path in self.paths:
                    descriptors.append(os.open(path, os.O_RDONLY))
                    weakref.finalize(self, os.close, descriptors[-1])
                sizes = (os.fstat(descriptor).st_size for descriptor in descriptors)
                self._starts = tuple(accumulate(sizes, initial=0))
                self._descriptors = tuple(descriptors)


class FileTape:
    """A tar on disk, of which only what is asked for is read."""

    def __init__(self, file: TarFile) -> None:
        self.end = file.size
        self.fault = None
        self.is_damaged = False
        self._file = file
        self._start = 0
        self._window = b""

    def read(self, at: int, size: int) -> Data:
        """Give `size` bytes from byte `at` on."""
        offset = at - self._start
        if not 0 <= offset <= len(self._window) - size:
            # Not mapped into memory: a file that shrinks meanwhile would end the process.
            self._window, self._start, offset = self._file.read(max(size, _AHEAD), at), at, 0
        return self._window[offset : offset + size]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TarIndex:
    """Folders of a tar, sorted as a walk through the unpacked tree meets them, with their files."""

    numbers: dict[str, int]
    """Number of each folder by its path, in order."""

    starts: NDArray[np.int64]
    """First file of each folder, shape ``(folder + 1,)``."""

    patterns: tuple[str, ...]
    """Names of files."""

    pattern: NDArray[np.unsignedinteger]
    """Which of these is the name of each file, shape ``(file,)``; uint8 where these are few."""

    offset: NDArray[np.uint64]
    """First byte of each file in the tar, shape ``(file,)``."""

    size: NDArray[np.uint32]
    """Bytes of each file, shape ``(file,)``."""

    def folders(self) -> Iterator[Folder]:
        """Give every folder with its files."""
        for path, number in self.numbers.items():
            yield Folder(path=path, files=tuple(sorted(self._names(path, number))))

    def places(self, folder: str) -> Places:
        """Tell where the files of a folder lie; nothing of a folder that is not there."""
        number = self.numbers.get(folder)
        if number is None:
            return {}
        here = slice(self.starts[number], self.starts[number + 1])
        places = zip(self.offset[here].tolist(), self.size[here].tolist(), strict=True)
        return dict(zip(self._names(folder, number), places, strict=True))

    def only(self, folders: Collection[str]) -> "TarIndex":
        """Give a copy that knows no other folders."""
        paths = sorted(self.numbers.keys() & set(folders), key=_in_walking_order)
        numbers = [self.numbers[path] for path in paths]
        bounds = [(int(self.starts[number]), int(self.starts[number + 1])) for number in numbers]
        files = np.concatenate([np.arange(*bound) for bound in bounds]) if bounds else np.empty(0, np.intp)
        used, pattern = np.unique(self.pattern[files], return_inverse=True)
        return TarIndex(
            numbers={path: number for number, path in enumerate(paths)},
            starts=np.cumsum([0, *(stop - start for start, stop in bounds)]),
            patterns=tuple(self.patterns[i] for i in used),
            pattern=pattern.astype(self.pattern.dtype),
            offset=self.offset[files],
            size=self.size[files],
        )

    def _names(self, folder: str, number: int) -> list[str]:
        name = folder.rpartition("/")[2]
        pattern = self.pattern[self.starts[number] : self.starts[number + 1]].tolist()
        return [self.patterns[i].replace(_NAME_OF_FOLDER, name) for i in pattern]


@dataclass(frozen=True, slots=True, kw_only=True)
class TarSource:
    """A tar whose headers were read; safe in threads, and small enough to travel after `only`."""

    encoding: ClassVar[Encoding] = "geotiff"

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


def build_index(items: Iterable[Entry | Refusal], where: str) -> tuple[TarIndex, tuple[Refusal, ...]]:
    """Sort what a tar holds into folders.

    Returns
    -------
    tuple
        The index, and what was refused: files that come a second time among them.

    Examples
    --------
    >>> index, refusals = build_index([("a/a_B02.tif", 512, 3), ("a/a_B02.tif", 1536, 3)], "S2.tar")
    >>> [(folder.path, folder.files) for folder in index.folders()], index.places("a")
    ([('', ()), ('a', ('a_B02.tif',))], {'a_B02.tif': (512, 3)})
    >>> refusals[0].message
    'S2.tar: a/a_B02.tif is there twice, at byte 512 and at byte 1,536; the first is read, the second is not'
    """
    numbers: dict[str, int] = {"": 0}
    patterns: dict[str, int] = {}
    # Not lists: of nine million files each.
    folder_of, pattern_of, offsets, sizes = array("I"), array("I"), array("Q"), array("I")
    refusals = []
    last: str | None = None
    number, folder_name = 0, ""
    for item in items:
        if isinstance(item, Refusal):
            refusals.append(item)
            continue
        path, offset, size = item
        folder, _, file = path.rpartition("/")
        if folder != last:
            last, number, folder_name = folder, _number_of(folder, numbers), folder.rpartition("/")[2]
        if file:
            folder_of.append(number)
            pattern_of.append(patterns.setdefault(file.replace(folder_name, _NAME_OF_FOLDER, 1), len(patterns)))
            offsets.append(offset)
            sizes.append(size)
    index, later = _sort(numbers, patterns, *map(np.asarray, (folder_of, pattern_of, offsets, sizes)))
    return index, (*refusals, *(_twice(index, where, *one) for one in later))


def _number_of(folder: str, numbers: dict[str, int]) -> int:
    """Number a folder, and those above it before."""
    number = numbers.get(folder)
    if number is None:
        _number_of(folder.rpartition("/")[0], numbers)
        number = numbers[folder] = len(numbers)
    return number


def _sort(
    numbers: dict[str, int],
    patterns: dict[str, int],
    folder: NDArray[np.uint32],
    pattern: NDArray[np.uint32],
    offset: NDArray[np.uint64],
    size: NDArray[np.uint32],
) -> tuple[TarIndex, list[tuple[str, int, int]]]:
    """Bring folders and files in order; apart from them folder, pattern and offset of files that come again."""
    paths = sorted(numbers, key=_in_walking_order)
    rank = np.empty(len(paths), np.uint64)
    rank[[numbers[path] for path in paths]] = np.arange(len(paths))
    key = rank[folder] << np.uint64(32) | pattern
    # Stable: of two files of one name, the first of the tar comes first.
    order = np.argsort(key, kind="stable")
    key = key[order]
    is_again = np.zeros(len(key), bool)
    is_again[1:] = key[1:] == key[:-1]
    again, order, key = order[is_again], order[~is_again], key[~is_again]
    index = TarIndex(
        numbers={path: number for number, path in enumerate(paths)},
        starts=np.searchsorted(key, np.arange(len(paths) + 1, dtype=np.uint64) << np.uint64(32)),
        patterns=tuple(patterns),
        pattern=pattern[order].astype(np.min_scalar_type(len(patterns))),
        offset=offset[order],
        size=size[order],
    )
    return index, [(paths[int(rank[folder[i]])], int(pattern[i]), int(offset[i])) for i in sorted(again.tolist())]


def _twice(index: TarIndex, where: str, folder: str, pattern: int, offset: int) -> Refusal:
    """Report a file that comes again."""
    file = index.patterns[pattern].replace(_NAME_OF_FOLDER, folder.rpartition("/")[2])
    path = f"{folder}/{file}" if folder else file
    first, _ = index.places(folder)[file]
    places = f"at byte {first:,} and at byte {offset:,}; the first is read, the second is not"
    message = f"{where}: {path} is there twice, {places}"
    return Refusal(member=path, kind="refused", message=message)


def _in_walking_order(path: str) -> str:
    # A folder comes before what it holds, and that before what follows the folder: / sorts before all else.
    return path.replace("/", "\0")
