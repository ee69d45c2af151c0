"""Damaged copies of archives, to try on whatever reads one: cut short, flipped, hostile, with one bad GeoTIFF.

The suffix of a tar says how it is compressed; a copy is compressed as its own suffix says.
"""

import shutil
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, Literal, TypeAlias

from bigearth_xr.errors import ArchiveError
from bigearth_xr.testing.container import Container, open_container
from bigearth_xr.testing.geotiff import Damage, damage_tiff

__all__ = ["Member", "flipped", "hostile_members", "truncated", "with_corrupt_tiff", "with_members"]

Member: TypeAlias = tuple[tarfile.TarInfo, bytes]
"""What a tar says of a member, true or not, and its contents."""

PathLikeStr: TypeAlias = str | PathLike[str]


def truncated(tar: PathLikeStr, to: PathLikeStr, *, at: float | int = 0.5) -> Path:
    """Copy the beginning of a file, as a download leaves it that broke off.

    Parameters
    ----------
    tar
        Any file.
    to
        The copy.
    at
        Where it ends: a float is a fraction of its size, an int a number of bytes.

    Examples
    --------
    >>> from bigearth_xr.testing import write_archive
    >>> folder = getfixture("tmp_path")
    >>> tar = write_archive(folder / "whole.tar", pairs=1, container="tar")
    >>> truncated(tar, folder / "part.tar", at=1000).stat().st_size
    1000
    """
    end = _place(tar, at)
    with open(tar, "rb") as source, open(to, "wb") as copy:
        while end:
            piece = source.read(min(end, 1 << 20))
            copy.write(piece)
            end -= len(piece)
    return Path(to)


def flipped(tar: PathLikeStr, to: PathLikeStr, *, at: float | int = 0.5) -> Path:
    r"""Copy a file with all bits of one byte flipped, as a bad disk leaves it.

    Parameters
    ----------
    tar
        Any file.
    to
        The copy.
    at
        Which byte: a float is a fraction of the size, an int a place.

    Examples
    --------
    >>> from bigearth_xr.testing import write_archive
    >>> folder = getfixture("tmp_path")
    >>> tar = write_archive(folder / "good.tar", pairs=1, container="tar")
    >>> flipped(tar, folder / "bad.tar", at=257).read_bytes()[256:259]
    b'\x00\x8as'
    """
    place = min(_place(tar, at), Path(tar).stat().st_size - 1)
    shutil.copyfile(tar, to)
    with open(to, "r+b") as copy:
        copy.seek(place)
        byte = copy.read(1)[0]
        copy.seek(place)
        copy.write(bytes([byte ^ 0xFF]))
    return Path(to)


def with_members(
    tar: PathLikeStr, to: PathLikeStr, members: Iterable[Member], *, where: Literal["start", "end"] = "end"
) -> Path:
    """Copy a tar with more members, written as they are given, however hostile.

    Parameters
    ----------
    tar
        A sound tar.
    to
        The copy.
    members
        For instance of `hostile_members`. A size need not be that of the contents.
    where
        Whether they come before or after the sound ones.

    Examples
    --------
    >>> from bigearth_xr.testing import write_archive
    >>> folder = getfixture("tmp_path")
    >>> tar = write_archive(folder / "good.tar", pairs=1, container="tar")
    >>> hostile = hostile_members("patch/patch_B02.tif")
    >>> bad = with_members(tar, folder / "bad.tar", [hostile["traversal"]])
    >>> with tarfile.open(bad) as tar:
    ...     print(tar.getnames()[-1])
    ../../patch/patch_B02.tif
    """
    with _open_tar(tar) as sound, open_container(to, _container(to)) as copy:
        extra = list(map(_encode_member, members))
        kept = (_encode_member((member, _contents(sound, member))) for member in sound)
        for pieces in (extra, kept) if where == "start" else (kept, extra):
            copy.writelines(pieces)
        copy.write(bytes(2 * tarfile.BLOCKSIZE))
    return Path(to)


