"""Runs of the command line that something happens to, and what is left of them."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import bigearth_xr as bex
from benchmarks._containers import write_lmdb
from bigearth_xr.releases import Release
from bigearth_xr.store.codec import ProfileName
from bigearth_xr.store.create import describe
from bigearth_xr.testing.container import Container

__all__ = ["PAIRS", "Archives", "Fault", "Trial", "command", "count_lost", "holdings"]

PAIRS = 1_100
"""Two shards, the second of them not full."""

_CONTAINERS: dict[str, Container] = {"folder": "folder", "tar": "tar", "tar.gz": "tar.gz", "tar.zst": "tar.zst"}


@dataclass(slots=True, kw_only=True)
class Fault:
    """One line of the table: what happened, how often, and what came of it."""

    fault: str
    """What happened."""

    where: str
    """To what: container, profile, release."""

    times: int = 0
    """How often."""

    is_same: bool = True
    """Whether at the end every file had the bytes of an undisturbed run, and no other file was there."""

    lost: int = 0
    """Patches that were not in the store at the end, or not with their pixels."""

    notes: dict[str, int] = field(default_factory=dict)
    """What was found on the way, counted."""

    exit_codes: set[int] = field(default_factory=set)
    """Exit codes of the runs that it happened to; negative for a signal."""

    message: str = ""
    """What the user reads."""

    def note(self, text: str) -> None:
        """Count something that was found; what should not be begins in capitals."""
        self.notes[text] = self.notes.get(text, 0) + 1


class Archives:
    """The same pairs in every kind of container, written when they are first asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def get(self, kind: str, version: Release) -> tuple[Path, ...]:
        """Give what to pass to the command line; ``published …`` has a file for each sensor, and lists beside them."""
        path = self.root / f"{version}-{kind.replace(' ', '-')}"
        if kind == "lmdb":
            return (path if path.exists() else write_lmdb(self.get("tar", version)[0], path),)
        if not path.exists():
            container = _CONTAINERS[kind.split()[-1]]
            bex.testing.write_archive(
                path, pairs=PAIRS, version=version, container=container, as_published=kind.startswith("published")
            )
        return (path,)


@dataclass(kw_only=True)
class Trial:
    """A store in a folder of its own, to be filled from an archive, and what is to be in it in the end."""

    folder: Path
    """Nothing else is in it."""

    archive: tuple[Path, ...]
    """The whole archive, unharmed."""

    profile: ProfileName
    """Of the store."""

    lists: Path | None = None
    """Lists that are named; those of v1 beside an LMDB."""

    @property
    def store(self) -> Path:
        """Where the store is."""
        return self.folder / "ben.zarr"

    @cached_property
    def expected(self) -> dict[str, str]:
        """Every file of an undisturbed run."""
        self.begin()
        done = self.run()
        if done.returncode:
            raise RuntimeError(f"undisturbed run of {self.archive} failed: {done.stdout}{done.stderr}")
        found = holdings(self.folder)
        self.begin()
        return found

    def begin(self) -> None:
        """Empty the folder; it may be the root of a file system."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in self.folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def run(self, archive: Sequence[Path] | None = None, *options: str) -> "subprocess.CompletedProcess[str]":
        """Ingest to the end; from another archive, where one is given."""
        return subprocess.run(self.ingest(archive, *options), capture_output=True, text=True, check=False)

    def ingest(self, archive: Sequence[Path] | None = None, *options: str) -> list[str]:
        """Give the command that ingests."""
        lists = ("--metadata", str(self.lists)) if self.lists else ()
        places = map(str, archive or self.archive)
        return command(
            "ingest", *places, str(self.store), "--profile", self.profile, "--workers", "2", *lists, *options
        )

    def check_opens(self, fault: Fault) -> None:
        """See that a store that is there opens, and says that it is not finished; or is finished indeed."""
        if not (self.store / "zarr.json").exists():
            fault.note("no store yet")
            return
        try:
            bex.open(self.store, states="all").state.load()
            told = describe(self.store).get("incomplete")
        except Exception as error:  # whatever it is, it is a finding
            fault.is_same = False
            fault.note(f"does not open: {error}")
            return
        if told is None:
            is_finished = holdings(self.store) == _below(self.expected, "ben.zarr/")
            fault.note("finished already" if is_finished else "DOES NOT SAY that it is incomplete")
            fault.is_same &= is_finished
        else:
            fault.note("opens, says incomplete")
            fault.message = fault.message or f"info: incomplete: {told}"

    def check_end(self, fault: Fault) -> None:
        """Ingest the whole archive, and compare every byte."""
        done = self.run()
        found = holdings(self.folder)
        fault.note(f"finished with exit code {done.returncode}")
        if done.returncode or found != self.expected:
            differing = sorted(name for name in found | self.expected if found.get(name) != self.expected.get(name))
            fault.is_same = False
            fault.note(f"{len(differing)} files differ, first {differing[:3]}: {(done.stdout + done.stderr)[-400:]}")
        fault.lost += count_lost(self.store)


def command(*arguments: str) -> list[str]:
    """Give a call of ``bigearth`` by this interpreter."""
    return [sys.executable, "-c", "from bigearth_xr.cli import main; main()", *arguments]


def holdings(folder: Path) -> dict[str, str]:
    """Digest every file below a folder, by its path."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def count_lost(store: Path, expected: int = PAIRS) -> int:
    """Count patches that a store should hold and does not."""
    try:
        return expected - int((bex.open(store, states="all").state == "stored").sum())
    except Exception:  # a store that does not open has lost all
        return expected


def _below(files: dict[str, str], folder: str) -> dict[str, str]:
    return {path.removeprefix(folder): digest for path, digest in files.items() if path.startswith(folder)}
