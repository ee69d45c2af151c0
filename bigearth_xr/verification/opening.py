"""Open the archive that a store is compared with, and the lists of its release."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from bigearth_xr.archive import Archive, survey_archive
from bigearth_xr.archive.containers import find_containers, open_source
from bigearth_xr.bands import bands as find_bands
from bigearth_xr.errors import MetadataError, StoreError
from bigearth_xr.store.read import Store, read_column
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
    >>> from bigearth_xr.store.read import open_store
    >>> store = open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=2))
    >>> archive = bex.testing.write_archive(getfixture("tmp_path") / "archive", pairs=3)
    >>> len(read_listed(store, [archive], [])["patch"])
    3
    """
    places = list(metadata)
    if not places:
        # As ingest looks for them: at the top of a folder of the archive, or in its `lists`.
        folders = [folder for root in map(Path, against) for folder in (root, root / "lists")]
        places = [folder for folder in folders if find_lists(folder) == store.release][:1]
    if not places:
        return None
    # A folder may hold the lists of both releases; parquets are of v2.
    folder = len(places) == 1 and places[0].is_dir()
    release, listed = read_lists(places, store.release if folder and find_lists(places[0]) else None)
    if release != store.release:
        raise MetadataError(
            f"{places[0]}: lists of {release}, but {store.place} holds {store.release}; give those of its own release"
        )
    return listed


def open_against(store: Store, paths: Sequence[str], listed: Columns | None) -> Archive:
    """Open an archive with the bands of a store; one that is compressed or on a server is gone through for its names.

    Raises
    ------
    ArchiveError
        If there is no patch in it.
    StoreError
        If it is not the archive of this store: another release, or no patch in common.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.read import open_store
    >>> archive = bex.testing.write_archive(getfixture("tmp_path") / "archive", pairs=3)
    >>> report = bex.ingest(archive, getfixture("tmp_path") / "ben.zarr", bands=["B02", "VV"])
    >>> open_against(open_store(getfixture("tmp_path") / "ben.zarr"), [str(archive)], None).bands
    ('B02', 'VV')
    """
    containers = find_containers(paths)
    streams = [*map(str, (*containers.folders, *containers.tars)), *containers.streams] if containers.streams else []
    archive = survey_archive(
        open_streams(streams) if streams else open_source(paths),
        name=", ".join(paths),
        sensors={band.sensor for band in find_bands(store.bands)},
        bands=store.bands,
        pairs=_pairs(store, listed),
    )
    if archive.release != store.release:
        raise StoreError(
            f"{paths[0]}: an archive of {archive.release}, but {store.place} holds {store.release}; give the archive "
            "that it was made of"
        )
    return archive


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
