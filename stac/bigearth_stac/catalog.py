"""Write a catalogue: the collection, all items in one parquet, and on request a file and a picture of each."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from os import PathLike
from os.path import expanduser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bigearth_stac.collection import describe_collection
from bigearth_stac.documents import item_documents
from bigearth_stac.items import COLLECTION_FILE, STAC_VERSION, item_batches, parquet_metadata
from bigearth_stac.source import read_source
from bigearth_stac.thumbnails import write_thumbnails
from bigearth_xr.errors import SelectionError

__all__ = ["ITEMS_FILE", "Catalog", "build_catalog"]

ITEMS_FILE = "items.parquet"

_JSON = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """A catalogue on disk."""

    folder: Path
    """Folder of ``collection.json`` and ``items.parquet``."""

    items: int
    """How many items it has."""

    thumbnails: int
    """How many pictures were drawn."""

    def summary(self) -> str:
        """Say in a line what was written.

        Examples
        --------
        >>> Catalog(folder=Path("catalog"), items=3, thumbnails=0).summary()
        'catalog: 3 items'
        """
        drawn = f", {self.thumbnails:,} thumbnails" if self.thumbnails else ""
        return f"{self.folder}: {self.items:,} items{drawn}"


def build_catalog(
    source: str | PathLike[str],
    out: str | PathLike[str],
    *,
    zarr_href: str | None = None,
    static_items: bool = False,
    thumbnails: bool = False,
) -> Catalog:
    """Catalogue the patches of a store or a table.

    Parameters
    ----------
    source
        A store, a table (parquet), or the published lists (a folder, or a parquet of v2): no pixel is needed.
    out
        Folder to write ``collection.json`` and ``items.parquet`` to; made if need be, what it has is overwritten.
    zarr_href
        Address of the store for those who will read the catalogue, e.g. ``https://…/ben.zarr``; by default the
        store's place on this machine. Of a table alone the items have no pixels unless it is given.
    static_items
        Also write a JSON file an item, in a catalogue a tile, for clients that follow links.
    thumbnails
        Also draw a PNG a patch; ``source`` must be a store.

    Returns
    -------
    Catalog
        What was written.

    Raises
    ------
    SelectionError
        If there is no patch, or pictures are asked for without a store.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> store = bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3)
    >>> build_catalog(store, getfixture("tmp_path") / "catalog").items
    3
    """
    found = read_source(Path(expanduser(source)), zarr_href)
    if not found.table.num_rows:
        raise SelectionError(f"{source}: no patch has pixels, so there is nothing to catalogue; ingest first")
    if thumbnails and found.store is None:
        raise SelectionError(f"{source}: thumbnails need the pixels of a store; give the store instead of its table")
    folder = Path(expanduser(out))
    folder.mkdir(parents=True, exist_ok=True)
    drawn = write_thumbnails(found.store, folder) if thumbnails and found.store else 0
    holdings = replace(found.holdings, has_thumbnails=thumbnails)
    collection = describe_collection(found.table, holdings)
    _write_parquet(folder / ITEMS_FILE, item_batches(found.table, holdings), collection)
    links = _write_static_items(folder, item_batches(found.table, holdings)) if static_items else []
    root = {"rel": "root", "href": f"./{COLLECTION_FILE}", "type": _JSON}
    # Last: where there is a collection, its items are complete.
    _write_json(folder / COLLECTION_FILE, collection | {"links": [root, *collection["links"], *links]})
    return Catalog(folder=folder, items=found.table.num_rows, thumbnails=drawn)


def _write_parquet(path: Path, batches: Iterator[pa.RecordBatch], collection: dict[str, Any]) -> None:
    """Write a row group a batch."""
    first = next(batches)
    schema = first.schema.with_metadata(parquet_metadata(collection))
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in (first, *batches):
            writer.write_batch(batch)


def _write_static_items(folder: Path, batches: Iterator[pa.RecordBatch]) -> list[dict[str, str]]:
    """Write a file an item and a catalogue a tile; give the collection's links to these."""
    links: dict[str, list[dict[str, str]]] = {}
    for batch in batches:
        for item in item_documents(batch):
            tile = item["properties"]["grid:code"]
            path = folder / "items" / tile / f"{item['id']}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_json(path, _with_links(item))
            links.setdefault(tile, []).append({"rel": "item", "href": f"./{path.name}", "type": "application/geo+json"})
    for tile, items in links.items():
        _write_json(folder / "items" / tile / "catalog.json", _tile_catalog(tile, items))
    return [
        {"rel": "child", "href": f"./items/{tile}/catalog.json", "type": _JSON, "title": tile} for tile in sorted(links)
    ]


def _with_links(item: dict[str, Any]) -> dict[str, Any]:
    """Turn what is relative to the collection into what is relative to the item's own file, two folders below."""
    up = {"href": f"../../{COLLECTION_FILE}", "type": _JSON}
    links = [{"rel": rel, **up} for rel in ("root", "collection")]
    links.append({"rel": "parent", "href": "./catalog.json", "type": _JSON})
    assets = {
        name: asset | {"href": f"../../{asset['href'].removeprefix('./')}"} if _is_relative(asset["href"]) else asset
        for name, asset in item["assets"].items()
    }
    return item | {"links": links, "assets": assets}


def _is_relative(href: str) -> bool:
    return "://" not in href and not Path(href).is_absolute()


def _tile_catalog(tile: str, items: list[dict[str, str]]) -> dict[str, Any]:
    up = {"href": f"../../{COLLECTION_FILE}", "type": _JSON}
    return {
        "type": "Catalog",
        "stac_version": STAC_VERSION,
        "id": tile,
        "title": f"Tile {tile.removeprefix('MGRS-')}",
        "description": f"{len(items):,} patches of tile {tile.removeprefix('MGRS-')}",
        "links": [{"rel": rel, **up} for rel in ("root", "parent")] + items,
    }


def _write_json(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8")
