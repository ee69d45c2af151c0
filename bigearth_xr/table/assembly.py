"""Build a table: of an archive's patches, of published lists, of both.

What follows from a patch's place and date (CRS, footprint, times, season) is computed here, once, for both releases;
what was decided by people (labels, split, country, snow, cloud) is given, or null.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from os import PathLike
from os.path import expanduser
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bigearth_xr import grid, products, releases
from bigearth_xr.archive import Archive, PatchFiles, read_metadata
from bigearth_xr.archive.patch_files import sum_up
from bigearth_xr.errors import ArchiveError, MetadataError, SelectionError
from bigearth_xr.labels import Release, group_labels, label_names
from bigearth_xr.table.lists import read_lists
from bigearth_xr.table.schema import SCHEMA, metadata_of

__all__ = ["Rows"]


def from_lists(folder: str | PathLike[str], version: Release | None = None) -> pa.Table:
    """Build the table of a whole release from its published lists, without any pixel.

    Parameters
    ----------
    folder
        Where the lists lie: for v1 the CSVs of names, splits, snow, cloud and missing 19-class labels
        (plain, ``.bz2`` or ``.gz``), for v2 ``metadata.parquet`` and the parquet of patches with snow,
        cloud or shadow, each a file or a folder of parts. One parquet may be named instead of its folder. Patches
        are found by the form of their names, in whatever columns, separators and types (docs/table.md).
    version
        ``"v1"`` or ``"v2"``; by default whichever lists the folder holds.

    Returns
    -------
    pyarrow.Table
        Columns of `SCHEMA`, in the row order of the store. v1 lists hold no labels: these are null, but
        empty for the patches listed as without a 19-class label.

    Raises
    ------
    MetadataError
        If a list is missing, lacks a column, or holds what cannot be understood; with file and line, or column and row.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> archive = bex.testing.write_archive(getfixture("tmp_path") / "archive", pairs=3, version="v2")
    >>> from_lists(archive).column_names[:4]
    ['patch', 's1_name', 's2v1_name', 'tile']
    """
    return assemble(*read_lists([Path(expanduser(folder))], version))


Rows = Literal["found", "listed"]
Columns = Mapping[str, pa.Array]
Track = Callable[[Sequence[PatchFiles]], Iterable[PatchFiles]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundLabels:
    """What the archive itself says of its patches' labels."""

    labels_43: Sequence[tuple[str, ...] | None]
    """Classes of each patch of the archive, in paper order; None where its JSON is bad; empty for v2."""

    refused: Mapping[str, str]
    """What is wrong with a JSON, by patch."""


def read_labels(archive: Archive, track: Track = iter) -> FoundLabels:
    """Read the labels of every patch from its JSONs; of v2, which has none, nothing.

    Parameters
    ----------
    archive
        The opened archive.
    track
        Wraps the patches while their JSONs are read, for a progress bar.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> path = bex.testing.write_archive(getfixture("tmp_path") / "archive", pairs=2, version="v1")
    >>> found = read_labels(bex.archive.open_archive(path))
    >>> len(found.labels_43), dict(found.refused)
    (2, {})
    """
    labels: list[tuple[str, ...] | None] = []
    refused: dict[str, str] = {}
    for patch in track(archive.patches) if archive.release == "v1" else ():
        try:
            found = read_metadata(archive, patch).labels
        except ArchiveError as error:
            found, refused[patch.patch] = None, str(error)
        labels.append(None if found is None else _in_paper_order(found))
    return FoundLabels(labels_43=labels, refused=refused)


