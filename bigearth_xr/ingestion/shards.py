"""Write the patches of one shard: the unit of work that workers take, and that no two of them share."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeAlias

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from bigearth_xr.archive import Archive, PatchFiles, read_pixels
from bigearth_xr.errors import ArchiveError, ChecksumError, PatchError
from bigearth_xr.ingestion.staging import Plane, staged_file
from bigearth_xr.store.codec import CRC_BYTES, combine_crc32c
from bigearth_xr.store.open import Store, check_current
from bigearth_xr.store.read import read_encoded
from bigearth_xr.store.schema import QUARANTINED, REFERENCE_MAP, SHARD_PATCHES, STORED, PixelArray
from bigearth_xr.store.shard import HOLE, ShardWriter, encode_index, read_index, shard_key

_PatchReader: TypeAlias = Callable[[int], dict[str, NDArray[Any]]]


class _NamedPatch(Protocol):
    """What is to be written at a position of the shard."""

    @property
    def patch(self) -> str:
        """Patch id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardJob(ABC):
    """What a worker needs to know to write one shard of every array, wherever its pixels are."""

    store: Store
    """The store, created already."""

    shard: int
    """Number of the shard."""

    patches: Mapping[int, _NamedPatch]
    """Patches of the shard that are not stored yet, by their position in it."""

    refused: Mapping[int, str]
    """Why a patch cannot be stored, by its position."""

    kept: frozenset[int]
    """Positions whose pixels an earlier run stored."""

    @property
    def length(self) -> int:
        """Positions in this shard; fewer than 1024 in the last."""
        return min(SHARD_PATCHES, self.store.rows - self.shard * SHARD_PATCHES)

    def name(self, position: int) -> str:
        """Patch id at a position."""
        return self.patches[position].patch

    @abstractmethod
    def reading(self) -> AbstractContextManager[_PatchReader]:
        """Give what reads the patch at a position whole, all its pixels by band; PatchError if that cannot be."""

    def write(self, advance: Callable[[], None] = lambda: None) -> "ShardResult":
        """Write the shard."""
        return write_shard(self, advance)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileJob(ShardJob):
    """A shard to write from the files of an archive."""

    archive: Archive
    """Where the files are; without its list of patches, which would be sent with every job."""

    patches: Mapping[int, PatchFiles]
    """Patches to read from the archive, by their position in the shard."""

    @contextmanager
    def reading(self) -> Iterator[_PatchReader]:
        """Give what reads the patch at a position whole, all its pixels by band; PatchError if that cannot be."""

        def read(position: int) -> dict[str, NDArray[Any]]:
            if position in self.refused:
                raise PatchError(self.refused[position])
            return read_pixels(self.archive, self.patches[position])

        yield read


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardResult:
    """What became of a shard's patches."""

    shard: int
    """Number of the shard."""

    states: Mapping[int, int] = field(default_factory=dict)
    """State of every patch that was read, by its position in the shard."""

    mapped: frozenset[int] = frozenset()
    """Positions of the stored patches that have a reference map."""

    failures: Mapping[str, str] = field(default_factory=dict)
    """Why a patch was quarantined, by patch id."""


