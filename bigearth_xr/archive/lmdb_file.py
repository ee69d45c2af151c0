"""Reads the file of an LMDB environment page by page, and believes nothing that it says.

The C library maps the file into memory: where a page is cut off, or points to where no page is, the whole process dies
of a signal. Here every page is read and checked, damage is an error that names the page, and a file that is open in no
library can be read by any number of processes, before and after a fork.

The format is that of LMDB 0.9 on 64-bit little-endian machines: two pages that tell where a B+ tree begins, branch
pages, leaf pages that hold the keys and the small values, and runs of overflow pages, one for each larger value.
"""

import os
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

_PAGE = struct.Struct("<Q2xHHH")  # number, flags, then where the free space begins and ends

_RUN = struct.Struct("<Q2xHI")  # number, flags, pages of an overflow run

_META = struct.Struct("<II16xI48xHH24xQQ8xQ")  # magic, version, page size, flags, depth, entries, root, transaction

_NODE = struct.Struct("<HHHH")  # size or child, low and high part; flags or highest part of the child; size of the key

_CHILD = struct.Struct("<Q")

_MAGIC, _VERSION, _NO_PAGE = 0xBEEFC0DE, 1, 2**64 - 1

_BRANCH, _LEAF, _OVERFLOW, _META_PAGE = 1, 2, 4, 8

_BIG, _SPECIAL = 1, 6

_PAGE_SIZES = tuple(2**power for power in range(8, 17))

_MOST_DEPTH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """Where the value of a key lies."""

    offset: int
    """First byte in the file."""

    size: int
    """Number of bytes."""

    page: int | None
    """First page of its overflow run; None where it lies in the page of its key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """A branch or a leaf."""

    number: int
    """Its place in the file, in pages."""

    data: bytes
    """All of it."""

    is_leaf: bool
    """Whether its nodes hold values, rather than other pages."""

    nodes: tuple[int, ...]
    """Where each node begins, in the order of their keys."""

    def key(self, i: int) -> bytes:
        """Key of a node."""
        _, _, _, length = self._node(i)
        return self.data[self.nodes[i] + _NODE.size : self.nodes[i] + _NODE.size + length]

    def child(self, i: int) -> int:
        """Page that a node of a branch leads to."""
        low, high, highest, _ = self._node(i)
        return low | high << 16 | highest << 32

    def value(self, i: int) -> Value:
        """Where the value of a node of a leaf lies."""
        low, high, flags, length = self._node(i)
        size, at = low | high << 16, self.nodes[i] + _NODE.size + length
        if flags & _SPECIAL:
            raise OSError(f"key {self.key(i)!r} holds a database of its own, expected a patch")
        if not flags & _BIG:
            self._check(at + size)
            return Value(offset=self.number * len(self.data) + at, size=size, page=None)
        self._check(at + _CHILD.size)
        (page,) = _CHILD.unpack_from(self.data, at)
        return Value(offset=page * len(self.data) + _RUN.size, size=size, page=page)

    def _node(self, i: int) -> tuple[int, int, int, int]:
        self._check(self.nodes[i] + _NODE.size)
        low, high, flags, length = _NODE.unpack_from(self.data, self.nodes[i])
        self._check(self.nodes[i] + _NODE.size + length)
        return low, high, flags, length

    def _check(self, end: int) -> None:
        if end > len(self.data):
            raise OSError(f"page {self.number} is damaged: a node of it ends beyond the page")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mdb:
    """An environment, open; damage in it is an OSError that says what is wrong, but not in which file."""

    file: FileIO
    """The file."""

    length: int
    """Its size, bytes."""

    page_size: int
    """Size of a page, bytes."""

    root: int
    """Page at the top of the tree."""

    depth: int
    """Pages from the root to a leaf, both counted."""

    entries: int
    """Number of keys."""

    def items(self) -> Iterator[tuple[bytes, Value]]:
        """Give every key and where its value lies, in the order of the keys' bytes."""
        last, count = None, 0
        for page in self._leaves(self.root, self.depth) if self.depth else ():
            for i in range(len(page.nodes)):
                key = page.key(i)
                # A tree that leads back to itself would otherwise be walked for ever.
                if last is not None and key <= last:
                    raise OSError(f"page {page.number} is damaged: its keys are not in order")
                yield key, page.value(i)
                last, count = key, count + 1
        if count != self.entries:
            raise OSError(f"the tree is damaged: it leads to {count:,} keys of {self.entries:,}")

    def find(self, key: bytes) -> Value | None:
        """Tell where the value of a key lies; None where there is no such key."""
        number = self.root
        for depth in range(self.depth, 0, -1):
            page = self._page(number, depth)
            if page.is_leaf:
                i = bisect_left(range(len(page.nodes)), key, key=page.key)
                is_there = i < len(page.nodes) and page.key(i) == key
                return page.value(i) if is_there else None
            # The first child holds all that lies before the second, whatever its own key says.
            number = page.child(bisect_right(range(1, len(page.nodes)), key, key=page.key))
        return None

    def read(self, value: Value, most: int | None = None) -> memoryview:
        """Read a value, or at most `most` bytes of its beginning."""
        size = value.size if most is None else min(value.size, most)
        if value.page is None:
            return memoryview(self._read(value.offset, size))
        if value.offset + value.size > self.length:
            raise OSError(f"its value ends at byte {value.offset + value.size:,}, the file at {self.length:,}")
        run = self._read(value.offset - _RUN.size, _RUN.size + size)
        number, flags, pages = _RUN.unpack_from(run)
        room = pages * self.page_size - _RUN.size
        if number != value.page or flags & 0xF != _OVERFLOW or room < value.size:
            raise OSError(f"page {value.page} is damaged: it is not the one that the key leads to")
        return memoryview(run)[_RUN.size :]

    def _leaves(self, number: int, depth: int) -> Iterator[_Page]:
        page = self._page(number, depth)
        if page.is_leaf:
            yield page
            return
        for i in range(len(page.nodes)):
            yield from self._leaves(page.child(i), depth - 1)

    def _page(self, number: int, depth: int) -> _Page:
        """Read a page of the tree that is so far from the last."""
        if (number + 1) * self.page_size > self.length:
            raise OSError(f"the tree leads to page {number:,}, the file ends after {self.length // self.page_size:,}")
        data = self._read(number * self.page_size, self.page_size)
        found, flags, begin, end = _PAGE.unpack_from(data)
        count = (begin - _PAGE.size) // 2
        is_whole = found == number and count > 0 and begin <= end <= self.page_size
        if not is_whole or flags & 0x2F != (_LEAF if depth == 1 else _BRANCH):
            raise OSError(f"page {number} is damaged: it is not a page of the tree")
        nodes = struct.unpack_from(f"<{count}H", data, _PAGE.size)
        return _Page(number=number, data=data, is_leaf=depth == 1, nodes=nodes)

    def _read(self, offset: int, size: int) -> bytes:
        self.file.seek(offset)
        data = self.file.read(size)
        if len(data) != size:
            raise OSError(f"the file ends within the {size:,} bytes at {offset:,}")
        return data


