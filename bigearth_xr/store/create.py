"""Create a store, record what it holds and whether it is finished, bring it up to a fuller table or newer format."""

import json
import shutil
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bigearth_xr import table
from bigearth_xr.errors import StoreAccessError, StoreError
from bigearth_xr.store import schema
from bigearth_xr.store.codec import ProfileName, chunk_key, encode_chunk
from bigearth_xr.store.embeddings import (
    create_embedding,
    embedding_names,
    open_embedding,
    read_computed,
    remove_embedding,
    write_computed,
)
from bigearth_xr.store.layout import consolidate, lay_out
from bigearth_xr.store.location import Address, LocalLocation, Location, StorageOptions, location_of, put
from bigearth_xr.store.open import ROOT_KEY, Store, clear_root_cache, open_store, read_root
from bigearth_xr.store.read import read_column, read_meanings, read_state
from bigearth_xr.store.schema import PixelArray

__all__ = [
    "MARKER_KEY",
    "Marker",
    "check_free",
    "clear_marker",
    "create_store",
    "describe",
    "find_table",
    "read_marker",
    "read_table",
    "remove_store",
    "restore_table",
    "table_key",
    "table_path",
    "update_store",
    "write_marker",
    "write_states",
]

MARKER_KEY = "ingest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """Why a store is not finished."""

    is_provisional: bool
    """Whether its rows may still change, as not all of the archive was seen."""

    reason: str
    """What happened, for people."""


def table_path(store: Path) -> Path:
    """Where the table of a store in a folder lies: beside it, ``ben.zarr`` → ``ben.parquet``."""
    return store.with_suffix(".parquet")


def table_key(store: Location) -> str:
    """Name the table of a store, in the location that the store is in."""
    return table_path(Path(store.name)).name


def read_table(store: Location) -> pa.Table:
    """Read the table beside a store; FileNotFoundError without one, ChecksumError or MetadataError of a damaged one."""
    key = table_key(store)
    return table.read(pa.BufferReader(store.parent.read(key)), where=str(store.parent / key))


def find_table(store: Location) -> pa.Table | None:
    """Read the table beside a store; None if it is lost, or cannot be read."""
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
    profile: ProfileName,
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
        As in `location_of`.

    Raises
    ------
    StoreError
        If something else is there.
    """
    location = location_of(address, storage_options)
    with _scratch_folder_of(location) as new:
        lay_out(new, rows, profile, arrays, sensors)
        if marker is not None:
            (new / MARKER_KEY).write_bytes(_encode_marker(marker))
        check_free(location, but=[path.name for path in new.iterdir()])
        _write_table(location, rows)
        location.adopt_all(new)


def remove_store(location: Location) -> None:
    """Remove a store and its table."""
    location.delete("")
    location.parent.delete(table_key(location))


def restore_table(store: Location, rows: pa.Table) -> None:
    """Write the table beside a store again, if it is lost or says anything else."""
    found = find_table(store)
    if found is None or table.digest(found) != table.digest(rows):
        _write_table(store, rows)


@contextmanager
def _scratch_folder_of(location: Location) -> Iterator[Path]:
    """Give a local folder in which to lay out what then moves to a location, all at once or piece by piece."""
    new = location.scratch_folder()
    try:
        yield new
    finally:
        shutil.rmtree(new, ignore_errors=True)


def check_free(location: Location, *, but: Iterable[str] = ()) -> None:
    """Refuse a location that holds anything.

    Parameters
    ----------
    location
        Where a store is to be made.
    but
        Names of what may be there in a bucket, where a creation that was killed may have left it.

    Raises
    ------
    StoreError
        If there is anything.
    """
    found = set(location.children())
    is_taken = found or location.local.is_file() if location.local else found.difference(but)
    if is_taken:
        raise StoreError(f"{location}: exists and is not a store; choose another place")


def _write_table(store: Location, rows: pa.Table) -> None:
    """Write the table beside a store, whole or not at all."""
    file = store.parent.scratch_file(table_key(store))
    table.write(rows, file)
    store.parent.adopt(table_key(store), file)


def write_states(store: Store, state: NDArray[np.uint8], mapped: NDArray[np.bool_]) -> None:
    """Record which rows are stored and which of them have a reference map, both of shape ``(patch,)``."""
    has_checksum = schema.has_checksums(store.format_version)
    # The states last: what they call stored is never written again.
    for name, values in {"has_reference_map": mapped, "state": state}.items():
        if name in store.columns:
            put(store.location, chunk_key(name, 1), encode_chunk(values, has_checksum=has_checksum))


def _encode_marker(marker: Marker) -> bytes:
    """Write a note as JSON."""
    return json.dumps(asdict(marker)).encode()


def read_marker(location: Location) -> Marker | None:
    """Read the note of an unfinished store; None of a finished one."""
    try:
        return Marker(**json.loads(location.read(MARKER_KEY)))
    except FileNotFoundError:
        return None


def write_marker(location: Location, marker: Marker) -> None:
    """Leave a note, in place of an older one."""
    file = location.scratch_file(MARKER_KEY)
    file.write_bytes(_encode_marker(marker))
    location.adopt(MARKER_KEY, file)


