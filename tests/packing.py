"""Unpacked archives put into containers, whole, in part, or in another order; and containers split into parts."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from archives import LISTS

from bigearth_xr.testing.container import write_tar

Files = list[tuple[str, bytes]]


def files_of(archive: Path) -> Files:
    """Files of an unpacked archive, as a tar has them."""
    return [
        (path.relative_to(archive).as_posix(), path.read_bytes())
        for path in sorted(archive.rglob("*"))
        if path.is_file()
    ]


def put(files: Files, path: Path) -> Path:
    """Write files as the name says: into a folder, a tar, or a compressed one."""
    if "".join(path.suffixes) in (".tar", ".tar.gz"):
        write_tar(path, files, "tar" if path.suffix == ".tar" else "tar.gz")
        return path
    for name, data in files:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def pack(archive: Path, to: Path, order: Callable[[Files], Files] = lambda files: files) -> Path:
    """Write a compressed tar of an unpacked archive; its lists go into a folder beside it."""
    to.mkdir()
    lists = [name for name in LISTS if (archive / name).exists()]
    for name in lists:
        copy = shutil.copytree if (archive / name).is_dir() else shutil.copy
        copy(archive / name, to / name)
    path = to / "ben.tar.gz"
    write_tar(path, order([file for file in files_of(archive) if file[0].partition("/")[0] not in lists]), "tar.gz")
    return path


def lists_of(packed: Path) -> Path:
    """Where the lists of a packed archive lie."""
    return packed.parent / "lists" if (packed.parent / "lists").exists() else packed.parent


def split(path: Path, to: Path, size: int, *options: str, prefix: str | None = None) -> list[Path]:
    """Let split cut a file into a folder; its parts in order, which split itself tells."""
    to.mkdir(exist_ok=True)
    done = subprocess.run(
        ["split", "--verbose", f"-b{size}", *options, path, to / (path.name if prefix is None else prefix)],
        check=True,
        capture_output=True,
        text=True,
        env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
    )
    parts = [Path(line.split("'")[1]) for line in done.stdout.splitlines()]
    assert b"".join(part.read_bytes() for part in parts) == path.read_bytes()
    return parts
