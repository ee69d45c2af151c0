"""The table of a store, its columns and metadata: found, checked, compared with an archive, repaired."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bigearth_xr import table
from bigearth_xr.archive import Archive
from bigearth_xr.errors import ChecksumError, StoreAccessError, StoreError
from bigearth_xr.labels import Nomenclature, label_names
from bigearth_xr.store import schema
from bigearth_xr.store.codec import decode_chunk
from bigearth_xr.store.create import MARKER_KEY, read_table, table_key
from bigearth_xr.store.layout import lay_out, store_uuid
from bigearth_xr.store.location import LocalLocation, Location, put
from bigearth_xr.store.open import ROOT_KEY, Store, cached_root, clear_root_cache
from bigearth_xr.store.read import read_column, read_meanings
from bigearth_xr.store.schema import COLUMNS, UNKNOWN
from bigearth_xr.table.schema import DERIVED
from bigearth_xr.verification.findings import Finding
from bigearth_xr.verification.root import TemporaryFolder, expected_root, parse, plain, root_difference, write_root

Columns = Mapping[str, pa.Array]


_PROJ_DEGREES = 1e-7
"""A centimetre: what versions of PROJ differ in is less, what damage does is more."""


_POLYGON_BYTES = 13 + 5 * 16


_RECORDS = ("state", "has_reference_map")
"""Arrays whose values an ingest fills in: a layout tells what they are, not what they say."""


def find_table(
    store: Store, archive: Archive | None = None, listed: Columns | None = None
) -> tuple[pa.Table | None, Finding | None]:
    """Find the table that a store was made of; its identity proves which one that is.

    Returns
    -------
    tuple
        The table, None if it cannot be made again; and what is wrong with the one beside the store, if anything.
    """
    try:
        rows = read_table(store.location)
    except StoreAccessError:
        raise
    except FileNotFoundError:
        problem = "is missing"
    except Exception as error:  # damaged bytes raise whatever Arrow or its codecs raise
        problem = f"cannot be read ({error})"
    else:
        if _is_table_of(store, rows):
            derived = _derived_again(rows)
            if _agree(rows, derived):
                return rows, None
            return derived, _finding(store, "its footprints are not those of its patches")
        problem = f"is not the table that {store.location} was made of"
    return _made_again(store, archive, listed), _finding(store, problem)


def _finding(store: Store, problem: str) -> Finding:
    where = store.location.parent / table_key(store.location)
    remedy = "repair it with --against ARCHIVE --repair, or put the right table back"
    return Finding(kind="table", file=table_key(store.location), message=f"{where}: {problem}; {remedy}")


def _is_table_of(store: Store, rows: pa.Table) -> bool:
    own = store_uuid(rows, profile=store.profile, arrays=store.arrays, version=store.format_version)
    return own == store.uuid


def _derived_again(rows: pa.Table) -> pa.Table:
    """The same table, with what follows from a patch's place computed anew: its identity does not cover that."""
    decided = {name: rows[name].combine_chunks() for name in rows.column_names if name not in DERIVED}
    return table.assemble(table.release_of(rows), decided)


def _agree(rows: pa.Table, derived: pa.Table) -> bool:
    """Whether the footprints are the same, up to what another version of PROJ computes otherwise."""
    if not rows["patch"].equals(derived["patch"]):
        return False
    return all(
        a.shape == b.shape and np.allclose(a, b, rtol=0, atol=_PROJ_DEGREES)
        for a, b in zip(_degrees(rows), _degrees(derived), strict=True)
    )


