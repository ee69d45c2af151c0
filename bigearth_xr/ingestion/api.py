"""`ingest`: checks what is asked for, plans the rows, and has the shards written."""

import errno
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

from bigearth_xr.archive import choose_bands
from bigearth_xr.archive.containers import find_containers, open_source
from bigearth_xr.bands import Sensor
from bigearth_xr.errors import PatchError, StoreError
from bigearth_xr.ingestion.plan import Plan, check_target, plan_files
from bigearth_xr.ingestion.report import IngestReport
from bigearth_xr.ingestion.request import Request, check_count, check_request, texts_of
from bigearth_xr.ingestion.rerow import finish_rerow
from bigearth_xr.ingestion.run import Client, check_client, run_plan
from bigearth_xr.ingestion.staging import lock_store, remove_partials
from bigearth_xr.ingestion.stream_plan import plan_streams
from bigearth_xr.progress import Progress
from bigearth_xr.store.codec import ProfileName
from bigearth_xr.store.location import Address, StorageOptions, location_of
from bigearth_xr.store.location import Location as StorePlace
from bigearth_xr.table.assembly import Rows

__all__ = ["ingest"]

Place = str | PathLike[str]

_FULL = "the disk is full", "free some space"
_NO_ROOM = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: ("a file may not grow that large here", "raise the limit (ulimit -f), or use another file system,"),
}
"""What ends a run although nothing is wrong with the archive, and what to do, by the error's number."""


def ingest(
    archive: Place | Sequence[Place],
    store: Address,
    metadata: Place | Sequence[Place] | None = None,
    sensors: Sensor | Sequence[Sensor] = ("s1", "s2"),
    bands: Iterable[str] | None = None,
    *,
    rows: Rows = "found",
    profile: ProfileName | None = None,
    workers: int = 8,
    client: Client | None = None,
    strict: bool = False,
    storage_options: StorageOptions | None = None,
) -> IngestReport:
    """Convert an archive into a store, exactly, and report every patch that could not be.

    The same archive gives the same bytes, whatever the number of workers, the kind of container and the order of what
    is in it. Called again on a store that is not complete, as after a kill, a full disk or a tar that was cut short, it
    reads what is missing; on a complete one it changes nothing, but a table that was lost or damaged is written again.

    Parameters
    ----------
    archive
        Where the archive is, v1 or v2: a folder, unpacked or with the downloaded tars in it; a tar (``.tar``,
        ``.tar.gz``, ``.tar.zst``), whole or in the parts of ``split`` (``.tar.gzaa``, …), of which one stands for all
        beside it; a pattern such as ``"S2.tar.gz*"``; an LMDB of safetensors, as rico-hdl writes it; the ``http`` or
        ``https`` address of a tar or of its first part; ``"-"`` for standard input, or another pipe; or several of
        these that belong together. Nothing is unpacked to disk. What is compressed is read from one end to the other:
        once if `metadata` says which patches there are, else twice; of a pipe what is read twice is kept on disk.
    store
        Where the store is, or is to be made: a folder named ``….zarr``, or an address ``s3://bucket/….zarr``. The table
        is written beside it.
    metadata
        v2: the metadata parquet or parquets, or their folder; v1: the folder of the published lists. By default
        those inside the archive; without any, what only lists know is unknown in the store.
    sensors
        Sensors to store, one or both. With both, a patch without its partner gets no row and a line in the report.
    bands
        Bands and polarizations to store, by name; all by default. Arrays of other bands will not exist.
    rows
        ``"found"`` plans a row for every pair found; ``"listed"`` also for every other pair of the metadata, absent
        until ingested.
    profile
        ``"fast"`` stores raw pixels, ``"compact"`` compressed ones. By default that of the store, ``"fast"`` for a
        new one.
    workers
        Processes that read and write, each a shard of 1,024 patches at a time; never more than cores or shards.
    client
        A `distributed.Client`, to have shards written by the workers of its cluster instead. They have to see the
        archive and the store under the same paths. Streams are taken in here.
    strict
        Raise at the end if any patch could not be stored.
    storage_options
        As for `bigearth_xr.open`.

    Returns
    -------
    IngestReport
        Counts, and every failure by patch.

    Raises
    ------
    ArchiveNotFoundError
        If there is no archive, or a part of it is missing.
    ArchiveError
        If it holds no patch, or both releases.
    StoreError
        If the store exists and is of another archive, or another profile; if it would lie in the archive; if the disk
        is full; or if another ingest is filling the store.
    SelectionError
        If an argument is no path, no number or no client.
    DownloadError
        If a server gives up. What arrived until then is kept for the next call.
    BandError
        If a band or sensor is unknown.
    PatchError
        If `strict` and any patch was quarantined, unpaired or incomplete; the others are stored by then.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> archive = bex.testing.write_archive(getfixture("tmp_path") / "archive", pairs=3)
    >>> report = bex.ingest(archive, getfixture("tmp_path") / "ben.zarr")
    >>> report.found, report.stored, report.complete
    (3, 3, True)
    """
    request = Request(
        archive=texts_of(archive, "archive"),
        store=location_of(store, storage_options),
        metadata=() if metadata is None else tuple(map(Path, texts_of(metadata, "metadata"))),
        sensors=(sensors,) if isinstance(sensors, str) else tuple(sensors),
        bands=tuple(band.name for band in choose_bands(sensors, bands)),
        rows=rows,
        profile=profile,
    )
    check_request(request)
    check_count("workers", workers)
    check_client(client)
    with lock_store(request.store), Progress() as progress, _telling_of_full_disk(request.store):
        plan = _plan(request, progress)
        report = run_plan(plan, workers=workers, client=client, progress=progress)
    if strict:
        _refuse_failures(report)
    return report


def _plan(request: Request, progress: Progress) -> Plan:
    """Plan how an archive goes into a store: in the order of its rows if files can be picked, else as they come."""
    if request.store.local is not None:
        finish_rerow(request.store.local)
    remove_partials(request.store)
    check_target(request)
    found = find_containers(request.archive)
    if found.streams:
        return plan_streams(found.in_passing(), request, progress)
    return plan_files(open_source(request.archive), request, progress)


@contextmanager
def _telling_of_full_disk(store: StorePlace) -> Iterator[None]:
    """Say in words that no more can be written, whoever it was that met its end."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        what, remedy = _NO_ROOM[error.errno]
        raise StoreError(
            f"{store}: {what} ({error}); what was stored so far is kept: {remedy} and call ingest again to continue"
        ) from error


def _refuse_failures(report: IngestReport) -> None:
    if report.failures:
        raise PatchError(
            f"{len(report.failures)} patches of {report.archive} could not be stored as they should; the others are "
            f"in {report.store}:\n" + "\n".join(report.failures)
        )
