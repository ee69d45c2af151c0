"""Verify a store: against itself, what was published of its release, and its archive; repair it, upgrade it."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from bigearth_xr.archive import Archive, PixelSource, survey_archive, tell_release
from bigearth_xr.archive.containers import find_containers, open_source
from bigearth_xr.archive.scan import scan
from bigearth_xr.archive.streams import open_streams
from bigearth_xr.bands import bands as find_bands
from bigearth_xr.errors import MetadataError, StoreError
from bigearth_xr.ingestion.contents import check_count, list_folders, name_of, read_inner_lists, texts_of
from bigearth_xr.ingestion.staging import lock_store
from bigearth_xr.progress import Progress
from bigearth_xr.store.create import update_store
from bigearth_xr.store.location import Address, StorageOptions, location_of
from bigearth_xr.store.open import Store, open_store, read_root
from bigearth_xr.store.read import read_column, read_expected, read_present
from bigearth_xr.store.schema import ABSENT, FORMAT_VERSION, QUARANTINED, STORED
from bigearth_xr.table import read_lists
from bigearth_xr.table.lists import find_lists
from bigearth_xr.verification.columns import find_strays, find_table
from bigearth_xr.verification.examination import Examination, Scope, compare_doubtful, examine
from bigearth_xr.verification.findings import Comparison, Completeness, VerifyReport, count_pairs
from bigearth_xr.verification.repair import repair_store
from bigearth_xr.verification.root import open_or_recover

File = str | PathLike[str]
Columns = Mapping[str, pa.Array]


def verify(
    store: Address,
    against: File | Sequence[File] | None = None,
    *,
    metadata: File | Sequence[File] | None = None,
    sample: int | Literal["all"] = 1000,
    seed: int = 0,
    repair: bool = False,
    workers: int = 8,
    storage_options: StorageOptions | None = None,
) -> VerifyReport:
    """Check every checksum, index and column of a store, tell what it lacks, compare it with its archive, repair it.

    Parameters
    ----------
    store
        The store.
    against
        Its archive, whatever `ingest` takes. One that is compressed or on a server is gone through several times: for
        its names, for the patches that are compared, for those that are repaired; these lie in a temporary folder, 0.3
        MB each.
    metadata
        The release's lists, as `ingest` takes them: then what the store lacks is listed by name. By default those
        inside the archive; without any, by numbers.
    sample
        Patches whose pixels, labels and lists are compared with the archive, drawn evenly over all shards; ``"all"``
        compares every one.
    seed
        Another seed draws another sample.
    repair
        Read from the archive what is damaged or differs, and write it anew: then the bytes are those of a fresh ingest.
        What the archive cannot supply is named, and stays as it is. Without an archive that is done which the table
        beside the store tells: root, columns and metadata, as after ``to_zarr(mode="a")``.
    workers
        Processes that check, each a shard of 1,024 patches at a time.
    storage_options
        For object storage, as in `bigearth_xr.open`.

    Returns
    -------
    VerifyReport
        All that is wrong, the check does not stop at the first; after a repair, what still is. Files that are not part
        of the store are named, and are not damage.

    Raises
    ------
    StoreNotFoundError, FormatError
        If there is no store of ours to check.
    StoreError
        If the archive is not the store's; if an ingest fills the store that is to be repaired.
    ArchiveError
        If the archive cannot be read.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> archive = bex.testing.write_archive(getfixture("tmp_path") / "archive", pairs=3)
    >>> report = bex.ingest(archive, getfixture("tmp_path") / "ben.zarr")
    >>> report = verify(getfixture("tmp_path") / "ben.zarr", archive, sample="all")
    >>> report.sound, report.checked, report.comparison.compared
    (True, 15, 3)
    """
    if sample != "all":
        check_count("sample", sample)
    check_count("workers", workers)
    paths = () if against is None else texts_of(against, "against")
    lists = () if metadata is None else texts_of(metadata, "metadata")
    location = location_of(store, storage_options)
    opened, damage = open_or_recover(location)
    listed = _read_listed(opened, [Path(path) for path in lists], paths)
    archive, listed = _open_against(opened, paths, listed) if paths else (None, listed)
    scope = Scope(
        store=opened, damage=damage, archive=archive, listed=listed, sample=sample, seed=seed, workers=workers
    )
    with lock_store(opened.location) if repair else nullcontext(), Progress() as progress:
        found = examine(scope, progress)
        if not repair or not found.findings:
            return _report_on(found)
        done = repair_store(found if archive is None else compare_doubtful(found, progress), archive, progress)
        opened, damage = open_or_recover(location)
        found = examine(replace(scope, store=opened, damage=damage), progress)
    repaired = tuple(dict.fromkeys(done.written))
    return replace(_report_on(found), repaired=repaired, given_up=done.given_up, unrepaired=done.failures)


def upgrade(store: Address, *, storage_options: StorageOptions | None = None) -> bool:
    """Bring a store up to the format version that is written now; its pixels stay where they are.

    What results has the bytes of a fresh ingest; embeddings are kept. Should it be killed, the store is still one of
    its old version, and the next call goes on.

    Parameters
    ----------
    store
        The store, its table beside it. A table that is lost is made again from the store's columns.
    storage_options
        For object storage, as in `bigearth_xr.open`.

    Returns
    -------
    bool
        Whether there was anything to do.

    Raises
    ------
    StoreError
        If nothing tells the store's table, or its record of what is stored is not what its shards hold: checksums
        would vouch for damage.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> upgrade(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=2))
    False
    """
    location = location_of(store, storage_options)
    with lock_store(location):
        opened = open_store(location)
        if opened.format_version == FORMAT_VERSION:
            return False
        rows, wrong = find_table(opened)
        if rows is None:
            reason = "" if wrong is None else f" ({wrong.message})"
            raise StoreError(
                f"{location}: nothing tells what its columns were{reason}; repair it first with: bigearth verify "
                f"{location} --against ARCHIVE --repair"
            )
        _check_record(opened)
        update_store(opened, rows, sensors=read_root(location).ours["sensors"])
        return True


def _check_record(store: Store) -> None:
    """Refuse a record that the shards contradict."""
    for array in store.arrays:
        wrong = np.flatnonzero(read_expected(store, array) != read_present(store, array))
        if wrong.size:
            raise StoreError(
                f"{store.location / array.name}: {wrong.size:,} patches are recorded as stored and missing, or there "
                f"and not recorded, first row {wrong[0]}; repair the store first with: bigearth verify "
                f"{store.location} --against ARCHIVE --repair"
            )


def _read_listed(store: Store, metadata: Sequence[Path], against: Sequence[str]) -> Columns | None:
    """Read the lists that were named, or those that lie in an archive's folder; None without any.

    Raises
    ------
    MetadataError
        If they are of another release than the store.
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
            f"{places[0]}: lists of {release}, but {store.location} holds {store.release}; "
            "give those of its own release"
        )
    return listed


