"""Writes a synthetic archive in the layout of either release, unpacked or as tars."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from os import PathLike
from os.path import expanduser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from bigearth_xr.errors import ArchiveError
from bigearth_xr.ingestion import ingest
from bigearth_xr.progress import Progress
from bigearth_xr.releases import Release
from bigearth_xr.store import read
from bigearth_xr.store.codec import ProfileName
from bigearth_xr.testing.container import PARTS, Container, File, Part, Pixels, patch_files, write_folder, write_tar
from bigearth_xr.testing.lists import encode_lists, listed_pairs
from bigearth_xr.testing.pair import Pair, formula_pixels, synthetic_pair
from bigearth_xr.testing.real import real_pixels

_MOST_PAIRS_UNWATCHED = 2000

_PIXELS: dict[str, Pixels] = {"formula": formula_pixels, "real": real_pixels}


def write_archive(
    path: str | PathLike[str],
    *,
    pairs: int,
    version: Release = "v2",
    container: Container = "folder",
    as_published: bool = False,
    pixels: Literal["formula", "real"] = "formula",
    lists: str | PathLike[str] | None = None,
    seed: int = 0,
    first: int = 0,
) -> Path:
    """Write an archive of which every pixel is known, laid out as the real one.

    With v2 go reference maps and both parquets, with v1 the JSONs and, in ``lists``, the published lists. The same
    arguments write the same bytes; memory does not grow with the pixels.

    Parameters
    ----------
    path
        Folder or tar to write; folders are made where there are none.
    pairs
        How many patch pairs.
    version
        Release whose layout to write.
    container
        ``"folder"`` for an unpacked archive; ``"tar"``, ``"tar.gz"`` or ``"tar.zst"`` for the same tree in one file,
        lists first, then the patches of Sentinel-2, of Sentinel-1 and the maps, each sorted.
    as_published
        Whether to write, into the folder ``path``, one tar a sensor and one of reference maps, named as the publisher
        names them, with the lists unpacked beside them.
    pixels
        ``"formula"`` for those of `formula_pixels`, in which a misplaced one shows; ``"real"`` for those of
        `real_pixels`, which have the entropy of real ones (extra ``sample``).
    lists
        Folder of the published lists of v1, or of the parquets of v2: then names, splits, countries and flags are
        real, and in v2 the labels too. Without, names, tiles, days and footprints follow those of the real
        archive, and labels are drawn.
    seed
        Another seed gives other places and labels.
    first
        Place of the first pair in the sequence of `synthetic_pair`, or in the lists.

    Returns
    -------
    Path
        What was written, ready for `bigearth_xr.ingest`.

    Raises
    ------
    ArchiveError
        If it is to be as published, but not in tars.
    DependencyError
        If ``pixels`` is ``"real"`` and the extra ``sample`` is not installed.
    MetadataError
        If there are no such lists, or too few pairs in them.

    Examples
    --------
    >>> path = write_archive(getfixture("tmp_path") / "archive", pairs=2)
    >>> sorted(entry.name for entry in path.iterdir())[:3]
    ['BigEarthNet-S1', 'BigEarthNet-S2', 'Reference_Maps']

    >>> tars = write_archive(getfixture("tmp_path") / "tars", pairs=2, container="tar.zst", as_published=True)
    >>> sorted(entry.name for entry in tars.iterdir())[:3]
    ['BigEarthNet-S1.tar.zst', 'BigEarthNet-S2.tar.zst', 'Reference_Maps.tar.zst']
    """
    if as_published and container == "folder":
        raise ArchiveError(
            "as_published=True writes tars, but container is 'folder'; use 'tar', 'tar.gz' (as v1 is) or 'tar.zst' (v2)"
        )
    root = Path(expanduser(path))
    written: Sequence[Pair]
    if lists is None:
        written = [synthetic_pair(index, release=version, seed=seed) for index in range(first, first + pairs)]
    else:
        written = listed_pairs(lists, pairs=pairs, version=version, first=first, seed=seed)
    metadata = encode_lists(written, version)
    parts = _files_of_parts(PARTS[version], written, _PIXELS[pixels])
    if container == "folder" or as_published:
        write_folder(root, metadata)
    if as_published:
        for part, files in parts:
            write_tar(root / f"{part.name}.{container}", files, container)
    elif container == "folder":
        write_folder(root, chain.from_iterable(files for _, files in parts))
    else:
        root.parent.mkdir(parents=True, exist_ok=True)
        write_tar(root, chain(metadata, chain.from_iterable(files for _, files in parts)), container)
    return root


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


def _files_of_parts(
    parts: Sequence[Part], pairs: Sequence[Pair], pixels: Pixels
) -> Iterator[tuple[Part, Iterator[File]]]:
    """Give the files of each part in turn, with a bar where there are many."""
    with Progress() as progress:
        for part in parts:
            advance = progress.steps(part.name, len(pairs)) if len(pairs) > _MOST_PAIRS_UNWATCHED else _no_bar
            yield part, _advancing(patch_files(part, pairs, pixels), advance)


def _advancing(read: Iterable[list[File]], advance: Callable[[], None]) -> Iterator[File]:
    """Give the files of patch after patch, telling of each patch that is done."""
    for files in read:
        yield from files
        advance()


def _no_bar() -> None:
    """Report nothing: few are written at once."""