def from_archive(
    archive: Archive, listed: Columns | None = None, *, rows: Rows = "found", labels: FoundLabels | None = None
) -> pa.Table:
    """Build the table of an archive's pairs.

    Parameters
    ----------
    archive
        The opened archive.
    listed
        What the lists say, as `read_lists` returns it; without, it is null what only lists know.
    rows
        ``"found"``: the pairs of the archive; ``"listed"``: those, and every other listed pair.
    labels
        As `read_labels` gives them; read here by default.

    Returns
    -------
    pyarrow.Table
        Columns of `SCHEMA`. Labels are null where a patch's JSON cannot be read or its list is missing.

    Raises
    ------
    ArchiveError
        If there is no pair at all.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> path = bex.testing.write_archive(getfixture("tmp_path") / "archive", pairs=2, version="v1")
    >>> from_archive(bex.archive.open_archive(path)).num_rows
    2
    """
    own = _columns_found(archive, labels or read_labels(archive))
    if rows == "listed" and listed is not None:
        rest = pc.invert(pc.is_in(listed["patch"], own["patch"]))
        own = {name: _joined(array, listed, name, rest) for name, array in own.items()}
    if not len(own["patch"]):
        raise ArchiveError(
            f"{archive.name}: no complete pair of {archive.release}; check that both halves are there, or ask for one "
            f"with sensors=('s2',) or ('s1',){sum_up(archive.problems)}"
        )
    looked_up = {} if listed is None else _looked_up(listed, own["patch"])
    both = {name: _first_known(own.get(name), looked_up.get(name)) for name in ("labels_19", "labels_43", "s1_name")}
    return assemble(archive.release, {**looked_up, **own, **both})


def _columns_found(archive: Archive, found: FoundLabels) -> dict[str, pa.Array]:
    columns: dict[str, Sequence[object]] = {
        "patch": [patch.patch for patch in archive.patches],
        "s1_name": [patch.s1_name for patch in archive.patches],
        "tile": [patch.tile for patch in archive.patches],
        "column": [patch.column for patch in archive.patches],
        "tile_row": [patch.row for patch in archive.patches],
    }
    if archive.release == "v1":
        columns["labels_43"] = found.labels_43
        columns["labels_19"] = [None if names is None else _grouped(names) for names in found.labels_43]
    return {name: pa.array(values, SCHEMA.field(name).type) for name, values in columns.items()}


# Half a million patches bear some five thousand sets of labels.
@lru_cache(maxsize=1 << 16)
def _in_paper_order(labels: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(labels, key=label_names(43).index))


@lru_cache(maxsize=1 << 16)
def _grouped(labels: tuple[str, ...]) -> list[str]:
    return group_labels(labels)


def _joined(found: pa.Array, listed: Columns, name: str, rest: pa.Array) -> pa.Array:
    """The found rows of a column, then the listed ones that were not found."""
    more = listed[name].filter(rest) if name in listed else pa.nulls(pc.sum(rest).as_py() or 0, found.type)
    return pa.concat_arrays([found, more.cast(found.type)])


def _looked_up(listed: Columns, patch: pa.Array) -> dict[str, pa.Array]:
    # The lists are looked up among the found patches, of which there may be six: hashes of half a million take long.
    places = np.asarray(pc.index_in(listed["patch"], patch).fill_null(-1))
    named = np.flatnonzero(places >= 0)
    at = np.full(len(patch), -1)
    at[places[named]] = named
    rows = pa.array(at, mask=at < 0)
    return {name: array.take(rows) for name, array in listed.items()}


def _first_known(own: pa.Array | None, listed: pa.Array | None) -> pa.Array | None:
    """The archive's own word, and where it has none, that of the lists."""
    if own is None or listed is None:
        return listed if own is None else own
    # Arrow's coalesce takes no lists: pick rows from the two laid end to end.
    at = pc.if_else(pc.is_valid(own), pa.array(range(len(own))), pa.array(range(len(own), 2 * len(own))))
    return pa.concat_arrays([own, listed.cast(own.type)]).take(at)


