"""Open a store whatever became of its root: arrays, table and the damaged root together tell what it said."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import pyarrow as pa

from bigearth_xr.bands import GROUPS
from bigearth_xr.errors import BigEarthError, FormatError, StoreAccessError, StoreNotFoundError
from bigearth_xr.store import schema
from bigearth_xr.store.codec import ProfileName, chunk_key, decode_chunk
from bigearth_xr.store.create import read_table, table_key
from bigearth_xr.store.diagnosis import holds_arrays
from bigearth_xr.store.layout import lay_out, uuid_of
from bigearth_xr.store.location import Found, LocalLocation, Location
from bigearth_xr.store.open import ROOT_KEY, Store, metadata_digest, read_root, store_of
from bigearth_xr.store.schema import REFERENCE_MAP, PixelArray
from bigearth_xr.verification.root import expected_root, parse, write_root
from bigearth_xr.verification.scratch import Scratch

__all__ = ["open_whatever"]

Documents = Mapping[str, Mapping[str, Any]]


def open_whatever(place: Location) -> tuple[Store, str | None]:
    """Open a store; if its root is lost or damaged, with the one that it should have.

    Parameters
    ----------
    place
        Where the store lies; nothing is written.

    Returns
    -------
    tuple
        The store, and what is wrong with its root; None if nothing is. What reads the store reads the recovered root.

    Raises
    ------
    StoreNotFoundError, FormatError
        If there is no store of ours, or nothing tells any more what its root said.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> path = bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=2)
    >>> (path / "zarr.json").unlink()
    >>> store, reason = open_whatever(LocalLocation(path))
    >>> store.release, store.rows, reason
    ('v2', 2, 'is missing')
    """
    try:
        store = store_of(place, read_root(place))
        reason = None if _is_proven(store) else "contradicts its uuid"
    except StoreAccessError:
        raise
    except StoreNotFoundError as error:
        reason, cause = "is missing", error
    except BigEarthError as error:
        reason, cause = _reason(place, error), error  # type: ignore[assignment]
    else:
        if reason is None:
            return store, None
        cause = FormatError(f"{place / ROOT_KEY}: {reason}")  # type: ignore[assignment]
    if not holds_arrays(place):
        raise cause
    root = _recovered(place, reason)
    return store_of(root, read_root(root)), reason


@dataclass(frozen=True)
class _WithRoot:
    """A place whose root says something else than what lies there; all else is the place's own."""

    place: Location
    root: bytes

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.place, name)

    def __str__(self) -> str:
        return str(self.place)

    def __truediv__(self, key: str) -> Location:
        return self.place / key

    def find(self, key: str) -> Found | None:
        """Look whether a key is there."""
        return Found(size=len(self.root), version=self.root) if key == ROOT_KEY else self.place.find(key)

    def read(self, key: str) -> bytes:
        """Read everything under a key."""
        return self.root if key == ROOT_KEY else self.place.read(key)


def _is_proven(store: Store) -> bool:
    """Whether what a root says of profile and arrays bears out its uuid: in version 1 it has no digest."""
    told = read_root(store.location, check=False).ours.get("table_digest", "")
    own = uuid_of(told, profile=store.profile, arrays=store.arrays, version=store.format_version)
    return schema.has_checksums(store.format_version) or own == store.uuid


def _reason(place: Location, error: BigEarthError) -> str:
    """Say what is wrong with a root; raise what says that it is another format's."""
    if place.find(ROOT_KEY) is None:
        return "is missing"
    document = parse(place, ROOT_KEY)
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


