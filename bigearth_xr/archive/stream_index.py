"""What has passed by in a stream: the names of all files, and the content of the small ones.

The pixels of a stream are read as they come, by somebody else. What else an archive is asked for, its folders, JSONs
and lists, is remembered here.
"""

import zlib
from array import array
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import ClassVar, NoReturn

from numpy import generic
from numpy.typing import NDArray

from bigearth_xr.archive.layout import ENDINGS, JSON_SUFFIX, archive_ending
from bigearth_xr.archive.scan import release_of_list
from bigearth_xr.archive.source import Folder, Refusal
from bigearth_xr.archive.template import Data
from bigearth_xr.bands import Band
from bigearth_xr.errors import ArchiveError

__all__ = ["StreamIndex"]

_BITS = {ending: 1 << bit for bit, ending in enumerate(ENDINGS)}
_JSON_AT = len(ENDINGS)
"""Bits from here on number the JSON of a folder."""


class StreamIndex:
    """A `PixelSource` without pixels: the files of a stream that has passed by.

    Parameters
    ----------
    name
        What the stream is called, for messages.

    Examples
    --------
    >>> index = StreamIndex("ben.tar.gz")
    >>> index.note("patch/patch_B02.tif", b"II*")
    True
    >>> [(folder.path, folder.files) for folder in index.folders()]
    [('', ()), ('patch', ('patch_B02.tif',))]
    """

    has_json: ClassVar[bool] = True

    def __init__(self, name: str) -> None:
        self.name = name
        # A bit for each of the files that a patch has, and the number of its JSON: of eight million names, one a patch
        # is kept.
        self._known: dict[str, int] = {}
        # Of files that the archive spells otherwise; one mapping for all patches that are alike in this.
        self._spelled: dict[str, Mapping[str, str]] = {}
        self._spellings: dict[frozenset[tuple[str, str]], Mapping[str, str]] = {}
        self._others: dict[str, list[str]] = {}
        self._lists: dict[str, bytes] = {}
        # At most one of a folder is the patch's own, and no other is asked for. One after the other, not as
        # objects of their own.
        self._jsons, self._json_ends = bytearray(), array("Q", [0])
        self._first_json = b""
        self._folder = ""
        self._refusals: list[Refusal] = []

    def note(self, path: str, data: Data) -> bool:
        """Remember a file; False for one that was there before, which is refused."""
        folder, file, bit = _split(path)
        # One text a folder, not one a file: they are kept.
        folder = self._folder = self._folder if folder == self._folder else folder
        if self._is_here(folder, file, bit):
            if file not in self._files(folder):
                # Named as another file of the patch but for its spelling: whoever goes through the folder tells of it.
                self._others.setdefault(folder, []).append(file)
                return False
            self.refuse(
                Refusal(
                    member=path,
                    kind="refused",
                    message=f"{self.locate(path)} is there twice; the first is read, the second is not",
                )
            )
            return False
        if bit:
            self._known[folder] = self._known.get(folder, 0) | bit
            self._note_spelling(folder, file)
        else:
            self._others.setdefault(folder, []).append(file)
        if bit == _BITS[JSON_SUFFIX]:
            self._known[folder] |= len(self._json_ends) << _JSON_AT
            self._jsons += self._packed(data)
            self._json_ends.append(len(self._jsons))
        elif release_of_list(file) is not None:
            self._lists[path] = bytes(data)
        return True

    def refuse(self, refusal: Refusal) -> None:
        """Remember what was passed over."""
        self._refusals.append(refusal)

    def folders(self) -> Iterator[Folder]:
        """Give every folder, sorted as a walk through the unpacked tree would, with those that hold only folders."""
        paths = {*self._known, *self._others}
        for path in tuple(paths):
            while path:
                path = path.rpartition("/")[0]
                paths.add(path)
        # A folder comes before what it holds, and that before what follows the folder: / sorts before all else.
        for path in sorted(paths, key=lambda one: one.replace("/", "\0")):
            yield Folder(path=path, files=tuple(sorted(self._files(path))))

    def refusals(self) -> Sequence[Refusal]:
        """What was passed over so far."""
        return self._refusals

    def read(self, path: str) -> bytes:
        """Give back a JSON or a list; FileNotFoundError for any other file."""
        folder, _, bit = _split(path)
        number = self._known.get(folder, 0) >> _JSON_AT
        if bit == _BITS[JSON_SUFFIX] and 0 < number < len(self._json_ends):
            packed = self._jsons[self._json_ends[number - 1] : self._json_ends[number]]
            return zlib.decompressobj(wbits=-15, zdict=self._first_json).decompress(packed)
        if path in self._lists:
            return self._lists[path]
        raise FileNotFoundError(f"{self.locate(path)}: no such file, or its pixels were read as they came")

    def read_files(self, folder: str, files: Sequence[str]) -> NoReturn:
        """Refuse: pixels were read as they came."""
        raise ArchiveError(f"{self.name} has passed by; its pixels were read as they came")

    def decode(
        self, data: Data, *, band: Band, epsg: int, ulx: int, uly: int, where: Callable[[], str]
    ) -> NDArray[generic]:
        """Refuse: pixels were read as they came."""
        raise ArchiveError(f"{where()}: {self.name} has passed by; its pixels were read as they came")

    def forget_jsons(self) -> None:
        """Let go of all JSONs: of a whole release a quarter of a gigabyte, of which nothing more is asked."""
        self._jsons, self._json_ends = bytearray(), array("Q", [0])

    def locate(self, path: str) -> str:
        """Say which stream, and where in it."""
        return f"{self.name}: {path}" if path else self.name

    def only(self, folders: Collection[str]) -> "StreamIndex":
        """Itself: no worker needs it."""
        return self

    def _is_here(self, folder: str, file: str, bit: int) -> bool:
        return bool(self._known.get(folder, 0) & bit) if bit else file in self._others.get(folder, ())

    def _files(self, folder: str) -> Iterator[str]:
        bits, patch, spelled = self._known.get(folder, 0), folder.rpartition("/")[2], self._spelled.get(folder, {})
        yield from (f"{patch}_{spelled.get(ending, ending)}" for ending, bit in _BITS.items() if bits & bit)
        yield from self._others.get(folder, ())

    def _note_spelling(self, folder: str, file: str) -> None:
        """Remember what a file of a patch is called, unless that is its name in the archive."""
        ending = file[len(folder.rpartition("/")[2]) + 1 :]
        if ending not in _BITS:
            spelled = {**self._spelled.get(folder, {}), archive_ending(ending) or ending: ending}
            self._spelled[folder] = self._spellings.setdefault(frozenset(spelled.items()), spelled)

    def _packed(self, data: Data) -> bytes:
        """Keep of a JSON what it has not in common with the first: 200 bytes of 1,100."""
        self._first_json = self._first_json or bytes(data)
        packer = zlib.compressobj(level=1, wbits=-15, zdict=self._first_json)
        return packer.compress(data) + packer.flush()


def _split(path: str) -> tuple[str, str, int]:
    """Split a path into folder and file, and give the bit of a file that a patch of the folder's name has, else 0."""
    folder, _, file = path.rpartition("/")
    patch = folder.rpartition("/")[2]
    ending = archive_ending(file[len(patch) + 1 :]) if file.startswith(f"{patch}_") else None
    return folder, file, 0 if ending is None else _BITS[ending]
