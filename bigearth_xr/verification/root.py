"""The root of a store as it should be: what follows from the table, and what has been added to the store since."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bigearth_xr.store import schema
from bigearth_xr.store.layout import consolidate
from bigearth_xr.store.location import LocalLocation, Location, put
from bigearth_xr.store.open import NO_JSON, ROOT_KEY, Root, metadata_digest

__all__ = ["expected_root", "parse", "plain", "root_difference", "write_root"]

_NEUTRAL: dict[str, Any] = {"storage_transformers": [], "consolidated_metadata": None, "must_understand": False}
"""What versions of zarr-python write or leave out, and what it says if it says nothing."""

_NOTHING = {"kind": "inline", "must_understand": False, "metadata": {}}


def expected_root(
    place: Location, fresh: Location, *, told: Root | None, extra: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Tell what a root should say.

    Parameters
    ----------
    place
        The store.
    fresh
        The same store without pixels and embeddings, as its table says that it is.
    told
        What its root says, which counts more than other files where its digest bears it out; None if it is damaged.
    extra
        Attributes that were added to the root.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> place = LocalLocation(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=2))
    >>> expected_root(place, place, told=None) == json.loads(place.read("zarr.json"))
    True
    """
    document: dict[str, Any] = json.loads(fresh.read(ROOT_KEY))
    members: dict[str, Any] = dict(document["consolidated_metadata"]["metadata"])
    known = {key for member in members.values() for key in member}
    is_sealed = told is not None and schema.has_checksums(told.format_version)
    sealed = (
        {name: member for name, member in told.members.items() if schema.is_own(name)} if told and is_sealed else {}
    )
    for name in sorted({*sealed, *_added(place, "")}):
        own = parse(place, f"{name}/zarr.json")
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
    """Write a root, as it is written when a store is made.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> path = bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=2) / "zarr.json"
    >>> write_root(json.loads(path.read_bytes())) == path.read_bytes()
    True
    """
    bare = {name: value for name, value in document.items() if name != "consolidated_metadata"}
    with TemporaryDirectory() as folder:
        place = LocalLocation(Path(folder))
        put(place, ROOT_KEY, json.dumps(bare).encode())
        for name, member in document["consolidated_metadata"]["metadata"].items():
            own = {key: value for key, value in member.items() if key != "consolidated_metadata"}
            put(place, f"{name}/zarr.json", json.dumps(own).encode())
        consolidate(place)
        return place.read(ROOT_KEY)


def root_difference(document: Mapping[str, Any], expected: Mapping[str, Any]) -> str | None:
    """Say how a root differs from what it should say.

    Parameters
    ----------
    document
        The root.
    expected
        As `expected_root` gives it.

    Examples
    --------
    >>> expected = {"attributes": {}, "consolidated_metadata": {"metadata": {"split": {"shape": [3]}}}}
    >>> found = {"attributes": {}, "consolidated_metadata": {"metadata": {"split": {"shape": [4]}}}}
    >>> root_difference(found, expected), root_difference(expected, expected)
    ('disagrees with split/zarr.json', None)
    """
    if document.get("consolidated_metadata") is None:
        return "its metadata are not consolidated"
    told, due = (dict((one.get("consolidated_metadata") or {}).get("metadata", {})) for one in (document, expected))
    for name in sorted(told | due):
        if name not in told or name not in due or plain(told[name]) != plain(due[name]):
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


def parse(place: Location, key: str) -> dict[str, Any] | None:
    """Read a JSON object; None without one.

    Examples
    --------
    >>> parse(LocalLocation(getfixture("tmp_path")), "zarr.json") is None
    True
    """
    try:
        document = json.loads(place.read(key))
    except (FileNotFoundError, NotADirectoryError, *NO_JSON):
        return None
    return document if isinstance(document, dict) else None


def _added(place: Location, below: str) -> Iterator[str]:
    """Every group and array below, without going through the shards."""
    for name in (f"{below}{child}" for child in place.children(below)):
        children = place.children(name)
        if "zarr.json" in children:
            yield name
            if "c" not in children:
                yield from _added(place, f"{name}/")