def hostile_members(path: str) -> dict[str, Member]:
    """Make members that no archive has, in the place of a file that archives do have.

    Parameters
    ----------
    path
        Path in the tar of a file whose place they claim.

    Returns
    -------
    dict of Member
        By kind: ``traversal``, ``absolute``, ``symlink``, ``hardlink``, ``device``, ``fifo``, ``duplicate``,
        ``not utf-8``, and ``absurd size`` (a petabyte, of which nothing follows: put it last).

    Examples
    --------
    >>> member, contents = hostile_members("patch/patch_B02.tif")["symlink"]
    >>> member.issym(), member.linkname, contents
    (True, '/etc/passwd', b'')
    """
    contents = b"not a TIFF"
    of_type = {"symlink": tarfile.SYMTYPE, "hardlink": tarfile.LNKTYPE}
    of_type |= {"device": tarfile.CHRTYPE, "fifo": tarfile.FIFOTYPE}
    named = {"traversal": f"../../{path}", "absolute": f"/{path}", "duplicate": path, "not utf-8": f"{path}\udcff"}
    members = {kind: (_member(name, size=len(contents)), contents) for kind, name in named.items()}
    members |= {
        kind: (_member(path, type=code, linkname="/etc/passwd" if "link" in kind else ""), b"")
        for kind, code in of_type.items()
    }
    return members | {"absurd size": (_member(path, size=1 << 50), b"")}


def with_corrupt_tiff(archive: PathLikeStr, to: PathLikeStr, *, patch: str, band: str, how: Damage) -> Path:
    """Copy an archive, folder or tar, with one GeoTIFF damaged.

    Parameters
    ----------
    archive
        A sound archive.
    to
        The copy.
    patch
        Name of the folder that holds the file: patch id, or the Sentinel-1 name.
    band
        Name of the band, or ``"reference_map"``.
    how
        What happens to the file.

    Raises
    ------
    ArchiveError
        If the archive has no such file.

    Examples
    --------
    >>> from bigearth_xr.testing import synthetic_pair, write_archive
    >>> folder = getfixture("tmp_path")
    >>> good = write_archive(folder / "good.tar", pairs=1, container="tar")
    >>> patch = synthetic_pair(0).patch
    >>> bad = with_corrupt_tiff(good, folder / "bad.tar", patch=patch, band="B02", how="zero-length")
    >>> with tarfile.open(bad) as tar:
    ...     print([member.size for member in tar if member.name.endswith("B02.tif")])
    [0]
    """
    ending = f"{patch}/{patch}_{band}.tif"
    damage = _damage_folder if Path(archive).is_dir() else _damage_tar
    if not damage(Path(archive), Path(to), ending, how):
        raise ArchiveError(f"{archive} has no {ending}; take a patch and a band that it holds")
    return Path(to)


def _damage_folder(archive: Path, to: Path, ending: str, how: Damage) -> bool:
    """Copy a folder, damaging files of this name; tell whether there was one."""
    shutil.copytree(archive, to)
    found = list(to.glob(f"**/{ending}"))
    for file in found:
        file.write_bytes(damage_tiff(file.read_bytes(), how))
    return bool(found)


def _damage_tar(archive: Path, to: Path, ending: str, how: Damage) -> bool:
    """Copy a tar, damaging members of this name; tell whether there was one."""
    found = False
    with _open_tar(archive) as sound, open_container(to, _container(to)) as copy:
        for member in sound:
            contents = _contents(sound, member)
            if member.name.endswith(ending):
                found, contents = True, damage_tiff(contents, how)
                member.size = len(contents)
            copy.write(_encode_member((member, contents)))
        copy.write(bytes(2 * tarfile.BLOCKSIZE))
    return found


def _place(file: PathLikeStr, at: float | int) -> int:
    """Turn a fraction of a file's size into a number of bytes."""
    return round(at * Path(file).stat().st_size) if isinstance(at, float) else at


def _member(name: str, **facts: Any) -> tarfile.TarInfo:
    """Make the header of a member."""
    member = tarfile.TarInfo(name)
    for field, value in facts.items():
        setattr(member, field, value)
    return member


def _encode_member(member: Member) -> bytes:
    """Encode header and contents of a member, whether they agree or not."""
    header, contents = member
    return header.tobuf(tarfile.GNU_FORMAT) + contents + bytes(-len(contents) % tarfile.BLOCKSIZE)


def _contents(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """Read the contents of a file; any other member has none."""
    file = tar.extractfile(member) if member.isreg() else None
    return b"" if file is None else file.read()


def _container(tar: PathLikeStr) -> Container:
    """Tell by its suffix how a tar is compressed."""
    containers: dict[str, Container] = {".gz": "tar.gz", ".zst": "tar.zst"}
    return containers.get(Path(tar).suffix, "tar")


@contextmanager
def _open_tar(path: PathLikeStr) -> Iterator[tarfile.TarFile]:
    """Open a sound tar to read it from front to back."""
    import pyarrow as pa

    compression = {"tar": None, "tar.gz": "gzip", "tar.zst": "zstd"}[_container(path)]
    with pa.input_stream(Path(path), compression) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        yield tar
