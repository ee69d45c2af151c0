"""Patches of one pixel array on object storage, fetched as they are encoded: many parts of a shard by one request."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import StoreAccessError, StoreError
from bigearth_xr.store.open import Store
from bigearth_xr.store.read import shard_count, with_rows
from bigearth_xr.store.rows import ShardedRows, ThreadPool
from bigearth_xr.store.schema import SHARD_PATCHES, PixelArray
from bigearth_xr.store.shard import HOLE, read_index, shard_key

__all__ = ["FetchedShards", "_FetchedPatches"]


class FetchedShards:
    """Every shard of one pixel array of a store, wherever it lies.

    Parameters
    ----------
    store
        The store.
    array
        One of its arrays.
    requests
        Who fetches: one call a shard.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.open import open_store
    >>> store = open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> patches = FetchedShards(store, store.array("s2_60m"), ThreadPool(2)).look_up(ShardedRows.of(np.array([0, 2])))
    >>> [len(chunk) for chunk in patches.chunks(np.array([1]))]
    [1604]
    """

    def __init__(self, store: Store, array: PixelArray, requests: ThreadPool) -> None:
        self.store, self.array, self._requests = store, array, requests
        self._seen = np.zeros((shard_count(store), SHARD_PATCHES), bool)
        self._indexes: dict[int, NDArray[np.uint64] | None] = {}

    def look_up(self, wanted: ShardedRows) -> "_FetchedPatches":
        """Fetch patches.

        Raises
        ------
        ChecksumError, StoreError
            If a shard's index is damaged; names file, row and patch.
        """
        encoded: list[NDArray[np.uint8]] = [_NOTHING] * wanted.rows.size
        nth = wanted.nth_shard()
        groups = [np.flatnonzero(nth == n) for n in range(wanted.shards.size)]
        for which, chunks in zip(groups, self._requests.map(lambda g: self._fetch(g, wanted), groups), strict=True):
            for position, chunk in zip(which.tolist(), chunks, strict=True):
                encoded[position] = chunk
        return _FetchedPatches(self, wanted, encoded, self._seen[wanted.shard, wanted.position])

    def note_seen(self, wanted: ShardedRows, which: NDArray[np.intp]) -> None:
        """Remember that these were read, and are what was written."""
        self._seen[wanted.shard[which], wanted.position[which]] = True

    def _fetch(self, which: NDArray[np.intp], wanted: ShardedRows) -> Iterable[NDArray[np.uint8]]:
        """Fetch those of one shard."""
        shard, rows = int(wanted.shard[which[0]]), wanted.rows[which]
        key = shard_key(self.array, shard)
        try:
            index = read_index(self.store.location, key)
        except StoreAccessError:
            raise
        except StoreError as error:
            raise with_rows(error, self.store, rows) from None
        if self._indexes.get(shard) is not index:
            # Another object than before: nothing is known of it.
            self._indexes[shard], self._seen[shard] = index, False
        if index is None:
            return [_NOTHING] * rows.size
        entries = index[wanted.position[which]]
        present = entries[:, 0] != HOLE
        parts = self.store.location.read_ranges(key, entries[present])
        return [np.frombuffer(next(parts), np.uint8) if found else _NOTHING for found in present.tolist()]


@dataclass(frozen=True, slots=True, eq=False)
class _FetchedPatches:
    """Encoded patches of one array, received."""

    shards: FetchedShards
    """Where they were fetched from."""

    wanted: ShardedRows
    """Which."""

    encoded: list[NDArray[np.uint8]]
    """The bytes of each, checksum included; none where it is absent."""

    seen: NDArray[np.bool_]
    """Which were read before, by this process and in this version, shape ``(patch,)``."""

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which are not absent, shape ``(patch,)``."""
        return np.fromiter((chunk.size > 0 for chunk in self.encoded), bool, len(self.encoded))

    def chunks(self, which: NDArray[np.intp]) -> list[NDArray[np.uint8]]:
        """The bytes of some of them, checksum included; no copies."""
        return [self.encoded[position] for position in which.tolist()]

    def where(self, which: NDArray[np.intp]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Addresses of these bytes, and how many each has, shape ``(patch,)`` both."""
        chunks = self.chunks(which)
        starts = np.fromiter((chunk.ctypes.data for chunk in chunks), np.uint64, len(chunks))
        return starts, np.fromiter((chunk.size for chunk in chunks), np.int64, len(chunks))

    def will_need(self, which: NDArray[np.intp]) -> None:
        """Do nothing: they are here."""

    def note_seen(self, which: NDArray[np.intp]) -> None:
        """Remember that these were read, and are what was written."""
        self.shards.note_seen(self.wanted, which)


_NOTHING = np.empty(0, np.uint8)
