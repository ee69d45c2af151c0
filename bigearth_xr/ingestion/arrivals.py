"""Take in a stream: note every file, and put the pixels of patches that have a slot where they belong."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.archive.layout import archive_ending
from bigearth_xr.archive.pixels import REFERENCE_MAP_BAND
from bigearth_xr.archive.source import Refusal
from bigearth_xr.archive.stream_index import StreamIndex
from bigearth_xr.archive.tar_member import Member
from bigearth_xr.archive.template import Data
from bigearth_xr.archive.tiff import read_pixels
from bigearth_xr.bands import BANDS
from bigearth_xr.errors import PatchError
from bigearth_xr.ingestion.slots import Slots
from bigearth_xr.ingestion.staging import Staging

__all__ = ["Arrivals", "take_in"]

_BANDS = {band.name: band for band in (*BANDS, REFERENCE_MAP_BAND)}


@dataclass(slots=True, kw_only=True)
class Arrivals:
    """Where what arrives goes, and what was wrong with it."""

    slots: Slots
    """The patches that are expected."""

    staging: Staging
    """Where their pixels go."""

    is_done: NDArray[np.bool_]
    """Slots whose patches are in the store already, shape ``(slot,)``."""

    failures: dict[tuple[int, int], str] = field(default_factory=dict)
    """Why a plane could not be used, by slot and number of the plane."""

    def expects(self, path: str) -> bool:
        """Tell whether a file lies in the folder of a patch that has a slot."""
        return path.rpartition("/")[0].rpartition("/")[2] in self.slots.numbers


def take_in(
    members: Iterator[Member | Refusal], index: StreamIndex, arrivals: Arrivals | None, advance: Callable[[], None]
) -> None:
    """Go through a stream to its end.

    Parameters
    ----------
    members
        The files, in any order, and what was passed over.
    index
        Notes every file.
    arrivals
        What to do with pixels; None to let them pass.
    advance
        Called after every member.

    Raises
    ------
    OSError
        If the disk is full.

    Examples
    --------
    >>> index = StreamIndex("ben.tar")
    >>> take_in(iter([Member("patch/patch_B02.tif", b"II*")]), index, None, lambda: None)
    >>> len(list(index.folders()))
    2
    """
    intake = None if arrivals is None else _Intake(index, arrivals)
    for member in members:
        if isinstance(member, Refusal):
            index.refuse(member)
        elif index.note(member.name, member.data) and intake is not None:
            intake.take(member.name, member.data)
        advance()
    if intake is not None:
        intake.flush()
        if any(refusal.kind == "damaged" for refusal in index.refusals()):
            intake.forget()


class _Intake:
    """The half of a patch that is arriving: its planes are written together, as they mostly come together."""

    def __init__(self, index: StreamIndex, arrivals: Arrivals) -> None:
        self._index, self._arrivals = index, arrivals
        self._numbers = {f"{plane.name}.tif": plane.number for plane in arrivals.staging.planes}
        self._folder, self._prefix, self._slot = "", "_", -1
        self._pixels: dict[int, NDArray[Any]] = {}
        self._passed: NDArray[np.bool_] = np.zeros_like(arrivals.staging.arrived)

    def take(self, path: str, data: Data) -> None:
        """Decode a plane that is still to come; let all else pass."""
        folder, _, file = path.rpartition("/")
        if folder != self._folder:
            self._turn_to(folder)
        ending = archive_ending(file[len(self._prefix) :]) if file.startswith(self._prefix) else None
        number = -1 if ending is None else self._numbers.get(ending, -1)
        arrivals, slot = self._arrivals, self._slot
        if slot < 0 or number < 0:
            return
        self._passed[slot, number] = True
        if arrivals.is_done[slot] or arrivals.staging.arrived[slot, number]:
            return
        try:
            self._pixels[number] = self._decode(number, path, data)
        except PatchError as error:
            arrivals.failures[slot, number] = str(error)

    def flush(self) -> None:
        """Write the planes that came together."""
        if self._pixels:
            self._arrivals.staging.put(self._slot, self._pixels)
            self._pixels = {}

    def forget(self) -> None:
        """Expect anew all that passed by: in a damaged stream nobody knows from where on pixels are wrong."""
        self._arrivals.staging.arrived[self._passed] = False

    def _turn_to(self, folder: str) -> None:
        self.flush()
        patch = folder.rpartition("/")[2]
        self._folder, self._prefix = folder, f"{patch}_"
        self._slot = self._arrivals.slots.numbers.get(patch, -1)
        self._arrivals.staging.checkpoint_if_due()

    def _decode(self, number: int, path: str, data: Data) -> NDArray[Any]:
        """Decode a plane, which has to be that of the patch whose slot it is."""
        band = _BANDS[self._arrivals.staging.planes[number].name]
        epsg, ulx, uly = self._arrivals.slots.places[self._slot].tolist()

        def where() -> str:
            return f"{self._arrivals.slots.name(self._slot)}: band {band.name} ({self._index.locate(path)})"

        return read_pixels(data, band=band, epsg=epsg, ulx=ulx, uly=uly, where=where)
