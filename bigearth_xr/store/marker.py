"""A note inside a store whose ingest has not finished; a finished store has none."""

import json
from dataclasses import asdict, dataclass

from bigearth_xr.store.place import Place

__all__ = ["MARKER_KEY", "Marker", "clear_marker", "encode_marker", "read_marker", "write_marker"]

MARKER_KEY = "ingest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """Why a store is not finished."""

    is_provisional: bool
    """Whether its rows may still change, as not all of the archive was seen."""

    reason: str
    """What happened, for people."""


def encode_marker(marker: Marker) -> bytes:
    """Write a note as JSON.

    Examples
    --------
    >>> encode_marker(Marker(is_provisional=False, reason="ingest was begun"))
    b'{"is_provisional": false, "reason": "ingest was begun"}'
    """
    return json.dumps(asdict(marker)).encode()


def read_marker(place: Place) -> Marker | None:
    """Read the note of an unfinished store; None of a finished one.

    Examples
    --------
    >>> from bigearth_xr.store.address import place_of
    >>> read_marker(place_of(getfixture("tmp_path"))) is None
    True
    """
    try:
        return Marker(**json.loads(place.read(MARKER_KEY)))
    except FileNotFoundError:
        return None


def write_marker(place: Place, marker: Marker) -> None:
    """Leave a note, in place of an older one.

    Examples
    --------
    >>> from bigearth_xr.store.address import place_of
    >>> place = place_of(getfixture("tmp_path"))
    >>> write_marker(place, Marker(is_provisional=False, reason="ingest was begun"))
    >>> read_marker(place).reason
    'ingest was begun'
    """
    file = place.scratch_file(MARKER_KEY)
    file.write_bytes(encode_marker(marker))
    place.adopt(MARKER_KEY, file)


def clear_marker(place: Place) -> None:
    """Take the note away: the store is finished.

    Examples
    --------
    >>> from bigearth_xr.store.address import place_of
    >>> place = place_of(getfixture("tmp_path"))
    >>> write_marker(place, Marker(is_provisional=False, reason="ingest was begun"))
    >>> clear_marker(place)
    >>> read_marker(place) is None
    True
    """
    place.delete(MARKER_KEY)
