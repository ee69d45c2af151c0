"""From the staging area to the store, shard by shard: sealed where they lie, or read and encoded."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import ChecksumError, PatchError
from bigearth_xr.ingestion.shards import PatchReader, ShardResult, write_shard
from bigearth_xr.ingestion.staging import Plane, staged_file
from bigearth_xr.store.codec import CRC_BYTES, combine_crc32c
from bigearth_xr.store.open import Store
from bigearth_xr.store.schema import QUARANTINED, REFERENCE_MAP, SHARD_PATCHES, STORED, PixelArray
from bigearth_xr.store.shard import HOLE, encode_index, read_index, shard_key

__all__ = ["StagedJob", "StagedPatch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedPatch:
    """A patch that is to move from its slot to its row."""

    patch: str
    """Patch id."""

    slot: int
    """Its place in the staging area."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedJob:
    """What a worker needs to know to write one shard of every array from what has arrived."""

    store: Store
    """The store, created already."""

    folder: Path
    """The staging area."""

    planes: tuple[Plane, ...]
    """Its planes."""

    shard: int
    """Number of the shard."""

    patches: Mapping[int, StagedPatch]
    """Patches of the shard that are not stored yet, by their place in it."""

    arrived: NDArray[np.bool_]
    """Which of their planes have arrived, shape ``(place, plane)``."""

    checksums: NDArray[np.uint32]
    """CRC-32C of each, shape ``(place, plane)``."""

    refused: Mapping[int, str]
    """Why a patch cannot be stored, by its place."""

    kept: frozenset[int]
    """Places whose pixels an earlier run stored."""

    is_in_slots: bool
    """Whether every patch of the shard has the slot of its row, and nobody else's patch lies between."""

    @property
    def length(self) -> int:
        """Places in this shard; fewer than 1024 in the last."""
        return min(SHARD_PATCHES, self.store.rows - self.shard * SHARD_PATCHES)

    def name(self, place: int) -> str:
        """Patch id at a place."""
        return self.patches[place].patch

    @contextmanager
    def reading(self) -> Iterator[PatchReader]:
        """Give what reads the patch at a place, and checks that it is what arrived."""
        with ExitStack() as stack:
            files: dict[Path, BinaryIO] = {}

            def read_slot(array: PixelArray, slot: int) -> bytes:
                path = staged_file(self.folder, array, slot // SHARD_PATCHES)
                if path not in files:
                    files[path] = stack.enter_context(path.open("rb", buffering=0))
                start = slot % SHARD_PATCHES * _slot_bytes(array)
                return os.pread(files[path].fileno(), array.patch_bytes, start)

            yield lambda place: self._read(place, read_slot)

    def write(self, advance: Callable[[], None] = lambda: None) -> ShardResult:
        """Write the shard: where its files can stay what they are, only what they lack."""
        if self.is_in_slots and self.store.profile == "fast" and self.store.location.local and not self.kept:
            return self._seal(advance)
        return write_shard(self, advance)

    def _read(self, place: int, read_slot: Callable[[PixelArray, int], bytes]) -> dict[str, NDArray[Any]]:
        if place in self.refused:
            raise PatchError(self.refused[place])
        pixels: dict[str, NDArray[Any]] = {}
        for array in self.store.arrays:
            planes = [plane for plane in self.planes if plane.array.name == array.name]
            if not self.arrived[place, planes[0].number]:
                continue
            dtype = np.dtype(array.dtype).newbyteorder("<")
            values = np.frombuffer(read_slot(array, self.patches[place].slot), dtype)
            for plane, band in zip(planes, values.reshape(len(planes), array.size, array.size), strict=True):
                if google_crc32c.value(band) != self.checksums[place, plane.number]:
                    raise ChecksumError(
                        f"{self.folder}: {self.name(place)}, {plane.name}: changed since it arrived; delete the "
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
            states={place: QUARANTINED if place in self.refused else STORED for place in self.patches},
            mapped=frozenset(good[has_map[good]].tolist()),
            failures={self.name(place): reason for place, reason in self.refused.items()},
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


def _slot_bytes(array: PixelArray) -> int:
    return array.patch_bytes + CRC_BYTES


def _finish_file(file: int, array: PixelArray, index: NDArray[np.uint64], checksums: NDArray[np.uint32]) -> None:
    """Add to a staged file what it lacks of a shard's body, and take away what is none of it."""
    nbytes, is_there = _slot_bytes(array), index[:, 0] != HOLE
    for place in np.flatnonzero(~is_there).tolist():
        # Half of a patch may lie there, or what came and was not noted before a kill.
        stray = os.pread(file, nbytes, place * nbytes)
        if stray.count(0) < len(stray):
            os.pwrite(file, bytes(nbytes), place * nbytes)
    for place, checksum in zip(np.flatnonzero(is_there).tolist(), checksums.astype("<u4"), strict=True):
        os.pwrite(file, checksum.tobytes(), place * nbytes + array.patch_bytes)
    # The last shard's body ends with its last row.
    os.ftruncate(file, len(index) * nbytes)
