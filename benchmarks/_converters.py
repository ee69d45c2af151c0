"""What somebody writes who converts the archive through rasterio: every file read, nothing checked, pixels in files."""

import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import rasterio
from numpy.typing import NDArray
from rasterio.io import MemoryFile

__all__ = ["from_folder", "from_tars_by_gdal", "from_tars_in_memory"]

# No look into the folder for files that belong to the one that is opened: there are none, and it costs the most.
_GDAL = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}

Band = tuple[str, NDArray[Any]]


def from_folder(archive: Path, to: Path) -> None:
    """Convert an unpacked archive."""
    _write(_read_paths(map(str, sorted(archive.rglob("*.tif")))), to)


def from_tars_by_gdal(archive: Path, to: Path) -> None:
    """Convert tars, which GDAL opens by itself."""

    def names() -> Iterator[str]:
        for path in sorted(archive.glob("*.tar")):
            with tarfile.open(path) as tar:
                yield from (f"/vsitar/{path}/{member.name}" for member in tar if member.name.endswith(".tif"))

    _write(_read_paths(names()), to)


def from_tars_in_memory(archive: Path, to: Path) -> None:
    """Convert tars, of which Python gives GDAL one file at a time."""

    def read() -> Iterator[Band]:
        for path in sorted(archive.glob("*.tar")):
            with tarfile.open(path) as tar:
                for member in tar:
                    file = tar.extractfile(member) if member.name.endswith(".tif") else None
                    if file is not None:
                        with MemoryFile(file.read()) as memory, memory.open() as raster:
                            yield member.name, raster.read(1)

    _write(read(), to)


def _read_paths(paths: Iterator[str]) -> Iterator[Band]:
    for path in paths:
        with rasterio.open(path) as raster:
            yield path, raster.read(1)


def _write(bands: Iterator[Band], to: Path) -> None:
    """Write the raw pixels of each band into a file of its own, one patch behind the other."""
    to.mkdir()
    files: dict[str, BinaryIO] = {}
    with rasterio.Env(**_GDAL), ExitStack() as stack:
        for path, pixels in bands:
            name = path.rpartition("_")[2]
            if name not in files:
                files[name] = stack.enter_context(open(to / name, "wb"))
            files[name].write(pixels.data)