def _degrees(rows: pa.Table) -> Iterator[NDArray[np.float64]]:
    """Every number that PROJ computed."""
    for name in ("lon", "lat"):
        yield rows[name].to_numpy()
    yield from (side.to_numpy() for side in rows["bbox"].combine_chunks().flatten())
    wkb = np.frombuffer(b"".join(rows["geometry"].to_pylist()), np.uint8)
    # A polygon of one ring: 13 bytes that say so, then its corners.
    whole = wkb[: wkb.size // _POLYGON_BYTES * _POLYGON_BYTES].reshape(-1, _POLYGON_BYTES)
    yield whole[:, 13:].copy().view("<f8")


def _made_again(store: Store, archive: Archive | None, listed: Columns | None) -> pa.Table | None:
    """Make tables in every way there is until one is the store's."""
    for make in _ways(store, archive, listed):
        try:
            rows = make()
        except StoreAccessError:
            raise
        except Exception:  # what is damaged may be any of the columns, in any way
            continue
        if _is_table_of(store, rows):
            return rows
    return None


def _ways(store: Store, archive: Archive | None, listed: Columns | None) -> Iterator[Callable[[], pa.Table]]:
    yield lambda: _from_columns(store, listed)
    if archive is not None:
        labels = table.read_labels(archive)
        for lists in (listed, None) if listed is not None else (None,):
            yield lambda lists=lists: table.from_archive(archive, lists, labels=labels)  # type: ignore[misc]
        if listed is not None:
            yield lambda: table.from_archive(archive, listed, rows="listed", labels=labels)


def _from_columns(store: Store, listed: Columns | None) -> pa.Table:
    """Take back from the store what it took from its table; the names of v1 that v2 lists are in the lists alone."""
    known = {"patch", "s1_name", "tile", "column", "tile_row", "country", "split"}
    flags = {"seasonal_snow", "cloud_or_shadow", "recommended"}
    columns: dict[str, pa.Array] = {}
    for column in COLUMNS:
        if column.name in known | flags:
            columns[column.name] = _decoded(store, column.name, column.kind, column.name in flags)
    has_labels = read_column(store, "has_labels")
    nomenclatures: tuple[Nomenclature, ...] = (19, 43) if store.release == "v1" else (19,)
    for nomenclature in nomenclatures:
        name = f"labels_{nomenclature}"
        columns[name] = _lists(read_column(store, name), has_labels, nomenclature)
    if listed is not None and "s2v1_name" in listed:
        columns["s2v1_name"] = listed["s2v1_name"].take(pa.compute.index_in(columns["patch"], listed["patch"]))
    return table.assemble(store.release, columns)


def _decoded(store: Store, name: str, kind: str, is_flag: bool) -> pa.Array:
    values = read_column(store, name)
    if kind == "text":
        return pa.array([text or None for text in values.tolist()], pa.string())
    if kind != "code" and not is_flag:
        return pa.array(values)
    meanings: tuple[str | bool, ...] = (False, True) if is_flag else read_meanings(store, name)
    codes = values.astype(np.int64)
    return pa.array(meanings).take(pa.array(codes, mask=codes == UNKNOWN))


def _lists(multi_hot: NDArray[np.bool_], known: NDArray[np.bool_], nomenclature: Nomenclature) -> pa.Array:
    """Names of the labels that are set; null where they are not known."""
    offsets = np.concatenate([[0], np.cumsum(multi_hot.sum(axis=1))]).astype(np.int32)
    names = pa.array(label_names(nomenclature)).take(pa.array(np.nonzero(multi_hot)[1]))
    return pa.ListArray.from_arrays(pa.array(offsets), names, mask=pa.array(~known))


class EmptyStore:
    """The store without pixels, laid out anew from its table: once, for as long as it is the same table."""

    def __init__(self) -> None:
        self._scratch: TemporaryFolder | None = None
        self._rows: pa.Table | None = None
        self._format: object = None
        self._location: Location | None = None

    def of(self, store: Store, rows: pa.Table) -> Location:
        """Give it, in a folder that goes away with this."""
        sensors = cached_root(store.location).ours["sensors"]
        wanted = (store.format_version, store.profile, store.arrays, sensors)
        if self._location is None or wanted != self._format or not rows.equals(self._rows):
            self._scratch = TemporaryFolder()
            version = store.format_version
            lay_out(self._scratch.path / "fresh.zarr", rows, store.profile, store.arrays, sensors, version=version)
            self._rows, self._format = rows, wanted
            self._location = LocalLocation(self._scratch.path / "fresh.zarr")
        return self._location


def check_layout(store: Store, rows: pa.Table, empty: EmptyStore, damage: str | None = None) -> tuple[Finding, ...]:
    """Compare columns, axes and metadata of a store with what they are by its table.

    Bytes may differ where other versions of zarr-python or zstd wrote them; values and their description may not.
    """
    return tuple(_check(store, empty.of(store, rows), damage))


def repair_columns(store: Store, rows: pa.Table, names: frozenset[str], empty: EmptyStore) -> tuple[str, ...]:
    """Write arrays anew as the table says that they are, and the root's metadata after them.

    Of the arrays `names`, pixels and records keep their values; ``"zarr.json"`` in it is the root alone.

    Returns
    -------
    tuple of str
        Keys written.
    """
    written: list[str] = []
    fresh = empty.of(store, rows)
    expected = _expected(store, fresh)
    members = expected["consolidated_metadata"]["metadata"]
    kept = {array.name for array in store.arrays}.union(_RECORDS)
    for name in sorted(names - {ROOT_KEY}):
        is_whole = name in kept or name not in fresh.children()
        keys = [f"{name}/zarr.json"] if is_whole else list(fresh.keys(name))
        for stale in set() if is_whole else set(store.location.keys(name)) - set(keys):
            store.location.delete(stale)
        for key in keys:
            put(store.location, key, _own(members[name]) if key.endswith("zarr.json") else fresh.read(key))
        written += keys
    put(store.location, ROOT_KEY, write_root(expected))
    clear_root_cache()
    return (*written, ROOT_KEY)


def find_strays(store: Store) -> tuple[str, ...]:
    """Name what lies at the top of a store and is none of it, as file managers leave it behind."""
    known = {"zarr.json", MARKER_KEY, *store.columns, *(array.name for array in store.arrays)}
    unknown = (name for name in store.location.children() if name not in known)
    return tuple(name for name in unknown if "zarr.json" not in store.location.children(name))


def _check(store: Store, fresh: Location, damage: str | None) -> Iterator[Finding]:
    expected = _expected(store, fresh)
    pixels = {array.name for array in store.arrays}
    remedy = "repair it with --repair"
    names = [name for name in expected["consolidated_metadata"]["metadata"] if schema.is_own(name)]
    for name in names:
        is_added = name not in fresh.children()
        due = expected["consolidated_metadata"]["metadata"][name]
        reason = _member_difference(store.location, name, due)
        if reason is None and not is_added and name not in pixels.union(_RECORDS):
            reason = _value_difference(store, fresh, name, due)
        if reason:
            kind = "embedding" if is_added else "metadata" if name in pixels else "column"
            yield Finding(kind=kind, file=name, message=f"{store.location / name}: {reason}; {remedy}")  # type: ignore[arg-type]
    reason = damage or root_difference(json.loads(store.location.read(ROOT_KEY)), expected)
    if reason:
        message = f"{store.location / ROOT_KEY}: {reason}; {remedy}"
        yield Finding(kind="metadata", file=ROOT_KEY, message=message)


def _expected(store: Store, fresh: Location) -> dict[str, Any]:
    root = cached_root(store.location)
    extra = {name: value for name, value in root.attributes.items() if name not in schema.OWN_ATTRIBUTES}
    return expected_root(store.location, fresh, current=root, extra=extra)


def _own(member: Mapping[str, Any]) -> bytes:
    """Metadata of an array or group as a file of its own; a root tells of groups that they have members."""
    own = {name: value for name, value in member.items() if name != "consolidated_metadata"}
    return json.dumps(own, indent=2).encode()


def _member_difference(location: Location, name: str, due: Mapping[str, Any]) -> str | None:
    """Say how the metadata of an array or group differ from what they should be."""
    key = f"{name}/zarr.json"
    document = parse(location, key)
    if document is not None and plain(document) == plain(due):
        return None
    if location.find(key) is None:
        return "is missing" if not location.children(name) else "its zarr.json is missing"
    return "its zarr.json cannot be read" if document is None else "its zarr.json differs from the format"


def _value_difference(store: Store, fresh: Location, name: str, due: Mapping[str, Any]) -> str | None:
    """Say how a small array differs from what it is by the table: not at all if every byte is the same."""
    ours, expected = (
        {key: location.read(key) for key in _chunks(location, name)} for location in (store.location, fresh)
    )
    if ours == expected:
        return None
    if ours.keys() != expected.keys():
        return "its chunk is missing" if len(ours) < len(expected) else "has chunks that it should not have"
    has_checksum = schema.has_checksums(store.format_version)
    for key, data in ours.items():
        try:
            values = decode_chunk(data, due, where=str(store.location / key), has_checksum=has_checksum)
        except (ChecksumError, StoreError) as error:
            return f"cannot be read ({error})"
        if not _same(values, decode_chunk(expected[key], due, where=key, has_checksum=has_checksum)):
            return "differs from the table"
    return None


def _chunks(location: Location, name: str) -> list[str]:
    return [key for key in location.keys(name) if key != f"{name}/zarr.json"]


def _same(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    """The same values, bit for bit; texts, which lie elsewhere, by what they say."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return a.tobytes() == b.tobytes() if a.dtype.kind not in "OT" else a.tolist() == b.tolist()


def compare_tables(store: Store, rows: pa.Table, known: pa.Table) -> Iterator[Finding]:
    """Compare what a store's table says of patches with what an archive and its lists say of them.

    Yields
    ------
    Finding
        One for each column in which both know something, and not the same.
    """
    own = rows.take(pc.index_in(known["patch"].combine_chunks(), rows["patch"].combine_chunks()))
    for name in known.column_names:
        if name in DERIVED:
            continue
        ours, theirs = (table[name].combine_chunks() for table in (own, known))
        unequal = _unequal(ours, theirs)
        if unequal:
            patches = tuple(own["patch"][i].as_py() for i in unequal)
            said, found = ours[unequal[0]].as_py(), theirs[unequal[0]].as_py()
            message = (
                f"{store.location / name}: {len(patches):,} patches differ from the archive's metadata, first "
                f"{patches[0]}: {said!r} is stored, the archive says {found!r}; ingest the archive into another place"
            )
            yield Finding(kind="different", file=name, patches=patches, message=message)


def _unequal(ours: pa.Array, theirs: pa.Array) -> list[int]:
    """Places where both know something, and not the same."""
    known = pc.and_(ours.is_valid(), theirs.is_valid())
    if ours.filter(known).equals(theirs.filter(known)):
        return []
    return [i for i, both in enumerate(known.to_pylist()) if both and ours[i] != theirs[i]]
