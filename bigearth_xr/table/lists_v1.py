"""The lists of v1: text files, one that names all pairs and a few that name some of them."""

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bigearth_xr import releases
from bigearth_xr.errors import MetadataError
from bigearth_xr.table.lines import Lines, Pairs, find_names, find_rows, read_lines, read_text, refuse_line, rows_of
from bigearth_xr.table.places import S1_NAMES, are_unique, read_places

__all__ = ["V1_PAIRS", "csv_at", "read_v1", "v1_files"]

V1_PAIRS = "s1_s2_name_country_season"
V1_SPLITS = {"train": "train", "val": "validation", "test": "test"}
V1_FLAGS = {"seasonal_snow": "patches_with_seasonal_snow", "cloud_or_shadow": "patches_with_cloud_and_shadow"}
V1_UNLABELLED = "patches_with_no_19_class_targets"
_NAMES = (V1_PAIRS, *V1_SPLITS, *V1_FLAGS.values(), V1_UNLABELLED)
_ALSO_CALLED = {"val": "validation"}

S2_NAME = r"^S2[AB]_MSIL2A_\d{8}T\d{5,6}_\d{1,2}_\d{1,2}$"
S2_SCENE_LENGTH = 26
"""Characters before the place, or one more where the hour lacks its zero."""
_EXPECTED = (
    "expected a line such as S1A_IW_GRDH_1SDV_20170613T165043_33UUP_61_39,S2A_MSIL2A_20170613T101031_61_39,Austria; "
    "correct the line or take it out"
)

Columns = dict[str, pa.Array]


def csv_at(folder: Path, name: str) -> Path | None:
    """Find the list of this name, however it is compressed.

    Examples
    --------
    >>> csv_at(getfixture("tmp_path"), "train") is None
    True
    """
    found = (folder / f"{name}.csv{suffix}" for suffix in ("", ".bz2", ".gz"))
    return next((path for path in found if path.is_file()), None)


def read_v1(folder: Path) -> Columns:
    """Read what the lists of v1 say of each pair.

    Parameters
    ----------
    folder
        Where all of them lie.

    Returns
    -------
    dict
        Arrays of one length by column name, as `bigearth_xr.table.assemble` takes them.

    Raises
    ------
    MetadataError
        If a list is missing, or a line of one cannot be understood; with its file and line.

    Examples
    --------
    >>> from bigearth_xr.testing import write_archive
    >>> lists = write_archive(getfixture("tmp_path") / "v1", pairs=2, version="v1") / "lists"
    >>> read_v1(lists)["split"].to_pylist()
    ['validation', 'validation']
    """
    source, *rest = v1_files(folder)
    columns = _as_published(read_text(source)) or _by_line(read_lines(source))
    pairs = Pairs(source=source, patch=columns["patch"], s1_name=columns["s1_name"])
    names = _NAMES[1:]
    lists = dict(zip(names, map(read_lines, rest), strict=True))
    rows = dict(zip(names, find_rows(list(lists.values()), pairs), strict=True))
    _refuse_unmatched(lists, rows, pairs)
    snow, cloud, unlabelled = (_mask(rows[name], len(pairs.patch)) for name in (*V1_FLAGS.values(), V1_UNLABELLED))
    return {
        **columns,
        "split": _split(lists, rows, pairs),
        "seasonal_snow": pa.array(snow),
        "cloud_or_shadow": pa.array(cloud),
        "recommended": pa.array(~(snow | cloud | unlabelled)),
        "labels_19": _empty_where(unlabelled),
    }


def v1_files(folder: Path) -> list[Path]:
    """Find all lists: of the pairs first, then those that name some of them.

    Raises
    ------
    MetadataError
        If one is missing.

    Examples
    --------
    >>> from bigearth_xr.testing import write_archive
    >>> lists = write_archive(getfixture("tmp_path") / "v1", pairs=2, version="v1") / "lists"
    >>> [file.name for file in v1_files(lists)][:3]
    ['s1_s2_name_country_season.csv', 'train.csv', 'val.csv']
    """
    return [_required(folder, name) for name in _NAMES]


