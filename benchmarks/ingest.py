"""Ingest from every container, beside converters through rasterio, in one run, page cache warm.

The pairs are real ones varied (six pairs of the extra ``sample``: mirrored, turned, rolled, brightened), so that they
are as hard to compress as real ones. Containers are as published: a folder, or one file a sensor and one of maps, with
the lists beside them. CPU time is that of this process and of its children, system calls included; the best of three
rounds, side by side. What rasterio's side does: `benchmarks/_converters.py`; how the time for all pairs follows:
`benchmarks/_bounds.py`.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import bigearth_xr as bex
from benchmarks import _bounds, _converters
from benchmarks._containers import write_lmdb
from benchmarks._processes import cpu_s
from bigearth_xr.archive.bytestream import open_bytes
from bigearth_xr.releases import Release
from bigearth_xr.store.codec import PROFILES
from bigearth_xr.testing.container import Container

PAIRS = 2048
ROUNDS, REPEATS = 3, 2
"""Ours, in which seconds are few, is repeated in each round, as other work on the machine disturbs it more."""
CORES = (2, 16)
CONTAINERS: Mapping[Release, tuple[Container | Literal["lmdb"], ...]] = {
    "v2": ("tar", "tar.gz", "tar.zst", "folder", "lmdb"),
    "v1": ("tar", "tar.gz", "folder"),
}
STREAMS = ("tar.gz", "tar.zst")

Figures = dict[str, Any]
Cpu = Mapping[str, float]
"""CPU seconds of a pair, by what was done."""


def main() -> Figures:
    """Measure both releases, v2 first."""
    with TemporaryDirectory() as folder:
        figures: Figures = {"pairs": PAIRS, "rounds": ROUNDS, "full_pairs": _bounds.FULL_PAIRS}
        figures["disk_mb_per_s"] = _bounds.disk_mb_per_s(Path(folder))
        for version in CONTAINERS:
            root = Path(folder) / version
            figures[version] = _measure(root, version, figures["disk_mb_per_s"])
            shutil.rmtree(root)
    return figures


def _measure(root: Path, version: Release, disk_mb_per_s: float) -> Figures:
    """Measure one release."""
    archives: dict[str, Path] = {name: _write(root, version, name) for name in CONTAINERS[version]}
    lists = archives["folder"] / "lists" if version == "v1" else archives["folder"]
    facts: Figures = {}
    rounds = [_round(root, archives, lists, facts) for _ in range(ROUNDS)]
    cpu = {name: min(one[name] for one in rounds) / PAIRS for name in rounds[0]}
    rasterio = {name.split()[1]: 1 / seconds for name, seconds in cpu.items() if name.startswith("rasterio")}
    best_of_tar = max(rate for name, rate in rasterio.items() if name != "folder")
    return {
        "rasterio_pairs_per_cpu_s": rasterio,
        "speedup_over_rasterio": {
            "tar": 1 / cpu["tar fast"] / best_of_tar,
            "folder": 1 / cpu["folder fast"] / rasterio["folder"],
        },
        "containers": {
            name.replace(".", "_"): (_of_stream if name in STREAMS else _of_files)(name, cpu) for name in archives
        },
        "extra_bytes_per_pair": {name.replace(".", "_"): facts[f"{name} extra"] / PAIRS for name in archives},
        "hours_to_write_all_pairs_to_this_disk": {
            profile: facts[f"{profile} bytes"] / PAIRS * _bounds.FULL_PAIRS / 1e6 / disk_mb_per_s / 3600
            for profile in PROFILES
        },
    }


def _write(root: Path, version: Release, container: Container | Literal["lmdb"]) -> Path:
    """Write the archive in a container."""
    path = root / container
    if container == "lmdb":
        return write_lmdb(root / "tar", path)
    is_tar = container != "folder"
    return bex.testing.write_archive(
        path, pairs=PAIRS, version=version, pixels="real", container=container, as_published=is_tar
    )


def _round(root: Path, archives: dict[str, Path], lists: Path, facts: Figures) -> dict[str, float]:
    """Do everything once, and give the CPU time of each, seconds."""
    cpu: dict[str, float] = {}
    converters = {"folder": _converters.from_folder, "tar_by_gdal": _converters.from_tars_by_gdal}
    converters["tar_in_memory"] = _converters.from_tars_in_memory
    for name, convert in converters.items():
        archive = archives["folder" if name == "folder" else "tar"]
        cpu[f"rasterio {name}"] = _cpu_s(partial(convert, archive, root / "raw"))
        shutil.rmtree(root / "raw")
    for name, archive in archives.items():
        for profile in PROFILES:
            store = root / "ben.zarr"
            ingest = partial(bex.ingest, archive, store, lists, profile=profile, workers=1)
            for _ in range(REPEATS):
                shutil.rmtree(store, ignore_errors=True)
                start = cpu_s()
                report = ingest()
                taken = cpu_s() - start
                cpu[f"{name} {profile}"] = min(taken, cpu.get(f"{name} {profile}", taken))
            # There is nothing to do but to find that out.
            cpu[f"{name} plan"] = _cpu_s(ingest)
            facts[f"{name} extra"] = max(facts.get(f"{name} extra", 0), report.extra_bytes)
            facts[f"{profile} bytes"] = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
            shutil.rmtree(store)
        if name in STREAMS:
            streams = [_cpu_s(partial(_decompress, path)) for path in sorted(archive.glob(f"*.{name}"))]
            cpu |= {f"{name} decompression": sum(streams), f"{name} largest": max(streams)}
    return cpu


def _of_files(name: str, cpu: Cpu) -> Figures:
    """Give the figures of what can be read in any order."""
    return {
        profile: {
            "pairs_per_cpu_s": 1 / cpu[f"{name} {profile}"],
            "all_pairs": {
                f"on_{cores}_cores": asdict(
                    _bounds.of_files(plan_s=cpu[f"{name} plan"], all_s=cpu[f"{name} {profile}"], cores=cores)
                )
                for cores in CORES
            },
        }
        for profile in PROFILES
    }


def _of_stream(name: str, cpu: Cpu) -> Figures:
    """Give the figures of what is compressed, with decompression apart."""
    all_s, decompression_s = cpu[f"{name} fast"], cpu[f"{name} decompression"]
    second_s = {"fast": 0.0, "compact": cpu[f"{name} compact"] - all_s}
    figures: Figures = {
        profile: {
            "pairs_per_cpu_s": 1 / (all_s + more_s),
            "pairs_per_cpu_s_without_decompression": 1 / (all_s + more_s - decompression_s),
            "all_pairs": {
                f"on_{cores}_cores": asdict(
                    _bounds.of_streams(
                        largest_s=cpu[f"{name} largest"],
                        decompression_s=decompression_s,
                        fast_s=all_s,
                        second_pass_s=more_s,
                        cores=cores,
                    )
                )
                for cores in CORES
            },
        }
        for profile, more_s in second_s.items()
    }
    return {"decompression_pairs_per_cpu_s": 1 / decompression_s, **figures}


def _decompress(path: Path) -> None:
    """Decompress a stream to its end, as ingest does, and let it go."""
    with open_bytes(path) as stream:
        while stream.read(1 << 21):
            pass


def _cpu_s(action: Callable[[], object]) -> float:
    start = cpu_s()
    action()
    return cpu_s() - start
