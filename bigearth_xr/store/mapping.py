"""Files in memory: a read touches the page cache and nothing else, and costs no system call.

A file that somebody cuts short under a map kills the process that touches what is gone (SIGBUS), and so does a disk or
a network folder that fails. Nothing here cuts a shard: ingest and repair write another file and rename it, and who has
the old one mapped goes on with the old bytes.
"""

import ctypes
import errno
import mmap
import os
import weakref
from collections.abc import Iterable
from functools import cache
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import StoreError

__all__ = ["Version", "copy_bytes", "map_file", "version_of", "will_need"]

Version = tuple[int, int, int]
"""Inode, time of change and size of a file: another one after every change."""


def version_of(path: str) -> Version | None:
    """Tell a file's version; None without a file.

    Examples
    --------
    >>> version_of("nowhere") is None
    True
    """
    try:
        return _version(os.stat(path))
    except (FileNotFoundError, NotADirectoryError):
        return None


def _version(status: os.stat_result) -> Version:
    return status.st_ino, status.st_mtime_ns, status.st_size


def map_file(path: str) -> tuple[NDArray[np.uint8], Version] | None:
    """Map a file whole; it stays mapped as long as the array or a view of it lives, also when it is deleted.

    Returns
    -------
    tuple or None
        Its bytes, shape ``(byte,)``, read-only, and the version that they are; None without a file. No descriptor stays
        open. A write past NumPy, by address, changes this process's own copy of the page and never the file.

    Raises
    ------
    StoreError
        If the system refuses one more map.

    Examples
    --------
    >>> file = getfixture("tmp_path") / "shard"
    >>> file.write_bytes(b"pixels")
    6
    >>> data, version = map_file(str(file))
    >>> bytes(data), version == version_of(str(file))
    (b'pixels', True)
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        version = _version(os.fstat(descriptor))
        size = version[-1]
        # An empty file cannot be mapped.
        return (np.asarray(_Mapped(descriptor, size, path)) if size else np.empty(0, np.uint8)), version
    finally:
        os.close(descriptor)


class _Mapped:
    """Owner of a map, as NumPy takes one: arrays keep it, and it unmaps when the last of them is gone.

    Python's own `mmap` keeps a descriptor open for every map, and a store has more shards than a process may have
    descriptors.
    """

    def __init__(self, descriptor: int, size: int, path: str) -> None:
        protection = mmap.PROT_READ | mmap.PROT_WRITE
        address = _libc().mmap(None, size, protection, mmap.MAP_PRIVATE, descriptor, 0)
        if address == ctypes.c_void_p(-1).value:
            reason = os.strerror(ctypes.get_errno())
            full = ctypes.get_errno() == errno.ENOMEM
            raise StoreError(
                f"{path}: cannot be mapped into memory ({reason})"
                + ("; raise vm.max_map_count or vm.overcommit_memory, or read with fewer processes" if full else "")
            )
        self.__array_interface__ = {"version": 3, "shape": (size,), "typestr": "|u1", "data": (address, True)}
        # Not at exit: threads may still read then, and the map ends with the process anyway.
        weakref.finalize(self, _libc().munmap, address, size).atexit = False


def copy_bytes(targets: NDArray[np.uint64], sources: NDArray[np.uint64], length: int) -> None:
    """Copy as many bytes from each address to each other one: a loop in C, that lets other threads run.

    Parameters
    ----------
    targets, sources
        Addresses on the host, shape ``(patch,)`` each.
    length
        Bytes of each copy.

    Examples
    --------
    >>> numbers = np.arange(4, dtype=np.uint8)
    >>> copy_bytes(np.uint64([numbers.ctypes.data]), np.uint64([numbers.ctypes.data + 2]), 2)
    >>> numbers
    array([2, 3, 2, 3], dtype=uint8)
    """
    _exhaust(map(ctypes.memmove, targets.tolist(), sources.tolist(), repeat(length)))


def will_need(starts: NDArray[np.uint64], lengths: NDArray[np.integer]) -> None:
    """Tell the system which mapped bytes are wanted next, so that it reads them side by side; returns at once.

    Examples
    --------
    >>> data, _ = map_file(__file__)
    >>> will_need(np.uint64([data.ctypes.data + 10]), np.array([100]))
    """
    order = np.argsort(starts)
    pages = (starts // mmap.PAGESIZE * mmap.PAGESIZE)[order]
    ends = np.maximum.accumulate((starts + lengths.astype(np.uint64))[order])
    # Neighbours are asked for together: a call is most of what this costs.
    is_first = np.ones(len(pages), bool)
    is_first[1:] = pages[1:] > ends[:-1]
    is_last = np.roll(is_first, -1)
    sizes = ends[is_last] - pages[is_first]
    _exhaust(map(_libc().madvise, pages[is_first].tolist(), sizes.tolist(), repeat(mmap.MADV_WILLNEED)))


def _exhaust(calls: Iterable[Any]) -> None:
    for _ in calls:
        pass


@cache
def _libc() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    address, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    library.mmap.argtypes, library.mmap.restype = (address, size, number, number, number, ctypes.c_ssize_t), address
    library.munmap.argtypes = (address, size)
    library.madvise.argtypes = (address, size, number)
    return library
