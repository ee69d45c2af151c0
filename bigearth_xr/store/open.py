"""Open a store: its root document, which repeats the metadata of all arrays under a digest, and what it says.

Opening reads this one JSON file. Whether a location still holds the store that was opened there is read off it too.
"""

import hashlib
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from bigearth_xr.errors import ChecksumError, FormatError, StoreChangedError, StoreNotFoundError
from bigearth_xr.labels import Release
from bigearth_xr.store import schema
from bigearth_xr.store.codec import PROFILES, REMEDY, Profile, ProfileName
from bigearth_xr.store.diagnosis import describe_other, describe_rewritten, describe_root, is_rewritten
from bigearth_xr.store.location import Address, Found, Location, StorageOptions, location_of
from bigearth_xr.store.schema import PixelArray

__all__ = [
    "NO_JSON",
    "ROOT_KEY",
    "Root",
    "Store",
    "cached_root",
    "check_current",
    "clear_root_cache",
    "metadata_digest",
    "open_store",
    "read_root",
    "reading",
    "store_of",
]

ROOT_KEY = "zarr.json"

Document = Mapping[str, Any]
"""A JSON object."""

NO_JSON = (json.JSONDecodeError, UnicodeDecodeError)
"""What reading JSON raises of damaged bytes; object storage that does not answer raises another ValueError."""

_MEANING = (
    *("zarr_format", "node_type", "shape", "data_type", "chunk_grid", "chunk_key_encoding", "fill_value", "codecs"),
    *("attributes", "dimension_names"),
)
"""What the digest covers of a member; what else there is depends on the version of zarr-python that wrote it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Root:
    """What the root of a store says."""

    attributes: Document
    """Attributes of the root."""

    members: Mapping[str, Document]
    """Metadata of every array and group, by name below the root."""

    @property
    def ours(self) -> Document:
        """The attribute that tells what the store is."""
        ours: Document = self.attributes["bigearth"]
        return ours

    @property
    def format_version(self) -> int:
        """Version of the format."""
        version: int = self.ours["format_version"]
        return version


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """An opened store: what its metadata says. Cheap to pickle; holds no file open."""

    location: Location
    """The folder, or the prefix of object storage, that it is."""

    format_version: int
    """Version of the format that it was written in."""

    uuid: str
    """Identity of the content: format version, profile, arrays and table."""

    release: Release
    """Release of the archive that it was ingested from."""

    profile: ProfileName
    """Name of how pixels are encoded; `codec` is how."""

    rows: int
    """Patches along the first dimension, stored or not."""

    arrays: tuple[PixelArray, ...]
    """The pixel arrays that exist."""

    columns: frozenset[str]
    """Names of every other array."""

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of all bands and polarizations in the store, in stored order."""
        return tuple(band for array in self.arrays for band in array.bands)

    @property
    def codec(self) -> Profile:
        """What encodes and decodes patches."""
        try:
            return PROFILES[self.profile]
        except KeyError as error:
            raise _damaged_root(str(self.location / ROOT_KEY), error) from None

    def array(self, name: str) -> PixelArray:
        """The pixel array of this name, which must exist."""
        return next(array for array in self.arrays if array.name == name)


def open_store(address: Address, storage_options: StorageOptions | None = None) -> Store:
    """Read a store's metadata; `location_of` says what an address and its options may be.

    Raises
    ------
    StoreNotFoundError
        If there is no store.
    StoreAccessError
        If object storage refuses or does not answer.
    FormatError
        If it is a Zarr store of another kind, or of a version that this package does not read.
    ChecksumError
        If its metadata are not those that were written.
    """
    location = location_of(address, storage_options)
    return store_of(location, read_root(location))


def store_of(location: Location, root: Root) -> Store:
    """Tell what store it is whose root has been read.

    Raises
    ------
    FormatError
        If the root contradicts the format: it was damaged.
    """
    try:
        ours, members = root.ours, root.members
        arrays = schema.pixel_arrays(ours["bands"], reference_map=schema.REFERENCE_MAP in members)
        return Store(
            location=location,
            format_version=root.format_version,
            uuid=ours["uuid"],
            release=ours["release"],
            profile=ours["profile"],
            rows=members["patch"]["shape"][0],
            arrays=arrays,
            columns=frozenset(members) - {array.name for array in arrays},
        )
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise _damaged_root(str(location / ROOT_KEY), error) from None


def read_root(location: Location, *, check: bool = True) -> Root:
    """Read the root of a store.

    Parameters
    ----------
    location
        Where the store lies.
    check
        Whether its digest is verified. Without, it may say anything: for callers that repair it.

    Raises
    ------
    StoreNotFoundError
        If there is no store.
    StoreAccessError
        If object storage refuses or does not answer.
    FormatError
        If it is a Zarr store of another kind, or of a version that this package does not read; if it is not JSON.
    ChecksumError
        If it is not what was written.
    """
    where = str(location / ROOT_KEY)
    document = _parsed(location, where)
    version, written = _version_and_digest(document, location)
    try:
        if document.get("consolidated_metadata") is None:
            document = {**document, "consolidated_metadata": {"metadata": dict(_gathered(location))}}
        members = document["consolidated_metadata"]["metadata"]
        digest = metadata_digest(document) if check else None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _damaged_root(where, error) from None
    if is_rewritten(members):
        raise FormatError(f"{where}: {describe_rewritten(location)}")
    # Version 1 has no digest: a document with one is of version 2, whatever else it says.
    if check and (written is not None or schema.has_checksums(version)) and digest != written:
        raise ChecksumError(
            f"{where}: its metadata have the digest {digest}, {written or 'none'} was written; the file was damaged "
            f"or edited: {REMEDY}"
        )
    return Root(attributes=document["attributes"], members=members)


