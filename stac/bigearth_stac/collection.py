"""The collection: what a client shows first, and what is the same for all items."""

import math
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from bigearth_stac.assets import EXTENSIONS, ZARR, Holdings, asset_templates, land_cover_classes
from bigearth_stac.items import STAC_VERSION, collection_id
from bigearth_stac.properties import PROPERTIES, STORE_UUID, relative_orbits
from bigearth_xr.bands import PATCH_SIDE_M
from bigearth_xr.labels import label_names
from bigearth_xr.releases import LICENSE, ReleaseFacts, release
from bigearth_xr.store.schema import REFERENCE_MAP, PixelArray
from bigearth_xr.table import release_of

_PROVIDERS = [
    {
        "name": "Remote Sensing Image Analysis group, TU Berlin",
        "description": "Cut, paired and labelled the patches",
        "roles": ["producer", "licensor"],
        "url": "https://bigearth.net",
    },
    {
        "name": "European Union, Copernicus Programme",
        "description": "Sentinel-1, Sentinel-2 and CORINE Land Cover",
        "roles": ["producer"],
        "url": "https://www.copernicus.eu",
    },
]

_PARQUET = "application/vnd.apache.parquet"


def describe_collection(table: pa.Table, holdings: Holdings) -> dict[str, Any]:
    """Describe the patches of a table as a STAC collection.

    Parameters
    ----------
    table
        Rows of one release, at least one.
    holdings
        What the items' assets point to.

    Returns
    -------
    dict
        The collection as JSON, with links to nothing but licence and paper. Its summaries, extent and cube are those
        of the rows given; the store is its asset ``zarr``, the items its asset ``items``.
    """
    facts = release(release_of(table))
    return {
        "type": "Collection",
        "stac_version": STAC_VERSION,
        "stac_extensions": _extensions(holdings),
        "id": collection_id(table),
        "title": f"BigEarthNet: {facts.title} ({facts.release})",
        "description": _description(facts, table.num_rows, has_pixels=bool(holdings.arrays)),
        "keywords": ["BigEarthNet", "Sentinel-1", "Sentinel-2", "land cover", "multi-label", "deep learning"],
        "license": LICENSE,
        "providers": _PROVIDERS,
        "extent": _extent(table),
        "summaries": _summaries(table),
        **_cube(holdings),
        "sci:publications": [{"doi": facts.citation.doi, "citation": facts.citation.title}],
        "assets": _assets(holdings),
        "item_assets": _item_assets(holdings),
        "links": [
            {"rel": "license", "href": f"https://spdx.org/licenses/{LICENSE}.html", "type": "text/html"},
            {"rel": "cite-as", "href": f"https://doi.org/{facts.citation.doi}"},
            {"rel": "about", "href": "https://bigearth.net", "type": "text/html"},
        ],
    }


def _extensions(holdings: Holdings) -> list[str]:
    names = ["scientific"]
    if holdings.zarr_href is not None:
        names += ["datacube", "xarray-assets"]
    if holdings.has_maps and holdings.zarr_href is not None:
        names += ["classification"]
    # grid and projection say something of items only.
    items = [address for address in holdings.extensions if "/grid/" not in address and "/projection/" not in address]
    return [*(EXTENSIONS[name] for name in names), *items]


def _description(facts: ReleaseFacts, patches: int, *, has_pixels: bool) -> str:
    part = "all" if patches == facts.pairs else f"{patches:,} of"
    pixels = (
        "Pixels are in one Zarr store: its arrays have all patches along the first dimension, `bigearth:selection` of "
        "an item's assets says at which row."
        if has_pixels
        else "This catalogue was made of the table alone: it leads to no pixels."
    )
    return (
        f"{facts.title}: {part} {facts.pairs:,} pairs of a Sentinel-1 and a Sentinel-2 patch, {PATCH_SIDE_M} m × "
        f"{PATCH_SIDE_M} m, from ten European countries, each with its CORINE land-cover classes. An item is a pair; "
        "its `datetime` is that of Sentinel-2, its id the name of the Sentinel-2 patch. Labels are the array "
        f"properties `bigearth:labels_19` and `bigearth:labels_43`. {pixels}"
    )


def _extent(table: pa.Table) -> dict[str, Any]:
    box = table["bbox"].combine_chunks()
    sides = [(pc.min, "xmin"), (pc.min, "ymin"), (pc.max, "xmax"), (pc.max, "ymax")]
    return {
        "spatial": {"bbox": [[reduce(box.field(side)).as_py() for reduce, side in sides]]},
        "temporal": {"interval": [list(_range(table["s2_time"]).values())]},
    }


