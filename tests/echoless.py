"""A store whose radar has pixels that are not finite."""

from pathlib import Path
from typing import Any

import numpy as np

import bigearth_xr as bex
from bigearth_xr.store.codec import ProfileName
from bigearth_xr.testing import encode_tiff, formula_pixels, synthetic_pair, write_archive

PAIRS = 6
# By pair: pixels of VV and VH, and what they become.
BAD: dict[int, list[tuple[str, Any, float]]] = {
    1: [("VV", (50, 60), -np.inf)],
    2: [("VV", np.s_[:, :7], np.nan), ("VH", (0, 0), np.inf)],
    4: [("VH", np.s_[100:, 3], -np.inf)],
}


def write_echoless(folder: Path, profile: ProfileName) -> Path:
    """Write a store of six pairs of which three have radar pixels without echo."""
    archive = write_archive(folder / "archive", pairs=PAIRS)
    for number, changes in BAD.items():
        pair = synthetic_pair(number)
        ulx, uly = pair.corner
        for band in {band for band, _, _ in changes}:
            pixels = formula_pixels(pair.patch, band)
            for _, where, value in (change for change in changes if change[0] == band):
                pixels[where] = value
            (file,) = archive.rglob(f"{pair.s1_name}_{band}.tif")
            file.write_bytes(encode_tiff(pixels, epsg=pair.epsg, ulx=ulx, uly=uly))
    bex.ingest(archive, folder / "ben.zarr", profile=profile)
    return folder / "ben.zarr"
