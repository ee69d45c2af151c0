"""Items of all 590,326 pairs of v1 with every asset, straight as Arrow, beside the same items as pystac objects.

The table is real (the published lists, extra ``sample``). Ours writes the whole catalogue. The peers' side makes items
of the first 5,000 rows from the same facts with pystac, alone (``pystac_objects``: to JSON documents, not written) and
with stac-geoparquet after it (``pystac_to_parquet``: the same file as ours). Time is that of the clock, one process;
the best of three rounds.
"""

import time
from collections.abc import Callable
from datetime import UTC
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pystac
import stac_geoparquet.arrow
from bigearth_stac import build_catalog
from bigearth_stac.assets import Holdings, asset_templates
from bigearth_stac.items import footprint_rings
from bigearth_stac.properties import PROPERTIES

from bigearth_xr import table
from bigearth_xr.sample import sample_lists

ROUNDS = 3
PYSTAC_ITEMS = 5_000
HREF = "https://example.org/ben.zarr"


def main() -> dict[str, object]:
    """Measure both sides in turn, and give items a second and the size of the file."""
    rows = table.from_lists(sample_lists())
    few = rows.slice(0, PYSTAC_ITEMS)
    with TemporaryDirectory() as folder:
        path, out = Path(folder) / "ben.parquet", Path(folder) / "catalog"
        table.write(rows, path)
        rounds = [
            {
                "pystac_objects": PYSTAC_ITEMS / _seconds(lambda: _with_pystac(few)),
                "pystac_to_parquet": PYSTAC_ITEMS / _seconds(lambda: _to_parquet(few, Path(folder) / "peer.parquet")),
                "ours": rows.num_rows / _seconds(lambda: build_catalog(path, out, zarr_href=HREF)),
                "ours_without_store": rows.num_rows / _seconds(lambda: build_catalog(path, Path(folder) / "bare")),
            }
            for _ in range(ROUNDS)
        ]
        size_mb = (out / "items.parquet").stat().st_size / 1e6
    best = {side: max(rates[side] for rates in rounds) for side in rounds[0]}
    return {
        "items": rows.num_rows,
        "items_per_s": best,
        "speedup_over_pystac_to_parquet": best["ours"] / best["pystac_to_parquet"],
        "parquet_mb": size_mb,
        "parquet_mb_per_100k": size_mb / rows.num_rows * 1e5,
    }


def _with_pystac(rows: pa.Table) -> list[dict[str, Any]]:
    """Make the items one object at a time."""
    holdings = Holdings(zarr_href=HREF)
    templates = asset_templates(holdings)
    items = []
    for number, (row, ring) in enumerate(
        zip(rows.drop_columns(["geometry"]).to_pylist(), footprint_rings(rows["geometry"]).tolist(), strict=True)
    ):
        told = row | {"row": number}
        item = pystac.Item(
            id=row["patch"],
            geometry={"type": "Polygon", "coordinates": [ring]},
            bbox=list(row["bbox"].values()),
            datetime=row["s2_time"].replace(tzinfo=UTC),
            properties={one.key: told[one.column] for one in PROPERTIES if told[one.column] is not None},
            stac_extensions=holdings.extensions,
            collection="bigearthnet-v1",
        )
        for name, template in templates.items():
            asset = template | {"href": f"{HREF}/{name}", "bigearth:selection": {"patch": number}}
            item.add_asset(name, pystac.Asset.from_dict(asset))
        items.append(item.to_dict())
    return items


def _to_parquet(rows: pa.Table, path: Path) -> None:
    """Write them as others would."""
    batches = stac_geoparquet.arrow.parse_stac_items_to_arrow(_with_pystac(rows))
    stac_geoparquet.arrow.to_parquet(batches, path)


def _seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start
