"""What long lists said when they were last read, kept among the user's own files.

Half a million lines packed by bzip2 take seconds to read, and are read for each of a few patches. What is kept is found
by the content of the lists and by the source of what reads them, so it is never of others, and it has a checksum.
"""

import hashlib
import os
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from tempfile import NamedTemporaryFile

import pyarrow as pa

from bigearth_xr.cache_folders import cache_folders, is_writable
from bigearth_xr.releases import Release

__all__ = ["remembered"]

Columns = dict[str, pa.Array]
Read = tuple[Release, Columns]

SHORTEST = 1 << 20
"""Bytes of lists from which on reading them takes longer than a moment."""

MOST_KEPT = 4
"""Sets of lists that are kept, 20 to 30 MB each: those of both releases, and again as somebody saved them."""

_FOLDER = Path("bigearth-xr", "lists")
_DIGEST_BYTES = 16
_RELEASE = b"release"


def remembered(files: Mapping[str, Path], version: Release | None, read: Callable[[], Read]) -> Read:
    """Give what lists say, as they were read before where they are long and their content is the same.

    Parameters
    ----------
    files
        All files that are read, by their names as far as these say anything.
    version
        The release asked for, where both are there.
    read
        Reads them; what it raises is raised, and where it warns, nothing is kept.

    Returns
    -------
    tuple
        As ``read`` gives it.

    Examples
    --------
    >>> short = getfixture("tmp_path") / "metadata.parquet"
    >>> _ = short.write_bytes(b"")
    >>> remembered({short.name: short}, None, lambda: ("v2", {}))
    ('v2', {})
    """
    if sum(file.stat().st_size for file in files.values()) < SHORTEST:
        return read()
    folder = next((parent / _FOLDER for parent in cache_folders() if is_writable(parent / _FOLDER)), None)
    if folder is None:
        return read()
    place = folder / f"{_key(files, version)}.arrow"
    with suppress(OSError, ValueError):  # there is none, or it is damaged: pyarrow's errors are of these too
        return _load(place)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = read()
    for warning in told:
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    if not told:
        with suppress(OSError):
            _keep(found, place)
    return found


def _key(files: Mapping[str, Path], version: Release | None) -> str:
    """A digest of the lists by name and content, and of the code that reads them."""
    digest = hashlib.blake2b(f"{version} {_of_source()} {pa.__version__}".encode(), digest_size=_DIGEST_BYTES)
    for name, file in sorted(files.items()):
        with file.open("rb") as stream:
            content = hashlib.file_digest(stream, hashlib.blake2b)
        digest.update(os.fsencode(name) + content.digest())
    return digest.hexdigest()


@lru_cache(maxsize=1)
def _of_source() -> str:
    """A digest of this package's modules that say how lists are read, and of the facts that they go by."""
    here = Path(__file__).parent
    digest = hashlib.blake2b()
    for source in sorted([*here.glob("*.py"), *here.parent.glob("*.py")]):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def _load(place: Path) -> Read:
    data = place.read_bytes()
    told, content = data[:_DIGEST_BYTES], memoryview(data)[_DIGEST_BYTES:]
    if hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest() != told:
        raise ValueError(f"{place}: damaged")
    with pa.ipc.open_file(pa.py_buffer(content)) as kept:
        table = kept.read_all()
    os.utime(place)
    release: Release = "v1" if table.schema.metadata[_RELEASE] == b"v1" else "v2"
    return release, {name: table[name].combine_chunks() for name in table.column_names}


def _keep(found: Read, place: Path) -> None:
    """Write what was read, and remove the sets that nobody has asked for lately."""
    release, columns = found
    table = pa.table(columns).replace_schema_metadata({_RELEASE: release.encode()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        writer.write_table(table)
    content = sink.getvalue()
    with NamedTemporaryFile(dir=place.parent, delete=False) as stream:
        stream.write(hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest())
        stream.write(content)
    os.replace(stream.name, place)
    kept = sorted(place.parent.glob("*.arrow"), key=lambda path: path.stat().st_mtime)
    for old in kept[:-MOST_KEPT]:
        old.unlink(missing_ok=True)
