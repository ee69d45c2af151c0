"""What a caller asks of an ingest."""

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from bigearth_xr.bands import Sensor
from bigearth_xr.errors import ArchiveNotFoundError, SelectionError, StoreError
from bigearth_xr.store.place import Place
from bigearth_xr.store.schema import PROFILES, PixelArray, Profile, pixel_arrays
from bigearth_xr.table.found import Rows

__all__ = ["Request", "check_request"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a caller asked `ingest` for."""

    archive: tuple[str, ...]
    """Folders, tars, LMDBs or addresses that together are the archive, at least one."""

    store: Place
    """Where the store is, or is to be."""

    metadata: tuple[Path, ...]
    """Lists named by the caller; none for those inside the archive."""

    sensors: tuple[Sensor, ...]
    """Sensors to store."""

    bands: tuple[str, ...]
    """Bands to store."""

    rows: Rows
    """Whether listed pairs that were not found get rows too."""

    profile: Profile | None
    """How to encode pixels; None for the store's own, or `fast`."""

    @property
    def name(self) -> str:
        """What the archive is called in messages."""
        return ", ".join(self.archive)

    def pixel_arrays(self, *, reference_map: bool = False) -> tuple[PixelArray, ...]:
        """The arrays of the bands that are to be stored, with or without that of the reference maps."""
        return pixel_arrays(self.bands, reference_map=reference_map)


def check_request(request: Request, *, workers: int) -> None:
    """Refuse what no archive can make sense of, before anything is read.

    Examples
    --------
    Called by `bigearth_xr.ingest`.

    >>> check_request.__name__
    'check_request'
    """
    if request.rows not in get_args(Rows):
        raise SelectionError(f"unknown rows {request.rows!r}; expected one of {', '.join(get_args(Rows))}")
    if request.profile not in (None, *PROFILES):
        raise StoreError(f"unknown profile {request.profile!r}; expected one of {', '.join(PROFILES)}")
    if workers < 1:
        raise SelectionError(f"workers is {workers}, expected at least 1")
    if not request.archive:
        raise ArchiveNotFoundError("no archive was given; give a folder, a tar or an address")
