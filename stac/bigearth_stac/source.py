"""Where a catalogue comes from: a store, a table, or the published lists."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

import bigearth_xr as bex
from bigearth_stac.assets import Holdings
from bigearth_xr.errors import MetadataError

__all__ = ["Source", "read_source"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Rows to make items of, and what their assets point to."""

    table: pa.Table
    """Rows of the table with a column ``row``; of a store those with pixels, and whether each has a map."""

    holdings: Holdings
    """What is in the store; its address is the store's place on this machine."""

    store: Path | None
    """The store's folder, where pictures can be drawn from."""


def read_source(path: Path, zarr_href: str | None = None) -> Source:
    """Read what a catalogue is made of; no pixel.

    Parameters
    ----------
    path
        A store (a folder, its table beside it), a table (a parquet file that `bigearth_xr.table` wrote), or the
        published lists (a folder, or a parquet file of v2).
    zarr_href
        Address under which the store will be found; by default its place on this machine, and of a table alone none.

    Returns
    -------
    Source
        Of a table or lists, the store at ``zarr_href`` is taken to hold every band.

    Raises
    ------
    MetadataError
        If there is no such path, or a store lacks its table.

    Examples
    --------
    >>> source = read_source(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> source.table.num_rows, len(source.holdings.bands)
    (3, 14)
    """
    if not path.exists():
        raise MetadataError(f"{path}: nothing here; expected a store, its table (.parquet) or a folder of lists")
    if (path / "zarr.json").is_file():
        source = _of_store(path.resolve())
        return source if zarr_href is None else _at(source, zarr_href)
    table = bex.table.read(path) if _is_ours(path) else bex.table.from_lists(path)
    numbered = table.append_column("row", pa.array(np.arange(table.num_rows, dtype=np.int32)))
    holdings = Holdings(rows=table.num_rows, has_maps=bex.table.release_of(table) == "v2")
    source = Source(table=numbered, holdings=holdings, store=None)
    return source if zarr_href is None else _at(source, zarr_href)


def _of_store(path: Path) -> Source:
    """The rows of a store that have pixels."""
    beside = path.with_suffix(".parquet")
    if not beside.is_file():
        raise MetadataError(f"{path}: its table {beside.name} is not beside it; copy it there, or ingest again")
    ds = bex.open(path)
    rows = ds["row"].values
    listed = bex.table.read(beside)
    table = listed.take(pa.array(rows)).append_column("row", pa.array(rows.astype(np.int32)))
    has_maps = "reference_map" in ds
    if has_maps:
        table = table.append_column("has_reference_map", pa.array(ds["has_reference_map"].values))
    bands = [str(name) for dim in ("band", "polarization") if dim in ds.coords for name in ds[dim].values]
    holdings = Holdings(zarr_href=path.as_posix(), rows=listed.num_rows, bands=tuple(bands), has_maps=has_maps)
    return Source(table=table, holdings=holdings, store=path)


def _at(source: Source, zarr_href: str) -> Source:
    """The same, at another address."""
    return replace(source, holdings=replace(source.holdings, zarr_href=zarr_href.rstrip("/")))


def _is_ours(path: Path) -> bool:
    """Whether this is a table of ours, not a published parquet."""
    import pyarrow.parquet as pq

    try:
        return path.is_file() and b"bigearth" in (pq.read_schema(path).metadata or {})
    except pa.ArrowInvalid:  # no parquet: whoever reads it as lists says what it is
        return False
