"""The shards of pixel arrays, many encoded patches at a time: files mapped into memory, or objects that are fetched.

A read of a map touches the page cache and nothing else, and costs no system call. A file that is cut short under a map
kills the process that touches what is gone (SIGBUS), and so does a disk or a network folder that fails. Nothing here
cuts a shard: ingest and repair write another file and rename it, and a reader that has the old one mapped goes on with
the old bytes. What both kinds of shards offer is said by the Protocols `Shards` and `EncodedPatches` of `store.rows`.
"""

import ctypes
import errno
import mmap
import os
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import repeat
from pathlib import Path
from threading import Lock
from typing import cast

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import StoreAccessError, StoreError
from bigearth_xr.store.codec import CRC_BYTES
from bigearth_xr.store.open import Store
from bigearth_xr.store.read import shard_count, with_rows
from bigearth_xr.store.rows import ShardedRows, ThreadPool
from bigearth_xr.store.schema import SHARD_PATCHES, PixelArray
from bigearth_xr.store.shard import HOLE, INDEX_BYTES, decode_index, read_index, shard_key, shard_path

_Version = tuple[int, int, int]
"""Inode, time of change and size of a file: another one after every change."""

_NOTHING = np.empty(0, np.uint8)

MAPPED_SHARDS = 1024
"""Shards of one array that stay mapped, those used last: more than v1 has, and all arrays together far fewer than the
65,530 maps that Linux allows a process. A map takes address space, and 2 KiB of tables for every MiB that was read."""

LOOK_AGAIN_S = 0.05
"""How long a shard is not looked at again: 3 µs each, which a shuffled batch would pay for every other patch."""


@dataclass(frozen=True, slots=True, eq=False)
class _Shard:
    """One shard in memory."""

    data: NDArray[np.uint8]
    """All of the file; empty where there is none. Views of it keep it mapped."""

    base: int
    """Address of its first byte."""

    version: _Version | None
    """Which file it is; None without one."""