def clear_marker(location: Location) -> None:
    """Take the note away: the store is finished."""
    location.delete(MARKER_KEY)


def update_store(store: Store, rows: pa.Table, *, sensors: Sequence[str]) -> None:
    """Bring a store up to a table that says as much or more of the same patches, in the format that is written now.

    Pixels and states stay as they are; so do embeddings.
    """
    with _scratch_folder_of(store.location) as new:
        lay_out(new, rows, store.profile, store.arrays, sensors)
        columns = {path.name for path in new.iterdir() if path.is_dir()}
        _adopt_metadata(store.location, new, but=columns)
        kept = {array.name for array in store.arrays}
        if store.format_version == schema.FORMAT_VERSION:
            kept |= {"patch", "state", "has_reference_map"}
        else:
            _carry_over(store, open_store(new))
            for name in embedding_names(store):
                _adopt_files(store.location, f"{schema.EMBEDDINGS}/{name}", new)
        for name in columns - kept:
            _replace(store.location, name, new)
        _write_table(store.location, rows)
        # Last, as it bears the identity: an update that is killed before is done again.
        store.location.adopt(ROOT_KEY, new / ROOT_KEY)
        clear_root_cache()


def _replace(store: Location, name: str, new: Path) -> None:
    """Replace a column file by file, so that there is one at every moment; what has no successor goes last."""
    fresh = _adopt_files(store, name, new)
    for key in {*store.keys(name)} - fresh:
        store.delete(key)


def _adopt_files(store: Location, name: str, new: Path) -> set[str]:
    """Take over what lies below a key."""
    fresh = {file.relative_to(new).as_posix(): file for file in (new / name).rglob("*") if file.is_file()}
    for key, file in sorted(fresh.items()):
        store.adopt(key, file)
    return set(fresh)


def _adopt_metadata(store: Location, new: Path, *, but: Container[str]) -> None:
    """Take over what was added to a store since it was laid out, such as embeddings, into consolidated metadata."""
    known = read_root(store).members
    for added in store.children():
        for key in () if added in but else store.keys(added):
            if key.endswith("/zarr.json"):
                name = key.removesuffix("/zarr.json")
                # Of what is the format's the root is right: it has a digest.
                data = json.dumps(known[name]).encode() if schema.is_own(name) and name in known else store.read(key)
                (new / key).parent.mkdir(parents=True, exist_ok=True)
                (new / key).write_bytes(data)
    consolidate(LocalLocation(new))


def _carry_over(store: Store, fresh: Store) -> None:
    """Write anew, with checksums, what a layout cannot know: the record, and which vectors are computed."""
    has_maps = "has_reference_map" in store.columns
    mapped = read_column(store, "has_reference_map") if has_maps else np.zeros(store.rows, bool)
    write_states(fresh, read_state(store), mapped)
    for name in embedding_names(store):
        embedding = open_embedding(store, name)
        # The same pixels under another identity.
        renamed = {"uuid": fresh.uuid} if embedding.provenance.get("uuid") == store.uuid else {}
        remove_embedding(fresh, name)
        made = {**embedding.provenance, **renamed}
        write_computed(
            create_embedding(fresh, name, features=embedding.features, provenance=made), read_computed(embedding)
        )


def describe(address: Address, storage_options: StorageOptions | None = None) -> dict[str, str]:
    """Describe a store in a few named lines.

    Returns
    -------
    dict
        Text by name, in reading order.
    """
    store = open_store(address, storage_options)
    attributes = json.loads(store.location.read("zarr.json"))["attributes"]
    states = Counter(read_state(store).tolist())
    marker = read_marker(store.location)
    return {
        "store": f"{store.location} (format {store.format_version}, profile {store.profile})",
        **({} if marker is None else {"incomplete": f"{marker.reason}; call ingest again to continue"}),
        "release": f"{store.release}: {attributes['title']}, licence {attributes['license']}",
        "rows": f"{store.rows:,}: " + ", ".join(f"{states[i]:,} {name}" for i, name in _present(states)),
        "split": _counts(store, "split"),
        "country": _counts(store, "country"),
        "arrays": "; ".join(f"{array.name} {', '.join(array.bands) or array.dtype}" for array in store.arrays),
        "size": _size(store.location),
        "uuid": store.uuid,
    }


def _present(states: "Counter[int]") -> list[tuple[int, str]]:
    return [(i, name) for i, name in enumerate(schema.STATES) if states[i]]


def _counts(store: Store, column: str) -> str:
    meanings = read_meanings(store, column)
    found = Counter(read_column(store, column).tolist())
    texts = {code: "unknown" if code == schema.UNKNOWN else meanings[code] for code in found}
    return ", ".join(f"{texts[code]} {count:,}" for code, count in found.most_common())


def _size(location: Location) -> str:
    size, unit = location.used_bytes() / 1e3, "kB"
    for larger in ("MB", "GB"):
        if size >= 1e3:
            size, unit = size / 1e3, larger
    return f"{size:,.1f} {unit} {'in objects' if location.local is None else 'on disk'}"
