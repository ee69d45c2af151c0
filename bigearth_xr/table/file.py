"""The file of a table: GeoParquet with a checksum of its every byte."""

from os import PathLike, fspath
from os.path import expanduser
from pathlib import Path

import numpy as np
import pyarrow as pa

from bigearth_xr.errors import ChecksumError, MetadataError
from bigearth_xr.table.schema import SCHEMA

_KEY = b"bigearth_checksum"
_MARK = b"bigearth-crc32c:"
"""Key and first half of the value of the file's own metadata that hold its checksum: should one be damaged, the other
still tells that there is one."""

_DIGITS = 8


def write(table: pa.Table, path: str | PathLike[str]) -> None:
    """Write a table as GeoParquet, zstd-compressed, rows in the given order; the same bytes for the same table.

    Its metadata hold a CRC-32C of the whole file, taken with zeros in the checksum's own place, and every page has one
    as Parquet defines it.

    Examples
    --------
    >>> path = getfixture("tmp_path") / "ben.parquet"
    >>> write(SCHEMA.empty_table(), path)
    >>> read(path).num_rows
    0
    """
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, compression="zstd", write_page_checksum=True) as writer:
        writer.write_table(table, row_group_size=131_072)
        # Of the file alone: a copy of the table elsewhere does not take the checksum along.
        writer.add_key_value_metadata({_KEY: _MARK + b"0" * _DIGITS})
    data = bytearray(sink.getvalue())
    at = data.rindex(_MARK) + len(_MARK)
    data[at : at + _DIGITS] = _checksum(data)
    Path(expanduser(path)).write_bytes(data)


def read(path: str | PathLike[str] | pa.NativeFile, *, where: str | None = None) -> pa.Table:
    """Read a table that `write` wrote, with its types as in `SCHEMA`.

    Parameters
    ----------
    path
        The file, or what was read of it.
    where
        What to call it in errors; by default its path.

    Raises
    ------
    ChecksumError
        If a byte of the file changed after it was written.
    MetadataError
        If it cannot be read, or is not a table of ours. Those of stores of format version 1 have no checksum.

    Examples
    --------
    >>> path = getfixture("tmp_path") / "ben.parquet"
    >>> write(SCHEMA.empty_table(), path)
    >>> read(path).schema.equals(SCHEMA)
    True
    """
    import pyarrow.parquet as pq

    data: bytes = path.read() if isinstance(path, pa.NativeFile) else Path(expanduser(path)).read_bytes()
    called = where or ("the table" if isinstance(path, pa.NativeFile) else fspath(path))
    _check(data, called)
    try:
        stored = pq.read_table(pa.BufferReader(data))
        metadata = {key: value for key, value in (stored.schema.metadata or {}).items() if key != _KEY}
        # Parquet has no seconds: the times come back as milliseconds.
        return stored.cast(SCHEMA.with_metadata(metadata or None))
    except Exception as error:  # damaged bytes raise whatever they lead to
        raise MetadataError(
            f"{called}: cannot be read as a table of bigearth_xr ({error}); the file was cut or damaged, or is "
            f"another's: {_REMEDY}"
        ) from None


def is_table(path: Path) -> bool:
    """Tell whether a file is a table of ours, damaged or not, and no published parquet.

    Examples
    --------
    >>> path = getfixture("tmp_path") / "ben.parquet"
    >>> write(SCHEMA.empty_table(), path)
    >>> is_table(path)
    True
    """
    import pyarrow.parquet as pq

    if not path.is_file():
        return False
    data = path.read_bytes()
    if _KEY in data or _MARK in data:
        return True
    try:
        return b"bigearth" in (pq.read_schema(pa.BufferReader(data)).metadata or {})
    except Exception:  # as above; its reader says what it is
        return False


_REMEDY = "put it back, or, beside a store, write it again with: bigearth verify STORE --against ARCHIVE --repair"


def _check(data: bytes, where: str) -> None:
    """Refuse a file that is not what was written; one without a checksum is let pass."""
    # From the end, where the metadata are.
    if data.rfind(_MARK) < 0 and data.rfind(_KEY) < 0:
        return
    at = data.rfind(_MARK) + len(_MARK)
    written, found = data[at : at + _DIGITS], _checksum(data)
    if written != found:
        raise ChecksumError(
            f"{where}: its checksum is {found.decode()}, {written.decode(errors='replace')} was written; the file was "
            f"damaged, or changed with another tool: {_REMEDY}"
        )


def _checksum(data: bytes | bytearray) -> bytes:
    """CRC-32C of a file, zeros in place of the checksum's own digits."""
    import google_crc32c

    at, whole = data.rfind(_MARK) + len(_MARK), np.frombuffer(data, np.uint8)
    crc = google_crc32c.extend(google_crc32c.value(whole[:at]), b"0" * _DIGITS)
    return b"%08x" % google_crc32c.extend(crc, whole[at + _DIGITS :])
