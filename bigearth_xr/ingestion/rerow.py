"""Give a store other rows, once it is certain which they are: what it holds moves along, encoded as it is."""

import ctypes
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bigearth_xr import table as tables
from bigearth_xr.errors import StoreError
from bigearth_xr.store.create import Marker, create_store, table_path, write_states
from bigearth_xr.store.open import Store, open_store
from bigearth_xr.store.read import read_column, read_encoded, read_present, read_state
from bigearth_xr.store.schema import REFERENCE_MAP, SHARD_PATCHES, STORED, PixelArray
from bigearth_xr.store.shard import ShardWriter

_HERE = -100
"""``AT_FDCWD``: paths are taken as they are."""

_EXCHANGE = 2
"""``RENAME_EXCHANGE``."""


def rerow_store(
    store: Store, table: pa.Table, *, arrays: Sequence[PixelArray], sensors: Sequence[str], marker: Marker
) -> None:
    """Replace a store by one with the rows of a table, in which every stored patch keeps its pixels.

    Its provisional rows may be more or fewer than the table's. What others have added to it, such as embeddings, is not
    kept: it is of other rows.

    Raises
    ------
    StoreError
        If the store is on object storage, where nothing can be renamed.
    """
    if store.location.local is None:
        raise StoreError(
            f"{store.location}: its rows are those of an archive that was cut short, and cannot be moved on object "
            "storage; delete it and ingest the whole archive"
        )
    path = store.location.local
    _remove(path)
    names = _names(path)
    create_store(names.new, table, profile=store.profile, arrays=arrays, sensors=sensors, marker=marker)
    _move_pixels(store, open_store(names.new))
    _exchange_folders(path, names.new, by_way_of=names.old)
    finish_rerow(path)


def finish_rerow(path: Path) -> None:
    """Bring to an end, or undo, what a run that was killed had begun to put in place of a store."""
    names = _names(path)
    if names.old.exists() and not path.exists():
        names.old.replace(path)
    if names.table.exists() and path.exists() and _is_table_of(names.table, path):
        names.table.replace(table_path(path))
    _remove(path)


def _exchange_folders(one: Path, other: Path, *, by_way_of: Path) -> None:
    """Give each of two folders the name of the other.

    Parameters
    ----------
    one, other
        Folders on one file system.
    by_way_of
        A name that is free. Where the system cannot exchange (Linux can, on local file systems), `one` bears it for a
        moment in which nothing is called `one`.
    """
    if not _exchange_at_once(one, other):
        one.replace(by_way_of)
        other.replace(one)
        by_way_of.replace(other)


class _Names(NamedTuple):
    """Where a store lies while it is replaced."""

    new: Path
    """What is to come; then what is to go."""

    table: Path
    """The table of what is to come."""

    old: Path
    """What is to go, between two renames."""


def _names(path: Path) -> _Names:
    new, old = (path.with_name(f"{path.stem}.ingest-{which}{path.suffix}") for which in ("new", "old"))
    return _Names(new, table_path(new), old)


def _remove(path: Path) -> None:
    """Remove all but the store."""
    names = _names(path)
    names.table.unlink(missing_ok=True)
    for folder in (names.new, names.new.with_suffix(".new"), names.old):
        shutil.rmtree(folder, ignore_errors=True)


def _is_table_of(table: Path, store: Path) -> bool:
    """Whether a store was laid out for a table."""
    ours = json.loads((store / "zarr.json").read_bytes())["attributes"]["bigearth"]
    return bool(ours["table_digest"] == tables.digest(tables.read(table)))


def _move_pixels(old: Store, new: Store) -> None:
    """Copy what is stored, shard by shard of the new store."""
    names = pa.array(read_column(old, "patch"))
    came_from = pc.index_in(pa.array(read_column(new, "patch")), names).fill_null(-1).to_numpy()
    is_stored = (came_from >= 0) & (read_state(old)[came_from] == STORED)
    mapped = np.zeros(new.rows, bool)
    for array in new.arrays:
        if array not in old.arrays:
            continue
        held = is_stored & read_present(old, array)[came_from]
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
    with ShardWriter(new.location, array, first // SHARD_PATCHES, new.profile, patches=len(came_from)) as writer:
        for place in places.tolist():
            writer.put_encoded(place, read_encoded(old, array, int(came_from[place])) or b"")


def _exchange_at_once(one: Path, other: Path) -> bool:
    """Ask the system to; False where it cannot."""
    try:
        rename = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):  # another C library, another system
        return False
    return bool(rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0)
