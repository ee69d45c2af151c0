"""The lists of v1: text files, one that names all pairs and a few that name some of them.

People save lists with other separators, other columns, headers, indexes, paths and quotes. A patch's name is known from
all that by its form alone, so no dialect has to be known.
"""

import codecs
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bigearth_xr import releases
from bigearth_xr.errors import MetadataError
from bigearth_xr.table.schema import S1_NAMES, are_unique, canonical, find_names, read_places

__all__ = ["V1_PAIRS"]

# A header names columns; what begins like a patch's name and goes on otherwise is a damaged name.
_LIKE_A_NAME = r"S[12][A-D]_"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lines:
    """The lines of one list."""

    source: Path
    """Its file, for messages."""

    texts: pa.Array
    """What stands on each line, without blanks, quotes and separators at its ends; line n is at n - 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pairs:
    """The pairs that lists speak of."""

    source: Path
    """The file that names them, for messages."""

    patch: pa.Array
    """Names of the Sentinel-2 patches, each once."""

    s1_name: pa.Array
    """Names of their partners, each once."""


V1_PAIRS = "s1_s2_name_country_season"
V1_SPLITS = {"train": "train", "val": "validation", "test": "test"}
V1_FLAGS = {"seasonal_snow": "patches_with_seasonal_snow", "cloud_or_shadow": "patches_with_cloud_and_shadow"}
V1_UNLABELLED = "patches_with_no_19_class_targets"
_NAMES = (V1_PAIRS, *V1_SPLITS, *V1_FLAGS.values(), V1_UNLABELLED)
_ALSO_CALLED = {"val": "validation"}
S2_NAME = r"^S2[AB]_MSIL2A_\d{8}T\d{5,6}_\d{1,2}_\d{1,2}$"

S2_SCENE_LENGTH = 26
"""Characters before the place, or one more where the hour lacks its zero."""

_EXPECTED_PAIR = (
    "expected a line such as S1A_IW_GRDH_1SDV_20170613T165043_33UUP_61_39,S2A_MSIL2A_20170613T101031_61_39,Austria; "
    "correct the line or take it out"
)

Columns = dict[str, pa.Array]


def csv_at(folder: Path, name: str) -> Path | None:
    """Find the list of this name, however it is compressed."""
    found = (folder / f"{name}.csv{suffix}" for suffix in ("", ".bz2", ".gz"))
    return next((path for path in found if path.is_file()), None)


def read_v1(folder: Path) -> Columns:
    """Read what the lists of v1 say of each pair.

    Returns
    -------
    dict
        Arrays of one length by column name, as `bigearth_xr.table.assemble` takes them.

    Raises
    ------
    MetadataError
        If a list is missing, or a line of one cannot be understood; with its file and line.
    """
    source, *rest = v1_files(folder)
    columns = _as_published(_read_text(source)) or _by_line(_read_lines(source))
    pairs = _Pairs(source=source, patch=columns["patch"], s1_name=columns["s1_name"])
    names = _NAMES[1:]
    lists = dict(zip(names, map(_read_lines, rest), strict=True))
    rows = dict(zip(names, _find_rows(list(lists.values()), pairs), strict=True))
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
    """
    return [_required(folder, name) for name in _NAMES]


def _required(folder: Path, name: str) -> Path:
    """Find a list, or say which are needed; there may not be a second one under its other name."""
    found = [path for one in (name, _ALSO_CALLED.get(name)) if one and (path := csv_at(folder, one))]
    if len(found) > 1:
        raise MetadataError(f"{folder}: both {found[0].name} and {found[1].name}, expected one of them; take one out")
    if not found:
        listed = (f"{one}.csv" for one in _NAMES)
        raise MetadataError(f"{folder}: {name}.csv is missing; the v1 lists are {', '.join(listed)}: copy it there")
    return found[0]


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


def _by_line(lines: _Lines) -> Columns:
    """Read the pairs whatever stands around their names."""
    rows = _rows_of(lines)
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
            _refuse_line(lines, int(rows[at]), f"names no {what}; {_EXPECTED_PAIR}")
    patch, s1_name, country = found.values()
    columns = {"patch": patch, "s1_name": s1_name, **read_places(s1_name, S1_NAMES), "country": country}
    _refuse_apart(lines, rows, columns)
    kept = pa.array(_first_of_each(lines, rows, columns))
    return {name: column.take(kept) for name, column in columns.items()}


