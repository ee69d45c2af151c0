"""Check and mend everything of a store but pixels and vectors, against the same store laid out from its table."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from bigearth_xr.errors import ChecksumError, StoreError
from bigearth_xr.store import schema
from bigearth_xr.store.codec import decode_chunk
from bigearth_xr.store.create import MARKER_KEY
from bigearth_xr.store.layout import lay_out
from bigearth_xr.store.location import LocalLocation, Location, put
from bigearth_xr.store.open import ROOT_KEY, Store, cached_root, clear_root_cache
from bigearth_xr.verification.report import Finding
from bigearth_xr.verification.root import expected_root, parse, plain, root_difference, write_root
from bigearth_xr.verification.scratch import Scratch

__all__ = ["Blank", "check_layout", "find_strays", "mend_layout"]

RECORDS = ("state", "has_reference_map")
"""Arrays whose values an ingest fills in: a layout tells what they are, not what they say."""


class Blank:
    """The store without pixels, laid out anew from its table: once, for as long as it is the same table.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.create import read_table
    >>> from bigearth_xr.store.open import open_store
    >>> store = open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=2))
    >>> blank = Blank()
    >>> blank.of(store, read_table(store.location)) is blank.of(store, read_table(store.location))
    True
    """

    def __init__(self) -> None:
        self._scratch: Scratch | None = None
        self._rows: pa.Table | None = None
        self._format: object = None
        self._place: Location | None = None

    def of(self, store: Store, rows: pa.Table) -> Location:
        """Give it, in a folder that goes away with this."""
        sensors = cached_root(store.location).ours["sensors"]
        wanted = (store.format_version, store.profile, store.arrays, sensors)
        if self._place is None or wanted != self._format or not rows.equals(self._rows):
            self._scratch = Scratch()
            version = store.format_version
            lay_out(self._scratch.path / "fresh.zarr", rows, store.profile, store.arrays, sensors, version=version)
            self._rows, self._format = rows, wanted
            self._place = LocalLocation(self._scratch.path / "fresh.zarr")
        return self._place


def check_layout(store: Store, rows: pa.Table, blank: Blank, damage: str | None = None) -> tuple[Finding, ...]:
    """Compare columns, axes and metadata of a store with what they are by its table.

    Bytes may differ where other versions of zarr-python or zstd wrote them; values and their description may not.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.create import read_table
    >>> from bigearth_xr.store.open import open_store
    >>> store = open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=2))
    >>> check_layout(store, read_table(store.location), Blank())
    ()
    """
    return tuple(_check(store, blank.of(store, rows), damage))


def mend_layout(store: Store, rows: pa.Table, names: frozenset[str], blank: Blank) -> tuple[str, ...]:
    """Write arrays anew as the table says that they are, and the root's metadata after them.

    Parameters
    ----------
    store
        The store.
    rows
        Its table.
    names
        Arrays to mend, ``"zarr.json"`` for the root alone. Pixels and records keep their values.
    blank
        The same store without pixels.

    Returns
    -------
    tuple of str
        Keys written.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.create import read_table
    >>> from bigearth_xr.store.open import open_store
    >>> store = open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=2))
    >>> mend_layout(store, read_table(store.location), frozenset({"split"}), Blank())
    ('split/c/0', 'split/zarr.json', 'zarr.json')
    """
    written: list[str] = []
    fresh = blank.of(store, rows)
    expected = _expected(store, fresh)
    members = expected["consolidated_metadata"]["metadata"]
    kept = {array.name for array in store.arrays}.union(RECORDS)
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
    """Name what lies at the top of a store and is none of it, as file managers leave it behind.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.open import open_store
    >>> path = bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=2)
    >>> (path / ".DS_Store").touch()
    >>> find_strays(open_store(path))
    ('.DS_Store',)
    """
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
        if reason is None and not is_added and name not in pixels.union(RECORDS):
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
    extra = {name: told for name, told in root.attributes.items() if name not in schema.OWN_ATTRIBUTES}
    return expected_root(store.location, fresh, told=root, extra=extra)


def _own(member: Mapping[str, Any]) -> bytes:
    """Metadata of an array or group as a file of its own; a root tells of groups that they have members."""
    own = {name: told for name, told in member.items() if name != "consolidated_metadata"}
    return json.dumps(own, indent=2).encode()


def _member_difference(place: Location, name: str, due: Mapping[str, Any]) -> str | None:
    """Say how the metadata of an array or group differ from what they should be."""
    key = f"{name}/zarr.json"
    document = parse(place, key)
    if document is not None and plain(document) == plain(due):
        return None
    if place.find(key) is None:
        return "is missing" if not place.children(name) else "its zarr.json is missing"
    return "its zarr.json cannot be read" if document is None else "its zarr.json differs from the format"


def _value_difference(store: Store, fresh: Location, name: str, due: Mapping[str, Any]) -> str | None:
    """Say how a small array differs from what it is by the table: not at all if every byte is the same."""
    ours, expected = ({key: place.read(key) for key in _chunks(place, name)} for place in (store.location, fresh))
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


def _chunks(place: Location, name: str) -> list[str]:
    return [key for key in place.keys(name) if key != f"{name}/zarr.json"]


def _same(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    """The same values, bit for bit; texts, which lie elsewhere, by what they say."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return a.tobytes() == b.tobytes() if a.dtype.kind not in "OT" else a.tolist() == b.tolist()
