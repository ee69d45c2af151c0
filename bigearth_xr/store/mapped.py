"""The shards of one pixel array in a folder, in memory: where each encoded patch lies, many at a time."""

import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import StoreError
from bigearth_xr.store.codec import CRC_BYTES
from bigearth_xr.store.mapping import Version, map_file, version_of, will_need
from bigearth_xr.store.patches import named
from bigearth_xr.store.presence import shard_count
from bigearth_xr.store.read import Store
from bigearth_xr.store.rows import Wanted
from bigearth_xr.store.schema import SHARD_PATCHES, PixelArray
from bigearth_xr.store.shard import HOLE, INDEX_BYTES, decode_index, shard_path

__all__ = ["LOOK_AGAIN_S", "MAPPED_SHARDS", "MappedPatches", "MappedShards"]

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

    version: Version | None
    """Which file it is; None without one."""


class MappedShards:
    """Every shard of one pixel array of a store in a folder, mapped when it is first used.

    A shard that was replaced is noticed within `LOOK_AGAIN_S`, mapped anew, and all that was known of it forgotten.

    Parameters
    ----------
    store
        A store in a folder.
    array
        One of its arrays.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.read import open_store
    >>> store = open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> patches = MappedShards(store, store.array("s2_60m")).look_up(Wanted.of(np.array([2, 0])))
    >>> int(patches.starts[0] - patches.starts[1]), patches.there.tolist()
    (3208, [True, True])
    """

    def __init__(self, store: Store, array: PixelArray) -> None:
        self.store, self.array = store, array
        shards = shard_count(store)
        # Of all shards, though only rows of mapped ones are ever touched, and so take memory.
        self._starts = np.empty((shards, SHARD_PATCHES), np.uint64)
        self._lengths = np.empty((shards, SHARD_PATCHES), np.uint32)
        self._seen = np.zeros((shards, SHARD_PATCHES), bool)
        self._looked_s = np.full(shards, -np.inf)
        self._versions: dict[int, Version | None] = {}
        self._mapped: OrderedDict[int, _Shard] = OrderedDict()
        self._lock = Lock()

    def look_up(self, wanted: Wanted) -> "MappedPatches":
        """Find patches, mapping what is not mapped yet.

        Raises
        ------
        ChecksumError, StoreError
            If a shard's index is damaged; names file, row and patch.
        """
        with self._lock:
            now = time.monotonic()
            for shard in wanted.shards[now - self._looked_s[wanted.shards] > LOOK_AGAIN_S].tolist():
                self._look(shard, wanted)
                self._looked_s[shard] = now
            mapped = [self._mapped[shard] for shard in wanted.shards.tolist()]
            at = wanted.shard, wanted.place
            found = MappedPatches(self, wanted, mapped, self._starts[at], self._lengths[at], self._seen[at])
            while len(self._mapped) > MAPPED_SHARDS:
                oldest, _ = self._mapped.popitem(last=False)
                self._looked_s[oldest] = -np.inf
        return found

    def note_seen(self, patches: "MappedPatches", which: NDArray[np.intp]) -> None:
        """Remember that these were read, and are what was written; unless their shard was replaced meanwhile."""
        wanted = patches.wanted
        with self._lock:
            current = [self._mapped.get(s) is m for s, m in zip(wanted.shards.tolist(), patches.mapped, strict=True)]
            kept = which[np.array(current, bool)[wanted.nth_shard()[which]]]
            self._seen[wanted.shard[kept], wanted.place[kept]] = True

    def _look(self, shard: int, wanted: Wanted) -> None:
        """See to it that a shard is mapped, in its latest version."""
        path = str(shard_path(self._folder, self.array, shard))
        mapped = self._mapped.get(shard)
        if mapped is None or mapped.version != version_of(path):
            try:
                self._mapped[shard] = self._map(shard, path)
            except StoreError as error:
                raise named(error, self.store, wanted.rows[wanted.shard == shard]) from None
        self._mapped.move_to_end(shard)

    def _map(self, shard: int, path: str) -> _Shard:
        data, version = map_file(path) or (np.empty(0, np.uint8), None)
        base = data.ctypes.data
        self._starts[shard], self._lengths[shard] = 0, 0
        if version is not None:
            index = decode_index(data[-INDEX_BYTES:].tobytes(), data.size, where=path)
            there = index[:, 0] != HOLE
            self._check(index[there], path)
            self._starts[shard, there] = index[there, 0] + np.uint64(base)
            self._lengths[shard, there] = index[there, 1]
        if self._versions.get(shard) != version:
            self._seen[shard] = False
        self._versions[shard] = version
        return _Shard(data, base, version)

    def _check(self, entries: NDArray[np.uint64], path: str) -> None:
        """Refuse a layout of `fast` that is valid Zarr and not ours: patches would be read from wrong addresses."""
        length = self.array.patch_bytes + CRC_BYTES
        if self.store.profile == "fast" and not ((entries[:, 1] == length) & (entries[:, 0] % 4 == 0)).all():
            raise StoreError(
                f"{path}: its index has patches of {', '.join(map(str, np.unique(entries[:, 1])))} bytes, expected "
                f"{length} at multiples of 4; another program wrote it: ingest the archive again"
            )

    @property
    def _folder(self) -> Path:
        folder = self.store.place.local
        assert folder is not None
        return folder


@dataclass(frozen=True, slots=True, eq=False)
class MappedPatches:
    """Encoded patches of one array in mapped memory, which lives as long as this."""

    shards: MappedShards
    """Where they were looked up."""

    wanted: Wanted
    """Which."""

    mapped: list[_Shard]
    """The shards that they lie in, by place in ``wanted.shards``."""

    starts: NDArray[np.uint64]
    """Address of each, shape ``(patch,)``; 0 where it is absent."""

    lengths: NDArray[np.uint32]
    """Bytes of each, checksum included, shape ``(patch,)``."""

    seen: NDArray[np.bool_]
    """Which were read before, by this process and in this version, shape ``(patch,)``."""

    @property
    def there(self) -> NDArray[np.bool_]:
        """Which are not absent, shape ``(patch,)``."""
        there: NDArray[np.bool_] = self.starts != 0
        return there

    def chunks(self, which: NDArray[np.intp]) -> list[NDArray[np.uint8]]:
        """The bytes of some of them, checksum included; no copies."""
        shards = self.wanted.nth_shard()[which].tolist()
        starts, lengths = self.starts[which].tolist(), self.lengths[which].tolist()
        data, bases = [shard.data for shard in self.mapped], [shard.base for shard in self.mapped]
        return [
            data[shard][start - bases[shard] : start - bases[shard] + length]
            for shard, start, length in zip(shards, starts, lengths, strict=True)
        ]

    def where(self, which: NDArray[np.intp]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Addresses of these bytes, and how many each has, shape ``(patch,)`` both."""
        return self.starts[which], self.lengths[which].astype(np.int64)

    def will_need(self, which: NDArray[np.intp]) -> None:
        """Have the system read some of them from disk, all at once; returns before it has."""
        will_need(self.starts[which], self.lengths[which])

    def note_seen(self, which: NDArray[np.intp]) -> None:
        """Remember that these were read, and are what was written."""
        self.shards.note_seen(self, which)