def _refuse_apart(lines: _Lines, rows: NDArray[np.int64], columns: Columns) -> None:
    """Refuse two halves that lie at different places."""
    parts = pc.extract_regex(columns["patch"], r"_(?P<column>\d+)_(?P<tile_row>\d+)$")
    apart = np.zeros(len(rows), bool)
    for name, part in zip(("column", "tile_row"), parts.flatten(), strict=True):
        apart |= np.asarray(part.cast(pa.int16())) != np.asarray(columns[name])
    if apart.any():
        _refuse_line(
            lines,
            int(rows[apart.argmax()]),
            "names no pair, expected two patches of one column and row; check that no column was sorted by itself",
        )


def _first_of_each(lines: _Lines, rows: NDArray[np.int64], columns: Columns) -> NDArray[np.int64]:
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
                _refuse_line(lines, int(rows[at]), what)
        firsts = np.minimum(firsts, np.asarray(first))
    return np.unique(firsts)


def _split(lists: Mapping[str, _Lines], rows: Mapping[str, NDArray[np.int64]], pairs: _Pairs) -> pa.Array:
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


def _line_of(lines: _Lines, rows: NDArray[np.int64], pair: int) -> str:
    """Say where a list names a pair first."""
    return f"{lines.source}, line {int((rows == pair).argmax()) + 1}"


def _refuse_unmatched(lists: Mapping[str, _Lines], rows: Mapping[str, NDArray[np.int64]], pairs: _Pairs) -> None:
    """Refuse lists that name none of the pairs; one of several does so with good reason, and is reported."""
    named = {name: len(_rows_of(lines)) for name, lines in lists.items()}
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


_EXPECTED_NAME = (
    "expected a name such as S2A_MSIL2A_20170613T101031_0_45, or that of its Sentinel-1 patch, one patch a line; "
    "correct the line or take it out"
)


def _read_text(path: Path) -> bytes:
    """Read a text file, compressed or not, as UTF-8 without a byte order mark."""
    try:
        with pa.input_stream(path) as stream:
            data: bytes = stream.read()
    except (OSError, pa.ArrowInvalid) as error:
        raise MetadataError(f"{path}: cannot be read ({error}); copy the list again") from None
    try:
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            data = data.decode("utf-16").encode()
        data = data.removeprefix(codecs.BOM_UTF8)
        # Arrow would take any bytes for text, and fail in the midst of something else.
        if not data.isascii():
            data.decode()
    except UnicodeDecodeError as error:
        raise MetadataError(
            f"{path}: no text in UTF-8 (byte {error.start:,} is 0x{data[error.start]:02x}); save the list as plain CSV"
        ) from None
    return data


def _read_lines(path: Path) -> _Lines:
    """Read the lines of a text file, with whatever line ends it has."""
    data = _read_text(path)
    if b"\n" not in data:
        data = data.replace(b"\r", b"\n")
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n")) + 1
    bounds = np.concatenate([[0], ends, [len(data)] * (not data.endswith(b"\n") and bool(data))]).astype(np.int32)
    lines = pa.StringArray.from_buffers(len(bounds) - 1, pa.py_buffer(bounds), pa.py_buffer(data))
    return _Lines(source=path, texts=pc.ascii_trim(lines, characters=" \t\r\n\"',;|"))


def _refuse_line(lines: _Lines, row: int, what: str) -> NoReturn:
    """Refuse one line, counted from 0, of a list."""
    text = lines.texts[row].as_py()
    raise MetadataError(f"{lines.source}, line {row + 1}: {text if len(text) < 200 else text[:200] + '…'!r} {what}")


def _rows_of(lines: _Lines) -> NDArray[np.int64]:
    """Give the lines that are to be read: neither blank, nor a header."""
    filled = np.flatnonzero(np.asarray(pc.not_equal(lines.texts, "")))
    if filled.size:
        first = lines.texts[int(filled[0])].as_py()
        if not pc.match_substring_regex(pa.scalar(first), _LIKE_A_NAME).as_py():
            filled = filled[1:]
    return filled


