"""The root of a store as it should be, by its table and what was added since; a store whose root is lost."""

import json
import shutil
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any, cast

import pyarrow as pa

from bigearth_xr.bands import GROUPS
from bigearth_xr.errors import BigEarthError, FormatError, StoreAccessError, StoreNotFoundError
from bigearth_xr.store import schema
from bigearth_xr.store.codec import PROFILES, ProfileName, chunk_key, decode_chunk
from bigearth_xr.store.create import read_table, table_key
from bigearth_xr.store.diagnosis import holds_arrays
from bigearth_xr.store.layout import consolidate, lay_out, uuid_of
from bigearth_xr.store.location import Found, LocalLocation, Location, put
from bigearth_xr.store.open import NO_JSON, ROOT_KEY, Root, Store, metadata_digest, read_root, store_of
from bigearth_xr.store.schema import REFERENCE_MAP, PixelArray

_NEUTRAL: dict[str, Any] = {"storage_transformers": [], "consolidated_metadata": None, "must_understand": False}
"""What versions of zarr-python write or leave out, and what it says if it says nothing."""


_NOTHING = {"kind": "inline", "must_understand": False, "metadata": {}}


Documents = Mapping[str, Mapping[str, Any]]


class TemporaryFolder:
    """A temporary folder that goes with its owner, at the latest with the process."""

    def __init__(self) -> None:
        self.path = Path(mkdtemp(prefix="bigearth-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


def expected_root(
    location: Location, fresh: Location, *, current: Root | None, extra: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Tell what a root should say.

    Parameters
    ----------
    location
        The store.
    fresh
        The same store without pixels and embeddings, as its table says that it is.
    current
        What its root says, which counts more than other files where its digest bears it out; None if it is damaged.
    extra
        Attributes that were added to the root.
    """
    document: dict[str, Any] = json.loads(fresh.read(ROOT_KEY))
    members: dict[str, Any] = dict(document["consolidated_metadata"]["metadata"])
    known = {key for member in members.values() for key in member}
    is_sealed = current is not None and schema.has_checksums(current.format_version)
    sealed = (
        {name: member for name, member in current.members.items() if schema.is_own(name)}
        if current and is_sealed
        else {}
    )
    for name in sorted({*sealed, *_added(location, "")}):
        own = parse(location, f"{name}/zarr.json")
        if name in sealed:
            # Another version of zarr-python may have written both.
            is_as_good = own is not None and _meaning(own) == _meaning(sealed[name]) and plain(own).keys() <= known
            if name not in members or is_as_good:
                members[name] = own if is_as_good else sealed[name]
        elif own is not None and name not in members and not (is_sealed and schema.is_own(name)):
            members[name] = own
    attributes = document["attributes"] | dict(extra or {})
    consolidated = {**document["consolidated_metadata"], "metadata": members}
    return {**document, "attributes": attributes, "consolidated_metadata": consolidated}


def write_root(document: Mapping[str, Any]) -> bytes:
    """Write a root, as it is written when a store is made."""
    bare = {name: value for name, value in document.items() if name != "consolidated_metadata"}
    with TemporaryDirectory() as folder:
        location = LocalLocation(Path(folder))
        put(location, ROOT_KEY, json.dumps(bare).encode())
        for name, member in document["consolidated_metadata"]["metadata"].items():
            own = {key: value for key, value in member.items() if key != "consolidated_metadata"}
            put(location, f"{name}/zarr.json", json.dumps(own).encode())
        consolidate(location)
        return location.read(ROOT_KEY)


def root_difference(document: Mapping[str, Any], expected: Mapping[str, Any]) -> str | None:
    """Say how a root differs from what it should say.

    Examples
    --------
    >>> expected = {"attributes": {}, "consolidated_metadata": {"metadata": {"split": {"shape": [3]}}}}
    >>> found = {"attributes": {}, "consolidated_metadata": {"metadata": {"split": {"shape": [4]}}}}
    >>> root_difference(found, expected), root_difference(expected, expected)
    ('disagrees with split/zarr.json', None)
    """
    if document.get("consolidated_metadata") is None:
        return "its metadata are not consolidated"
    current, due = (dict((one.get("consolidated_metadata") or {}).get("metadata", {})) for one in (document, expected))
    for name in sorted(current | due):
        if name not in current or name not in due or plain(current[name]) != plain(due[name]):
            return f"disagrees with {name}/zarr.json"
    # Whether its digest is right was found when it was opened.
    attributes, expected_attributes = (_without_digest(one["attributes"]) for one in (document, expected))
    if attributes != {**attributes, **expected_attributes}:
        return "its attributes differ from the table"
    return None if _frame(document) == _frame(expected) else "its consolidated metadata differ from the format"


def plain(member: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata of an array or group less what says nothing.

    Examples
    --------
    >>> plain({"shape": [3], "storage_transformers": []})
    {'shape': [3]}
    """
    return {
        name: value
        for name, value in member.items()
        if not (name in _NEUTRAL and (value == _NEUTRAL[name] or (name == "consolidated_metadata" and _is_list(value))))
    }


def _without_digest(attributes: Mapping[str, Any]) -> dict[str, Any]:
    ours = {name: value for name, value in attributes.get("bigearth", {}).items() if name != schema.DIGEST}
    return {**attributes, "bigearth": ours}


def _is_list(consolidated: Any) -> bool:
    """Whether it is what a group in a root has: the members, or none, in a frame that says nothing."""
    return isinstance(consolidated, dict) and {**consolidated, "metadata": {}} == _NOTHING


def _frame(document: Mapping[str, Any]) -> dict[str, Any]:
    """A root less what it says of members, and its attributes."""
    consolidated = {name: value for name, value in document["consolidated_metadata"].items() if name != "metadata"}
    return {**document, "attributes": {}, "consolidated_metadata": consolidated}


def _meaning(member: Mapping[str, Any]) -> str:
    """What the digest of a root covers of a member."""
    return metadata_digest({"attributes": {"bigearth": {}}, "consolidated_metadata": {"metadata": {"split": member}}})


def parse(location: Location, key: str) -> dict[str, Any] | None:
    """Read a JSON object; None without one."""
    try:
        document = json.loads(location.read(key))
    except (FileNotFoundError, NotADirectoryError, *NO_JSON):
        return None
    return document if isinstance(document, dict) else None


def _added(location: Location, below: str) -> Iterator[str]:
    """Every group and array below, without going through the shards."""
    for name in (f"{below}{child}" for child in location.children(below)):
        children = location.children(name)
        if "zarr.json" in children:
            yield name
            if "c" not in children:
                yield from _added(location, f"{name}/")


def open_or_recover(location: Location) -> tuple[Store, str | None]:
    """Open a store; if its root is lost or damaged, with the one that it should have. Nothing is written.

    Returns
    -------
    tuple
        The store, and what is wrong with its root; None if nothing is. What reads the store reads the recovered root.

    Raises
    ------
    StoreNotFoundError, FormatError
        If there is no store of ours, or nothing says any more what its root said.
    """
    try:
        store = store_of(location, read_root(location))
        reason = None if _is_proven(store) else "contradicts its uuid"
    except StoreAccessError:
        raise
    except StoreNotFoundError as error:
        reason, cause = "is missing", error
    except BigEarthError as error:
        reason, cause = _reason(location, error), error  # type: ignore[assignment]
    else:
        if reason is None:
            return store, None
        cause = FormatError(f"{location / ROOT_KEY}: {reason}")  # type: ignore[assignment]
    if not holds_arrays(location):
        raise cause
    root = _recovered(location, reason)
    return store_of(root, read_root(root)), reason


@dataclass(frozen=True)
class _WithRoot:
    """A location whose root says something else than what lies there; all else is the location's own."""

    location: Location
    root: bytes

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.location, name)

    def __str__(self) -> str:
        return str(self.location)

    def __truediv__(self, key: str) -> Location:
        return self.location / key

    def find(self, key: str) -> Found | None:
        """Look whether a key is there."""
        return Found(size=len(self.root), version=self.root) if key == ROOT_KEY else self.location.find(key)

    def read(self, key: str) -> bytes:
        """Read everything under a key."""
        return self.root if key == ROOT_KEY else self.location.read(key)


def _is_proven(store: Store) -> bool:
    """Whether what a root says of profile and arrays bears out its uuid: in version 1 it has no digest."""
    current = read_root(store.location, check=False).ours.get("table_digest", "")
    own = uuid_of(current, profile=store.profile, arrays=store.arrays, version=store.format_version)
    return schema.has_checksums(store.format_version) or own == store.uuid


def _reason(location: Location, error: BigEarthError) -> str:
    """Say what is wrong with a root; raise what says that it is another format's."""
    if location.find(ROOT_KEY) is None:
        return "is missing"
    document = parse(location, ROOT_KEY)
    ours = ((document or {}).get("attributes") or {}).get("bigearth")
    if not isinstance(ours, dict) or ours.get("format") != schema.FORMAT or "format_version" not in ours:
        return "is damaged or was edited: it does not tell any more what the store is"
    if ours["format_version"] not in schema.FORMAT_VERSIONS:
        # A digest tells a damaged number from that of a version to come.
        as_ours = {**ours, "format_version": schema.FORMAT_VERSION}
        attributes = {**document["attributes"], "bigearth": as_ours}  # type: ignore[index]
        if metadata_digest({**document, "attributes": attributes}) != ours.get(schema.DIGEST):  # type: ignore[dict-item]
            raise error
    return "is damaged or was edited: its metadata are not those that were written"


def _recovered(location: Location, reason: str) -> Location:
    """The location, with the root that it should have."""
    where, beside = location / ROOT_KEY, location.parent / table_key(location)
    try:
        rows = read_table(location)
    except StoreAccessError:
        raise
    except Exception as error:  # damaged bytes raise whatever their codec raises
        raise FormatError(
            f"{where}: {reason}, and so is {beside}, which could tell ({error}); put one of them back"
        ) from None
    try:
        scratch = TemporaryFolder()
        current = parse(location, ROOT_KEY) or {}
        documents = _documents(location, current)
        _check_rows(location, documents, rows)
        arrays, profile, version = tuple(_arrays(location, documents)), _profile(documents), _version(documents)
        lay_out(scratch.path / "fresh.zarr", rows, profile, arrays, _sensors(current, arrays), version=version)
        document = expected_root(
            location, LocalLocation(scratch.path / "fresh.zarr"), current=None, extra=_extra(current)
        )
        return cast("Location", _WithRoot(location, write_root(document)))
    except StoreAccessError:
        raise
    except Exception as error:  # likewise
        raise FormatError(
            f"{where}: {reason}, and the arrays and {beside} do not tell what it said ({error}); put it back, or "
            "ingest the archive into another place"
        ) from None


def _documents(location: Location, current: Mapping[str, Any]) -> Documents:
    """Metadata of the format's arrays: their own, or where these are lost the root's."""
    consolidated = current.get("consolidated_metadata")
    members = consolidated.get("metadata") if isinstance(consolidated, dict) else None
    found: dict[str, Any] = {}
    for name in location.children():
        if schema.is_own(name) and name != schema.EMBEDDINGS:
            spare = members.get(name) if isinstance(members, dict) else None
            document = parse(location, f"{name}/zarr.json") or spare
            if document is not None:
                found[name] = document
    return found


def _check_rows(location: Location, documents: Documents, rows: pa.Table) -> None:
    """Refuse a table of other patches."""
    key = chunk_key("patch", 1)
    try:
        patches = decode_chunk(location.read(key), documents["patch"], where=str(location / key), has_checksum=False)
    except (FileNotFoundError, BigEarthError):
        return  # reported with the column
    if patches.tolist() != rows["patch"].to_pylist():
        raise FormatError("the table is of other patches")


def _arrays(location: Location, documents: Documents) -> Iterator[PixelArray]:
    """The pixel arrays, with those bands that each says that it has."""
    bands: list[str] = []
    for group in GROUPS:
        if group.array not in documents:
            continue
        names = [band.name for band in group.bands]
        if documents[group.array]["shape"][1] != len(names):
            key = chunk_key(group.dim, 1)
            chunk, member = location.read(key), documents[group.dim]
            names = decode_chunk(chunk, member, where=str(location / key), has_checksum=False).tolist()
        bands += names
    yield from schema.pixel_arrays(bands, reference_map=REFERENCE_MAP in documents)


def _profile(documents: Documents) -> ProfileName:
    """The profile by whose codec the first array of pixels is compressed, or the one without."""
    group = next(group for group in GROUPS if group.array in documents)
    found = {codec["name"] for codec in documents[group.array]["codecs"][0]["configuration"]["codecs"]}
    (array,) = schema.pixel_arrays([band.name for band in group.bands], reference_map=False)
    packing = {
        name: one.compression.zarr_codec(array).to_dict()["name"] for name, one in PROFILES.items() if one.compression
    }
    plain = next(name for name, one in PROFILES.items() if not one.is_packed)
    return next((name for name, codec in packing.items() if codec in found), plain)


def _version(documents: Documents) -> int:
    """Small arrays have checksums from version 2 on."""
    counts = [any(codec["name"] == "crc32c" for codec in documents[name]["codecs"]) for name in ("patch", "state")]
    return 2 if any(counts) else 1


def _sensors(current: Mapping[str, Any], arrays: tuple[PixelArray, ...]) -> list[str]:
    """The sensors as the root names them, as far as it does; else those of the arrays."""
    try:
        sensors = current["attributes"]["bigearth"]["sensors"]
        if sensors and set(sensors) <= {"s1", "s2"}:
            return list(sensors)
    except (KeyError, TypeError):
        pass
    return sorted({array.name[:2] for array in arrays if array.bands})


def _extra(current: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes that others have added to a root which still has all of its own."""
    attributes = current.get("attributes")
    if not isinstance(attributes, dict) or not set(schema.OWN_ATTRIBUTES) <= attributes.keys():
        return {}
    return {name: value for name, value in attributes.items() if name not in schema.OWN_ATTRIBUTES}
