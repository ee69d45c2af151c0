"""The files of one container in one pass, whatever it is: a tar, compressed or not, near or on a server; a folder."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bigearth_xr.archive.bytestream import ReadAhead, open_bytes
from bigearth_xr.archive.layout import may_be_of_patch
from bigearth_xr.archive.scan import release_of_list
from bigearth_xr.archive.source import FolderSource, Refusal
from bigearth_xr.archive.tar import read_members
from bigearth_xr.archive.tar_member import Member
from bigearth_xr.download import open_url
from bigearth_xr.published import V1_FILES, V2_FILES

__all__ = ["Passage", "is_address", "open_members"]

_PUBLISHED = {file.address: file.md5 for file in (*V1_FILES, *V2_FILES)}
"""Checksums of the files at the addresses that their publishers gave; of a copy elsewhere nothing is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """Files on their way past."""

    members: Iterator[Member | Refusal]
    """Each of them, and what was passed over."""

    position: Callable[[], int]
    """Bytes that have passed, as they are compressed."""

    size: int | None
    """Bytes in all; None if not known."""


def is_address(container: str) -> bool:
    """Tell an address on a server from a path.

    Examples
    --------
    >>> is_address("https://zenodo.org/records/10891137/files/BigEarthNet-S1.tar.zst"), is_address("S1.tar.zst")
    (True, False)
    """
    return container.startswith(("http://", "https://"))


@contextmanager
def open_members(container: str, notice: Callable[[str], None]) -> Iterator[Passage]:
    """Open a tar, an address or a folder to go through its files once.

    Parameters
    ----------
    container
        Path or address.
    notice
        Called with a line for each fault of a connection that was survived.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> path = bex.testing.write_archive(getfixture("tmp_path") / "ben.tar.gz", pairs=1, container="tar.gz")
    >>> with open_members(str(path), print) as passage:
    ...     len(list(passage.members))
    17
    """
    if not is_address(container) and Path(container).is_dir():
        yield Passage(members=_files_of(FolderSource(Path(container))), position=lambda: 0, size=None)
        return
    with ExitStack() as stack:
        if is_address(container):
            response = stack.enter_context(open_url(container, md5=_PUBLISHED.get(container), notice=notice))
            stream = stack.enter_context(open_bytes(response, name=container, size=response.size))
        else:
            stream = stack.enter_context(open_bytes(container))
        ahead = stack.enter_context(ReadAhead(stream))
        yield Passage(members=read_members(ahead, where=container), position=lambda: stream.position, size=stream.size)


def _files_of(source: FolderSource) -> Iterator[Member | Refusal]:
    """Read the files of an archive that lie in a folder; the tars beside them are read by somebody else."""
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
