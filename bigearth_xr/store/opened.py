"""What one process has open of a store: maps, threads and buffers; none of it travels to another."""

import os
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.store.buffers import BufferPool
from bigearth_xr.store.crew import Crew
from bigearth_xr.store.current import reading
from bigearth_xr.store.fetched import FetchedShards
from bigearth_xr.store.intake import Checks, Patches, Shards, refuse_absent, verify
from bigearth_xr.store.mapped import MappedShards
from bigearth_xr.store.read import Store
from bigearth_xr.store.rows import Wanted
from bigearth_xr.store.schema import PixelArray

__all__ = ["Opened"]

_REQUESTS = 16
"""Shards of an array that are asked for at once on object storage: threads that wait cost nothing."""


class Opened:
    """Some arrays of a store, as this process reads them.

    Parameters
    ----------
    store, arrays
        What is read.
    checks
        When checksums are verified.
    threads
        Threads that decode, or copy.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.read import open_store
    >>> store = open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> (patches,) = Opened(store, [store.array("s1")], "first", threads=1).look_up(Wanted.of(np.array([2, 0])))
    >>> patches.there
    array([ True,  True])
    """

    def __init__(self, store: Store, arrays: Sequence[PixelArray], checks: Checks, threads: int) -> None:
        self.process = os.getpid()
        self.crew = Crew(threads)
        self.pool = BufferPool()
        self.no_map = np.full(max(array.patch_bytes for array in arrays), 0xFF, np.uint8)
        """What reference maps that stored patches lack are read from: 65535 everywhere."""
        self._store, self._arrays, self._checks = store, arrays, checks
        self._mapless = np.zeros(store.rows, bool)
        self._requests, self._abreast = Crew(max(threads, _REQUESTS)), Crew(1 if store.place.local else len(arrays))
        self._shards: Sequence[Shards] = [
            MappedShards(store, array) if store.place.local else FetchedShards(store, array, self._requests)
            for array in arrays
        ]

    def find(self, wanted: Wanted) -> list[Patches]:
        """Find patches of every array, or fetch them, whether they are sound or not."""
        return list(self._abreast.map(lambda shards: shards.look_up(wanted), self._shards))

    def look_up(self, wanted: Wanted) -> list[Patches]:
        """Find patches of every array, all of them there, and sound as far as that is to be verified now."""
        with reading(self._store):
            found = self.find(wanted)
            for array, patches in zip(self._arrays, found, strict=True):
                refuse_absent(self._store, array, patches, self._mapless)
            verify(self._store, self._arrays, found, self._checks)
        return found

    def give_all(self, buffers: Iterable[NDArray[np.uint8]]) -> None:
        """Take buffers back that nobody reads any more."""
        for buffer in buffers:
            self.pool.give(buffer)

    def close(self) -> None:
        """Let threads end; maps end with what refers to them."""
        for crew in (self.crew, self._requests, self._abreast):
            crew.close()