class MappedShards:
    """Every shard of some pixel arrays of a store in a folder, mapped when it is first used.

    A shard that was replaced is noticed within `LOOK_AGAIN_S`, mapped anew, and all that was known of it forgotten.

    Parameters
    ----------
    store
        A store in a folder.
    arrays
        Some of its arrays.
    """

    def __init__(self, store: Store, arrays: Sequence[PixelArray]) -> None:
        self.store, self.arrays = store, tuple(arrays)
        shards = shard_count(store)
        shape = (len(self.arrays), shards * SHARD_PATCHES)
        # Of all rows, though only those of mapped shards are ever touched, and so take memory.
        self._starts = np.empty(shape, np.uint64)
        self._lengths = np.empty(shape, np.uint32)
        self._seen = np.zeros(shape, bool)
        self._looked_s = np.full(shards, -np.inf)
        self._versions: dict[tuple[int, int], _Version | None] = {}
        self._mapped: OrderedDict[int, list[_Shard]] = OrderedDict()
        self._lock = Lock()

    def look_up(self, rows: ShardedRows) -> "MappedPatches":
        """Find patches of every array, mapping what is not mapped yet; see `bigearth_xr.store.rows.Shards`."""
        with self._lock:
            now = time.monotonic()
            due = self._looked_s[rows.shards] < now - LOOK_AGAIN_S
            if due.any():
                self._look(rows.shards[due].tolist(), rows)
                self._looked_s[rows.shards[due]] = now
            mapped = [self._mapped[shard] for shard in rows.shards.tolist()]
            starts, lengths = self._starts.take(rows.rows, axis=1), self._lengths.take(rows.rows, axis=1)
            seen = self._seen.take(rows.rows, axis=1)
            while len(self._mapped) > MAPPED_SHARDS:
                oldest, _ = self._mapped.popitem(last=False)
                self._looked_s[oldest] = -np.inf
        return MappedPatches(self, rows, mapped, starts, lengths, starts != 0, seen)

    def note_seen(self, patches: "MappedPatches", array: int, which: NDArray[np.intp]) -> None:
        """Remember that these were read, and are what was written; unless their shard was replaced meanwhile."""
        rows = patches.rows
        with self._lock:
            latest = [self._mapped.get(shard) for shard in rows.shards.tolist()]
            current = [a is not None and a[array] is b[array] for a, b in zip(latest, patches.mapped, strict=True)]
            kept = which[np.array(current, bool)[rows.nth_shard()[which]]]
            self._seen[array, rows.rows[kept]] = True

    def _look(self, shards: list[int], rows: ShardedRows) -> None:
        """See to it that shards are mapped, in their latest versions."""
        known: dict[int, list[_Shard | None]] = {
            shard: [*self._mapped.get(shard, [None] * len(self.arrays))] for shard in shards
        }
        for array in range(len(self.arrays)):
            for shard, mapped in known.items():
                mapped[array] = self._latest(array, shard, mapped[array], rows)
        for shard, mapped in known.items():
            self._mapped[shard] = cast("list[_Shard]", mapped)
            self._mapped.move_to_end(shard)

    def _latest(self, array: int, shard: int, mapped: _Shard | None, rows: ShardedRows) -> _Shard:
        path = str(shard_path(self._folder, self.arrays[array], shard))
        if mapped is not None and mapped.version == _version_of(path):
            return mapped
        try:
            return self._map(array, shard, path)
        except StoreError as error:
            raise with_rows(error, self.store, rows.rows[rows.shard == shard]) from None

    def _map(self, array: int, shard: int, path: str) -> _Shard:
        data, version = _map_file(path) or (_NOTHING, None)
        base = data.ctypes.data
        span = slice(shard * SHARD_PATCHES, (shard + 1) * SHARD_PATCHES)
        starts, lengths = self._starts[array, span], self._lengths[array, span]
        starts[:], lengths[:] = 0, 0
        if version is not None:
            index = decode_index(data[-INDEX_BYTES:].tobytes(), data.size, where=path)
            present = index[:, 0] != HOLE
            self._check(array, index[present], path)
            starts[present] = index[present, 0] + np.uint64(base)
            lengths[present] = index[present, 1]
        if self._versions.get((array, shard)) != version:
            self._seen[array, span] = False
        self._versions[array, shard] = version
        return _Shard(data, base, version)

    def _check(self, array: int, entries: NDArray[np.uint64], path: str) -> None:
        """Refuse a layout of `fast` that is valid Zarr and not ours: patches would be read from wrong addresses."""
        length = self.arrays[array].patch_bytes + CRC_BYTES
        if not self.store.codec.is_packed and not ((entries[:, 1] == length) & (entries[:, 0] % 4 == 0)).all():
            raise StoreError(
                f"{path}: its index has patches of {', '.join(map(str, np.unique(entries[:, 1])))} bytes, expected "
                f"{length} at multiples of 4; another program wrote it: ingest the archive again"
            )

    @property
    def _folder(self) -> Path:
        folder = self.store.location.local
        assert folder is not None
        return folder


