"""How a store is really encoded, should its root have been edited: its identity proves it, its arrays' codecs tell."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from bigearth_xr.errors import FormatError
from bigearth_xr.store.layout import uuid_of
from bigearth_xr.store.read import Store
from bigearth_xr.store.schema import PROFILES, PixelArray

__all__ = ["identify"]


def identify(store: Store) -> Store:
    """Give a store the profile that its identity proves, whatever its root says; what differs there is found later.

    Raises
    ------
    FormatError
        If its identity proves none, and its arrays contradict its root: read so, every patch would pass for damaged.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.read import open_store
    >>> store = open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=2))
    >>> identify(replace(store, profile="compact")) == store
    True
    """
    told = json.loads(store.place.read("zarr.json"))["attributes"]["bigearth"]
    digest, version = told.get("table_digest", ""), store.format_version
    for profile in (store.profile, *PROFILES):
        if uuid_of(digest, profile=profile, arrays=store.arrays, version=version) == store.uuid:
            return replace(store, profile=profile)
    for array, document in _documents(store):
        is_compact = any(codec["name"] == "blosc" for codec in document["codecs"][0]["configuration"]["codecs"])
        if is_compact != (store.profile == "compact") or tuple(document["shape"][1:]) != array.patch_shape:
            raise FormatError(
                f"{store.place / 'zarr.json'}: was edited: its profile {store.profile!r} and its bands are neither "
                f"those of its uuid nor those of {array.name}/zarr.json; put it back, or ingest the archive into "
                "another place"
            )
    return store


def _documents(store: Store) -> Iterator[tuple[PixelArray, dict[str, Any]]]:
    """Metadata of the pixel arrays, as far as they can be read."""
    for array in store.arrays:
        try:
            yield array, json.loads(store.place.read(f"{array.name}/zarr.json"))
        except (FileNotFoundError, ValueError):
            continue  # told with its array
