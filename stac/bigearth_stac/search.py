"""Find items in a catalogue's file, and open whatever a search found as a Dataset."""

import json
from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import xarray as xr

import bigearth_xr as bex
from bigearth_stac.catalog import ITEMS_FILE
from bigearth_stac.documents import footprint_rings, item_documents
from bigearth_stac.properties import PREFIX
from bigearth_xr.bbox import Bbox, checked_bbox, footprints_intersect
from bigearth_xr.errors import LabelError, SelectionError, StoreError
from bigearth_xr.labels import label_names
from bigearth_xr.spelling import did_you_mean

if TYPE_CHECKING:
    import pystac

__all__ = ["Items", "Search", "find_items", "open_search"]


class Search(Protocol):
    """A search of pystac-client, as far as we use it."""

    def items(self) -> "Iterator[pystac.Item]":
        """The items found, page by page."""
        ...


Items = "Search | Iterable[pystac.Item] | Iterable[Mapping[str, Any]] | Mapping[str, Any] | str | PathLike[str]"
"""What any search gives: itself, an item collection, a list of items, these as JSON, or a file of that."""


def find_items(
    catalog: str | PathLike[str],
    *,
    bbox: Iterable[float] | None = None,
    datetime: str | None = None,
    any_label: str | Iterable[str] | None = None,
    where: pads.Expression | None = None,
    max_items: int | None = None,
) -> "pystac.ItemCollection":
    """Search a catalogue's file, without a server.

    Parameters
    ----------
    catalog
        Folder of the catalogue.
    bbox
        ``(west, south, east, north)``, degrees WGS 84; the footprint intersects it.
    datetime
        When Sentinel-2 saw the patch, UTC: ``"2017-06"``, or an interval with both ends included, as
        ``"2017-06-13/2017-08"``; ``".."`` leaves an end open.
    any_label
        Class names of either nomenclature, of which a patch has at least one.
    where
        Any other condition on the columns, e.g. ``pc.field("bigearth:country") == "Finland"``.
    max_items
        Give no more than these, 1 or more.

    Returns
    -------
    pystac.ItemCollection
        The items found, in the order of the table; empty if there is none.

    Raises
    ------
    SelectionError
        If there is no catalogue, or ``bbox``, ``datetime`` or ``max_items`` cannot be one.
    LabelError
        If a label is unknown, or the catalogue has no labels.

    Examples
    --------
    >>> from bigearth_stac import build_catalog
    >>> store = bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=20)
    >>> catalog = build_catalog(store, getfixture("tmp_path") / "catalog").folder
    >>> len(find_items(catalog, datetime="2017-06", any_label=["Pastures", "Mixed forest"]))
    3
    """
    import pystac

    path = Path(catalog) / ITEMS_FILE
    if not path.is_file():
        raise SelectionError(f"{path}: no items here; give the folder that `bigearth-stac build` wrote")
    if max_items is not None and max_items < 1:
        raise SelectionError(f"max_items is {max_items}, expected at least 1; leave it out for all")
    box = None if bbox is None else checked_bbox(bbox)
    file = pads.dataset(path)
    conditions = [] if where is None else [where]
    conditions += [] if box is None else [_near(box)]
    conditions += [] if datetime is None else [_sensed_in(datetime)]
    found = pc.scalar(True)
    for condition in conditions:
        found = found & condition
    # First what decides, then whole items of the rows that are left: their assets are most of the file.
    keys = file.to_table(columns=["id", "geometry", *_label_columns(file.schema)], filter=found)
    if box is not None:
        keys = keys.filter(pa.array(footprints_intersect(footprint_rings(keys["geometry"]), box)))
    if any_label is not None:
        keys = keys.filter(_has_label(keys, [any_label] if isinstance(any_label, str) else list(any_label)))
    ids = keys["id"].combine_chunks()[:max_items]
    items = file.to_table(filter=found & pc.field("id").isin(ids))
    return pystac.ItemCollection([pystac.Item.from_dict(item) for item in item_documents(items)])


