"""The files of one container in one pass, whatever it is: a tar, compressed or not, near or on a server; a folder."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bigearth_xr.archive.bytestream import ByteSource, ByteStream, ReadAhead, open_bytes
from bigearth_xr.archive.containers import Container
from bigearth_xr.archive.layout import may_be_of_patch
from bigearth_xr.archive.parts import Chain, Parts
from bigearth_xr.archive.pipe import Pipe
from bigearth_xr.archive.scan import release_of_list
from bigearth_xr.archive.source import FolderSource, Refusal
from bigearth_xr.archive.tar import read_members
from bigearth_xr.archive.tar_member import Member
from bigearth_xr.download import RefusedError, open_url
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
def open_members(container: Container, notice: Callable[[str], None]) -> Iterator[Passage]:
    """Open a tar, its parts, an address, a pipe or a folder to go through its files once.

    Parameters
    ----------
    container
        What to open. Of a pipe that has passed by, the files that were kept are given.
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
    if isinstance(container, Pipe) and container.is_over:
        yield Passage(members=container.kept(), position=lambda: 0, size=None)
        return
    if isinstance(container, str) and not is_address(container) and Path(container).is_dir():
        yield Passage(members=_files_of(FolderSource(Path(container))), position=lambda: 0, size=None)
        return
    with ExitStack() as stack:
        chain = Chain(_open_each(container, notice)) if isinstance(container, Parts) else None
        stream = stack.enter_context(_open_stream(container, chain, notice))
        ahead = stack.enter_context(ReadAhead(stream))
        members = read_members(ahead, where=str(container))
        if isinstance(container, Parts) and chain is not None:
            members = _explained(members, container, chain)
        yield Passage(members=members, position=lambda: stream.position, size=stream.size)


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
