"""Patches of pixel arrays on object storage, fetched as they are encoded: many parts of a shard by one request."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import StoreAccessError, StoreError
from bigearth_xr.store.open import Store
from bigearth_xr.store.read import shard_count, with_rows
from bigearth_xr.store.rows import ShardedRows, ThreadPool
from bigearth_xr.store.schema import SHARD_PATCHES, PixelArray
from bigearth_xr.store.shard import HOLE, read_index, shard_key


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
    """Where they were fetched from."""

    rows: ShardedRows
    """Which."""

    encoded: list[list[NDArray[np.uint8]]]
    """The bytes of each, by array, checksum included; none where it is absent."""

    present: NDArray[np.bool_]
    """Which are not absent, shape ``(array, patch)``."""

    seen: NDArray[np.bool_]
    """Which were read before, by this process and in this version, shape ``(array, patch)``."""

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


_NOTHING = np.empty(0, np.uint8)
