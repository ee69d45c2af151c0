"""Ingest of GeoTIFFs that were saved anew, in tiles beside strips of the same compression, in one run.

The pairs are real ones varied, as in `benchmarks/ingest.py`; tifffile writes each of their files in every layout, GDAL
the COGs. Figures are of CPU time of this process, system calls included, page cache warm: what a worker of ingest does,
from the files of an archive to a shard of each array on disk, in the profile ``fast``; the least of all rounds, in
which the layouts take turns. The shards of each layout have to be those of the archive's own strips, byte for byte.
"""

import io
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import rasterio
import tifffile
from rasterio.shutil import copy

import bigearth_xr as bex
from benchmarks._processes import cpu_s
from bigearth_xr.archive import open_archive
from bigearth_xr.ingestion.shards import FileJob
from bigearth_xr.store.open import open_store
from bigearth_xr.store.read import read_column

PAIRS = 12
ROUNDS = 5
ENCODINGS: Mapping[str, tuple[int, int]] = {
    "stored": (1, 1),
    "lzw": (5, 1),
    "deflate_predictor": (8, 2),
    "zstd": (50000, 1),
}
"""Compression and predictor, by their codes."""

_COMPRESS = {1: "NONE", 5: "LZW", 8: "DEFLATE", 50000: "ZSTD"}
_PLACE = (33550, 33922, 34735)
SIDES = (32, 64, 256)
COG = 512
"""Side of a tile of a COG, unless another is asked for: most of it is padding."""

Figures = dict[str, Any]


def main() -> Figures:
    """Measure strips and tiles of every encoding."""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        own = bex.testing.write_archive(root / "own", pairs=PAIRS, version="v2", pixels="real")
        archives = {"own": own}
        for name, encoding in ENCODINGS.items():
            for cut in ("strips", *SIDES, "cog"):
                archives[f"{name} {cut}"] = _save_anew(own, root / name / str(cut), cut, encoding)
        store = root / "ben.zarr"
        bex.ingest(own, store, profile="fast", workers=1)
        expected = _shards(store)
        jobs = {name: _job(archive, store) for name, archive in archives.items()}
        rounds = [{name: _write(job) for name, job in jobs.items()} for _ in range(ROUNDS)]
        for name, job in jobs.items():
            job.write()
            assert _shards(store) == expected, f"{name} gives another store"
    cpu = {name: min(one[name] for one in rounds) / PAIRS for name in archives}
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


def _save_anew(archive: Path, to: Path, cut: int | str, encoding: tuple[int, int]) -> Path:
    """Copy an archive, with its GeoTIFFs in another layout; predictors are for integers here."""
    shutil.copytree(archive, to)
    for file in to.rglob("*.tif"):
        compression, predictor = encoding if file.stem[-2:] not in ("VV", "VH") else (encoding[0], 1)
        file.write_bytes(
            _as_cog(file, compression, predictor)
            if cut == "cog"
            else _encode(file, None if cut == "strips" else int(cut), compression, predictor)
        )
    return to


def _encode(file: Path, side: int | None, compression: int, predictor: int) -> bytes:
    """Write an image in tiles, or in strips of 8 KiB as GDAL does."""
    with tifffile.TiffFile(file) as source:
        page = source.pages.first
        pixels, tags = page.asarray(), page.tags
        places = [(code, tags[code].dtype, tags[code].count, tags[code].value, True) for code in _PLACE]
    data = io.BytesIO()
    tifffile.imwrite(
        data,
        pixels,
        tile=None if side is None else (side, side),
        rowsperstrip=None if side else min(8192 // pixels[0].nbytes, len(pixels)),
        compression=compression,
        predictor=predictor,
        metadata=None,
        extratags=places,
    )
    return data.getvalue()


def _as_cog(file: Path, compression: int, predictor: int) -> bytes:
    """Let GDAL write a COG."""
    with rasterio.open(file) as source, rasterio.MemoryFile(ext="tif") as target:
        options = {"predictor": "STANDARD"} if predictor == 2 else {}
        copy(source, target.name, driver="COG", blocksize=COG, compress=_COMPRESS[compression], **options)
        return bytes(target.getbuffer())


def _job(archive: Path, store: Path) -> FileJob:
    """Put together what a worker of ingest has to know to write the shard of all pairs."""
    opened, source = open_store(store), open_archive(archive)
    rows = {str(name): row for row, name in enumerate(read_column(opened, "patch"))}
    return FileJob(
        store=opened,
        archive=replace(source, patches=()),
        shard=0,
        patches={rows[patch.patch]: patch for patch in source.patches},
        refused={},
        kept=frozenset(),
    )


def _write(job: FileJob) -> float:
    """Write a shard, of which all headers were met before; CPU time."""
    job.write()
    start = cpu_s()
    job.write()
    return cpu_s() - start


def _shards(store: Path) -> dict[str, bytes]:
    """Give the shards of all arrays, byte for byte."""
    return {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("c/**/*") if path.is_file()}
