"""From an archive to a store: plan the rows, write the shards, account for every patch."""

from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path

from bigearth_xr.bands import Sensor
from bigearth_xr.bands import bands as find_bands
from bigearth_xr.errors import PatchError
from bigearth_xr.ingestion.plan import Request, plan_ingest
from bigearth_xr.ingestion.report import IngestReport
from bigearth_xr.ingestion.run import run_plan
from bigearth_xr.progress import Progress
from bigearth_xr.store.schema import Profile
from bigearth_xr.table.found import Rows

__all__ = ["IngestReport", "ingest"]

Place = str | PathLike[str]


def ingest(
    archive: Place,
    store: Place,
    metadata: Place | Sequence[Place] | None = None,
    sensors: Sensor | Sequence[Sensor] = ("s1", "s2"),
    bands: Iterable[str] | None = None,
    *,
    rows: Rows = "found",
    profile: Profile | None = None,
    workers: int = 8,
    strict: bool = False,
) -> IngestReport:
    """Convert an archive of GeoTIFFs into a store, exactly, and report every patch that could not be.

    The same archive gives the same bytes, whatever the number of workers. Called again on a store that is not
    complete, it reads what is missing; on a complete one it changes nothing.

    Parameters
    ----------
    archive
        Folder of the unpacked archive, v1 or v2.
    store
        Where the store is, or is to be made: a folder named ``….zarr``. The table is written beside it.
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
    strict
        Raise at the end if any patch could not be stored.

    Returns
    -------
    IngestReport
        Counts, and every failure by patch.

    Raises
    ------
    ArchiveNotFoundError
        If there is no archive.
    ArchiveError
        If it holds no patch, or both releases.
    StoreError
        If the store exists and is of another archive, or another profile.
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
        archive=Path(archive),
        store=Path(store),
        metadata=_places(metadata),
        sensors=(sensors,) if isinstance(sensors, str) else tuple(sensors),
        bands=None if bands is None else tuple(band.name for band in find_bands(bands)),
        rows=rows,
        profile=profile,
    )
    with Progress() as progress:
        report = run_plan(plan_ingest(request, progress), workers=workers, progress=progress)
    if strict and report.failures:
        raise PatchError(
            f"{len(report.failures)} patches of {report.archive} could not be stored as they should; the others are "
            f"in {report.store}:\n" + "\n".join(report.failures)
        )
    return report


def _places(metadata: Place | Sequence[Place] | None) -> tuple[Path, ...]:
    """The lists that were named, one or several."""
    if metadata is None:
        return ()
    return (Path(metadata),) if isinstance(metadata, str | PathLike) else tuple(map(Path, metadata))
