"""Find items in a catalogue's file."""

import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from os import PathLike
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
from numpy.typing import NDArray

from bigearth_stac.found import FoundItems, Places, found_at, items_file
from bigearth_stac.items import footprint_rings
from bigearth_stac.properties import PREFIX
from bigearth_xr.criteria import (
    Bbox,
    Datetime,
    Texts,
    check_labels,
    checked_bbox,
    checked_flag,
    checked_interval,
    checked_names,
    footprints_intersect,
    listed_names,
)
from bigearth_xr.errors import LabelError, SelectionError
from bigearth_xr.labels import Nomenclature, label_names
from bigearth_xr.spelling import did_you_mean, takes_known

__all__ = ["find_items"]

_COLUMNS = {"split": "bigearth:split", "country": "bigearth:country", "season": "bigearth:season", "tile": "grid:code"}
"""Column of a criterion that is given by names."""

_FLAGS = ("seasonal_snow", "cloud_or_shadow", "recommended")

_TILE = "MGRS-"

_NOMENCLATURES: tuple[Nomenclature, ...] = (19, 43)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Query:
    """What an item must meet."""

    condition: pads.Expression
    """What columns decide by themselves."""

    box: Bbox | None
    """What the footprint must meet."""

    labels: dict[str, list[str]]
    """By criterion, labels of which an item has any or all."""

    most: int | None
    """How many items are wanted at most."""

    def columns(self, schema: pa.Schema) -> dict[str, pads.Expression]:
        """Columns to read: whether the condition is met, and what else decides."""
        names = [] if self.box is None else ["geometry"]
        names += _label_columns(schema) if self.labels else []
        return {"met": self.condition} | {name: pc.field(name) for name in names}


@takes_known
def find_items(
    catalog: str | PathLike[str],
    *,
    split: Texts | None = None,
    country: Texts | None = None,
    season: Texts | None = None,
    tile: Texts | None = None,
    any_label: Texts | None = None,
    all_labels: Texts | None = None,
    bbox: Iterable[float] | None = None,
    datetime: Datetime | None = None,
    seasonal_snow: bool | None = None,
    cloud_or_shadow: bool | None = None,
    recommended: bool | Literal["any"] | None = None,
    ids: Texts | None = None,
    where: pads.Expression | None = None,
    max_items: int | None = None,
) -> FoundItems:
    """Search a catalogue's file, without a server.

    Criteria are those of ``Dataset.ben.select``, and find the same patches. What is given by name is checked, so that
    no misspelling finds nothing: only ``where`` compares as it is written.

    Parameters
    ----------
    catalog
        Folder of the catalogue.
    split
        ``"train"``, ``"validation"`` (or ``"val"``) or ``"test"``, or several of them; implies ``recommended=True``.
    country, season, tile
        Name or names, of which a patch has one.
    any_label, all_labels
        Class names of which a patch has at least one, or every one, of a nomenclature that the catalogue has.
    bbox
        ``(west, south, east, north)``, degrees WGS 84; the footprint intersects it. West > east crosses the
        antimeridian.
    datetime
        When Sentinel-2 saw the patch, UTC: ``"2017-06"``, or an interval with both ends included, as
        ``"2017-06-13/2017-08"``; ``".."`` leaves an end open. Or times of Python, NumPy and pandas.
    seasonal_snow, cloud_or_shadow
        What the published lists say; a patch that they do not name is neither.
    recommended
        True for the patches recommended for use; ``"any"`` to take a split with the others in it.
    ids
        Patches, each of which must be in the catalogue.
    where
        Any other condition on the columns, e.g. ``pc.field("bigearth:tile_row") < 45``.
    max_items
        Give no more than these, 1 or more; what comes after them in the file is not read.

    Returns
    -------
    FoundItems
        The items found, in the order of the table; empty if there is none. Columns, of which `open_search` makes a
        Dataset; pystac Items when it is iterated or asked for ``to_items()``.

    Raises
    ------
    SelectionError
        If there is no catalogue, a criterion cannot be one, a name or id does not exist, or the catalogue does not
        tell what is asked.
    LabelError
        If a label is unknown or of a nomenclature that the catalogue lacks, or it has no labels.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_stac import build_catalog
    >>> store = bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=20)
    >>> catalog = build_catalog(store, getfixture("tmp_path") / "catalog").folder
    >>> found = find_items(catalog, datetime="2017-06", any_label=["Pastures", "Mixed forest"])
    >>> len(found), found[0].datetime.month
    (3, 6)
    """
    path = items_file(catalog)
    texts = {"split": split, "country": country, "season": season, "tile": tile, "ids": ids}
    labels = {"any_label": any_label, "all_labels": all_labels}
    if recommended is None and split is not None:
        recommended = True
    flags = {"seasonal_snow": seasonal_snow, "cloud_or_shadow": cloud_or_shadow, "recommended": recommended}
    file, most = pads.dataset(path), _most(max_items)
    box = None if bbox is None else checked_bbox(bbox)
    conditions = [
        *(_is_named(file, name, listed_names(name, given)) for name, given in texts.items() if given is not None),
        *_flagged(file, flags),
        *([] if where is None else [_fitting(file, where)]),
        *([] if box is None else [_near(box)]),
        *([] if datetime is None else [_sensed_in(datetime)]),
    ]
    query = _Query(
        condition=reduce(operator.and_, conditions, pc.scalar(True)),
        box=box,
        labels=_checked_labels(file, {name: listed_names(name, x) for name, x in labels.items() if x is not None}),
        most=most,
    )
    asked = texts | labels | {"bbox": box, "datetime": datetime} | flags | {"where": where, "max_items": most}
    return found_at(path, _places(file, query), [_shown(name, x) for name, x in asked.items() if x is not None])


