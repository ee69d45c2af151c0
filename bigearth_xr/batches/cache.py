"""Native pixels kept in memory, so that later epochs read no disk.

What does not fit is read as before, a shard's patches together, so that the disk still sees long reads.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.batches.held import HeldReader, copy_located
from bigearth_xr.batches.patches import NativeArray
from bigearth_xr.errors import LoaderError
from bigearth_xr.store.batch import BatchReader
from bigearth_xr.store.buffers import Located
from bigearth_xr.store.schema import SHARD_PATCHES

__all__ = ["CachedReader", "Memory", "fitting_rows", "free_host_bytes"]

_FILLED_AT_ONCE = 256
"""Patches read into the cache together: what is on its way is beside the budget."""


class Memory:
    """Where native pixels are kept; this one is the host's, and a GPU's has the same names.

    Examples
    --------
    >>> memory = Memory()
    >>> memory.allocate("s1", 2, 115_200)
    >>> memory.start("s1") > 0
    True
    """

    on_gpu = False
    """Whether addresses are of a GPU."""

    def __init__(self) -> None:
        self._arrays: dict[str, NDArray[np.uint8]] = {}

    def __reduce__(self) -> tuple[type["Memory"], tuple[()]]:
        """Travel empty."""
        return Memory, ()

    def allocate(self, name: str, patches: int, patch_bytes: int) -> None:
        """Take memory for so many patches of an array."""
        self._arrays[name] = np.empty((patches, patch_bytes), np.uint8)

    def start(self, name: str) -> int:
        """Address of the first patch of an array."""
        return int(self._arrays[name].ctypes.data)

    def read(self, reader: BatchReader, rows: NDArray[np.integer], slots: slice) -> None:
        """Read patches of every array into their slots."""
        reader.read(
            rows,
            out={
                array.name: self._arrays[array.name][slots].view(array.dtype).reshape(-1, *array.patch_shape)
                for array in reader.sources
            },
        )

    def keep(self) -> object:
        """What has to live as long as its addresses are used."""
        return self._arrays


class CachedReader:
    """Reads batches as the reader does that it stands before, those of some rows from memory.

    Parameters
    ----------
    reader
        Reads a store.
    rows
        The rows to keep, each once, ascending.
    memory
        Where to keep them.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.open import open_store
    >>> reader = BatchReader(open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3)))
    >>> cached = CachedReader(reader, np.array([0, 2]), Memory())
    >>> cached.fill()
    >>> with cached.locate(np.array([2, 1])) as located:
    ...     located.addresses.shape
    (4, 2)
    """

    def __init__(self, reader: BatchReader, rows: NDArray[np.integer], memory: Any) -> None:
        self._reader, self._rows, self._memory = reader, rows, memory
        self._others: BatchReader | HeldReader = reader if reader.store.location.local else HeldReader(reader)
        self._slot = np.full(reader.store.rows, -1, np.intp)
        self._slot[rows] = np.arange(rows.size)
        self._filled = False

    def __reduce__(self) -> tuple[type["CachedReader"], tuple[Any, ...]]:
        """Travel without what is kept: it is read again."""
        return CachedReader, (self._reader, self._rows, self._memory)

    @property
    def is_filled(self) -> bool:
        """Whether what is to be kept has been read."""
        return self._filled

    @property
    def sources(self) -> Sequence[NativeArray]:
        """The pixel arrays that are read."""
        return self._reader.sources

    @property
    def patches(self) -> int:
        """How many are kept."""
        return self._rows.size

    def fill(self, advance: Callable[[int], object] | None = None) -> None:
        """Read what is to be kept, in stored order; nothing happens the second time.

        Parameters
        ----------
        advance
            Called with the number of patches after each read.
        """
        if self._filled:
            return
        for array in self._reader.sources:
            self._memory.allocate(array.name, self._rows.size, array.patch_bytes)
        self._reader.prefetch(self._rows[: 2 * _FILLED_AT_ONCE])
        for start in range(0, self._rows.size, _FILLED_AT_ONCE):
            slots = slice(start, min(start + _FILLED_AT_ONCE, self._rows.size))
            self._reader.prefetch(self._rows[slots.stop + _FILLED_AT_ONCE : slots.stop + 2 * _FILLED_AT_ONCE])
            self._memory.read(self._reader, self._rows[slots], slots)
            if advance is not None:
                advance(slots.stop - slots.start)
        self._filled = True

    @property
    def is_on_gpu(self) -> bool:
        """Whether what is kept is kept on a GPU."""
        return bool(self._memory.on_gpu)

    @property
    def uncached(self) -> BatchReader | HeldReader:
        """Reads what is not kept."""
        return self._others

    def kept_addresses(self, rows: NDArray[np.integer]) -> NDArray[np.uint64]:
        """Where patches are kept, shape ``(source, patch)``; means nothing of one that is not."""
        sources = self._reader.sources
        starts = np.array([self._memory.start(array.name) for array in sources], np.uint64)
        sizes = np.array([array.patch_bytes for array in sources], np.uint64)
        addresses: NDArray[np.uint64] = starts[:, None] + sizes[:, None] * self._slot[rows].clip(min=0).astype(
            np.uint64
        )
        return addresses

    def locate(self, rows: NDArray[np.integer]) -> Located:
        """Find native pixels in the host's memory, those that are not kept through the reader."""
        missing = np.flatnonzero(~self.is_kept(rows))
        addresses = self.kept_addresses(rows)
        if not missing.size:
            return Located(addresses, self._memory.keep())
        located = self._others.locate(rows[missing])
        addresses[:, missing] = located.addresses
        return Located(addresses, (self._memory.keep(), located), located.release)

    def read(self, rows: NDArray[np.integer], out: Mapping[str, NDArray[Any]] | None = None) -> dict[str, NDArray[Any]]:
        """Copy native pixels out of memory, those that are not kept through the reader."""
        pixels = dict(self._reader.buffers(len(rows)) if out is None else out)
        with self.locate(rows) as located:
            copy_located(located, self._reader.sources, pixels)
        return pixels

    def is_kept(self, rows: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Whether each of some rows is in memory."""
        kept: NDArray[np.bool_] = self._slot[rows] >= 0
        return kept

    def prefetch(self, rows: NDArray[np.integer]) -> None:
        """Have those rows read from disk that are not kept."""
        self._others.prefetch(rows[~self.is_kept(rows)])

    def forget(self, rows: NDArray[np.integer]) -> None:
        """Let those go that are not kept, and were fetched ahead."""
        if isinstance(self._others, HeldReader):
            self._others.forget(rows[~self.is_kept(rows)])

    def close(self) -> None:
        """Give up the reader's files and threads; what is kept stays."""
        self._others.close()


def fitting_rows(rows: NDArray[np.integer], patch_bytes: int, budget: int) -> NDArray[np.int64]:
    """Choose rows to keep: of as many whole shards as fit, in stored order.

    Parameters
    ----------
    rows
        Rows wanted, any order, repeats allowed.
    patch_bytes
        Bytes of a patch in all arrays.
    budget
        Bytes that may be used.

    Returns
    -------
    NDArray
        Ascending, each once. Where not even one shard fits, as many of its patches as do.

    Examples
    --------
    >>> fitting_rows(np.array([1030, 5, 7, 1031]), 10, 35)
    array([5, 7])
    """
    unique = np.unique(rows).astype(np.int64)
    room = budget // patch_bytes
    if unique.size <= room:
        return unique
    ends = np.flatnonzero(np.diff(unique // SHARD_PATCHES)) + 1
    fitting = ends[ends <= room]
    return unique[: fitting[-1] if fitting.size else room]


def free_host_bytes() -> int:
    """Memory of the host that is free now, in bytes.

    Raises
    ------
    LoaderError
        If the system does not tell.

    Examples
    --------
    >>> free_host_bytes() > 0
    True
    """
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        raise LoaderError("this system does not tell how much memory is free; give cache_bytes=…") from None