def is_mdb(path: Path) -> bool:
    """Tell whether a file begins as that of an LMDB environment does."""
    if not path.is_file():
        return False
    with open(path, "rb", buffering=0) as file:
        head = file.read(_PAGE.size + 4)
    return len(head) == _PAGE.size + 4 and struct.unpack_from("<I", head, _PAGE.size)[0] == _MAGIC


@contextmanager
def open_mdb(path: Path) -> Iterator[Mdb]:
    """Open an environment as the last finished transaction left it; nothing is locked, and nothing written.

    Parameters
    ----------
    path
        The file, usually named ``data.mdb``; no process may write to it meanwhile.

    Raises
    ------
    OSError
        If it is not an LMDB environment, or one that is not understood.
    """
    with open(path, "rb", buffering=0) as file:
        length = os.fstat(file.fileno()).st_size
        first = _read_meta(file, 0)
        if first is None or first.page_size not in _PAGE_SIZES:
            raise OSError("it does not begin as an LMDB 0.9 environment does")
        second = _read_meta(file, first.page_size)
        meta = second if second is not None and second.transaction > first.transaction else first
        if meta.flags or meta.depth > _MOST_DEPTH or (meta.root == _NO_PAGE) != (meta.depth == 0):
            raise OSError("its root is damaged, or that of a database with special keys")
        yield Mdb(
            file=file,
            length=length,
            page_size=first.page_size,
            root=meta.root,
            depth=meta.depth,
            entries=meta.entries,
        )


@dataclass(frozen=True, slots=True)
class _Meta:
    """What one of the two first pages says."""

    page_size: int
    flags: int
    depth: int
    entries: int
    root: int
    transaction: int


def _read_meta(file: FileIO, offset: int) -> _Meta | None:
    """Read one of the two first pages; None if it is none."""
    file.seek(offset)
    head = file.read(_PAGE.size + _META.size)
    if len(head) != _PAGE.size + _META.size or not _PAGE.unpack_from(head)[1] & _META_PAGE:
        return None
    magic, version, *rest = _META.unpack_from(head, _PAGE.size)
    return _Meta(*rest) if (magic, version) == (_MAGIC, _VERSION) else None
