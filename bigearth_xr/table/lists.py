"""The published lists of a release: who is paired with whom, which split, which country, what to leave out.

v1 comes as CSV files, one name a row; v2 as two parquet files that also hold the labels. What long lists said is kept
among the user's own files: half a million lines packed by bzip2 take seconds to read, and are read for each of a few
patches. It is found by the content of the lists and by the source of what reads them, so it is never of others, and it
has a checksum.
"""

import hashlib
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from tempfile import NamedTemporaryFile

import pyarrow as pa

from bigearth_xr.cache_folders import cache_folders, is_writable
from bigearth_xr.errors import MetadataError
from bigearth_xr.labels import Release
from bigearth_xr.table.lists_v1 import V1_PAIRS, csv_at, read_v1, v1_files
from bigearth_xr.table.lists_v2 import V2_EXCLUDED, V2_RECOMMENDED, is_parts, read_v2

__all__ = ["find_lists"]

Columns = dict[str, pa.Array]


def find_lists(folder: Path) -> Release | None:
    """Tell which release's lists a folder holds, if any; v2 where it holds both."""
    if (folder / V2_RECOMMENDED).exists() or (folder / V2_EXCLUDED).exists():
        return "v2"
    return "v1" if csv_at(folder, V1_PAIRS) else None


def read_lists(places: Sequence[Path], version: Release | None = None) -> tuple[Release, Columns]:
    """Read what a release's lists say of each pair.

    Parameters
    ----------
    places
        One folder of lists, or v2 parquets: files, or folders of parts.
    version
        The release, where the folder holds the lists of both.

    Returns
    -------
    tuple
        The release, and arrays of one length by column name, as `bigearth_xr.table.assemble` takes them.

    Raises
    ------
    MetadataError
        If there are no lists, a column is missing, or a line or value cannot be understood; with its place.

    Examples
    --------
    >>> read_lists([getfixture("tmp_path")])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    bigearth_xr.errors.MetadataError: ...: no lists found; expected metadata.parquet (v2) or ...
    """
    missing = [place for place in places if not place.exists()]
    if missing:
        raise MetadataError(f"{missing[0]}: no such folder or parquet of lists; check the path")
    if all(place.is_file() or is_parts(place) for place in places):
        return cached_lists(_parquet_files(places), "v2", lambda: ("v2", read_v2(places)))
    if len(places) > 1:
        raise MetadataError(f"{len(places)} folders of lists given; give one folder, or parquet files")
    return _read_folder(places[0], version)


def _read_folder(folder: Path, version: Release | None) -> tuple[Release, Columns]:
    release = version or find_lists(folder)
    if release == "v2":
        parquets = [folder / name for name in (V2_RECOMMENDED, V2_EXCLUDED) if (folder / name).exists()]
        empty = [parquet for parquet in parquets if not (parquet.is_file() or is_parts(parquet))]
        if empty:
            raise MetadataError(f"{empty[0]}: a folder without a part of parquet; expected part.0.parquet or the like")
        if parquets:
            return cached_lists(_parquet_files(parquets), "v2", lambda: ("v2", read_v2(parquets)))
    elif release == "v1" and csv_at(folder, V1_PAIRS):
        return cached_lists({file.name: file for file in v1_files(folder)}, "v1", lambda: ("v1", read_v1(folder)))
    raise MetadataError(
        f"{folder}: no lists{f' of {version}' if version else ''} found; expected {V2_RECOMMENDED} (v2) or "
        f"{V1_PAIRS}.csv (v1){_what_else(folder)}; the extra 'sample' brings those of v1, the v2 archive its own"
    )


def _parquet_files(parquets: Sequence[Path]) -> dict[str, Path]:
    """Every file of parquets, by its path in them: folders of parts name columns."""
    return {
        f"{place} {file.relative_to(parquet.parent)}": file
        for place, parquet in enumerate(parquets)
        for file in ([parquet] if parquet.is_file() else sorted(one for one in parquet.rglob("*") if one.is_file()))
    }


def _what_else(folder: Path) -> str:
    """Name a list that is there in another form."""
    saved = csv_at(folder, "metadata")
    return f", and not {saved.name}, in which labels are not lists any more" if saved else ""


Read = tuple[Release, Columns]

SHORTEST = 1 << 20
"""Bytes of lists from which on reading them takes longer than a moment."""

MOST_CACHED = 4
"""Sets of lists that are kept, 20 to 30 MB each: those of both releases, and again as they were saved."""

_FOLDER = Path("bigearth-xr", "lists")
_DIGEST_BYTES = 16
_RELEASE = b"release"


def cached_lists(files: Mapping[str, Path], version: Release | None, read: Callable[[], Read]) -> Read:
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
    """
    if sum(file.stat().st_size for file in files.values()) < SHORTEST:
        return read()
    folder = next((parent / _FOLDER for parent in cache_folders() if is_writable(parent / _FOLDER)), None)
    if folder is None:
        return read()
    place = folder / f"{_key(files, version)}.arrow"
    with suppress(OSError, ValueError):  # there is none, or it is damaged: pyarrow's errors are of these too
        return _load(place)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = read()
    for warning in caught:
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    if not caught:
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
    digest, content = data[:_DIGEST_BYTES], memoryview(data)[_DIGEST_BYTES:]
    if hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest() != digest:
        raise ValueError(f"{place}: damaged")
    with pa.ipc.open_file(pa.py_buffer(content)) as kept:
        table = kept.read_all()
    os.utime(place)
    release: Release = "v1" if table.schema.metadata[_RELEASE] == b"v1" else "v2"
    return release, {name: table[name].combine_chunks() for name in table.column_names}


def _keep(found: Read, place: Path) -> None:
    """Write what was read, and remove the sets that were not asked for lately."""
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
    for old in kept[:-MOST_CACHED]:
        old.unlink(missing_ok=True)
