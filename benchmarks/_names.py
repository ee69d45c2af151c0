"""The files of a whole release by name: the 590,326 pairs of v1, without pixels."""

import json
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Literal, TypeAlias

from bigearth_xr.archive.names import JSON_SUFFIX
from bigearth_xr.archive.tar import Entry
from bigearth_xr.bands import BANDS, PATCH_SIDE_M
from bigearth_xr.grid import tile_origin
from bigearth_xr.sample import sample_lists
from bigearth_xr.table.lists import read_lists
from bigearth_xr.testing.pair import draw_labels

__all__ = ["PARTS", "Names", "Part"]

Part: TypeAlias = Literal["s1", "s2"]

PARTS: dict[Part, str] = {"s1": "BigEarthNet-S1-v1.0", "s2": "BigEarthNet-v1.0"}
"""The two archives of v1, and the folder at the top of each."""

_FILES: dict[Part, list[str]] = {
    part: [*(f"{band.name}.tif" for band in BANDS if band.sensor == part), JSON_SUFFIX] for part in PARTS
}
_STRIDE = 2**15
"""Bytes from file to file; those of a 10 m band have nearly as many."""


class Names:
    """What the lists of v1 name, and the JSONs that go with it, made as they are asked for."""

    def __init__(self) -> None:
        _, columns = read_lists([sample_lists()], "v1")
        self._columns = {name: columns[name] for name in ("patch", "s1_name", "tile", "column", "tile_row")}

    def entries(self, part: Part) -> Iterator[Entry]:
        """Name all files of one archive, as the reader of a tar does."""
        offset, files = 0, _FILES[part]
        for name in self._columns["patch" if part == "s2" else "s1_name"]:
            start = f"{PARTS[part]}/{name}/{name}_"
            for file in files:
                yield start + file, offset, _STRIDE // 2
                offset += _STRIDE

    def json_at(self, part: Part, offset: int) -> bytes:
        """Write the JSON that an entry stands for."""
        pair = offset // _STRIDE // len(_FILES[part])
        row = {name: column[pair].as_py() for name, column in self._columns.items()}
        origin = tile_origin(row["tile"])
        ulx, uly = origin.ulx + PATCH_SIDE_M * row["column"], origin.uly - PATCH_SIDE_M * row["tile_row"]
        content: dict[str, Any] = {
            "labels": draw_labels(pair, 0, drops_all=False),
            "coordinates": {"ulx": ulx, "uly": uly, "lrx": ulx + PATCH_SIDE_M, "lry": uly - PATCH_SIDE_M},
            "projection": self._projections[origin.epsg],
        }
        if part == "s1":
            content["corresponding_s2_patch"] = row["patch"]
        return json.dumps(content).encode()

    @cached_property
    def _projections(self) -> dict[int, str]:
        """WKT by zone, as long as that of the real files."""
        import pyproj

        return {epsg: pyproj.CRS(epsg).to_wkt("WKT1_GDAL") for epsg in range(32601, 32661)}
