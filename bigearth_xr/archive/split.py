"""Patches whose files are not where the archive has them: in several folders, or under names spelled otherwise."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from bigearth_xr.archive.source import Folder, PixelSource, Refusal
from bigearth_xr.archive.template import Data
from bigearth_xr.archive.tiff import read_pixels

__all__ = ["SplitSource"]


@dataclass(frozen=True, slots=True)
class SplitSource:
    """A source that finds each file of a patch under the first of the patch's folders, by its name in the archive.

    Examples
    --------
    >>> from bigearth_xr.archive.source import FolderSource
    >>> root = getfixture("tmp_path")
    >>> for path in ("1/patch/patch_B02.tif", "2/patch/patch_B03.tif"):
    ...     (root / path).parent.mkdir(parents=True)
    ...     _ = (root / path).write_bytes(path.encode())
    >>> source = SplitSource(FolderSource(root), {"1/patch": {"B03.tif": "2/patch"}})
    >>> source.read_files("1/patch", ["patch_B02.tif", "patch_B03.tif"])
    [b'1/patch/patch_B02.tif', b'2/patch/patch_B03.tif']
    """

    has_json: ClassVar[bool] = True

    source: PixelSource
    """Where the files are; no LMDB, which has each patch under one key."""

    rest: Mapping[str, Mapping[str, str]]
    """By the first folder of a patch that has several: folder of each file that lies in another one, by its name
    without that of the patch."""

    spelled: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By folder: what the files are called there that the archive calls otherwise, both without the name of the
    patch."""

    decode = staticmethod(read_pixels)

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
