"""One file on its way to a folder: in pieces side by side, into ``NAME.part``, checked before it gets its name."""

import hashlib
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from threading import Event, Lock, Thread

from bigearth_xr.download.connection import ChangedError, NoRangesError, RetryPolicy, Version
from bigearth_xr.download.url_stream import RangeReader
from bigearth_xr.errors import DownloadError
from bigearth_xr.processes import lock_file
from bigearth_xr.progress import Progress
from bigearth_xr.releases import PublishedFile

_LONGEST_PIECE_BYTES = 256 * 1024**2
"""One request: few enough for servers that count them (Zenodo does)."""

_SHORTEST_PIECE_BYTES = 1024**2

_PIECES_A_CONNECTION = 4
"""At least as many, so that none of the connections works alone for long at the end."""

_NOTED_BYTES, _NOTED_S = 16 * 1024**2, 2.0
"""What a killed process loses of each connection, at most: the first, and what came in the seconds of the second."""

_RESTARTS = 3

_Range = tuple[int, int]
"""First byte, and the one behind the last."""

_CHUNK_BYTES = 1024**2


@dataclass(frozen=True, slots=True, kw_only=True)
class _Journal:
    """What was fetched of one file."""

    address: str
    """Where it was fetched from."""

    version: Version
    """Which version it is of."""

    held: tuple[_Range, ...] = ()
    """Bytes on disk when the journal was opened: ascending, apart from each other."""

    path: Path
    """Where the journal is kept."""

    lock: Lock
    """Held by the thread that writes a line."""

    def add(self, start: int, stop: int) -> None:
        """Note that these bytes are on disk."""
        with self.lock, self.path.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps([start, stop])}\n")


class Transfer:
    """One published file, fetched from an address."""

    def __init__(
        self,
        file: PublishedFile,
        address: str,
        folder: Path,
        *,
        parallel: int,
        retry: RetryPolicy,
        progress: Progress,
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
        self._retry = retry
        self._progress = progress
        self._ranged = True
        self._count = Lock()

    def probe(self) -> None:
        """Ask the server for the size of the file, and whether it gives ranges."""
        # One byte of it: HEAD is not answered everywhere, and rarely says whether ranges are.
        reader = RangeReader(self._address, 0, 1, retry=self._retry, notice=self._progress.say)
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
        with lock_file(self._part) as is_ours:
            if not is_ours:
                raise DownloadError(f"{self._part}: another process is fetching it; wait for that one")
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

    def _held(self) -> tuple[_Range, ...]:
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
        journal = _start_journal(self._journal, self._address, self.version, held)
        with self._part.open("r+b") as part:
            part.truncate(size)  # sparse: takes no space before its bytes come
        missing = _gaps(held, size)
        piece_bytes = size // (self._parallel * _PIECES_A_CONNECTION)
        piece_bytes = min(max(piece_bytes, _SHORTEST_PIECE_BYTES), _LONGEST_PIECE_BYTES)
        pieces = deque(_cut(missing, piece_bytes))
        done = size - sum(stop - start for start, stop in missing)
        advance = self._progress.steps(self.file.name, size, done)

        def fetch(stopped: Event) -> None:
            while pieces and not stopped.is_set():
                try:
                    piece = pieces.popleft()
                except IndexError:  # another thread was faster
                    return
                self._fetch_piece(piece, journal, advance, stopped)

        run_threads(fetch, min(self._parallel, len(pieces)))

    def _fetch_piece(self, piece: _Range, journal: _Journal, advance: Callable[..., None], stopped: Event) -> None:
        """Fetch one piece, noting what has come."""
        reader = RangeReader(
            self._address,
            *piece,
            version=self.version,
            retry=self._retry,
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
        reader = RangeReader(self._address, retry=self._retry, notice=self._progress.say)
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

    def _note(self, part: FileIO, journal: _Journal, noted: int) -> int:
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


def _start_journal(path: Path, address: str, version: Version, held: tuple[_Range, ...] = ()) -> _Journal:
    """Begin a journal, in place of an earlier one whose ranges are passed on."""
    head = {"address": address, "size": version.size, "etag": version.etag, "modified": version.modified}
    lines = [json.dumps(head), *(json.dumps(one) for one in held)]
    new = path.with_name(f"{path.name}.new")
    new.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    os.replace(new, path)
    return _Journal(address=address, version=version, held=held, path=path, lock=Lock())


def read_journal(path: Path) -> _Journal | None:
    """Read what an earlier run has left.

    Returns
    -------
    _Journal or None
        None if there is none, or none of ours.
    """
    try:
        head, *lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        said = json.loads(head)
        version = Version(size=int(said["size"]), etag=said["etag"], modified=said["modified"])
        held = _merged(filter(None, map(_range, lines)))
        address = str(said["address"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    if held and not 0 <= held[0][0] < held[-1][1] <= int(said["size"]):
        return None
    return _Journal(address=address, version=version, held=held, path=path, lock=Lock())


def _gaps(held: Iterable[_Range], size: int) -> list[_Range]:
    """What is missing between ascending ranges.

    Examples
    --------
    >>> _gaps([(0, 10), (30, 40)], 50)
    [(10, 30), (40, 50)]
    """
    missing, position = [], 0
    for start, stop in held:
        if start > position:
            missing.append((position, start))
        position = stop
    return [*missing, (position, size)] if position < size else missing


def _cut(ranges: Iterable[_Range], most: int) -> list[_Range]:
    """Divide ranges into pieces of at most `most` bytes.

    Examples
    --------
    >>> _cut([(10, 30), (40, 50)], 15)
    [(10, 25), (25, 30), (40, 50)]
    """
    return [(at, min(at + most, stop)) for start, stop in ranges for at in range(start, stop, most)]


def check_md5(path: Path, expected: str, steps: Callable[[str, int], Callable[[int], None]]) -> None:
    """Read a file, and refuse it if it has another md5 than expected.

    Raises
    ------
    DownloadError
        If the sums differ.
    """
    size = path.stat().st_size
    advance = steps(f"{path.name}: md5", size)
    digest = hashlib.md5(usedforsecurity=False)
    buffer = memoryview(bytearray(_CHUNK_BYTES))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
            advance(count)
    if digest.hexdigest() != expected.lower():
        raise DownloadError(f"{path}: md5 of its {size:,} bytes is {digest.hexdigest()}, published is {expected}")


def run_threads(work: Callable[[Event], None], threads: int) -> None:
    """Run a function in several threads; the first error stops all of them, and is raised.

    Parameters
    ----------
    work
        Called with an event that is set when it has to stop.
    threads
        How many. They do not keep the interpreter alive: Ctrl-C ends it though a server keeps one waiting.
    """
    stopped = Event()
    errors: list[BaseException] = []

    def guarded() -> None:
        try:
            work(stopped)
        except BaseException as error:
            errors.append(error)
            stopped.set()

    workers = [Thread(target=guarded, daemon=True) for _ in range(threads)]
    for thread in workers:
        thread.start()
    try:
        for thread in workers:
            while thread.is_alive():
                thread.join(1.0)  # on Windows, Ctrl-C waits for the end of a wait
    except BaseException:
        stopped.set()
        raise
    if errors:
        raise errors[0]


def _range(line: str) -> _Range | None:
    """Read a line; None if it was torn, or another was written behind a torn one."""
    try:
        start, stop = json.loads(line)
    except ValueError:
        return None
    return (start, stop) if line.endswith("\n") else None


def _merged(ranges: Iterable[_Range]) -> tuple[_Range, ...]:
    """Join ranges that touch or overlap."""
    merged: list[_Range] = []
    for start, stop in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return tuple(merged)
