"""Ingest of GeoTIFFs that were saved anew, in tiles beside strips of the same compression, in one run.

The pairs are real ones varied, as in `benchmarks/ingest.py`; GDAL copies each of their files into every layout. Figures
are CPU seconds of this process, system calls included, page cache warm: the best of five rounds in which all layouts
take turns. A store is written in the profile ``fast``; that of each layout has to be the same as that of the archive's
own strips, byte for byte.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import rasterio
from rasterio.shutil import copy

import bigearth_xr as bex
from benchmarks._processes import cpu_s

PAIRS = 64
ROUNDS = 3
ENCODINGS: Mapping[str, dict[str, Any]] = {
    "stored": {},
    "lzw": {"compress": "LZW"},
    "deflate": {"compress": "DEFLATE"},
    "deflate_predictor": {"compress": "DEFLATE", "predictor": 2},
    "zstd": {"compress": "ZSTD"},
}
SIDES = (16, 32, 64, 128, 256)
COG = 512
"""Side of a tile of a COG, unless another is asked for: most of it is padding."""

Figures = dict[str, Any]


def main() -> Figures:
    """Measure strips and tiles of every encoding."""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        own = bex.testing.write_archive(root / "own", pairs=PAIRS, version="v2", pixels="real")
        archives = {"own": own}
        for name, options in ENCODINGS.items():
            archives[f"{name} strips"] = _save_anew(own, root / name / "strips", "GTiff", options)
            for side in SIDES:
                tiles = {"tiled": True, "blockxsize": side, "blockysize": side, **options}
                archives[f"{name} {side}"] = _save_anew(own, root / name / str(side), "GTiff", tiles)
            cog = {"blocksize": COG, "compress": "NONE", **options, "overviews": "NONE"}
            archives[f"{name} cog"] = _save_anew(own, root / name / "cog", "COG", cog)
        rounds = [
            {name: _ingest(archive, root) for name, archive in (*archives.items(), ("again", own))}
            for _ in range(ROUNDS)
        ]
    stores = {name: store for name, (_, store) in rounds[0].items()}
    assert all(store == stores["own"] for store in stores.values()), "a layout gives another store"
    cpu = {name: min(one[name][0] for one in rounds) / PAIRS for name in archives}
    return {
        "pairs": PAIRS,
        "rounds": ROUNDS,
        "own_cpu_ms_per_pair": cpu["own"] * 1e3,
        "encodings": {name: _compare(name, cpu) for name in ENCODINGS},
        "most_of_tiles_over_strips": max(_of_strips(name, cpu, side) for name in ENCODINGS for side in (*SIDES, "cog")),
    }


def _compare(name: str, cpu: Mapping[str, float]) -> Figures:
    """Give the figures of one encoding."""
    return {
        "strips_cpu_ms_per_pair": cpu[f"{name} strips"] * 1e3,
        "strips_over_own": cpu[f"{name} strips"] / cpu["own"],
        "tiles_over_strips": {f"tiles_of_{side}": _of_strips(name, cpu, side) for side in SIDES},
        "cog_over_strips": _of_strips(name, cpu, "cog"),
    }


def _of_strips(name: str, cpu: Mapping[str, float], kind: int | str) -> float:
    """CPU time of tiles divided by that of strips that are encoded alike."""
    return cpu[f"{name} {kind}"] / cpu[f"{name} strips"]


def _save_anew(archive: Path, to: Path, driver: str, options: Mapping[str, Any]) -> Path:
    """Copy an archive, with its GeoTIFFs in another layout; predictors are for integers here."""
    shutil.copytree(archive, to)
    for file in to.rglob("*.tif"):
        with rasterio.open(file) as source, rasterio.MemoryFile(ext="tif") as target:
            chosen = dict(options)
            if source.dtypes[0] == "float32":
                chosen.pop("predictor", None)
            copy(source, target.name, driver=driver, **chosen)
            data = bytes(target.getbuffer())
        file.write_bytes(data)
    return to


def _ingest(archive: Path, root: Path) -> tuple[float, dict[str, bytes]]:
    """Ingest an archive; CPU time, and the store."""
    store = root / "ben.zarr"
    start = cpu_s()
    bex.ingest(archive, store, profile="fast", workers=1)
    taken = cpu_s() - start
    files = {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*") if path.is_file()}
    shutil.rmtree(store)
    store.with_suffix(".parquet").unlink(missing_ok=True)
    return taken, files
