"""What a member of a tar may be: a file or folder below the tar's own, of a size that an archive has."""

from typing import NamedTuple, TypeAlias

from bigearth_xr.archive.tar_header import SPARSE
from bigearth_xr.archive.template import Data

__all__ = ["LIST_BYTES", "LIST_SUFFIXES", "PATCH_FILE_BYTES", "Entry", "Member", "clean_name", "why_refused"]

PATCH_FILE_BYTES = 2**20
"""Most bytes of a GeoTIFF or JSON, and of what is none of the archive's; the largest it has is a tenth of that."""

LIST_BYTES = 2**28
"""Most bytes of a list or parquet of metadata."""

LIST_SUFFIXES = (".parquet", ".csv", ".csv.bz2", ".csv.gz", ".csv.xz", ".csv.zst")
"""How the names of lists end."""

_UNUSUAL = ("", "/", ".")
_ACCEPTED = (b"0", b"\0", b"7", b"5")
_KINDS = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"6": "a named pipe",
    SPARSE: "a file with holes",
}


Entry: TypeAlias = tuple[str, int, int]
"""Path of a file or, with ``/`` at its end, of a folder; first byte of its data in the tar; bytes of them. No class: it
is built nine million times."""


class Member(NamedTuple):
    """A file of a tar, read."""

    name: str
    """Its path, ``/`` between its parts."""

    data: Data
    """All of it. A view keeps the megabytes alive that it was read with: copy what is to stay."""


def why_refused(kind: bytes, name: str, size: int) -> str | None:
    """Say why a member is none of an archive, if it is none.

    Examples
    --------
    >>> why_refused(b"2", "patch_B02.tif", 0)
    'is a symbolic link, which no archive has'
    >>> why_refused(b"0", "patch_B02.tif", 29_000) is None
    True
    """
    if kind not in _ACCEPTED:
        return f"is {_KINDS.get(kind, f'of unknown kind {kind!r}')}, which no archive has"
    if size <= PATCH_FILE_BYTES:
        return None
    most = LIST_BYTES if name.endswith(LIST_SUFFIXES) else PATCH_FILE_BYTES
    return f"has {size:,} bytes, no such file of an archive has more than {most:,}" if size > most else None


def clean_name(raw: bytes) -> tuple[str, str | None]:
    """Read the name of a member.

    Returns
    -------
    tuple
        The path, fit for messages, and why it is refused, if it is.

    Examples
    --------
    >>> clean_name(b"./patch/patch_B02.tif")
    ('patch/patch_B02.tif', None)
    >>> clean_name(b"patch/../../etc")
    ('patch/../../etc', 'leads outside')
    """
    name = raw.decode("utf-8", "surrogateescape")
    if not name.isprintable() or "\\" in name:
        return ascii(name)[1:-1], "has characters in its name that no archive has"
    if "/." not in name and "//" not in name and name[:1] not in _UNUSUAL and name[-1] != "/":
        return name, None
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts:
        return name, "leads outside"
    return "/".join(parts), None
