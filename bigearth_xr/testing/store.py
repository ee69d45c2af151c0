"""A synthetic store, ingested from a synthetic archive; and a count of what is read from any store."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from os.path import expanduser
from pathlib import Path
from tempfile import TemporaryDirectory

from bigearth_xr.ingestion import ingest
from bigearth_xr.releases import Release
from bigearth_xr.store import read
from bigearth_xr.store.codec import ProfileName
from bigearth_xr.testing.writer import write_archive

__all__ = ["count_reads", "write_store"]


def write_store(
    path: str | PathLike[str], *, pairs: int, version: Release = "v2", profile: ProfileName = "fast", seed: int = 0
) -> Path:
    """Write a store of which every pixel is known, by way of an archive that is removed again.

    Parameters
    ----------
    path
        The store to make, ``….zarr``.
    pairs
        How many patch pairs.
    version
        Release of the archive.
    profile
        How pixels are encoded.
    seed
        Another seed gives other places and labels.

    Returns
    -------
    Path
        The store; pixels are those of `formula_pixels`.

    Examples
    --------
    >>> write_store(getfixture("tmp_path") / "ben.zarr", pairs=2).name
    'ben.zarr'
    """
    with TemporaryDirectory() as folder:
        archive = write_archive(Path(folder) / "archive", pairs=pairs, version=version, seed=seed)
        ingest(archive, path, profile=profile)
    return Path(expanduser(path))


@contextmanager
def count_reads() -> Iterator[Counter[str]]:
    """Count the patches read from each stored array, in this process, while the context lasts.

    Yields
    ------
    collections.Counter
        Patches read by array name; grows as reads happen, from any thread.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> ds = bex.open(write_store(getfixture("tmp_path") / "ben.zarr", pairs=5))
    >>> with count_reads() as reads:
    ...     pixels = ds.s2.sel(band="B04").isel(patch=[4, 0, 2]).load()
    >>> dict(reads)
    {'s2_10m': 3}
    """
    reads: Counter[str] = Counter()

    def note(array: str, _row: int) -> None:
        reads[array] += 1

    read.on_read.append(note)
    try:
        yield reads
    finally:
        read.on_read.remove(note)
