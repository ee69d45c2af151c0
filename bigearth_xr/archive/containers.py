"""What an archive lies in, known by their bytes and not their names: folders, tars, compressed tars."""

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from bigearth_xr.archive.bytestream import ByteStream, Pipe, is_pipe, open_bytes, real_place
from bigearth_xr.archive.lmdb_source import LmdbSource, is_lmdb
from bigearth_xr.archive.parts import Chain, Parts, find_parts, siblings, whole_of
from bigearth_xr.archive.scan import release_of_list
from bigearth_xr.archive.source import FolderSource, JoinedSource, PixelSource
from bigearth_xr.archive.tar import BLOCK, parse_header
from bigearth_xr.archive.tar_source import open_tar
from bigearth_xr.errors import ArchiveError, ArchiveNotFoundError

__all__ = ["Container", "expand", "find_containers", "name_containers", "open_source"]

Paths: TypeAlias = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""One path or address, or several."""

Container: TypeAlias = str | Parts | Pipe
"""A folder, tar or address by its path; a tar in parts; or what comes through a pipe."""

_ADDRESSES = ("http://", "https://")
_TAR_ENDINGS = (".tar", ".tgz", ".tbz2", ".txz", ".tzst", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst")
_UNFINISHED = ".part"
_OF_PATCHES = (".tif", ".tiff", ".json", ".parquet", ".csv")

_Kind: TypeAlias = Literal["folder", "tar", "stream"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Containers:
    """What an archive lies in, by how it can be read."""

    folders: tuple[Path, ...]
    """Folders, LMDBs among them: in any order. Nothing may lie in one but lists, and the tars that were found in it."""

    tars: tuple[Path | Parts, ...]
    """Plain tars, in parts or not: in any order."""

    streams: tuple[Container, ...]
    """Compressed tars by their paths, addresses, either of them in parts, and pipes: from front to back only."""

    def in_passing(self) -> tuple[Container, ...]:
        """Give all of them, to be gone through from front to back; none if they can be read in any order."""
        if not self.streams:
            return ()
        tars = (tar if isinstance(tar, Parts) else str(tar) for tar in self.tars)
        return (*map(str, self.folders), *tars, *self.streams)


def find_containers(paths: Paths) -> _Containers:
    """Tell folders, plain and compressed tars apart, those that lie directly in a folder among them.

    Parameters
    ----------
    paths
        Folders, tars, patterns of their names, addresses, and ``-`` for standard input; of an address or a pipe nothing
        is read. One part of a tar stands for all that lie beside it. Lists of metadata among them are passed over.

    Raises
    ------
    ArchiveNotFoundError
        If a path does not exist, or a part is missing.
    ArchiveError
        If a file that is given, or named like a tar, is not a tar; if an LMDB is one of several.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else paths
    if not given:
        raise ArchiveError("no archive is given; give the path of its folder or of its tars")
    places = [place for path in given for place in expand(path)]
    # In the order given, and each once.
    found = dict.fromkeys(_look_at(places))
    if not found:
        raise ArchiveError(f"{', '.join(places)}: only lists, no archive; give the path of its folder or of its tars")
    _check_together([place for _, place in found], [kind for kind, _ in found])
    return _Containers(
        folders=tuple(Path(str(place)) for kind, place in found if kind == "folder"),
        tars=tuple(place if isinstance(place, Parts) else Path(str(place)) for kind, place in found if kind == "tar"),
        streams=tuple(place for kind, place in found if kind == "stream"),
    )


def expand(path: str | os.PathLike[str]) -> list[str]:
    """Give what a pattern such as ``S2.tar.gz*`` matches, sorted; any other path as it is, ``~`` as the home folder.

    Examples
    --------
    >>> folder = getfixture("tmp_path")
    >>> for name in ("S2.tar.gzaa", "S2.tar.gzab"):
    ...     (folder / name).touch()
    >>> [path.removeprefix(f"{folder}/") for path in expand(f"{folder}/S2.tar.gz*")], expand("S1.tar")
    (['S2.tar.gzaa', 'S2.tar.gzab'], ['S1.tar'])
    """
    place = os.fspath(path)
    if "://" in place:
        return [place]
    place = os.path.expanduser(place)
    matches = sorted(glob.glob(place)) if glob.has_magic(place) and not os.path.lexists(place) else []
    return matches or [place]


def open_source(paths: Paths) -> PixelSource:
    """Open an archive that can be read in any order: unpacked, in an LMDB, in plain tars, or in several of these.

    Raises
    ------
    ArchiveError
        As `find_containers`; if a tar is compressed.
    """
    found = find_containers(paths)
    if found.streams:
        raise ArchiveError(
            f"{found.streams[0]} can only be read from front to back, as all that is compressed, on a server or in a "
            "pipe; ingest it, or download and decompress it first"
        )
    opened: list[PixelSource] = [LmdbSource(path) if is_lmdb(path) else FolderSource(path) for path in found.folders]
    opened += [open_tar(tar) for tar in found.tars]
    if len(opened) == 1:
        return opened[0]
    # The files of one folder keep their paths, beside the tars in it.
    is_around = len(found.folders) == 1 and all(_path_of(tar).parent == found.folders[0] for tar in found.tars)
    around = [""] if is_around else []
    names = [*around, *name_containers((*map(str, found.folders), *found.tars)[len(around) :])]
    parts = zip(names, opened, strict=True)
    return JoinedSource(tuple(sorted(parts, key=lambda part: part[0])))


