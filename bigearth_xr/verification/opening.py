"""Open the archive that a store is compared with, and the lists of its release."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from bigearth_xr.archive import Archive, PixelSource, survey_archive, tell_release
from bigearth_xr.archive.containers import find_containers, open_source
from bigearth_xr.archive.scan import scan
from bigearth_xr.bands import bands as find_bands
from bigearth_xr.errors import MetadataError, StoreError
from bigearth_xr.ingestion.contents import list_folders, read_inner_lists
from bigearth_xr.ingestion.request import name_of
from bigearth_xr.store.open import Store
from bigearth_xr.store.read import read_column
from bigearth_xr.table.lists import find_lists, read_lists
from bigearth_xr.verification.streamed import open_streams

__all__ = ["open_against", "read_listed"]

Columns = Mapping[str, pa.Array]


def read_listed(store: Store, metadata: Sequence[Path], against: Sequence[str]) -> Columns | None:
    """Read the lists that were named, or those that lie in an archive's folder; None without any.

    Raises
    ------
    MetadataError
        If they are of another release than the store.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.open import open_store
    >>> store = open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=2))
    >>> archive = bex.testing.write_archive(getfixture("tmp_path") / "archive", pairs=3)
    >>> len(read_listed(store, [archive], [])["patch"])
    3
    """
    places = list(metadata)
    if not places:
        # As ingest looks for them: at the top of a folder of the archive, or in its `lists`.
        folders = [folder for root in list_folders(against) for folder in (root, root / "lists")]
        places = [folder for folder in folders if find_lists(folder) == store.release][:1]
    if not places:
        return None
    # A folder may hold the lists of both releases; parquets are of v2.
    folder = len(places) == 1 and places[0].is_dir()
    release, listed = read_lists(places, store.release if folder and find_lists(places[0]) else None)
    if release != store.release:
        raise MetadataError(
            f"{places[0]}: lists of {release}, but {store.location} holds {store.release}; give those of its "
            "own release"
        )
    return listed


def open_against(store: Store, paths: Sequence[str], listed: Columns | None) -> tuple[Archive, Columns | None]:
    """Open an archive with the bands of a store; one that is compressed or on a server is gone through for its names.

    Parameters
    ----------
    store
        The store.
    paths
        The archive.
    listed
        What lists say, where some are known already; without, those inside the archive are read.

    Returns
    -------
    tuple
        The archive, and what the lists say; None without any.

    Raises
    ------
    ArchiveError
        If there is no patch in it.
    StoreError
        If it is not the archive of this store: another release, or no patch in common.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.open import open_store
    >>> path = bex.testing.write_archive(getfixture("tmp_path") / "ben.tar", pairs=3, container="tar")
    >>> report = bex.ingest(path, getfixture("tmp_path") / "ben.zarr", bands=["B02", "VV"])
    >>> archive, listed = open_against(open_store(getfixture("tmp_path") / "ben.zarr"), [str(path)], None)
    >>> archive.bands, len(listed["patch"])
    (('B02', 'VV'), 3)
    """
    source, name = _open(paths), name_of(paths)
    found = scan(source)
    release = tell_release(found, name)
    if release != store.release:
        raise StoreError(
            f"{paths[0]}: an archive of {release}, but {store.location} holds {store.release}; give the archive "
            "that it was made of"
        )
    if listed is None:
        lists = read_inner_lists(source, release, found.metadata_files[release])
        listed = None if lists is None else lists.columns
    archive = survey_archive(
        source,
        name=name,
        sensors={band.sensor for band in find_bands(store.bands)},
        bands=store.bands,
        pairs=_pairs(store, listed),
        found=found,
    )
    return archive, listed


def _open(paths: Sequence[str]) -> PixelSource:
    """Open what can be read in any order, or go through streams for their names."""
    containers = find_containers(paths)
    return open_streams(containers.in_passing()) if containers.streams else open_source(paths)


def _pairs(store: Store, listed: Columns | None) -> dict[str, str]:
    """Partners as the lists name them, and of patches that these leave out, as the store does."""
    pairs: dict[str, str] = {}
    try:
        names = (read_column(store, name).tolist() for name in ("patch", "s1_name"))
        pairs |= {patch: partner for patch, partner in zip(*names, strict=True) if partner}
    except Exception:  # damaged columns raise whatever their codec raises; what they say is a help, no more
        pairs = {}
    if listed is not None:
        pairs |= dict(zip(listed["patch"].to_pylist(), listed["s1_name"].to_pylist(), strict=True))
    return pairs
