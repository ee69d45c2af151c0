"""Items straight as Arrow, after the stac-geoparquet specification: a whole release in seconds; a few as JSON."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bigearth_stac.assets import EXTENSIONS, THUMBNAIL, Holdings, asset_templates
from bigearth_stac.properties import PROPERTIES, Columns, Same, common_properties, joined, relative_orbits
from bigearth_xr.store.schema import REFERENCE_MAP
from bigearth_xr.table import release_of

STAC_VERSION = "1.1.0"


COLLECTION_FILE = "collection.json"
ITEMS_FILE = "items.parquet"


_BATCH_ITEMS = 32_768
"""Items a batch, which is a row group of the file: a few days of tiles, so that a bounding box skips most."""


_WKB_HEADER_BYTES = 13
"""Byte order, kind of geometry, number of rings, number of corners."""


_CORNERS = 5


_OUTSIDE_PROPERTIES = (
    *("type", "stac_version", "stac_extensions", "id", "geometry", "bbox"),
    *("links", "assets", "collection"),
)


def collection_id(table: pa.Table) -> str:
    """Name the collection of a table's release."""
    return f"bigearthnet-{release_of(table)}"


def item_batches(table: pa.Table, holdings: Holdings) -> Iterator[pa.RecordBatch]:
    """Turn rows of a table into items.

    Parameters
    ----------
    table
        The table, or some of its rows; with a column ``row`` where they are not the first ones of it, and a column
        ``has_reference_map`` (bool) where some maps are missing, ``store_uuid`` where the store is known.
    holdings
        What the items' assets point to.

    Yields
    ------
    pyarrow.RecordBatch
        Items in the table's order, all batches of one schema: properties are columns of their own, ``geometry`` is
        WKB, ``datetime`` a timestamp in UTC. A property that no row has is no column.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> table = bex.table.from_lists(bex.testing.write_archive(getfixture("tmp_path") / "archive", pairs=2))
    >>> [batch] = item_batches(table, Holdings())
    >>> batch["grid:code"].to_pylist()
    ['MGRS-33UUP', 'MGRS-33UUP']
    """
    if "row" not in table.column_names:
        table = table.append_column("row", pa.array(np.arange(table.num_rows, dtype=np.int32)))
    collection = collection_id(table)
    properties = [one for one in PROPERTIES if _is_told(table, one.column)]
    orbits = relative_orbits(table)
    extensions = holdings.extensions + ([] if orbits is None else [EXTENSIONS["sat"]])
    constants: Columns = {}
    for start in range(0, table.num_rows, _BATCH_ITEMS):
        rows = table.slice(start, _BATCH_ITEMS).combine_chunks()
        columns = {name: rows[name].combine_chunks() for name in rows.column_names}
        same = partial(_same, count=rows.num_rows, known=constants)
        item = _core(columns, collection, extensions, same)
        item |= common_properties(columns, same)
        item |= {} if orbits is None else {"sat:relative_orbit": orbits.slice(start, _BATCH_ITEMS)}
        item |= {one.key: _text_if_time(columns[one.column]) for one in properties}
        assets = _assets(columns, holdings, same)
        if assets:  # Parquet knows no structure without fields
            item["assets"] = pa.StructArray.from_arrays(list(assets.values()), names=list(assets))
        yield pa.record_batch(item)


def parquet_metadata(collection: Mapping[str, Any]) -> dict[str, str]:
    """Schema metadata of a file of items: what GeoParquet and stac-geoparquet ask for."""
    geometry = {
        "encoding": "WKB",
        "geometry_types": ["Polygon"],
        "orientation": "counterclockwise",
        "covering": {"bbox": {side: ["bbox", side] for side in ("xmin", "ymin", "xmax", "ymax")}},
    }
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": geometry}}
    stac = {"version": "1.0.0", "collections": {collection["id"]: collection}}
    return {"geo": json.dumps(geo), "stac-geoparquet": json.dumps(stac)}


