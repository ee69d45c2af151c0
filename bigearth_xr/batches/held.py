"""Patches of object storage, fetched ahead: neighbours by one request, and held until their batch was made.

A batch of a shuffled epoch has a patch from here and one from there, each of which would be a request of its own.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.batches.patches import NativeArray, Patches
from bigearth_xr.errors import BigEarthError
from bigearth_xr.store.batch import BatchReader
from bigearth_xr.store.buffers import Located, copy_bytes

__all__ = ["HeldReader", "copy_located", "with_held"]

_TOGETHER = 256
"""Patches fetched together: requests of all their shards are on their way at once."""

_FETCHES = 2
"""Fetches at once: one decodes while another waits for the network."""


class HeldReader:
    """Reads batches as the reader does that it stands before, those that were asked for ahead from memory.

    Each patch takes as much memory as its native pixels, from when it is fetched until it is forgotten; memory is used
    again. What cannot be fetched is not held, and so refused where it is read, by name.

    Parameters
    ----------
    reader
        Reads a store.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.open import open_store
    >>> reader = BatchReader(open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3)))
    >>> held = HeldReader(reader)
    >>> held.prefetch(np.array([0, 2]))
    >>> with held.locate(np.array([2, 1])) as located:  # row 1 from the store
    ...     located.addresses.shape
    (4, 2)
    >>> held.forget(np.array([0, 2]))
    >>> held.close()
    """

    def __init__(self, reader: BatchReader) -> None:
        self.direct = reader
        """The reader that this one stands before."""
        sizes = np.array([array.patch_bytes for array in reader.sources], np.uint64)
        self._offsets = np.cumsum(sizes) - sizes
        self._patch_bytes = int(sizes.sum())
        self._lock = Lock()
        self._empty()

    def __reduce__(self) -> tuple[type["HeldReader"], tuple[BatchReader]]:
        """Travel without threads, and what they fetched."""
        return HeldReader, (self.direct,)

    @property
    def sources(self) -> Sequence[NativeArray]:
        """The pixel arrays that are read."""
        return self.direct.sources

    @property
    def held(self) -> int:
        """How many patches are held, or on their way."""
        return len(self._fetches)

    def prefetch(self, rows: NDArray[np.integer]) -> None:
        """Fetch patches that are wanted soon, once for each time that they are asked for; returns before it has."""
        with self._lock:
            np.add.at(self._wanted, rows, 1)
            new = [row for row in np.unique(rows).tolist() if row not in self._fetches]
            for start in range(0, len(new), _TOGETHER):
                group = new[start : start + _TOGETHER]
                self._fetches.update(dict.fromkeys(group, self._pool.submit(self._fetch, np.array(group))))

    def forget(self, rows: NDArray[np.integer]) -> None:
        """Let patches go, each as often as it was asked for; those that nobody asked for are no matter."""
        with self._lock:
            np.subtract.at(self._wanted, rows, 1)
            for row in np.unique(rows[self._wanted[rows] <= 0]).tolist():
                self._wanted[row] = 0
                fetch = self._fetches.pop(row, None)
                if fetch is not None and fetch.done():
                    self._give_back(row)

    def locate(self, rows: NDArray[np.integer]) -> Located:
        """Find native pixels that are held, waiting for those on their way, and read the others."""
        rows = np.asarray(rows)
        with self._lock:
            fetches = {self._fetches[row] for row in rows.tolist() if row in self._fetches}
        for fetch in fetches:
            fetch.result()
        starts = self._starts[rows]
        addresses = starts + self._offsets[:, None]
        missing = np.flatnonzero(starts == 0)
        if not missing.size:
            return Located(addresses, self._slabs)
        located = self.direct.locate(rows[missing])
        addresses[:, missing] = located.addresses
        return Located(addresses, (self._slabs, located), located.release)

    def read(self, rows: NDArray[np.integer], out: Mapping[str, NDArray[Any]] | None = None) -> dict[str, NDArray[Any]]:
        """Copy native pixels that are held, waiting for those on their way, and read the others."""
        pixels = dict(self.direct.buffers(len(rows)) if out is None else out)
        with self.locate(rows) as located:
            copy_located(located, self.sources, pixels)
        return pixels

    def close(self) -> None:
        """Let everything go, and give up the reader's files and threads; the next one asked for begins anew."""
        self._pool.shutdown(cancel_futures=True)
        self._empty()
        self.direct.close()

    def _empty(self) -> None:
        # It starts no thread before there is something to fetch.
        self._pool = ThreadPoolExecutor(_FETCHES, "bigearth-fetch")
        self._fetches: dict[int, Future[None]] = {}
        self._wanted = np.zeros(self.direct.store.rows, np.int64)
        self._starts = np.zeros(self.direct.store.rows, np.uint64)
        self._slabs: list[NDArray[np.uint8]] = []
        self._free: list[int] = []

    def _fetch(self, rows: NDArray[np.intp]) -> None:
        """Read patches, and hold those that are still wanted."""
        try:
            pixels = self.direct.read(rows)
        except BigEarthError:
            return
        with self._lock:
            kept = np.flatnonzero(self._wanted[rows])
            starts = self._take(kept.size)
        for array, offset in zip(self.sources, self._offsets, strict=True):
            sources = pixels[array.name].ctypes.data + kept.astype(np.uint64) * np.uint64(array.patch_bytes)
            copy_bytes(starts + offset, sources, array.patch_bytes)
        with self._lock:
            # Meanwhile it may have been forgotten, and even asked for and fetched again.
            held = (self._wanted[rows[kept]] > 0) & (self._starts[rows[kept]] == 0)
            self._starts[rows[kept][held]] = starts[held]
            self._free += starts[~held].tolist()

    def _take(self, patches: int) -> NDArray[np.uint64]:
        """Addresses of memory for so many patches."""
        if len(self._free) < patches:
            slab = np.empty((_TOGETHER, self._patch_bytes), np.uint8)
            self._slabs.append(slab)
            self._free += [int(slab.ctypes.data) + place * self._patch_bytes for place in range(_TOGETHER)]
        taken, self._free = self._free[:patches], self._free[patches:]
        return np.array(taken, np.uint64)

    def _give_back(self, row: int) -> None:
        """Have the memory of a patch used again."""
        if self._starts[row]:
            self._free.append(int(self._starts[row]))
            self._starts[row] = 0


