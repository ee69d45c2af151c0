"""The root's metadata: one document that repeats those of all arrays, and a digest that tells whether it changed."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from bigearth_xr.errors import ChecksumError, FormatError, StoreNotFoundError
from bigearth_xr.store import schema
from bigearth_xr.store.chunk import REMEDY
from bigearth_xr.store.foreign import describe_foreign, describe_rewritten, describe_root, is_rewritten
from bigearth_xr.store.place import Found, Place

__all__ = [
    "NO_JSON",
    "ROOT_KEY",
    "Document",
    "Root",
    "damaged_root",
    "encode_root",
    "forget_roots",
    "known_root",
    "metadata_digest",
    "read_root",
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
"""What is told of a member; what else there is depends on the version of zarr-python that wrote it."""


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


def metadata_digest(document: Document) -> str:
    """Hash what the document of a root says of the store, less the digest itself and what others have added.

    Returns
    -------
    str
        SHA-256, hexadecimal, of JSON with sorted keys and no blanks.

    Examples
    --------
    >>> document = {"attributes": {"bigearth": {}}, "consolidated_metadata": {"metadata": {"mine": {"shape": [1]}}}}
    >>> metadata_digest(document) == metadata_digest({"attributes": {"bigearth": {}}})
    True
    """
    members = (document.get("consolidated_metadata") or {}).get("metadata", {})
    attributes = {name: value for name, value in document["attributes"].items() if name in schema.OWN_ATTRIBUTES}
    ours = {name: value for name, value in attributes["bigearth"].items() if name != schema.DIGEST}
    told = {
        "root": [document.get("zarr_format"), document.get("node_type"), attributes | {"bigearth": ours}],
        "members": {
            name: {key: member[key] for key in _MEANING if key in member}
            for name, member in members.items()
            if schema.is_own(name)
        },
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def encode_root(document: dict[str, Any]) -> bytes:
    """Write the document of a root, with its digest if its format version has one.

    Examples
    --------
    >>> document = {"attributes": {"bigearth": {"format_version": 2}}}
    >>> schema.DIGEST in json.loads(encode_root(document))["attributes"]["bigearth"]
    True
    """
    ours = document["attributes"]["bigearth"]
    if schema.has_checksums(ours["format_version"]):
        ours = {name: value for name, value in ours.items() if name != schema.DIGEST}
        ours = {**ours, schema.DIGEST: metadata_digest(document)}
        document = {**document, "attributes": {**document["attributes"], "bigearth": ours}}
    return json.dumps(document, indent=2).encode()


def read_root(place: Place, *, check: bool = True) -> Root:
    """Read the root of a store.

    Parameters
    ----------
    place
        Where the store lies.
    check
        Whether its digest is verified. Without, it may say anything: for who repairs it.

    Raises
    ------
    StoreNotFoundError
        If there is no store.
    StoreAccessError
        If object storage refuses or does not answer.
    FormatError
        If it is a Zarr store of another kind, or of a version that this package does not read; if it is no JSON.
    ChecksumError
        If it is not what was written.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.address import place_of
    >>> path = bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=2)
    >>> read_root(place_of(path)).format_version
    2
    """
    where = str(place / ROOT_KEY)
    document = _parsed(place, where)
    try:
        ours = document["attributes"]["bigearth"]
        told, version, written = (ours.get(name) for name in ("format", "format_version", schema.DIGEST))
    except (AttributeError, KeyError, TypeError):
        told = None
    if told != schema.FORMAT:
        raise FormatError(
            f"{where}: describes a Zarr store, but not one of bigearth_xr: {describe_root(document, place)}"
        )
    if version not in schema.FORMAT_VERSIONS:
        raise FormatError(
            f"{where}: format version {version!r}, this package reads {', '.join(map(str, schema.FORMAT_VERSIONS))}; "
            "update bigearth-xr, or, if the file was damaged, put it back or ingest the archive again"
        )
    try:
        if document.get("consolidated_metadata") is None:
            document = {**document, "consolidated_metadata": {"metadata": dict(_gathered(place))}}
        members = document["consolidated_metadata"]["metadata"]
        digest = metadata_digest(document) if check else None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise damaged_root(where, error) from None
    if is_rewritten(members):
        raise FormatError(f"{where}: {describe_rewritten(place)}")
    # Version 1 has no digest: a document with one is of version 2, whatever else it says.
    if check and (written is not None or schema.has_checksums(version)) and digest != written:
        raise ChecksumError(
            f"{where}: its metadata have the digest {digest}, {written or 'none'} was written; the file was damaged "
            f"or edited: {REMEDY}"
        )
    return Root(attributes=document["attributes"], members=members)


def known_root(place: Place) -> Root:
    """Read the root of a store unless it is known and has not changed since; as `read_root` does.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.address import place_of
    >>> path = bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=2)
    >>> known_root(place_of(path)) is known_root(place_of(path))
    True
    """
    found = place.find(ROOT_KEY)
    return read_root(place) if found is None else _known(place, found)


@lru_cache(maxsize=32)
def _known(place: Place, found: Found) -> Root:
    return read_root(place)


def forget_roots() -> None:
    """Have every root read again: for who has just written one, whose time and size may be those of the last.

    Examples
    --------
    >>> forget_roots()
    """
    _known.cache_clear()


def _gathered(place: Place, below: str = "") -> Iterator[tuple[str, Document]]:
    """Metadata of every array and group, each from its own file: what is not consolidated is read so."""
    for name in (f"{below}{child}" for child in place.children(below)):
        try:
            member: Document = json.loads(place.read(f"{name}/zarr.json"))
        except (FileNotFoundError, NotADirectoryError):
            continue
        yield name, member
        if member["node_type"] == "group":
            yield from _gathered(place, f"{name}/")


def _parsed(place: Place, where: str) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(place.read(ROOT_KEY))
    except (FileNotFoundError, NotADirectoryError):
        # In a bucket the root is what comes last: an ingest that was killed before goes on.
        if place.local and place.find("patch/zarr.json"):
            raise FormatError(
                f"{where}: is missing, though the arrays of a store are there; put it back, or {REMEDY}"
            ) from None
        other = describe_foreign(place)
        if other is not None:
            raise FormatError(f"{place}: {other}") from None
        raise StoreNotFoundError(
            f"{place}: no store here; check the path, or make one with: bigearth ingest ARCHIVE {place}"
        ) from None
    except NO_JSON as error:
        raise FormatError(
            f"{where}: no JSON ({error}); the file was cut or damaged: {REMEDY}, or ingest again"
        ) from None
    return document


def damaged_root(where: str, error: Exception) -> FormatError:
    """Say that a root lacks what every store has.

    Examples
    --------
    >>> str(damaged_root("ben.zarr/zarr.json", KeyError("bands")))  # doctest: +ELLIPSIS
    "ben.zarr/zarr.json: is damaged (KeyError: 'bands'), so the store cannot be opened; put it back, or ..."
    """
    return FormatError(
        f"{where}: is damaged ({type(error).__name__}: {error}), so the store cannot be opened; put it back, or ingest "
        "the archive into another place"
    )
