"""Open whatever a search found as a Dataset."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from os.path import expanduser
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import xarray as xr
from numpy.typing import NDArray

import bigearth_xr as bex
from bigearth_stac.found import (
    ROW,
    SELECTION,
    FoundItems,
    absolute_href,
    array_assets,
    found_at,
    is_relative,
    items_file,
)
from bigearth_stac.items import COLLECTION_FILE
from bigearth_stac.properties import STORE_UUID
from bigearth_xr.errors import SelectionError, StoreError, StoreNotFoundError

if TYPE_CHECKING:
    import pystac

__all__ = ["open_search"]


class Search(Protocol):
    """A search of pystac-client, as far as we use it."""

    def items(self) -> "Iterator[pystac.Item]":
        """The items found, page by page."""
        ...


Items = (
    "FoundItems | Search | Iterable[pystac.Item] | Iterable[Mapping[str, Any]] | Mapping[str, Any] | pystac.Catalog | "
    "pd.DataFrame | pa.Table | str | PathLike[str]"
)
"""What any search gives: itself, an item collection, a list of items, these as JSON, a table, or a file of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """What of items is needed to open them."""

    ids: pa.Array
    """Id of each."""

    rows: NDArray[np.int64]
    """Row of each in the store, -1 where it does not say."""

    uuids: frozenset[str]
    """Identities of the stores that items say to be of; a catalogue of a table alone knows none."""

    hrefs: tuple[str, ...]
    """Addresses of the stores whose arrays are their assets."""


def open_search(items: Items, store: str | PathLike[str] | None = None) -> xr.Dataset:  # type: ignore[valid-type]
    """Open the patches that a search found.

    Parameters
    ----------
    items
        What `find_items` found, a `pystac.ItemCollection`, a pystac-client search, items, or any of them as JSON; a
        GeoDataFrame or an Arrow table with a column ``id``, as stac-geoparquet has it. Or the path of a JSON file, as
        ``bigearth-stac search --out`` writes it, of an ``items.parquet`` or of a catalogue's folder, or a
        `pystac.Collection`: all items of it.
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
    >>> open_search(catalog).sizes["patch"]
    5
    """
    wanted = _wanted(items)
    if not len(wanted.ids):
        raise SelectionError("the search found no item, so there is nothing to open; loosen its criteria")
    ds = _catalogued(wanted) if store is None else bex.open(store)
    return ds.isel(patch=_places(ds, wanted, in_any_store=store is not None))


def _places(ds: xr.Dataset, wanted: _Wanted, *, in_any_store: bool) -> NDArray[np.int64]:
    """Where the items' patches are: at their rows, if these are theirs; otherwise by their ids."""
    known = ds["row"].values
    places = np.searchsorted(known, wanted.rows).clip(max=len(known) - 1)
    if np.array_equal(known[places], wanted.rows) and pc.all(pc.equal(_names(ds, places), wanted.ids)).as_py():
        return places
    found = ds.indexes["patch"].get_indexer(wanted.ids.to_numpy(zero_copy_only=False))
    missing = np.flatnonzero(found < 0)
    if missing.size:
        raise SelectionError(
            f"{missing.size:,} of {len(found):,} items have no pixels in {_place(ds)}, first "
            f"{wanted.ids[missing[0]]}; open the store that they were catalogued from{_of_uuid(wanted.uuids)}, or "
            "leave them out"
        )
    other = np.flatnonzero((wanted.rows >= 0) & (wanted.rows != known[found]))
    if other.size and not in_any_store:
        first = other[0]
        raise StoreError(
            f"the item {wanted.ids[first]} is of row {wanted.rows[first]}, but in the store {_uuid(ds)} at "
            f"{_place(ds)} this patch is row {known[found[first]]}: the catalogue is of another store; build it again, "
            "or name a store to find these patches in by their ids, open_search(items, store=…)"
        )
    return np.asarray(found, np.int64)


def _names(ds: xr.Dataset, places: NDArray[np.int64]) -> pa.Array:
    return pa.array(ds.indexes["patch"].values[places], pa.string())


def _catalogued(wanted: _Wanted) -> xr.Dataset:
    """The store that the items point to, or an error where it is gone, or another one has taken its place."""
    folder, uuids = _folder_of(wanted.hrefs), wanted.uuids
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


def _folder_of(hrefs: tuple[str, ...]) -> Path:
    """Where on this machine the one store lies that items point to."""
    if not hrefs:
        raise StoreError(
            "the items point to no store: their catalogue was built without one; name it, open_search(items, store=…)"
        )
    if len(hrefs) > 1:
        raise StoreError(f"the items are of {len(hrefs)} stores, {' and '.join(hrefs)}; open those of each alone")
    [href] = hrefs
    if href.startswith("file:"):
        return Path(unquote(urlsplit(href).path))
    if not is_relative(href) and not Path(href).is_absolute():
        raise StoreError(f"{href} is not on this machine; name a copy that is, open_search(items, store=…)")
    # An address is percent-encoded, a path is not; both are written.
    return Path(href) if Path(href).exists() else Path(unquote(href))


def _of_uuid(uuids: Iterable[str]) -> str:
    return "".join(f" {uuid}" for uuid in sorted(uuids)[:3])


def _uuid(ds: xr.Dataset) -> str:
    return str(json.loads(ds.attrs["bigearth"])["uuid"])


