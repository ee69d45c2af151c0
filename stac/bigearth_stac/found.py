"""What a search found: places in a catalogue's file, and columns of it; items as objects or JSON only when asked."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from os import PathLike
from os.path import expanduser
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bigearth_stac.items import ITEMS_FILE, item_documents
from bigearth_stac.properties import PREFIX, STORE_UUID
from bigearth_xr.errors import DependencyError, SelectionError

if TYPE_CHECKING:
    import pystac

Places = NDArray[np.int64]

ROW = f"{PREFIX}row"

SELECTION = f"{PREFIX}selection"
"""What an asset that is an array of the store has: which row of it."""

_ALWAYS = ("id", ROW, STORE_UUID)
"""Columns that a result holds."""

_BEYOND_PROPERTIES = (
    *("type", "stac_version", "stac_extensions", "geometry", "bbox"),
    *("links", "assets", "collection"),
)

_BATCH_ITEMS = 2048
"""Items that are decoded at a time when whole ones are asked for: their assets are most of the file."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class FoundItems(Sequence["pystac.Item"]):
    """Items of a catalogue that meet some criteria, in the order of its file.

    A sequence of pystac Items, each made when it is asked for; ``found[:100]`` and ``found[[3, 0]]`` are results too.
    `bigearth_stac.open_search` opens it without making any.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_stac import build_catalog, find_items
    >>> store = bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=5)
    >>> found = find_items(build_catalog(store, getfixture("tmp_path") / "catalog").folder, tile="33UUP")
    >>> len(found), found.rows, found[1].id == found.ids[1]
    (4, array([0, 1, 2, 3]), True)
    """

    file: Path
    """The catalogue's ``items.parquet``."""

    stamp: tuple[int, int, int]
    """Which state of the file was searched: its inode, size and time of change."""

    places: Places
    """Place of each item in the file, shape ``(item,)``."""

    columns: pa.Table
    """``id``, and where the file has them ``bigearth:row`` and ``bigearth:store_uuid``; a row an item."""

    total: int
    """How many items the file has."""

    criteria: tuple[str, ...] = ()
    """What was asked for, e.g. ``("country='Serbia'",)``."""

    def __len__(self) -> int:
        return len(self.places)

    @property
    def ids(self) -> list[str]:
        """Ids of the items, which are those of their patches."""
        names: list[str] = self.columns["id"].to_pylist()
        return names

    @property
    def rows(self) -> Places:
        """Row of each item in the table, which is that of the store, shape ``(item,)``."""
        if ROW not in self.columns.column_names:
            raise SelectionError(f"{self.file}: it tells no {ROW}, so its items are known by their ids only: found.ids")
        return np.asarray(self.columns[ROW]).astype(np.int64)

    @property
    def table(self) -> pa.Table:
        """All properties of the items, a column each, read now; null where an item lacks one."""
        with self.opened() as file:
            names = [name for name in file.schema_arrow.names if name not in _BEYOND_PROPERTIES]
        return self.read(names)

    def read(self, columns: Iterable[str]) -> pa.Table:
        """Read columns of the file, nothing else of it.

        Parameters
        ----------
        columns
            Names, e.g. ``["geometry", "grid:code"]``; a dot leads into a structure: ``"assets.s1.href"``.

        Returns
        -------
        pyarrow.Table
            A row an item.

        Raises
        ------
        SelectionError
            If there is no such column, or the file was written again since the search.
        """
        with self.opened() as file:
            return _read(file, self.places, list(columns), where=self.file)

    def array_hrefs(self) -> list[str]:
        """Addresses of the arrays that assets of the items are, each once; none of other assets.

        Statistics tell them where all items of a row group lead to one store; elsewhere that column is read.
        """
        hrefs: dict[str, None] = {}
        with self.opened() as file:
            for name in array_assets(file.schema_arrow):
                hrefs |= dict.fromkeys(_texts(file, self.places, ("assets", name, "href")))
        return list(hrefs)

    def documents(self) -> Iterator[dict[str, Any]]:
        """Yield the items as JSON documents, a few in memory at a time; what they lead to by absolute addresses."""
        falls = np.flatnonzero(np.diff(self.places) < 0) + 1
        with self.opened() as file:
            for run in np.split(self.places, falls):
                for batch in _whole_items(file, run):
                    yield from (_anchored(item, self.file.parent) for item in item_documents(batch))

    def write_json(self, path: str | PathLike[str]) -> None:
        """Write the items as a STAC item collection, one after the other."""
        with Path(expanduser(path)).open("w", encoding="utf-8") as out:
            out.write('{"type": "FeatureCollection", "features": [')
            for number, item in enumerate(self.documents()):
                out.write(",\n" if number else "\n")
                json.dump(item, out, ensure_ascii=False)
            out.write("\n]}\n")

    def to_items(self) -> "pystac.ItemCollection":
        """Make every item a pystac object: some 40 kB and a millisecond each."""
        collection: pystac.ItemCollection = _pystac().ItemCollection(list(self), clone_items=False)
        return collection

    def __iter__(self) -> "Iterator[pystac.Item]":
        stac = _pystac()
        yield from (stac.Item.from_dict(item, preserve_dict=False) for item in self.documents())

    @overload
    def __getitem__(self, key: int | np.integer[Any]) -> "pystac.Item": ...
    @overload
    def __getitem__(self, key: slice | Sequence[int] | NDArray[Any]) -> "FoundItems": ...
    def __getitem__(self, key: Any) -> "pystac.Item | FoundItems":
        if isinstance(key, int | np.integer):
            return next(iter(self[[range(len(self))[key]]]))
        kept = np.arange(len(self))[key]
        return replace(self, places=self.places[kept], columns=self.columns.take(pa.array(kept)))

    def __repr__(self) -> str:
        asked = f"\n  {', '.join(self.criteria)}" if self.criteria else ""
        ids = self.columns["id"]
        ends = [str(ids[place]) for place in dict.fromkeys((0, len(self) - 1))] if len(self) else []
        return (
            f"<FoundItems: {len(self):,} of {self.total:,} items in {self.file}>{asked}"
            f"{''.join(f'{chr(10)}  {end}' for end in [' … '.join(ends)] if end)}\n"
            "  open_search(found): a Dataset; found.table: properties; found[0]: a pystac Item"
        )

    @contextmanager
    def opened(self) -> Iterator[pq.ParquetFile]:
        """Open the file that was searched, and no other."""
        if stamp_of(self.file) != self.stamp:
            raise SelectionError(f"{self.file}: it was written again since this search; search again")
        with pq.ParquetFile(self.file) as file:
            yield file


