"""Native pixels kept in memory, so that later epochs read no disk.

What does not fit is read as before, a shard's patches together, so that the disk still sees long reads.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from bigearth_xr import former
from bigearth_xr.batches.patches import NativeArray, Part, Patches
from bigearth_xr.batches.prefetch import PrefetchReader, copy_located
from bigearth_xr.errors import LoaderError
from bigearth_xr.progress import Progress
from bigearth_xr.store.batch import BatchReader
from bigearth_xr.store.buffers import Located
from bigearth_xr.store.schema import SHARD_PATCHES

__all__ = ["Cache", "CachedReader", "HostMemory", "fill_caches", "free_host_bytes", "with_cache"]

Cache = Literal["device", "host"]
"""Where native pixels are kept: beside the loader's batches, or in any case on the host."""

_FILLED_AT_ONCE = 256
"""Patches read into the cache together: what is on its way is beside the budget."""


class PixelMemory(Protocol):
    """Where native pixels are kept: `HostMemory`, or that of a GPU."""

    on_gpu: bool
    """Whether addresses are of a GPU."""

    def allocate(self, name: str, patches: int, patch_bytes: int) -> None:
        """Take memory for N patches of an array."""
        ...

    def start(self, name: str) -> int:
        """Address of the first patch of an array."""
        ...

    def read(self, reader: BatchReader, rows: NDArray[np.integer], slots: slice) -> None:
        """Read patches of every array into their slots."""
        ...

    def keep(self) -> object:
        """What has to live as long as its addresses are used."""
        ...


class HostMemory:
    """Memory of the host for native pixels."""

    on_gpu = False

    def __init__(self) -> None:
        self._arrays: dict[str, NDArray[np.uint8]] = {}

    def __reduce__(self) -> tuple[type["HostMemory"], tuple[()]]:
        """Pickle empty."""
        return HostMemory, ()

    def allocate(self, name: str, patches: int, patch_bytes: int) -> None:
        """Take memory for N patches of an array."""
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
    """Reads batches as the reader that it wraps, those of some rows from memory.

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
    >>> cached = CachedReader(reader, np.array([0, 2]), HostMemory())
    >>> cached.fill()
    >>> with cached.locate(np.array([2, 1])) as located:
    ...     located.addresses.shape
    (4, 2)
    """

    keeps = True
    """Whether what is prefetched is kept in memory until it is released."""

    def __init__(self, reader: BatchReader, rows: NDArray[np.integer], memory: PixelMemory) -> None:
        self._reader, self._rows, self._memory = reader, rows, memory
        self._others: BatchReader | PrefetchReader = reader if reader.store.location.local else PrefetchReader(reader)
        self._slot = np.full(reader.store.rows, -1, np.intp)
        self._slot[rows] = np.arange(rows.size)
        self._filled = False

    def __reduce__(self) -> tuple[type["CachedReader"], tuple[Any, ...]]:
        """Pickle without what is kept: it is read again."""
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
        return self._memory.on_gpu

    @property
    def uncached(self) -> BatchReader | PrefetchReader:
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

    def release(self, rows: NDArray[np.integer]) -> None:
        """Let those go that are not kept, and were prefetched."""
        self._others.release(rows[~self.is_kept(rows)])

    def close(self) -> None:
        """Give up the reader's files and threads; what is kept stays."""
        self._others.close()


def with_cache(
    patches: Patches, places: NDArray[np.intp], budget: int, new_memory: Callable[[], PixelMemory]
) -> Patches:
    """Have native pixels kept in memory, as far as they fit; nothing is read yet.

    Parameters
    ----------
    patches
        Of what.
    places
        Which of them.
    budget
        Bytes that may be used.
    new_memory
        Called once for each Dataset.

    Raises
    ------
    LoaderError
        If pixels are computed, which nothing keeps.
    """
    parts = []
    for number, part in enumerate(patches.parts):
        rows = patches.number[places[patches.part[places] == number]]
        cached, used = _cached(part, rows, budget, new_memory)
        parts.append(cached)
        budget -= used
    return replace(patches, parts=tuple(parts))


def fill_caches(patches: Patches) -> None:
    """Read what is to be kept, with a bar on the terminal; nothing happens the second time."""
    empty = [
        part.reader for part in patches.parts if isinstance(part.reader, CachedReader) and not part.reader.is_filled
    ]
    if not empty:
        return
    with Progress() as progress:
        advance = progress.steps("caching patches", sum(reader.patches for reader in empty))
        for reader in empty:
            reader.fill(advance)


def free_host_bytes() -> int:
    """Memory of the host that is free now, in bytes.

    Raises
    ------
    LoaderError
        If the system does not tell.
    """
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        raise LoaderError("this system does not tell how much memory is free; give cache_bytes=…") from None


def _cached(
    part: Part, rows: NDArray[np.int64], budget: int, new_memory: Callable[[], PixelMemory]
) -> tuple[Part, int]:
    """A part that is kept, and how many bytes it takes."""
    if not isinstance(part.reader, BatchReader):
        raise LoaderError("pixels that were computed are not kept in a cache; compute them beforehand: ds.load()")
    patch_bytes = sum(array.patch_bytes for array in part.reader.sources)
    kept = _fitting_rows(rows, patch_bytes, budget)
    return replace(part, reader=CachedReader(part.reader, kept, new_memory())), kept.size * patch_bytes


def _fitting_rows(rows: NDArray[np.integer], patch_bytes: int, budget: int) -> NDArray[np.int64]:
    """Choose rows to keep, each once, ascending: of as many whole shards as fit.

    Where not even one shard fits, as many of its patches as do.

    Examples
    --------
    >>> _fitting_rows(np.array([1030, 5, 7, 1031]), 10, 35)
    array([5, 7])
    """
    unique = np.unique(rows).astype(np.int64)
    room = budget // patch_bytes
    if unique.size <= room:
        return unique
    ends = np.flatnonzero(np.diff(unique // SHARD_PATCHES)) + 1
    fitting = ends[ends <= room]
    return unique[: fitting[-1] if fitting.size else room]


def __getattr__(name: str) -> object:
    return former.find_moved(__name__, name)
