"""What lies at a location instead of a store: said, with how it is opened."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bigearth_xr.bands import GROUPS
from bigearth_xr.store import schema
from bigearth_xr.store.location import Location

__all__ = ["holds_arrays"]

_HEADS = {b"CDF\x01": "netCDF", b"CDF\x02": "netCDF", b"CDF\x05": "netCDF", b"\x89HDF": "netCDF", b"PK\x03\x04": "ZIP"}


def describe_other(location: Location) -> str | None:
    r"""Say what is there where a store has its root; None if it is nothing that is known."""
    if location.local is not None and location.local.is_file():
        return _describe_file(location.local)
    attributes = _parsed(location, ".zattrs")
    if attributes is None and location.find(".zgroup") is None:
        return None
    ours = (attributes or {}).get("bigearth")
    if isinstance(ours, dict) and ours.get("format") == schema.FORMAT:
        return f"is a copy of a store that other software wrote, as Zarr 2; {_remedy(location)}"
    other = f"not one of bigearth_xr; open it with xr.open_zarr({location.address!r})"
    return f"is a Zarr store of version 2, {_subset(ours, location) or other}"


def describe_root(document: Any, location: Location) -> str:
    """Say what a root describes that is not ours.

    Examples
    --------
    >>> from bigearth_xr.store.location import location_of
    >>> describe_root({"attributes": {"bigearth": '{"store": "/ben.zarr", "release": "v2"}'}}, location_of("part.zarr"))
    ... # doctest: +ELLIPSIS
    "a subset of a store (v2) that xarray saved, no store itself; open it with xr.open_zarr('...part.zarr'), ..."
    """
    try:
        ours = document["attributes"].get("bigearth")
    except (AttributeError, KeyError, TypeError):
        ours = None
    if holds_arrays(location):
        return (
            "its attributes were lost, as by to_zarr(mode='a'), though the arrays of a store are there; repair it "
            f"with: bigearth verify {location} --repair"
        )
    return _subset(ours, location) or (
        f"no attribute 'bigearth' of format {schema.FORMAT!r}; open it with engine='zarr', or, if it was one and "
        "damaged, put the file back"
    )


def holds_arrays(location: Location) -> bool:
    """Tell whether the arrays of a store lie at a location, whatever its root says; damaged ones count."""
    names = set(location.children())
    present = [group.array for group in GROUPS if group.array in names]
    if "patch" not in names or any(".zarray" in location.children(name) for name in present):
        return False
    documents = {name: document for name in present if (document := _parsed(location, f"{name}/zarr.json")) is not None}
    return bool(present) and not is_rewritten(documents)


def is_rewritten(members: Mapping[str, Any]) -> bool:
    """Tell whether all pixels lie in other chunks or codecs than the format has: copied value by value, not as files.

    Where those of one array do, its metadata are damaged.
    """
    try:
        pixels = [members[group.array] for group in GROUPS if group.array in members]
        return bool(pixels) and all(
            one["chunk_grid"]["configuration"]["chunk_shape"][0] != schema.SHARD_PATCHES
            or one["codecs"][0]["name"] != "sharding_indexed"
            for one in pixels
        )
    except (AttributeError, IndexError, KeyError, TypeError):
        return False


def describe_rewritten(location: Location) -> str:
    """Say that a store was rewritten."""
    return f"is a copy of a store that other software wrote, in other chunks or codecs; {_remedy(location)}"


def _remedy(location: Location) -> str:
    return (
        f"its values can be read with xr.open_zarr({location.address!r}); for all else copy the folder file by file, "
        "or ingest the archive again"
    )


def _parsed(location: Location, key: str) -> dict[str, Any] | None:
    """A JSON object; None without one."""
    try:
        document = json.loads(location.read(key))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError, UnicodeDecodeError):
        return None
    return document if isinstance(document, dict) else None


def _describe_file(file: Path) -> str:
    with file.open("rb") as stream:
        head = stream.read(512)
    kind = _HEADS.get(head[:4])
    if kind == "netCDF":
        return (
            f"is a netCDF file, no store; open it with xr.open_dataset({str(file)!r}), which keeps .ben and the loader"
        )
    if kind == "ZIP":
        return (
            f"is a ZIP file, and a store is a folder; unpack one with: python -m zipfile -e {file} {file.stem}, or "
            f"open a subset that xarray saved with xr.open_zarr(zarr.storage.ZipStore({str(file)!r}, mode='r'))"
        )
    if head[257:262] == b"ustar" or head[:2] == b"\x1f\x8b" or head[:4] == b"\x28\xb5\x2f\xfd":
        return (
            f"is a packed file, and a store is a folder; unpack it, or, if it is an archive: bigearth ingest {file} "
            "ben.zarr"
        )
    return "is a file, and a store is a folder; check the path"


def _subset(ours: Any, location: Location) -> str | None:
    """Say of which store a subset is, if the root of what xarray saved tells."""
    identity = _identity(ours)
    if identity is None:
        return None
    release = f" ({identity['release']})" if "release" in identity else ""
    return (
        f"a subset of a store{release} that xarray saved, no store itself; open it with "
        f"xr.open_zarr({location.address!r}), which keeps .ben and the loader"
    )


def _identity(ours: Any) -> dict[str, Any] | None:
    """What a Dataset says of its store, which is one text."""
    text = ours[0] if isinstance(ours, list) and len(ours) == 1 else ours
    try:
        identity = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return identity if isinstance(identity, dict) and "store" in identity else None