def cached_root(location: Location) -> Root:
    """Read the root of a store unless it is known and has not changed since; as `read_root` does."""
    found = location.find(ROOT_KEY)
    return read_root(location) if found is None else _known(location, found)


@lru_cache(maxsize=32)
def _known(location: Location, found: Found) -> Root:
    return read_root(location)


def clear_root_cache() -> None:
    """Have every root read again: one that was just written may have the time and size of the last."""
    _known.cache_clear()


def _gathered(location: Location, below: str = "") -> Iterator[tuple[str, Document]]:
    """Metadata of every array and group, each from its own file: what is not consolidated is read so."""
    for name in (f"{below}{child}" for child in location.children(below)):
        try:
            member: Document = json.loads(location.read(f"{name}/zarr.json"))
        except (FileNotFoundError, NotADirectoryError):
            continue
        yield name, member
        if member["node_type"] == "group":
            yield from _gathered(location, f"{name}/")


def _parsed(location: Location, where: str) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(location.read(ROOT_KEY))
    except (FileNotFoundError, NotADirectoryError):
        # In a bucket the root is what comes last: an ingest that was killed before goes on.
        if location.local and location.find("patch/zarr.json"):
            raise FormatError(
                f"{where}: is missing, though the arrays of a store are there; put it back, or {REMEDY}"
            ) from None
        other = describe_other(location)
        if other is not None:
            raise FormatError(f"{location}: {other}") from None
        raise StoreNotFoundError(
            f"{location}: no store here; check the path, or make one with: bigearth ingest ARCHIVE {location}"
        ) from None
    except NO_JSON as error:
        raise FormatError(
            f"{where}: no JSON ({error}); the file was cut or damaged: {REMEDY}, or ingest again"
        ) from None
    return document


def _version_and_digest(document: Any, location: Location) -> tuple[int, str | None]:
    """Format version that a root states, and the digest, if it has one; FormatError if it is not one read here."""
    where = str(location / ROOT_KEY)
    try:
        ours = document["attributes"]["bigearth"]
        found, version, written = (ours.get(name) for name in ("format", "format_version", schema.DIGEST))
    except (AttributeError, KeyError, TypeError):
        found = None
    if found != schema.FORMAT:
        raise FormatError(
            f"{where}: describes a Zarr store, but not one of bigearth_xr: {describe_root(document, location)}"
        )
    if version not in schema.FORMAT_VERSIONS:
        raise FormatError(
            f"{where}: format version {version!r}, this package reads {', '.join(map(str, schema.FORMAT_VERSIONS))}; "
            "update bigearth-xr, or, if the file was damaged, put it back or ingest the archive again"
        )
    return version, written


def _damaged_root(where: str, error: Exception) -> FormatError:
    """Say that a root lacks what every store has."""
    return FormatError(
        f"{where}: is damaged ({type(error).__name__}: {error}), so the store cannot be opened; put it back, or ingest "
        "the archive into another place"
    )


def metadata_digest(document: Document) -> str:
    """Hash what the document of a root says of the store, less the digest itself and what others have added.

    Returns
    -------
    str
        SHA-256, hexadecimal, of JSON with sorted keys and no blanks.
    """
    members = (document.get("consolidated_metadata") or {}).get("metadata", {})
    attributes = {name: value for name, value in document["attributes"].items() if name in schema.OWN_ATTRIBUTES}
    ours = {name: value for name, value in attributes["bigearth"].items() if name != schema.DIGEST}
    meaning = {
        "root": [document.get("zarr_format"), document.get("node_type"), attributes | {"bigearth": ours}],
        "members": {
            name: {key: member[key] for key in _MEANING if key in member}
            for name, member in members.items()
            if schema.is_own(name)
        },
    }
    return hashlib.sha256(json.dumps(meaning, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def encode_root(document: dict[str, Any]) -> bytes:
    """Write the document of a root, with its digest if its format version has one."""
    ours = document["attributes"]["bigearth"]
    if schema.has_checksums(ours["format_version"]):
        ours = {name: value for name, value in ours.items() if name != schema.DIGEST}
        ours = {**ours, schema.DIGEST: metadata_digest(document)}
        document = {**document, "attributes": {**document["attributes"], "bigearth": ours}}
    return json.dumps(document, indent=2).encode()


@contextmanager
def reading(store: Store) -> Iterator[None]:
    """Refuse what was read meanwhile if the location holds another store by now, or none.

    Checked after the reading, so that nothing can be exchanged between the two; and first of all when that failed, as
    a store that is gone looks like one that is damaged.
    """
    try:
        yield
    except Exception:
        check_current(store)
        raise
    check_current(store)


def check_current(store: Store) -> None:
    """Refuse a location that holds another store than the one that was opened there, or none.

    One look at the root document, 2 µs in a folder and a request on object storage; it is read only in a version that
    this process has not read yet.

    Raises
    ------
    StoreChangedError
        Names both identities.
    StoreNotFoundError
        Names the host: other machines may have a store of the same path.
    ChecksumError, FormatError
        If the root document is not what was written.
    """
    try:
        uuid = cached_root(store.location).ours.get("uuid")
    except StoreNotFoundError:
        raise StoreNotFoundError(
            f"no store at {store.location} on {socket.gethostname()} any more; it was opened there as {store.uuid}: "
            "put it back, or open it where it is now"
        ) from None
    if uuid != store.uuid:
        raise StoreChangedError(
            f"{store.location} on {socket.gethostname()} holds another store by now: uuid {uuid}, and the one that was "
            f"opened is {store.uuid}; its rows are other patches, or say other things of them: open the store again"
        )