def write_shard(job: ShardJob, advance: Callable[[], None] = lambda: None) -> ShardResult:
    """Write one shard of every pixel array, anew as a whole; not at all if there is nothing to add.

    A patch enters all arrays or none: it is read and checked completely before its first byte is written.

    Returns
    -------
    ShardResult
        Nothing is raised for a bad patch: it is quarantined, with its reason.
    """
    check_current(job.store)  # another machine may have another store at this address, of other rows
    states: dict[int, int] = {}
    mapped: set[int] = set()
    failures: dict[str, str] = {}
    with ExitStack() as stack:
        read = stack.enter_context(job.reading())
        if job.kept and _holds_only_kept(job) and (reasons := _why_none(job, read)) is not None:
            return ShardResult(shard=job.shard, states=dict.fromkeys(job.patches, QUARANTINED), failures=reasons)
        writers = {array.name: stack.enter_context(_writer(job, array)) for array in job.store.arrays}
        for position in sorted({*job.patches, *job.kept}):
            if position in job.kept:
                _keep(job, writers, position)
                continue
            try:
                pixels = read(position)
            except ArchiveError as error:
                states[position], failures[job.name(position)] = QUARANTINED, str(error)
            else:
                _put(job, writers, position, pixels)
                states[position] = STORED
                mapped |= {position} if REFERENCE_MAP in pixels else set()
            advance()
    return ShardResult(shard=job.shard, states=states, mapped=frozenset(mapped), failures=failures)


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedPatch:
    """A patch that is to move from its slot to its row."""

    patch: str
    """Patch id."""

    slot: int
    """Its place in the staging area."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedJob(ShardJob):
    """A shard to write from what arrived in the staging area."""

    folder: Path
    """The staging area."""

    planes: tuple[Plane, ...]
    """Its planes."""

    patches: Mapping[int, StagedPatch]
    """Patches of the shard that are not stored yet, by their position in it."""

    arrived: NDArray[np.bool_]
    """Which of their planes have arrived, shape ``(position, plane)``."""

    checksums: NDArray[np.uint32]
    """CRC-32C of each, shape ``(position, plane)``."""

    is_in_slots: bool
    """Whether every patch of the shard has the slot of its row, and no other patch lies between."""

    @contextmanager
    def reading(self) -> Iterator[_PatchReader]:
        """Give what reads the patch at a position, and checks that it is what arrived."""
        with ExitStack() as stack:
            files: dict[Path, BinaryIO] = {}

            def read_slot(array: PixelArray, slot: int) -> bytes:
                path = staged_file(self.folder, array, slot // SHARD_PATCHES)
                if path not in files:
                    files[path] = stack.enter_context(path.open("rb", buffering=0))
                start = slot % SHARD_PATCHES * _slot_bytes(array)
                return os.pread(files[path].fileno(), array.patch_bytes, start)

            yield lambda position: self._read(position, read_slot)

    def write(self, advance: Callable[[], None] = lambda: None) -> ShardResult:
        """Write the shard: where its files can stay what they are, only what they lack."""
        if self.is_in_slots and not self.store.codec.is_packed and self.store.location.local and not self.kept:
            return self._seal(advance)
        return write_shard(self, advance)

    def _read(self, position: int, read_slot: Callable[[PixelArray, int], bytes]) -> dict[str, NDArray[Any]]:
        if position in self.refused:
            raise PatchError(self.refused[position])
        pixels: dict[str, NDArray[Any]] = {}
        for array in self.store.arrays:
            planes = [plane for plane in self.planes if plane.array.name == array.name]
            if not self.arrived[position, planes[0].number]:
                continue
            dtype = np.dtype(array.dtype).newbyteorder("<")
            values = np.frombuffer(read_slot(array, self.patches[position].slot), dtype)
            for plane, band in zip(planes, values.reshape(len(planes), array.size, array.size), strict=True):
                if google_crc32c.value(band) != self.checksums[position, plane.number]:
                    raise ChecksumError(
                        f"{self.folder}: {self.name(position)}, {plane.name}: changed since it arrived; delete the "
                        "folder and ingest again"
                    )
                pixels[plane.name] = band
        return pixels

    def _seal(self, advance: Callable[[], None]) -> ShardResult:
        """Turn staged files into shards where they lie."""
        good = np.array(sorted(self.patches.keys() - self.refused.keys()), np.intp)
        for array in self.store.arrays:
            self._seal_array(array, good)
        has_map = self._has_map()
        for _ in self.patches:
            advance()
        return ShardResult(
            shard=self.shard,
            states={position: QUARANTINED if position in self.refused else STORED for position in self.patches},
            mapped=frozenset(good[has_map[good]].tolist()),
            failures={self.name(position): reason for position, reason in self.refused.items()},
        )

    def _seal_array(self, array: PixelArray, good: NDArray[np.intp]) -> None:
        path, key = staged_file(self.folder, array, self.shard), shard_key(array, self.shard)
        numbers = [plane.number for plane in self.planes if plane.array.name == array.name]
        there = good[self.arrived[good, numbers[0]]]
        if not there.size:
            self.store.location.delete(key)
            return
        checksums = combine_crc32c(self.checksums[np.ix_(there, numbers)], array.patch_bytes // len(numbers))
        index = np.full((SHARD_PATCHES, 2), HOLE, dtype="<u8")
        index[there, 0], index[there, 1] = there * _slot_bytes(array), _slot_bytes(array)
        try:
            with path.open("r+b", buffering=0) as file:
                _finish_file(file.fileno(), array, index[: self.length], checksums)
                os.pwrite(file.fileno(), encode_index(index), self.length * _slot_bytes(array))
                os.fsync(file.fileno())
            self.store.location.adopt(key, path)
        except FileNotFoundError:
            # A worker that was thought to be lost has moved it already.
            final = read_index(self.store.location, key)
            if final is None or not np.array_equal(final, index):
                raise

    def _has_map(self) -> NDArray[np.bool_]:
        for plane in self.planes:
            if plane.name == REFERENCE_MAP:
                has_map: NDArray[np.bool_] = self.arrived[:, plane.number]
                return has_map
        return np.zeros(len(self.arrived), bool)


def _holds_only_kept(job: ShardJob) -> bool:
    """Whether the shard is already what it is to be if nothing new can be read."""
    indexes = (read_index(job.store.location, shard_key(array, job.shard)) for array in job.store.arrays)
    held = (np.flatnonzero(index[:, 0] != HOLE).tolist() for index in indexes if index is not None)
    return all(job.kept.issuperset(positions) for positions in held)


def _why_none(job: ShardJob, read: _PatchReader) -> dict[str, str] | None:
    """Say why none of the patches can be read, by patch id; None as soon as one can."""
    reasons: dict[str, str] = {}
    for position in job.patches:
        try:
            read(position)
        except ArchiveError as error:
            reasons[job.name(position)] = str(error)
        else:
            return None
    return reasons


def _writer(job: ShardJob, array: PixelArray) -> ShardWriter:
    return ShardWriter(job.store.location, array, job.shard, job.store.profile, patches=job.length)


def _keep(job: ShardJob, writers: Mapping[str, ShardWriter], position: int) -> None:
    """Copy a patch of an earlier run, encoded as it is."""
    for array in job.store.arrays:
        chunk = read_encoded(job.store, array, job.shard * SHARD_PATCHES + position)
        if chunk is not None:
            writers[array.name].put_encoded(position, chunk)


def _put(job: ShardJob, writers: Mapping[str, ShardWriter], position: int, pixels: Mapping[str, NDArray[Any]]) -> None:
    """Write a patch into every array; into the reference maps only if it has one."""
    for array in job.store.arrays:
        planes = array.bands or (array.name,)
        if planes[0] in pixels:
            writers[array.name].put(position, [pixels[plane] for plane in planes])


def _slot_bytes(array: PixelArray) -> int:
    return array.patch_bytes + CRC_BYTES


def _finish_file(file: int, array: PixelArray, index: NDArray[np.uint64], checksums: NDArray[np.uint32]) -> None:
    """Add to a staged file what it lacks of a shard's body, and take away what is none of it."""
    nbytes, is_there = _slot_bytes(array), index[:, 0] != HOLE
    for position in np.flatnonzero(~is_there).tolist():
        # Half of a patch may lie there, or what came and was not noted before a kill.
        stray = os.pread(file, nbytes, position * nbytes)
        if stray.count(0) < len(stray):
            os.pwrite(file, bytes(nbytes), position * nbytes)
    for position, checksum in zip(np.flatnonzero(is_there).tolist(), checksums.astype("<u4"), strict=True):
        os.pwrite(file, checksum.tobytes(), position * nbytes + array.patch_bytes)
    # The last shard's body ends with its last row.
    os.ftruncate(file, len(index) * nbytes)
