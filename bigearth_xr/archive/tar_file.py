"""A plain tar by the place of its bytes: in one file, or in the parts that it was split into."""

import os
import threading
import weakref
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

__all__ = ["TarFile"]


class TarFile:
    """Files that are one when read one behind the other, opened again in every process that needs them.

    Parameters
    ----------
    paths
        The files, in order.

    Examples
    --------
    >>> root = getfixture("tmp_path")
    >>> paths = [root / "S2.taraa", root / "S2.tarab"]
    >>> [path.write_bytes(data) for path, data in zip(paths, (b"pat", b"ch"))]
    [3, 2]
    >>> file = TarFile(paths)
    >>> file.size, file.read(4, 1)
    (5, b'atch')
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = tuple(paths)
        self._lock = threading.Lock()
        self._descriptors: tuple[int, ...] = ()
        self._starts: tuple[int, ...] = ()

    def __reduce__(self) -> tuple[type["TarFile"], tuple[tuple[Path, ...]]]:
        return TarFile, (self.paths,)

    @property
    def size(self) -> int:
        """Bytes in all, when the files were opened."""
        self._open()
        return self._starts[-1]

    def read(self, size: int, at: int) -> bytes:
        """Give `size` bytes from byte `at` on, fewer only at the end."""
        self._open()
        if len(self._descriptors) == 1:
            return os.pread(self._descriptors[0], size, at)
        pieces = []
        for descriptor, start, stop in zip(self._descriptors, self._starts, self._starts[1:], strict=False):
            if start <= at < stop and size > 0:
                pieces.append(os.pread(descriptor, min(size, stop - at), at - start))
                at, size = at + len(pieces[-1]), size - len(pieces[-1])
        return b"".join(pieces)

    def stamp(self) -> tuple[int, ...]:
        """Tell one state of the files from another: bytes of each, and when it was changed, in nanoseconds."""
        self._open()
        states = map(os.fstat, self._descriptors)
        return tuple(number for state in states for number in (state.st_size, state.st_mtime_ns))

    def _open(self) -> None:
        """Open the files if they are not."""
        if self._descriptors:
            return
        with self._lock:
            if not self._descriptors:
                descriptors = []
                for path in self.paths:
                    descriptors.append(os.open(path, os.O_RDONLY))
                    weakref.finalize(self, os.close, descriptors[-1])
                sizes = (os.fstat(descriptor).st_size for descriptor in descriptors)
                self._starts = tuple(accumulate(sizes, initial=0))
                self._descriptors = tuple(descriptors)
