"""Members of tars byte by byte, and what two readers find of them: ours and tarfile."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from hypothesis import strategies as st

from bigearth_xr.archive.source import Refusal
from bigearth_xr.archive.tar import read_members, walk
from bigearth_xr.archive.tar_source import FileTape, TarFile

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
BLOCK = tarfile.BLOCKSIZE

Found: TypeAlias = tuple[str, int, int]


class Trickle(io.RawIOBase):
    """A stream that gives blocks of any lengths, and cannot seek."""

    def __init__(self, data: bytes, step: int = 700) -> None:
        self._rest = memoryview(data)
        self._step = step

    def read(self, size: int = -1) -> bytes:
        taken, self._rest = self._rest[: self._step], self._rest[self._step :]
        return bytes(taken)


def index(data: bytes, path: Path) -> tuple[list[Found], list[Refusal]]:
    """Walk through a tar in a file."""
    path.write_bytes(data)
    return split(walk(FileTape(TarFile([path])), where="S2.tar"))


def split(items: Iterator[Found | Refusal]) -> tuple[list[Found], list[Refusal]]:
    found = list(items)
    return (
        [item for item in found if not isinstance(item, Refusal)],
        [item for item in found if isinstance(item, Refusal)],
    )


def read(data: bytes, step: int = 700) -> tuple[dict[str, bytes], list[Refusal]]:
    """Read a tar as a stream."""
    items = list(read_members(Trickle(data, step), where="S2.tar"))
    members = {item.name: bytes(item.data) for item in items if not isinstance(item, Refusal)}
    return members, [item for item in items if isinstance(item, Refusal)]


def member(name: str = "patch_B02.tif", data: bytes = b"", **fields: object) -> bytes:
    """Write one member by its raw header."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    return info.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % BLOCK)


END = bytes(2 * BLOCK)
AFTER = member("after_B03.tif", b"good")


def pack(files: list[tuple[str, bytes | None]], form: str, **options: dict[str, str]) -> bytes:
    """Write a tar as tarfile does; without data, a folder."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=FORMATS[form], **options) as tar:  # type: ignore[call-overload]  # by keyword
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.type = tarfile.REGTYPE if data is not None else tarfile.DIRTYPE
            info.size = len(data or b"")
            info.mtime = 1.5 if form == "pax" else 1
            tar.addfile(info, io.BytesIO(data or b""))
    return packed.getvalue()


def by_tarfile(data: bytes) -> list[Found]:
    """What tarfile finds, and what we make of its names."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return [
            (plain(info.name) + "/" * info.isdir(), info.offset_data, info.size)
            for info in tar
            if plain(info.name) and (info.isreg() or info.isdir())
        ]


def plain(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in ("", "."))


letters = st.characters(exclude_categories=["C", "Z"], exclude_characters="/\\")
parts = st.text(letters, min_size=1, max_size=70).filter(lambda part: part not in ("..", "."))
names = st.lists(parts, min_size=1, max_size=4).map("/".join)
files = st.lists(st.tuples(names, st.none() | st.binary(max_size=1500)), max_size=8, unique_by=lambda item: item[0])