def _places(file: pads.Dataset, query: _Query) -> Places:
    """Places in the file of the items that meet all; row groups that cannot hold one are not read."""
    found, count = [np.empty(0, np.int64)], 0
    for start, part in _row_groups(file, query.condition):
        if query.most is not None and count >= query.most:
            break
        met = _met(part, file.schema, query)
        found.append(start + met)
        count += met.size
    return np.concatenate(found)[: query.most]


def _row_groups(file: pads.Dataset, condition: pads.Expression) -> Iterator[tuple[int, pads.ParquetFileFragment]]:
    """Row groups whose statistics do not rule the condition out, and the place of the first row of each."""
    for fragment in file.get_fragments():
        starts = np.cumsum([0, *(group.num_rows for group in fragment.row_groups)], dtype=np.int64)
        for part in fragment.split_by_row_group(condition, schema=file.schema):
            yield int(starts[part.row_groups[0].id]), part


def _met(part: pads.ParquetFileFragment, schema: pa.Schema, query: _Query) -> NDArray[np.int64]:
    """Which rows of a row group meet all, in order."""
    rows = part.to_table(schema=schema, columns=query.columns(schema))
    met = np.flatnonzero(np.asarray(pc.fill_null(rows["met"], False)))
    if query.box is not None and met.size:
        met = met[footprints_intersect(footprint_rings(rows["geometry"].take(pa.array(met))), query.box)]
    if query.labels and met.size:
        met = met[_has_labels(rows.take(pa.array(met)), query.labels)]
    return met


def _shown(name: str, value: object) -> str:
    """A criterion as it was given, for a result to show."""
    text = str(value) if isinstance(value, pads.Expression) else repr(value)
    return f"{name}={text if len(text) <= 60 else text[:57] + '…'}"


def _most(max_items: int | None) -> int | None:
    if max_items is None:
        return None
    try:
        most = operator.index(max_items)
    except TypeError:
        most = 0
    if most < 1 or isinstance(max_items, bool):
        raise SelectionError(f"max_items is {max_items!r}, expected at least 1; leave it out for all")
    return most


def _is_named(file: pads.Dataset, criterion: str, names: list[str]) -> pads.Expression:
    """Where a criterion that is given by names is met; a name that can never be there is an error."""
    if criterion == "ids":
        return _is_one_of(file, names)
    column = _column(file, criterion, _COLUMNS[criterion])
    existing: list[str] = []
    if criterion == "tile":
        codes = pc.unique(file.to_table(columns=[column])[column]).to_pylist()
        existing = [code.removeprefix(_TILE) for code in codes]
    prefix = _TILE if criterion == "tile" else ""
    wanted = [prefix + name for name in checked_names(criterion, names, existing)]
    return pc.field(column).isin(pa.array(wanted, pa.string()))


def _is_one_of(file: pads.Dataset, ids: list[str]) -> pads.Expression:
    condition = pc.field("id").isin(pa.array(ids, pa.string()))
    known = set(file.to_table(columns=["id"], filter=condition)["id"].to_pylist())
    strangers = [name for name in ids if name not in known]
    if strangers:
        raise SelectionError(
            f"{len(strangers):,} of {len(ids):,} ids are not in the catalogue, first {strangers[0]!r}; it is of "
            f"{file.count_rows():,} patches, whose ids are the names of their Sentinel-2 half in this release"
        )
    return condition