def _core(columns: Columns, collection: str, extensions: list[str], same: Same) -> Columns:
    """What every STAC item has."""
    link = {"rel": "collection", "href": f"./{COLLECTION_FILE}", "type": "application/json"}
    return {
        "type": same("Feature"),
        "stac_version": same(STAC_VERSION),
        "stac_extensions": same(extensions),
        "id": columns["patch"],
        "geometry": columns["geometry"],
        "bbox": columns["bbox"],
        "links": same([link]),
        "collection": same(collection),
    }


def _assets(columns: Columns, holdings: Holdings, same: Same) -> Columns:
    """One structure an asset; null where the patch has no such half or map."""
    present = {"s1": columns["s1_name"].is_valid(), REFERENCE_MAP: columns.get("has_reference_map")}
    selection = pa.StructArray.from_arrays([columns["row"]], names=["patch"])
    assets: Columns = {}
    for name, template in asset_templates(holdings).items():
        if name == THUMBNAIL:
            folders = joined("./thumbnails/", columns["tile"])
            fields = {"href": pc.binary_join_element_wise(folders, joined(columns["patch"], ".png"), "/")}
        else:
            fields = {"href": same(f"{holdings.zarr_href}/{name}"), "bigearth:selection": selection}
        if name == "s1":
            fields |= {"datetime": _text_if_time(columns["s1_time"]), "platform": columns["s1_platform"]}
        fields |= {field: same(value) for field, value in template.items()}
        there = present.get(name)
        mask = None if there is None else pc.invert(there)
        assets[name] = pa.StructArray.from_arrays(list(fields.values()), names=list(fields), mask=mask)
    return assets


def _is_told(table: pa.Table, column: str) -> bool:
    return column in table.column_names and table[column].null_count < table.num_rows


def _same(value: object, count: int, known: Columns) -> pa.Array:
    """One value, however often; made once, as no batch is longer than the first."""
    key = repr(value)
    if key not in known:
        known[key] = pa.repeat(pa.scalar(value), count)
    return known[key].slice(0, count)


def _text_if_time(column: pa.Array) -> pa.Array:
    """Spell times as JSON does: of timestamps, clients turn only STAC's own properties into text."""
    if not pa.types.is_timestamp(column.type):
        return column
    times = column.dictionary_encode()  # few differ: patches of one pass bear its time
    return pc.strftime(times.dictionary, "%Y-%m-%dT%H:%M:%SZ").take(times.indices)


def footprint_rings(geometry: pa.Array | pa.ChunkedArray) -> NDArray[np.float64]:
    """Decode footprints.

    Parameters
    ----------
    geometry
        WKB polygons of one ring of four corners, little-endian, as the table holds them.

    Returns
    -------
    numpy.ndarray
        Shape ``(patch, 5, 2)``, longitude and latitude, degrees; closed, counter-clockwise.
    """
    polygons = b"".join(geometry.to_pylist())
    row = np.dtype([("header", f"V{_WKB_HEADER_BYTES}"), ("ring", "<f8", (_CORNERS, 2))])
    rings: NDArray[np.float64] = np.frombuffer(polygons, dtype=row)["ring"]
    return rings


def item_documents(items: pa.Table | pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """Turn items in Arrow into JSON documents.

    Parameters
    ----------
    items
        Rows and columns as `item_batches` makes them.

    Yields
    ------
    dict
        One STAC item a row; what is null is left out.
    """
    rings = footprint_rings(items["geometry"]).tolist()
    for row, ring in zip(items.drop_columns(["geometry"]).to_pylist(), rings, strict=True):
        yield {
            "type": row["type"],
            "stac_version": row["stac_version"],
            "stac_extensions": row["stac_extensions"],
            "id": row["id"],
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "bbox": list(row["bbox"].values()),
            "properties": {
                name: f"{value:%Y-%m-%dT%H:%M:%SZ}" if isinstance(value, datetime) else value
                for name, value in row.items()
                if name not in _OUTSIDE_PROPERTIES and value is not None
            },
            "links": row["links"],
            "assets": {name: asset for name, asset in row.get("assets", {}).items() if asset is not None},
            "collection": row["collection"],
        }
