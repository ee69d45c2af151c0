"""Write shards of pixels, patch by patch, and replace the old file only when the new one is whole."""

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, BinaryIO

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from bigearth_xr.store.codec import CRC_BYTES, encode_patch
from bigearth_xr.store.place import Place
from bigearth_xr.store.schema import SHARD_PATCHES, PixelArray, Profile
from bigearth_xr.store.shard import HOLE, encode_index, shard_key

__all__ = ["ShardWriter"]

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
    >>> from bigearth_xr.store.address import place_of
    >>> with ShardWriter(place_of(getfixture("tmp_path")), array, 0, "fast", patches=2) as shard:
    ...     shard.put(1, [np.ones((20, 20), np.uint16)] * 2)
    >>> (getfixture("tmp_path") / "s2_60m/c/0/0/0/0").stat().st_size == 2 * 1604 + 16 * 1024 + 4
    True
    """

    def __init__(self, store: Place, array: PixelArray, shard: int, profile: Profile, *, patches: int) -> None:
        self._store, self._key = store, shard_key(array, shard)
        self._array, self._profile, self._patches = array, profile, patches
        self._stored_type = np.dtype(array.dtype).newbyteorder("<")
        self._index = np.full((SHARD_PATCHES, 2), HOLE, dtype="<u8")
        self._end = 0

    def __enter__(self) -> "ShardWriter":
        self._partial = self._store.scratch_file(self._key)
        self._file: BinaryIO = self._partial.open("wb", buffering=_BUFFER_BYTES)
        return self

    def put(self, place: int, bands: Sequence[NDArray[Any]]) -> None:
        """Encode and store one patch at its place in the shard: its bands, shape ``(y, x)`` each, in stored order."""
        if self._profile == "compact":
            pixels = np.stack(bands) if self._array.bands else bands[0]
            self.put_encoded(place, encode_patch(pixels, self._array, self._profile))
            return
        self._begin(place, self._array.patch_bytes + CRC_BYTES)
        crc = 0
        for band in bands:
            data = np.ascontiguousarray(band, self._stored_type)
            crc = google_crc32c.extend(crc, data)
            self._file.write(data.data)
        self._file.write(crc.to_bytes(CRC_BYTES, "little"))

    def put_encoded(self, place: int, chunk: bytes) -> None:
        """Store a patch that is encoded already, e.g. one copied from an older file of this shard."""
        self._begin(place, len(chunk))
        self._file.write(chunk)

    def _begin(self, place: int, length: int) -> None:
        """Note where a patch is going to lie, and go there."""
        start = place * (self._array.patch_bytes + CRC_BYTES) if self._profile == "fast" else self._end
        # A seek empties the buffer: only holes are worth one.
        if start != self._end:
            self._file.seek(start)
        self._index[place] = start, length
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
        if self._profile == "fast":
            self._file.seek(self._patches * (self._array.patch_bytes + CRC_BYTES))
        self._file.write(encode_index(self._index))
        self._file.flush()
        os.fsync(self._file.fileno())
