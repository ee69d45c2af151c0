"""One shard file: where it lies, its index of where each patch lies in it, and how it is written."""

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import StoreError
from bigearth_xr.store.codec import CRC_BYTES, PROFILES, ProfileName, checked, crc32c
from bigearth_xr.store.location import Found, Location
from bigearth_xr.store.schema import SHARD_PATCHES, PixelArray

__all__ = ["HOLE", "INDEX_BYTES", "ShardWriter", "encode_index", "read_index", "shard_key"]

HOLE = np.iinfo(np.uint64).max
"""Offset and length in the index of a patch that is absent, as Zarr defines it."""

INDEX_BYTES = SHARD_PATCHES * 16 + CRC_BYTES


def shard_key(array: PixelArray, shard: int) -> str:
    """Name a shard: Zarr's default chunk key, sharded along `patch` only.

    Examples
    --------
    >>> from bigearth_xr.store.schema import pixel_arrays
    >>> shard_key(*pixel_arrays(["VV"], reference_map=False), 7)
    's1/c/7/0/0/0'
    """
    return "/".join([array.name, "c", str(shard), *("0" for _ in array.patch_shape)])


def shard_path(store: Path, array: PixelArray, shard: int) -> Path:
    """Where a shard lies in a folder."""
    return store / shard_key(array, shard)


def encode_index(index: NDArray[np.uint64]) -> bytes:
    """Encode a shard's index, shape ``(1024, 2)``, as it stands at the end of the file."""
    entries = index.astype("<u8").tobytes()
    return entries + crc32c(entries)


def read_index(location: Location, key: str) -> NDArray[np.uint64] | None:
    """Read and check a shard's index.

    Parameters
    ----------
    location
        Where the store lies.
    key
        The shard, by `shard_key`.

    Returns
    -------
    numpy.ndarray or None
        Shape ``(1024, 2)``: offset and length in bytes of each patch, `HOLE` where absent; None without a shard.

    Raises
    ------
    ChecksumError
        If the index is damaged.
    StoreError
        If the shard is shorter than its index, or than the index says.
    """
    found = location.find(key)
    return None if found is None else _read_index(location, key, found)


# A shard's index is 16 KiB: a whole v1 store has 2,308 of them, 37 MiB, and stays cached.
@lru_cache(maxsize=4096)
def _read_index(location: Location, key: str, found: Found) -> NDArray[np.uint64]:
    tail_range = np.array([[found.size - INDEX_BYTES, INDEX_BYTES]])
    tail = b"".join(location.read_ranges(key, tail_range)) if found.size >= INDEX_BYTES else b""
    return decode_index(tail, found.size, where=str(location / key))


def decode_index(tail: bytes, size: int, *, where: str) -> NDArray[np.uint64]:
    """Decode and check the index of a shard.

    Parameters
    ----------
    tail
        The last `INDEX_BYTES` of the shard; anything of one that is shorter.
    size
        Bytes of the whole shard.
    where
        What to call it.

    Returns
    -------
    numpy.ndarray
        As `read_index` has it.

    Raises
    ------
    ChecksumError
        If the index is damaged.
    StoreError
        If the shard is shorter than its index, or than the index says.
    """
    if size < INDEX_BYTES:
        raise StoreError(
            f"{where}: {size} bytes, too short for a shard index of {INDEX_BYTES}; the file was cut: delete it "
            "and ingest the archive again into the same store"
        )
    index = np.frombuffer(checked(tail, where=f"{where}: index"), dtype="<u8").reshape(SHARD_PATCHES, 2)
    last = int(index[index[:, 0] != HOLE].sum(axis=1).max(initial=0))
    if last > size:
        raise StoreError(
            f"{where}: {size} bytes, its index speaks of {last}; the file was cut: delete it and ingest the "
            "archive again into the same store"
        )
    return index


_BUFFER_BYTES = 1 << 20
"""Patches are gathered up to this: larger writes cost the kernel a third less."""


class ShardWriter(AbstractContextManager["ShardWriter"]):
    """One shard file of one pixel array, being written.

    `fast` puts patch ``i`` at ``i`` × (patch bytes + checksum), so that a shard can be mapped as one array with
    holes; `compact` appends. Both end with the index and its checksum. The bytes depend on the patches alone.

    Parameters
    ----------
    store
        Where the store lies. The shard is written to a local file, and moved there when it is whole.
    array
        The pixel array.
    shard
        Number of the shard; patches ``1024 × shard`` and following.
    profile
        How patches are encoded.
    patches
        Patches this shard has room for: 1024, fewer in the last one.

    Examples
    --------
    >>> from bigearth_xr.store import schema
    >>> array, = schema.pixel_arrays(["B01", "B09"], reference_map=False)
    >>> from bigearth_xr.store.location import location_of
    >>> with ShardWriter(location_of(getfixture("tmp_path")), array, 0, "fast", patches=2) as shard:
    ...     shard.put(1, [np.ones((20, 20), np.uint16)] * 2)
    >>> (getfixture("tmp_path") / "s2_60m/c/0/0/0/0").stat().st_size == 2 * 1604 + 16 * 1024 + 4
    True
    """

    def __init__(self, store: Location, array: PixelArray, shard: int, profile: ProfileName, *, patches: int) -> None:
        self._store, self._key = store, shard_key(array, shard)
        self._array, self._profile, self._patches = array, PROFILES[profile], patches
        self._stored_type = np.dtype(array.dtype).newbyteorder("<")
        self._index = np.full((SHARD_PATCHES, 2), HOLE, dtype="<u8")
        self._end = 0

    def __enter__(self) -> "ShardWriter":
        self._partial = self._store.scratch_file(self._key)
        self._file: BinaryIO = self._partial.open("wb", buffering=_BUFFER_BYTES)
        return self

    def put(self, position: int, bands: Sequence[NDArray[Any]]) -> None:
        """Encode and store a patch at its position in the shard: its bands, shape ``(y, x)`` each, in stored order."""
        if self._profile.is_packed:
            pixels = np.stack(bands) if self._array.bands else bands[0]
            self.put_encoded(position, self._profile.encode(pixels, self._array))
            return
        self._begin(position, self._array.patch_bytes + CRC_BYTES)
        crc = 0
        for band in bands:
            data = np.ascontiguousarray(band, self._stored_type)
            crc = google_crc32c.extend(crc, data)
            self._file.write(data.data)
        self._file.write(crc.to_bytes(CRC_BYTES, "little"))

    def put_encoded(self, position: int, chunk: bytes) -> None:
        """Store a patch that is encoded already, e.g. one copied from an older file of this shard."""
        self._begin(position, len(chunk))
        self._file.write(chunk)

    def _begin(self, position: int, length: int) -> None:
        """Note where a patch is going to lie, and go there."""
        start = position * (self._array.patch_bytes + CRC_BYTES) if not self._profile.is_packed else self._end
        # A seek empties the buffer: only holes are worth one.
        if start != self._end:
            self._file.seek(start)
        self._index[position] = start, length
        self._end = start + length

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if error is None:
                self._finish()
        is_empty = (self._index[:, 0] == HOLE).all()
        if error is None and not is_empty:
            self._store.adopt(self._key, self._partial)
            return
        self._partial.unlink(missing_ok=True)
        if error is None and self._store.find(self._key) is not None:
            # What an earlier run wrote there is in no row any more.
            self._store.delete(self._key)

    def _finish(self) -> None:
        if not self._profile.is_packed:
            self._file.seek(self._patches * (self._array.patch_bytes + CRC_BYTES))
        self._file.write(encode_index(self._index))
        self._file.flush()
        os.fsync(self._file.fileno())