@dataclass(frozen=True, slots=True, eq=False)
class MappedPatches:
    """Encoded patches in mapped memory, which lives as long as this; see `bigearth_xr.store.rows.EncodedPatches`."""

    shards: MappedShards
    rows: ShardedRows
    mapped: list[list[_Shard]]
    """The shards that they lie in, by position in ``rows.shards`` and array."""

    starts: NDArray[np.uint64]
    """Address of each, shape ``(array, patch)``; 0 where it is absent."""

    lengths: NDArray[np.uint32]
    """Bytes of each, checksum included, shape ``(array, patch)``."""

    present: NDArray[np.bool_]
    seen: NDArray[np.bool_]

    def chunks(self, array: int, which: NDArray[np.intp]) -> list[NDArray[np.uint8]]:
        """The bytes of some patches of an array, checksum included; no copies."""
        shards = self.rows.nth_shard()[which].tolist()
        starts, lengths = self.starts[array, which].tolist(), self.lengths[array, which].tolist()
        data, bases = [one[array].data for one in self.mapped], [one[array].base for one in self.mapped]
        return [
            data[shard][start - bases[shard] : start - bases[shard] + length]
            for shard, start, length in zip(shards, starts, lengths, strict=True)
        ]

    def spans(self, array: int, which: NDArray[np.intp]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Addresses of these bytes, and how many each has, shape ``(patch,)`` both."""
        return self.starts[array, which], self.lengths[array, which].astype(np.int64)

    def will_need(self, array: int, which: NDArray[np.intp]) -> None:
        """Have the system read some patches of an array from disk, all at once; returns before it has."""
        _will_need(self.starts[array, which], self.lengths[array, which])

    def note_seen(self, array: int, which: NDArray[np.intp]) -> None:
        """Remember that these were read, and are what was written."""
        self.shards.note_seen(self, array, which)


class FetchedShards:
    """Every shard of some pixel arrays of a store, wherever it lies.

    Parameters
    ----------
    store
        The store.
    arrays
        Some of its arrays.
    requests
        Threads that fetch: one call a shard.
    """

    def __init__(self, store: Store, arrays: Sequence[PixelArray], requests: ThreadPool) -> None:
        self.store, self.arrays, self._requests = store, tuple(arrays), requests
        self._seen = np.zeros((len(self.arrays), shard_count(store) * SHARD_PATCHES), bool)
        self._indexes: dict[tuple[int, int], NDArray[np.uint64] | None] = {}

    def look_up(self, rows: ShardedRows) -> "_FetchedPatches":
        """Fetch patches of every array; see `bigearth_xr.store.rows.Shards`."""
        encoded: list[list[NDArray[np.uint8]]] = [[_NOTHING] * rows.rows.size for _ in self.arrays]
        nth = rows.nth_shard()
        groups = [np.flatnonzero(nth == n) for n in range(rows.shards.size)]
        tasks = [(array, which) for array in range(len(self.arrays)) for which in groups]
        for (array, which), chunks in zip(
            tasks, self._requests.map(lambda t: self._fetch(*t, rows), tasks), strict=True
        ):
            for position, chunk in zip(which.tolist(), chunks, strict=True):
                encoded[array][position] = chunk
        present = np.array([[chunk.size > 0 for chunk in chunks] for chunks in encoded], bool)
        return _FetchedPatches(self, rows, encoded, present, self._seen[:, rows.rows])

    def note_seen(self, rows: ShardedRows, array: int, which: NDArray[np.intp]) -> None:
        """Remember that these were read, and are what was written."""
        self._seen[array, rows.rows[which]] = True

    def _fetch(self, array: int, which: NDArray[np.intp], rows: ShardedRows) -> Iterable[NDArray[np.uint8]]:
        """Fetch those of one shard."""
        shard, numbers = int(rows.shard[which[0]]), rows.rows[which]
        key = shard_key(self.arrays[array], shard)
        try:
            index = read_index(self.store.location, key)
        except StoreAccessError:
            raise
        except StoreError as error:
            raise with_rows(error, self.store, numbers) from None
        if self._indexes.get((array, shard)) is not index:
            # Another object than before: nothing is known of it.
            self._indexes[array, shard] = index
            self._seen[array, shard * SHARD_PATCHES : (shard + 1) * SHARD_PATCHES] = False
        if index is None:
            return [_NOTHING] * numbers.size
        entries = index[rows.position[which]]
        present = entries[:, 0] != HOLE
        parts = self.store.location.read_ranges(key, entries[present])
        return [np.frombuffer(next(parts), np.uint8) if found else _NOTHING for found in present.tolist()]


@dataclass(frozen=True, slots=True, eq=False)
class _FetchedPatches:
    """Encoded patches, received; see `bigearth_xr.store.rows.EncodedPatches`."""

    shards: FetchedShards
    rows: ShardedRows
    encoded: list[list[NDArray[np.uint8]]]
    """The bytes of each, by array, checksum included; none where it is absent."""

    present: NDArray[np.bool_]
    seen: NDArray[np.bool_]

    def chunks(self, array: int, which: NDArray[np.intp]) -> list[NDArray[np.uint8]]:
        """The bytes of some patches of an array, checksum included; no copies."""
        return [self.encoded[array][position] for position in which.tolist()]

    def spans(self, array: int, which: NDArray[np.intp]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Addresses of these bytes, and how many each has, shape ``(patch,)`` both."""
        chunks = self.chunks(array, which)
        starts = np.fromiter((chunk.ctypes.data for chunk in chunks), np.uint64, len(chunks))
        return starts, np.fromiter((chunk.size for chunk in chunks), np.int64, len(chunks))

    def will_need(self, array: int, which: NDArray[np.intp]) -> None:
        """Do nothing: they are here."""

    def note_seen(self, array: int, which: NDArray[np.intp]) -> None:
        """Remember that these were read, and are what was written."""
        self.shards.note_seen(self.rows, array, which)


def _version_of(path: str) -> _Version | None:
    """Tell a file's version; None without a file."""
    try:
        return _version(os.stat(path))
    except (FileNotFoundError, NotADirectoryError):
        return None


def _version(status: os.stat_result) -> _Version:
    return status.st_ino, status.st_mtime_ns, status.st_size


def _map_file(path: str) -> tuple[NDArray[np.uint8], _Version] | None:
    """Map a file whole; it stays mapped as long as the array or a view of it lives, also when it is deleted."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        version = _version(os.fstat(descriptor))
        size = version[-1]
        # An empty file cannot be mapped.
        return (np.asarray(_Mapped(descriptor, size, path)) if size else _NOTHING), version
    finally:
        os.close(descriptor)


class _Mapped:
    """Owner of a map, as NumPy takes one: arrays keep it, and it unmaps when the last of them is gone.

    Python's own `mmap` keeps a descriptor open for every map, and a store has more shards than a process may have
    descriptors.
    """

    def __init__(self, descriptor: int, size: int, path: str) -> None:
        protection = mmap.PROT_READ | mmap.PROT_WRITE
        address = _libc().mmap(None, size, protection, mmap.MAP_PRIVATE, descriptor, 0)
        if address == ctypes.c_void_p(-1).value:
            reason = os.strerror(ctypes.get_errno())
            full = ctypes.get_errno() == errno.ENOMEM
            raise StoreError(
                f"{path}: cannot be mapped into memory ({reason})"
                + ("; raise vm.max_map_count or vm.overcommit_memory, or read with fewer processes" if full else "")
            )
        self.__array_interface__ = {"version": 3, "shape": (size,), "typestr": "|u1", "data": (address, True)}
        # Not at exit: threads may still read then, and the map ends with the process anyway.
        weakref.finalize(self, _libc().munmap, address, size).atexit = False


def _will_need(starts: NDArray[np.uint64], lengths: NDArray[np.integer]) -> None:
    """Tell the system which mapped bytes are wanted next, so that it reads them side by side; returns at once."""
    order = np.argsort(starts)
    pages = (starts // mmap.PAGESIZE * mmap.PAGESIZE)[order]
    ends = np.maximum.accumulate((starts + lengths.astype(np.uint64))[order])
    # Neighbours are asked for together: a call is most of what this costs.
    is_first = np.ones(len(pages), bool)
    is_first[1:] = pages[1:] > ends[:-1]
    is_last = np.roll(is_first, -1)
    sizes = ends[is_last] - pages[is_first]
    deque(map(_libc().madvise, pages[is_first].tolist(), sizes.tolist(), repeat(mmap.MADV_WILLNEED)), maxlen=0)


@cache
def _libc() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    address, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    library.mmap.argtypes, library.mmap.restype = (address, size, number, number, number, ctypes.c_ssize_t), address
    library.munmap.argtypes = (address, size)
    library.madvise.argtypes = (address, size, number)
    return library
