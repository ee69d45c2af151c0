"""The files of one container in one pass, whatever it is: a tar, compressed or not, near or on a server; a folder.

Pixels are decoded as they come, by the caller. What else an archive is asked for, its folders, JSONs and lists, is
kept in a `StreamIndex`. Pixels that a caller asks for later, `StreamedSource` collects on disk in a second pass.
"""

import shutil
import weakref
import zlib
from array import array
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import ClassVar, NoReturn

from bigearth_xr.archive.bytestream import ByteSource, ByteStream, Pipe, ReadAhead, open_bytes
from bigearth_xr.archive.containers import Container
from bigearth_xr.archive.names import ENDINGS, JSON_SUFFIX, archive_ending, may_be_of_patch
from bigearth_xr.archive.parts import Chain, Parts
from bigearth_xr.archive.scan import release_of_list
from bigearth_xr.archive.source import Data, Encoding, Folder, FolderSource, JoinedSource, Refusal
from bigearth_xr.archive.tar import Member, read_members
from bigearth_xr.download import RefusedError, open_url
from bigearth_xr.errors import ArchiveError
from bigearth_xr.progress import Progress
from bigearth_xr.releases import V1_FILES, V2_FILES

__all__ = ["StreamIndex", "StreamedSource", "is_address", "open_members", "open_streams"]

_PUBLISHED = {file.address: file.md5 for file in (*V1_FILES, *V2_FILES)}
"""Checksums of the files at the addresses that their publishers gave; of a copy elsewhere nothing is known."""

_BITS = {ending: 1 << bit for bit, ending in enumerate(ENDINGS)}

