"""What a table is: its columns, the digest that identifies what it says, labels as truth values, names of patches."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bigearth_xr.errors import LabelError, MetadataError
from bigearth_xr.labels import Nomenclature, Release, label_names

__all__ = ["DERIVED"]

BBOX = pa.struct([(side, pa.float64()) for side in ("xmin", "ymin", "xmax", "ymax")])

SCHEMA = pa.schema(
    [
        pa.field("patch", pa.string(), nullable=False),
        pa.field("s1_name", pa.string()),
        pa.field("s2v1_name", pa.string()),
        pa.field("tile", pa.string(), nullable=False),
        pa.field("column", pa.int16(), nullable=False),
        pa.field("tile_row", pa.int16(), nullable=False),
        pa.field("epsg", pa.int32(), nullable=False),
        pa.field("ulx", pa.int32(), nullable=False),
        pa.field("uly", pa.int32(), nullable=False),
        pa.field("lon", pa.float64(), nullable=False),
        pa.field("lat", pa.float64(), nullable=False),
        pa.field("bbox", BBOX, nullable=False),
        pa.field("geometry", pa.binary(), nullable=False),
        pa.field("s2_time", pa.timestamp("s"), nullable=False),
        pa.field("s1_time", pa.timestamp("s")),
        pa.field("s2_platform", pa.string(), nullable=False),
        pa.field("s1_platform", pa.string()),
        pa.field("country", pa.string()),
        pa.field("season", pa.string(), nullable=False),
        pa.field("split", pa.string()),
        pa.field("seasonal_snow", pa.bool_()),
        pa.field("cloud_or_shadow", pa.bool_()),
        pa.field("recommended", pa.bool_()),
        pa.field("labels_19", pa.list_(pa.string())),
        pa.field("labels_43", pa.list_(pa.string())),
    ]
)
"""Names, types and nullability of the columns; docs/table.md explains each."""

DERIVED = ("lon", "lat", "bbox", "geometry")
"""Columns that follow from others through PROJ, and so stay out of the digest."""

_GEO = {
    "version": "1.1.0",
    "primary_column": "geometry",
    "columns": {
        "geometry": {
            "encoding": "WKB",
            "geometry_types": ["Polygon"],
            "covering": {"bbox": {side: ["bbox", side] for side in ("xmin", "ymin", "xmax", "ymax")}},
        }
    },
}

_LONGEST = 80
_PLACE = r"_(?:90|[0-8]?\d)_(?:90|[0-8]?\d)"

_FORMS = {
    "s2": rf"S2[AB]_MSIL2A_\d{{8}}T\d{{5,6}}{_PLACE}",
    "s1": rf"S1[AB]_IW_GRDH_1SDV_\d{{8}}T\d{{6}}_\d{{2}}[A-Z]{{3}}{_PLACE}",
    "v2": rf"S2[AB]_MSIL2A_\d{{8}}T\d{{6}}_N\d{{4}}_R\d{{3}}_T\d{{2}}[A-Z]{{3}}{_PLACE}",
}
"""Forms of the names: Sentinel-2 in v1, Sentinel-1, Sentinel-2 in v2."""

_BEFORE, _AFTER = r"(?:^|[^0-9A-Za-z_])", r"(?:[^0-9A-Za-z_]|_[A-Za-z]|$)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How names are made."""

    head_length: int
    """Characters before the place."""

    head: str
    """Pattern of those, with a group ``tile``."""

    tail: str
    """Pattern of the rest, with groups ``column`` and ``tile_row``."""


S1_NAMES = Form(
    head_length=38,
    head=r"^S1[AB]_IW_GRDH_1SDV_\d{8}T\d{6}_(?P<tile>\d{2}[A-Z]{3})$",
    tail=r"^_(?P<column>90|[0-8]?\d)_(?P<tile_row>90|[0-8]?\d)$",
)

V2_NAMES = Form(
    head_length=44,
    head=r"^S2[AB]_MSIL2A_\d{8}T\d{6}_N\d{4}_R\d{3}_T(?P<tile>\d{2}[A-Z]{3})$",
    tail=r"^_(?P<column>90|[0-8]\d)_(?P<tile_row>90|[0-8]\d)$",
)


