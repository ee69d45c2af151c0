"""Streams, read from one end to the other: their names are noted, their pixels put into slots of the staging area."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bigearth_xr.archive import PixelSource
from bigearth_xr.archive.bytestream import Pipe
from bigearth_xr.archive.containers import Container, name_containers
from bigearth_xr.archive.names import archive_ending
from bigearth_xr.archive.patch_files import REFERENCE_MAP_BAND
from bigearth_xr.archive.source import Data, JoinedSource, Refusal
from bigearth_xr.archive.streams import StreamIndex, open_members
from bigearth_xr.archive.tar import Member
from bigearth_xr.archive.tiff import decode_band
from bigearth_xr.bands import BANDS
from bigearth_xr.errors import DamagedError, PatchError
from bigearth_xr.ingestion.staging import Staging
from bigearth_xr.progress import Progress

_COLUMNS = ("patch", "s1_name", "epsg", "ulx", "uly")

_BANDS = {band.name: band for band in (*BANDS, REFERENCE_MAP_BAND)}


@dataclass(frozen=True)
class Slots:
    """Where the pixels of a stream go before all of it was seen: a slot for every patch that may come."""

    table: pa.Table
    """Rows in the order of the slots: ``patch``, ``s1_name``, ``epsg``, ``ulx`` and ``uly``."""

    @classmethod
    def of_table(cls, table: pa.Table) -> "Slots":
        """Give every row of a table a slot."""
        return cls(table.select(_COLUMNS))

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Slot by the name of either half."""
        numbers = {name: slot for slot, name in enumerate(self.table["s1_name"].to_pylist()) if name}
        return numbers | {name: slot for slot, name in enumerate(self.table["patch"].to_pylist())}

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """EPSG code, easting and northing in metres of the upper left corner, shape ``(slot, 3)``."""
        return np.stack([self.table[name].to_numpy().astype(np.int64) for name in _COLUMNS[2:]], axis=1)

    @cached_property
    def identity(self) -> str:
        """Digest of which patch has which slot."""
        return hashlib.sha256("\n".join(self.table["patch"].to_pylist()).encode()).hexdigest()

    def name(self, slot: int) -> str:
        """Find the patch id of a slot."""
        return str(self.table["patch"][slot].as_py())

    def forget_numbers(self) -> None:
        """Free `numbers`, 400 bytes a patch, until they are asked for again."""
        self.__dict__.pop("numbers", None)

    def of(self, patches: pa.ChunkedArray) -> NDArray[np.intp]:
        """Find the slots of patches, shape ``(patch,)``; -1 where one has none."""
        found = pc.index_in(patches.combine_chunks(), self.table["patch"].combine_chunks())
        slots: NDArray[np.intp] = found.fill_null(-1).to_numpy().astype(np.intp)
        return slots

    def extended(self, table: pa.Table) -> "Slots":
        """Add slots for the patches of a table that have none yet."""
        new = table.filter(pa.array(self.of(table["patch"]) < 0))
        return Slots(pa.concat_tables([self.table, new.select(_COLUMNS)]).combine_chunks())


@dataclass(slots=True, kw_only=True)
class Receiver:
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


def receive(
    members: Iterator[Member | Refusal], index: StreamIndex, receiver: Receiver | None, advance: Callable[[], None]
) -> None:
    """Go through a stream to its end.

    Parameters
    ----------
    members
        The files, in any order, and what was passed over.
    index
        Notes every file.
    receiver
        What to do with pixels; None to let them pass.
    advance
        Called after every member.

    Raises
    ------
    OSError
        If the disk is full.
    """
    buffer = None if receiver is None else _PatchBuffer(index, receiver)
    for member in members:
        if isinstance(member, Refusal):
            index.refuse(member)
        elif index.note(member.name, member.data) and buffer is not None:
            buffer.take(member.name, member.data)
        advance()
    if buffer is not None:
        buffer.flush()
        if any(refusal.kind == "damaged" for refusal in index.refusals()):
            buffer.forget()


