"""Full disks, and archives that are cut short, corrupted or hostile."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np

import bigearth_xr as bex
from benchmarks._trials import PAIRS, Archives, Fault, Trial, count_lost, holdings
from bigearth_xr.releases import Release
from bigearth_xr.store.codec import PROFILES, ProfileName
from bigearth_xr.testing import synthetic_pair
from bigearth_xr.testing.faults import flipped, hostile_members, truncated, with_corrupt_tiff, with_members
from bigearth_xr.testing.geotiff import Damage

__all__ = ["corrupt", "cut_short", "fill_disk", "send_hostile"]

VERSION: Release = "v2"

_ENOUGH_BYTES = 2**31
"""Of memory, which a tmpfs takes: for the store and for what a stream stages beside it."""

_LAST = ("duplicate", "absurd size")
"""Hostile members that follow all others: what the first pretends to repeat, and what the second leaves nothing of."""


def fill_disk(archives: Archives, folder: Path) -> Iterator[Fault]:
    """Let runs meet the end of a small tmpfs, then make it larger, and let them go on."""
    for kind in ("tar", "tar.zst"):
        for profile in PROFILES:
            fault = Fault(fault="disk full", where=f"{kind}, {profile}, {VERSION}")
            trial = Trial(folder=folder, archive=archives.get(kind, VERSION), profile=profile)
            assert trial.expected
            needed = _store_bytes(trial)
            for share in (0.02, 0.5, 0.9):
                fault.times += 1
                if not _mount(folder, int(share * needed)):
                    fault.note("not run: no permission to mount a tmpfs")
                    continue
                try:
                    done = trial.run()
                    _tell(fault, done)
                    trial.check_opens(fault)
                    _mount(folder, _ENOUGH_BYTES, remount=True)
                    trial.check_end(fault)
                finally:
                    subprocess.run(["umount", str(folder)], check=True)
            yield fault


def cut_short(archives: Archives, folder: Path) -> Iterator[Fault]:
    """Ingest archives that end early, or are damaged in the middle, then whole ones."""
    runs: tuple[tuple[str, ProfileName], ...] = (("tar", "fast"), ("tar.gz", "compact"), ("tar.zst", "fast"))
    for kind, profile in runs:
        trial = Trial(folder=folder, archive=archives.get(kind, VERSION), profile=profile)
        bad = archives.root / f"bad.{kind}"
        fault = Fault(fault="tar cut short", where=f"{kind}, {profile}, {VERSION}")
        for share in (0.02, 0.3, 0.7, 0.98):
            _ingest_then_whole(trial, truncated(trial.archive[0], bad, at=share), fault)
        yield fault
        # The one that has a checksum: nobody can see it in the others.
        if kind == "tar.gz":
            fault = Fault(fault="one byte flipped", where=f"{kind}, {profile}, {VERSION}")
            for share in (0.3, 0.7):
                _ingest_then_whole(trial, flipped(trial.archive[0], bad, at=share), fault)
            yield fault
        bad.unlink()


def corrupt(archives: Archives, folder: Path) -> Iterator[Fault]:
    """Ingest archives with one bad GeoTIFF: its patch is quarantined by name, all others have their pixels."""
    bad_patch, band = synthetic_pair(3).patch, "B03"
    for kind in ("tar", "tar.zst"):
        trial = Trial(folder=folder, archive=archives.get(kind, VERSION), profile="fast")
        whole = folder.with_name("whole")
        Trial(folder=whole, archive=trial.archive, profile="fast").run()
        fault = Fault(fault="corrupted member", where=f"{kind}, fast, {VERSION}")
        for how in get_args(Damage):
            bad = archives.root / f"bad.{kind}"
            with_corrupt_tiff(trial.archive[0], bad, patch=bad_patch, band=band, how=how)
            trial.begin()
            done = trial.run([bad], "--report", str(folder / "report.json"))
            _tell(fault, done)
            fault.times += 1
            report = json.loads((folder / "report.json").read_text())
            quarantined = report["quarantined"]
            fault.message = fault.message if how != "geo" else quarantined.get(bad_patch, "")
            fault.note("quarantined by name" if list(quarantined) == [bad_patch] else f"quarantined: {quarantined}")
            fault.is_same &= list(quarantined) == [bad_patch]
            fault.is_same &= _others_same(trial.store, whole / "ben.zarr", bad_patch)
            fault.lost += count_lost(trial.store) - 1
        bad.unlink()
        shutil.rmtree(whole)
        yield fault


def send_hostile(archives: Archives, folder: Path) -> Iterator[Fault]:
    """Ingest archives with a member that no archive has: it is reported, and nothing is written elsewhere."""
    pair = synthetic_pair(3)
    for kind in ("tar", "tar.gz"):
        trial = Trial(folder=folder, archive=archives.get(kind, VERSION), profile="fast")
        fault = Fault(fault="hostile member", where=f"{kind}, fast, {VERSION}")
        top = "BigEarthNet-S2"
        path = f"{top}/{pair.patch[:-6]}/{pair.patch}/{pair.patch}_B02.tif"
        assert trial.expected
        for name, member in hostile_members(path).items():
            bad = archives.root / f"bad.{kind}"
            with_members(trial.archive[0], bad, [member], where="end" if name in _LAST else "start")
            trial.begin()
            around = _around(folder, archives.root, top)
            done = trial.run([bad], "--report", str(folder / "report.json"))
            fault.times += 1
            _tell(fault, done)
            report = json.loads((folder / "report.json").read_text())
            (folder / "report.json").unlink()
            kinds = {problem["kind"] for problem in report["problems"]}
            fault.note("reported" if kinds & {"refused", "truncated"} else f"NOT REPORTED: {name}")
            is_clean = _around(folder, archives.root, top) == around
            fault.note("nothing written elsewhere" if is_clean else "WRITTEN ELSEWHERE")
            fault.is_same &= bool(kinds) and is_clean
            if done.returncode:
                fault.note(f"exit code {done.returncode}: {name}")
                trial.check_opens(fault)
                trial.check_end(fault)
            elif holdings(folder) != trial.expected:
                fault.is_same = False
                fault.note(f"store differs: {name}")
        bad.unlink()
        yield fault


def _ingest_then_whole(trial: Trial, bad: Path, fault: Fault) -> None:
    """Ingest a bad archive, then the whole one into the same store."""
    assert trial.expected
    trial.begin()
    fault.times += 1
    _tell(fault, trial.run([bad]))
    trial.check_opens(fault)
    trial.check_end(fault)


def _tell(fault: Fault, done: "subprocess.CompletedProcess[str]") -> None:
    """Keep how a run ended, and the first of what it said."""
    fault.exit_codes.add(done.returncode)
    said = (done.stderr if done.returncode == 2 else done.stdout).strip().splitlines()
    fault.message = fault.message or (" ".join(said)[:300] if done.returncode == 2 else " ".join(said[-3:])[:300])
    if "Traceback" in done.stderr:
        fault.note(f"TRACEBACK: {done.stderr[-300:]}")


def _others_same(store: Path, whole: Path, but: str) -> bool:
    """Whether all patches but one have the pixels of a store of the whole archive."""
    ours, theirs = bex.open(store), bex.open(whole)
    theirs = theirs.isel(patch=np.flatnonzero(theirs.patch.values != but))
    return bool((ours.patch.values == theirs.patch.values).all()) and all(
        np.array_equal(ours[name].isel(patch=rows), theirs[name].isel(patch=rows))
        for name in ("s1", "reference_map", *(name for name in ours if str(name).startswith("B")))
        if name in ours
        for rows in (slice(start, start + 256) for start in range(0, PAIRS, 256))
    )


def _around(folder: Path, archives: Path, top: str) -> list[str]:
    """Name what lies beside a store's folder and the archives, and the archive's top wherever else it may be."""
    beside = sorted(str(path) for place in (folder.parent, archives) for path in place.iterdir())
    elsewhere = (folder.parent.parent, Path.cwd(), Path.cwd().parent, Path("/"))
    return beside + [str(place / top) for place in elsewhere if (place / top).exists()]


def _store_bytes(trial: Trial) -> int:
    """Bytes of the whole store, by making it once."""
    trial.begin()
    trial.run()
    size = sum(path.stat().st_size for path in trial.folder.rglob("*") if path.is_file())
    trial.begin()
    return size


def _mount(folder: Path, size: int, *, remount: bool = False) -> bool:
    """Mount a tmpfs of so many bytes, or give the one that is there as many; False without permission."""
    options = f"size={size}" + (",remount" if remount else "")
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
