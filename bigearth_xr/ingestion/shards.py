"""Write the patches of one shard: the unit of work that workers take, and that no two of them share."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.archive import Archive, PatchFiles, read_pixels
from bigearth_xr.errors import ArchiveError, PatchError
from bigearth_xr.store.open import Store, check_current
from bigearth_xr.store.read import read_encoded
from bigearth_xr.store.schema import QUARANTINED, REFERENCE_MAP, SHARD_PATCHES, STORED, PixelArray
from bigearth_xr.store.shard import HOLE, ShardWriter, read_index, shard_key

__all__ = ["Job", "PatchReader", "ShardJob", "ShardResult", "write_shard"]

PatchReader: TypeAlias = Callable[[int], dict[str, NDArray[Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardJob:
    """What a worker needs to know to write one shard of every array from the files of an archive."""

    store: Store
    """The store, created already."""

    archive: Archive
    """Where the files are; without its list of patches, which would be sent with every job."""

    shard: int
    """Number of the shard."""

    patches: Mapping[int, PatchFiles]
    """Patches to read from the archive, by their place in the shard."""

    refused: Mapping[int, str]
    """Why what the archive says of a patch, beside its pixels, is wrong; by its place in the shard."""

    kept: frozenset[int]
    """Places whose pixels an earlier run stored."""

    @property
    def length(self) -> int:
        """Places in this shard; fewer than 1024 in the last."""
        return min(SHARD_PATCHES, self.store.rows - self.shard * SHARD_PATCHES)

    def name(self, place: int) -> str:
        """Patch id at a place."""
        return self.patches[place].patch

    @contextmanager
    def reading(self) -> Iterator[PatchReader]:
        """Give what reads the patch at a place whole, all its pixels by band; PatchError if that cannot be."""

        def read(place: int) -> dict[str, NDArray[Any]]:
            if place in self.refused:
                raise PatchError(self.refused[place])
            return read_pixels(self.archive, self.patches[place])

        yield read

    def write(self, advance: Callable[[], None] = lambda: None) -> "ShardResult":
        """Write the shard."""
        return write_shard(self, advance)


class Job(Protocol):
    """One shard of every array to write, from wherever its pixels are."""

    @property
    def store(self) -> Store:
        """The store, created already."""

    @property
    def shard(self) -> int:
        """Number of the shard."""

    @property
    def length(self) -> int:
        """Places in this shard."""

    @property
    def patches(self) -> Mapping[int, object]:
        """What is to be written, by place."""

    @property
    def kept(self) -> frozenset[int]:
        """Places whose pixels an earlier run stored."""

    def name(self, place: int) -> str:
        """Patch id at a place."""

    def reading(self) -> AbstractContextManager[PatchReader]:
        """Give what reads the patch at a place whole, all its pixels by band; PatchError if that cannot be."""

    def write(self, advance: Callable[[], None] = lambda: None) -> "ShardResult":
        """Write the shard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardResult:
    """What became of a shard's patches."""

    shard: int
    """Number of the shard."""

    states: Mapping[int, int] = field(default_factory=dict)
    """State of every patch that was read, by its place in the shard."""

    mapped: frozenset[int] = frozenset()
    """Places of the stored patches that have a reference map."""

    failures: Mapping[str, str] = field(default_factory=dict)
    """Why a patch was quarantined, by patch id."""


def write_shard(job: Job, advance: Callable[[], None] = lambda: None) -> ShardResult:
    """Write one shard of every pixel array, anew as a whole; not at all if there is nothing to add.

    A patch enters all arrays or none: it is read and checked completely before its first byte is written.

    Parameters
    ----------
    job
        What to write.
    advance
        Called after every patch read, for a progress bar.

    Returns
    -------
    ShardResult
        Nothing is raised for a bad patch: it is quarantined, with its reason.

    Examples
    --------
    Called by `bigearth_xr.ingest`; it needs a store that is laid out already.

    >>> write_shard.__name__
    'write_shard'
    """
    check_current(job.store)  # another machine may have another store at this place, of other rows
    states: dict[int, int] = {}
    mapped: set[int] = set()
    failures: dict[str, str] = {}
    with ExitStack() as stack:
        read = stack.enter_context(job.reading())
        if job.kept and _holds_only_kept(job) and (reasons := _why_none(job, read)) is not None:
            return ShardResult(shard=job.shard, states=dict.fromkeys(job.patches, QUARANTINED), failures=reasons)
        writers = {array.name: stack.enter_context(_writer(job, array)) for array in job.store.arrays}
        for place in sorted({*job.patches, *job.kept}):
            if place in job.kept:
                _keep(job, writers, place)
                continue
            try:
                pixels = read(place)
            except ArchiveError as error:
                states[place], failures[job.name(place)] = QUARANTINED, str(error)
            else:
                _put(job, writers, place, pixels)
                states[place] = STORED
                mapped |= {place} if REFERENCE_MAP in pixels else set()
            advance()
    return ShardResult(shard=job.shard, states=states, mapped=frozenset(mapped), failures=failures)


def _holds_only_kept(job: Job) -> bool:
    """Whether the shard is already what it is to be if nothing new can be read."""
    indexes = (read_index(job.store.location, shard_key(array, job.shard)) for array in job.store.arrays)
    held = (np.flatnonzero(index[:, 0] != HOLE).tolist() for index in indexes if index is not None)
    return all(job.kept.issuperset(places) for places in held)


def _why_none(job: Job, read: PatchReader) -> dict[str, str] | None:
    """Say why none of the patches can be read, by patch id; None as soon as one can."""
    reasons: dict[str, str] = {}
    for place in job.patches:
        try:
            read(place)
        except ArchiveError as error:
            reasons[job.name(place)] = str(error)
        else:
            return None
    return reasons


def _writer(job: Job, array: PixelArray) -> ShardWriter:
    return ShardWriter(job.store.location, array, job.shard, job.store.profile, patches=job.length)


def _keep(job: Job, writers: Mapping[str, ShardWriter], place: int) -> None:
    """Copy a patch of an earlier run, encoded as it is."""
    for array in job.store.arrays:
        chunk = read_encoded(job.store, array, job.shard * SHARD_PATCHES + place)
        if chunk is not None:
            writers[array.name].put_encoded(place, chunk)


def _put(job: Job, writers: Mapping[str, ShardWriter], place: int, pixels: Mapping[str, NDArray[Any]]) -> None:
    """Write a patch into every array; into the reference maps only if it has one."""
    for array in job.store.arrays:
        planes = array.bands or (array.name,)
        if planes[0] in pixels:
            writers[array.name].put(place, [pixels[plane] for plane in planes])
