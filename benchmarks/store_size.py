"""What the same pairs weigh as files, tars, an LMDB and stores, of both profiles.

500 pairs of v2: the six real ones of the extra ``sample`` varied (mirrored, turned, rolled, brightened), so that they
are as hard to compress as real ones; reference maps are formulas, which compress better than real ones. Files of the
archive are uncompressed GeoTIFFs, as published. Tars are compressed as the test tools do, gzip at level 1 by igzip and
zstd at level 1; the published ones are packed harder. The LMDB is that of rico-hdl: safetensors, uncompressed.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import bigearth_xr as bex
from benchmarks._containers import write_lmdb
from bigearth_xr.store.codec import PROFILES
from bigearth_xr.testing.container import Container

PAIRS = 500


def main() -> dict[str, Any]:
    """Give kB a pair of each, and how many times larger than ours the others are."""
    with TemporaryDirectory() as folder:
        places = _write(Path(folder))
        kb = {name: _bytes(place) / PAIRS / 1e3 for name, place in places.items()}
        kb["files_on_disk"] = _bytes(places["files"], on_disk=True) / PAIRS / 1e3
        inodes = {name: sum(1 for _ in places[name].rglob("*")) / PAIRS for name in ("files", *PROFILES)}
    return {
        "pairs": PAIRS,
        "kb_per_pair": kb,
        "inodes_per_pair": inodes,
        "times_fast": {name: size / kb["fast"] for name, size in kb.items()},
        "times_compact": {name: size / kb["compact"] for name, size in kb.items()},
    }


def _write(root: Path) -> dict[str, Path]:
    """Write the pairs in every form."""
    containers: dict[str, Container] = {"files": "folder", "tar": "tar", "tar_gz": "tar.gz", "tar_zst": "tar.zst"}
    places = {
        name: bex.testing.write_archive(root / name, pairs=PAIRS, container=container, pixels="real")
        for name, container in containers.items()
    }
    places["lmdb"] = write_lmdb(places["tar"], root / "lmdb")
    for profile in PROFILES:
        places[profile] = root / f"{profile}.zarr"
        bex.ingest(places["tar"], places[profile], profile=profile)
    return places


def _bytes(place: Path, *, on_disk: bool = False) -> int:
    """Add up the files of a place; on disk, with what their last blocks and their folders take."""
    files = [place, *place.rglob("*")]
    if on_disk:
        return sum(path.stat().st_blocks * 512 for path in files)
    return sum(path.stat().st_size for path in files if path.is_file())
