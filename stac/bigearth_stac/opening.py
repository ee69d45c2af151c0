"""Open whatever a search found as a Dataset."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import PathLike
from os.path import expanduser
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

import xarray as xr

import bigearth_xr as bex
from bigearth_stac.properties import PREFIX, STORE_UUID
from bigearth_xr.errors import SelectionError, StoreError, StoreNotFoundError

if TYPE_CHECKING:
    import pystac

__all__ = ["open_search"]


class Search(Protocol):
    """A search of pystac-client, as far as we use it."""

    def items(self) -> "Iterator[pystac.Item]":
        """The items found, page by page."""
        ...


Items = "Search | Iterable[pystac.Item] | Iterable[Mapping[str, Any]] | Mapping[str, Any] | str | PathLike[str]"
"""What any search gives: itself, an item collection, a list of items, these as JSON, or a file of that."""


def open_search(items: Items, store: str | PathLike[str] | None = None) -> xr.Dataset:  # type: ignore[valid-type]
    """Open the patches that a search found.

    Parameters
    ----------
    items
        A `pystac.ItemCollection`, a pystac-client search, items, any of them as JSON, or the path of a JSON file, as
        ``bigearth-stac search --out`` writes it.
    store
        The store's folder; by default the one that the items' assets point to, which must still be the one that was
        catalogued. A store that is named may be any that has these patches: they are found by their ids.

    Returns
    -------
    xarray.Dataset
        As `bigearth_xr.open` gives it, with exactly these patches, in the items' order; lazy.

    Raises
    ------
    SelectionError
        If there is no item, something else than an item, or one that is not in the store.
    StoreError
        If the items point to no store, to several, to one that is not on this machine or not there any more, or to a
        place where another store lies now.

    Examples
    --------
    >>> from bigearth_stac import build_catalog, find_items
    >>> store = bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=5)
    >>> catalog = build_catalog(store, getfixture("tmp_path") / "catalog").folder
    >>> items = find_items(catalog)
    >>> open_search([items[3], items[0]]).row.values
    array([3, 0])
    """
    found = list(_each(items))
    _check_items(found)
    if not found:
        raise SelectionError("the search found no item, so there is nothing to open; loosen its criteria")
    ids = [str(item["id"] if isinstance(item, Mapping) else item.id) for item in found]
    ds = _catalogued(found) if store is None else bex.open(store)
    places = ds.indexes["patch"].get_indexer(ids)
    missing = [name for name, place in zip(ids, places, strict=True) if place < 0]
    if missing:
        raise SelectionError(
            f"{len(missing):,} of {len(ids):,} items have no pixels in {_place(ds)}, first {missing[0]}; open the "
            f"store that they were catalogued from{_of_uuid(_uuids(found))}, or leave them out"
        )
    opened = ds.isel(patch=places)
    if store is None:
        _check_rows(found, opened)
    return opened


def _catalogued(items: Sequence[Any]) -> xr.Dataset:
    """The store that the items point to, or an error where it is gone, or another one has taken its place."""
    folder, uuids = _store_of(items), _uuids(items)
    try:
        ds = bex.open(folder)
    except StoreNotFoundError:
        raise StoreNotFoundError(
            f"{folder}: the store{_of_uuid(uuids)} that the items point to is not there any more; name its new place, "
            "open_search(items, store=…), or build the catalogue again"
        ) from None
    if uuids - {_uuid(ds)}:
        raise StoreError(
            f"the items are of a catalogue of the store{_of_uuid(uuids)}, but at {folder} lies the store {_uuid(ds)}: "
            "it was ingested again or replaced; build the catalogue again, or name a store to find these patches in by "
            "their ids, open_search(items, store=…)"
        )
    return ds


def _check_rows(items: Sequence[Any], ds: xr.Dataset) -> None:
    """Refuse items whose row is another patch in the store: whoever reads their assets gets its pixels."""
    rows = [_properties(item).get(f"{PREFIX}row") for item in items]
    for item, known, row in zip(items, rows, ds["row"].values.tolist(), strict=True):
        if known not in (None, row):
            raise StoreError(
                f"the item {item['id'] if isinstance(item, Mapping) else item.id} is of row {known}, but in the store "
                f"{_uuid(ds)} at {_place(ds)} this patch is row {row}: the catalogue is of another store; build it "
                "again, or name a store to find these patches in by their ids, open_search(items, store=…)"
            )


def _properties(item: Any) -> Mapping[str, Any]:
    found: Mapping[str, Any] = item.get("properties", {}) if isinstance(item, Mapping) else item.properties
    return found


def _uuids(items: Iterable[Any]) -> set[str]:
    """Identities of the stores that items say to be of; a catalogue of a table alone knows none."""
    return {str(uuid) for item in items if (uuid := _properties(item).get(STORE_UUID)) is not None}


def _of_uuid(uuids: Iterable[str]) -> str:
    return "".join(f" {uuid}" for uuid in sorted(uuids)[:3])


def _uuid(ds: xr.Dataset) -> str:
    return str(json.loads(ds.attrs["bigearth"])["uuid"])


def _place(ds: xr.Dataset) -> str:
    return str(json.loads(ds.attrs["bigearth"])["store"])


def _each(items: Any) -> Iterator[Any]:
    """Go through the items, whatever holds them."""
    if isinstance(items, str | PathLike):
        items = _read_json(Path(expanduser(items)))
    if isinstance(items, Mapping):
        yield from items.get("features", [items])
    elif callable(getattr(items, "items", None)):
        yield from items.items()
    elif isinstance(items, Iterable):
        yield from items
    else:
        yield items


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        raise SelectionError(
            f"{path}: no JSON file of items; expected one that `bigearth-stac search --out` wrote, or items; to open a "
            "patch by its id, use bex.open(store).sel(patch=[id])"
        ) from None


def _check_items(found: Iterable[Any]) -> None:
    """Refuse what only names items, or is another thing of STAC."""
    import pystac

    for item in found:
        is_item = item.get("type") == "Feature" if isinstance(item, Mapping) else isinstance(item, pystac.Item)
        if not is_item:
            raise SelectionError(
                f"{item!r:.80} is not a STAC item; expected items as a search gives them; to open patches by their "
                "ids, use bex.open(store).sel(patch=ids)"
            )


def _store_of(items: Iterable[Any]) -> Path:
    """The one store that assets of these items point to."""
    hrefs = dict.fromkeys(href.rpartition("/")[0] for item in items for href in _array_hrefs(item))
    if not hrefs:
        raise StoreError(
            "the items point to no store: their catalogue was built without one; name it, open_search(items, store=…)"
        )
    if len(hrefs) > 1:
        raise StoreError(f"the items are of {len(hrefs)} stores, {' and '.join(hrefs)}; open those of each alone")
    href = next(iter(hrefs))
    if "://" in href and not href.startswith("file://"):
        raise StoreError(f"{href} is not on this machine; name a copy that is, open_search(items, store=…)")
    return Path(unquote(urlsplit(href).path)) if "://" in href else Path(href)


def _array_hrefs(item: Any) -> Iterator[str]:
    """Addresses of the arrays that an item selects a row of."""
    if isinstance(item, Mapping):
        yield from (asset["href"] for asset in item["assets"].values() if f"{PREFIX}selection" in asset)
        return
    for asset in item.assets.values():
        if f"{PREFIX}selection" in asset.extra_fields:
            yield asset.get_absolute_href() or asset.href