def with_held(patches: Patches) -> Patches:
    """Have patches of object storage fetched ahead and held; those in a folder are left to the page cache.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.batches.patches import patches_of
    >>> from bigearth_xr.batches.recipe import Recipe
    >>> ds = bex.open(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> type(with_held(patches_of([ds], Recipe())).parts[0].reader).__name__
    'BatchReader'
    """
    parts = [
        replace(part, reader=HeldReader(part.reader))
        if isinstance(part.reader, BatchReader) and part.reader.store.location.local is None
        else part
        for part in patches.parts
    ]
    return replace(patches, parts=tuple(parts))


def copy_located(located: Located, arrays: Sequence[NativeArray], out: Mapping[str, NDArray[Any]]) -> None:
    """Copy native pixels from where they lie, into memory by the name of their array.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.open import open_store
    >>> reader = BatchReader(open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3)))
    >>> out = reader.buffers(2)
    >>> with reader.locate([2, 0]) as located:
    ...     copy_located(located, reader.sources, out)
    >>> bool((out["s1"] == reader.read([2, 0])["s1"]).all())
    True
    """
    for array, sources in zip(arrays, located.addresses, strict=True):
        start = out[array.name].ctypes.data
        targets = start + np.arange(sources.size, dtype=np.uint64) * np.uint64(array.patch_bytes)
        copy_bytes(targets, sources, array.patch_bytes)
