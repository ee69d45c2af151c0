"""An archive of compressed tars, to compare a store with: one pass for its names, one more for the patches wanted."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from bigearth_xr.archive.bytestream import Pipe
from bigearth_xr.archive.containers import Container
from bigearth_xr.archive.source import Data, Encoding, Folder, FolderSource, JoinedSource, Refusal
from bigearth_xr.archive.streams import StreamIndex, open_members
from bigearth_xr.progress import Progress
from bigearth_xr.verification.scratch import Scratch

__all__ = ["StreamedSource", "open_streams"]


def open_streams(containers: Sequence[Container]) -> "StreamedSource":
    """Go through streams once to learn what they hold.

    Parameters
    ----------
    containers
        Tars, compressed or not, in parts or not, folders, addresses and pipes; what comes through a pipe is kept.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> path = bex.testing.write_archive(getfixture("tmp_path") / "ben.tar.zst", pairs=1, container="tar.zst")
    >>> source = open_streams([str(path)])
    >>> folder = next(folder for folder in source.folders() if len(folder.files) == 12)
    >>> source.collect([folder.path])
    >>> len(source.read_files(folder.path, folder.files))
    12
    """
    indexes = tuple(StreamIndex(str(container)) for container in containers)
    with Progress() as progress:
        for container, index in zip(containers, indexes, strict=True):
            advance = progress.steps(f"names in {Path(index.name).name}", None)
            with open_members(container, progress.say) as stream:
                members = stream.members
                if isinstance(container, Pipe):
                    members = container.keep(members, lambda name: True)
                for _ in index.note_members(members):
                    advance()
    return StreamedSource(containers=tuple(containers), indexes=indexes)


@dataclass(frozen=True, slots=True)
class _Collected:
    """Folders of a stream that lie in a folder now, below the number of their container."""

    encoding: ClassVar[Encoding] = "geotiff"

    root: Path
    """Where they lie."""

    containers: tuple[str, ...]
    """What they came from."""

    def folders(self) -> Iterator[Folder]:
        """Give those that were collected."""
        return FolderSource(self.root).folders()

    def refusals(self) -> Sequence[Refusal]:
        """Nothing: what was refused was not collected."""
        return ()

    def read(self, path: str) -> bytes:
        """Read a whole file."""
        return FolderSource(self.root).read(path)

    def read_files(self, folder: str, files: Sequence[str]) -> list[Data | OSError]:
        """Read several files of one folder."""
        return FolderSource(self.root).read_files(folder, files)

    def locate(self, path: str) -> str:
        """Say where in which container a file came from."""
        number, _, below = path.partition("/")
        return f"{self.containers[int(number)]}: {below}"

    def only(self, folders: Collection[str]) -> "_Collected":
        """Itself: it is small."""
        return self


@dataclass(frozen=True, kw_only=True)
class StreamedSource:
    """A `PixelSource` that knows all names of streams, and has the pixels of those folders that were collected."""

    encoding: ClassVar[Encoding] = "geotiff"

    containers: tuple[Container, ...]
    """The streams."""

    indexes: tuple[StreamIndex, ...]
    """What passed by in each container."""

    scratch: Scratch = field(default_factory=Scratch)
    """Where the collected folders lie, for as long as this lives."""

    collected: set[str] = field(default_factory=set)
    """Those folders."""

    @property
    def _names(self) -> JoinedSource:
        return JoinedSource(tuple((str(number), index) for number, index in enumerate(self.indexes)))

    def collect(self, folders: Collection[str]) -> None:
        """Go through the streams once more for the files of these folders, where they are not here yet."""
        wanted = set(folders) - self.collected
        numbers = {int(folder.partition("/")[0]) for folder in wanted}
        with Progress() as progress:
            for number in sorted(numbers):
                index = self.indexes[number]
                advance = progress.steps(f"pixels in {Path(index.name).name}", None)
                with open_members(self.containers[number], progress.say) as stream:
                    for member in stream.members:
                        if not isinstance(member, Refusal):
                            self._keep(f"{number}/{member.name}", member.data, wanted)
                        advance()
        self.collected.update(wanted)

    def folders(self) -> Iterator[Folder]:
        """Give every folder that passed by."""
        return self._names.folders()

    def refusals(self) -> Sequence[Refusal]:
        """Tell what was passed over."""
        return self._names.refusals()

    def read(self, path: str) -> bytes:
        """Read a JSON or a list."""
        return self._names.read(path)

    def read_files(self, folder: str, files: Sequence[str]) -> list[Data | OSError]:
        """Read files of a folder that was collected."""
        return self.only(()).read_files(folder, files)

    def locate(self, path: str) -> str:
        """Say where in which container a file is."""
        return self._names.locate(path)

    def only(self, folders: Collection[str]) -> _Collected:
        """Give the collected folders, all of them: they lie on disk."""
        return _Collected(self.scratch.path, tuple(index.name for index in self.indexes))

    def _keep(self, path: str, data: Data, wanted: Collection[str]) -> None:
        """Write a file of a wanted folder; of two that bear one name, the first, as everywhere."""
        place = self.scratch.path / path
        if path.rpartition("/")[0] in wanted and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
