"""Several sources as one archive: S1, S2 and maps each in a tar of its own, or some of them unpacked."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from bigearth_xr.archive.source import Folder, PixelSource, Refusal
from bigearth_xr.archive.template import Data
from bigearth_xr.archive.tiff import read_pixels

__all__ = ["JoinedSource"]


@dataclass(frozen=True, slots=True)
class JoinedSource:
    """Sources side by side, each below a folder of its name.

    Examples
    --------
    >>> from bigearth_xr.archive.source import FolderSource
    >>> root = getfixture("tmp_path")
    >>> for half in ("S1", "S2"):
    ...     (root / half).mkdir()
    >>> _ = (root / "S2" / "a.tif").write_bytes(b"II*")
    >>> source = JoinedSource((("S1", FolderSource(root / "S1")), ("S2", FolderSource(root / "S2"))))
    >>> [(folder.path, folder.files) for folder in source.folders()], source.read("S2/a.tif")
    ([('S1', ()), ('S2', ('a.tif',))], b'II*')
    """

    has_json: ClassVar[bool] = True

    parts: tuple[tuple[str, PixelSource], ...]
    """Name and source, sorted by name; one may have no name, and has the paths that the names of others do not begin.
    All hold GeoTIFFs."""

    decode = staticmethod(read_pixels)

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