def name_containers(containers: Iterable[Container | Path]) -> Iterator[str]:
    """Name containers by the last part of their paths, each otherwise.

    Examples
    --------
    >>> list(name_containers(["a/S2.tar", "b/S2.tar", Parts(("c/S2.tar.gzaa", "c/S2.tar.gzab"))]))
    ['S2.tar', 'S2.tar (2)', 'S2.tar.gz']
    """
    taken: set[str] = set()
    for container in containers:
        last = os.path.basename(os.path.abspath(_path_of(container)))
        name, count = last, 1
        while name in taken:
            count += 1
            name = f"{last} ({count})"
        taken.add(name)
        yield name


def _open_parts(parts: Parts) -> ByteStream:
    """Open the parts of a tar as one stream."""
    files = ((place, open(place, "rb", buffering=0)) for place in parts.places)  # noqa: SIM115  # closed by the chain
    return ByteStream(Chain(files), name=str(parts), size=sum(os.stat(place).st_size for place in parts.places))


def _path_of(container: Container | Path) -> Path:
    """Give the path of a container, or of the file that its parts make up."""
    return Path((whole_of(container) or container.places[0]) if isinstance(container, Parts) else str(container))


def _look_at(places: Sequence[str]) -> Iterator[tuple[_Kind, Container]]:
    """Give the containers at places that were given."""
    files: list[str] = []
    for place in map(real_place, places):
        path = Path(place)
        if place.startswith(_ADDRESSES):
            files.append(place)
        elif "://" in place:
            raise ArchiveError(
                f"{place}: no address that can be read; expected http://… or https://…, or the path of a copy"
            )
        elif is_pipe(place):
            yield "stream", Pipe(place)
        elif path.is_dir() or is_lmdb(path):
            yield "folder", str(path)
            if path.is_dir() and not is_lmdb(path):
                yield from _in_folder(path)
        elif not path.exists():
            raise ArchiveNotFoundError(
                f"there is no archive at {path}; give the folder into which it was unpacked, or its tars"
            )
        elif release_of_list(path.name) is None:
            files.append(str(path))
    yield from _files(files)


def _files(given: Sequence[str]) -> Iterator[tuple[_Kind, Container]]:
    """Give tars by their paths and addresses; where one is a part, with all that lie beside it."""
    beside = [other for file in given for other in ([file] if file.startswith(_ADDRESSES) else siblings(file))]
    in_parts, _ = find_parts(beside, _is_tar)
    taken = {place for parts in in_parts for place in parts.places}
    yield from map(_kind_of_parts, in_parts)
    for file in given:
        if file not in taken:
            kind: _Kind | None = "stream" if file.startswith(_ADDRESSES) else _kind(Path(file))
            if kind is None:
                raise ArchiveError(
                    f"{file} is a file, expected the folder of an unpacked archive, or a tar of one, plain or "
                    "compressed by gzip, zstd, bzip2 or xz"
                )
            yield kind, file


def _in_folder(folder: Path) -> Iterator[tuple[_Kind, Container]]:
    """Give the tars that lie directly in a folder."""
    with os.scandir(folder) as entries:
        files = sorted(
            entry.name for entry in entries if not entry.name.lower().endswith(_OF_PATCHES) and entry.is_file()
        )
    for name in files:
        if name.endswith(_UNFINISHED):
            raise ArchiveError(f"{folder / name} is not downloaded to its end; go on with it, or move it elsewhere")
    in_parts, others = find_parts([str(folder / name) for name in files], _is_tar)
    yield from map(_kind_of_parts, in_parts)
    for path in others:
        kind = _kind(Path(path))
        if kind is not None:
            yield kind, path
        elif path.endswith(_TAR_ENDINGS):
            raise ArchiveError(
                f"{path} has the name of a tar, but is none, or is damaged from its beginning; download or copy it "
                "again, or move it elsewhere"
            )


def _check_together(places: Sequence[Container], kinds: Sequence[_Kind]) -> None:
    """Refuse what cannot be read beside others: an LMDB, and a tar beside its own parts."""
    for place, kind in zip(places, kinds, strict=True) if len(places) > 1 else ():
        if kind == "folder" and is_lmdb(Path(str(place))):
            raise ArchiveError(f"{place} is an LMDB, and cannot be joined with others; give it alone")
        if isinstance(place, Parts) and (whole := whole_of(place)) in places:
            raise ArchiveError(
                f"{whole} lies beside its own parts, {place}; give one of them, move the other elsewhere"
            )


def _kind_of_parts(parts: Parts) -> tuple[_Kind, Container]:
    """Tell how a tar in parts can be read."""
    if not parts.is_local:
        return "stream", parts
    with closing(_open_parts(parts)) as stream:
        kind = _kind_of(stream)
    if kind is None:
        raise ArchiveError(
            f"{parts.places[0]} has the name of the first part of a tar, but is none, or is damaged from its "
            "beginning; download or copy it again, and any part before it"
        )
    return kind, parts


def _is_tar(path: str) -> bool:
    return _kind(Path(path)) is not None


def _kind(path: Path) -> _Kind | None:
    """Tell by its first header what a file is; None if it is not a tar."""
    with open_bytes(path) as stream:
        return _kind_of(stream)


def _kind_of(stream: ByteStream) -> _Kind | None:
    try:
        if parse_header(_first_block(stream)) is None:
            return None
        return "stream" if stream.compression else "tar"
    # Some files begin like something compressed.
    except ArchiveError:
        return None


def _first_block(stream: ByteStream) -> bytes:
    start = b""
    while len(start) < BLOCK and (more := stream.read(BLOCK - len(start))):
        start += more
    return start