def _open_against(store: Store, paths: Sequence[str], listed: Columns | None) -> tuple[Archive, Columns | None]:
    """Open an archive with the bands of a store; one that is compressed or on a server is gone through for its names.

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
    """
    source, name = _open_source(paths), name_of(paths)
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


def _open_source(paths: Sequence[str]) -> PixelSource:
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


def _report_on(found: Examination) -> VerifyReport:
    """Report an examination."""
    subject = found.subject
    store, state = subject.scope.store, subject.record.state
    if subject.rows is None:
        # Reported as a failure already; what a row is of cannot be counted.
        completeness = Completeness(tallies=(), lacking=(), unlisted=(), complete=False)
    else:
        completeness = count_pairs(subject.rows, state, subject.scope.listed)
    return VerifyReport(
        store=str(store.location),
        release=store.release,
        profile=store.profile,
        format_version=store.format_version,
        rows=store.rows,
        stored=int((state == STORED).sum()),
        absent=tuple(subject.names[state == ABSENT]),
        quarantined=tuple(subject.names[state == QUARANTINED]),
        checked=sum(inspected.checked for inspected in found.shards),
        findings=found.findings,
        completeness=completeness,
        comparison=_comparison(found),
        strays=find_strays(store),
    )


def _comparison(found: Examination) -> Comparison | None:
    subject = found.subject
    archive = subject.scope.archive
    if archive is None:
        return None
    stored = set(subject.names[subject.record.stored])
    held = {patch.patch for patch in archive.patches}
    return Comparison(
        archive=archive.name,
        compared=sum(shard.compared for shard in found.shards),
        sampled=len(found.chosen) < len(subject.stored_in_both),
        seed=subject.scope.seed,
        only_in_archive=tuple(sorted(held - stored)),
        only_in_store=tuple(sorted(stored - held)),
    )
