"""Rows that are asked for: grouped by shard, refused where absent, their checksums verified, their bytes decoded."""

import ctypes
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.device.host import unpack
from bigearth_xr.errors import BatchError, ChecksumError
from bigearth_xr.store.buffers import copy_bytes
from bigearth_xr.store.codec import CRC_BYTES, are_sound, checked
from bigearth_xr.store.open import Store
from bigearth_xr.store.read import fill_or_refuse, on_read, with_rows
from bigearth_xr.store.schema import SHARD_PATCHES, PixelArray
from bigearth_xr.store.shard import shard_key

__all__ = ["Checks"]


@dataclass(frozen=True, slots=True, eq=False)
class ShardedRows:
    """Rows of a store, and where they lie: the same in every pixel array."""

    rows: NDArray[np.intp]
    """Row numbers, shape ``(patch,)``, any order, repeats allowed."""

    shard: NDArray[np.intp]
    """Shard of each, shape ``(patch,)``."""

    position: NDArray[np.intp]
    """Position of each in its shard, shape ``(patch,)``."""

    shards: NDArray[np.intp]
    """The shards, each once, ascending."""

    @classmethod
    def of(cls, rows: NDArray[np.intp]) -> "ShardedRows":
        """Find out where rows lie."""
        shard, position = np.divmod(rows, SHARD_PATCHES)
        return cls(rows, shard, position, shard if shard.size == 1 else np.unique(shard))

    def nth_shard(self) -> NDArray[np.intp]:
        """Where each row's shard is among `shards`, shape ``(patch,)``."""
        return np.searchsorted(self.shards, self.shard)


def checked_rows(rows: Sequence[int] | NDArray[np.integer], count: int) -> NDArray[np.intp]:
    """Take row numbers as they come, and refuse what is none.

    Parameters
    ----------
    rows
        Integers, shape ``(patch,)``.
    count
        Rows of the store.

    Raises
    ------
    BatchError
        If they are of another kind or shape, or one of them is not a row of the store.
    """
    found = np.asarray(rows)
    if found.dtype.kind == "b":
        raise BatchError("rows are given as a mask, expected their numbers; use np.flatnonzero(mask)")
    if found.ndim != 1 or (found.dtype.kind not in "iu" and found.size):
        raise BatchError(
            f"rows are {found.dtype} of shape {found.shape}, expected integers of shape (patch,); take them from "
            "ds.row.values"
        )
    strange = found[(found < 0) | (found >= count)]
    if strange.size:
        has = f"has rows 0 to {count - 1}" if count else "has none"
        raise BatchError(f"row {strange[0]} is not in the store, which {has}; take them from ds.row.values")
    return found.astype(np.intp, copy=False)


Task = TypeVar("Task")
Result = TypeVar("Result")


class ThreadPool:
    """Threads that work on one batch together, started when there is more than one thing to do.

    Parameters
    ----------
    threads
        How many; with one, the caller's own thread does everything.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        # It starts no thread before there is work.
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="bigearth")

    def __enter__(self) -> "ThreadPool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def map(self, work: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterable[Result]:
        """Do some work on each task; results come in the order of tasks, and so does the first exception."""
        if self._threads == 1 or len(tasks) < 2:
            return map(work, tasks)
        return self._pool.map(work, tasks)

    def shares(self, count: int) -> list[slice]:
        """Divide a number of things among the threads, no share empty."""
        each = -(-count // self._threads)
        return [slice(start, min(start + each, count)) for start in range(0, count, each)] if count else []

    def close(self) -> None:
        """Let the threads end."""
        self._pool.shutdown(wait=False)


Checks = Literal["always", "first", "never"]
"""When a patch's checksum is verified: every time, the first time that a process reads it, or not at all."""

CHECKS: tuple[Checks, ...] = ("always", "first", "never")


