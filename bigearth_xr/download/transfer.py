"""One file on its way to a folder: in pieces side by side, into ``NAME.part``, checked before it gets its name."""

import os
import time
from collections import deque
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from threading import Event, Lock

from bigearth_xr.download.checksum import check_md5
from bigearth_xr.download.connection import ChangedError, NoRangesError, Version
from bigearth_xr.download.journal import Journal, Range, cut, gaps, read_journal, start_journal
from bigearth_xr.download.locking import locked
from bigearth_xr.download.patience import Patience
from bigearth_xr.download.reader import RangeReader
from bigearth_xr.download.side_by_side import run_side_by_side
from bigearth_xr.errors import DownloadError
from bigearth_xr.progress import Progress
from bigearth_xr.published import PublishedFile

__all__ = ["Transfer"]

_LONGEST_PIECE_BYTES = 256 * 1024**2
"""One request: few enough for servers that count them (Zenodo does)."""

_SHORTEST_PIECE_BYTES = 1024**2
_PIECES_A_CONNECTION = 4
"""So many or more, so that none of the connections works alone for long at the end."""

_NOTED_BYTES, _NOTED_S = 16 * 1024**2, 2.0
"""What a killed process loses of each connection, at most: so many bytes, and what came in so many seconds."""

_RESTARTS = 3


