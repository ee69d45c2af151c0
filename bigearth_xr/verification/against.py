"""The archive that a store is compared with, compressed or not, and the lists of its release."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from bigearth_xr.archive import Archive, PixelSource, survey_archive, tell_release
from bigearth_xr.archive.bytestream import Pipe
from bigearth_xr.archive.containers import Container, find_containers, open_source
from bigearth_xr.archive.scan import scan
from bigearth_xr.archive.source import Data, Encoding, Folder, FolderSource, JoinedSource, Refusal
from bigearth_xr.archive.streams import StreamIndex, open_members
from bigearth_xr.bands import bands as find_bands
from bigearth_xr.errors import MetadataError, StoreError
from bigearth_xr.ingestion.contents import list_folders, name_of, read_inner_lists
from bigearth_xr.progress import Progress
from bigearth_xr.store.open import Store
from bigearth_xr.store.read import read_column
from bigearth_xr.table.lists import find_lists, read_lists
from bigearth_xr.verification.root import TemporaryFolder

Columns = Mapping[str, pa.Array]


def read_listed(store: Store, metadata: Sequence[Path], against: Sequence[str]) -> Columns | None:
    """Read the lists that were named, or those that lie in an archive's folder; None without any.

    Raises
    ------
    MetadataError
        If they are of another release than the store.
    """
    places = list(metadata)
    if not places:
        # As ingest looks for them: at the top of a folder of the archive, or in its `lists`.
        folders = [folder for root in list_folders(against) for folder in (root, root / "lists")]
        places = [folder for folder in folders if find_lists(folder) == store.release][:1]
    if not places:
        return None
    # A folder may hold the lists of both releases; parquets are of v2.
    folder = len(places) == 1 and places[0].is_dir()
    release, listed = read_lists(places, store.release if folder and find_lists(places[0]) else None)
    if release != store.release:
        raise MetadataError(
            f"{places[0]}: lists of {release}, but {store.location} holds {store.release}; "
            "give those of its own release"
        )
    return listed


def open_against(store: Store, paths: Sequence[str], listed: Columns | None) -> tuple[Archive, Columns | None]:
    """Open an archive with the bands of a store; one that is compressed or on a server is gone through for its names.

    Returns
    -------
    tuple
        The archive, and what the lists say; None without any.

    Raises
    ------
    ArchiveError
        If there is no patch in it.
    StoreError
        If it is not the archive of this store: another release, or no patch in common.
    """
    source, name = _open(paths), name_of(paths)
    found = scan(source)
    release = tell_release(found, name)
    if release != store.release:
        raise StoreError(
            f"{paths[0]}: an archive of {release}, but {store.location} holds {store.release}; give the archive "
            "that it was made of"
        )
    if listed is None:
        lists = read_inner_lists(source, release, found.metadata_files[release])
        listed = None if lists is None else lists.columns
    archive = survey_archive(
        source,
        name=name,
        sensors={band.sensor for band in find_bands(store.bands)},
        bands=store.bands,
        pairs=_pairs(store, listed),
        found=found,
    )
    return archive, listed


def _open(paths: Sequence[str]) -> PixelSource:
    """Open what can be read in any order, or go through streams for their names."""
    containers = find_containers(paths)
    return _open_streams(containers.in_passing()) if containers.streams else open_source(paths)


def _pairs(store: Store, listed: Columns | None) -> dict[str, str]:
    """Partners as the lists name them, and of patches that these leave out, as the store does."""
    pairs: dict[str, str] = {}
    try:
        names = (read_column(store, name).tolist() for name in ("patch", "s1_name"))
        pairs |= {patch: partner for patch, partner in zip(*names, strict=True) if partner}
    except Exception:  # damaged columns raise whatever their codec raises; what they say is a help, no more
        pairs = {}
    if listed is not None:
        pairs |= dict(zip(listed["patch"].to_pylist(), listed["s1_name"].to_pylist(), strict=True))
    return pairs


def _open_streams(containers: Sequence[Container]) -> "StreamedSource":
    """Go through streams once to learn what they hold."""
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

    has_json: ClassVar[bool] = True
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

    has_json: ClassVar[bool] = True
    encoding: ClassVar[Encoding] = "geotiff"

    containers: tuple[Container, ...]
    """The streams."""

    indexes: tuple[StreamIndex, ...]
    """What passed by in each container."""

    scratch: TemporaryFolder = field(default_factory=TemporaryFolder)
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
