"""Find items in a catalogue's file."""

import operator
from collections.abc import Iterable
from os import PathLike
from os.path import expanduser
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from bigearth_stac.items import ITEMS_FILE, footprint_rings, item_documents
from bigearth_stac.properties import PREFIX
from bigearth_xr.criteria import (
    Bbox,
    Datetime,
    Texts,
    checked_bbox,
    checked_interval,
    checked_names,
    footprints_intersect,
    label_hint,
    listed_names,
)
from bigearth_xr.errors import LabelError, SelectionError
from bigearth_xr.labels import Nomenclature, label_names
from bigearth_xr.spelling import did_you_mean

if TYPE_CHECKING:
    import pystac

__all__ = ["find_items"]

_COLUMNS = {"split": "bigearth:split", "country": "bigearth:country", "season": "bigearth:season", "tile": "grid:code"}
"""Column of a criterion that is given by names."""

_TILE = "MGRS-"

_NOMENCLATURES: tuple[Nomenclature, ...] = (19, 43)


def find_items(
    catalog: str | PathLike[str],
    *,
    bbox: Iterable[float] | None = None,
    datetime: Datetime | None = None,
    any_label: Texts | None = None,
    split: Texts | None = None,
    country: Texts | None = None,
    season: Texts | None = None,
    tile: Texts | None = None,
    recommended: bool | Literal["any"] | None = None,
    ids: Texts | None = None,
    where: pads.Expression | None = None,
    max_items: int | None = None,
) -> "pystac.ItemCollection":
    """Search a catalogue's file, without a server.

    What is given by name is checked, so that no misspelling finds nothing: only ``where`` compares as it is written.

    Parameters
    ----------
    catalog
        Folder of the catalogue.
    bbox
        ``(west, south, east, north)``, degrees WGS 84; the footprint intersects it. West > east crosses the
        antimeridian.
    datetime
        When Sentinel-2 saw the patch, UTC: ``"2017-06"``, or an interval with both ends included, as
        ``"2017-06-13/2017-08"``; ``".."`` leaves an end open. Or times of Python, NumPy and pandas, as in
        ``Dataset.ben.select``.
    any_label
        Class names of which a patch has at least one, of a nomenclature that the catalogue has.
    split, country, season, tile
        Name or names, as in ``Dataset.ben.select``.
    recommended
        Whether a patch is recommended for use; as in ``Dataset.ben.select``, a split implies ``True``, and ``"any"``
        takes both.
    ids
        Patches, each of which must be in the catalogue.
    where
        Any other condition on the columns, e.g. ``pc.field("bigearth:tile_row") < 45``.
    max_items
        Give no more than these, 1 or more.

    Returns
    -------
    pystac.ItemCollection
        The items found, in the order of the table; empty if there is none.

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
    >>> len(find_items(catalog, datetime="2017-06", any_label=["Pastures", "Mixed forest"]))
    3
    """
    file, most = _opened(Path(expanduser(catalog))), _most(max_items)
    box = None if bbox is None else checked_bbox(bbox)
    if recommended is None and split is not None:
        recommended = True
    named = {"split": split, "country": country, "season": season, "tile": tile}
    conditions = [_is_named(file, name, names) for name, names in named.items() if names is not None]
    conditions += [] if ids is None else [_is_one_of(file, listed_names("ids", ids))]
    conditions += [] if recommended in (None, "any") else [_is_recommended(file, recommended)]
    conditions += [] if where is None else [_fitting(file, where)]
    conditions += [] if box is None else [_near(box)]
    conditions += [] if datetime is None else [_sensed_in(datetime)]
    labels = None if any_label is None else _checked_labels(file, listed_names("any_label", any_label))
    return _items(file, conditions, box, labels, most)


def _items(
    file: pads.Dataset, conditions: list[pads.Expression], box: Bbox | None, labels: list[str] | None, most: int | None
) -> "pystac.ItemCollection":
    """The items that meet all conditions: first what decides, then whole items of the rows that are left.

    Their assets are most of the file.
    """
    import pystac

    found = pc.scalar(True)
    for condition in conditions:
        found = found & condition
    keys = file.to_table(columns=["id", "geometry", *_label_columns(file.schema)], filter=found)
    if box is not None:
        keys = keys.filter(pa.array(footprints_intersect(footprint_rings(keys["geometry"]), box)))
    if labels is not None:
        keys = keys.filter(_has_label(keys, labels))
    ids = keys["id"].combine_chunks()[:most]
    items = file.to_table(filter=found & pc.field("id").isin(ids))
    return pystac.ItemCollection([pystac.Item.from_dict(item) for item in item_documents(items)])


def _opened(catalog: Path) -> pads.Dataset:
    path = catalog / ITEMS_FILE
    if not path.is_file():
        raise SelectionError(f"{path}: no items here; give the folder that `bigearth-stac build` wrote")
    return pads.dataset(path)


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


def _is_named(file: pads.Dataset, criterion: str, names: Texts) -> pads.Expression:
    """Where a criterion that is given by names is met; a name that can never be there is an error."""
    column = _column(file, criterion, _COLUMNS[criterion])
    existing: list[str] = []
    if criterion == "tile":
        codes = pc.unique(file.to_table(columns=[column])[column]).to_pylist()
        existing = [code.removeprefix(_TILE) for code in codes]
    wanted = checked_names(criterion, listed_names(criterion, names), existing)
    prefix = _TILE if criterion == "tile" else ""
    return pc.field(column).isin(pa.array([prefix + name for name in wanted], pa.string()))


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


def _is_recommended(file: pads.Dataset, flag: object) -> pads.Expression:
    if not isinstance(flag, bool | np.bool_):
        raise SelectionError(f"recommended is {flag!r}, expected True, False, None or 'any'")
    return pc.field(_column(file, "recommended", f"{PREFIX}recommended")) == bool(flag)


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
        file.scanner(columns=["id"], filter=where).head(1)
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


def _checked_labels(file: pads.Dataset, wanted: list[str]) -> list[str]:
    """Refuse labels that no patch of the catalogue can have, or that are not known of any."""
    listed = [classes for classes in _NOMENCLATURES if _tells_labels(file, f"{PREFIX}labels_{classes}")]
    known = [name for classes in listed or _NOMENCLATURES for name in label_names(classes)]
    for name in wanted:
        if name not in known:
            classes = " or ".join(map(str, listed or _NOMENCLATURES))
            raise LabelError(f"{name!r} is not a label of the catalogue's {classes} classes{label_hint(name, known)}")
    if not listed:
        raise LabelError("the catalogue has no labels: it was built from lists that lack them; build it from a store")
    return wanted


def _tells_labels(file: pads.Dataset, column: str) -> bool:
    """Whether any patch has a label: lists that tell none may still tell which patches have none of the 19."""
    if column not in file.schema.names:
        return False
    batches = file.to_batches(columns=[column])
    return any(pc.any(pc.greater(pc.list_value_length(batch[column]), 0)).as_py() for batch in batches)


def _has_label(keys: pa.Table, wanted: list[str]) -> pa.Array:
    """Where a patch has one of these labels in either nomenclature."""
    has = np.zeros(keys.num_rows, dtype=bool)
    for column in _label_columns(keys.schema):
        labels = keys[column].combine_chunks()
        is_wanted = pc.is_in(labels.flatten(), pa.array(wanted, pa.string()))
        has[np.asarray(pc.list_parent_indices(labels).filter(is_wanted))] = True
    return pa.array(has)