class EncodedPatches(Protocol):
    """Encoded patches of some arrays, looked up."""

    @property
    def rows(self) -> ShardedRows:
        """Which."""

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which are not absent, shape ``(array, patch)``."""

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Which were read before, by this process and in this version, shape ``(array, patch)``."""

    def chunks(self, array: int, which: NDArray[np.intp]) -> list[NDArray[np.uint8]]:
        """The bytes of some patches of an array, checksum included; no copies."""

    def spans(self, array: int, which: NDArray[np.intp]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Addresses of these bytes, and how many each has, shape ``(patch,)`` both."""

    def will_need(self, array: int, which: NDArray[np.intp]) -> None:
        """Have the system read some patches of an array from disk, all at once; returns before it has."""

    def note_seen(self, array: int, which: NDArray[np.intp]) -> None:
        """Remember that these were read, and are what was written."""


class Shards(Protocol):
    """The shards of some pixel arrays of a store."""

    @property
    def store(self) -> Store:
        """The store."""

    @property
    def arrays(self) -> Sequence[PixelArray]:
        """The arrays."""

    def look_up(self, rows: ShardedRows) -> EncodedPatches:
        """Find patches of every array.

        Raises
        ------
        ChecksumError, StoreError
            If a shard's index is damaged; names file, row and patch.
        """


def refuse_absent(shards: Shards, patches: EncodedPatches, mapless: NDArray[np.bool_]) -> None:
    """Refuse patches that an array does not hold, but for reference maps that stored patches lack.

    Parameters
    ----------
    shards, patches
        What was looked up.
    mapless
        Rows that are known to be stored without a map, shape ``(row,)``; grows.

    Raises
    ------
    NotStoredError
        Names the first patch, and how many more there are.
    """
    if patches.present.all() and not on_read:
        return
    for array, present in zip(shards.arrays, patches.present, strict=True):
        absent = patches.rows.rows[~present]
        unknown = absent[~mapless[absent]]
        if unknown.size:
            # Nothing but maps gets past this.
            fill_or_refuse(shards.store, array, unknown)
            mapless[unknown] = True
        for listener in on_read:
            for row in patches.rows.rows[present].tolist():
                listener(array.name, row)


def verify(shards: Shards, patches: EncodedPatches, checks: Checks) -> None:
    """Verify the checksums that are due, those of all arrays before any is complained of.

    Raises
    ------
    ChecksumError
        Names file, row and patch of the first that is damaged, and how many more there are.
    """
    if checks != "always" and patches.seen.all():
        return
    failures: list[tuple[int, ChecksumError]] = []
    unseen = patches.present & ~patches.seen
    for array, present in enumerate(patches.present if checks == "always" else unseen):
        due = np.flatnonzero(present)
        if due.size:
            patches.will_need(array, np.flatnonzero(unseen[array]))
            bad = [] if checks == "never" else _damaged(shards, array, patches, due)
            failures += bad
            fine = due[~np.isin(patches.rows.rows[due], [row for row, _ in bad])] if bad else due
            patches.note_seen(array, fine)
    _refuse(shards.store, failures)


def _damaged(
    shards: Shards, array: int, patches: EncodedPatches, due: NDArray[np.intp]
) -> list[tuple[int, ChecksumError]]:
    """Rows whose bytes are not those that were written, with what is wrong."""
    chunks = patches.chunks(array, due)
    failures = []
    for nth in np.flatnonzero(~are_sound(chunks)).tolist():
        try:
            checked(chunks[nth].tobytes(), where=_file(shards, array, patches, due[nth]))
        except ChecksumError as error:
            failures.append((int(patches.rows.rows[due[nth]]), error))
    return failures


def decode(
    shards: Shards, array: int, patches: EncodedPatches, targets: NDArray[np.uint64], workers: ThreadPool
) -> None:
    """Decode patches of one array into given memory, a share of them in every thread.

    Parameters
    ----------
    shards, array, patches
        What was looked up, and the number of the array.
    targets
        Address of each patch's first pixel, shape ``(patch,)``. Missing reference maps are filled in.
    workers
        Threads that decode.

    Raises
    ------
    ChecksumError
        If bytes do not decode to a patch; names file, row and patch of the first, and how many more there are.
    """
    patch_bytes, present = shards.arrays[array].patch_bytes, patches.present[array]
    for target in targets[~present].tolist():
        # All ones: 65535, of a map that a stored patch lacks.
        ctypes.memset(target, 0xFF, patch_bytes)
    which = np.flatnonzero(present)
    decode_share = _unpack if shards.store.codec.is_packed else _copy

    def failures_of(share: slice) -> list[tuple[int, ChecksumError]]:
        mine = which[share]
        return [
            (int(patches.rows.rows[nth]), ChecksumError(f"{_file(shards, array, patches, nth)}: {reason}"))
            for nth, reason in decode_share(shards, array, patches, mine, targets[mine])
        ]

    _refuse(shards.store, [one for share in workers.map(failures_of, workers.shares(which.size)) for one in share])


def _unpack(
    shards: Shards, array: int, patches: EncodedPatches, which: NDArray[np.intp], targets: NDArray[np.uint64]
) -> list[tuple[int, str]]:
    """Decompress some patches; return those that do not decompress, and why."""
    starts, lengths = patches.spans(array, which)
    patch_bytes, itemsize = shards.arrays[array].patch_bytes, shards.arrays[array].itemsize
    unpacked = unpack(starts, lengths - CRC_BYTES, targets, patch_bytes=patch_bytes, itemsize=itemsize)
    failures = []
    for nth in np.flatnonzero(~unpacked).tolist():
        # The codec itself knows what another writer may have made of them, or says what is wrong.
        (chunk,) = patches.chunks(array, which[nth : nth + 1])
        memory = (ctypes.c_uint8 * patch_bytes).from_address(int(targets[nth]))
        try:
            shards.store.codec.unpack(chunk[:-CRC_BYTES], np.ctypeslib.as_array(memory))
        except ChecksumError as error:
            failures.append((int(which[nth]), str(error)))
    return failures


def _copy(
    shards: Shards, array: int, patches: EncodedPatches, which: NDArray[np.intp], targets: NDArray[np.uint64]
) -> list[tuple[int, str]]:
    """Copy some patches that are not packed; return those of another length, and which."""
    expected = shards.arrays[array].patch_bytes
    starts, lengths = patches.spans(array, which)
    found = lengths - CRC_BYTES
    fits = found == expected
    copy_bytes(targets[fits], starts[fits], expected)
    return [(int(which[nth]), f"{found[nth]} bytes, expected {expected}") for nth in np.flatnonzero(~fits).tolist()]


def _refuse(store: Store, failures: Sequence[tuple[int, ChecksumError]]) -> None:
    if failures:
        raise with_rows(failures[0][1], store, [row for row, _ in failures])


def _file(shards: Shards, array: int, patches: EncodedPatches, nth: int) -> str:
    return f"{shards.store.location}/{shard_key(shards.arrays[array], int(patches.rows.shard[nth]))}"
