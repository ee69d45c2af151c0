"""Give a store other rows, once it is certain which they are: what it holds moves along, encoded as it is."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bigearth_xr.errors import StoreError
from bigearth_xr.store.create import create_store, table_path, write_states
from bigearth_xr.store.marker import Marker
from bigearth_xr.store.presence import read_held
from bigearth_xr.store.read import Store, open_store, read_column, read_encoded, read_state
from bigearth_xr.store.schema import REFERENCE_MAP, SHARD_PATCHES, STORED, PixelArray
from bigearth_xr.store.write import ShardWriter

__all__ = ["finish_swap", "rerow_store"]


def rerow_store(
    store: Store, table: pa.Table, *, arrays: Sequence[PixelArray], sensors: Sequence[str], marker: Marker
) -> None:
    """Replace a store by one with the rows of a table, in which every stored patch keeps its pixels.

    Parameters
    ----------
    store
        In a folder; its provisional rows may be more or fewer than the table's.
    table
        The rows to have.
    arrays
        The arrays to have.
    sensors, marker
        As for `create_store`.

    Raises
    ------
    StoreError
        If the store is on object storage, where nothing can be renamed.

    Examples
    --------
    Called by `bigearth_xr.ingest` where an archive that was cut short has become whole.

    >>> rerow_store.__name__
    'rerow_store'
    """
    if store.place.local is None:
        raise StoreError(
            f"{store.place}: its rows are those of an archive that was cut short, and cannot be moved on object "
            "storage; delete it and ingest the whole archive"
        )
    old, new = _siblings(store.place.local)
    shutil.rmtree(new, ignore_errors=True)
    create_store(new, table, profile=store.profile, arrays=arrays, sensors=sensors, marker=marker)
    _move_pixels(store, open_store(new))
    store.place.local.replace(old)
    finish_swap(store.place.local)


def finish_swap(path: Path) -> None:
    """Put the new store in place of the old; again at the next call, if this one is killed.

    Examples
    --------
    >>> finish_swap(getfixture("tmp_path") / "ben.zarr")
    """
    old, new = _siblings(path)
    if old.exists() and new.exists() and not path.exists():
        table_path(new).replace(table_path(path))
        new.replace(path)
    if path.exists() and old.exists():
        shutil.rmtree(old)


def _siblings(path: Path) -> tuple[Path, Path]:
    """Names of the store that goes, and of the one that comes."""
    return path.with_name(f"{path.stem}.old{path.suffix}"), path.with_name(f"{path.stem}.rows{path.suffix}")


def _move_pixels(old: Store, new: Store) -> None:
    """Copy what is stored, shard by shard of the new store."""
    names = pa.array(read_column(old, "patch"))
    came_from = pc.index_in(pa.array(read_column(new, "patch")), names).fill_null(-1).to_numpy()
    is_stored = (came_from >= 0) & (read_state(old)[came_from] == STORED)
    mapped = np.zeros(new.rows, bool)
    for array in new.arrays:
        if array not in old.arrays:
            continue
        held = is_stored & read_held(old, array)[came_from]
        for first in range(0, new.rows, SHARD_PATCHES):
            _move_shard(old, new, array, came_from[first : first + SHARD_PATCHES], held, first)
        if array.name == REFERENCE_MAP:
            mapped = held
    write_states(new, np.where(is_stored, STORED, 0).astype(np.uint8), mapped)


def _move_shard(
    old: Store, new: Store, array: PixelArray, came_from: NDArray[np.intp], held: NDArray[np.bool_], first: int
) -> None:
    places = np.flatnonzero(held[first : first + SHARD_PATCHES])
    if not places.size:
        return
    with ShardWriter(new.place, array, first // SHARD_PATCHES, new.profile, patches=len(came_from)) as writer:
        for place in places.tolist():
            writer.put_encoded(place, read_encoded(old, array, int(came_from[place])) or b"")