def _find_rows(lists: Sequence[_Lines], pairs: _Pairs) -> list[NDArray[np.int64]]:
    """Tell which pair each line names."""
    # One table of hashes for all of them: it costs more than what is looked up.
    found = pc.index_in(pa.concat_arrays([lines.texts for lines in lists]), pairs.patch).fill_null(-1)
    ends = np.cumsum([len(lines.texts) for lines in lists])
    rows = [part.astype(np.int64) for part in np.split(np.asarray(found), ends[:-1])]
    for lines, known in zip(lists, rows, strict=True):
        filled = _rows_of(lines)
        odd = filled[known[filled] < 0]
        if odd.size:
            known[odd] = _find_odd(lines, odd, pairs)
    return rows


def _find_odd(lines: _Lines, odd: NDArray[np.int64], pairs: _Pairs) -> NDArray[np.int64]:
    """Find the pairs of lines that are not a name of one as it is."""
    texts = lines.texts.take(pa.array(odd))
    s2, s1 = find_names(texts, "s2"), find_names(texts, "s1")
    _refuse_other_release(lines, odd, texts, s2)
    nameless = np.asarray(pc.and_(pc.is_null(s2), pc.is_null(s1)))
    if nameless.any():
        _refuse_line(lines, int(odd[nameless.argmax()]), f"names no patch; {_EXPECTED_NAME}")
    _refuse_several(lines, odd, texts, {"s2": s2, "s1": s1})
    by_s2, by_s1 = _look_up(s2, pairs.patch), _look_up(s1, pairs.s1_name)
    apart = np.asarray(pc.and_(pc.is_valid(s2), pc.is_valid(s1))) & (by_s2 != by_s1)
    if apart.any():
        _refuse_line(
            lines,
            int(odd[apart.argmax()]),
            f"names two patches that are not a pair in {pairs.source}; correct either list",
        )
    return np.maximum(by_s2, by_s1)


def _look_up(names: pa.Array, known: pa.Array) -> NDArray[np.int64]:
    """Give positions of names, however they write their zeros; -1 where a name is not known, or null."""
    rows: NDArray[np.int64] = np.asarray(pc.index_in(names, known, skip_nulls=True).fill_null(-1)).astype(np.int64)
    rest = np.flatnonzero((rows < 0) & np.asarray(pc.is_valid(names)))
    if rest.size:
        found = pc.index_in(canonical(names.take(pa.array(rest))), canonical(known))
        rows[rest] = np.asarray(found.fill_null(-1))
    return rows


def _refuse_other_release(lines: _Lines, odd: NDArray[np.int64], texts: pa.Array, s2: pa.Array) -> None:
    """Refuse a name of v2 without that in v1: the other release's lists say other things of the same pairs."""
    suspects = np.flatnonzero(np.asarray(pc.and_(pc.is_null(s2), pc.match_substring(texts, "_MSIL2A_"))))
    if suspects.size:
        of_v2 = np.asarray(pc.is_valid(find_names(texts.take(pa.array(suspects)), "v2")))
        if of_v2.any():
            _refuse_line(lines, int(odd[suspects[of_v2.argmax()]]), "names a patch of v2; give the lists of v1")


def _refuse_several(lines: _Lines, odd: NDArray[np.int64], texts: pa.Array, firsts: dict[str, pa.Array]) -> None:
    """Refuse a line with two names of one form, as where a whole list was saved as one line."""
    for form, first in firsts.items():
        mark = "_MSIL2A_" if form == "s2" else "_GRDH_"
        suspects = pa.array(np.flatnonzero(np.asarray(pc.greater(pc.count_substring(texts, mark), 1))))
        if not len(suspects):
            continue
        last = find_names(texts.take(suspects), form, last=True)
        differs = np.asarray(pc.not_equal(last, first.take(suspects)).fill_null(False))
        if differs.any():
            row = suspects[int(differs.argmax())].as_py()
            _refuse_line(lines, int(odd[row]), f"names several patches; {_EXPECTED_NAME}")