def _summaries(table: pa.Table) -> dict[str, Any]:
    """What occurs among the items, to fill a client's menus."""
    tiles, codes = _values(table["tile"]), _values(table["epsg"])
    summaries: dict[str, Any] = {
        "platform": _values(table["s2_platform"]),
        "constellation": ["sentinel-2", "sentinel-1"],
        "instruments": ["msi", "c-sar"],
        "gsd": [10, 20, 60],
        "proj:code": [f"EPSG:{code}" for code in codes],
        "grid:code": [f"MGRS-{tile}" for tile in tiles],
    }
    orbits = relative_orbits(table)
    if orbits is not None:
        summaries["sat:relative_orbit"] = sorted(pc.unique(orbits).to_pylist())
    for one in PROPERTIES:
        if one.summary == "none" or one.column not in table.column_names:
            continue
        column = table[one.column]
        if column.null_count == len(column):
            continue
        found = _values(column) if one.summary == "values" else _range(column)
        if found:
            summaries[one.key] = found
    return summaries


def _values(column: pa.ChunkedArray) -> list[Any]:
    """Every value that occurs: labels in the order of the papers, all else sorted."""
    if not pa.types.is_list(column.type):
        return sorted(pc.unique(column.drop_null()).to_pylist())
    found = set(pc.unique(pc.list_flatten(column)).to_pylist())
    names = (*label_names(19), *label_names(43))
    return sorted(found, key=names.index)


def _range(column: pa.ChunkedArray) -> dict[str, Any]:
    lowest, highest = (bound.as_py() for bound in pc.min_max(column).values())
    if pa.types.is_timestamp(column.type):
        lowest, highest = (f"{bound.isoformat()}Z" for bound in (lowest, highest))
    return {"minimum": lowest, "maximum": highest}


def _assets(holdings: Holdings) -> dict[str, Any]:
    assets: dict[str, Any] = {
        "items": {
            "href": "./items.parquet",
            "type": _PARQUET,
            "title": "All items",
            "description": "stac-geoparquet, in the order of the table",
            "roles": ["collection-mirror"],
        }
    }
    if holdings.zarr_href is None:
        return assets
    assets["zarr"] = {
        "href": holdings.zarr_href,
        "type": ZARR,
        "title": "All pixels",
        "description": "Zarr v3; any reader opens it, bigearth_xr with engine='bigearth' at 10 m and with labels",
        "roles": ["data"],
        # One chunk as stored is one patch: half a million tasks.
        "xarray:open_kwargs": {"engine": "zarr", "consolidated": True, "chunks": {"patch": 128}},
        "zarr:consolidated": True,
        "zarr:node_type": "group",
        "zarr:zarr_format": 3,
    } | ({} if holdings.uuid is None else {STORE_UUID: holdings.uuid})
    return assets


def _item_assets(holdings: Holdings) -> dict[str, Any]:
    templates = asset_templates(holdings)
    if REFERENCE_MAP in templates:
        templates[REFERENCE_MAP]["classification:classes"] = land_cover_classes()
    return templates


def _cube(holdings: Holdings) -> Mapping[str, Any]:
    """The store as a data cube; no cube without a store."""
    if not holdings.arrays:
        return {}
    dimensions: dict[str, Any] = {
        "patch": {"type": "patch", "extent": [0, holdings.rows - 1], "step": 1, "description": "row of the table"}
    }
    for array in holdings.arrays:
        dimensions |= _dimensions(array)
    return {
        "cube:dimensions": dimensions,
        "cube:variables": {array.name: _variable(array) for array in holdings.arrays},
    }


def _dimensions(array: PixelArray) -> dict[str, Any]:
    """Name the dimensions of an array but ``patch``.

    They are not of the type `spatial`: every patch counts its metres from its own corner.
    """
    y, x = array.dims[-2:]
    step_m = PATCH_SIDE_M / array.size
    offset = {"type": "offset", "extent": [step_m / 2, PATCH_SIDE_M - step_m / 2], "step": step_m, "unit": "m"}
    dimensions: dict[str, Any] = {array.dims[1]: {"type": "bands", "values": list(array.bands)}} if array.bands else {}
    return dimensions | {
        y: offset | {"description": "pixel centres south of the patch's upper edge"},
        x: offset | {"description": "pixel centres east of the patch's left edge"},
    }


def _variable(array: PixelArray) -> dict[str, Any]:
    variable = {
        "dimensions": list(array.dims),
        "variable_type": "data",
        "data_type": array.dtype,
        "unit": array.units,
    }
    # Zero is a digital number like others; only what is filled with something else lacks data there.
    nodata = "nan" if math.isnan(array.fill_value) else array.fill_value
    return variable if nodata == 0 else variable | {"nodata": nodata}