def _required(folder: Path, name: str) -> Path:
    """Find a list, or say which are needed; there may be no second one that goes by its other name."""
    found = [path for one in (name, _ALSO_CALLED.get(name)) if one and (path := csv_at(folder, one))]
    if len(found) > 1:
        raise MetadataError(f"{folder}: both {found[0].name} and {found[1].name}, expected one of them; take one out")
    if not found:
        listed = (f"{one}.csv" for one in _NAMES)
        raise MetadataError(f"{folder}: {name}.csv is missing; the v1 lists are {', '.join(listed)}: copy it there")
    return found[0]


# All pairs of the release.


def _as_published(data: bytes) -> Columns | None:
    """Read the pairs in a third of the time where they are written as published; None where they are not."""
    import pyarrow.csv

    header = data[:200].partition(b"\n")[0].strip().split(b",")
    if not {b"s1_name", b"s2_name", b"country"} <= set(header):
        return None
    texts = {name.decode(): pa.string() for name in header}
    options = pyarrow.csv.ConvertOptions(column_types=texts, include_columns=["s1_name", "s2_name", "country"])
    try:
        table = pyarrow.csv.read_csv(pa.BufferReader(data), convert_options=options)
    except (pa.ArrowInvalid, KeyError):
        return None
    s1_name, patch, country = (column.combine_chunks() for column in table.columns)
    place = read_places(s1_name, S1_NAMES)
    is_plain = (
        not place["tile"].null_count
        and not pc.index_in(pc.unique(country), pa.array(releases.COUNTRIES)).null_count
        and pc.all(pc.match_substring_regex(patch, S2_NAME), min_count=0).as_py()
        and _places_agree(s1_name, patch)
        and are_unique(patch, S2_SCENE_LENGTH)
        and are_unique(s1_name, S1_NAMES.head_length)
    )
    return {"patch": patch, "s1_name": s1_name, **place, "country": country} if is_plain else None


def _places_agree(s1_name: pa.Array, patch: pa.Array) -> bool:
    """Tell whether names of both satellites end alike."""
    s1_place, s2_place = (
        pc.ascii_ltrim(pc.binary_slice(names.cast(pa.binary()), start, start + 6).cast(pa.string()), characters="_")
        for names, start in ((s1_name, S1_NAMES.head_length), (patch, S2_SCENE_LENGTH))
    )
    return bool(s1_place.equals(s2_place))


def _by_line(lines: Lines) -> Columns:
    """Read the pairs whatever stands around their names."""
    rows = rows_of(lines)
    texts = lines.texts.take(pa.array(rows))
    countries = "|".join(releases.COUNTRIES)
    (country,) = pc.extract_regex(texts, rf"(?:^|[,;|\s\"'])(?P<name>{countries})(?:$|[,;|\s\"'])").flatten()
    found = {
        "Sentinel-2 patch of v1": find_names(texts, "s2"),
        "Sentinel-1 patch": find_names(texts, "s1"),
        "country": country,
    }
    for what, names in found.items():
        if names.null_count:
            at = pc.index(pc.is_null(names), True).as_py()
            refuse_line(lines, int(rows[at]), f"names no {what}; {_EXPECTED}")
    patch, s1_name, country = found.values()
    columns = {"patch": patch, "s1_name": s1_name, **read_places(s1_name, S1_NAMES), "country": country}
    _refuse_apart(lines, rows, columns)
    kept = pa.array(_first_of_each(lines, rows, columns))
    return {name: column.take(kept) for name, column in columns.items()}


