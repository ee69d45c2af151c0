"""Verify a store: against itself, against what was published of its release, and against its archive; and repair it."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Literal

from bigearth_xr.ingestion.locking import alone
from bigearth_xr.ingestion.request import check_count, texts_of
from bigearth_xr.progress import Progress
from bigearth_xr.store.location import Address, StorageOptions, location_of
from bigearth_xr.verification.account import report_on
from bigearth_xr.verification.examination import examine, inspect_more
from bigearth_xr.verification.mending import mend
from bigearth_xr.verification.opening import open_against, read_listed
from bigearth_xr.verification.recovery import open_whatever
from bigearth_xr.verification.report import Finding, VerifyReport
from bigearth_xr.verification.subject import Scope

__all__ = ["Finding", "VerifyReport", "verify"]

File = str | PathLike[str]


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
        The release's lists, as `ingest` takes them: then what the store lacks is told by name. By default those inside
        the archive; without any, by numbers.
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
        All that is wrong, the check does not stop at the first; after a repair, what still is. Files that are no part
        of the store are named, and are no damage.

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
    place = location_of(store, storage_options)
    opened, damage = open_whatever(place)
    listed = read_listed(opened, [Path(path) for path in lists], paths)
    archive, listed = open_against(opened, paths, listed) if paths else (None, listed)
    scope = Scope(
        store=opened, damage=damage, archive=archive, listed=listed, sample=sample, seed=seed, workers=workers
    )
    with alone(opened.location) if repair else nullcontext(), Progress() as progress:
        found = examine(scope, progress)
        if not repair or not found.findings:
            return report_on(found)
        done = mend(found if archive is None else inspect_more(found, progress), archive, progress)
        opened, damage = open_whatever(place)
        found = examine(replace(scope, store=opened, damage=damage), progress)
    repaired = tuple(dict.fromkeys(done.written))
    return replace(report_on(found), repaired=repaired, given_up=done.given_up, unrepaired=done.failures)
