"""Items of an Arrow table as the JSON that other STAC tools take."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

__all__ = ["footprint_rings", "item_documents"]

_WKB_HEADER_BYTES = 13
"""Byte order, kind of geometry, number of rings, number of corners."""

_CORNERS = 5

_OUTSIDE_PROPERTIES = (
    *("type", "stac_version", "stac_extensions", "id", "geometry", "bbox"),
    *("links", "assets", "collection"),
)


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

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> table = bex.table.from_lists(bex.testing.write_archive(getfixture("tmp_path") / "archive", pairs=2))
    >>> footprint_rings(table["geometry"]).shape
    (2, 5, 2)
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

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_stac.assets import Holdings
    >>> from bigearth_stac.items import item_batches
    >>> table = bex.table.from_lists(bex.testing.write_archive(getfixture("tmp_path") / "archive", pairs=2))
    >>> item = next(item_documents(next(item_batches(table, Holdings()))))
    >>> item["type"], item["properties"]["datetime"]
    ('Feature', '2017-06-13T10:10:31Z')
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
