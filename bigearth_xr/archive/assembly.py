"""From the halves that were found to patches to read, or to problems where there is none."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from bigearth_xr.archive.layout import (
    JSON_SUFFIX,
    REFERENCE_MAP,
    S1Name,
    S2Name,
    parse_s1,
    parse_s2,
)
from bigearth_xr.archive.metadata import tile_corner
from bigearth_xr.archive.patches import PatchFiles, Problem
from bigearth_xr.archive.scan import Scan
from bigearth_xr.archive.source import PixelSource
from bigearth_xr.bands import PATCH_SIDE_M, Sensor
from bigearth_xr.products import PRODUCTS
from bigearth_xr.releases import Release
from bigearth_xr.tiles import tile_origin

__all__ = ["Assembly"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """What was found, how it pairs, and what is wanted of it."""

    source: PixelSource
    """Where the files are."""

    found: Scan
    """The folders."""

    pairs: Mapping[str, str]
    """Sentinel-1 name by patch id."""

    release: Release
    """Release of the archive."""

    sensors: tuple[Sensor, ...]
    """Halves that a patch must have."""

    bands: tuple[str, ...]
    """Bands to read."""

    def outcomes(self) -> Iterator[PatchFiles | Problem]:
        """Give a patch or a problem for everything that was found, but what is reported already."""
        ids = set(self.found.s2) if "s2" in self.sensors else set()
        if "s1" in self.sensors:
            ids |= {s2 for s2, s1 in self.pairs.items() if s1 in self.found.s1}
            for s1 in self.found.s1.keys() - self.pairs.values() - self.found.twice:
                yield self._lonely(s1, "a Sentinel-2 patch that fits is not in the archive")
        for patch in sorted(ids):
            if self.found.twice.isdisjoint((patch, self.pairs.get(patch))):
                yield self._outcome(patch)
        for patch in self.found.reference_maps.keys() - self.found.s2.keys() - ids:
            yield self._lonely(patch, "it is a reference map without a patch")

    def _outcome(self, patch: str) -> PatchFiles | Problem:
        """Give one patch, or say what it lacks."""
        s1_name = self.pairs.get(patch)
        if "s2" in self.sensors and patch not in self.found.s2:
            return self._lonely(str(s1_name), f"its partner {patch} is not in the archive")
        if "s1" in self.sensors and s1_name not in self.found.s1:
            known = f"its partner {s1_name}" if s1_name else "a Sentinel-1 patch that fits"
            return self._lonely(patch, f"{known} is not in the archive")
        return self._place(parse_s2(patch), parse_s1(s1_name) if s1_name else None)

    def _place(self, s2: S2Name, s1: S1Name | None) -> PatchFiles | Problem:
        """Find the tile of a patch and put its files together."""
        tile = s2.tile or (s1.tile if s1 else self._tile_by_json(s2))
        if tile is None:
            return Problem(
                patch=s2.name,
                kind="unplaced",
                message=f"{s2.name} has an unknown tile: neither its JSON nor a partner tells it; "
                "unpack its JSON, or give the metadata that names its partner",
            )
        if s1 and (s1.tile, s1.column, s1.row) != (tile, s2.column, s2.row):
            return self._lonely(s2.name, f"it is said to pair with {s1.name}, which lies elsewhere")
        return self._files(s2, tile, s1.name if s1 else None)

    def _files(self, s2: S2Name, tile: str, s1_name: str | None) -> PatchFiles:
        """Say where each file of a patch must be."""
        origin = tile_origin(tile)
        maps = self.found.reference_maps.get(s2.name)
        return PatchFiles(
            patch=s2.name,
            s1_name=s1_name,
            release=self.release,
            tile=tile,
            column=s2.column,
            row=s2.row,
            epsg=origin.epsg,
            ulx=origin.ulx + PATCH_SIDE_M * s2.column,
            uly=origin.uly - PATCH_SIDE_M * s2.row,
            bands=self.bands,
            s2_folder=self.found.s2[s2.name] if "s2" in self.sensors else None,
            s1_folder=self.found.s1[str(s1_name)] if "s1" in self.sensors else None,
            reference_map=f"{maps}/{s2.name}_{REFERENCE_MAP}.tif" if maps is not None else None,
            has_json=self.release == "v1" and self.source.has_json,
        )

    def _tile_by_json(self, s2: S2Name) -> str | None:
        """Find the tile on whose grid the JSON of a v1 patch puts it."""
        if s2.name not in self.found.s2:
            return None
        path = f"{self.found.s2[s2.name]}/{s2.name}_{JSON_SUFFIX}"
        corner = tile_corner(self.source, path, column=s2.column, row=s2.row)
        return None if corner is None else _tiles_by_corner().get(corner)

    def _lonely(self, name: str, reason: str) -> Problem:
        """Report a half that cannot be used."""
        places = (self.found.s2, self.found.s1, self.found.reference_maps)
        where = next(folders[name] for folders in places if name in folders)
        message = (
            f"{self.source.locate(where)} is not used: {reason}; unpack the rest, ask for "
            "one sensor with sensors=…, or give the metadata that names its partner"
        )
        return Problem(patch=name, kind="unpaired", message=message)


@cache
def _tiles_by_corner() -> dict[tuple[int, float, float], str]:
    """Index the tiles of both releases by zone and upper left corner."""
    origins = {tile_origin(product.tile) for product in PRODUCTS}
    return {(origin.epsg, origin.ulx, origin.uly): origin.tile for origin in origins}