def read_streams(containers: Sequence[Container], receiver: Receiver | None, progress: Progress) -> PixelSource:
    """Go through containers at the same time, each in a thread.

    Parameters
    ----------
    containers
        What to go through. What comes through a pipe is kept, but for patches that are taken in.
    receiver
        What to do with pixels; None to let them pass. What arrived is noted even if a stream fails.
    progress
        Shows how far each is.

    Returns
    -------
    PixelSource
        All that was seen, but for pixels.

    Raises
    ------
    OSError
        If the disk is full.
    DownloadError
        If a server gives up.
    DamagedError
        If compressed data are damaged.
    """
    indexes = [StreamIndex(str(container)) for container in containers]
    is_over = Event()
    try:
        with ThreadPoolExecutor(len(indexes), thread_name_prefix="stream") as pool:
            try:
                running = [
                    pool.submit(_read_stream, container, index, receiver, progress, is_over)
                    for container, index in zip(containers, indexes, strict=True)
                ]
                for one in as_completed(running):
                    one.result()
            finally:
                # Where one fails, or at Ctrl-C, the others stop at their next file.
                is_over.set()
    finally:
        if receiver is not None:
            receiver.staging.close()
            receiver.staging.checkpoint()
            receiver.slots.forget_numbers()
    _refuse_damaged(indexes)
    names = name_containers(containers)
    return JoinedSource(tuple(sorted(zip(names, indexes, strict=True), key=lambda part: part[0])))


def release_metadata(passed: PixelSource) -> None:
    """Let go of the JSONs that passed by, once the labels have been read from them."""
    if isinstance(passed, JoinedSource):
        for _, part in passed.parts:
            if isinstance(part, StreamIndex):
                part.release_metadata()


class _PatchBuffer:
    """The half of a patch that is arriving: its planes are written together, as they mostly come together."""

    def __init__(self, index: StreamIndex, receiver: Receiver) -> None:
        self._index, self._receiver = index, receiver
        self._numbers = {f"{plane.name}.tif": plane.number for plane in receiver.staging.planes}
        self._folder, self._prefix, self._slot = "", "_", -1
        self._pixels: dict[int, NDArray[Any]] = {}
        self._passed: NDArray[np.bool_] = np.zeros_like(receiver.staging.arrived)

    def take(self, path: str, data: Data) -> None:
        """Decode a plane that is still to come; let all else pass."""
        folder, _, file = path.rpartition("/")
        if folder != self._folder:
            self._turn_to(folder)
        ending = archive_ending(file[len(self._prefix) :]) if file.startswith(self._prefix) else None
        number = -1 if ending is None else self._numbers.get(ending, -1)
        receiver, slot = self._receiver, self._slot
        if slot < 0 or number < 0:
            return
        self._passed[slot, number] = True
        if receiver.is_done[slot] or receiver.staging.arrived[slot, number]:
            return
        try:
            self._pixels[number] = self._decode(number, path, data)
        except PatchError as error:
            receiver.failures[slot, number] = str(error)

    def flush(self) -> None:
        """Write the planes that came together."""
        if self._pixels:
            self._receiver.staging.put(self._slot, self._pixels)
            self._pixels = {}

    def forget(self) -> None:
        """Expect anew all that passed by: in a damaged stream it is not known from where on pixels are wrong."""
        self._receiver.staging.arrived[self._passed] = False

    def _turn_to(self, folder: str) -> None:
        self.flush()
        patch = folder.rpartition("/")[2]
        self._folder, self._prefix = folder, f"{patch}_"
        self._slot = self._receiver.slots.numbers.get(patch, -1)
        self._receiver.staging.checkpoint_if_due()

    def _decode(self, number: int, path: str, data: Data) -> NDArray[Any]:
        """Decode a plane, which has to be that of the patch whose slot it is."""
        band = _BANDS[self._receiver.staging.planes[number].name]
        epsg, ulx, uly = self._receiver.slots.places[self._slot].tolist()

        def where() -> str:
            return f"{self._receiver.slots.name(self._slot)}: band {band.name} ({self._index.locate(path)})"

        return decode_band(data, band=band, epsg=epsg, ulx=ulx, uly=uly, where=where)


def _refuse_damaged(indexes: Sequence[StreamIndex]) -> None:
    """Refuse containers whose compressed data are damaged; what came from others is kept."""
    damaged = [refusal.message for index in indexes for refusal in index.refusals() if refusal.kind == "damaged"]
    if damaged:
        raise DamagedError(
            "\n".join((*damaged, "nothing of it is stored, as its pixels may be wrong from any place on"))
        )


def _read_stream(
    container: Container, index: StreamIndex, receiver: Receiver | None, progress: Progress, is_over: Event
) -> None:
    """Go through one container until it ends, or all are to."""
    with open_members(container, progress.say) as stream:
        advance = progress.steps(Path(index.name).name, stream.size)
        shown = 0

        def show() -> None:
            nonlocal shown
            now = stream.position()
            if now != shown:
                advance(now - shown)
                shown = now

        members: Iterator[Member | Refusal] = takewhile(lambda _: not is_over.is_set(), stream.members)
        if isinstance(container, Pipe):
            members = container.keep(members, lambda name: receiver is None or not receiver.expects(name))
        receive(members, index, receiver, show)