def _recovered(place: Location, reason: str) -> Location:
    """The place, with the root that it should have."""
    where, beside = place / ROOT_KEY, place.parent / table_key(place)
    try:
        rows = read_table(place)
    except StoreAccessError:
        raise
    except Exception as error:  # damaged bytes raise whatever their codec raises
        raise FormatError(
            f"{where}: {reason}, and so is {beside}, which could tell ({error}); put one of them back"
        ) from None
    try:
        scratch = Scratch()
        told = parse(place, ROOT_KEY) or {}
        documents = _documents(place, told)
        _check_rows(place, documents, rows)
        arrays, profile, version = tuple(_arrays(place, documents)), _profile(documents), _version(documents)
        lay_out(scratch.path / "fresh.zarr", rows, profile, arrays, _sensors(told, arrays), version=version)
        document = expected_root(place, LocalLocation(scratch.path / "fresh.zarr"), told=None, extra=_extra(told))
        return cast("Location", _WithRoot(place, write_root(document)))
    except StoreAccessError:
        raise
    except Exception as error:  # likewise
        raise FormatError(
            f"{where}: {reason}, and the arrays and {beside} do not tell what it said ({error}); put it back, or "
            "ingest the archive into another place"
        ) from None


def _documents(place: Location, told: Mapping[str, Any]) -> Documents:
    """Metadata of the format's arrays: their own, or where these are lost the root's."""
    consolidated = told.get("consolidated_metadata")
    members = consolidated.get("metadata") if isinstance(consolidated, dict) else None
    found: dict[str, Any] = {}
    for name in place.children():
        if schema.is_own(name) and name != schema.EMBEDDINGS:
            spare = members.get(name) if isinstance(members, dict) else None
            document = parse(place, f"{name}/zarr.json") or spare
            if document is not None:
                found[name] = document
    return found


def _check_rows(place: Location, documents: Documents, rows: pa.Table) -> None:
    """Refuse a table of other patches."""
    key = chunk_key("patch", 1)
    try:
        patches = decode_chunk(place.read(key), documents["patch"], where=str(place / key), has_checksum=False)
    except (FileNotFoundError, BigEarthError):
        return  # told with the column
    if patches.tolist() != rows["patch"].to_pylist():
        raise FormatError("the table is of other patches")


def _arrays(place: Location, documents: Documents) -> Iterator[PixelArray]:
    """The pixel arrays, with those bands that each says that it has."""
    bands: list[str] = []
    for group in GROUPS:
        if group.array not in documents:
            continue
        names = [band.name for band in group.bands]
        if documents[group.array]["shape"][1] != len(names):
            key = chunk_key(group.dim, 1)
            chunk, member = place.read(key), documents[group.dim]
            names = decode_chunk(chunk, member, where=str(place / key), has_checksum=False).tolist()
        bands += names
    yield from schema.pixel_arrays(bands, reference_map=REFERENCE_MAP in documents)


def _profile(documents: Documents) -> ProfileName:
    codecs = next(documents[group.array] for group in GROUPS if group.array in documents)["codecs"]
    inner = codecs[0]["configuration"]["codecs"]
    return "compact" if any(codec["name"] == "blosc" for codec in inner) else "fast"


def _version(documents: Documents) -> int:
    """Small arrays have checksums from version 2 on."""
    counts = [any(codec["name"] == "crc32c" for codec in documents[name]["codecs"]) for name in ("patch", "state")]
    return 2 if any(counts) else 1


def _sensors(told: Mapping[str, Any], arrays: tuple[PixelArray, ...]) -> list[str]:
    """The sensors as the root names them, as far as it does; else those of the arrays."""
    try:
        sensors = told["attributes"]["bigearth"]["sensors"]
        if sensors and set(sensors) <= {"s1", "s2"}:
            return list(sensors)
    except (KeyError, TypeError):
        pass
    return sorted({array.name[:2] for array in arrays if array.bands})


def _extra(told: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes that others have added to a root which still has all of its own."""
    attributes = told.get("attributes")
    if not isinstance(attributes, dict) or not set(schema.OWN_ATTRIBUTES) <= attributes.keys():
        return {}
    return {name: value for name, value in attributes.items() if name not in schema.OWN_ATTRIBUTES}
