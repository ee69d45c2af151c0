"""What a store, or any folder, holds: every file by its path."""

import shutil
from pathlib import Path


def files(root: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def holdings(store: Path) -> dict[str, bytes]:
    """Every file of a store, and its table."""
    return files(store) | {"table": store.with_suffix(".parquet").read_bytes()}


def changes(store: Path) -> dict[str, int]:
    """When each file of a store, and its table, was changed, in nanoseconds."""
    paths = [store.with_suffix(".parquet"), *(path for path in store.rglob("*") if path.is_file())]
    return {str(path): path.stat().st_mtime_ns for path in paths}


def leftovers(folder: Path) -> set[str]:
    """What lies beside stores and tables."""
    return {path.name for path in folder.iterdir() if path.suffix in (".ingest", ".lock", ".new", ".partial")}


def copy_store(store: Path, folder: Path) -> Path:
    """Copy a store and its table into a folder, for a test to damage."""
    shutil.copy(store.with_suffix(".parquet"), folder)
    return shutil.copytree(store, folder / store.name)