def _refuse_apart(lines: Lines, rows: NDArray[np.int64], columns: Columns) -> None:
    """Refuse two halves that lie at different places."""
    parts = pc.extract_regex(columns["patch"], r"_(?P<column>\d+)_(?P<tile_row>\d+)$")
    apart = np.zeros(len(rows), bool)
    for name, part in zip(("column", "tile_row"), parts.flatten(), strict=True):
        apart |= np.asarray(part.cast(pa.int16())) != np.asarray(columns[name])
    if apart.any():
        refuse_line(
            lines,
            int(rows[apart.argmax()]),
            "names no pair, expected two patches of one column and row; check that no column was sorted by itself",
        )


def _first_of_each(lines: Lines, rows: NDArray[np.int64], columns: Columns) -> NDArray[np.int64]:
    """Give the first row of each pair; a second that says otherwise is refused."""
    firsts = np.arange(len(rows))
    for key in ("patch", "s1_name"):
        first = pc.index_in(columns[key], columns[key])
        for name in ("patch", "s1_name", "country"):
            same = np.asarray(pc.equal(columns[name], columns[name].take(first)))
            if not same.all():
                at = int((~same).argmax())
                line = rows[first[at].as_py()] + 1
                what = f"says otherwise than line {line} of the same patch; expected each once; take one of them out"
                refuse_line(lines, int(rows[at]), what)
        firsts = np.minimum(firsts, np.asarray(first))
    return np.unique(firsts)


# Those that name some of them.


def _split(lists: Mapping[str, Lines], rows: Mapping[str, NDArray[np.int64]], pairs: Pairs) -> pa.Array:
    """Tell the split of each pair; one that two lists name is refused."""
    names = list(V1_SPLITS)
    codes = np.full(len(pairs.patch), -1, np.int8)
    for code, name in enumerate(names):
        listed = rows[name][rows[name] >= 0]
        twice = listed[(codes[listed] >= 0) & (codes[listed] != code)]
        if twice.size:
            pair = int(twice[0])
            here, there = (_line_of(lists[one], rows[one], pair) for one in (name, names[codes[pair]]))
            raise MetadataError(
                f"{here} and {there} both name {pairs.patch[pair].as_py()}, expected each patch in one split; "
                "take it out of either"
            )
        codes[listed] = code
    splits = pa.array(list(V1_SPLITS.values()))
    return splits.take(pa.array(codes, mask=codes < 0))


def _line_of(lines: Lines, rows: NDArray[np.int64], pair: int) -> str:
    """Say where a list names a pair first."""
    return f"{lines.source}, line {int((rows == pair).argmax()) + 1}"


def _refuse_unmatched(lists: Mapping[str, Lines], rows: Mapping[str, NDArray[np.int64]], pairs: Pairs) -> None:
    """Refuse lists that name nobody among the pairs; one of several does so with good reason, and is told."""
    named = {name: len(rows_of(lines)) for name, lines in lists.items()}
    strange = [name for name, count in named.items() if count and not (rows[name] >= 0).any()]
    if not strange:
        return
    where = ", ".join(f"{lists[name].source.name} ({named[name]:,})" for name in strange)
    what = f"{lists[strange[0]].source.parent}: none of the patches in {where} is in {pairs.source.name}"
    if len(strange) == sum(map(bool, named.values())):
        raise MetadataError(f"{what}, which has {len(pairs.patch):,}; give the lists of the same archive")
    warnings.warn(f"{what}; as long as that is so, they say nothing", UserWarning, stacklevel=2)


def _mask(rows: NDArray[np.int64], pairs: int) -> NDArray[np.bool_]:
    """Truth values of the pairs that a list names."""
    mask = np.zeros(pairs, bool)
    mask[rows[rows >= 0]] = True
    return mask


def _empty_where(mask: NDArray[np.bool_]) -> pa.Array:
    """No labels where the mask holds, unknown labels elsewhere."""
    return pa.array([[]], pa.list_(pa.string())).take(pa.array(np.zeros(len(mask), np.int8), mask=~mask))
