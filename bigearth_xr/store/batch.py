"""Batches of native pixels, past zarr-python, xarray and Dask: mapped memory, or buffers that are used again."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from bigearth_xr import bands as band_facts
from bigearth_xr.device.host import Packed
from bigearth_xr.errors import BandError, BatchError
from bigearth_xr.spelling import check_choice
from bigearth_xr.store.buffers import DecodePool, Located, LocatedPacked, check_buffers, copy_bytes, new_buffers
from bigearth_xr.store.codec import CRC_BYTES
from bigearth_xr.store.encoded import FetchedShards, MappedPatches, MappedShards
from bigearth_xr.store.open import Store, reading
from bigearth_xr.store.rows import (
    CHECKS,
    Checks,
    EncodedPatches,
    ShardedRows,
    Shards,
    ThreadPool,
    checked_rows,
    decode,
    refuse_absent,
    verify,
)
from bigearth_xr.store.schema import REFERENCE_MAP, PixelArray

__all__ = ["BatchReader"]

_REQUESTS = 16
"""Shards of an array that are asked for at once on object storage: threads that wait cost nothing."""


class _Handles:
    """Some arrays of a store, as this process reads them.

    Parameters
    ----------
    store, arrays
        What is read.
    checks
        When checksums are verified.
    threads
        Threads that decode, or copy.
    """

    def __init__(self, store: Store, arrays: Sequence[PixelArray], checks: Checks, threads: int) -> None:
        self.process = os.getpid()
        self.workers = ThreadPool(threads)
        self.buffers = DecodePool()
        self.no_map = np.full(max(array.patch_bytes for array in arrays), 0xFF, np.uint8)
        """What reference maps that stored patches lack are read from: 65535 everywhere."""
        self._store, self._checks = store, checks
        self._mapless = np.zeros(store.rows, bool)
        self._requests = ThreadPool(max(threads, _REQUESTS))
        self.shards: Shards = (
            MappedShards(store, arrays) if store.location.local else FetchedShards(store, arrays, self._requests)
        )

    def look_up(self, rows: NDArray[np.intp]) -> EncodedPatches:
        """Find patches of every array, all of them there, and sound as far as that is to be verified now."""
        with reading(self._store):
            found = self.shards.look_up(ShardedRows.of(rows))
            refuse_absent(self.shards, found, self._mapless)
            verify(self.shards, found, self._checks)
        return found

    def give_all(self, buffers: Iterable[NDArray[np.uint8]]) -> None:
        """Take buffers back that are not read any more."""
        for buffer in buffers:
            self.buffers.give(buffer)

    def close(self) -> None:
        """Let threads end; maps end with what refers to them."""
        for pool in (self.workers, self._requests):
            pool.close()


class BatchReader:
    """Reads batches of whole native patches by row number: any order, repeats allowed.

    It may be used by many threads at once, and travels to other processes by pickling or forking; each of them opens
    files and starts threads of its own when it first reads.

    Parameters
    ----------
    store
        The opened store, of either profile, in a folder or on object storage.
    bands
        Names of bands and polarizations in any order; every pixel array that has one of them is read whole. All by
        default.
    reference_map
        Whether reference maps are read too; 65535 where a stored patch has none.
    checks
        When checksums are verified: ``"always"``; ``"first"``, the first time that this process reads a patch; or
        ``"never"``. Shards' indexes are verified in any case.
    threads
        Threads that decode, or copy.

    Raises
    ------
    BandError
        If a band is unknown, or not in the store.
    BatchError
        If reference maps are asked for that the store has no room for, or an option has another value.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.open import open_store
    >>> store = open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> reader = BatchReader(store, ["B8A", "B02"])
    >>> [array.name for array in reader.sources]
    ['s2_10m', 's2_20m']
    >>> reader.read([2, 0])["s2_20m"].shape
    (2, 6, 60, 60)
    >>> with reader.locate([2, 0]) as located:
    ...     located.addresses.shape
    (2, 2)
    """

    keeps = False
    """Whether what is prefetched is kept until it is released; here it is in the system's page cache, if anywhere."""

    def __init__(
        self,
        store: Store,
        bands: Sequence[str] | None = None,
        *,
        reference_map: bool = False,
        checks: Checks = "first",
        threads: int = 1,
    ) -> None:
        check_choice("checks", checks, CHECKS, BatchError)
        if isinstance(threads, bool) or not isinstance(threads, int | np.integer) or threads < 1:
            raise BatchError(f"threads={threads!r}, expected an integer of at least 1")
        self.store = store
        self.sources = _sources(store, bands, reference_map)
        """The pixel arrays that are read, each whole: as the store has them, the reference map last."""
        self._checks, self._threads = checks, threads
        self._rebuild = partial(BatchReader, store, bands, reference_map=reference_map, checks=checks, threads=threads)
        self._handles: _Handles | None = None

    def __reduce__(self) -> tuple[Callable[[], "BatchReader"], tuple[()]]:
        return self._rebuild, ()

    def __enter__(self) -> "BatchReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def locate(self, rows: Sequence[int] | NDArray[np.integer]) -> Located:
        """Find native pixels, or decode them into recycled memory.

        Parameters
        ----------
        rows
            Row numbers of the store, shape ``(patch,)``.

        Returns
        -------
        Located
            Addresses, by `sources` and patch. Each patch's bands lie one after the other, ``(band, y, x)`` in C order,
            in native resolution and type: in a shard itself if the store is `fast` and in a folder, which is why they
            are multiples of 4 and of nothing larger. Patches of `compact` are decoded when their addresses are first
            asked for; `packed` says where they lie before.

        Raises
        ------
        BatchError
            If rows are not row numbers.
        NotStoredError
            If patches are absent or quarantined.
        ChecksumError, StoreError
            If bytes or files are damaged; like every error it names file, row and patch, and how many more there are.
        """
        handles = self._own_handles()
        numbers = checked_rows(rows, self.store.rows)
        if self._is_mapped:
            mapped = cast(MappedPatches, handles.look_up(numbers))
            no_map = handles.no_map
            starts = mapped.starts
            if not mapped.present.all():
                starts = np.where(mapped.present, starts, np.uint64(no_map.ctypes.data))
            return Located(starts, (mapped.mapped, no_map))
        unique, inverse = np.unique(numbers, return_inverse=True)
        found = handles.look_up(unique)
        decode_all = partial(self._locate_decoded, handles, found, inverse)
        if self.store.codec.is_packed and found.present.all():
            return LocatedPacked(self._packed(found, inverse), found, decode_all)
        return decode_all()

    def read(
        self, rows: Sequence[int] | NDArray[np.integer], out: Mapping[str, NDArray[Any]] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Read native pixels.

        Parameters
        ----------
        rows
            Row numbers of the store, shape ``(patch,)``.
        out
            Memory to read into, by array name, as `buffers` makes it; pinned memory that NumPy sees is as good. Fresh
            memory costs a quarter of the time.

        Returns
        -------
        dict
            By array name, on the host, native resolution and dtype: shape ``(patch, band, y, x)``, that of the
            reference map ``(patch, y, x)``. The arrays of `out` if it is given.

        Raises
        ------
        BatchError
            If rows are not row numbers, or pixels do not fit into `out`.
        NotStoredError, ChecksumError, StoreError
            As `locate` raises them; what is in `out` then means nothing.
        """
        numbers = checked_rows(rows, self.store.rows)
        if out is None:
            out = self.buffers(numbers.size)
        check_buffers(out, self.sources, numbers.size)
        pixels = {array.name: out[array.name] for array in self.sources}
        if self._is_mapped:
            self._copy(numbers, pixels)
        else:
            self._decode(numbers, pixels)
        return pixels

    def buffers(self, patches: int) -> dict[str, NDArray[Any]]:
        """Make memory for batches of N patches, to be read into again and again.

        Returns
        -------
        dict
            As `read` returns it; not filled.
        """
        return new_buffers(self.sources, patches)

    def prefetch(self, rows: Sequence[int] | NDArray[np.integer]) -> None:
        """Have the system read patches from disk that are wanted soon, side by side; returns before it has.

        Nothing is verified. On object storage nothing happens.
        """
        if self.store.location.local is not None:
            patches = self._own_handles().shards.look_up(ShardedRows.of(checked_rows(rows, self.store.rows)))
            for array, present in enumerate(patches.present):
                patches.will_need(array, np.flatnonzero(present))

    def release(self, rows: Sequence[int] | NDArray[np.integer]) -> None:
        """Do nothing: what was prefetched is the system's to keep."""

    def close(self) -> None:
        """Give up maps, threads and buffers; what was located stays readable. The next read opens the store again."""
        handles, self._handles = self._handles, None
        if handles is not None and handles.process == os.getpid():
            handles.close()

    @property
    def _is_mapped(self) -> bool:
        """Whether pixels lie in files as they lie in memory."""
        return not self.store.codec.is_packed and self.store.location.local is not None

    def _own_handles(self) -> _Handles:
        """What this process has open: locks and threads of the one that it was forked from are of no use."""
        handles = self._handles
        if handles is None or handles.process != os.getpid():
            handles = self._handles = _Handles(self.store, self.sources, self._checks, self._threads)
        return handles

    def _packed(self, found: EncodedPatches, positions: NDArray[np.intp]) -> Packed:
        """Where patches lie packed, each as often as its position comes."""
        where = [found.spans(array, positions) for array in range(len(self.sources))]
        return Packed(
            starts=np.stack([starts for starts, _ in where]),
            lengths=np.stack([lengths for _, lengths in where]) - CRC_BYTES,
            patch_bytes=tuple(array.patch_bytes for array in self.sources),
            itemsizes=tuple(array.itemsize for array in self.sources),
        )

    def _locate_decoded(self, handles: _Handles, found: EncodedPatches, positions: NDArray[np.intp]) -> Located:
        """Decode patches into recycled memory, and say where they are, each as often as its position comes."""
        count = found.rows.rows.size
        buffers = [handles.buffers.take(count * array.patch_bytes) for array in self.sources]
        addresses = np.empty((len(buffers), positions.size), np.uint64)
        for nth, (array, buffer) in enumerate(zip(self.sources, buffers, strict=True)):
            targets = _addresses(buffer, count, array)
            decode(handles.shards, nth, found, targets, handles.workers)
            addresses[nth] = targets[positions]
        return Located(addresses, buffers, partial(handles.give_all, buffers))

    def _copy(self, rows: NDArray[np.intp], out: Mapping[str, NDArray[Any]]) -> None:
        """Copy mapped pixels."""
        workers = self._own_handles().workers
        with self.locate(rows) as located:
            for array, sources in zip(self.sources, located.addresses, strict=True):
                targets = _addresses(out[array.name], rows.size, array)
                copies = [(targets[share], sources[share], array.patch_bytes) for share in workers.shares(rows.size)]
                list(workers.map(lambda copy: copy_bytes(*copy), copies))

    def _decode(self, rows: NDArray[np.intp], out: Mapping[str, NDArray[Any]]) -> None:
        """Decode each row once into its first position; where it is asked for again, copy it."""
        handles = self._own_handles()
        unique, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
        source = first[inverse]
        again = np.flatnonzero(source != np.arange(rows.size))
        found = handles.look_up(unique)
        for nth, array in enumerate(self.sources):
            targets = _addresses(out[array.name], rows.size, array)
            decode(handles.shards, nth, found, targets[first], handles.workers)
            copy_bytes(targets[again], targets[source[again]], array.patch_bytes)


def _addresses(memory: NDArray[Any], patches: int, array: PixelArray) -> NDArray[np.uint64]:
    """Addresses of N patches, one behind the other."""
    return memory.ctypes.data + np.arange(patches, dtype=np.uint64) * np.uint64(array.patch_bytes)


def _sources(store: Store, bands: Sequence[str] | None, reference_map: bool) -> tuple[PixelArray, ...]:
    """The stored arrays that hold the bands, and the reference map."""
    names = store.bands if bands is None else [band.name for band in band_facts.bands(bands)]
    missing = [name for name in names if name not in store.bands]
    if missing:
        raise BandError(
            f"{', '.join(missing)} not in {store.location}, which holds {', '.join(store.bands)}; ask for these, or "
            "ingest the archive with the missing bands"
        )
    if reference_map and not any(array.name == REFERENCE_MAP for array in store.arrays):
        raise BatchError(f"{store.location} has no reference maps, which come with v2 alone; leave reference_map out")
    wanted = [array for array in store.arrays if set(array.bands) & set(names)]
    if reference_map:
        wanted.append(store.array(REFERENCE_MAP))
    if not wanted:
        raise BandError("no band asked for; give at least one, e.g. bands=['B04', 'B03', 'B02'], or reference_map=True")
    return tuple(wanted)