def metadata_of(release: Release) -> Mapping[str, str]:
    """Schema metadata of a table of this release: our own entry, and that of GeoParquet."""
    return {"bigearth": json.dumps({"release": release}), "geo": json.dumps(_GEO)}


def release_of(table: pa.Table) -> Release:
    """Tell the release that a table describes.

    Raises
    ------
    MetadataError
        If the table is not one of ours.

    Examples
    --------
    >>> release_of(pa.table({"patch": ["a"]}))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    bigearth_xr.errors.MetadataError: the table has no 'bigearth' entry in its schema metadata; ...
    """
    entry = (table.schema.metadata or {}).get(b"bigearth")
    if entry is None:
        raise MetadataError("the table has no 'bigearth' entry in its schema metadata; build it with bigearth_xr.table")
    release: Release = json.loads(entry)["release"]
    return release


def digest(table: pa.Table) -> str:
    """Hash what a table says, not how Arrow happens to lay it out.

    Returns
    -------
    str
        SHA-256, hexadecimal, over release, column names and values but those of `DERIVED`.

    Examples
    --------
    >>> empty = SCHEMA.empty_table().replace_schema_metadata(metadata_of("v1"))
    >>> digest(empty) == digest(empty.replace_schema_metadata(metadata_of("v2"))), len(digest(empty))
    (False, 64)
    """
    content = hashlib.sha256(release_of(table).encode())
    for name in table.column_names:
        if name not in DERIVED:
            content.update(name.encode())
            _hash_array(content, table[name].combine_chunks())
    return content.hexdigest()


def extends(rows: pa.Table, before: pa.Table) -> bool:
    """Tell whether rows say all that others say of the same patches: the only difference is that nulls are filled.

    Examples
    --------
    >>> before = pa.table({"patch": ["a", "b"], "country": [None, "Austria"]})
    >>> extends(pa.table({"patch": ["a", "b"], "country": ["Kosovo", "Austria"]}), before)
    True
    >>> extends(before, pa.table({"patch": ["a", "b"], "country": ["Kosovo", "Austria"]}))
    False
    """
    if (rows.num_rows, rows.column_names) != (before.num_rows, before.column_names):
        return False
    names = [name for name in rows.column_names if name not in DERIVED]
    nothing = {name: pa.scalar(None, rows[name].type) for name in names}
    return all(pc.if_else(before[name].is_valid(), rows[name], nothing[name]).equals(before[name]) for name in names)


def multi_hot(labels: pa.ListArray, nomenclature: Nomenclature = 19) -> NDArray[np.bool_]:
    """Encode a column of label lists.

    Parameters
    ----------
    labels
        Lists of label names, one list a patch; null where unknown.
    nomenclature
        Number of classes that the names are of.

    Returns
    -------
    numpy.ndarray
        Shape ``(patch, label)``, bool, paper order; all False where a list is empty or null.

    Raises
    ------
    LabelError
        If a name is not in the nomenclature.

    Examples
    --------
    >>> multi_hot(pa.array([["Pastures"], None])).sum(axis=1)
    array([1, 0])
    """
    names = label_names(nomenclature)
    index = pc.index_in(labels.flatten(), pa.array(names))
    if index.null_count:
        stranger = labels.flatten().filter(pc.is_null(index))[0].as_py()
        raise LabelError(f"{stranger!r} is not a label of the {nomenclature}-class nomenclature: {', '.join(names)}")
    encoded = np.zeros((len(labels), len(names)), dtype=bool)
    encoded[np.asarray(pc.list_parent_indices(labels)), np.asarray(index)] = True
    return encoded


def read_places(names: pa.Array, form: Form) -> dict[str, pa.Array]:
    """Read tile, column and row off names that hold all three.

    Parameters
    ----------
    names
        Strings.
    form
        What they should look like.

    Returns
    -------
    dict
        Arrays ``tile``, ``column`` and ``tile_row``, all null where a name is null or of another form.

    Examples
    --------
    >>> read_places(pa.array(["S1A_IW_GRDH_1SDV_20170613T165043_33UUP_61_9", "S1"]), S1_NAMES)["tile_row"].to_pylist()
    [9, None]
    """
    heads, tails = _cut(names, form.head_length)
    (tile,) = pc.extract_regex(heads.dictionary, form.head).flatten()
    column, tile_row = pc.extract_regex(tails.dictionary, form.tail).flatten()
    found = {"tile": tile.take(heads.indices)}
    found |= {
        name: part.cast(pa.int16()).take(tails.indices) for name, part in (("column", column), ("tile_row", tile_row))
    }
    whole = pc.and_(pc.is_valid(found["tile"]), pc.is_valid(found["column"]))
    return found if pc.all(whole).as_py() else {name: pc.if_else(whole, part, None) for name, part in found.items()}


