"""A small store of everything that a store can hold, its archive, and what kind of file each of its files is."""

import hashlib
import shutil
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import bigearth_xr as bex
from bigearth_xr.releases import Release
from bigearth_xr.store.codec import ProfileName

__all__ = ["Specimen", "kind_of"]

PAIRS = 4
EMBEDDED = ("spectral", ["B02", "VV"])
"""Name of the embedding, and the bands that it is made of."""

_BANDS = ["B02", "B05", "B01", "VV"]
"""One of each array: small shards are read quickly, and a flipped bit of one is as good as of another."""


class Specimen:
    """A store with an absent row, a patch without a map, and an embedding of which one row is not computed."""

    def __init__(self, folder: Path, release: Release, profile: ProfileName) -> None:
        self.release, self.profile = release, profile
        self.folder = folder
        self.archive = bex.testing.write_archive(folder / "archive", pairs=PAIRS, version=release)
        self.lists = self.archive / "lists" if release == "v1" else self.archive
        self._thin_out()
        bex.ingest(self.archive, self.store, self.lists, profile=profile, bands=_BANDS, rows="listed", workers=1)
        self.embed()
        self._keep = shutil.copytree(self.store.parent, folder / "kept")

    @property
    def store(self) -> Path:
        """Where the store is; its table lies beside it, and nothing else."""
        return self.folder / "live" / "ben.zarr"

    @cached_property
    def files(self) -> dict[str, str]:
        """Every file as it was made, by its path beside the store, and what kind it is."""
        paths = (path.relative_to(self._keep) for path in sorted(self._keep.rglob("*")) if path.is_file())
        return {path.as_posix(): kind_of(path) for path in paths}

    def content(self, file: str) -> bytes:
        """Bytes of a file as it was made."""
        return (self._keep / file).read_bytes()

    def embed(self) -> None:
        """Compute vectors of all stored patches but the last, where they are not computed."""
        name, bands = EMBEDDED
        bex.embed(bex.open(self.store).isel(patch=slice(0, -1)), "spectral", name=name, bands=bands)

    def differing(self) -> list[str]:
        """Name files that are not as they were made, are lost, or were not there."""
        now = _digests(self.store.parent)
        return sorted(file for file in now | self._digests if now.get(file) != self._digests.get(file))

    def restore(self) -> None:
        """Put back what differs."""
        for file in self.differing():
            place = self.store.parent / file
            if file not in self._digests:
                place.unlink()
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._keep / file, place)

    @cached_property
    def _digests(self) -> dict[str, str]:
        return _digests(self._keep)

    def _thin_out(self) -> None:
        """Take the pixels of one pair out of the archive, and the map of another."""
        from bigearth_xr.testing import synthetic_pair

        absent, mapless = (synthetic_pair(index, release=self.release) for index in (1, 2))
        for name in (absent.patch, absent.s1_name):
            for folder in [path for path in self.archive.rglob(name) if path.is_dir()]:
                shutil.rmtree(folder)
        for file in list(self.archive.rglob(f"{mapless.patch}_reference_map.tif")):
            file.unlink()


def kind_of(path: Path) -> str:
    """Tell what kind of file one beside or below a store is.

    Examples
    --------
    >>> kind_of(Path("ben.zarr/split/c/0")), kind_of(Path("ben.parquet"))
    ('column', 'ben.parquet')
    """
    parts = path.parts[1:]
    if not parts:
        return path.name
    top, last = parts[0], parts[-1]
    if top == "embeddings":
        if last == "zarr.json":
            return "embedding, zarr.json of a group" if len(parts) < 4 else "embedding, zarr.json of an array"
        return f"embedding, {parts[2]}"
    is_pixels = top in ("s2_10m", "s2_20m", "s2_60m", "s1", "reference_map")
    if last == "zarr.json":
        return "root zarr.json" if len(parts) == 1 else f"zarr.json of {'pixels' if is_pixels else 'columns'}"
    if is_pixels:
        return f"shard of {top}"
    if top == "state" or top.startswith(("has_", "labels_")):
        return "labels" if top.startswith("labels_") else top
    is_axis = top.startswith(("band_", "x_", "y_", "label_")) or top == "polarization"
    return "axis or names" if is_axis else "column"


def _digests(folder: Path) -> dict[str, str]:
    return dict(_digested(folder))


def _digested(folder: Path) -> Iterator[tuple[str, str]]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()