def assemble(release: Release, columns: Mapping[str, pa.Array]) -> pa.Table:
    """Complete and order rows of which only the decided columns are known.

    Parameters
    ----------
    release
        The release that the rows belong to.
    columns
        Arrays of one length by name: ``patch``, ``tile``, ``column``, ``tile_row``, ``s1_name``, and any
        of ``s2v1_name``, ``country``, ``split``, ``seasonal_snow``, ``cloud_or_shadow``, ``recommended``,
        ``labels_19``, ``labels_43``; those not given are null.

    Returns
    -------
    pyarrow.Table
        Columns of `SCHEMA`, ordered by tile, date, Morton code of (column, row), and patch.

    Raises
    ------
    MetadataError
        If a row lacks its name or its place, or two rows bear one name.

    Examples
    --------
    >>> rows = {
    ...     "patch": pa.array(["S2A_MSIL2A_20170617T113321_4_55"]),
    ...     "s1_name": pa.array(["S1A_IW_GRDH_1SDV_20170617T064724_29UPU_4_55"]),
    ...     "tile": pa.array(["29UPU"]),
    ...     "column": pa.array([4]),
    ...     "tile_row": pa.array([55]),
    ... }
    >>> assemble("v1", rows).select(["epsg", "ulx", "uly", "season"]).to_pylist()
    [{'epsg': 32629, 'ulx': 604800, 'uly': 5834040, 'season': 'summer'}]
    """
    known = {name: _flat(array) for name, array in columns.items() if array is not None}
    _refuse_nulls(known)
    _refuse_duplicates(known["patch"])
    known |= _place(known["tile"], known["column"], known["tile_row"])
    known |= _time(release, known["patch"], known["tile"], known["s1_name"])
    rows = len(known["patch"])
    order = _row_order(known)
    # Column by column, so that of half a million outlines there are no two copies.
    arrays = [_cast(known.pop(field.name, None), field, rows).take(order) for field in SCHEMA]
    return pa.Table.from_arrays(arrays, schema=SCHEMA).replace_schema_metadata(metadata_of(release))