def items_file(catalog: str | PathLike[str]) -> Path:
    """Name the file of items of a catalogue's folder, or refuse a folder without one."""
    path = Path(expanduser(catalog)).absolute() / ITEMS_FILE
    if not path.is_file():
        raise SelectionError(f"{path}: no items here; give the folder that `bigearth-stac build` wrote")
    return path


def stamp_of(path: Path) -> tuple[int, int, int]:
    """Tell one state of a file from the next."""
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def found_at(path: Path, places: Places | None = None, criteria: Sequence[str] = ()) -> FoundItems:
    """Give the items at these places of a file of items; by default all.

    Raises
    ------
    SelectionError
        If it is not a parquet file with ids.
    """
    stamp = stamp_of(path)
    try:
        with pq.ParquetFile(path) as file:
            if "id" not in file.schema_arrow.names:
                raise pa.ArrowInvalid("it has no column id")
            total = file.metadata.num_rows
            chosen = np.arange(total) if places is None else places
            names = ["id", *(name for name in _ALWAYS[1:] if name in file.schema_arrow.names)]
            columns = _read(file, chosen, names, where=path)
    except pa.ArrowInvalid as error:
        raise SelectionError(
            f"{path}: not a file of items; expected items.parquet of a catalogue, or another stac-geoparquet "
            f"({str(error).splitlines()[0]:.120})"
        ) from None
    return FoundItems(file=path, stamp=stamp, places=chosen, columns=columns, total=total, criteria=tuple(criteria))