def _place(ds: xr.Dataset) -> str:
    return str(json.loads(ds.attrs["bigearth"])["store"])


# ---- what there is to open, whatever holds it ----------------------------------------------------------------------


def _wanted(items: Any) -> _Wanted:
    if isinstance(items, str | PathLike):
        items = _read(Path(expanduser(items)))
    if hasattr(items, "get_items"):
        items = _all_of(items)
    if isinstance(items, FoundItems):
        return _of_found(items)
    if isinstance(items, pd.DataFrame):
        return _of_frame(items)
    return _of_table(items) if isinstance(items, pa.Table) else _of_items(list(_each(items)))


def _read(path: Path) -> Any:
    """Items of a file or folder."""
    if (path.is_dir() and (path / COLLECTION_FILE).is_file()) or (path.name == COLLECTION_FILE and path.is_file()):
        return found_at(items_file(path if path.is_dir() else path.parent))
    if path.suffix in (".parquet", ".geoparquet") and path.is_file():
        return found_at(path.absolute())
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        raise SelectionError(
            f"{path}: no JSON file of items; expected one that `bigearth-stac search --out` wrote, a catalogue's "
            "folder, its items.parquet, or items; to open a patch by its id, use bex.open(store).sel(patch=[id])"
        ) from None


def _all_of(collection: Any) -> Any:
    """All items of a pystac Collection or Catalog: of its file of items, or those that its links lead to."""
    asset = getattr(collection, "assets", {}).get("items")
    href = asset and asset.get_absolute_href()
    path = Path(unquote(urlsplit(href).path)) if href and href.startswith("file:") else Path(href or "")
    return found_at(path) if path.is_file() else collection.get_items(recursive=True)


def _of_found(found: FoundItems) -> _Wanted:
    """Their columns are there; of their assets only addresses are read."""
    return _of_columns(found.columns, _parents(found.array_hrefs(), found.file.parent))


def _of_table(table: pa.Table) -> _Wanted:
    leaves = (pc.struct_field(table["assets"], [name, "href"]) for name in array_assets(table.schema))
    return _of_columns(table, _parents(href for leaf in leaves for href in pc.unique(leaf).to_pylist() if href))


def _of_columns(table: pa.Table, hrefs: tuple[str, ...]) -> _Wanted:
    if "id" not in table.column_names:
        raise SelectionError(
            f"the table has no column 'id', it has {', '.join(table.column_names)}; expected items as stac-geoparquet "
            "has them; to open patches by their ids, use bex.open(store).sel(patch=ids)"
        )
    rows = pc.fill_null(table[ROW], -1) if ROW in table.column_names else pa.repeat(-1, table.num_rows)
    uuids = pc.unique(table[STORE_UUID]).to_pylist() if STORE_UUID in table.column_names else []
    return _Wanted(
        ids=pa.array(table["id"].combine_chunks(), pa.string()),
        rows=np.asarray(rows).astype(np.int64),
        uuids=frozenset(uuid for uuid in uuids if uuid is not None),
        hrefs=hrefs,
    )


def _parents(hrefs: Iterable[str], folder: Path | None = None) -> tuple[str, ...]:
    """The stores that arrays lie in."""
    stores = (href.rpartition("/")[0] for href in hrefs)
    return tuple(dict.fromkeys(store if folder is None else absolute_href(store, folder) for store in stores))


def _of_frame(frame: pd.DataFrame) -> _Wanted:
    """Columns of stac-geoparquet, whose assets are objects already."""
    columns = [name for name in ("id", ROW, STORE_UUID) if name in frame.columns]
    if "id" not in columns:
        return _of_columns(pa.table({str(name): [] for name in frame.columns}), ())
    table = pa.Table.from_pandas(pd.DataFrame(frame[columns]), preserve_index=False)
    assets = frame["assets"] if "assets" in frame.columns else []
    return _of_columns(table, _parents(href for item in assets for href in _array_hrefs({"assets": item})))


def _of_items(items: list[Any]) -> _Wanted:
    _check_items(items)
    properties = [item.get("properties", {}) if isinstance(item, Mapping) else item.properties for item in items]
    ids = [str(item["id"] if isinstance(item, Mapping) else item.id) for item in items]
    rows = [-1 if told.get(ROW) is None else int(told[ROW]) for told in properties]
    return _Wanted(
        ids=pa.array(ids, pa.string()),
        rows=np.array(rows, np.int64),
        uuids=frozenset(str(told[STORE_UUID]) for told in properties if told.get(STORE_UUID) is not None),
        hrefs=_parents(dict.fromkeys(href for item in items for href in _array_hrefs(item))),
    )


def _each(items: Any) -> Iterator[Any]:
    """Go through the items, whatever holds them."""
    if isinstance(items, Mapping):
        yield from items.get("features", [items])
    elif callable(getattr(items, "items", None)):
        yield from items.items()
    elif isinstance(items, Iterable):
        yield from items
    else:
        yield items


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


def _array_hrefs(item: Any) -> Iterator[str]:
    """Addresses of the arrays that an item selects a row of."""
    if isinstance(item, Mapping):
        assets = (asset for asset in (item.get("assets") or {}).values() if asset)
        yield from (asset["href"] for asset in assets if asset.get(SELECTION))
        return
    for asset in item.assets.values():
        if SELECTION in asset.extra_fields:
            yield asset.get_absolute_href() or asset.href
