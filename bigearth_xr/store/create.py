"""Create a store, record what it holds; its table lies beside it."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bigearth_xr import table
from bigearth_xr.errors import StoreAccessError, StoreError
from bigearth_xr.store import schema
from bigearth_xr.store.address import Address, StorageOptions, place_of
from bigearth_xr.store.chunk import chunk_key, encode_chunk
from bigearth_xr.store.layout import lay_out
from bigearth_xr.store.marker import MARKER_KEY, Marker, encode_marker
from bigearth_xr.store.place import Place, put
from bigearth_xr.store.read import Store
from bigearth_xr.store.schema import PixelArray, Profile

__all__ = [
    "check_free",
    "create_store",
    "find_table",
    "read_table",
    "remove_store",
    "restore_table",
    "scratch_folder_of",
    "table_key",
    "table_path",
    "write_states",
    "write_table",
]


def table_path(store: Path) -> Path:
    """Where the table of a store in a folder lies: beside it, ``ben.zarr`` → ``ben.parquet``.

    Examples
    --------
    >>> table_path(Path("data/ben.zarr")).as_posix()
    'data/ben.parquet'
    """
    return store.with_suffix(".parquet")


def table_key(store: Place) -> str:
    """Name the table of a store, in the place that the store is in.

    Examples
    --------
    >>> store = place_of("s3://mine/data/ben.zarr")
    >>> str(store.parent / table_key(store))
    's3://mine/data/ben.parquet'
    """
    return table_path(Path(store.name)).name


def read_table(store: Place) -> pa.Table:
    """Read the table beside a store; FileNotFoundError without one, ChecksumError or MetadataError of a damaged one.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> path = bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=2)
    >>> read_table(place_of(path)).num_rows
    2
    """
    key = table_key(store)
    return table.read(pa.BufferReader(store.parent.read(key)), where=str(store.parent / key))


def find_table(store: Place) -> pa.Table | None:
    """Read the table beside a store; None if it is lost, or cannot be read.

    Examples
    --------
    >>> find_table(place_of(getfixture("tmp_path") / "ben.zarr")) is None
    True
    """
    try:
        return read_table(store)
    except StoreAccessError:
        raise
    except (OSError, ValueError, pa.ArrowException):
        return None


def create_store(
    address: Address,
    rows: pa.Table,
    *,
    profile: Profile,
    arrays: Sequence[PixelArray],
    sensors: Sequence[str],
    marker: Marker | None = None,
    storage_options: StorageOptions | None = None,
) -> None:
    """Create a store whose rows are those of the table, all of them absent.

    Parameters
    ----------
    address
        Where to; made here, nothing else may be there. The table is written beside it.
    rows
        Columns of `bigearth_xr.table.SCHEMA`, at least one row.
    profile
        How pixels are encoded.
    arrays
        The pixel arrays to make room for.
    sensors
        The sensors ingested, for the record.
    marker
        Says from the first moment on that the store is not finished.
    storage_options
        As in `place_of`.

    Raises
    ------
    StoreError
        If something else is there.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> archive = bex.testing.write_archive(getfixture("tmp_path") / "archive", pairs=2)
    >>> rows, path = table.from_lists(archive), getfixture("tmp_path") / "ben.zarr"
    >>> from bigearth_xr.store import schema
    >>> arrays = schema.pixel_arrays(["B02"], reference_map=False)
    >>> create_store(path, rows, profile="fast", arrays=arrays, sensors=["s2"])
    >>> sorted(entry.name for entry in path.iterdir())[:3]
    ['band_10m', 'cloud_or_shadow', 'column']
    """
    place = place_of(address, storage_options)
    with scratch_folder_of(place) as new:
        lay_out(new, rows, profile, arrays, sensors)
        if marker is not None:
            (new / MARKER_KEY).write_bytes(encode_marker(marker))
        check_free(place, but=[path.name for path in new.iterdir()])
        write_table(place, rows)
        place.adopt_all(new)


def remove_store(place: Place) -> None:
    """Remove a store and its table.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> path = bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=2)
    >>> remove_store(place_of(path))
    >>> path.exists(), table_path(path).exists()
    (False, False)
    """
    place.delete("")
    place.parent.delete(table_key(place))


def restore_table(store: Place, rows: pa.Table) -> None:
    """Write the table beside a store again, if it is lost or says anything else.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> path = bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=2)
    >>> rows = table.read(table_path(path))
    >>> table_path(path).unlink()
    >>> restore_table(place_of(path), rows)
    >>> read_table(place_of(path)).equals(rows)
    True
    """
    found = find_table(store)
    if found is None or table.digest(found) != table.digest(rows):
        write_table(store, rows)


@contextmanager
def scratch_folder_of(place: Place) -> Iterator[Path]:
    """Give a local folder in which to lay out what then moves to a place, all at once or piece by piece.

    Examples
    --------
    >>> with scratch_folder_of(place_of(getfixture("tmp_path") / "ben.zarr")) as new:
    ...     new.name
    'ben.new'
    """
    new = place.scratch_folder()
    try:
        yield new
    finally:
        shutil.rmtree(new, ignore_errors=True)


def check_free(place: Place, *, but: Iterable[str] = ()) -> None:
    """Refuse a place that holds anything.

    Parameters
    ----------
    place
        Where a store is to be made.
    but
        Names of what may be there in a bucket, where a creation that was killed may have left it.

    Raises
    ------
    StoreError
        If there is anything.

    Examples
    --------
    >>> check_free(place_of(getfixture("tmp_path") / "ben.zarr"))
    """
    found = set(place.children())
    is_taken = found or place.local.is_file() if place.local else found.difference(but)
    if is_taken:
        raise StoreError(f"{place}: exists and is no store; choose another place")


def write_table(store: Place, rows: pa.Table) -> None:
    """Write the table beside a store, whole or not at all.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> path = bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=2)
    >>> write_table(place_of(path), read_table(place_of(path)))
    """
    file = store.parent.scratch_file(table_key(store))
    table.write(rows, file)
    store.parent.adopt(table_key(store), file)


def write_states(store: Store, state: NDArray[np.uint8], mapped: NDArray[np.bool_]) -> None:
    """Record which rows are stored and which of them have a reference map, both of shape ``(patch,)``.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.read import open_store, read_state
    >>> store = open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=2))
    >>> write_states(store, np.array([1, 0], np.uint8), np.array([True, False]))
    >>> read_state(store)
    array([1, 0], dtype=uint8)
    """
    has_checksum = schema.has_checksums(store.format_version)
    # The states last: what they call stored is never written again.
    for name, values in {"has_reference_map": mapped, "state": state}.items():
        if name in store.columns:
            put(store.place, chunk_key(name, 1), encode_chunk(values, has_checksum=has_checksum))