def are_unique(names: pa.Array, head_length: int) -> bool:
    """Tell whether no name comes twice, of names that have few different heads.

    Examples
    --------
    >>> are_unique(pa.array(["S2A_1_1", "S2A_1_2", "S2A_1_1"]), 3)
    False
    """
    heads, tails = _cut(names, head_length)
    keys: NDArray[np.int64] = np.asarray(heads.indices).astype(np.int64) * len(tails.dictionary)
    keys = np.sort(keys + np.asarray(tails.indices))
    return not (keys[1:] == keys[:-1]).any()


def find_names(lines: pa.Array, form: str, *, last: bool = False) -> pa.Array:
    """Find the name on each line that has one of this form; null where there is none.

    Parameters
    ----------
    lines
        Texts.
    form
        ``"s2"`` (v1), ``"s1"`` or ``"v2"``.
    last
        Whether it is the last such name on the line, instead of the first.

    Examples
    --------
    >>> lines = pa.array(["7,BigEarthNet-v1.0/S2B_MSIL2A_20170924T93020_69_24/", "name"])
    >>> find_names(lines, "s2").to_pylist()
    ['S2B_MSIL2A_20170924T93020_69_24', None]
    """
    # Flattened, the field is null where the whole is; taken by its name it is not.
    (names,) = pc.extract_regex(lines, f"{'^.*' if last else ''}{_BEFORE}(?P<name>{_FORMS[form]}){_AFTER}").flatten()
    return names


def canonical(names: pa.Array) -> pa.Array:
    """Write names as v1 does where it leaves out zeros: one patch has one such name, though v1 is not consistent.

    Examples
    --------
    >>> canonical(pa.array(["S2A_MSIL2A_20170905T095032_04_5"])).to_pylist()
    ['S2A_MSIL2A_20170905T95032_4_5']
    """
    for padded, bare in ((r"L2A_(\d{8})T0(\d{5}_)", r"L2A_\1T\2"), (r"_0(\d_\d+)$", r"_\1"), (r"_0(\d)$", r"_\1")):
        names = pc.replace_substring_regex(names, padded, bare)
    return names


def _hash_array(content: "hashlib._Hash", array: pa.Array) -> None:
    """Feed validity and values; what lies under a null is not part of the value."""
    content.update(np.packbits(np.asarray(array.is_valid())).tobytes())
    if pa.types.is_list(array.type):
        content.update(np.asarray(pc.list_value_length(array).fill_null(0), dtype="<i4").tobytes())
        _hash_array(content, array.flatten())
    elif pa.types.is_string(array.type):
        texts = array.fill_null("")
        content.update(np.asarray(pc.binary_length(texts), dtype="<i4").tobytes())
        content.update(_text_bytes(texts))
    else:
        integers = array.cast(pa.int64()) if pa.types.is_timestamp(array.type) else array.cast(pa.int32())
        content.update(np.asarray(integers.fill_null(0)).astype("<i8").tobytes())


def _text_bytes(texts: pa.Array) -> bytes:
    """Join texts, none of them null, in UTF-8: as Arrow holds them, without an object for each."""
    _, offsets, joined = texts.buffers()
    if not len(texts) or joined is None:
        return b""
    bounds = np.frombuffer(offsets, np.int32)
    return bytes(memoryview(joined)[bounds[texts.offset] : bounds[texts.offset + len(texts)]])


def _cut(names: pa.Array, at: int) -> tuple[pa.DictionaryArray, pa.DictionaryArray]:
    """Cut names in two, each half a code for one of few texts."""
    data = names.cast(pa.binary())
    # Without an end Arrow computes a length below zero.
    halves = (pc.binary_slice(data, start, end) for start, end in ((0, at), (at, _LONGEST)))
    head, tail = (half.cast(pa.string()).dictionary_encode() for half in halves)
    return head, tail
