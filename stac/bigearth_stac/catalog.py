"""Write a catalogue of a store, a table or lists: collection, items in one parquet, on request files and pictures."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from os import PathLike
from os.path import expanduser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import bigearth_xr as bex
from bigearth_stac.assets import Holdings
from bigearth_stac.collection import describe_collection
from bigearth_stac.items import (
    COLLECTION_FILE,
    ITEMS_FILE,
    STAC_VERSION,
    item_batches,
    item_documents,
    parquet_metadata,
)
from bigearth_xr.errors import BandError, MetadataError, SelectionError
from bigearth_xr.thumbnails import RGB_BANDS, SAR_BANDS, color_optical, color_radar

__all__ = ["build_catalog"]

_JSON = "application/json"


_BATCH_PATCHES = 128


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
        """Say in a line what was written."""
        drawn = f", {self.thumbnails:,} thumbnails" if self.thumbnails else ""
        return f"{self.folder}: {self.items:,} items{drawn}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Rows to make items of, and what their assets point to."""

    table: pa.Table
    """Rows of the table with a column ``row``; of a store those with pixels, its uuid, and whether each has a map."""

    holdings: Holdings
    """What is in the store; its address is the store's place on this machine."""

    store: Path | None
    """The store's folder, where pictures can be drawn from."""


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
        Address of the store for readers of the catalogue, e.g. ``https://…/ben.zarr``; by default the
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


def read_source(path: Path, zarr_href: str | None = None) -> Source:
    """Read what a catalogue is made of; no pixel.

    Parameters
    ----------
    path
        A store (a folder, its table beside it), a table (a parquet file that `bigearth_xr.table` wrote), or the
        published lists (a folder, or a parquet file of v2).
    zarr_href
        Address under which the store will be found; by default its place on this machine, and of a table alone none.

    Returns
    -------
    Source
        Of a table or lists, the store at ``zarr_href`` is taken to hold every band.

    Raises
    ------
    MetadataError
        If there is no such path, or a store lacks its table.
    """
    if not path.exists():
        raise MetadataError(f"{path}: nothing here; expected a store, its table (.parquet) or a folder of lists")
    # Opening the store says that its root is lost.
    if (path / "zarr.json").is_file() or (path / "patch").is_dir():
        source = _of_store(path.resolve())
        return source if zarr_href is None else _at(source, zarr_href)
    table = bex.table.read(path) if bex.table.is_table(path) else bex.table.from_lists(path)
    numbered = table.append_column("row", pa.array(np.arange(table.num_rows, dtype=np.int32)))
    holdings = Holdings(rows=table.num_rows, has_maps=bex.table.release_of(table) == "v2")
    source = Source(table=numbered, holdings=holdings, store=None)
    return source if zarr_href is None else _at(source, zarr_href)


def _of_store(path: Path) -> Source:
    """The rows of a store that have pixels."""
    beside = path.with_suffix(".parquet")
    if not beside.is_file():
        raise MetadataError(f"{path}: its table {beside.name} is not beside it; copy it there, or ingest again")
    ds = bex.open(path)
    rows = ds["row"].values
    listed = bex.table.read(beside)
    uuid = json.loads(ds.attrs["bigearth"])["uuid"]
    table = listed.take(pa.array(rows)).append_column("row", pa.array(rows.astype(np.int32)))
    table = table.append_column("store_uuid", pa.repeat(pa.scalar(uuid), table.num_rows))
    has_maps = "reference_map" in ds
    if has_maps:
        table = table.append_column("has_reference_map", pa.array(ds["has_reference_map"].values))
    bands = [str(name) for dim in ("band", "polarization") if dim in ds.coords for name in ds[dim].values]
    holdings = Holdings(
        zarr_href=path.as_posix(), uuid=uuid, rows=listed.num_rows, bands=tuple(bands), has_maps=has_maps
    )
    return Source(table=table, holdings=holdings, store=path)


def _at(source: Source, zarr_href: str) -> Source:
    """The same, at another address."""
    return replace(source, holdings=replace(source.holdings, zarr_href=zarr_href.rstrip("/")))


def write_thumbnails(store: Path, folder: Path) -> int:
    """Draw every stored patch: true colour, or radar where the store has no optical bands.

    Parameters
    ----------
    store
        The store.
    folder
        The catalogue's folder; pictures go to ``thumbnails/TILE/PATCH.png`` below it, 120 × 120 pixels.

    Returns
    -------
    int
        How many were drawn.

    Raises
    ------
    BandError
        If the store has neither all of B04, B03, B02 nor both polarizations.
    """
    import imagecodecs

    ds = bex.open(store)
    held = {str(name) for dim in ("band", "polarization") if dim in ds.coords for name in ds[dim].values}
    bands = next((bands for bands in (RGB_BANDS, SAR_BANDS) if held.issuperset(bands)), None)
    if bands is None:
        raise BandError(
            f"{store}: thumbnails need {', '.join(RGB_BANDS)} or {', '.join(SAR_BANDS)}, the store has "
            f"{', '.join(sorted(held))}; build the catalogue without them"
        )
    image, tiles = ds.ben.image(bands), ds["tile"].values
    for start in range(0, ds.sizes["patch"], _BATCH_PATCHES):
        part = image.isel(patch=slice(start, start + _BATCH_PATCHES)).load()
        for patch, tile, pixels in zip(part["patch"].values, tiles[start:], part.values, strict=False):
            picture = color_optical(pixels) if bands == RGB_BANDS else color_radar(*pixels)
            path = folder / "thumbnails" / tile / f"{patch}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(picture), level=9))
    return int(ds.sizes["patch"])
