"""Check and mend everything of a store but pixels, against the same store laid out anew from its table."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from bigearth_xr.errors import StoreAccessError
from bigearth_xr.store.layout import consolidate, lay_out
from bigearth_xr.store.marker import MARKER_KEY
from bigearth_xr.store.place import LocalPlace, Place
from bigearth_xr.store.read import Store
from bigearth_xr.verification.report import Finding
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
    >>> from bigearth_xr.store.read import open_store
    >>> store = open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=2))
    >>> blank = Blank()
    >>> blank.of(store, read_table(store.place)) is blank.of(store, read_table(store.place))
    True
    """

    def __init__(self) -> None:
        self._scratch: Scratch | None = None
        self._rows: pa.Table | None = None
        self._format: object = None
        self._place: Place | None = None

    def of(self, store: Store, rows: pa.Table) -> Place:
        """Give it, in a folder that goes away with this."""
        sensors = json.loads(store.place.read("zarr.json"))["attributes"]["bigearth"]["sensors"]
        wanted = (store.format_version, store.profile, store.arrays, sensors)
        if self._place is None or wanted != self._format or not rows.equals(self._rows):
            self._scratch = Scratch()
            version = store.format_version
            lay_out(self._scratch.path / "fresh.zarr", rows, store.profile, store.arrays, sensors, version=version)
            self._rows, self._format = rows, wanted
            self._place = LocalPlace(self._scratch.path / "fresh.zarr")
        return self._place


def check_layout(store: Store, rows: pa.Table, blank: Blank) -> tuple[Finding, ...]:
    """Compare columns, axes and metadata of a store with what they are by its table.

    Bytes may differ where another version of zarr-python wrote them; values and their description may not.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.create import read_table
    >>> from bigearth_xr.store.read import open_store
    >>> store = open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=2))
    >>> check_layout(store, read_table(store.place), Blank())
    ()
    """
    return tuple(_check(store, blank.of(store, rows)))


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
    >>> from bigearth_xr.store.read import open_store
    >>> store = open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=2))
    >>> mend_layout(store, read_table(store.place), frozenset({"split"}), Blank())
    ('split/c/0', 'split/zarr.json', 'zarr.json')
    """
    written: list[str] = []
    fresh = blank.of(store, rows)
    kept = {array.name for array in store.arrays}.union(RECORDS)
    for name in sorted(names - {"zarr.json"}):
        keys = [f"{name}/zarr.json"] if name in kept else list(fresh.keys(name))
        for stale in set() if name in kept else set(store.place.keys(name)) - set(keys):
            store.place.delete(stale)
        for key in keys:
            _put(store.place, key, fresh.read(key))
        written += keys
    _put(store.place, "zarr.json", fresh.read("zarr.json"))
    # Else what was added since, such as embeddings, would be missing in the root.
    if set(_members(fresh)) != {key.removesuffix("/zarr.json") for key in _documents(store.place)}:
        consolidate(store.place)
    return (*written, "zarr.json")


def find_strays(store: Store) -> tuple[str, ...]:
    """Name what lies at the top of a store and is none of it, as file managers leave it behind.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.read import open_store
    >>> path = bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=2)
    >>> (path / ".DS_Store").touch()
    >>> find_strays(open_store(path))
    ('.DS_Store',)
    """
    known = {"zarr.json", MARKER_KEY, *store.columns, *(array.name for array in store.arrays)}
    unknown = (name for name in store.place.children() if name not in known)
    return tuple(name for name in unknown if "zarr.json" not in store.place.children(name))


def _put(place: Place, key: str, data: bytes) -> None:
    file = place.scratch_file(key)
    file.write_bytes(data)
    place.adopt(key, file)


def _check(store: Store, fresh: Place) -> Iterator[Finding]:
    pixels = {array.name for array in store.arrays}
    for name in (entry for entry in fresh.children() if entry != "zarr.json"):
        reason = _difference(store.place, fresh, name, has_values=name not in pixels.union(RECORDS))
        if reason:
            remedy = "repair it with --against ARCHIVE --repair"
            message = f"{store.place / name}: {reason}; {remedy}"
            yield Finding(kind="column" if name not in pixels else "metadata", file=name, message=message)
    reason = _root_difference(store.place, fresh)
    if reason:
        message = f"{store.place / 'zarr.json'}: {reason}; repair it with --against ARCHIVE --repair"
        yield Finding(kind="metadata", file="zarr.json", message=message)


def _difference(place: Place, fresh: Place, name: str, *, has_values: bool) -> str | None:
    """Say how an array differs from what it is by the table: not at all if every byte is the same."""
    keys = list(fresh.keys(name)) if has_values else [f"{name}/zarr.json"]
    if all(_read(place, key) == fresh.read(key) for key in keys):
        return None
    import zarr

    try:
        with place.explaining(name):
            found = zarr.open_array(place.zarr(), path=name, mode="r", zarr_format=3)
            values = np.asarray(found[...]) if has_values else None
    except StoreAccessError:
        raise
    except FileNotFoundError:
        return "is missing"
    except Exception as error:  # damaged bytes raise whatever their codec raises
        return f"cannot be read ({error})"
    expected = zarr.open_array(fresh.zarr(), path=name, mode="r", zarr_format=3)
    if _document(found) != _document(expected):
        return "its zarr.json differs from the format"
    if values is not None and not _same(values, np.asarray(expected[...])):
        return "differs from the table"
    return None


def _root_difference(place: Place, fresh: Place) -> str | None:
    """The root repeats the metadata of every array, and says what the store is."""
    ours, expected = (json.loads(root.read("zarr.json")) for root in (place, fresh))
    if ours["attributes"] != expected["attributes"]:
        return "its attributes differ from the table"
    members = _members(place)
    for key in _documents(place):
        try:
            document = json.loads(place.read(key))
        except ValueError:
            continue  # told with its array
        # A group has no list of members of its own, but in the root's an empty one.
        told = members.get(key.removesuffix("/zarr.json"), {})
        if any(told.get(name) != document.get(name) for name in {*told, *document} - {"consolidated_metadata"}):
            return f"disagrees with {key}"
    return None


def _documents(place: Place) -> Iterator[str]:
    """Metadata of every group and array, without going through the shards."""
    for name in place.children():
        below = [] if name in ("zarr.json", MARKER_KEY) else place.children(name)
        if "zarr.json" not in below:
            continue
        yield f"{name}/zarr.json"
        for group in below if "c" not in below else ():
            yield from (key for key in place.keys(f"{name}/{group}") if key.endswith("/zarr.json"))


def _members(place: Place) -> dict[str, Any]:
    members: dict[str, Any] = json.loads(place.read("zarr.json"))["consolidated_metadata"]["metadata"]
    return members


def _read(place: Place, key: str) -> bytes | None:
    try:
        return place.read(key)
    except FileNotFoundError:
        return None


def _document(array: Any) -> bytes:
    """Metadata in one form, whichever version wrote them."""
    from zarr.core.buffer import default_buffer_prototype

    data: bytes = array.metadata.to_buffer_dict(default_buffer_prototype())["zarr.json"].to_bytes()
    return data


def _same(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    """The same values, bit for bit; texts, which lie elsewhere, by what they say."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return a.tobytes() == b.tobytes() if a.dtype.kind not in "OT" else a.tolist() == b.tolist()