def _flagged(file: pads.Dataset, flags: dict[str, Any]) -> list[pads.Expression]:
    """Where lists say so."""
    wanted = {name: checked_flag(name, flag) for name, flag in flags.items()}
    return [pc.field(_column(file, name, PREFIX + name)) == flag for name, flag in wanted.items() if flag is not None]


def _column(file: pads.Dataset, criterion: str, column: str) -> str:
    """The column of a criterion, which the catalogue lacks where no list has it."""
    if column not in file.schema.names:
        raise SelectionError(
            f"the catalogue tells no {criterion}: no list told it of any patch; build it from a store or lists that do"
        )
    return column


def _fitting(file: pads.Dataset, where: object) -> pads.Expression:
    """Refuse a condition that cannot be asked of the columns."""
    if not isinstance(where, pads.Expression):
        raise SelectionError(f"where is {where!r:.80}, expected an expression, e.g. pc.field('bigearth:row') < 100")
    try:
        file.scanner(columns=["id"], filter=where)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        names = [name for name in file.schema.names if name not in ("links", "assets", "geometry")]
        asked = str(error).partition("FieldRef.Name(")[2].partition(")")[0]
        hint = did_you_mean(PREFIX + asked, names) if asked else ""
        reason = f"{str(error).splitlines()[0]:.120}"
        raise SelectionError(
            f"where {where} cannot be asked of the catalogue{hint}; its columns are {', '.join(names)} ({reason})"
        ) from None
    return where


def _near(bbox: Bbox) -> pads.Expression:
    """Where bounding boxes meet: the file skips its other parts by it, and footprints decide after it."""
    west, south, east, north = bbox
    box = {side: pc.field("bbox", side) for side in ("xmin", "ymin", "xmax", "ymax")}
    latitudes = (box["ymin"] <= north) & (box["ymax"] >= south)
    # West of its east end and east of its west end, or of either where the box crosses the antimeridian.
    before, after = box["xmin"] <= east, box["xmax"] >= west
    return latitudes & ((before & after) if west <= east else (before | after))


def _sensed_in(datetime: Datetime) -> pads.Expression:
    first, stop = checked_interval(datetime)
    inside = pc.scalar(True)
    if first is not None:
        inside = inside & (pc.field("datetime") >= _moment(first))
    if stop is not None:
        inside = inside & (pc.field("datetime") < _moment(stop))
    return inside


def _moment(time: np.datetime64) -> pa.Scalar:
    return pa.scalar(int(time.astype(np.int64)) * 1000, pa.timestamp("ms", tz="UTC"))


def _label_columns(schema: pa.Schema) -> list[str]:
    names = (f"{PREFIX}labels_19", f"{PREFIX}labels_43")
    return [name for name in names if name in schema.names]


def _checked_labels(file: pads.Dataset, wanted: dict[str, list[str]]) -> dict[str, list[str]]:
    """Refuse labels that no patch of the catalogue can have, or that are not known of any."""
    if not wanted:
        return wanted
    listed = [classes for classes in _NOMENCLATURES if _tells_labels(file, f"{PREFIX}labels_{classes}")]
    known = [name for classes in listed or _NOMENCLATURES for name in label_names(classes)]
    whose = f"the catalogue's {' or '.join(map(str, listed or _NOMENCLATURES))}"
    for names in wanted.values():
        check_labels(names, known, whose=whose)
    if not listed:
        raise LabelError("the catalogue has no labels: it was built from lists that lack them; build it from a store")
    return wanted


def _tells_labels(file: pads.Dataset, column: str) -> bool:
    """Whether any patch has a label: lists that tell none may still tell which patches have none of the 19."""
    if column not in file.schema.names:
        return False
    batches = file.to_batches(columns=[column])
    return any(pc.any(pc.greater(pc.list_value_length(batch[column]), 0)).as_py() for batch in batches)


def _has_labels(rows: pa.Table, wanted: dict[str, list[str]]) -> NDArray[np.bool_]:
    """Where a patch has any or all of these labels, each in either nomenclature."""
    has = {name: np.zeros(rows.num_rows, dtype=bool) for names in wanted.values() for name in names}
    for column in _label_columns(rows.schema):
        labels = rows[column].combine_chunks()
        patches, names = pc.list_parent_indices(labels), labels.flatten()
        for name, having in has.items():
            having[np.asarray(patches.filter(pc.equal(names, name)))] = True
    meets = np.ones(rows.num_rows, dtype=bool)
    for criterion, names in wanted.items():
        among = np.array([has[name] for name in names], dtype=bool).reshape(len(names), rows.num_rows)
        meets &= among.any(axis=0) if criterion == "any_label" else among.all(axis=0)
    return meets