class Transfer:
    """One published file, fetched from an address."""

    def __init__(
        self, file: PublishedFile, address: str, folder: Path, *, parallel: int, patience: Patience, progress: Progress
    ) -> None:
        self.file = file
        self.version = Version(size=None)
        self.fetched_bytes = 0
        self.seconds = 0.0
        self.path = folder / file.name
        self._address = address
        self._part = folder / f"{file.name}.part"
        self._journal = folder / f"{file.name}.part.ranges"
        self._parallel = parallel
        self._patience = patience
        self._progress = progress
        self._ranged = True
        self._count = Lock()

    def probe(self) -> None:
        """Ask the server for the size of the file, and whether it gives ranges."""
        # One byte of it: HEAD is not answered everywhere, and rarely says whether ranges are.
        reader = RangeReader(self._address, 0, 1, patience=self._patience, notice=self._progress.say)
        try:
            self.version = reader.connect()
            if self.version.size != 0:
                reader.read()  # so that neither side has to break the connection
            self._ranged = self.version.size is not None
        except NoRangesError:
            self._ranged = False
            self.version = reader.version or self.version
        finally:
            reader.close()

    @property
    def resumable(self) -> bool:
        """Whether some of it is there for a later run."""
        return self._journal.exists()

    @property
    def missing_bytes(self) -> int:
        """Bytes still to come, as far as is known."""
        held = sum(stop - start for start, stop in self._held()) if self._ranged else 0
        return (self.version.size or 0) - held

    def run(self) -> None:
        """Fetch what is missing, check it, and give it its name."""
        with locked(self._part):
            began = time.monotonic()
            try:
                self._fetch()
            finally:
                self.seconds = time.monotonic() - began
            self._check()
            os.replace(self._part, self.path)
            self._journal.unlink(missing_ok=True)

    def _fetch(self) -> None:
        """Fetch it, and start over if it changes meanwhile."""
        for restart in range(_RESTARTS + 1):
            try:
                if self._ranged:
                    self._fetch_pieces()
                else:
                    self._fetch_stream()
                return
            except NoRangesError as error:
                self._progress.say(f"{error}; fetching it in one stream")
                self._ranged = False
            except ChangedError as error:
                if restart == _RESTARTS:
                    raise
                self._progress.say(f"{error}; starting over")
                self._journal.unlink(missing_ok=True)
                self.probe()
        raise DownloadError(f"{self._address}: the server gives ranges now and then; try again later")

    def _held(self) -> tuple[Range, ...]:
        """What an earlier run left of this version."""
        journal = read_journal(self._journal)
        if journal is None or journal.version.size != self.version.size or not self._part.exists():
            return ()
        # Another address has other tags for the same bytes; the md5 decides in the end.
        same = journal.address != self._address or journal.version.agrees_with(self.version)
        return journal.held if same and self._part.stat().st_size == self.version.size else ()

    def _fetch_pieces(self) -> None:
        """Fetch what is missing, through several connections."""
        size, held = self.version.size or 0, self._held()
        earlier = read_journal(self._journal)
        if earlier is not None and earlier.held and not held:
            self._progress.say(f"{self.file.name}: what an earlier run left is of another version; starting over")
        journal = start_journal(self._journal, self._address, self.version, held)
        with self._part.open("r+b") as part:
            part.truncate(size)  # sparse: takes no space before its bytes come
        missing = gaps(held, size)
        piece_bytes = size // (self._parallel * _PIECES_A_CONNECTION)
        piece_bytes = min(max(piece_bytes, _SHORTEST_PIECE_BYTES), _LONGEST_PIECE_BYTES)
        pieces = deque(cut(missing, piece_bytes))
        done = size - sum(stop - start for start, stop in missing)
        advance = self._progress.steps(self.file.name, size, done)

        def fetch(stopped: Event) -> None:
            while pieces and not stopped.is_set():
                try:
                    piece = pieces.popleft()
                except IndexError:  # another thread was faster
                    return
                self._fetch_piece(piece, journal, advance, stopped)

        run_side_by_side(fetch, min(self._parallel, len(pieces)))

    def _fetch_piece(self, piece: Range, journal: Journal, advance: Callable[..., None], stopped: Event) -> None:
        """Fetch one piece, noting what has come."""
        reader = RangeReader(
            self._address,
            *piece,
            version=self.version,
            patience=self._patience,
            notice=self._progress.say,
            stopped=stopped,
        )
        # Each thread has a file of its own, so that none writes into what another has closed, and opened as another.
        with self._part.open("r+b", buffering=0) as part:
            part.seek(piece[0])
            noted, noted_s = piece[0], time.monotonic()
            try:
                while (data := reader.read()) and not stopped.is_set():
                    self._write(part, data, advance)
                    if part.tell() - noted >= _NOTED_BYTES or time.monotonic() - noted_s >= _NOTED_S:
                        noted, noted_s = self._note(part, journal, noted), time.monotonic()
            finally:
                reader.close()
                self._note(part, journal, noted)

    def _fetch_stream(self) -> None:
        """Fetch it through one connection, from the first byte."""
        self._journal.unlink(missing_ok=True)
        advance = self._progress.steps(self.file.name, self.version.size)
        reader = RangeReader(self._address, patience=self._patience, notice=self._progress.say)
        try:
            with self._part.open("r+b", buffering=0) as part:
                part.truncate(0)
                while data := reader.read():
                    self._write(part, data, advance)
                os.fsync(part.fileno())
        except OSError:
            self._part.unlink()  # cannot be gone on with
            raise
        finally:
            reader.close()

    def _write(self, part: FileIO, data: bytes, advance: Callable[..., None]) -> None:
        """Write all of it."""
        left = memoryview(data)
        while left:
            left = left[part.write(left) :]
        with self._count:
            self.fetched_bytes += len(data)
        advance(len(data))

    def _note(self, part: FileIO, journal: Journal, noted: int) -> int:
        """Note what was written since; it is on disk before the journal says so."""
        position = part.tell()
        if position > noted:
            os.fsync(part.fileno())
            journal.add(noted, position)
        return position

    def _check(self) -> None:
        """Compare the sum with the published one; what has another is of no use."""
        try:
            check_md5(self._part, self.file.md5, self._progress.steps)
        except DownloadError as error:
            self._part.unlink()
            self._journal.unlink(missing_ok=True)
            raise DownloadError(f"{error}; it was deleted: try again, or another address") from None