def _flat(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    """One array, however many chunks it came in."""
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _refuse_nulls(columns: Mapping[str, pa.Array]) -> None:
    for name, array in columns.items():
        if array.null_count and not SCHEMA.field(name).nullable:
            raise MetadataError(
                f"{array.null_count} rows lack a {name}; every patch needs one; check the lists that name them"
            )


def _refuse_duplicates(patches: pa.Array) -> None:
    counts = pc.value_counts(patches)
    twice = [entry["values"] for entry in counts.filter(pc.greater(counts.field("counts"), 1)).to_pylist()]
    if twice:
        raise MetadataError(
            f"{len(twice)} patches are listed more than once, first {twice[0]}; expected one row per patch; "
            "check that each list was given once"
        )


def _place(tile: pa.Array, column: pa.Array, tile_row: pa.Array) -> dict[str, pa.Array]:
    """Where each patch lies: CRS, corner, centre, bounding box and outline."""
    epsg, ulx, uly = grid.patch_corner(tile.to_numpy(zero_copy_only=False), column.to_numpy(), tile_row.to_numpy())
    rings = grid.corners_lonlat(epsg, ulx, uly)
    lon, lat = grid.centres_lonlat(epsg, ulx, uly)
    low, high = rings.min(axis=1), rings.max(axis=1)
    sides = [pa.array(side) for side in (low[:, 0], low[:, 1], high[:, 0], high[:, 1])]
    return {
        "epsg": pa.array(epsg),
        "ulx": pa.array(ulx),
        "uly": pa.array(uly),
        "lon": pa.array(lon),
        "lat": pa.array(lat),
        "bbox": pa.StructArray.from_arrays(sides, fields=list(SCHEMA.field("bbox").type)),
        "geometry": _polygons_wkb(rings),
    }


def _polygons_wkb(rings: NDArray[np.float64]) -> pa.Array:
    """Encode closed rings, shape ``(patch, corner, 2)``, as little-endian WKB polygons of one ring."""
    patches, corners = rings.shape[:2]
    layout = np.dtype(
        [("order", "u1"), ("kind", "<u4"), ("rings", "<u4"), ("corners", "<u4"), ("xy", "<f8", (corners, 2))]
    )
    polygons = np.empty(patches, layout)
    polygons["order"], polygons["kind"], polygons["rings"], polygons["corners"] = 1, 3, 1, corners
    polygons["xy"] = rings
    offsets = np.arange(patches + 1, dtype=np.int32) * layout.itemsize
    return pa.Array.from_buffers(pa.binary(), patches, [None, pa.py_buffer(offsets), pa.py_buffer(polygons.tobytes())])


def _time(release: Release, patch: pa.Array, tile: pa.Array, s1_name: pa.Array) -> dict[str, pa.Array]:
    """When each half was acquired and by which satellite; the season is that of Sentinel-2."""
    date = pc.utf8_slice_codeunits(patch, 11, 19)
    s2_time = _sensing_times(release, patch, tile, date)
    months = np.asarray(pc.month(s2_time))
    seasons = pa.array([releases.season_of(month) for month in range(1, 13)])
    return {
        "s2_time": s2_time,
        "s1_time": _parse_times(pc.utf8_slice_codeunits(s1_name, 17, 32)),
        "s2_platform": _platform(patch, "sentinel-2"),
        "s1_platform": _platform(s1_name, "sentinel-1"),
        "season": seasons.take(pa.array(months - 1)),
    }


def _parse_times(texts: pa.Array) -> pa.Array:
    """Parse each time once: patches of one pass bear its time."""
    times = texts.dictionary_encode()
    return pc.strptime(times.dictionary, "%Y%m%dT%H%M%S", "s").take(times.indices)


def _platform(name: pa.Array, mission: str) -> pa.Array:
    """``"S2A_…"`` → ``"sentinel-2a"``, as STAC spells it."""
    return pc.binary_join_element_wise(mission, pc.utf8_lower(pc.utf8_slice_codeunits(name, 2, 3)), "")


def _sensing_times(release: Release, patch: pa.Array, tile: pa.Array, date: pa.Array) -> pa.Array:
    """v2 names tell the time; v1 names are shifted, so there the source product of tile and date does."""
    if release == "v2":
        return _parse_times(pc.utf8_slice_codeunits(patch, 11, 26))
    passes = pc.binary_join_element_wise(tile, date, "_").dictionary_encode()
    first = {code: row for row, code in reversed(list(enumerate(passes.indices.to_pylist())))}
    times = [
        _sensing_time(*(column[row].as_py() for column in (tile, date, patch))) for _, row in sorted(first.items())
    ]
    return pa.array(np.array(times, dtype="datetime64[s]")).take(passes.indices)


def _sensing_time(tile: str, date: str, patch: str) -> np.datetime64:
    """The time of the product that shows the tile that day; of a product never published, what the name says."""
    try:
        return products.product_of(tile, f"{date[:4]}-{date[4:6]}-{date[6:]}").sensing_time
    except SelectionError:
        # Added up, not parsed: v1 has names with a second 60 or 61, and hours of one digit.
        clock = patch[20:].partition("_")[0].zfill(6)
        since_midnight_s = (int(clock[:2]) * 60 + int(clock[2:4])) * 60 + int(clock[4:])
        return np.datetime64(f"{date[:4]}-{date[4:6]}-{date[6:]}") + np.timedelta64(since_midnight_s, "s")


def _row_order(columns: Mapping[str, pa.Array]) -> pa.Array:
    """Indices that sort rows by tile, date, Morton code and patch: neighbours on the ground lie together."""
    morton = grid.morton(columns["column"].to_numpy(), columns["tile_row"].to_numpy())
    keys = pa.table(
        {
            "tile": columns["tile"],
            "date": pc.utf8_slice_codeunits(columns["patch"], 11, 19),
            "morton": pa.array(morton),
            "patch": columns["patch"],
        }
    )
    return pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in keys.column_names])


def _cast(array: pa.Array | None, field: pa.Field, rows: int) -> pa.Array:
    """One column in its type; null where nothing is known."""
    return pa.nulls(rows, field.type) if array is None else array.cast(field.type)