_JSON_AT = len(ENDINGS)
"""Bits from here on number the JSON of a folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberStream:
    """Files on their way past."""

    members: Iterator[Member | Refusal]
    """Each of them, and what was passed over."""

    position: Callable[[], int]
    """Bytes that have passed, as they are compressed."""

    size: int | None
    """Bytes in all; None if not known."""


def is_address(container: str) -> bool:
    """Tell an address on a server from a path."""
    return container.startswith(("http://", "https://"))


@contextmanager
def open_members(container: Container, notice: Callable[[str], None]) -> Iterator[MemberStream]:
    """Open a tar, its parts, an address, a pipe or a folder to go through its files once.

    Parameters
    ----------
    container
        What to open. Of a pipe that has passed by, the files that were kept are given.
    notice
        Called with a line for each fault of a connection that was survived.
    """
    if isinstance(container, Pipe) and container.is_over:
        yield MemberStream(members=container.kept(), position=lambda: 0, size=None)
        return
    if isinstance(container, str) and not is_address(container) and Path(container).is_dir():
        yield MemberStream(members=_files_of(FolderSource(Path(container))), position=lambda: 0, size=None)
        return
    with ExitStack() as stack:
        chain = Chain(_open_each(container, notice)) if isinstance(container, Parts) else None
        stream = stack.enter_context(_open_stream(container, chain, notice))
        ahead = stack.enter_context(ReadAhead(stream))
        members = read_members(ahead, where=str(container))
        if isinstance(container, Parts) and chain is not None:
            members = _explained(members, container, chain)
        yield MemberStream(members=members, position=lambda: stream.position, size=stream.size)


class StreamIndex:
    """A `PixelSource` without pixels: the files of a stream that has passed by."""

    encoding: ClassVar[Encoding] = "geotiff"

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
                # Named as another file of the patch but for its spelling: the scan of the folder reports it.
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

    def note_members(self, members: Iterator[Member | Refusal]) -> Iterator[Member]:
        """Remember members as they pass, refusals too; give on those that are new."""
        for member in members:
            if isinstance(member, Refusal):
                self.refuse(member)
            elif self.note(member.name, member.data):
                yield member

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

    def release_metadata(self) -> None:
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


def open_streams(containers: Sequence[Container]) -> "StreamedSource":
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


@dataclass(frozen=True, kw_only=True)
class StreamedSource:
    """A `PixelSource` that knows all names of streams, and has the pixels of those folders that were collected."""

    has_json: ClassVar[bool] = True
    encoding: ClassVar[Encoding] = "geotiff"

    containers: tuple[Container, ...]
    """The streams."""

    indexes: tuple[StreamIndex, ...]
    """What passed by in each container."""

    scratch: Path = field(default_factory=lambda: Path(mkdtemp(prefix="bigearth-")))
    """Where the collected folders lie, for as long as this lives."""

    collected: set[str] = field(default_factory=set)
    """Those folders."""

    def __post_init__(self) -> None:
        weakref.finalize(self, shutil.rmtree, self.scratch, ignore_errors=True)

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

    def only(self, folders: Collection[str]) -> "_Collected":
        """Give the collected folders, all of them: they lie on disk."""
        return _Collected(self.scratch, tuple(index.name for index in self.indexes))

    def _keep(self, path: str, data: Data, wanted: Collection[str]) -> None:
        """Write a file of a wanted folder; of two that bear one name, the first, as everywhere."""
        place = self.scratch / path
        if path.rpartition("/")[0] in wanted and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)


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


def _open_stream(container: Container, chain: Chain | None, notice: Callable[[str], None]) -> ByteStream:
    """Open what is read from front to back."""
    if isinstance(container, Pipe):
        return container.open()
    if isinstance(container, Parts) and chain is not None:
        size = sum(Path(place).stat().st_size for place in container.places) if container.is_local else None
        return ByteStream(chain, name=str(container), size=size)
    if is_address(str(container)):
        response = open_url(str(container), md5=_PUBLISHED.get(str(container)), notice=notice)
        return open_bytes(response, name=str(container), size=response.size)
    return open_bytes(str(container))


def _open_each(parts: Parts, notice: Callable[[str], None]) -> Iterator[tuple[str, ByteSource]]:
    """Open parts one after the other; on a server also those that follow the last one that was named."""
    sizes: list[int | None] = []
    for place in parts.places:
        if is_address(place):
            response = open_url(place, notice=notice)
            sizes.append(response.size)
            yield place, response
        else:
            yield place, open(place, "rb", buffering=0)  # noqa: SIM115  # closed by the chain
    # The last part is shorter than the others: behind such a one there is none.
    while is_address(parts.places[-1]) and sizes[-1] == sizes[0]:
        parts = Parts((*parts.places, parts.next))
        try:
            response = open_url(parts.places[-1], notice=notice)
        except RefusedError:
            return
        sizes.append(response.size)
        yield parts.places[-1], response


def _explained(members: Iterator[Member | Refusal], parts: Parts, chain: Chain) -> Iterator[Member | Refusal]:
    """Say of refusals which part they are because of."""
    for member in members:
        if isinstance(member, Refusal):
            read = tuple(dict.fromkeys((*parts.places, chain.name))) if chain.name else parts.places
            yield Parts(read).explain(member, chain)
        else:
            yield member


def _files_of(source: FolderSource) -> Iterator[Member | Refusal]:
    """Read the files of an archive that lie in a folder; the tars beside them are containers of their own."""
    for folder in source.folders():
        for file in folder.files:
            if may_be_of_patch(file) or release_of_list(file):
                path = f"{folder.path}/{file}" if folder.path else file
                yield _member(source, path)


def _member(source: FolderSource, path: str) -> Member | Refusal:
    try:
        return Member(path, source.read(path))
    except OSError as error:
        message = f"{source.locate(path)} cannot be read ({error}); check the file system"
        return Refusal(member=path, kind="refused", message=message)


def _split(path: str) -> tuple[str, str, int]:
    """Split a path into folder and file, and give the bit of a file that a patch of the folder's name has, else 0."""
    folder, _, file = path.rpartition("/")
    patch = folder.rpartition("/")[2]
    ending = archive_ending(file[len(patch) + 1 :]) if file.startswith(f"{patch}_") else None
    return folder, file, 0 if ending is None else _BITS[ending]