def array_assets(schema: pa.Schema) -> list[str]:
    """Name the assets, among the columns of items, that are arrays of a store."""
    if "assets" not in schema.names or not pa.types.is_struct(schema.field("assets").type):
        return []
    assets = schema.field("assets").type
    fields = [assets.field(number) for number in range(assets.num_fields)]
    return [
        field.name
        for field in fields
        if pa.types.is_struct(field.type) and {"href", SELECTION} <= {inner.name for inner in field.type}
    ]


def _read(file: pq.ParquetFile, places: Places, names: list[str], *, where: Path) -> pa.Table:
    """Columns at places in any order: each row group is read once."""
    schema = file.schema_arrow
    unknown = [name for name in names if name.partition(".")[0] not in schema.names and name not in schema.names]
    if unknown:
        raise SelectionError(f"{where}: it has no column {unknown[0]!r}; its columns are {', '.join(schema.names)}")
    ordered, back = np.unique(places, return_inverse=True)
    parts = [
        part if local.size == part.num_rows else part.take(pa.array(local))
        for group, local in _by_group(file, ordered)
        for part in [file.read_row_group(group, columns=names)]
    ]
    if not parts:
        return file.schema_arrow.empty_table().select([name.partition(".")[0] for name in names])
    whole = pa.concat_tables(parts)
    return whole if np.array_equal(back, np.arange(len(places))) else whole.take(pa.array(back))


def _texts(file: pq.ParquetFile, places: Places, leaf: tuple[str, ...]) -> Iterator[str]:
    """What occurs in a text within structures, at these places or beside them in their row groups."""
    path = ".".join(leaf)
    for group, local in _by_group(file, np.sort(places)):
        chunks = file.metadata.row_group(group)
        [chunk] = [one for one in map(chunks.column, range(chunks.num_columns)) if one.path_in_schema == path]
        known = chunk.statistics
        if known is not None and known.has_min_max and known.min == known.max:
            yield known.min
        else:
            column = file.read_row_group(group, columns=[path])[leaf[0]].take(pa.array(local))
            yield from pc.unique(pc.struct_field(column, list(leaf[1:])).drop_null()).to_pylist()


def _by_group(file: pq.ParquetFile, ascending: Places) -> Iterator[tuple[int, Places]]:
    """The row groups that hold these places, and which rows of each."""
    sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
    bounds = np.searchsorted(ascending, starts)
    for group, (first, stop) in enumerate(pairwise(bounds)):
        if first < stop:
            yield group, ascending[first:stop] - starts[group]


def _whole_items(file: pq.ParquetFile, ascending: Places) -> Iterator[pa.RecordBatch]:
    """Items with all that they have, a few thousand at a time."""
    for group, local in _by_group(file, ascending):
        start = 0
        for batch in file.iter_batches(_BATCH_ITEMS, row_groups=[group]):
            here = local[np.searchsorted(local, start) : np.searchsorted(local, start + len(batch))] - start
            if here.size:
                yield batch.take(pa.array(here))
            start += len(batch)
            if start > local[-1]:
                break


def _anchored(item: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Make addresses absolute that are relative to the catalogue: its items leave it."""
    links = [_at(link, folder) for link in item["links"] or ()]
    return item | {"links": links, "assets": {name: _at(asset, folder) for name, asset in item["assets"].items()}}


def _at(target: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    return {**target, "href": absolute_href(target["href"], folder)}


def absolute_href(href: str, folder: Path) -> str:
    """Resolve an address that is relative to a folder; any other stays."""
    return (folder / href).as_posix() if is_relative(href) else href


def is_relative(href: str) -> bool:
    """Whether an address goes out from the file that has it: no path from the root, and no scheme as ``file:``."""
    return ":" not in href.partition("/")[0] and not Path(href).is_absolute()


@cache
def _pystac() -> Any:
    try:
        import pystac
    except ImportError:
        raise DependencyError(
            "items as objects need pystac, which is not installed: pip install 'bigearth-xr[stac]'; found.documents() "
            "gives JSON, found.table columns"
        ) from None
    return pystac
