"""Pixels of a stream on their way into a store: each band at its place in a file a shard, in whatever order they come.

The files lie in a folder beside the store and look like shards of the profile `fast` without checksums and index. A
journal says what has arrived; it is written after its pixels are on disk, so that a run that continues after a kill
finds no more than the truth there.
"""

import hashlib
import os
import shutil
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir
from threading import Lock
from typing import Any
from zipfile import BadZipFile

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import StoreError
from bigearth_xr.processes import lock_file
from bigearth_xr.store.codec import CRC_BYTES
from bigearth_xr.store.create import table_key
from bigearth_xr.store.location import Location
from bigearth_xr.store.schema import SHARD_PATCHES, PixelArray

__all__ = ["lock_store"]

CHECKPOINT_S = 20.0
"""Seconds of work that a run that is killed may lose."""

MOST_OPEN = 128
"""Files open at once; a whole release has 2,800."""

_JOURNAL = "journal.npz"

_NOTED = ("arrived", "checksums")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """One band of one array, or the reference map: the least that arrives as a whole."""

    number: int
    """Place among all planes of a staging area."""

    name: str
    """Name of the band, or ``"reference_map"``."""

    array: PixelArray
    """The array that it is part of."""

    index: int
    """Place along the array's band dimension."""

    @property
    def nbytes(self) -> int:
        """Bytes of its pixels."""
        return self.array.patch_bytes // max(1, len(self.array.bands))

    def offset(self, slot: int) -> int:
        """Where in the file of its shard it lies."""
        return slot % SHARD_PATCHES * (self.array.patch_bytes + CRC_BYTES) + self.index * self.nbytes


def _planes_of(arrays: Sequence[PixelArray]) -> tuple[Plane, ...]:
    """List the planes of arrays, in stored order.

    Examples
    --------
    >>> from bigearth_xr.store.schema import pixel_arrays
    >>> [plane.name for plane in _planes_of(pixel_arrays(["VV", "B04", "B02"], reference_map=True))]
    ['B02', 'B04', 'VV', 'reference_map']
    """
    places = [(array, i, name) for array in arrays for i, name in enumerate(array.bands or (array.name,))]
    return tuple(
        Plane(number=number, name=name, array=array, index=i) for number, (array, i, name) in enumerate(places)
    )


def staging_folder(store: Location) -> Path:
    """Where pixels wait for their rows: beside the store, or in the working directory if that is on object storage.

    Examples
    --------
    >>> from bigearth_xr.store.location import location_of
    >>> staging_folder(location_of("/data/ben.zarr")).as_posix(), staging_folder(location_of("s3://mine/ben.zarr")).as_posix()
    ('/data/ben.ingest', 'ben-ffadd943.ingest')
    """
    if store.local is not None:
        return store.local.with_suffix(".ingest")
    # Stores in several buckets may have one name.
    return Path(f"{Path(store.name).stem}-{hashlib.sha256(store.address.encode()).hexdigest()[:8]}.ingest")


def staged_file(folder: Path, array: PixelArray, shard: int) -> Path:
    """Where the pixels of a shard lie.

    Examples
    --------
    >>> from bigearth_xr.store.schema import pixel_arrays
    >>> staged_file(Path("ben.ingest"), *pixel_arrays(["VV"], reference_map=False), 7).as_posix()
    'ben.ingest/s1/7'
    """
    return folder / array.name / str(shard)


@contextmanager
def lock_store(store: Location) -> Iterator[None]:
    """Keep other ingests of this machine away from a store, until the end of the block or of the process.

    Raises
    ------
    StoreError
        If another one fills it now.
    """
    path = _lock_path(store)
    path.parent.mkdir(parents=True, exist_ok=True)
    with lock_file(path) as is_ours:
        if not is_ours:
            raise StoreError(f"{store}: another ingest is filling it; wait for that one")
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


