"""Which file of a tar lies where: 13 bytes a file, and a path a folder."""

from array import array
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.archive.source import Folder, Refusal
from bigearth_xr.archive.tar_member import Entry

__all__ = ["Places", "TarIndex", "build_index"]

_NAME_OF_FOLDER = "\0"
"""Stands in a pattern for the name of the folder, which is part of the names of nearly all files; the reader of tars
lets no name pass that holds it."""

Places = dict[str, tuple[int, int]]
"""First byte and number of bytes by file name."""


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


def build_index(items: Iterable[Entry | Refusal], where: str) -> tuple[TarIndex, tuple[Refusal, ...]]:
    """Sort what a tar holds into folders.

    Parameters
    ----------
    items
        As `bigearth_xr.archive.tar.walk` gives them.
    where
        Name of the tar, for messages.

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