def open_search(items: Items, store: str | PathLike[str] | None = None) -> xr.Dataset:  # type: ignore[valid-type]
    """Open the patches that a search found.

    Parameters
    ----------
    items
        A `pystac.ItemCollection`, a pystac-client search, items, any of them as JSON, or the path of a JSON file, as
        ``bigearth-stac search --out`` writes it.
    store
        The store's folder; by default the one that the items' assets point to.

    Returns
    -------
    xarray.Dataset
        As `bigearth_xr.open` gives it, with exactly these patches, in the items' order; lazy.

    Raises
    ------
    SelectionError
        If there is no item, something else than an item, or one that is not in the store.
    StoreError
        If the items point to no store, to several, or to one that is not on this machine.

    Examples
    --------
    >>> from bigearth_stac import build_catalog
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
    ids = [item["id"] if isinstance(item, Mapping) else item.id for item in found]
    folder = _store_of(found) if store is None else Path(store)
    ds = bex.open(folder)
    places = ds.indexes["patch"].get_indexer(ids)
    missing = [name for name, place in zip(ids, places, strict=True) if place < 0]
    if missing:
        raise SelectionError(
            f"{len(missing):,} of {len(ids):,} items have no pixels in {folder}, first {missing[0]}; open the store "
            "that they were catalogued from, or leave them out"
        )
    return ds.isel(patch=places)


def _near(bbox: Bbox) -> pads.Expression:
    """Where bounding boxes meet: the file skips its other parts by it, and footprints decide after it."""
    west, south, east, north = bbox
    box = {side: pc.field("bbox", side) for side in ("xmin", "ymin", "xmax", "ymax")}
    latitudes = (box["ymin"] <= north) & (box["ymax"] >= south)
    # West of its east end and east of its west end, or of either where the box crosses the antimeridian.
    before, after = box["xmin"] <= east, box["xmax"] >= west
    return latitudes & ((before & after) if west <= east else (before | after))


def _sensed_in(datetime: str) -> pads.Expression:
    start, slash, stop = datetime.partition("/")
    inside = pc.scalar(True)
    if start not in ("", ".."):
        inside = inside & (pc.field("datetime") >= _instant(start, datetime, "start"))
    stop = stop if slash else start
    if stop not in ("", ".."):
        inside = inside & (pc.field("datetime") <= _instant(stop, datetime, "end"))
    return inside


def _instant(text: str, datetime: str, end: str) -> pa.Scalar:
    """The first or last moment of the time that a text means: ``"2017-06"`` is all of June."""
    try:
        moment = pd.Timestamp(text)
        # A period has no time zone: it would take 12:00+02:00 for noon.
        period = pd.Period(text) if moment.tz is None else pd.Period(moment.tz_convert(None), freq="s")
    except ValueError:
        raise SelectionError(
            f"datetime {datetime!r} is no time or interval; expected e.g. '2017-06', '2017-06-13/2017-08-31' or "
            "'../2018-01-01', UTC"
        ) from None
    moment = period.start_time if end == "start" else period.end_time
    return pa.scalar(moment.floor("ms").tz_localize("UTC").to_pydatetime(), pa.timestamp("ms", tz="UTC"))


def _label_columns(schema: pa.Schema) -> list[str]:
    names = (f"{PREFIX}labels_19", f"{PREFIX}labels_43")
    return [name for name in names if name in schema.names]


def _has_label(keys: pa.Table, wanted: list[str]) -> pa.Array:
    """Where a patch has one of these labels in either nomenclature."""
    columns, known = _label_columns(keys.schema), (*label_names(19), *label_names(43))
    for name in wanted:
        if name not in known:
            raise LabelError(f"{name!r} is no label of the 19 or 43 classes{did_you_mean(name, known)}")
    if not columns:
        raise LabelError("the catalogue has no labels: it was built from lists that lack them; build it from a store")
    has = np.zeros(keys.num_rows, dtype=bool)
    for column in columns:
        labels = keys[column].combine_chunks()
        is_wanted = pc.is_in(labels.flatten(), pa.array(wanted))
        has[np.asarray(pc.list_parent_indices(labels).filter(is_wanted))] = True
    return pa.array(has)


def _each(items: Any) -> Iterator[Any]:
    """Go through the items, whatever holds them."""
    if isinstance(items, str | PathLike):
        items = _read_json(Path(items))
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
                f"{item!r:.80} is no STAC item; expected items as a search gives them; to open patches by their ids, "
                "use bex.open(store).sel(patch=ids)"
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
    return Path(href.removeprefix("file://"))


def _array_hrefs(item: Any) -> Iterator[str]:
    """Addresses of the arrays that an item selects a row of."""
    if isinstance(item, Mapping):
        yield from (asset["href"] for asset in item["assets"].values() if f"{PREFIX}selection" in asset)
        return
    for asset in item.assets.values():
        if f"{PREFIX}selection" in asset.extra_fields:
            yield asset.get_absolute_href() or asset.href
