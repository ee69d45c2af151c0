"""The same pairs in every form that is read, and what is to be done with them."""

from pathlib import Path

import bigearth_xr as bex
from benchmarks._containers import write_lmdb
from benchmarks.peers.task import Task
from bigearth_xr.bands import S1_BANDS, S2_BANDS
from bigearth_xr.stats import band_statistics
from bigearth_xr.store.codec import PROFILES

__all__ = ["bytes_of", "write_pairs"]

BATCH = 256
COMPARED = 16
BANDS = [band.name for band in (*S1_BANDS, *S2_BANDS)]
"""In ConfigILM's order, which cannot be chosen."""


def write_pairs(folder: Path, *, pairs: int, files: int) -> Task:
    """Write pairs of v2 as stores of both profiles and as an LMDB; some of them as files too.

    The pixels are real ones varied (six pairs of the extra ``sample``), so that they are as hard to decode as real
    ones.
    """
    tar = bex.testing.write_archive(folder / "pairs.tar", pairs=pairs, container="tar", pixels="real")
    for profile in PROFILES:
        bex.ingest(tar, folder / f"{profile}.zarr", profile=profile)
    write_lmdb(tar, folder / "lmdb")
    tar.unlink()
    unpacked = bex.testing.write_archive(folder / "files", pairs=files, pixels="real")
    there = {path.name for path in (unpacked / "BigEarthNet-S2").glob("*/*")}
    ds = bex.open(folder / "fast.zarr")
    patches, halves = ds["patch"].values.tolist(), ds["s1_name"].values.tolist()
    stats = band_statistics("v2", "nearest")
    return Task(
        folder=str(folder),
        pairs=list(zip(patches, halves, strict=True)),
        bands=BANDS,
        mean=[stats.mean[name] for name in BANDS],
        std=[stats.std[name] for name in BANDS],
        batch=BATCH,
        compared=[row for row, patch in enumerate(patches) if patch in there][:COMPARED],
    )


def bytes_of(place: Path) -> int:
    """Add up the files of a place."""
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
