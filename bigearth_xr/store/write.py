"""Write shards of pixels, patch by patch, and replace the old file only when the new one is whole."""

import os
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.store.codec import CRC_BYTES, crc32c, encode_patch
from bigearth_xr.store.schema import SHARD_PATCHES, PixelArray, Profile
from bigearth_xr.store.shard import HOLE, shard_path

__all__ = ["ShardWriter"]


class ShardWriter(AbstractContextManager["ShardWriter"]):
    """One shard file of one pixel array, being written.

    `fast` puts patch ``i`` at ``i`` × (patch bytes + checksum), so that a shard can be mapped as one array with
    holes; `compact` appends. Both end with the index and its checksum. The bytes depend on the patches alone.

    Parameters
    ----------
    store
        The store's folder.
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
    >>> with ShardWriter(getfixture("tmp_path"), array, 0, "fast", patches=2) as shard:
    ...     shard.put(1, np.ones((2, 20, 20), np.uint16))
    >>> (getfixture("tmp_path") / "s2_60m/c/0/0/0/0").stat().st_size == 2 * 1604 + 16 * 1024 + 4
    True
    """

    def __init__(self, store: Path, array: PixelArray, shard: int, profile: Profile, *, patches: int) -> None:
        self._final = shard_path(store, array, shard)
        self._partial = self._final.with_suffix(".partial")
        self._array, self._profile, self._patches = array, profile, patches
        self._index = np.full((SHARD_PATCHES, 2), HOLE, dtype="<u8")

    def __enter__(self) -> "ShardWriter":
        self._final.parent.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO = self._partial.open("wb")
        return self

    def put(self, place: int, pixels: NDArray[Any]) -> None:
        """Encode and store one patch, shape and dtype of the array's, at its place in the shard."""
        self.put_encoded(place, encode_patch(pixels, self._array, self._profile))

    def put_encoded(self, place: int, chunk: bytes) -> None:
        """Store a patch that is encoded already, e.g. one copied from an older file of this shard."""
        if self._profile == "fast":
            self._file.seek(place * (self._array.patch_bytes + CRC_BYTES))
        self._index[place] = self._file.tell(), len(chunk)
        self._file.write(chunk)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if error is None:
                self._finish()
        if error is None and (self._index[:, 0] != HOLE).any():
            os.replace(self._partial, self._final)
        else:
            self._partial.unlink()

    def _finish(self) -> None:
        if self._profile == "fast":
            self._file.seek(self._patches * (self._array.patch_bytes + CRC_BYTES))
        index = self._index.tobytes()
        self._file.write(index + crc32c(index))
        self._file.flush()
        os.fsync(self._file.fileno())
