"""What an archive lies in, told by the bytes and not by the names: folders, tars, compressed tars."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from bigearth_xr.archive.bytestream import ByteStream, open_bytes
from bigearth_xr.archive.joined import JoinedSource
from bigearth_xr.archive.lmdb_source import LmdbSource, is_lmdb
from bigearth_xr.archive.source import FolderSource, PixelSource
from bigearth_xr.archive.tar_header import BLOCK, parse_header
from bigearth_xr.archive.tar_source import open_tar
from bigearth_xr.errors import ArchiveError, ArchiveNotFoundError

__all__ = ["Containers", "Paths", "find_containers", "name_containers", "open_source"]

Paths: TypeAlias = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""One path or address, or several."""

_ADDRESSES = ("http://", "https://")
_TAR_ENDINGS = (".tar", ".tgz", ".tbz2", ".txz", ".tzst", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst")
_UNFINISHED = ".part"
_OF_PATCHES = (".tif", ".tiff", ".json", ".parquet", ".csv")

_Kind: TypeAlias = Literal["folder", "tar", "stream"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Containers:
    """What an archive lies in, by how it can be read."""

    folders: tuple[Path, ...]
    """Folders, LMDBs among them: in any order. Nothing may lie in one but lists, and the tars that were found in it."""

    tars: tuple[Path, ...]
    """Plain tars: in any order."""

    streams: tuple[str, ...]
    """Compressed tars by their paths, and addresses: from front to back only."""


def find_containers(paths: Paths) -> Containers:
    """Tell folders, plain and compressed tars apart, those that lie directly in a folder among them.

    Parameters
    ----------
    paths
        Folders, tars and addresses; of an address nothing is read.

    Raises
    ------
    ArchiveNotFoundError
        If a path does not exist.
    ArchiveError
        If a file is no tar: one that was given, or one in a folder that is named like a tar; if an LMDB is to be one of
        several.

    Examples
    --------
    >>> import tarfile
    >>> root = getfixture("tmp_path")
    >>> (root / "patch").mkdir()
    >>> for name, mode in (("S1.tar", "w"), ("S2.tar.gz", "w:gz")):
    ...     with tarfile.open(root / name, mode) as tar:
    ...         tar.add(root / "patch", "patch")
    >>> found = find_containers(root)
    >>> found.folders == (root,), found.tars == (root / "S1.tar",), found.streams == (str(root / "S2.tar.gz"),)
    (True, True, True)
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else paths
    if not given:
        raise ArchiveError("no archive is given; give the path of its folder or of its tars")
    # In the order given, and each once.
    found = dict.fromkeys(one for path in given for one in _look_at(path))
    for kind, place in found if len(found) > 1 else ():
        if kind == "folder" and is_lmdb(Path(place)):
            raise ArchiveError(f"{place} is an LMDB, and cannot be joined with others; give it alone")
    return Containers(
        folders=tuple(Path(place) for kind, place in found if kind == "folder"),
        tars=tuple(Path(place) for kind, place in found if kind == "tar"),
        streams=tuple(place for kind, place in found if kind == "stream"),
    )


def open_source(paths: Paths) -> PixelSource:
    """Open an archive that can be read in any order: unpacked, in an LMDB, in plain tars, or in several of these.

    Parameters
    ----------
    paths
        One path, or several whose content makes up one archive.

    Raises
    ------
    ArchiveError
        As `find_containers`; if a tar is compressed.

    Examples
    --------
    >>> from bigearth_xr.testing import write_archive
    >>> root = write_archive(getfixture("tmp_path") / "v2", pairs=1)
    >>> source = open_source([root / "BigEarthNet-S1", root / "BigEarthNet-S2"])
    >>> len(list(source.folders()))
    6
    """
    found = find_containers(paths)
    if found.streams:
        raise ArchiveError(
            f"{found.streams[0]} can only be read from front to back, as all that is compressed or on a server; ingest "
            "it, or download and decompress it first"
        )
    opened: list[tuple[Path, PixelSource]] = [
        (path, LmdbSource(path) if is_lmdb(path) else FolderSource(path)) for path in found.folders
    ]
    opened += [(path, open_tar(path)) for path in found.tars]
    if len(opened) == 1:
        return opened[0][1]
    # The files of one folder keep their paths, beside the tars in it.
    is_around = len(found.folders) == 1 and all(path.parent == found.folders[0] for path in found.tars)
    around = [""] if is_around else []
    names = [*around, *name_containers(path for path, _ in opened[len(around) :])]
    parts = zip(names, (source for _, source in opened), strict=True)
    return JoinedSource(tuple(sorted(parts, key=lambda part: part[0])))


def name_containers(paths: Iterable[Path]) -> Iterator[str]:
    """Name containers by the last part of their paths, each otherwise.

    Examples
    --------
    >>> list(name_containers([Path("a/S2.tar"), Path("b/S2.tar")]))
    ['S2.tar', 'S2.tar (2)']
    """
    taken: set[str] = set()
    for path in paths:
        last = path.resolve().name
        name, count = last, 1
        while name in taken:
            count += 1
            name = f"{last} ({count})"
        taken.add(name)
        yield name


def _look_at(place: str | os.PathLike[str]) -> Iterator[tuple[_Kind, str]]:
    """Give the containers at a place that was given."""
    path = Path(os.path.expanduser(place))
    if str(place).startswith(_ADDRESSES):
        yield "stream", str(place)
    elif "://" in str(place):
        raise ArchiveError(
            f"{place}: no address that can be read; expected http://… or https://…, or the path of a copy"
        )
    elif path.is_dir() or is_lmdb(path):
        yield "folder", str(path)
        if path.is_dir() and not is_lmdb(path):
            yield from _in_folder(path)
    elif not path.exists():
        raise ArchiveNotFoundError(
            f"there is no archive at {path}; give the folder into which it was unpacked, or its tars"
        )
    else:
        kind = _kind(path)
        if kind is None:
            raise ArchiveError(
                f"{path} is a file, expected the folder of an unpacked archive, or a tar of one, plain or compressed "
                "by gzip, zstd, bzip2 or xz"
            )
        yield kind, str(path)


def _in_folder(folder: Path) -> Iterator[tuple[_Kind, str]]:
    """Give the tars that lie directly in a folder."""
    with os.scandir(folder) as entries:
        files = sorted(
            entry.name for entry in entries if not entry.name.lower().endswith(_OF_PATCHES) and entry.is_file()
        )
    for name in files:
        path = folder / name
        if name.endswith(_UNFINISHED):
            raise ArchiveError(f"{path} is not downloaded to its end; go on with it, or move it elsewhere")
        kind = _kind(path)
        if kind is not None:
            yield kind, str(path)
        elif name.endswith(_TAR_ENDINGS):
            raise ArchiveError(
                f"{path} has the name of a tar, but is none, or is damaged from its beginning; download or copy it "
                "again, or move it elsewhere"
            )


def _kind(path: Path) -> _Kind | None:
    """Tell by its first header what a file is; None if it is no tar."""
    try:
        with open_bytes(path) as stream:
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
