"""What readers of batches give, compared with what others read; and what may happen to a store meanwhile."""

import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damages import flip
from numpy.typing import NDArray

from bigearth_xr.store.batch import BatchReader
from bigearth_xr.store.buffers import Located
from bigearth_xr.store.open import Store
from bigearth_xr.store.read import read_patches
from bigearth_xr.store.shard import read_index, shard_path

PAIRS = 24
ROWS = [7, 0, 7, 23, 3]
BAD = 5
fast_only = pytest.mark.parametrize(("release", "store"), [("v2", "fast")], indirect=True)
compact_only = pytest.mark.parametrize(("release", "store"), [("v2", "compact")], indirect=True)
each_profile = pytest.mark.parametrize(("release", "store"), [("v2", "fast"), ("v2", "compact")], indirect=True)


def same(found: dict[str, NDArray[Any]], store: Store, rows: Any) -> bool:
    """Whether pixels are those that the patch-by-patch reader gives."""
    return all(
        pixels.tobytes() == read_patches(store, store.array(name), np.asarray(rows)).tobytes()
        for name, pixels in found.items()
    )


def memory(address: int, size: int) -> bytes:
    return ctypes.string_at(address, size)


def pixels_at(located: Located, reader: BatchReader) -> dict[str, NDArray[Any]]:
    """What lies at the addresses, read by nobody's code but ctypes."""
    return {
        array.name: np.stack(
            [
                np.frombuffer(memory(address, array.patch_bytes), array.dtype).reshape(array.patch_shape)
                for address in line.tolist()
            ]
        )
        for array, line in zip(reader.sources, located.addresses, strict=True)
    }


def shard_of(store: Store, name: str) -> Path:
    return shard_path(Path(store.location.address), store.array(name), 0)


def flip_patch(store: Store, name: str, row: int) -> None:
    """Flip a bit in a patch's checksum: what it decodes to stays the same."""
    index = read_index(store.location, f"{name}/c/0/" + "/".join("0" * len(store.array(name).patch_shape)))
    assert index is not None
    flip(shard_of(store, name), int(index[row].sum()) - 2)


def unseen(change: Callable[[], object], file: Path) -> None:
    """Change a file behind everyone's back."""
    before = file.stat()
    change()
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