class Staging:
    """A folder of planes that have arrived, by slot: a patch's place until its row in the store is certain.

    Parameters
    ----------
    folder
        Made if it is not there.
    arrays
        The arrays to make room for.
    slots
        Patches to make room for.
    identity
        Text that tells one plan of slots from another; what another one left is removed. Of a plan with more slots than
        these, the first as many are continued.
    """

    def __init__(self, folder: Path, arrays: Sequence[PixelArray], slots: int, *, identity: str) -> None:
        self.folder = folder
        self.planes = _planes_of(arrays)
        self.arrived: NDArray[np.bool_] = np.zeros((slots, len(self.planes)), bool)
        """What has arrived, shape ``(slot, plane)``."""
        self.checksums: NDArray[np.uint32] = np.zeros(self.arrived.shape, np.uint32)
        """CRC-32C of each plane, shape ``(slot, plane)``."""
        self._identity = " ".join([identity, *(plane.name for plane in self.planes)])
        self._open: OrderedDict[Path, int] = OrderedDict()
        self._dirty: set[Path] = set()
        # Streams arrive side by side; files are closed in the meantime.
        self._writing, self._noting = Lock(), Lock()
        self._noted_s = time.monotonic()
        self._is_on_disk = True
        self._continue()

    def put(self, slot: int, pixels: Mapping[int, NDArray[Any]]) -> None:
        """Write planes of one patch, by number, each of shape ``(y, x)``; neighbours in one go.

        Raises
        ------
        OSError
            If the disk is full.
        """
        for run in _runs(self.planes, sorted(pixels)):
            first = self.planes[run[0]]
            data = [np.ascontiguousarray(pixels[number], _stored(first.array)) for number in run]
            with self._writing:
                _write_all(self._file(first.array, slot // SHARD_PATCHES), data, first.offset(slot))
            for number, plane in zip(run, data, strict=True):
                self.checksums[slot, number] = google_crc32c.value(plane)
                self.arrived[slot, number] = True

    def checkpoint_if_due(self) -> None:
        """Make what has arrived survive, if that is some time ago and no other thread is about it."""
        if time.monotonic() - self._noted_s > CHECKPOINT_S and self._noting.acquire(blocking=False):
            try:
                self._note()
            finally:
                self._noting.release()

    def checkpoint(self) -> None:
        """Make what has arrived so far survive whatever happens next."""
        with self._noting:
            self._note()

    def grow(self, slots: int) -> None:
        """Make room for more patches; what has arrived keeps its slots."""
        more = slots - len(self.arrived)
        self.arrived = np.pad(self.arrived, ((0, more), (0, 0)))
        self.checksums = np.pad(self.checksums, ((0, more), (0, 0)))

    def close(self) -> None:
        """Close all files; what has arrived stays."""
        while self._open:
            os.close(self._open.popitem()[1])

    def discard(self) -> None:
        """Remove everything."""
        self.close()
        # First, so that no part is taken for the whole if this is not done to its end.
        (self.folder / _JOURNAL).unlink(missing_ok=True)
        shutil.rmtree(self.folder)

    def used_bytes(self) -> int:
        """Disk taken; holes take none."""
        return sum(path.stat().st_blocks * 512 for path in self.folder.rglob("*") if path.is_file())

    def _continue(self) -> None:
        """Take up what an earlier run noted, if it was of the same plan."""
        try:
            with (self.folder / _JOURNAL).open("rb") as file, np.load(file) as journal:
                is_ours = str(journal["identity"]) == self._identity and len(journal["arrived"]) >= len(self.arrived)
                if is_ours:
                    self.arrived, self.checksums = (journal[name][: len(self.arrived)] for name in _NOTED)
        except (FileNotFoundError, BadZipFile, EOFError, KeyError, ValueError):
            is_ours = False
        if not is_ours:
            shutil.rmtree(self.folder, ignore_errors=True)
        for array in {plane.array.name for plane in self.planes}:
            (self.folder / array).mkdir(parents=True, exist_ok=True)
        self._forget_what_left()

    def _note(self) -> None:
        """Write the journal, behind the pixels that it speaks of."""
        if not self._is_on_disk:
            # A file could not be flushed, and it is not known of which pixels: the journal before that holds.
            return
        # What is noted here is written already; what comes from now on may or may not be on disk.
        arrived, checksums = self.arrived.copy(), self.checksums.copy()
        with self._writing:
            dirty, self._dirty = self._dirty, set()
        self._is_on_disk = False
        for path in dirty:
            _flush(path)
        self._is_on_disk = True
        journal = self.folder / "journal.partial"
        with journal.open("wb") as file:
            np.savez(file, identity=np.array(self._identity), arrived=arrived, checksums=checksums)
            file.flush()
            os.fsync(file.fileno())
        journal.replace(self.folder / _JOURNAL)
        self._noted_s = time.monotonic()

    def _forget_what_left(self) -> None:
        """Expect anew what a run that was killed had moved into the store, but not recorded there."""
        for plane in self.planes:
            for shard in range(-(-len(self.arrived) // SHARD_PATCHES)):
                if not staged_file(self.folder, plane.array, shard).exists():
                    self.arrived[shard * SHARD_PATCHES : (shard + 1) * SHARD_PATCHES, plane.number] = False

    def _file(self, array: PixelArray, shard: int) -> int:
        path = staged_file(self.folder, array, shard)
        self._dirty.add(path)
        if path in self._open:
            self._open.move_to_end(path)
            return self._open[path]
        if len(self._open) >= MOST_OPEN:
            os.close(self._open.popitem(last=False)[1])
        self._open[path] = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        return self._open[path]


def remove_partials(store: Location) -> None:
    """Remove files that were begun and never moved to their places; in object storage there are none."""
    if store.local is None:
        return
    beside = store.local.parent.glob(f"{table_key(store)}.*.partial")
    for file in (*beside, *store.local.rglob("*.partial")):
        file.unlink(missing_ok=True)


def remove_staging(store: Location) -> None:
    """Remove what had arrived of a stream for a store that is complete by other ways."""
    shutil.rmtree(staging_folder(store), ignore_errors=True)


def _stored(array: PixelArray) -> np.dtype[Any]:
    return np.dtype(array.dtype).newbyteorder("<")


def _runs(planes: Sequence[Plane], numbers: Sequence[int]) -> list[list[int]]:
    """Split sorted numbers into runs that lie end to end in one array."""
    runs: list[list[int]] = []
    for number in numbers:
        is_next = bool(runs) and runs[-1][-1] == number - 1 and planes[number].index > 0
        if is_next:
            runs[-1].append(number)
        else:
            runs.append([number])
    return runs


def _write_all(file: int, data: list[NDArray[Any]], start: int) -> None:
    """Write arrays one behind the other; the system may take a part of them at a time."""
    wanted = sum(array.nbytes for array in data)
    written = os.pwritev(file, [array.data for array in data], start)
    if written < wanted:
        rest = memoryview(b"".join(array.tobytes() for array in data))[written:]
        while rest:
            start += written
            written = os.pwrite(file, rest, start)
            rest = rest[written:]


def _flush(path: Path) -> None:
    """Wait until a file is on disk."""
    file = os.open(path, os.O_RDWR)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _lock_path(store: Location) -> Path:
    """Where the lock lies: beside the store, or with this machine's temporary files."""
    if store.local is not None:
        return store.local.with_suffix(".lock")
    return Path(gettempdir(), f"bigearth-{hashlib.sha256(store.address.encode()).hexdigest()[:16]}.lock")
