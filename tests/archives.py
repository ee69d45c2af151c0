"""Archives of a test: where their parts lie, what is wrong with them, and ways to spoil them."""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from bigearth_xr.archive import Archive, PatchFiles, Problem

LISTS = ("metadata.parquet", "metadata_for_patches_with_snow_cloud_or_shadow.parquet", "lists")
"""What an archive, of either release, holds beside its patches."""


def kinds(archive: Archive) -> Counter[str]:
    """Count what is wrong with an archive, by its kind."""
    return Counter(problem.kind for problem in archive.problems)


def only(archive: Archive) -> Problem:
    """Give the one problem of an archive."""
    (problem,) = archive.problems
    return problem


def s1_of(patch: PatchFiles) -> str:
    """Give the name of a partner that must be known."""
    assert patch.s1_name is not None
    return patch.s1_name


def at(root: Path, path: str | None) -> Path:
    """Give the full path of a file or folder that must be known."""
    assert path is not None
    return root / path


def without_lists(archive: Path, to: Path) -> Path:
    """Move the lists of an archive away, into a folder of their own."""
    to.mkdir()
    for name in LISTS:
        if (archive / name).exists():
            shutil.move(archive / name, to / name)
    return to / "lists" if (to / "lists").exists() else to


def break_tiff(archive: Path) -> Callable[[], object]:
    """Cut a TIFF short; what comes back mends it."""
    file = sorted(archive.rglob("*_B8A.tif"))[7]
    data = file.read_bytes()
    file.write_bytes(data[:1000])
    return lambda: file.write_bytes(data)


def break_json(archive: Path) -> Callable[[], object]:
    """Spoil a JSON, which in v1 holds labels; what comes back mends it."""
    file = sorted(archive.rglob("S2*_labels_metadata.json"))[7]
    data = file.read_bytes()
    file.write_bytes(data + b"pasted")
    return lambda: file.write_bytes(data)
