"""What a caller asks of an ingest."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import get_args

import numpy as np

from bigearth_xr.archive.containers import expand
from bigearth_xr.archive.streams import is_address
from bigearth_xr.bands import Sensor
from bigearth_xr.errors import ArchiveNotFoundError, SelectionError, StoreError
from bigearth_xr.spelling import check_choice
from bigearth_xr.store.codec import PROFILES, ProfileName
from bigearth_xr.store.location import Location
from bigearth_xr.store.schema import PixelArray, pixel_arrays
from bigearth_xr.table.assembly import Rows

__all__ = ["check_count", "name_of", "texts_of"]

_MOST_NAMED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a caller asked `ingest` for."""

    archive: tuple[str, ...]
    """Folders, tars, their parts, LMDBs, addresses or ``-`` that together are the archive, at least one."""

    store: Location
    """Where the store is, or is to be."""

    metadata: tuple[Path, ...]
    """Lists named by the caller; none for those inside the archive."""

    sensors: tuple[Sensor, ...]
    """Sensors to store."""

    bands: tuple[str, ...]
    """Bands to store."""

    rows: Rows
    """Whether listed pairs that were not found get rows too."""

    profile: ProfileName | None
    """How to encode pixels; None for the store's own, or `fast`."""

    @property
    def name(self) -> str:
        """What the archive is called in messages."""
        return name_of(self.archive)

    def pixel_arrays(self, *, reference_map: bool = False) -> tuple[PixelArray, ...]:
        """The arrays of the bands that are to be stored, with or without that of the reference maps."""
        return pixel_arrays(self.bands, reference_map=reference_map)


def name_of(archive: Sequence[str]) -> str:
    """Name an archive by its paths, as many as a line holds.

    Examples
    --------
    >>> name_of(["S1.tar", "S2.tar"]), name_of([f"S2.tar.gza{letter}" for letter in "abcdef"])
    ('S1.tar, S2.tar', 'S2.tar.gzaa, S2.tar.gzab, S2.tar.gzac and 3 more')
    """
    few = archive if len(archive) <= _MOST_NAMED else archive[: _MOST_NAMED - 1]
    more = f" and {len(archive) - len(few):,} more" if len(few) < len(archive) else ""
    return f"{', '.join(few)}{more}"


def texts_of(places: object, name: str) -> tuple[str, ...]:
    """Take paths or addresses, one or several, as texts; ``~`` is the home folder, a pattern all that it matches.

    Parameters
    ----------
    places
        What a caller gave.
    name
        What the caller's argument is called, for the message.

    Examples
    --------
    >>> texts_of("ben-v2", "archive"), texts_of([Path("S1.tar"), "S2.tar"], "archive")
    (('ben-v2',), ('S1.tar', 'S2.tar'))
    """
    several = (places,) if isinstance(places, str | bytes | PathLike) or not isinstance(places, Iterable) else places
    texts: list[str] = []
    for place in several:
        text = fspath(place) if isinstance(place, PathLike) else place
        if not isinstance(text, str) or not text or "\0" in text:
            raise SelectionError(f"{name} is {place!r}, expected a path or an address, or several of them")
        texts += expand(text)
    return tuple(texts)


def check_count(name: str, number: object) -> None:
    """Refuse what is no number of things.

    Examples
    --------
    >>> check_count("workers", 8)
    """
    if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 1:
        raise SelectionError(f"{name} is {number!r}, expected a whole number, at least 1")


def check_request(request: Request) -> None:
    """Refuse what no archive can make sense of, before anything is read."""
    check_choice("rows", request.rows, get_args(Rows), SelectionError)
    check_choice("profile", request.profile, (*PROFILES, None), StoreError)
    if not request.archive:
        raise ArchiveNotFoundError("no archive was given; give a folder, a tar or an address")
    if request.store.local is not None:
        _check_folder(request, request.store.local.resolve())


def _check_folder(request: Request, store: Path) -> None:
    """Refuse a folder that cannot be made, or would make the archive another one."""
    for folder in store.parents:
        if folder.is_file():
            raise StoreError(
                f"{request.store}: {folder} is a file, so no store can be made below; choose another place"
            )
    for one in request.archive:
        if not is_address(one) and store.is_relative_to(Path(one).resolve()):
            raise StoreError(
                f"{request.store}: lies in the archive {one}, which an ingest leaves as it is; choose a place outside"
            )
